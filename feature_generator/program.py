"""Resolved features as a program of the native plan: columns, units of features that are shaped together, and nodes."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from feature_generator.calls import Called
from feature_generator.planning import Input, Node, read_rule, readings, shaping
from feature_generator.sinks import Finished

BITS = {"user": 1, "item": 2, "context": 4, "const": 8, "feature": 16, "folded": 32}
"""Sides as bits; `feature`: outputs of a plan that ran before; `folded`: outputs that depend on no column."""


@dataclass(frozen=True)
class Program:
    """A plan ready for the native code.

    Attributes:
        columns: (name, side) of every column that is read, constants among them; of side `feature`: another plan's
            outputs.
        units: Native units in the order of their levels.
        nodes: Features in the native order; None where a column is read for its lengths alone.
    """

    columns: list[tuple[str, str]]
    units: list[dict[str, Any]]
    nodes: list[Node | None]

    @property
    def sides(self) -> list[tuple[str, int]]:
        """Columns with the bits of their sides, as the native plan takes them."""
        return [(name, BITS[side]) for name, side in self.columns]

    @property
    def constants(self) -> list[str]:
        """Texts that features read in the place of a column."""
        return [name for name, side in self.columns if side == "const"]


class Assembly:
    """A program in the making.

    Args:
        nodes: All resolved features.
        finished: What their configs decide, by name.
        only: Names to compile; what else they read comes as columns of the side `feature`.
        handed: Names whose outputs are handed out beside those that are no stubs.
        values: Hand out what the operators make instead of the features.
        folded: Names of features whose outputs are the same for all rows, and come as columns of the side `folded`.
    """

    def __init__(
        self,
        nodes: Sequence[Node],
        finished: Mapping[str, Finished],
        only: Collection[str] | None = None,
        handed: Collection[str] = (),
        values: bool = False,
        folded: Collection[str] = (),
    ) -> None:
        self.folded = folded
        self.all, self.finished, self.handed, self.values = nodes, finished, handed, values
        self.nodes = [node for node in nodes if only is None or node.name in only]
        self.columns: dict[tuple[str, str], int] = {}
        self.units: list[dict[str, Any]] = []
        self.ordered: list[Node | None] = []
        self._position: dict[str, int] = {}
        self._read = read_by(self.nodes, nodes)

    def program(self) -> Program:
        """The program."""
        for members in together(self.nodes):
            if members[0].sequence:
                self._sequence(members)
            else:
                self._plain(members)
        return Program(list(self.columns), self.units, self.ordered)

    def _plain(self, members: Sequence[Node]) -> None:
        """Features of no sequence; those that compute the same stand together."""
        for shared in _alike([(node, self._feature(node)) for node in members]):
            if not self.values:
                self._unit(shared, members[0].level)
                continue
            for node, feature in shared:
                for variant in self._variants(node, feature):
                    self._unit([(node, variant)], node.level)

    def _sequence(self, members: Sequence[Node]) -> None:
        node, rule = members[0], members[0].rule
        shape = {
            "sequence": True,
            "shortest": rule.lengths == "shortest",
            "most": rule.sequence_length or 0,
            # What came out is oldest first, however the input was sorted.
            "newest_first": rule.order == "newest_first" and not (members[0].encoded or members[0].inner),
            "keep_oldest": rule.truncate == "oldest",
            "pad_empty": node.pads and not self.values,
        }
        features: list[tuple[Node | None, dict[str, Any]]] = []
        for shared in _alike([(node, self._feature(node)) for node in members]):
            if self.values:
                features += [(node, variant) for node, made in shared for variant in self._variants(node, made)]
            else:
                features += shared
        features += [(None, self._ghost(node, source)) for source in beside(members, self.all)]
        self._unit(features, node.level, **shape)

    def _unit(self, features: Sequence[tuple[Node | None, dict[str, Any]]], level: int, **shape: Any) -> None:
        for node, _ in features:
            if node is not None:
                self._position.setdefault(node.name, len(self.ordered))
            self.ordered.append(node)
        self.units.append({"level": level, "sequence": False, **shape, "features": [made for _, made in features]})

    def _variants(self, node: Node, feature: dict[str, Any]) -> list[dict[str, Any]]:
        """A feature as others read it, where they do, and as its bare values."""
        numeric = self.finished[node.name].operator.numbers is not None
        bare = {"sink": {"discretizer": "numbers" if numeric else "text"}, "vectors": False, "exploded": False}
        values = feature | bare | {"emitted": True, "shared": False}
        return ([feature | {"emitted": False, "shared": False}] if node.name in self._read else []) + [values]

    def _feature(self, node: Node) -> dict[str, Any]:
        finished = self.finished[node.name]
        if node.name in self.folded and not self.values:
            return self._constant(node, finished)
        operator = finished.operator
        return {
            "operator": operator.name,
            "parameters": operator.parameters,
            "call": None if operator.call is None else Called(node.name, operator.call),
            "inputs": [
                self._input(source, node, reading) for source, reading in zip(node.inputs, readings(node), strict=True)
            ],
            "sink": finished.sink,
            "vectors": operator.numbers is not None,
            "exploded": node.exploded,
            "emitted": not node.config.stub_type or node.name in self.handed,
        }

    def _constant(self, node: Node, finished: Finished) -> dict[str, Any]:
        """A feature whose one output is known: a column of one row that stands beside all."""
        spec = finished.spec
        sink: dict[str, Any] = {"discretizer": "range", "size": spec.num_embeddings}
        if spec.kind == "dense":
            sink = {"discretizer": "none", "value_dim": spec.value_dim}
        elif spec.num_embeddings is None:
            sink = {"discretizer": "text"}
        column = self.columns.setdefault((node.name, "folded"), len(self.columns))
        return {
            "operator": "copy",
            "parameters": {},
            "call": None,
            "inputs": [{"column": column, "split": False}],
            "sink": sink,
            "vectors": spec.kind == "dense",
            "emitted": not node.config.stub_type or node.name in self.handed,
        }

    def _input(self, source: Input, node: Node, reading: Any) -> dict[str, Any]:
        rule = read_rule(reading, node) | {"sequence": source.sequence, "delim": node.rule.sequence_delim}
        return rule | self._place(source)

    def _place(self, source: Input) -> dict[str, int]:
        """Where an input stands: an earlier feature, or a column."""
        if source.side == "feature" and source.name in self._position:
            return {"feature": self._position[source.name]}
        return {"column": self.columns.setdefault((source.name, source.side), len(self.columns))}

    def _ghost(self, node: Node, source: Input) -> dict[str, Any]:
        """An input that only has a say in the lengths of a sequence."""
        rule = {"sequence": True, "delim": node.rule.sequence_delim, "lengths": True, **self._place(source)}
        return {"inputs": [rule], "sink": {"discretizer": "text"}, "emitted": False}


def read_by(some: Sequence[Node], nodes: Sequence[Node]) -> set[str]:
    """Names of the features that some of the nodes need, for their values or their lengths."""
    groups = {(node.group.name, node.inner): node for node in some if node.group is not None}
    needed = [node.inputs for node in some] + [shaping(node, nodes) for node in groups.values()]
    return {source.name for inputs in needed for source in inputs if source.side == "feature"}


def together(nodes: Sequence[Node]) -> list[list[Node]]:
    """Nodes that may share a unit, lowest level first: children of one sequence, and plain features of one level."""
    groups: dict[Any, list[Node]] = {}
    for node in nodes:
        key: Any = (node.level, node.sided)
        if node.group is not None:
            # An encoded group may pad some children and not others; those have lengths of their own.
            key = (*key, node.group.name, node.inner, node.encoded and node.pads)
        elif node.sequence:
            key = (*key, node.name, None)
        groups.setdefault(key, []).append(node)
    return sorted(groups.values(), key=lambda members: members[0].level)


def beside(members: Sequence[Node], nodes: Sequence[Node]) -> list[Input]:
    """Sequences that `members` of a group do not read, but whose lengths count for all of it."""
    seen = {source for node in members for source in node.inputs}
    return [source for source in shaping(members[0], nodes) if source not in seen]


def _alike(features: Sequence[tuple[Node, dict[str, Any]]]) -> list[list[tuple[Node, dict[str, Any]]]]:
    """Features that make the same values of the same inputs, side by side: all but the first take them over."""
    piles: dict[Any, list[tuple[Node, dict[str, Any]]]] = {}
    for node, feature in features:
        what = json.dumps([feature[part] for part in ("operator", "parameters", "inputs")], sort_keys=True)
        pile = piles.setdefault((what, feature["call"]), [])
        pile.append((node, feature | {"shared": bool(pile)}))
    return list(piles.values())
