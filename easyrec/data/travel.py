"""`Travelled`: a source as plain data on its way to another process, which opens it for itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, SecretStr
from typing_extensions import Self

from easyrec.data.sources import Policy, Source, SourceConfig
from feature_generator.config import member


@dataclass(frozen=True)
class Travelled:
    """The config of a source. It may hold secrets, which its text does not show.

    Attributes:
        config: Keys and values, secrets as they are.
    """

    config: Mapping[str, Any] = field(repr=False)

    @classmethod
    def of(cls, config: SourceConfig) -> Self:
        """The config on its way."""
        return cls({**_plain(config), "type": config.type})

    def open(self, bad_rows: Policy) -> Source:
        """The source, where it has arrived."""
        made: SourceConfig = member("easyrec.data.sources", self.config["type"]).Config.model_validate(self.config)
        return made.open(bad_rows)


def _plain(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, BaseModel):
        return {
            name: _plain(getattr(value, name)) for name in type(value).model_fields if name in value.model_fields_set
        }
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_plain(one) for one in value]
    return value
