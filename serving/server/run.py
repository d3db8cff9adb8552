"""From a config to a running server."""

from __future__ import annotations

import asyncio
import logging
import shutil
import socket
import sys
import tempfile
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from easyrec.errors import ConfigError, MissingExtra, RunError
from serving.server.config import ServerConfig

if TYPE_CHECKING:
    import uvicorn

SWITCH_S = 0.0005
"""Python's default of 5 ms would let a thread that scores keep the event loop from saying 429 for as long."""


def serve(config: ServerConfig) -> int:
    """Run a server until it is told to stop.

    Args:
        config: What to serve.

    Returns:
        An exit code.

    Raises:
        MissingExtra: uvicorn or orjson is not installed.
        RunError: The port is taken.
    """
    need()
    from serving.server.events import write_events  # noqa: PLC0415 (an extra)

    write_events(config.log.level)
    listener = listen(config.host, config.port)
    state = Path(config.state or tempfile.mkdtemp(prefix="easyrec-serve-"))
    state.mkdir(parents=True, exist_ok=True)
    try:
        return work(config, listener, state)
    finally:
        listener.close()
        if config.state is None:
            shutil.rmtree(state, ignore_errors=True)


def need() -> None:
    """Look whether what the extra brings is there.

    Raises:
        MissingExtra: It is not.
    """
    try:
        import orjson  # noqa: F401, PLC0415 (an extra)
        import uvicorn  # noqa: F401, PLC0415 (an extra)
    except ModuleNotFoundError as error:
        raise MissingExtra((error.name or "uvicorn").partition(".")[0], "serving") from None


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
        RunError: It cannot: the port is taken, or there is no such address.
    """
    try:
        (family, kind, protocol, _, address) = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(2048)
    except OSError as error:
        raise RunError(f"cannot listen on {host}:{port}: {error.strerror or error}") from None
    return listener


def work(config: ServerConfig, listener: socket.socket, state: Path) -> int:
    """Answer requests in this process until it is told to stop."""
    import uvicorn  # noqa: PLC0415 (an extra)

    from serving.server.app import App  # noqa: PLC0415 (an extra)
    from serving.server.events import tell  # noqa: PLC0415 (an extra)
    from serving.server.service import Service  # noqa: PLC0415 (an extra)

    sys.setswitchinterval(SWITCH_S)
    service = Service(config, state)

    class Server(uvicorn.Server):
        """uvicorn's, which drains before it closes connections."""

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            if self.should_exit or getattr(self, "_draining", None) is not None:
                self.should_exit = self.force_exit = True  # asked twice
                return
            self._draining = asyncio.run_coroutine_threadsafe(self._drain(), self._loop)

        async def _drain(self) -> None:
            await service.drain()
            self.should_exit = True

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            self._loop = asyncio.get_running_loop()
            await super().startup(sockets)
            host, port = listener.getsockname()[:2]
            tell(logging.INFO, "listening", host=host, port=port, tls=config.tls is not None)

    server = Server(uvicorn_config(config, App(service)))
    server.run(sockets=[listener])
    return 0


def uvicorn_config(config: ServerConfig, app: Any) -> uvicorn.Config:
    """How uvicorn runs.

    Raises:
        ConfigError: The certificates cannot be used.
    """
    import ssl  # noqa: PLC0415 (only here)

    import uvicorn  # noqa: PLC0415 (an extra)

    tls: dict[str, Any] = {}
    if config.tls is not None:
        tls = {
            "ssl_certfile": config.tls.certificate,
            "ssl_keyfile": config.tls.key,
            "ssl_keyfile_password": config.tls.key_password,
            "ssl_ca_certs": config.tls.client_authority,
            "ssl_cert_reqs": ssl.CERT_REQUIRED if config.tls.client_authority else ssl.CERT_NONE,
        }
    made = uvicorn.Config(
        app,
        lifespan="on",
        ws="none",
        access_log=False,
        log_config=None,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        interface="asgi3",
        timeout_keep_alive=75,
        timeout_graceful_shutdown=max(1, int(config.drain_s)),
        **tls,
    )
    try:
        made.load()
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"tls: the certificates cannot be used: {error}") from None
    return made


