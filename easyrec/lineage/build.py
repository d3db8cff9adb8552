"""Views, models, versions and endpoints in one graph."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from easyrec.config import Experiment, load_experiment
from easyrec.errors import ConfigError
from easyrec.lineage.endpoints import add_server
from easyrec.lineage.graph import Graph, Node
from easyrec.lineage.models import Trained, add_bundle, add_model, features_of, of_experiment
from easyrec.lineage.views import add_views
from easyrec.store.definitions import StoreConfig
from serving.server.config import load_server_config


def lineage(
    config: StoreConfig | None = None,
    experiments: Sequence[str | os.PathLike[str] | Experiment] = (),
    bundles: Sequence[str | os.PathLike[str]] = (),
    servers: Sequence[str | os.PathLike[str]] = (),
    features: str | None = None,
) -> Graph:
    """What is made of what.

    Args:
        config: The store.
        experiments: Configs of models, or the folders of their runs.
        bundles: Folders of bundles.
        servers: Configs of servers, whose bundles come with them.
        features: Which model's features of the store all of these read; default: those that are called like the model,
            else the only ones.

    Raises:
        ConfigError: A config is wrong, a query cannot be parsed, or two models have one name.
        BundleError: A bundle is none, or is damaged.
        MissingExtra: A view has a query, and sqlglot is not installed.
    """
    graph = Graph()
    if config is not None:
        add_views(graph, config)
    known: dict[str, Trained] = {}
    for one in experiments:
        experiment = one if isinstance(one, Experiment) else load_experiment(one, blanks=True)
        trained = of_experiment(experiment)
        if trained.name in known:
            raise ConfigError(f"two models are called '{trained.name}': give one another name")
        known[trained.name] = trained
        found = None if config is None else features_of(config, trained.name, features)
        add_model(graph, trained, config, found)
    for bundle in bundles:
        add_bundle(graph, Path(bundle), known, config, features)
    for server in servers:
        add_server(graph, load_server_config(server), known, config, features, Path(server).parent)
    return graph


def untraced(graph: Graph) -> list[Node]:
    """Inputs of models that are made of no column of any table."""
    return [
        node for node in graph.of_kind("input") if not any(other.kind == "column" for other in graph.upstream(node.id))
    ]
