"""The stage of crosses: the beam search, and the proposals of its best set."""

from __future__ import annotations

import logging
from itertools import pairwise
from typing import Any

from easyrec.config.cross import CrossesConfig
from easyrec.tune.cross.additive import Additive
from easyrec.tune.cross.beam import REFITS, Beam, Cross, added, label
from easyrec.tune.cross.buckets import bucket_number, words_of
from easyrec.tune.cross.cardinality import collisions, words_behind
from easyrec.tune.cross.codes import MOST
from easyrec.tune.cross.proposal import Proposal
from easyrec.tune.cross.session import Session
from feature_generator.features import MULTIVAL

logger = logging.getLogger("easyrec.tune")

TOLD = 40
"""Crosses without gain that are listed: the best ones."""
UNTIL = 0.75
"""Share of the time after which no further cross is searched, so that aggregates have theirs."""


class Crossing:
    """Searches crosses.

    Args:
        session: The search.
    """

    def __init__(self, session: Session) -> None:
        self.session = session

    def run(self) -> None:
        """The beam search, level by level, and the proposals of its best set."""
        session = self.session
        if not isinstance(session.config.crosses, CrossesConfig):
            return
        columns = {column.name: session.crossed(column) for column in session.columns.values()}
        beam = Beam(columns, session.model, session.searched.judge, session.config, lambda: session.check(UNTIL))
        session.beam = beam
        state = session.state.setdefault("crosses", {"sets": [], "done": False, "probed": 0})
        if state["sets"]:
            beam.replay(state["sets"])
        try:
            for level in beam.levels() if not state["done"] else ():
                state |= {"sets": beam.told(), "probed": state["probed"] + beam.probed}
                beam.probed = 0
                crosses = ", ".join(map(label, beam.best.crosses))
                text = "%d crosses: %s; log loss %.6f (%.0f s)"
                logger.info(text, len(level[0].crosses), crosses, beam.best.loss, session.seconds)
                session.growing = self._of_best(beam)[0]
                session.told()
            state["done"] = True
        finally:
            session.growing = []
            self._propose(beam)

    def _propose(self, beam: Beam) -> None:
        """The crosses of the best set, and those that gained most alone."""
        found, self.session.model = self._of_best(beam)
        taken = {proposal.reads for proposal in found}
        root = beam.nodes[0]
        alone = sorted(root.known.items(), key=lambda pair: -pair[1].value)
        for cross, gain in [pair for pair in alone if pair[0] not in taken][:TOLD]:
            proposal = self._cross(cross, beam).measured(gain)
            last = beam.best.known.get(cross, gain)
            why = self.session.too_little(gain)
            if self.session.enough(gain):
                why = f"gains {gain.value:.6f} alone, but {last.value:.6f} beside the crosses that were taken"
            found.append(proposal.rejected(why))
        self.session.proposals += found

    def _of_best(self, beam: Beam) -> tuple[list[Proposal], Additive]:
        """The crosses of the best set, each with its gain beside those before it, and the model of those that hold."""
        best = beam.best
        path = [best]
        while path[-1].parent is not None:
            path.append(beam.nodes[path[-1].parent])
        path.reverse()
        found, model = [], beam.nodes[0].model
        for parent, node in pairwise(path):
            cross, after = node.crosses[-1], node.model
            if model is not parent.model:  # a cross before this one was dropped
                after = model.copy()
                after.add(label(cross), beam.codes(cross))
                after.refit(REFITS)
            gain, valid = added(model, after, self.session.searched.judge), self.session.on_valid(model, after)
            proposal = self.session.judged(self._cross(cross, beam).measured(gain, valid), searched=True)
            if proposal.accepted:
                model = after
            found.append(proposal)
        return found, model

    def _cross(self, cross: Cross, beam: Beam) -> Proposal:
        """The proposal of a cross, with its table as large as the combinations need that there are."""
        codes = beam.codes(cross)
        train = codes.slice(self.session.searched.train)
        known = train.distinct
        distinct = words_behind(known, MOST - 1) if codes.size == MOST else float(known)
        size = self.session.buckets(distinct)
        features, sources = [], []
        for name in cross:
            column = self.session.columns[name]
            if column.kind == "words" or words_of(self.session.searched.numbers[name]) is not None:
                sources.append(column.source)
                continue
            helper = bucket_number(self.session.free(f"{name}_bucket"), column.source, self.session.edges[name])
            features.append(helper)
            sources.append(f"feature:{helper['name']}")
        feature: dict[str, Any] = {
            "type": "combo",
            "name": self._name(cross, sources),
            "expression": sources,
            "hash_bucket_size": size,
        }
        separators = {self.session.columns[name].separator for name in cross} - {MULTIVAL}
        if separators:
            feature["separator"] = separators.pop()
        reason = f"about {distinct:,.0f} combinations, of which {collisions(distinct, size):.0%} share a row"
        return Proposal(
            "cross",
            str(feature["name"]),
            cross,
            "accepted",
            reason,
            features=(*features, self.session.sized(feature, cross)),
            rows=size,
        )

    def _name(self, cross: Cross, sources: list[str]) -> str:
        """What the feature is called: where the config has the cross already, as it is there."""
        for feature in self.session.searched.experiment.features.raw["features"]:
            if feature.get("type") == "combo" and sorted(feature.get("expression", [])) == sorted(sources):
                return str(feature["name"])
        return self.session.free(label(cross))
