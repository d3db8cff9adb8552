"""From a config to a running server of rewrites."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from easyrec.errors import ConfigError
from serving.server.config import Auth, LimitsConfig, Listening
from serving.server.run import listening, need

if TYPE_CHECKING:
    from easyrec.llm.config import LlmConfig
    from easyrec.llm.rewriting.config import RewriteConfig, ServeConfig

SHORTEST = 16
"""Characters of a key."""
BODY_BYTES = 64 << 10
LONGEST_MS = 60_000.0
"""No request waits longer, whatever it says."""


def serve_rewrites(tools: LlmConfig, own: RewriteConfig) -> None:
    """Run a server until it is told to stop.

    It is one process: it waits for the model more than it works, and so knows which queries the model is being asked about.

    Args:
        tools: What tools share.
        own: Section `rewrite`.

    Raises:
        MissingExtra: What the extra `serving` brings is not installed.
        ConfigError: There is no model, a key is not set, or what is configured needs an embedder.
        DataError: A table cannot be read.
        RunError: The port is taken.
    """
    need()
    from easyrec.llm.rewriting.maker import Maker  # noqa: PLC0415 (it reads the tables)
    from serving.rewriting.endpoints import ROUTES  # noqa: PLC0415 (an extra)
    from serving.rewriting.service import RewriteService  # noqa: PLC0415 (an extra)
    from serving.server.app import App  # noqa: PLC0415 (an extra)
    from serving.server.events import write_events  # noqa: PLC0415 (an extra)
    from serving.server.worker import run  # noqa: PLC0415 (an extra)

    config = listening_of(own.serve)
    tools.asked().key()  # complaints are the user's, and come before anything runs
    write_events(config.log.level)
    with Maker(tools, own) as maker, listening(config) as (listener, state):
        service = RewriteService(config, tools, own, maker, state)
        run(config, App(service, ROUTES), service, listener, None)


def listening_of(serve: ServeConfig) -> Listening:
    """Where a server listens, as servers have it.

    Raises:
        ConfigError: The variable that holds the key is not set.
    """
    auth = None
    if serve.key_env is not None:
        key = os.environ.get(serve.key_env, "").strip()
        if len(key) < SHORTEST:
            raise ConfigError(
                f"environment variable '{serve.key_env}' must hold the key of requests, at least {SHORTEST} characters"
            )
        auth = Auth(tokens=[key])
    limits = LimitsConfig(body_bytes=BODY_BYTES, queue=serve.queue, deadline_ms=LONGEST_MS)
    return Listening(host=serve.host, port=serve.port, auth=auth, limits=limits)
