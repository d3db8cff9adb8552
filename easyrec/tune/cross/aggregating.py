"""The stage of aggregates: counts and rates of keys, one after another by their gain."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

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
        session, rules = self.session, self.session.config.aggregates
        if not isinstance(rules, AggregatesConfig):
            return
        if session.searched.time is None or session.searched.time_column is None:
            logger.info("no aggregates: data.event_time must name a column of numbers, which requests may hold too")
            return
        tables = Tables(session.searched, rules)
        state = session.state.setdefault("aggregates", {"taken": [], "rejected": [], "left": None, "done": False})
        self._take_up(tables, state["taken"])
        if state["left"] is None:
            wanted = [one for one in tables.wanted() if set(one.keys) <= set(session.columns)]
            left = {one: Gain(math.inf, 1.0) for one in wanted}
        else:
            left = {
                _aggregate(of): Gain(math.inf if gain is None else gain, error) for of, gain, error in state["left"]
            }
        while left and len(state["taken"]) < rules.most and not state["done"]:
            best = self._best(tables, left)
            if best is None:
                break
            proposal = self._proposed(tables, best, left.pop(best))
            state["taken" if proposal.accepted else "rejected"].append({**proposal.plain(), "of": _plain(best)})
            state["left"] = [[_plain(one), gain.value, gain.error] for one, gain in left.items()]
            if proposal.accepted:
                session.proposals.append(proposal)
            session.told()
        state["left"] = [[_plain(one), gain.value, gain.error] for one, gain in left.items()]
        state["done"] = True
        session.proposals += [Proposal.of(plain) for plain in state["rejected"]]
        session.proposals += [self._passed_over(one, gain) for one, gain in left.items() if math.isfinite(gain.value)]

    def _take_up(self, tables: Tables, taken: Sequence[Mapping[str, Any]]) -> None:
        """Add what an earlier process took."""
        for plain in taken:
            proposal = Proposal.of(plain)
            self.session.proposals.append(proposal)
            self.session.model = self.session.model.copy()
            self.session.model.add(proposal.name, tables.bucketed(_aggregate(plain["of"]))[0])
            self.session.model.refit(REFITS)

    def _passed_over(self, one: Aggregate, gain: Gain) -> Proposal:
        why = "enough were taken" if self.session.enough(gain) else self.session.too_little(gain)
        return Proposal("aggregate", one.name, one.keys).measured(gain).rejected(why)

    def _best(self, tables: Tables, left: dict[Aggregate, Gain]) -> Aggregate | None:
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

    def _proposed(self, tables: Tables, one: Aggregate, gain: Gain) -> Proposal:
        """The proposal of an aggregate; where it is accepted the model holds it and its table is kept."""
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


def _plain(one: Aggregate) -> dict[str, Any]:
    return {"keys": list(one.keys), "window": one.window, "measure": one.measure}


def _aggregate(plain: Mapping[str, Any]) -> Aggregate:
    return Aggregate(tuple(plain["keys"]), plain["window"], plain["measure"])
