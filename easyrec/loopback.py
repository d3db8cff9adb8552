"""Whether a server is reached from its own machine alone."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection

NAMES = ("localhost", "127.0.0.1", "[::1]")


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens there."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_named(header: str, names: Collection[str] = NAMES) -> bool:
    """Whether a request's `Host` is one of these names, with a port or without.

    A page of elsewhere must not reach a server of this machine by a name that it lets point here.
    """
    name, _, port = header.rpartition(":")
    return (name if name and port.isdigit() else header) in names
