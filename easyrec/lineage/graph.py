"""What is made of what: nodes, edges, and the questions that are asked of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeAlias

from easyrec.errors import ConfigError, nearest

Kind: TypeAlias = Literal["column", "field", "feature", "input", "label", "model", "version", "endpoint"]
KINDS: dict[Kind, str] = {
    "column": "source columns",
    "field": "fields of views",
    "feature": "features",
    "input": "inputs of models",
    "label": "what training reads",
    "model": "models",
    "version": "versions",
    "endpoint": "endpoints",
}
"""Kinds in the order in which one is made of another, with what people call them."""


@dataclass(frozen=True)
class Node:
    """One thing.

    Attributes:
        kind: What it is.
        group: Whose it is: table, view, model, server.
        name: Its name in the group; empty: it is the group itself.
        facts: What else is known of it.
    """

    kind: Kind
    group: str
    name: str
    facts: Mapping[str, str] = field(default_factory=dict, compare=False)

    @property
    def shown(self) -> str:
        """What people call it."""
        return f"{self.group}.{self.name}" if self.name else self.group

    @property
    def id(self) -> str:
        """What tells it from all others."""
        return f"{self.kind}:{self.shown}"


@dataclass(frozen=True)
class Edge:
    """That one thing is made of another.

    Attributes:
        source: Id of what is read.
        target: Id of what reads it.
        how: In the words of OpenLineage: `IDENTITY`, `TRANSFORMATION`, `AGGREGATION` where the value goes on; `JOIN`,
            `GROUP_BY`, `FILTER`, `SORT`, `WINDOW`, `CONDITIONAL` where it has a say in which value does.
        direct: Whether the value goes on.
        training: Whether it is read by training alone, and not where the model answers.
        text: The expression, or another word on it.
    """

    source: str
    target: str
    how: str = "IDENTITY"
    direct: bool = True
    training: bool = False
    text: str = ""


@dataclass(frozen=True)
class Impact:
    """What breaks where columns are gone.

    Attributes:
        removed: The columns.
        broken: Ids of all else that cannot be made any more, in the order of `KINDS`.
        models: Models that can neither be trained nor answer.
        untrained: Models that answer as before, but cannot be trained again.
        versions: Versions that cannot be asked any more.
        endpoints: Endpoints that answer with one of these.
    """

    removed: list[str]
    broken: list[str]
    models: list[str]
    untrained: list[str]
    versions: list[str]
    endpoints: list[str]

    def told(self) -> dict[str, Any]:
        """As JSON takes it."""
        return asdict(self)


class Graph:
    """Nodes and edges; what is added twice is there once."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self.edges: dict[tuple[str, str, bool], Edge] = {}
        self._into: dict[str, list[Edge]] = {}
        self._out: dict[str, list[Edge]] = {}

    def add(self, node: Node) -> str:
        """Add a node, and give its id; facts of one that is there stay."""
        return self.nodes.setdefault(node.id, node).id

    def link(self, edge: Edge) -> None:
        """Add an edge between nodes that are there."""
        assert edge.source in self.nodes, edge.source
        assert edge.target in self.nodes, edge.target
        key = (edge.source, edge.target, edge.training)
        if key in self.edges:
            return
        self.edges[key] = edge
        self._into.setdefault(edge.target, []).append(edge)
        self._out.setdefault(edge.source, []).append(edge)

    def of_kind(self, kind: Kind) -> list[Node]:
        """All nodes of a kind, in the order in which they came."""
        return [node for node in self.nodes.values() if node.kind == kind]

    def into(self, node: str) -> list[Edge]:
        """The edges that end at a node."""
        return self._into.get(node, [])

    def upstream(self, start: str) -> list[Node]:
        """All that a node is made of, also at several removes."""
        return self._sorted(self._walked([start], self._into, "source") - {start})

    def downstream(self, start: str) -> list[Node]:
        """All that is made of a node, also at several removes."""
        return self._sorted(set(self._reached([start])) - {start})

    def impact(self, removed: Iterable[str]) -> Impact:
        """What breaks where nodes are gone.

        Args:
            removed: Their ids.
        """
        gone = list(removed)
        reached = self._reached(gone)
        broken = self._sorted(set(reached) - set(gone))
        serving = {node.id for node in broken if not reached[node.id]}

        def named(kind: Kind, *, answers: bool) -> list[str]:
            return [node.shown for node in broken if node.kind == kind and (node.id in serving) == answers]

        return Impact(
            [self.nodes[node].shown for node in gone],
            [node.id for node in broken],
            named("model", answers=True),
            named("model", answers=False),
            named("version", answers=True),
            named("endpoint", answers=True),
        )

    def find(self, text: str, kinds: Iterable[Kind] = tuple(KINDS)) -> Node:
        """The node that people mean: by its id, its name, or the end of its name behind a `/`.

        Raises:
            ConfigError: There is none, or several.
        """
        known = [node for node in self.nodes.values() if node.kind in set(kinds)]
        for found in (
            [node for node in known if node.id == text],
            [node for node in known if node.shown == text],
            [node for node in known if node.name == text],
            [node for node in known if node.shown.endswith(f"/{text}")],
        ):
            if len(found) == 1:
                return found[0]
            if found:
                told = ", ".join(node.id for node in found[:10])
                raise ConfigError(f"'{text}' may be any of {len(found)}: {told}")
        names = [node.shown for node in known]
        raise ConfigError(f"nothing is called '{text}'{nearest(text, [*names, *(node.name for node in known)])}")

    def told(self) -> dict[str, Any]:
        """As JSON takes it."""
        return {
            "nodes": [{"id": node.id, **asdict(node)} for node in self.nodes.values()],
            "edges": [asdict(edge) for edge in self.edges.values()],
        }

    # ------------------------------------------------------------------------------------------- inside

    def _sorted(self, ids: Iterable[str]) -> list[Node]:
        order = {kind: place for place, kind in enumerate(KINDS)}
        return sorted((self.nodes[node] for node in ids), key=lambda node: (order[node.kind], node.shown))

    def _walked(self, start: Iterable[str], edges: Mapping[str, list[Edge]], end: str) -> set[str]:
        seen, left = set(start), list(start)
        while left:
            for edge in edges.get(left.pop(), ()):
                other = getattr(edge, end)
                if other not in seen:
                    seen.add(other)
                    left.append(other)
        return seen

    def _reached(self, start: Iterable[str]) -> dict[str, bool]:
        """What follows from nodes, and whether through training alone: a trained version goes on without its labels."""
        seen = dict.fromkeys(start, False)
        left = list(seen.items())
        while left:
            node, training = left.pop()
            for edge in self._out.get(node, ()):
                if training and self.nodes[node].kind == "model":
                    continue
                now = training or edge.training
                if seen.get(edge.target, True) and (edge.target not in seen or not now):
                    seen[edge.target] = now
                    left.append((edge.target, now))
        return seen
