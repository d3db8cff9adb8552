"""The stage of aggregates: counts and rates of keys, one after another by their gain."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from easyrec.config.cross import AggregatesConfig
from easyrec.tune.cross.aggregates import Aggregate, Tables, table_text
from easyrec.tune.cross.beam import REFITS, added
from easyrec.tune.cross.probe import Gain, fitted, gain_of
from easyrec.tune.cross.proposal import Proposal
from easyrec.tune.cross.session import Session

logger = logging.getLogger("easyrec.tune")


class Aggregating:
    """Takes aggregates.

    Args:
        session: The search.
    """

    def __init__(self, session: Session) -> None:
        self.session = session

    def run(self) -> None:
        """Counts and rates, one after another by what they gain beside all that was taken."""
        rules = self.session.config.aggregates
        if not isinstance(rules, AggregatesConfig):
            return
        state = self.session.state.setdefault("aggregates", {"taken": [], "done": None})
        if self.session.searched.time is None or self.session.searched.time_column is None:
            logger.info("no aggregates: data.event_time must name a column of numbers, which requests may hold too")
            return
        tables = Tables(self.session.searched, rules)
        for taken in state["taken"]:
            proposal = Proposal.of(taken)
            self.session.proposals.append(proposal)
            codes, _ = tables.bucketed(_aggregate(taken))
            self.session.model.add(proposal.name, codes)
            self.session.model.refit(REFITS)
        if state["done"] is not None:
            self.session.proposals += [Proposal.of(plain) for plain in state["done"]]
            return
        wanted = [one for one in tables.wanted() if set(one.keys) <= set(self.session.columns)]
        left: dict[Aggregate, Gain] = {one: Gain(np.inf, 1.0) for one in wanted}
        for plain in state["taken"]:
            left.pop(_aggregate(plain), None)
        rejected: list[Proposal] = []
        while left and len(state["taken"]) < rules.most:
            best = self._best_aggregate(tables, left)
            if best is None:
                break
            proposal = self._aggregate(tables, best, left.pop(best))
            if proposal.accepted:
                keys = {"keys": list(best.keys), "window": best.window, "measure": best.measure}
                state["taken"].append({**proposal.plain(), "of": keys})
                self.session.proposals.append(proposal)
                self.session.told()
            else:
                rejected.append(proposal)
        for one, gain in sorted(left.items(), key=lambda pair: -pair[1].value):
            if np.isfinite(gain.value):
                told = Proposal("aggregate", one.name, one.keys).measured(gain)
                rejected.append(
                    told.rejected(
                        self.session.too_little(gain) if not self.session.enough(gain) else "enough were taken"
                    )
                )
        state["done"] = [proposal.plain() for proposal in rejected]
        self.session.proposals += rejected

    def _best_aggregate(self, tables: Tables, left: dict[Aggregate, Gain]) -> Aggregate | None:
        """The one that gains most beside the model; those that gained less before than another does now are not asked."""
        best: Aggregate | None = None
        before = (
            self.session.model.rows(self.session.searched.fit),
            self.session.model.rows(self.session.searched.judge),
        )
        for one in sorted(left, key=lambda one: (-left[one].value, one.keys)):
            if best is not None and left[one].value <= left[best].value:
                continue
            self.session.check()
            codes, _ = tables.bucketed(one)
            weights = fitted(codes.slice(self.session.searched.fit), before[0])
            left[one] = gain_of(codes.slice(self.session.searched.judge), weights, before[1])
            if self.session.enough(left[one]) and (best is None or left[one].value > left[best].value):
                best = one
        return best

    def _aggregate(self, tables: Tables, one: Aggregate, gain: Gain) -> Proposal:
        codes, edges = tables.bucketed(one)
        proposal = Proposal("aggregate", one.name, one.keys, rows=len(edges) + 2).measured(gain)
        found = tables.entries(one, edges)
        if found is None:
            return proposal.rejected("its table would have more entries than aggregates.max_entries")
        after = self.session.model.copy()
        after.add(one.name, codes)
        after.refit(REFITS)
        valid = self.session.on_valid(self.session.model, after)
        proposal = self.session.judged(
            proposal.measured(added(self.session.model, after, self.session.searched.judge), valid)
        )
        if not proposal.accepted:
            return proposal
        self.session.model = after
        file = self.session.keep(f"{one.name}.txt", table_text(*found))
        clock, feature = tables.features(one, self.session.columns, file, self.session.free)
        features = (clock, self.session.sized(feature, one.keys))
        why = f"a table of {len(found[0]):,} entries, as of the newest row: export it anew for newer ones"
        return replace(proposal, features=features, entries=len(found[0]), reason=why)


def _aggregate(plain: Mapping[str, Any]) -> Aggregate:
    of = plain["of"]
    return Aggregate(tuple(of["keys"]), of["window"], of["measure"])
