"""From a config to a running server."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from easyrec.errors import MissingExtra
from easyrec.listening import ending, listen
from rag.config import RagConfig

if TYPE_CHECKING:
    import uvicorn


def need() -> None:
    """Look whether what the extra brings is there.

    Raises:
        MissingExtra: It is not.
    """
    try:
        import orjson  # noqa: F401, PLC0415 (an extra)
        import python_multipart  # noqa: F401, PLC0415 (an extra)
        import starlette  # noqa: F401, PLC0415 (an extra)
        import uvicorn  # noqa: F401, PLC0415 (an extra)
    except ModuleNotFoundError as error:
        raise MissingExtra((error.name or "starlette").partition(".")[0], "rag-server") from None


def serve_rag(config: RagConfig, ready: Callable[[str], object]) -> None:
    """Serve knowledge bases until SIGTERM or Ctrl+C; running requests come to their end.

    Args:
        config: What all of them share, and where and to whom they are served.
        ready: Is told the address.

    Raises:
        MissingExtra: What the extra `rag-server` brings is not installed.
        RunError: The port is taken.
        EasyRecError: The folder or a model cannot be opened.
    """
    need()
    from rag.server.events import tell, write_events  # noqa: PLC0415 (needs the extra)

    own = config.server
    write_events(own.log.level)
    with listen(own.host, own.port) as listener:
        server = server_of(config)
        name = f"[{own.host}]" if ":" in own.host else own.host
        address = f"http://{name}:{listener.getsockname()[1]}"
        tell(logging.INFO, "listening", address=address, users=len(own.users))
        ready(address)
        server.run([listener])


def server_of(config: RagConfig) -> uvicorn.Server:
    """What serves knowledge bases over a socket that listens."""
    import uvicorn  # noqa: PLC0415 (an extra)

    from rag.server.app import app_of  # noqa: PLC0415 (needs the extra)
    from rag.server.service import Service  # noqa: PLC0415 (needs the extra)

    options = uvicorn.Config(
        app_of(Service(config)),
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        lifespan="on",
        timeout_keep_alive=30,
        timeout_graceful_shutdown=max(1, int(config.server.drain_s)),
    )
    return ending(options)
