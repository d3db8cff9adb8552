"""The search of crosses: sets of crosses grow side by side, each by the ones that gain most beside those it holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, TypeAlias

import numpy as np

from easyrec.config.cross import CrossConfig, CrossesConfig
from easyrec.tune.cross.additive import Additive
from easyrec.tune.cross.codes import Array, Codes, crossed
from easyrec.tune.cross.probe import STEPS, Gain, Rows, compared, fitted, gain_of

Cross: TypeAlias = tuple[str, ...]
"""Names of columns, in the order of the config."""

SHARES = (0.25, 0.5, 1.0)
"""Of the rows, by which candidates are ranked one after another; a half of them goes on."""
KEPT = 12
"""Candidates that go on at least."""
REMEMBERED = 24
"""Of the candidates of a set, the best ones that are looked at again in the sets that grow from it."""
REFITS = 2
"""Sweeps over all fields after a cross is added."""


class Stopped(Exception):  # noqa: N818 (it says what happened)
    """The time is over, or a signal came: what was not finished is given up."""


@dataclass
class Node:
    """A set of crosses.

    Attributes:
        number: In the order in which sets were made; 0 holds none.
        parent: The set that it grew from.
        crosses: The crosses in the order in which they were taken.
        gain: What the last one gained, beside the others, on the rows that gains are measured on.
        loss: Mean log loss there.
        model: The features of the config and the crosses.
        known: What candidates gained, here or where they were looked at last.
        state: `kept`, `dropped` by a better set of the same size, or `root`.
    """

    number: int
    parent: int | None
    crosses: tuple[Cross, ...]
    gain: Gain
    loss: float
    model: Additive
    known: dict[Cross, Gain] = field(default_factory=dict)
    state: str = "kept"


@dataclass
class Part:
    """A share of the rows, and the codes of the columns there."""

    fit: Array
    judge: Array
    codes: dict[tuple[str, str], Codes] = field(default_factory=dict)


class Beam:
    """Searches crosses.

    Args:
        columns: Codes of the columns that are crossed, by name.
        root: The model of the features that there are.
        judge: The rows that gains are measured on.
        config: The section, with `crosses`.
        check: Raises `Stopped` where the search is to end.
    """

    def __init__(
        self,
        columns: Mapping[str, Codes],
        root: Additive,
        judge: slice,
        config: CrossConfig,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        assert isinstance(config.crosses, CrossesConfig)
        self.columns, self.judge, self.config, self.check = columns, judge, config, check
        self.rules = config.crosses
        self.place = {name: index for index, name in enumerate(columns)}
        self.nodes = [Node(0, None, (), Gain(0.0, 0.0), loss_of(root, judge), root, state="root")]
        self.beam = list(self.nodes)
        self.parts = [self._part(root.fit, share) for share in SHARES]
        self.probed = 0

    def _part(self, fit: slice, share: float) -> Part:
        random = np.random.default_rng(self.config.seed)
        found = []
        for span in (fit, self.judge):
            rows = span.stop - span.start
            some = (
                np.sort(random.choice(rows, max(int(rows * share), 1), replace=False)) if share < 1 else np.arange(rows)
            )
            found.append(span.start + some)
        return Part(*found)

    @property
    def best(self) -> Node:
        """The set of the least loss."""
        return min(self.nodes, key=lambda node: node.loss)

    def levels(self) -> Iterator[list[Node]]:
        """Grow the sets by one cross after another, until none gains; gives the sets of every size."""
        while self.beam and len(self.beam[0].crosses) < self.rules.most:
            grown = self._grown()
            if not grown:
                return
            yield grown

    def replay(self, sets: Sequence[Mapping[str, Any]]) -> None:
        """Make the sets anew that an earlier search had, as `told` gave them; it made them in the same way."""
        self.nodes[0].known = _gains(sets[0]["known"])
        for known in sets[1:]:
            parent, crosses = self.nodes[known["parent"]], tuple(tuple(cross) for cross in known["crosses"])
            gain = Gain(known["gain"], known["error"])
            if known["state"] == "kept":
                node = self._child(parent, crosses[-1], gain)
            else:
                node = Node(len(self.nodes), parent.number, crosses, gain, known["loss"], self.nodes[0].model)
            node.state = known["state"]
            node.known = _gains(known["known"])
            self.nodes.append(node)
        largest = len(self.nodes[-1].crosses)
        self.beam = [n for n in self.nodes if len(n.crosses) == largest and n.state != "dropped"]

    def told(self) -> list[dict[str, Any]]:
        """The sets, as JSON holds them."""
        return [
            {
                "number": node.number,
                "parent": node.parent,
                "crosses": [list(cross) for cross in node.crosses],
                "gain": node.gain.value,
                "error": node.gain.error,
                "loss": node.loss,
                "state": node.state,
                "known": [[list(cross), [g.value, g.error]] for cross, g in node.known.items()],
            }
            for node in self.nodes
        ]

    def _grown(self) -> list[Node]:
        """The sets of the next size: the best of those that grow from the present ones."""
        found: dict[frozenset[Cross], tuple[Node, Cross, Gain]] = {}
        for node in self.beam:
            for cross, gain in self._looked(node)[: self.rules.beam]:
                found.setdefault(frozenset([*node.crosses, cross]), (node, cross, gain))
        children = []
        for node, cross, gain in found.values():
            self.check()
            children.append(self._child(node, cross, gain))
        children = [child for child in children if child.loss < self.nodes[child.parent or 0].loss]
        children.sort(key=lambda child: child.loss)
        for index, child in enumerate(children):
            child.number = len(self.nodes)
            child.state = "kept" if index < self.rules.beam else "dropped"
            self.nodes.append(child)
        for node in self.nodes:
            if node.state == "dropped":
                node.model = self.nodes[0].model  # nothing grows from it: give its memory back
        self.beam = children[: self.rules.beam]
        return children

    def _child(self, node: Node, cross: Cross, gain: Gain) -> Node:
        model = node.model.copy()
        model.add(label(cross), self.codes(cross))
        model.refit(REFITS)
        child = Node(len(self.nodes), node.number, (*node.crosses, cross), gain, loss_of(model, self.judge), model)
        child.known = dict(node.known)
        return child

    # ------------------------------------------------------------------------------------------ candidates

    def _looked(self, node: Node) -> list[tuple[Cross, Gain]]:
        """Candidates of a set that gain enough, the best first."""
        ranked = self._halved(node, self._candidates(node))
        node.known |= dict(ranked)
        enough = [(c, g) for c, g in ranked if g.value >= self.config.min_gain and g.z >= self.config.min_z]
        return sorted(enough, key=lambda pair: -pair[1].value)

    def _candidates(self, node: Node) -> list[Cross]:
        """Pairs of columns and crosses: at the root all; later those of the last cross, and those that promised most."""
        last = node.crosses[-1:] or ()
        found = [self._joined(one, other) for one, other in combinations([(name,) for name in self.columns], 2)]
        if last:
            promising = sorted(node.known, key=lambda cross: -node.known[cross].value)
            found = [cross for cross in promising if node.known[cross].value > 0][:REMEMBERED]
            units = [(name,) for name in self.columns] + list(node.crosses[:-1])
            found += [self._joined(last[0], unit) for unit in units]
        taken = set(node.crosses)
        fitting = [c for c in dict.fromkeys(found) if c and c not in taken and len(c) <= self.rules.order]
        return [cross for cross in fitting if not self._same(cross)]

    def _joined(self, one: Cross, other: Cross) -> Cross:
        """The cross of two; empty where they share a column."""
        if set(one) & set(other):
            return ()
        return tuple(sorted({*one, *other}, key=self.place.__getitem__))

    def _same(self, cross: Cross) -> bool:
        """Whether a cross is no more than one of its columns, which decides the others: a shop's items and their brands."""
        if len(cross) > 2:
            return False
        part = self.parts[0]
        one, other = (self._codes_of(part, "fit", (name,)) for name in cross)
        if one.offsets is not None or other.offsets is not None:
            return False
        return crossed(one, other).distinct <= max(one.distinct, other.distinct)

    def _halved(self, node: Node, candidates: list[Cross]) -> list[tuple[Cross, Gain]]:
        """Successive halving: candidates are ranked by ever more rows, and the better half goes on."""
        left = candidates
        ranked: list[tuple[Cross, Gain]] = []
        for share, part in zip(SHARES, self.parts, strict=True):
            before = Rows(*self._at(node, part.fit)), Rows(*self._at(node, part.judge))
            ranked = []
            for cross in left:
                self.check()
                self.probed += 1
                weights = fitted(self._codes_of(part, "fit", cross), before[0], 1 if share < 1 else STEPS)
                ranked.append((cross, gain_of(self._codes_of(part, "judge", cross), weights, before[1])))
            ranked.sort(key=lambda pair: -pair[1].value)
            node.known |= dict(ranked)
            left = [cross for cross, _ in ranked[: max(len(ranked) // 2, KEPT)]]
        return ranked

    def _at(self, node: Node, rows: Array) -> tuple[Array, Array, Array | None]:
        model = node.model
        return model.labels[rows], model.logit[rows], None if model.weight is None else model.weight[rows]

    def _codes_of(self, part: Part, which: str, cross: Cross) -> Codes:
        found = None
        for name in cross:
            key = (which, name)
            if key not in part.codes:
                rows: Array = getattr(part, which)
                part.codes[key] = self.columns[name].take(rows)
            own = part.codes[key]
            found = own if found is None else crossed(found, own)
        assert found is not None
        return found

    def codes(self, cross: Cross) -> Codes:
        """The codes of a cross, of all rows."""
        found = self.columns[cross[0]]
        for name in cross[1:]:
            found = crossed(found, self.columns[name])
        return found


def _gains(listed: Sequence[Any]) -> dict[Cross, Gain]:
    """What candidates gained, of what `told` made of it."""
    return {tuple(cross): Gain(*values) for cross, values in listed}


def label(cross: Cross) -> str:
    """What a cross is called."""
    return "_x_".join(cross)


def loss_of(model: Additive, span: slice) -> float:
    """Mean log loss of a model on some rows."""
    rows = model.rows(span)
    total = span.stop - span.start if rows.weights is None else float(rows.weights.sum())
    return float(rows.losses().sum() / total)


def added(before: Additive, after: Additive, span: slice) -> Gain:
    """What one model gains over another, with the AUC."""
    return compared(before.rows(span), after.logit[span] - before.logit[span], with_auc=True)
