"""Sockets that servers listen on."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from types import FrameType
from typing import TYPE_CHECKING

from easyrec.errors import RunError

if TYPE_CHECKING:
    import uvicorn


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
        RunError: It cannot: the port is taken, or there is no such address.
    """
    listener = None
    try:
        (family, kind, protocol, _, address) = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(2048)
    except OSError as error:
        if listener is not None:
            listener.close()
        raise RunError(f"cannot listen on {host}:{port}: {error.strerror or error}") from None
    return listener


def ending(options: uvicorn.Config) -> uvicorn.Server:
    """The server of uvicorn, which ends in order at the first signal, with exit code 0, and at once at a second Ctrl+C."""
    import uvicorn  # noqa: PLC0415 (an extra)

    class Server(uvicorn.Server):
        """It; the one it derives from dies of the signal once more when it is done."""

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            """End."""
            if self.should_exit and sig == signal.SIGINT:
                self.force_exit = True
            self.should_exit = True

    made = Server(options)  # which lets `options` set up the log
    logging.getLogger("uvicorn.error").addFilter(_is_error)
    return made


def _is_error(record: logging.LogRecord) -> bool:
    """Connections that browsers hold open without an end are cut when a server ends: that is nobody's error."""
    return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))
