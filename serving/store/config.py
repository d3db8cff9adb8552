"""Section `serve` of `store.yaml`: where the store is read over the network, and within which limits."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field, model_validator
from typing_extensions import Self

from easyrec.errors import ConfigError
from easyrec.export.trust import masked
from easyrec.store.definitions import StoreConfig
from easyrec.store.read_config import ReadConfig
from feature_generator.config import read_config, validate
from serving.server.config import Listening


class ServeConfig(Listening):
    """Section `serve` of `store.yaml`."""

    port: int = Field(8010, ge=0, le=65535)
    """0 takes a free one."""


class StoreServerConfig(StoreConfig):
    """`store.yaml` as its server reads it."""

    read: ReadConfig = ReadConfig()
    serve: ServeConfig = ServeConfig()

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if not self.models:
            raise ValueError("needs 'models': they say what is read together")
        return self


def load_store_server(
    source: str | os.PathLike[str] | Mapping[str, Any], overrides: Sequence[str] | None = None
) -> StoreServerConfig:
    """The config of a store's server.

    Args:
        source: A YAML file, or its content.
        overrides: `key=value`, as `-o` gives them.

    Raises:
        ConfigError: Everything wrong with it, with lines, without secrets.
    """
    document = read_config(source, overrides)
    try:
        return validate(StoreServerConfig, document)
    except ConfigError as error:
        raise masked(error, _secrets(document.data)) from None


def _secrets(data: Any) -> list[Any]:
    """What stands where tokens and passwords do."""
    serve = data.get("serve") if isinstance(data, dict) else None
    serve = serve if isinstance(serve, dict) else {}
    auth, tls = serve.get("auth"), serve.get("tls")
    found = [tls.get("key_password")] if isinstance(tls, dict) else []
    for held in auth.values() if isinstance(auth, dict) else ():
        found += held if isinstance(held, list) else [held]
    return found
