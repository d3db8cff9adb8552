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
        pinned: What it is pinned to where it was opened first.
    """

    config: Mapping[str, Any] = field(repr=False)
    pinned: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, config: SourceConfig, opened: Source | None = None) -> Self:
        """The config on its way; with `opened` the same rows arrive, whatever is written to them on the way."""
        return cls({**_plain(config), "type": config.type}, None if opened is None else opened.pinned())

    def open(self, bad_rows: Policy) -> Source:
        """The source, where it has arrived."""
        made: SourceConfig = member("easyrec.data.sources", self.config["type"]).Config.model_validate(self.config)
        source = made.open(bad_rows)
        if self.pinned is not None:
            source.pin(self.pinned)
        return source


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
