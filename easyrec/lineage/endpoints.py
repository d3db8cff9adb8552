"""What servers answer with: endpoints, and the versions behind them."""

from __future__ import annotations

from pathlib import Path

from easyrec.errors import BundleError
from easyrec.lineage.graph import Edge, Graph, Node
from easyrec.lineage.models import Trained, add_bundle
from easyrec.store.definitions import StoreConfig
from serving.server.config import ServerConfig
from serving.server.sources import source_config
from serving.server.sources.folder import Config as Folder
from serving.server.sources.folder import where


def add_server(
    graph: Graph,
    server: ServerConfig,
    known: dict[str, Trained],
    config: StoreConfig | None,
    chosen: str | None,
    folder: Path,
) -> None:
    """Add the endpoints of a server.

    Args:
        graph: Where to.
        server: Its config.
        known: Models that are there, by name.
        config: The store.
        chosen: Which model's features of the store its bundles read.
        folder: Where paths of bundles are looked up that are not below the current one.
    """
    for model in server.models:
        versions = model.all_versions()
        weights = sum(version.weight for version in versions if version.shadow is None) or 1.0
        facts = {"path": f"/models/{model.name}/predict"}
        endpoint = graph.add(Node("endpoint", f"{server.host}:{server.port}/{model.name}", "", facts))
        for version in versions:
            share = "shadow" if version.shadow is not None else f"{version.weight / weights:.0%} of the requests"
            source = source_config(version.bundle)
            path = _found(source.path, folder) if isinstance(source, Folder) else None
            if path is not None:
                graph.link(Edge(add_bundle(graph, path, known, config, chosen), endpoint, text=share))
                continue
            # It is not there to be looked at, so that its model is told by its name.
            for name in (f"model:{version.name}", f"model:{model.name}"):
                if name in graph.nodes:
                    graph.link(Edge(name, endpoint, text=f"{share}; by name, the bundle cannot be seen from here"))
                    break


def _found(path: str, folder: Path) -> Path | None:
    place = Path(path) if Path(path).exists() else folder / path
    try:
        return where(str(place))
    except BundleError:
        return None
