"""From feature configs to a plan: who reads whom, in which order, on which side, and the tables that follow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from feature_generator.calls import Called
from feature_generator.config import Path_
from feature_generator.discretizer import UNBOUNDED, Discretizer, IdConfig
from feature_generator.errors import nearest
from feature_generator.features import FeatureConfig, Numbers, Operator, Reading, Source
from feature_generator.features.sequence import Config as SequenceConfig

Kind: TypeAlias = Literal["sparse", "dense", "sparse_sequence", "dense_sequence"]
Report: TypeAlias = Callable[[Path_, str], None]
BITS = {"user": 1, "item": 2, "context": 4, "const": 8}


@dataclass(frozen=True)
class OutputSpec:
    """What one output of the generator is.

    Attributes:
        name: Key of the output in the `Table`.
        kind: `sparse` ids, `dense` numbers, or a sequence of either.
        side: `user`: the same for all candidates of a request; `item`: one row per candidate.
        mixed: Of side `item`, and reads user or context columns too: cannot be computed ahead for an item.
        value_dim: Numbers per vector; 1 for ids.
        num_embeddings: Ids lie in 0 .. num_embeddings - 1; None for numbers, and where an encoded config tells none.
        embedding_dim: Width of the embedding, None where the config leaves it to the model.
        embedding_name: Table; equal names share it.
        pooling: `sum` or `mean` of several ids.
        trainable: Whether the embedding learns.
        weighted: Ids have weights.
        sequence: The grouped sequence it belongs to, or its own name if it is a simple sequence.
        dense_embedding: How a number with an embedding_dim and no boundaries becomes a field.
        config: The feature's config.
    """

    name: str
    kind: Kind
    side: Literal["user", "item"]
    mixed: bool
    value_dim: int
    num_embeddings: int | None
    embedding_dim: int | None
    embedding_name: str
    pooling: Literal["sum", "mean"]
    trainable: bool
    weighted: bool
    sequence: str | None
    dense_embedding: str | None
    config: Any


@dataclass
class Node:
    """A feature in the graph.

    Attributes:
        config: Its config.
        name: Output name.
        path: Where the config stands in the document.
        group: The grouped sequence that it is a child of.
        inputs: What it reads, resolved.
        sides: Sides of all columns below it.
        level: 0, or one more than the highest feature it reads.
    """

    config: FeatureConfig
    name: str
    path: Path_
    group: SequenceConfig | None
    encoded: bool
    inputs: list[Input] = field(default_factory=list)
    sides: set[str] = field(default_factory=set)
    level: int = 0

    @property
    def sequence(self) -> bool:
        """Whether it is one, of either kind."""
        return self.group is not None or (self.config.sequence_length is not None and not self.exploded)

    @property
    def exploded(self) -> bool:
        """Whether its values, of no sequence, are handed out as one."""
        return self.group is None and self.config.exploded and not self.encoded

    @property
    def rule(self) -> SequenceConfig | FeatureConfig:
        """Who says how the sequence is shaped."""
        return self.group or self.config

    @property
    def default(self) -> str:
        """Default value as text; a sequence always has one, but in encoded mode."""
        if self.encoded:
            return self.config.fg_encoded_default_value or ""
        return self.raw_default

    @property
    def raw_default(self) -> str:
        """Default value of raw mode; where it is a word it decides how many ids there are."""
        return self.config.default_value or ("0" if self.sequence else "")

    @property
    def sided(self) -> Literal["user", "item"]:
        """`item` where any column below it is an item's."""
        return "item" if "item" in self.sides else "user"

    @property
    def pads(self) -> bool:
        """Whether an empty sequence gets one element."""
        return self.rule.empty == "default" and bool(self.default)


@dataclass(frozen=True)
class Input:
    """One resolved input: a column of a side, or another feature."""

    name: str
    side: str
    sequence: bool


@dataclass(frozen=True)
class Program:
    """A plan ready for the native code.

    Attributes:
        columns: (name, side) of every column that is read, constants among them.
        units: Native units in the order of their levels.
        nodes: Features in the native order.
        outputs: Emitted outputs in the order of the configs.
    """

    columns: list[tuple[str, str]]
    units: list[dict[str, Any]]
    nodes: list[Node]
    outputs: dict[str, OutputSpec]


SHAPE = ("sequence_length", "sequence_delim", "order", "truncate", "empty", "lengths")


