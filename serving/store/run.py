"""From a config to a running server of a store."""

from __future__ import annotations

from collections.abc import Sequence

from serving.server.run import listening, need
from serving.store.config import StoreServerConfig


def serve_store(config: StoreServerConfig, *, plugins: Sequence[str] = ()) -> None:
    """Run a server until it is told to stop.

    Args:
        config: What to serve, and where.
        plugins: Files and packages with more members of families, for further processes.

    Raises:
        MissingExtra: What an extra brings is not installed.
        ConfigError: A certificate or key cannot be used, or `${NAME}` is not set.
        RunError: A port is taken.
        StoreError: The store cannot be opened.
    """
    need(config.serve)
    from serving.server.events import write_events  # noqa: PLC0415 (an extra)
    from serving.server.supervisor import Supervisor  # noqa: PLC0415 (an extra)
    from serving.server.worker import uvicorn_config  # noqa: PLC0415 (an extra)
    from serving.store.worker import work  # noqa: PLC0415 (an extra)

    config.online.open(config.project).close()  # its complaints are the user's, and come before anything runs
    uvicorn_config(config.serve, app=None)
    write_events(config.serve.log.level)
    with listening(config.serve) as (listener, state):
        if config.serve.processes == 1:
            work(config, state, listener, None)
        else:
            module = "serving.store.worker"
            Supervisor(config.serve, listener, state, list(plugins), [], module, config).run()
