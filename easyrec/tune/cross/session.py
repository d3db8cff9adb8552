"""`Session`: what the stages of a search share: the rows, the model as it grows, the proposals, and how gains are judged."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from easyrec.config.cross import BoundariesConfig, HashingConfig
from easyrec.tune.cross.additive import Additive
from easyrec.tune.cross.beam import Beam, Stopped
from easyrec.tune.cross.buckets import coded, edges_of, words_of
from easyrec.tune.cross.cardinality import buckets_for
from easyrec.tune.cross.codes import Codes
from easyrec.tune.cross.column import Column
from easyrec.tune.cross.probe import Gain, auc_of, compared
from easyrec.tune.cross.proposal import Proposal
from easyrec.tune.cross.rows import Searched


class Session:
    """A search as far as it has come.

    Args:
        searched: The rows.
        state: What earlier processes have done, a part for each stage, as JSON holds it; the stages add to it.
        keep: Keeps a file of a name and a text, and gives its path.
        told: Called after every step, whose work is kept from then on.
        stopped: Whether a signal came.
        spent: Seconds that earlier processes took.

    Attributes:
        columns: The columns that features may be made of.
        base: The model of the config's features.
        model: The same with what was accepted.
        beam: The search of crosses, once it has begun.
        proposals: What was tried.
        growing: The crosses of the best set, while crosses are searched.
        unfinished: Why the search ended early; empty where it did not.
    """

    def __init__(
        self,
        searched: Searched,
        state: dict[str, Any],
        keep: Callable[[str, str], str],
        told: Callable[[], None] = lambda: None,
        stopped: Callable[[], bool] = lambda: False,
        spent: float = 0.0,
    ) -> None:
        self.searched, self.config, self.state = searched, searched.config, state
        self.keep, self.told, self.stopped, self.spent = keep, told, stopped, spent
        self.began = time.monotonic()
        self.unfinished = ""
        self.columns = dict(searched.columns)
        self.base = Additive.of(searched.labels, searched.fit, searched.weight, searched.base)
        self.model = self.base
        self.beam: Beam | None = None
        self.proposals: list[Proposal] = []
        self.growing: list[Proposal] = []
        self.edges: dict[str, list[float]] = {}

    @property
    def seconds(self) -> float:
        """Seconds that the search has taken, interruptions left out."""
        return self.spent + time.monotonic() - self.began

    @property
    def over(self) -> bool:
        """Whether no other stage is to begin."""
        return self.stopped() or self.seconds > self.config.minutes * 60

    def check(self, share: float = 1.0) -> None:
        """Raise `Stopped` where a signal came, or a share of the time is over."""
        if self.stopped():
            self.unfinished = "interrupted"
            raise Stopped
        if self.seconds > self.config.minutes * 60 * share:
            self.unfinished = f"the {self.config.minutes:g} minutes were over"
            raise Stopped

    @property
    def accepted(self) -> list[Proposal]:
        """What is accepted so far."""
        return [proposal for proposal in [*self.proposals, *self.growing] if proposal.accepted]

    @property
    def settled(self) -> list[Proposal]:
        """All proposals, the accepted ones first, then by their gain."""
        return sorted(
            self.proposals, key=lambda p: (not p.accepted, 0.0 if p.accepted or np.isnan(p.gain) else -p.gain)
        )

    # ------------------------------------------------------------------------------------- columns

    def free(self, name: str) -> str:
        """The name, with a number behind it where a feature of the config is called so."""
        listed = {feature.get("name") for feature in self.searched.experiment.features.raw["features"]}
        found, number = name, 2
        while found in listed:
            found, number = f"{name}_{number}", number + 1
        return found

    def own(self, name: str | None) -> dict[str, Any]:
        """A feature of the config, as it is written."""
        listed = self.searched.experiment.features.raw["features"]
        return next((dict(feature) for feature in listed if feature.get("name") == name), {})

    def boundaries(self, column: Column) -> list[float]:
        """Boundaries of a column of numbers, by the label."""
        rules = self.config.boundaries or BoundariesConfig()
        if column.name not in self.edges:
            fit = self.searched.fit
            numbers = self.searched.numbers[column.name]
            self.edges[column.name] = edges_of(numbers[fit], self.searched.labels[fit], rules)
        return self.edges[column.name]

    def crossed(self, column: Column) -> Codes:
        """A column as crosses take it: words, numbers of which there are few, or their buckets."""
        if column.kind == "words":
            return self.searched.words[column.name]
        numbers = self.searched.numbers[column.name]
        words = words_of(numbers)
        if words is not None:
            return words
        return coded(numbers, self.boundaries(column))

    def crossed_words(self, name: str) -> tuple[Codes, list[str]]:
        """A column as crosses take it, and what its codes from 1 on are called."""
        column = self.columns[name]
        codes = self.crossed(column)
        if column.kind == "words":
            return codes, [str(word) for word in self.searched.dictionary[name].to_pylist()]
        numbers = self.searched.numbers[name]
        if words_of(numbers) is not None:
            return codes, [f"{value:g}" for value in np.unique(numbers[np.isfinite(numbers)])]
        edges = self.edges[name]
        return codes, [f"< {edge:.4g}" for edge in edges] + [f">= {edges[-1]:.4g}" if edges else "any"]

    def dim(self, names: tuple[str, ...]) -> int | None:
        """Width of an embedding: None for the model's; where features have their own, as wide as those of the columns."""
        if getattr(self.searched.experiment.model, "embedding_dim", None) is not None:
            return None
        own = {column.name: column.embedding_dim or 0 for column in self.columns.values()}
        return max((own[name] for name in names), default=0) or max(own.values(), default=0) or None

    def sized(self, feature: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
        """A feature of ids with the width that its embedding needs."""
        dim = self.dim(names)
        return feature if dim is None else {**feature, "embedding_dim": dim}

    def buckets(self, distinct: float) -> int:
        """Rows of the table of a feature of so many words."""
        rules = self.config.hashing or HashingConfig()
        return buckets_for(distinct, rules.max_collisions, rules.max_buckets)

    # ----------------------------------------------------------------------------------- judgement

    def enough(self, gain: Gain) -> bool:
        """Whether a gain counts."""
        return gain.value >= self.config.min_gain and gain.z >= self.config.min_z

    def too_little(self, gain: Gain) -> str:
        """Why a gain does not count."""
        if gain.value < self.config.min_gain:
            return f"gains less than min_gain, {self.config.min_gain:g}"
        return f"gains {gain.z:.1f} standard errors, less than min_z, {self.config.min_z:g}"

    def on_valid(self, before: Additive, after: Additive) -> Gain | None:
        """What one model gains over another on `valid`; None where there is no such part."""
        span = self.searched.valid
        return compared(before.rows(span), after.logit[span] - before.logit[span]) if span.stop > span.start else None

    def judged(self, proposal: Proposal, *, searched: bool = False) -> Proposal:
        """Accepted, where the gain is enough and `valid`, which no search has seen, does not speak against it."""
        gain = Gain(proposal.gain, proposal.error)
        if not searched and not self.enough(gain):
            return proposal.rejected(self.too_little(gain))
        if proposal.valid <= 0:
            return proposal.rejected(f"gains {proposal.valid:+.6f} on valid")
        return proposal.taken(proposal.reason)

    def quality(self) -> dict[str, dict[str, float]]:
        """AUC and log loss of the config's features, and of all that were accepted, on the newest rows and on valid."""
        found = {}
        for name in ("judge", "valid"):
            span: slice = getattr(self.searched, name)
            if span.stop == span.start:
                continue
            before, after = self.base.rows(span), self.model.rows(span)
            found[name] = {
                "auc_before": auc_of(before.labels, before.logit),
                "auc_after": auc_of(after.labels, after.logit),
                "loss_before": float(before.losses().mean()),
                "loss_after": float(after.losses().mean()),
                "rows": float(span.stop - span.start),
            }
        return found