def flatten(features: Sequence[Any], encoded: bool, report: Report) -> list[Node]:
    """All features, those of sequences under their own names; report children that cannot be any."""
    nodes = []
    for i, config in enumerate(features):
        if isinstance(config, SequenceConfig):
            for k, child in enumerate(config.features):
                path: Path_ = ("features", i, "features", k)
                if isinstance(child, SequenceConfig):
                    report(path, "a sequence cannot stand in a sequence")
                    continue
                if encoded and child.stub_type:
                    continue
                for key in SHAPE:
                    if key in child.model_fields_set:
                        report((*path, key), f"the sequence itself says its {key}, not a child")
                nodes.append(Node(child, f"{config.name}__{child.name}", path, config, encoded))
        elif not (encoded and config.stub_type):  # what is no output has no column to be read from
            nodes.append(Node(config, config.name, ("features", i), None, encoded))
    return nodes


def check_names(features: Sequence[Any], nodes: Sequence[Node], report: Report) -> None:
    """Report names that are given twice."""
    seen: dict[str, Path_] = {}
    groups = [(config.name, ("features", i)) for i, config in enumerate(features) if isinstance(config, SequenceConfig)]
    for name, path in [*((n.name, n.path) for n in nodes), *groups]:
        if name in seen:
            report((*path, "name"), f"the name '{name}' is given twice")
        seen[name] = path


def resolve(nodes: Sequence[Node], report: Report) -> None:
    """Fill in what every node reads, and the levels; report unknown features, cycles and columns of two sides."""
    known = {node.name: node for node in nodes}
    for node in nodes:
        node.inputs = [_input(node, source, known, report) for source in _sources(node)]
        if node.sequence and not any(source.sequence for source in node.inputs):
            key = ("sequence_fields",) if node.config.sequence_fields is not None else ()
            report((*node.path, *key), "none of its inputs is a sequence; sequence_fields names those that are")
    _check_sides(nodes, report)
    _levels(nodes, known, report)


def _sources(node: Node) -> list[Source]:
    if not node.encoded:
        return list(node.config.sources)
    # Encoded columns are named like the output; they belong to the item unless all that it would read is the user's.
    sides = {"user" if node.group is not None and s.side == "item" else s.side for s in node.config.sources}
    side: Any = "item" if "item" in sides or "feature" in sides else next(iter(sorted(sides - {"const"})), "item")
    return [Source(side, node.name)]


def _input(node: Node, source: Source, known: dict[str, Node], report: Report) -> Input:
    if node.encoded:
        side = node.group.side if node.group is not None else source.side
        return Input(source.name, side, node.sequence)
    if source.side == "feature":
        name = source.name
        if name not in known and node.group is not None:
            name = f"{node.group.name}__{name}"
        other = known.get(name)
        if other is None:
            report((*node.path, *_key(node)), f"no feature is called '{source.name}'{nearest(source.name, known)}")
            return Input(source.name, "feature", node.sequence)
        if other.group is not None and other.group is node.group and other is not node:
            report((*node.path, *_key(node)), f"a child of a sequence cannot read its sibling '{source.name}'")
        if other.sequence and not node.sequence:
            report(
                (*node.path, *_key(node)),
                f"'{source.name}' is a sequence, this feature is none: give it a sequence_length",
            )
        return Input(name, "feature", node.sequence and other.sequence)
    if source.side == "const":
        return Input(source.name, "const", False)
    fields = node.config.sequence_fields
    sequence = node.sequence and (
        source.name in fields if fields is not None else node.config.single_input or source.side == "item"
    )
    if sequence and node.group is not None:
        return Input(f"{node.group.name}__{source.name}", node.group.side, True)
    return Input(source.name, source.side, sequence)


def _key(node: Node) -> tuple[str, ...]:
    return ("expression",) if "expression" in type(node.config).model_fields else ()


def _check_sides(nodes: Sequence[Node], report: Report) -> None:
    sides: dict[str, tuple[str, str]] = {}
    for node in nodes:
        for source in node.inputs:
            if source.side in ("feature", "const"):
                continue
            side, first = sides.setdefault(source.name, (source.side, node.name))
            if side != source.side:
                text = f"column '{source.name}' belongs to one side, but is {side}'s for '{first}' and {source.side}'s here"
                report((*node.path, *_key(node)), text)


def _levels(nodes: Sequence[Node], known: dict[str, Node], report: Report) -> None:
    """Levels and sides, by following what each node reads; a chain that comes back is a cycle."""
    done: set[str] = set()
    told: set[frozenset[str]] = set()

    def follow(node: Node, chain: tuple[str, ...]) -> None:
        if node.name in chain:
            circle = (*chain[chain.index(node.name) :], node.name)
            if frozenset(circle) not in told:
                told.add(frozenset(circle))
                report((*node.path, *_key(node)), f"features read each other in a circle: {' -> '.join(circle)}")
            return
        if node.name in done:
            return
        for source in node.inputs:
            other = known.get(source.name) if source.side == "feature" else None
            if other is not None:
                follow(other, (*chain, node.name))
                node.level = max(node.level, other.level + 1)
                node.sides |= other.sides
            elif source.side != "feature":
                node.sides.add(source.side)
        done.add(node.name)

    for node in nodes:
        follow(node, ())


