"""From a config to a running server."""

from __future__ import annotations

import logging
import shutil
import socket
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from easyrec.errors import ConfigError, MissingExtra, nearest
from easyrec.export.bundle import Bundle
from easyrec.listening import listen
from easyrec.store.definitions import load_store
from serving.server.config import FeaturesConfig, Listening, ServerConfig

__all__ = ["check_models", "check_source", "listen", "listening", "need", "serve"]


def serve(config: ServerConfig, *, plugins: Sequence[str] = (), operators: Sequence[str] = ()) -> None:
    """Run a server until it is told to stop.

    Args:
        config: What to serve.
        plugins: Files and packages with more members of families, for further processes.
        operators: Libraries with operators of custom features, for further processes.

    Raises:
        MissingExtra: What an extra brings is not installed.
        BundleError: A bundle cannot be read.
        ConfigError: A certificate or key cannot be used, or a bundle lacks what the config names.
        RunError: A port is taken.
    """
    need(config)
    from serving.server.events import write_events  # noqa: PLC0415 (an extra)
    from serving.server.supervisor import Supervisor  # noqa: PLC0415 (an extra)
    from serving.server.worker import uvicorn_config, work  # noqa: PLC0415 (an extra)

    check_models(config)
    uvicorn_config(config, app=None)  # its complaints are the user's, and come before anything runs
    write_events(config.log.level)
    with listening(config) as (listener, state):
        if config.processes == 1:
            work(config, state, listener, None)
        else:
            Supervisor(config, listener, state, list(plugins), list(operators)).run()


def check_models(config: ServerConfig) -> None:
    """Look whether what a server's models name is there, as far as that can be told before they are loaded.

    Raises:
        BundleError: A bundle cannot be read.
        ConfigError: A bundle or a store lacks what the config names.
    """
    from serving.server.models import check_columns  # noqa: PLC0415 (an extra)
    from serving.server.sources import Room, source_config  # noqa: PLC0415 (an extra)
    from serving.server.sources.folder import Config as Folder  # noqa: PLC0415 (an extra)
    from serving.server.sources.folder import where  # noqa: PLC0415 (an extra)

    for model in config.models:
        if model.features is not None:
            check_source(model.features)
        for version in model.all_versions():
            for place in (version.bundle, version.deltas):
                if place is not None:
                    source_config(place).open(Room(Path()))  # asks nothing of it yet
            source = source_config(version.bundle)
            if isinstance(source, Folder):  # other places may come later than the server
                manifest = Bundle.open(where(source.path), verify=False).manifest
                check_columns(model, {column.name: column.side for column in manifest.signature.inputs})
                if model.runtime is not None and model.runtime not in manifest.runtimes:
                    known = ", ".join(manifest.runtimes)
                    told = f"the bundle has no runtime '{model.runtime}'{nearest(model.runtime, manifest.runtimes)}"
                    raise ConfigError(f"model '{model.name}': {told}; it has: {known}")
    for key in config.trust.keys if config.trust is not None else ():
        key.check()


@contextmanager
def listening(config: Listening) -> Iterator[tuple[socket.socket, Path]]:
    """The socket of a server, and the folder that its processes share.

    Raises:
        RunError: A port is taken.
    """
    from serving.server.events import tell  # noqa: PLC0415 (an extra)

    if config.grpc is not None and config.grpc.port:
        listen(config.host, config.grpc.port).close()  # each process binds it itself
    state = Path(config.state or tempfile.mkdtemp(prefix="easyrec-serve-"))
    shutil.rmtree(state / "metrics", ignore_errors=True)  # of a former run
    try:
        state.mkdir(parents=True, exist_ok=True)
        with listen(config.host, config.port) as listener:
            host, port = listener.getsockname()[:2]
            tell(logging.INFO, "listening", host=host, port=port, tls=config.tls is not None)
            yield listener, state
    finally:
        if config.state is None:
            shutil.rmtree(state, ignore_errors=True)


def check_source(features: FeaturesConfig) -> None:
    """Look whether a feature store's definitions have the model that is named.

    Raises:
        ConfigError: They do not, or cannot be read.
    """
    config = load_store(features.store)
    try:
        config.model(features.model)
    except ValueError as error:
        raise ConfigError(f"features.model: {features.store}: {error}") from None


def need(config: Listening | None = None) -> None:
    """Look whether what the extras bring is there.

    Raises:
        MissingExtra: It is not.
    """
    try:
        import orjson  # noqa: F401, PLC0415 (an extra)
        import uvicorn  # noqa: F401, PLC0415 (an extra)
    except ModuleNotFoundError as error:
        raise MissingExtra((error.name or "uvicorn").partition(".")[0], "serving") from None
    if config is not None and config.grpc is not None:
        try:
            import google.protobuf  # noqa: F401, PLC0415 (an extra)
            import grpc  # noqa: F401, PLC0415 (an extra)
        except ImportError as error:
            raise MissingExtra((error.name or "grpc").partition(".")[0], "grpc") from None
