"""Experiments and bundles: what their features read, which of them are inputs, and what training reads beside."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from easyrec.config import Experiment
from easyrec.config.statistic import StatisticConfig
from easyrec.embedding.plan import plan_embeddings
from easyrec.embedding.spec import EmbeddingPlan
from easyrec.errors import ConfigError
from easyrec.export.bundle import Bundle, digest_of
from easyrec.lineage.graph import Edge, Graph, Node
from easyrec.lineage.views import table_of
from easyrec.store.definitions import ModelFeatures, StoreConfig
from feature_generator import FeatureGenerator

DIGITS = 12
"""Of a digest that people are shown."""


@dataclass(frozen=True)
class Trained:
    """A model as its config or its bundle tells of it.

    Attributes:
        name: Its name.
        generator: Makes its features.
        inputs: Groups with the outputs that they read.
        table: Where rows come from, as people call it.
        items: Where items come from; empty: there is no catalogue.
        reads: Columns that training reads beside features, with the reason.
        facts: What else is known.
    """

    name: str
    generator: FeatureGenerator
    inputs: Mapping[str, Sequence[str]]
    table: str
    items: str = ""
    reads: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)


def of_experiment(experiment: Experiment) -> Trained:
    """What an experiment tells."""
    data, model = experiment.data, experiment.model
    outputs = experiment.generator.outputs
    if isinstance(model, StatisticConfig):
        inputs = {"statistic": list(outputs)}
    else:
        inputs = _inputs(plan_embeddings(outputs, model), outputs)
    facts = {"type": model.type, "config": experiment.document.file, "description": experiment.sections.description}
    return Trained(
        experiment.name,
        experiment.generator,
        inputs,
        *_places({part: getattr(data, part) for part in ("train", "valid", "test", "items")}),
        _training(experiment),
        {key: value for key, value in facts.items() if value},
    )


def of_bundle(bundle: Bundle) -> Trained:
    """What a bundle tells of the model in it."""
    manifest = bundle.manifest
    generator = FeatureGenerator.load(bundle.folder("generator"))
    data = manifest.config.get("data") or {}
    labels = dict.fromkeys(data.get("labels") or (), "label")
    return Trained(
        manifest.name,
        generator,
        _inputs(EmbeddingPlan.from_json(manifest.embeddings), generator.outputs),
        *_places(data),
        labels,
        {"type": str((manifest.config.get("model") or {}).get("type", ""))},
    )


def features_of(config: StoreConfig, name: str, chosen: str | None = None) -> ModelFeatures | None:
    """What a model reads of a store: by its own name, else the only one that is defined.

    Args:
        config: What is defined.
        name: Of the model.
        chosen: Of the features, where they are called otherwise.

    Raises:
        ConfigError: Nothing is called as was chosen.
    """
    if chosen is not None:
        try:
            return config.model(chosen)
        except ValueError as error:
            raise ConfigError(str(error)) from None
    own = [model for model in config.models if model.name == name]
    return own[0] if own else config.models[0] if len(config.models) == 1 else None


def add_model(graph: Graph, trained: Trained, config: StoreConfig | None, features: ModelFeatures | None) -> str:
    """Add a model with its features and inputs, and give its id.

    Args:
        graph: Where to.
        trained: The model.
        config: The store.
        features: What it reads of that; other columns come from the rows that it learns from.
    """
    name = trained.name
    model = graph.add(Node("model", name, "", trained.facts))
    fields = {} if config is None or features is None else config.columns(features)

    def column(read: str, side: str) -> Iterator[str]:
        own = next((one for one in (read, read.partition("__")[0]) if one in fields), None)
        if own is not None:
            view, field_name = fields[own]
            yield f"field:{view.name}.{field_name}"
            return
        yield graph.add(Node("column", trained.table, read))
        if side == "item" and trained.items and "__" not in read:
            yield graph.add(Node("column", trained.items, read))

    for node in trained.generator.nodes:
        told = {"type": node.config.type, "side": node.sided, "intermediate": "yes" if node.config.stub_type else ""}
        told["sequence"] = "yes" if node.sequence else ""
        told["expression"] = _expression(node.config)
        told["reads files"] = ", ".join(node.config.files.values())
        graph.add(Node("feature", name, node.name, {key: value for key, value in told.items() if value}))
    for node in trained.generator.nodes:
        target = f"feature:{name}.{node.name}"
        for read in node.inputs:
            if read.side == "const":
                continue
            sources = [f"feature:{name}.{read.name}"] if read.side == "feature" else column(read.name, read.side)
            for source in sources:
                graph.link(Edge(source, target, "TRANSFORMATION", text=node.config.type))
    for group, outputs in trained.inputs.items():
        for output in outputs:
            source = graph.add(Node("input", name, f"{group}/{output}", {"group": group}))
            graph.link(Edge(f"feature:{name}.{output}", source))
            graph.link(Edge(source, model, "TRANSFORMATION"))
    read_by_groups = {output for outputs in trained.inputs.values() for output in outputs}
    for output in trained.generator.outputs:
        if output not in read_by_groups:
            why = "no group reads it, but rows must have its columns"
            graph.link(Edge(f"feature:{name}.{output}", model, "CONDITIONAL", direct=False, text=why))
    for beside, why in trained.reads.items():
        label = graph.add(Node("label", name, beside, {"why": why}))
        for source in column(beside, ""):
            graph.link(Edge(source, label, training=True))
        graph.link(Edge(label, model, "TRANSFORMATION", training=True))
    return model


def add_bundle(
    graph: Graph, path: Path, known: dict[str, Trained], config: StoreConfig | None, chosen: str | None
) -> str:
    """Add a version of a model, and give its id; where its features are not those of the config, they are its own.

    Args:
        graph: Where to.
        path: Folder of the bundle.
        known: Models that are there, by name; one that is in nobody's config is added.
        config: The store.
        chosen: Which model's features it reads of that, see `features_of`.

    Raises:
        BundleError: It is none, or is damaged.
    """
    bundle = Bundle.open(path, verify=False)
    digest = digest_of(path)
    version = Node("version", f"{bundle.manifest.name}@{digest[:DIGITS]}", "", _facts(bundle, digest))
    if version.id in graph.nodes:
        return version.id
    trained = of_bundle(bundle)
    same = known.get(trained.name)
    if same is not None and _alike(same, trained):
        model = f"model:{same.name}"
    else:
        features = None if config is None else features_of(config, trained.name, chosen)
        called = version.shown if same is not None else trained.name
        facts = {**trained.facts, "config": "that of the bundle"}
        own = Trained(called, trained.generator, trained.inputs, trained.table, trained.items, trained.reads, facts)
        model = add_model(graph, own, config, features)
        known[called] = own
    graph.link(Edge(model, graph.add(version), text="export"))
    return version.id


def _alike(one: Trained, other: Trained) -> bool:
    """Whether two models have the same features, whatever was learned of vocabularies, and read the same of them."""
    if {k: set(v) for k, v in one.inputs.items()} != {k: set(v) for k, v in other.inputs.items()}:
        return False
    plans = [{n.name: (n.config.model_dump(mode="json"), n.inputs) for n in m.generator.nodes} for m in (one, other)]
    return one.generator.fingerprint == other.generator.fingerprint or plans[0] == plans[1]


def _inputs(plan: EmbeddingPlan, outputs: Mapping[str, Any]) -> dict[str, list[str]]:
    return {name: [output for output in outputs if output in group.features] for name, group in plan.groups.items()}


def _places(data: Mapping[str, Any]) -> tuple[str, str]:
    """Where rows and items come from."""
    rows = next((data[part] for part in ("train", "valid", "test") if data.get(part) is not None), None)
    items = data.get("items")
    return "request" if rows is None else table_of(rows), "" if items is None else table_of(items)


def _training(experiment: Experiment) -> dict[str, str]:
    """Columns that training reads beside features, with the reason."""
    data = experiment.data
    found = dict.fromkeys(data.labels, "label")
    if data.sample_weight:
        found.setdefault(data.sample_weight, "weight of a row")
    if data.split is not None:
        found.setdefault(data.split.column, "splits the rows")
    if data.event_time:
        found.setdefault(data.event_time, "time of a row")
    for place, column in [*experiment.readers(training=True), *experiment.readers(training=False)]:
        found.setdefault(column, place)
    return found


def _expression(config: Any) -> str:
    for key in ("expression", "expr"):
        value = getattr(config, key, None)
        if value:
            return ", ".join(value) if isinstance(value, list) else str(value)
    return ""


def _facts(bundle: Bundle, digest: str) -> dict[str, str]:
    manifest = bundle.manifest
    metrics = {
        f"{part} {name}": f"{value:.4f}"
        for part, values in manifest.metrics.items()
        if isinstance(values, dict)
        for name, value in values.items()
        if isinstance(value, float)
    }
    return {
        "digest": digest,
        "created": manifest.created,
        "bundle": str(bundle.path),
        "runtime": manifest.runtime,
        **metrics,
    }
