"""The stage of single columns: those that no feature reads yet, and numbers in buckets by the label."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from easyrec.tune.cross.beam import REFITS, added
from easyrec.tune.cross.buckets import coded
from easyrec.tune.cross.codes import Term
from easyrec.tune.cross.column import Column
from easyrec.tune.cross.probe import Gain, compared, fitted, gain_of
from easyrec.tune.cross.proposal import Proposal
from easyrec.tune.cross.session import Session


class Singles:
    """Takes columns, one after another by their gain.

    Args:
        session: The search.
    """

    def __init__(self, session: Session) -> None:
        self.session = session

    def run(self) -> None:
        """Columns that no feature reads yet, and numbers in buckets by the label, one after another by their gain."""
        candidates = dict(self._single())
        gains = {name: self._alone(term, over) for name, (_, term, over) in candidates.items()}
        done: dict[str, Any] = self.session.state.setdefault("columns", {})
        self.session.model = self.session.base.copy()
        for name in sorted(gains, key=lambda name: -gains[name].value):
            proposal, term, over = candidates[name]
            gain = gains[name]
            if name in done:
                self.session.proposals.append(Proposal.of(done[name]))
                if self.session.proposals[-1].accepted:
                    self._take(name, term, over)
                continue
            self.session.check()
            before = self.session.model
            if self.session.enough(gain):
                self.session.model = before.copy()
                self._take(name, term, over)
                gain = added(before, self.session.model, self.session.searched.judge)
                proposal = self.session.judged(
                    proposal.measured(gain, self.session.on_valid(before, self.session.model))
                )
                self.session.model = self.session.model if proposal.accepted else before
            else:
                proposal = proposal.measured(gain).rejected(self.session.too_little(gain))
            self.session.proposals.append(proposal)
            done[name] = proposal.plain()
            self.session.told()

    def _single(self) -> Iterator[tuple[str, tuple[Proposal, Term, str | None]]]:
        """Candidates: name, proposal, term, and the field whose place it takes."""
        searched, rules = self.session.searched, self.session.config.boundaries
        for column in self.session.columns.values():
            if column.kind == "words":
                if column.feature is None:
                    words = searched.words[column.name]
                    size = self.session.buckets(searched.distinct[column.name])
                    feature = {
                        "type": "id",
                        "name": self.session.free(column.name),
                        "expression": column.source,
                        "hash_bucket_size": size,
                    }
                    sized = self.session.sized(feature, (column.name,))
                    told = f"about {searched.distinct[column.name]:,.0f} words"
                    proposal = Proposal(
                        "column", str(feature["name"]), (column.name,), reason=told, features=(sized,), rows=size
                    )
                    yield column.name, (proposal, words, None)
                continue
            if not rules:
                continue
            edges = self.session.boundaries(column)
            if not edges:
                continue
            feature = self._bucketed(column, edges)
            over = column.feature if column.feature == feature["name"] else None
            proposal = Proposal(
                "boundaries", str(feature["name"]), (column.name,), features=(feature,), rows=len(edges) + 1
            )
            yield f"{column.name} in buckets", (proposal, coded(searched.numbers[column.name], edges), over)

    def _bucketed(self, column: Column, edges: list[float]) -> dict[str, Any]:
        """The feature: the config's own with other boundaries where it has some, else another one beside it."""
        own = self.session.own(column.feature)
        if own.get("boundaries") and not own.get("normalizer") and not own.get("fit"):
            return {**own, "boundaries": edges}
        name = self.session.free(f"{column.name}_buckets")
        feature = {"type": "raw", "name": name, "expression": column.source, "boundaries": edges}
        return self.session.sized(feature, (column.name,))

    def _alone(self, term: Term, over: str | None) -> Gain:
        """What a term gains over the model, in the place of a field where one is named."""
        model = self.session.base
        if over is None:
            weights = fitted(term.slice(self.session.searched.fit), model.rows(self.session.searched.fit))
            return gain_of(term.slice(self.session.searched.judge), weights, model.rows(self.session.searched.judge))
        without = model.copy()
        without.remove(over)
        weights = fitted(term.slice(self.session.searched.fit), without.rows(self.session.searched.fit))
        logit = without.logit[self.session.searched.judge] + term.slice(self.session.searched.judge).sums(weights)
        return compared(model.rows(self.session.searched.judge), logit - model.logit[self.session.searched.judge])

    def _take(self, name: str, term: Term, over: str | None) -> None:
        if over is not None:
            self.session.model.remove(over)
        self.session.model.add(over or name, term)
        self.session.model.refit(REFITS)
