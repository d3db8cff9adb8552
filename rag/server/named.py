"""`named`: the config of one of a server's knowledge bases, for who is at work beside the server."""

from __future__ import annotations

from pathlib import Path

from easyrec.errors import ConfigError, nearest
from rag.bases import Bases
from rag.config import RagConfig
from rag.server.settings import Settings


def named(config: RagConfig, name: str) -> RagConfig:
    """The config of a knowledge base in `server.root`, with the settings that it was given over HTTP.

    Args:
        config: What all of them share.
        name: What it is called.

    Raises:
        ConfigError: There is none of that name.
        EasyRecError: Its settings cannot be read.
    """
    root = Path(config.server.root)
    if not root.is_dir():
        raise ConfigError(f"there are no knowledge bases in '{root}' (server.root)")
    with Bases(root, config.knowledge) as bases:
        if name not in bases:
            there = bases.names()
            known = f"{nearest(name, there)}; known: {', '.join(there)}" if there else f"; '{root}' has none"
            raise ConfigError(f"there is no knowledge base '{name}'{known}")
        settings = Settings(root / ".server" / "settings", config)
        made = settings.config(settings.read(name))
        return made.model_copy(update={"knowledge": bases.config_of(name)})
