"""From a config to a running engine."""

from __future__ import annotations

from collections.abc import Sequence

from serving.engine.config import EngineConfig
from serving.engine.heaps import few_heaps_below
from serving.server.run import check_models, check_source, listening, need


def serve_engine(config: EngineConfig, *, plugins: Sequence[str] = (), operators: Sequence[str] = ()) -> None:
    """Run an engine until it is told to stop.

    Args:
        config: What to serve.
        plugins: Files and packages with more members of families, for further processes.
        operators: Libraries with operators of custom features, for further processes.

    Raises:
        MissingExtra: What an extra brings is not installed.
        BundleError: A bundle cannot be read.
        ConfigError: A certificate or key cannot be used, or a bundle or store lacks what the config names.
        RunError: A port is taken.
    """
    need(config)
    from serving.engine.models import engine_models  # noqa: PLC0415 (an extra)
    from serving.engine.worker import work  # noqa: PLC0415 (an extra)
    from serving.server.events import write_events  # noqa: PLC0415 (an extra)
    from serving.server.supervisor import Supervisor  # noqa: PLC0415 (an extra)
    from serving.server.worker import uvicorn_config  # noqa: PLC0415 (an extra)

    config = engine_models(config)  # further processes are told all of it, and could not tell what was left out
    check_models(config)
    if config.features is not None:
        check_source(config.features)
    uvicorn_config(config, app=None)  # its complaints are the user's, and come before anything runs
    write_events(config.log.level)
    with listening(config) as (listener, state):
        if config.processes == 1:
            work(config, state, listener, None)
        else:
            few_heaps_below()
            Supervisor(config, listener, state, list(plugins), list(operators), "serving.engine.worker", config).run()
