"""From a config to a running page."""

from __future__ import annotations

from collections.abc import Callable

from easyrec.lineage.graph import Graph
from easyrec.store.definitions import StoreConfig
from easyrec.store_ui.state import State
from serving.server.run import listen, need


def serve_ui(config: StoreConfig, graph: Graph, ready: Callable[[str], None]) -> None:
    """Serve the page until it is told to stop.

    Args:
        config: What is defined.
        graph: The lineage.
        ready: Is told the page's address.

    Raises:
        MissingExtra: What the extra `serving` brings is not installed.
        RunError: The port is taken.
        StoreError: The store cannot be reached.
    """
    need()
    import uvicorn  # noqa: PLC0415 (an extra)

    from easyrec.store_ui.app import App  # noqa: PLC0415 (needs the extra)

    store = config.online.open(config.project)
    try:
        with listen(config.ui.host, config.ui.port) as listener:
            app = App(State(config, store), graph)
            options = uvicorn.Config(app, log_config=None, access_log=False, server_header=False, lifespan="on")
            name = f"[{config.ui.host}]" if ":" in config.ui.host else config.ui.host
            ready(f"http://{name}:{listener.getsockname()[1]}/")
            uvicorn.Server(options).run([listener])
    finally:
        store.close()
