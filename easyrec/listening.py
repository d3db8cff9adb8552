"""Sockets that servers listen on."""

from __future__ import annotations

import socket

from easyrec.errors import RunError


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