def compile_plan(
    nodes: Sequence[Node], hash_name: str, folder: Path | None, report: Report, values: bool = False
) -> Program:
    """The native plan of resolved nodes.

    Args:
        nodes: Features.
        hash_name: The generator's hash.
        folder: Where relative files are looked up first.
        report: Takes problems.
        values: Hand out what the operators make - text, or numbers of numeric features - instead of the features.
    """
    read = {source.name for node in nodes for source in node.inputs if source.side == "feature"}
    columns: dict[tuple[str, str], int] = {}
    units: list[dict[str, Any]] = []
    ordered: list[Node] = []
    specs: dict[str, OutputSpec] = {}
    position: dict[str, int] = {}
    for level, members in _units(nodes):
        rule = members[0].rule
        compiled: list[dict[str, Any]] = []
        placed = len(ordered)
        for node in members:
            operator, sink, size = _sink(node, hash_name, folder, report)
            inputs = []
            for source, reading in zip(node.inputs, readings(node), strict=True):
                item = _read(reading, node) | {"sequence": source.sequence, "delim": rule.sequence_delim}
                if source.side == "feature":
                    item["feature"] = position[source.name]
                else:
                    item["column"] = columns.setdefault((source.name, source.side), len(columns))
                inputs.append(item)
            feature = {
                "operator": operator.name,
                "parameters": operator.parameters,
                "call": None if operator.call is None else Called(node.name, operator.call),
                "inputs": inputs,
                "sink": sink,
                "vectors": operator.numbers is not None,
                "exploded": node.exploded,
                "user": node.sided == "user",
                "emitted": not node.config.stub_type and not values,
            }
            specs[node.name] = _spec(node, operator, size)
            if not values or node.name in read:
                position[node.name] = placed + len(compiled)
                ordered.append(node)
                compiled.append(feature)
            if values:
                kind = {"discretizer": "text" if operator.numbers is None else "numbers"}
                ordered.append(node)
                compiled.append(feature | {"sink": kind, "vectors": False, "exploded": False, "emitted": True})
        shape = {
            "level": level,
            "sequence": members[0].sequence,
            "shortest": rule.lengths == "shortest",
            "most": rule.sequence_length or 0,
            # What came out is oldest first, however the input was sorted.
            "newest_first": rule.order == "newest_first" and not members[0].encoded,
            "keep_oldest": rule.truncate == "oldest",
            "pad_empty": members[0].pads and not values,
        }
        together = [compiled] if members[0].sequence else [[feature] for feature in compiled]
        units += [shape | {"features": features} for features in together]
    outputs = {node.name: specs[node.name] for node in nodes if not node.config.stub_type}
    return Program(list(columns), units, ordered, outputs)


def _units(nodes: Sequence[Node]) -> list[tuple[int, list[Node]]]:
    """Nodes that are shaped together, lowest level first. A plain feature stands alone."""
    groups: dict[Any, list[Node]] = {}
    for node in nodes:
        # An encoded group may pad some children and not others; those have lengths of their own.
        key = node.name if node.group is None else ("group", node.group.name, node.encoded and node.pads)
        groups.setdefault(key, []).append(node)
    units = [(max(node.level for node in members), members) for members in groups.values()]
    for level, members in units:
        for node in members:
            node.level = level
    return sorted(units, key=lambda unit: unit[0])


def _separator(node: Node) -> str:
    return node.config.fg_encoded_multival_sep if node.encoded else node.config.separator


def readings(node: Node) -> Sequence[Reading]:
    """How each input of a node is read."""
    if node.encoded:
        return [Reading(weighted=bool(getattr(node.config, "weighted", False)))]
    return node.config.readings


def _read(reading: Reading, node: Node) -> dict[str, Any]:
    """A reading as the native plan takes it."""
    rule: dict[str, Any] = {"split": reading.separator is not None, "weighted": reading.weighted}
    if reading.separator is not None:
        rule["separator"] = reading.separator or _separator(node)
    if reading.pairs is not None:
        rule |= {"pairs": _read(reading.pairs, node), "assign": reading.assign, "assign_last": reading.assign_last}
    return rule


