"""One process that answers: uvicorn over a listening socket, or over connections that a supervisor hands it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import signal
import socket
import ssl
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

import uvicorn

from easyrec.errors import ConfigError
from feature_generator import load_operators
from feature_generator.config import plug
from serving.server.app import App
from serving.server.config import Listening, ServerConfig
from serving.server.events import tell, write_events
from serving.server.service import Service

SWITCH_S = 0.0005
"""Python's default of 5 ms would let a thread that scores keep the event loop from saying 429 for as long."""
LISTENING, READY, CLOSED = b"L", b"R", b"C"
"""What a supervisor is told: that connections are taken, that all models answer, that a connection was closed."""


class Drained(Protocol):
    """A service that ends in order.

    Attributes:
        when_ready: Called when it answers.
    """

    when_ready: Callable[[], None]

    async def drain(self) -> None:
        """Take no more requests, and wait for those that were taken."""


class Server(uvicorn.Server):
    """uvicorn's, which drains before it closes connections.

    Args:
        config: uvicorn's config.
        service: What is drained.
        control: The socket over which a supervisor hands connections; None: there is no supervisor.
    """

    def __init__(self, config: uvicorn.Config, service: Drained, control: socket.socket | None) -> None:
        super().__init__(config)
        self.service, self.control = service, control
        self._draining = False

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Drain at the first signal, leave at the second."""
        if self.control is not None and sig == signal.SIGINT:
            return  # Ctrl+C reaches the supervisor too, which says when to leave
        if self._draining:
            self.should_exit = self.force_exit = True
            return
        self._draining = True
        self._loop.call_soon_threadsafe(self._leave)

    def _leave(self) -> None:
        self._task = asyncio.ensure_future(self._drain())

    async def _drain(self) -> None:
        await self.service.drain()
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to answer."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        if self.control is not None:
            self.control.setblocking(False)
            self._loop.add_reader(self.control, self._given)
            self.service.when_ready = lambda: self._say(READY)
            self._say(LISTENING)

    def _given(self) -> None:
        """Take the connection that the supervisor hands over; without a supervisor there is nothing more to do."""
        assert self.control is not None
        try:
            data, handles, _, _ = socket.recv_fds(self.control, 1, 1)
        except BlockingIOError:
            return
        except OSError:
            data, handles = b"", []
        if not data:
            self._loop.remove_reader(self.control)
            self.handle_exit(signal.SIGTERM, None)
            return
        for handle in handles:
            connection = socket.socket(fileno=handle)
            connection.setblocking(False)
            task = self._loop.create_task(self._connect(connection))
            self.server_state.tasks.add(task)
            task.add_done_callback(self.server_state.tasks.discard)

    async def _connect(self, connection: socket.socket) -> None:
        """Speak HTTP over a connection, and say so when it is closed."""
        config, server = self.config, self
        kind: Any = config.http_protocol_class

        class Protocol(kind):  # type: ignore[misc]
            """uvicorn's."""

            def connection_lost(self, error: Exception | None) -> None:
                """Tell the supervisor, who counts."""
                super().connection_lost(error)
                server._say(CLOSED)

        def make() -> asyncio.Protocol:
            made: asyncio.Protocol = Protocol(
                config=config, server_state=self.server_state, app_state=self.lifespan.state, _loop=self._loop
            )
            return made

        try:
            await self._loop.connect_accepted_socket(make, connection, ssl=config.ssl)
        except (OSError, ssl.SSLError):  # it was closed already, or does not speak TLS
            connection.close()
            self._say(CLOSED)

    def _say(self, word: bytes) -> None:
        if self.control is None:
            return
        with contextlib.suppress(OSError):  # the supervisor has gone, which `_given` sees
            self.control.send(word)


def work(config: ServerConfig, state: Path, listener: socket.socket | None, control: socket.socket | None) -> None:
    """Answer requests until a signal says to stop."""
    service = Service(config, state)
    run(config, App(service), service, listener, control)


def run(
    config: Listening, app: App, service: Drained, listener: socket.socket | None, control: socket.socket | None
) -> None:
    """Let an application answer until a signal says to stop."""
    sys.setswitchinterval(SWITCH_S)
    server = Server(uvicorn_config(config, app), service, control)
    server.run(sockets=[listener] if listener is not None else [])
    tell(logging.INFO, "stopped")


def uvicorn_config(config: Listening, app: Any) -> uvicorn.Config:
    """How uvicorn runs.

    Raises:
        ConfigError: The certificates cannot be used.
    """
    tls: dict[str, Any] = {}
    if config.tls is not None:
        for name in ("certificate", "key", "client_authority"):
            path = getattr(config.tls, name)
            if path is not None and not Path(path).is_file():
                raise ConfigError(f"tls.{name}: {path}: there is no such file")
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


def main() -> None:
    """What a supervisor starts: the control socket's number is an argument, the config comes over it."""
    order, control = ordered()
    config = ServerConfig.model_validate(order["config"])
    write_events(config.log.level)
    work(config, Path(order["state"]), None, control)


def ordered() -> tuple[dict[str, Any], socket.socket]:
    """What a supervisor says to do, and the socket over which it does; what it plugs in is there."""
    control = socket.socket(fileno=int(sys.argv[1]))
    with control.makefile("rb") as file:
        order: dict[str, Any] = json.loads(file.readline())
    for plugin in order["plugins"]:
        plug(plugin)
    for library in order["operators"]:
        load_operators(library)
    return order, control


if __name__ == "__main__":
    main()
