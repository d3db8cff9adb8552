"""One process of a store's server."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import TYPE_CHECKING

from serving.server.app import App
from serving.server.events import write_events
from serving.server.worker import ordered, run
from serving.store.config import StoreServerConfig
from serving.store.endpoints import ROUTES
from serving.store.service import StoreService

if TYPE_CHECKING:
    from serving.server.grpc_server import GRPCServer


class StoreApp(App):
    """The application.

    Args:
        service: What its endpoints work with.
    """

    def __init__(self, service: StoreService) -> None:
        super().__init__(service, ROUTES)
        self._store = service

    def grpc_server(self) -> GRPCServer:
        """What serves the same over gRPC."""
        from serving.store.grpc_server import StoreGRPCServer  # noqa: PLC0415 (an extra)

        return StoreGRPCServer(self._store, self)


def work(config: StoreServerConfig, state: Path, listener: socket.socket | None, control: socket.socket | None) -> None:
    """Answer requests until a signal says to stop."""
    service = StoreService(config, state)
    run(config.serve, StoreApp(service), service, listener, control)


def main() -> None:
    """What a supervisor starts."""
    order, control = ordered()
    config = StoreServerConfig.model_validate(order["config"])
    write_events(config.serve.log.level)
    work(config, Path(order["state"]), None, control)


if __name__ == "__main__":
    main()