def _sink(
    node: Node, hash_name: str, folder: Path | None, report: Report
) -> tuple[Operator, dict[str, Any], int | None]:
    """Operator, native sink and number of embeddings."""
    config = node.config
    try:
        operator = config.compile(node.default, node.sequence, folder)
    except (OSError, ValueError) as error:
        key = next(iter(config.files), "")
        text = f"cannot read '{config.files.get(key)}': {error.strerror}" if isinstance(error, OSError) else str(error)
        report((*node.path, *(key.split(".") if key else ())), text)
        operator = Operator("copy")
    if operator.numbers is not None:
        return _numeric_sink(node, operator)
    discretizer = Discretizer("text")
    if isinstance(config, IdConfig):
        try:
            discretizer = config.discretizer(hash_name, node.raw_default, folder)
        except (OSError, ValueError) as error:
            text = f"cannot read '{config.vocab_file}': {error.strerror}" if isinstance(error, OSError) else str(error)
            report((*node.path, "vocab_file"), text)
    size = discretizer.size or None
    if node.encoded:
        operator = Operator("copy")
        discretizer = Discretizer("range", size or UNBOUNDED, out_of_range=getattr(config, "out_of_range", "default"))
    sink = discretizer.rule() | {"weighted": bool(getattr(config, "weighted", False))}
    first_only = not node.encoded and isinstance(config, IdConfig) and config.first_only(node.sequence)
    sink["value_dim"] = int(first_only)
    texts = default_texts(node, operator)
    texts = texts[:1] if first_only else texts
    if discretizer.kind == "text":
        sink["default_texts"] = texts
        return operator, sink, None
    try:
        sink["default_ids"] = [discretizer.id_of(text) for text in texts]
    except ValueError as error:
        report((*node.path, "fg_encoded_default_value" if node.encoded else "default_value"), str(error))
    return operator, sink, size


def default_texts(node: Node, operator: Operator) -> list[str]:
    """The values of a default that becomes ids."""
    if operator.defaults is not None and not node.encoded:
        return operator.defaults
    if operator.name == "copy" or node.encoded:
        return [part for part in node.default.split(_separator(node)) if part]
    return [node.default] if node.default else []


def _numeric_sink(node: Node, operator: Operator) -> tuple[Operator, dict[str, Any], int | None]:
    config: Any = node.config
    numbers = operator.numbers
    assert numbers is not None
    size = None if numbers.boundaries is None else len(numbers.boundaries) + 1
    if node.encoded and size is not None:  # the column holds buckets
        rule = Discretizer("range", size).rule()
        texts = [t for t in node.default.split(_separator(node)) if t]
        return Operator("copy"), rule | {"value_dim": 0, "default_ids": [int(t) for t in texts]}, size
    if node.encoded:
        operator = Operator("copy", numbers=Numbers(numbers.value_dim))
    default = config.default_numbers(node.default, node.encoded)
    if numbers.value_dim == 0:  # any number of buckets: the default is theirs too
        edges = np.array(numbers.boundaries, np.float32)
        buckets = np.searchsorted(edges, np.array(default, np.float32), side="right").tolist()
        rule = {"discretizer": "boundaries", "size": size, "value_dim": 0, "boundaries": edges.tolist()}
        return operator, rule | {"normalizer": numbers.normalizer, "default_ids": buckets}, size
    sink = {
        "discretizer": "none" if size is None else "boundaries",
        "value_dim": numbers.value_dim,
        "normalizer": operator.numbers.normalizer if operator.numbers else {},
        "boundaries": list(numbers.boundaries or ()),
        "default_numbers": default,
    }
    return operator, sink, size


def _spec(node: Node, operator: Operator, size: int | None) -> OutputSpec:
    config: Any = node.config
    dense = operator.numbers is not None and operator.numbers.boundaries is None
    kind: Any = ("dense" if dense else "sparse") + ("_sequence" if node.sequence or node.exploded else "")
    return OutputSpec(
        name=node.name,
        kind=kind,
        side=node.sided,
        mixed="item" in node.sides and bool(node.sides & {"user", "context"}),
        value_dim=operator.numbers.value_dim if dense and operator.numbers else 1,
        num_embeddings=size,
        embedding_dim=config.embedding_dim,
        embedding_name=config.embedding_name or node.name,
        pooling=config.pooling,
        trainable=config.trainable,
        weighted=bool(getattr(config, "weighted", False)),
        sequence=node.group.name if node.group is not None else node.name if kind.endswith("sequence") else None,
        dense_embedding=config.dense_embedding if dense and config.embedding_dim is not None else None,
        config=config,
    )
