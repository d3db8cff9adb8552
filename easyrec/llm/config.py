"""`llm.yaml`: which models are asked, and a section for each tool of `easyrec llm` that is used."""

from __future__ import annotations

import os
from functools import cache
from typing import Annotated, Any

from pydantic import Field, create_model

from easyrec.errors import ConfigError
from easyrec.llm.client import Endpoint
from feature_generator.config import Choice, StrictModel, member, members, read_config, validate

FAMILY = "easyrec.llm.tools"


class LlmConfig(StrictModel):
    """What tools share. The whole config has a section for each of them besides, see `load_llm`."""

    name: str = Field("llm", min_length=1)
    model: Endpoint | None = None
    """The language model that is asked."""
    embedder: Annotated[Any, Choice("easyrec.llm.embedders")] | None = None
    """What makes vectors of texts."""

    def asked(self) -> Endpoint:
        """The model, where a tool needs one.

        Raises:
            ConfigError: There is none.
        """
        if self.model is None:
            raise ConfigError("'model' is missing: it says which language model is asked")
        return self.model

    def embeds(self) -> Any:
        """The embedder's config, where a tool needs one.

        Raises:
            ConfigError: There is none.
        """
        if self.embedder is None:
            raise ConfigError("'embedder' is missing: it says what makes vectors of texts")
        return self.embedder


@cache
def config_class() -> type[LlmConfig]:
    """The class of whole configs: with a section for each tool."""
    sections: dict[str, Any] = {tool: (member(FAMILY, tool).Config | None, None) for tool in members(FAMILY)}
    return create_model("LlmConfig", __base__=LlmConfig, **sections)


def load_llm(
    source: str | os.PathLike[str] | dict[str, Any], tool: str, overrides: list[str] | None = None
) -> tuple[LlmConfig, Any]:
    """The config of a YAML file, or of its content, and the section of a tool.

    Args:
        source: Where it is.
        tool: The tool.
        overrides: `key=value`, as `-o` gives them.

    Raises:
        ConfigError: Everything wrong with it, with lines; or it has no such section.
    """
    config = validate(config_class(), read_config(source, overrides))
    own = getattr(config, tool)
    if own is None:
        where = "the config" if isinstance(source, dict) else os.fspath(source)
        raise ConfigError(f"{where}: section '{tool}' is missing: it says what `easyrec llm {tool}` does")
    return config, own
