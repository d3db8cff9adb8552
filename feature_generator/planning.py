"""From feature configs to a plan: who reads whom, in which order, on which side, and the tables that follow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from feature_generator.config import Path_
from feature_generator.errors import nearest
from feature_generator.features import FeatureConfig, Reading, Source
from feature_generator.features.sequence import Config as SequenceConfig

Report: TypeAlias = Callable[[Path_, str], None]


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
        inner: Whether it reads what was made of its own sequence, whose elements are in order and cut already.
    """

    config: FeatureConfig
    name: str
    path: Path_
    group: SequenceConfig | None
    encoded: bool
    inputs: list[Input] = field(default_factory=list)
    sides: set[str] = field(default_factory=set)
    level: int = 0
    inner: bool = False

    @property
    def sequence(self) -> bool:
        """Whether it is one, of either kind."""
        return self.group is not None or (self.config.sequence_length is not None and not self.exploded)

    @property
    def exploded(self) -> bool:
        """Whether its values, of no sequence, are handed out as one."""
        return self.group is None and self.config.exploded

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
    for node in nodes:
        _find_inner(node, known, report)
    _check_sides(nodes, report)
    _levels(nodes, known, report)


def _find_inner(node: Node, known: dict[str, Node], report: Report) -> None:
    """Say whether a child reads what was made of its own sequence; report those that also read what was not."""
    group = node.group
    if group is None or node.encoded:
        return
    sequences = [source for source in node.inputs if source.sequence]
    own = [s for s in sequences if s.side == "feature" and _made_of(s.name, group, known, set())]
    node.inner = bool(own)
    others = [source.name for source in sequences if source not in own]
    if own and others:
        text = f"reads a sibling and the sequence '{others[0]}': make that a sibling too, with stub_type"
        report((*node.path, *_key(node)), text)


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
        if other.sequence and not node.sequence:
            report(
                (*node.path, *_key(node)),
                f"'{source.name}' is a sequence, this feature is none: give it a sequence_length",
            )
        return Input(name, "feature", node.sequence and other.sequence)
    if source.side == "const":
        return Input(source.name, "const", False)
    fields = node.config.sequence_fields
    if fields is None and source.name in node.config.named_sequences:
        return Input(source.name, source.side, node.sequence)
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
    shapes: dict[tuple[str, bool], list[Input]] = {}  # by sequence
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
        key = ("" if node.group is None else node.group.name, node.inner)
        if key not in shapes:
            shapes[key] = shaping(node, nodes)
        for source in (*node.inputs, *(shapes[key] if node.group is not None else ())):
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


def shaping(node: Node, nodes: Sequence[Node]) -> list[Input]:
    """What has a say in the lengths of a child of a sequence, whether it reads it or not: all that its siblings read.

    But for features that are made of the sequence itself: what a child made of the columns has lengths that were checked
    and cut, and a child that reads it needs no more.
    """
    if node.group is None or node.encoded or node.inner:
        return []
    known = {other.name: other for other in nodes}
    inputs = {s: None for other in nodes if other.group is node.group for s in other.inputs if s.sequence}
    return [s for s in inputs if s.side != "feature" or not _made_of(s.name, node.group, known, set())]


def _made_of(name: str, group: SequenceConfig, known: dict[str, Node], seen: set[str]) -> bool:
    node = known.get(name)
    if node is None or name in seen:
        return False
    seen.add(name)
    below = (source.name for source in node.inputs if source.side == "feature")
    return node.group is group or any(_made_of(other, group, known, seen) for other in below)


def separator_of(node: Node) -> str:
    """What splits the text of a multi-value."""
    return node.config.fg_encoded_multival_sep if node.encoded else node.config.separator


def readings(node: Node) -> Sequence[Reading]:
    """How each input of a node is read."""
    if node.encoded:
        return [Reading(weighted=bool(getattr(node.config, "weighted", False)))]
    return node.config.readings


def read_rule(reading: Reading, node: Node) -> dict[str, Any]:
    """A reading as the native plan takes it."""
    rule: dict[str, Any] = {"split": reading.separator is not None, "weighted": reading.weighted}
    if reading.separator is not None:
        rule["separator"] = reading.separator or separator_of(node)
    if reading.pairs is not None:
        rule |= {"pairs": read_rule(reading.pairs, node), "assign": reading.assign, "assign_last": reading.assign_last}
        rule["folded"] = reading.folded
    return rule
