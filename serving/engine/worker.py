"""One process of an engine's server."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path

from serving.engine.config import EngineConfig
from serving.engine.endpoints import engine_routes
from serving.engine.heaps import few_heaps
from serving.engine.service import EngineService
from serving.server.app import App
from serving.server.events import write_events
from serving.server.worker import ordered, run


def work(config: EngineConfig, state: Path, listener: socket.socket | None, control: socket.socket | None) -> None:
    """Answer requests until a signal says to stop."""
    one_thread_a_search()
    few_heaps()
    service = EngineService(config, state)
    run(config, App(service, engine_routes()), service, listener, control)


def one_thread_a_search() -> None:
    """Have an index search with the thread that asks: several would wait for each other, as many requests come at a time."""
    with contextlib.suppress(ImportError):
        from easyrec.retrieval.indexes._faiss import faiss  # noqa: PLC0415 (an extra)

        faiss.omp_set_num_threads(1)


def main() -> None:
    """What a supervisor starts."""
    order, control = ordered()
    config = EngineConfig.model_validate(order["config"])
    write_events(config.log.level)
    work(config, Path(order["state"]), None, control)


if __name__ == "__main__":
    main()
