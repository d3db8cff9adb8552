"""`CrossSearch`: the stages of a search, each of which can be taken up where an earlier process left it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from easyrec.config.cross import AggregatesConfig, BoundariesConfig, CrossesConfig, HashingConfig, TimeCheckConfig
from easyrec.tune.cross.additive import Additive
from easyrec.tune.cross.aggregates import Aggregate, Tables, table_text
from easyrec.tune.cross.beam import REFITS, Beam, Cross, Stopped, added, label
from easyrec.tune.cross.buckets import bucket_number, coded, edges_of, words_of
from easyrec.tune.cross.cardinality import buckets_for, collisions, occupied, words_behind
from easyrec.tune.cross.codes import Codes, Term
from easyrec.tune.cross.column import Column
from easyrec.tune.cross.probe import Gain, auc_of, compared, fitted, gain_of
from easyrec.tune.cross.proposal import Proposal
from easyrec.tune.cross.rows import Searched
from easyrec.tune.cross.time_check import TimeCheck
from feature_generator.features import MULTIVAL

logger = logging.getLogger("easyrec.tune")

TOLD = 40
"""Crosses without gain that are listed: the best ones."""
HALF = 0.5
"""Share of a table that has to be spared before a smaller one is proposed."""
CROSSES_UNTIL = 0.75
"""Share of the time after which no further cross is searched, so that aggregates have theirs."""


class CrossSearch:
    """A search.

    Args:
        searched: The rows.
        state: What an earlier process has done, as `state` holds it.
        keep: Keeps a file of a name and a text, and gives its path.
        told: Called after every step, whose work is kept from then on.
        stopped: Whether a signal came.
        spent: Seconds that earlier processes took.

    Attributes:
        state: What is done, as JSON holds it: `time_check`, `columns`, `sets` of crosses, `aggregates`, `hashing`.
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
        self.until = self.config.minutes * 60
        self.unfinished = ""
        self.columns = dict(searched.columns)
        self.base = Additive.of(searched.labels, searched.fit, searched.weight, searched.base)
        self.model = self.base
        self.beam: Beam | None = None
        self.proposals: list[Proposal] = []
        self._edges: dict[str, list[float]] = {}

    @property
    def seconds(self) -> float:
        """Seconds that the search has taken, interruptions left out."""
        return self.spent + time.monotonic() - self.began

    def check(self, share: float = 1.0) -> None:
        """Raise `Stopped` where a signal came or the time is over."""
        if self.stopped():
            self.unfinished = "interrupted"
            raise Stopped
        if self.seconds > self.until * share:
            self.unfinished = f"the {self.config.minutes:g} minutes were over"
            raise Stopped

    def run(self) -> None:
        """All stages; ends early where the time is over, or a signal came."""
        try:
            for stage in (self._time_check, self._columns, self._crosses, self._aggregates, self._hashing):
                try:
                    stage()
                except Stopped:
                    if self.unfinished == "interrupted" or self.seconds > self.until:
                        raise
                self.told()
        except Stopped:
            self.told()

    # ------------------------------------------------------------------------------------- the time check

    def _time_check(self) -> None:
        """Drop the columns that look ahead, also from the model that crosses are compared beside."""
        rules = self.config.time_check
        if not rules:
            return
        done: dict[str, list[str]] = self.state.setdefault("time_check", {})
        checker: TimeCheck | None = None
        for column in list(self.columns.values()):
            if column.name not in done:
                self.check()
                checker = checker or self._checker(rules)
                verdict = checker.verdict(column)
                done[column.name] = [verdict.test, verdict.reason]
            test, reason = done[column.name]
            if not test:
                continue
            del self.columns[column.name]
            if column.feature is not None and column.feature in self.base.fields:
                self.base.remove(column.feature)
                self.base.refit(REFITS)
                reason += f"; the config's own feature '{column.feature}' reads it: leave it out"
                logger.warning("'%s' looks ahead of its row's event: %s", column.source, reason)
            self.proposals.append(Proposal("column", column.name, (column.name,), reason=f"time check: {reason}"))

    def _checker(self, rules: TimeCheckConfig) -> TimeCheck:
        after = {column: at for column, at in rules.available_at.items() if not isinstance(at, str)}
        checker = TimeCheck(self.searched, rules.keys, rules.trust, after)
        if self.searched.time is None:
            logger.warning("data.event_time is not set: columns are not checked for what they know of the future")
        elif not checker.followed:
            logger.warning("no column of ids has rows enough of each: columns are not followed through time")
        return checker

    # ------------------------------------------------------------------------- single columns and boundaries

    def _columns(self) -> None:
        """Columns that no feature reads yet, and numbers in buckets by the label, one after another by their gain."""
        candidates = dict(self._single())
        gains = {name: self._alone(term, over) for name, (_, term, over) in candidates.items()}
        done: dict[str, Any] = self.state.setdefault("columns", {})
        self.model = self.base.copy()
        for name in sorted(gains, key=lambda name: -gains[name].value):
            proposal, term, over = candidates[name]
            gain = gains[name]
            if name in done:
                self.proposals.append(Proposal.of(done[name]))
                if self.proposals[-1].accepted:
                    self._take(name, term, over)
                continue
            self.check()
            before = self.model
            if self._enough(gain):
                self.model = before.copy()
                self._take(name, term, over)
                gain = added(before, self.model, self.searched.judge)
                proposal = self._judged(proposal.measured(gain, self._on_valid(before, self.model)))
                self.model = self.model if proposal.accepted else before
            else:
                proposal = proposal.measured(gain).rejected(self._too_little(gain))
            self.proposals.append(proposal)
            done[name] = proposal.plain()
            self.told()

    def _single(self) -> Any:
        """Candidates: name, proposal, term, and the field whose place it takes."""
        searched, rules = self.searched, self.config.boundaries
        for column in self.columns.values():
            if column.kind == "words":
                if column.feature is None:
                    words = searched.words[column.name]
                    size = self._buckets(searched.distinct[column.name])
                    feature = {"type": "id", "name": column.name, "expression": column.source, "hash_bucket_size": size}
                    yield (
                        column.name,
                        (Proposal("column", column.name, (column.name,), features=(feature,)), words, None),
                    )
                continue
            if not rules:
                continue
            edges = self._boundaries(column, rules)
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
        own = self._own(column.feature)
        if own.get("boundaries") and not own.get("normalizer") and not own.get("fit"):
            return {**own, "boundaries": edges}
        return {"type": "raw", "name": f"{column.name}_buckets", "expression": column.source, "boundaries": edges}

    def _own(self, name: str | None) -> dict[str, Any]:
        """A feature of the config, as it is written."""
        listed = self.searched.experiment.features.raw["features"]
        return next((dict(feature) for feature in listed if feature.get("name") == name), {})

    def _boundaries(self, column: Column, rules: BoundariesConfig) -> list[float]:
        if column.name not in self._edges:
            fit = self.searched.fit
            numbers = self.searched.numbers[column.name]
            self._edges[column.name] = edges_of(numbers[fit], self.searched.labels[fit], rules)
        return self._edges[column.name]

    def _alone(self, term: Term, over: str | None) -> Gain:
        """What a term gains over the model, in the place of a field where one is named."""
        model = self.base
        if over is None:
            weights = fitted(term.slice(self.searched.fit), model.rows(self.searched.fit))
            return gain_of(term.slice(self.searched.judge), weights, model.rows(self.searched.judge))
        without = model.copy()
        without.remove(over)
        weights = fitted(term.slice(self.searched.fit), without.rows(self.searched.fit))
        logit = without.logit[self.searched.judge] + term.slice(self.searched.judge).sums(weights)
        return compared(model.rows(self.searched.judge), logit - model.logit[self.searched.judge])

    def _take(self, name: str, term: Term, over: str | None) -> None:
        if over is not None:
            self.model.remove(over)
        self.model.add(over or name, term)
        self.model.refit(REFITS)

    # --------------------------------------------------------------------------------------------- crosses

    def _crosses(self) -> None:
        """The beam search, level by level, and the proposals of its best set."""
        if not isinstance(self.config.crosses, CrossesConfig):
            return
        columns = {column.name: self._crossed(column) for column in self.columns.values()}
        ahead = lambda: self.check(CROSSES_UNTIL)  # noqa: E731 (a check with its share)
        self.beam = Beam(columns, self.model, self.searched.judge, self.config, ahead)
        state = self.state.setdefault("crosses", {"sets": [], "done": False, "probed": 0})
        if state["sets"]:
            self.beam.replay(state["sets"])
        try:
            if not state["done"]:
                for level in self.beam.levels():
                    state |= {"sets": self.beam.told(), "probed": state["probed"] + self.beam.probed}
                    self.beam.probed = 0
                    best = self.beam.best
                    logger.info(
                        "%d crosses: %s; loss %.6f (%.0f s)",
                        len(level[0].crosses), ", ".join(map(label, best.crosses)), best.loss, self.seconds,
                    )  # fmt: skip
                    self.told()
                state["done"] = True
        finally:
            self._propose_crosses(self.beam)

    def _crossed(self, column: Column) -> Codes:
        """A column as crosses take it: words, numbers of which there are few, or their buckets."""
        if column.kind == "words":
            return self.searched.words[column.name]
        numbers = self.searched.numbers[column.name]
        words = words_of(numbers)
        if words is not None:
            return words
        rules = self.config.boundaries or BoundariesConfig()
        return coded(numbers, self._boundaries(column, rules))

    def crossed_words(self, name: str) -> tuple[Codes, list[str]]:
        """A column as crosses take it, and what its codes from 1 on are called."""
        column = self.columns[name]
        codes = self._crossed(column)
        if column.kind == "words":
            return codes, [str(word) for word in self.searched.dictionary[name].to_pylist()]
        numbers = self.searched.numbers[name]
        if words_of(numbers) is not None:
            return codes, [f"{value:g}" for value in np.unique(numbers[np.isfinite(numbers)])]
        edges = self._edges[name]
        return codes, [f"< {edge:.4g}" for edge in edges] + [f">= {edges[-1]:.4g}" if edges else "any"]

    @property
    def accepted(self) -> list[Proposal]:
        """What is accepted so far, also while crosses are searched."""
        found = list(self.proposals)
        if self.beam is not None and not any(proposal.kind == "cross" for proposal in found):
            found += self._of_best(self.beam)[0]
        return [proposal for proposal in found if proposal.accepted]

    @property
    def settled(self) -> list[Proposal]:
        """All proposals, the accepted ones first, then by their gain."""
        return sorted(
            self.proposals, key=lambda p: (not p.accepted, 0.0 if p.accepted or np.isnan(p.gain) else -p.gain)
        )

    def _propose_crosses(self, beam: Beam) -> None:
        found, self.model = self._of_best(beam)
        taken = {proposal.reads for proposal in found}
        root = beam.nodes[0]
        alone = sorted(root.known.items(), key=lambda pair: -pair[1].value)
        for cross, gain in [pair for pair in alone if pair[0] not in taken][:TOLD]:
            proposal = self._cross(cross, beam).measured(gain)
            last = beam.best.known.get(cross, gain)
            why = self._too_little(gain)
            if self._enough(gain):
                why = f"gains {gain.value:.6f} alone, but {last.value:.6f} beside the crosses that were taken"
            found.append(proposal.rejected(why))
        self.proposals += found

    def _of_best(self, beam: Beam) -> tuple[list[Proposal], Additive]:
        """The crosses of the best set, each with its gain beside those before it, and the model of those that hold."""
        best = beam.best
        path = [best]
        while path[-1].parent is not None:
            path.append(beam.nodes[path[-1].parent])
        path.reverse()
        found, model = [], beam.nodes[0].model
        for parent, node in zip(path, path[1:], strict=False):
            cross, after = node.crosses[-1], node.model
            if model is not parent.model:  # a cross before this one was dropped
                after = model.copy()
                after.add(label(cross), beam.codes(cross))
                after.refit(REFITS)
            gain, valid = added(model, after, self.searched.judge), self._on_valid(model, after)
            proposal = self._judged(self._cross(cross, beam).measured(gain, valid), searched=True)
            if proposal.accepted:
                model = after
            found.append(proposal)
        return found, model

    def _cross(self, cross: Cross, beam: Beam) -> Proposal:
        """The proposal of a cross, with its table as large as the combinations need that there are."""
        codes = beam.codes(cross)
        train = codes.slice(self.searched.train)
        known = train.distinct
        distinct = words_behind(known, codes.size - 1) if known < codes.size - 1 else float(known)
        size = self._buckets(distinct)
        features, sources = [], []
        for name in cross:
            column = self.columns[name]
            if column.kind == "words" or words_of(self.searched.numbers[name]) is not None:
                sources.append(column.source)
                continue
            helper = bucket_number(f"{name}_bucket", column.source, self._edges[name])
            features.append(helper)
            sources.append(f"feature:{helper['name']}")
        feature: dict[str, Any] = {
            "type": "combo",
            "name": self._free(label(cross), sources),
            "expression": sources,
            "hash_bucket_size": size,
        }
        separators = {self.columns[name].separator for name in cross} - {MULTIVAL}
        if separators:
            feature["separator"] = separators.pop()
        if (dim := self._dim(cross)) is not None:
            feature["embedding_dim"] = dim
        reason = f"about {distinct:,.0f} combinations, of which {collisions(distinct, size):.0%} share a row"
        return Proposal(
            "cross", str(feature["name"]), cross, "accepted", reason, features=(*features, feature), rows=size
        )

    def _free(self, name: str, sources: list[str]) -> str:
        """A name that no other feature has; that of the same cross where the config has it already."""
        listed = {feature.get("name"): feature for feature in self.searched.experiment.features.raw["features"]}
        for own, feature in listed.items():
            if feature.get("type") == "combo" and sorted(feature.get("expression", [])) == sorted(sources):
                return str(own)
        free, number = name, 2
        while free in listed:
            free, number = f"{name}_{number}", number + 1
        return free

    def _dim(self, cross: Cross) -> int | None:
        """Width of the embedding: the model's, or as wide as those of the columns where each has its own."""
        if getattr(self.searched.experiment.model, "embedding_dim", None) is not None:
            return None
        dims = [self.columns[name].embedding_dim for name in cross]
        return max((dim for dim in dims if dim is not None), default=None)

    def _buckets(self, distinct: float) -> int:
        rules = self.config.hashing or HashingConfig()
        return buckets_for(distinct, rules.max_collisions, rules.max_buckets)

    # ------------------------------------------------------------------------------------------ aggregates

    def _aggregates(self) -> None:
        """Counts and rates, one after another by what they gain beside all that was taken."""
        rules = self.config.aggregates
        if not isinstance(rules, AggregatesConfig):
            return
        state = self.state.setdefault("aggregates", {"taken": [], "done": None})
        if self.searched.time is None or self.searched.time_column is None:
            logger.info("no aggregates: data.event_time must name a column of numbers, which requests may hold too")
            return
        tables = Tables(self.searched, rules)
        for taken in state["taken"]:
            proposal = Proposal.of(taken)
            self.proposals.append(proposal)
            codes, _ = tables.bucketed(_aggregate(taken))
            self.model.add(proposal.name, codes)
            self.model.refit(REFITS)
        if state["done"] is not None:
            self.proposals += [Proposal.of(plain) for plain in state["done"]]
            return
        wanted = [one for one in tables.wanted() if set(one.keys) <= set(self.columns)]
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
                self.proposals.append(proposal)
                self.told()
            else:
                rejected.append(proposal)
        for one, gain in sorted(left.items(), key=lambda pair: -pair[1].value):
            if np.isfinite(gain.value):
                told = Proposal("aggregate", one.name, one.keys).measured(gain)
                rejected.append(
                    told.rejected(self._too_little(gain) if not self._enough(gain) else "enough were taken")
                )
        state["done"] = [proposal.plain() for proposal in rejected]
        self.proposals += rejected

    def _best_aggregate(self, tables: Tables, left: dict[Aggregate, Gain]) -> Aggregate | None:
        """The one that gains most beside the model; those that gained less before than another does now are not asked."""
        best: Aggregate | None = None
        before = self.model.rows(self.searched.fit), self.model.rows(self.searched.judge)
        for one in sorted(left, key=lambda one: (-left[one].value, one.keys)):
            if best is not None and left[one].value <= left[best].value:
                continue
            self.check()
            codes, _ = tables.bucketed(one)
            weights = fitted(codes.slice(self.searched.fit), before[0])
            left[one] = gain_of(codes.slice(self.searched.judge), weights, before[1])
            if self._enough(left[one]) and (best is None or left[one].value > left[best].value):
                best = one
        return best

    def _aggregate(self, tables: Tables, one: Aggregate, gain: Gain) -> Proposal:
        codes, edges = tables.bucketed(one)
        proposal = Proposal("aggregate", one.name, one.keys, rows=len(edges) + 2).measured(gain)
        found = tables.entries(one, edges)
        if found is None:
            return proposal.rejected("its table would have more entries than aggregates.max_entries")
        after = self.model.copy()
        after.add(one.name, codes)
        after.refit(REFITS)
        valid = self._on_valid(self.model, after)
        proposal = self._judged(proposal.measured(added(self.model, after, self.searched.judge), valid))
        if not proposal.accepted:
            return proposal
        self.model = after
        file = self.keep(f"{one.name}.txt", table_text(*found))
        features = tables.features(one, self.columns, file, self._dim(one.keys))
        why = f"a table of {len(found[0]):,} entries, as of the newest row: export it anew for newer ones"
        return replace(proposal, features=tuple(features), entries=len(found[0]), reason=why)

    # ---------------------------------------------------------------------------------------- hash sizes

    def _hashing(self) -> None:
        """Tables of hashed words that are too small, or larger than they need to be."""
        rules = self.config.hashing
        if not isinstance(rules, HashingConfig):
            return
        done: dict[str, Any] = self.state.setdefault("hashing", {})
        for name, feature in self._hashed():
            if name not in done:
                self.check()
                done[name] = self._resized(name, feature, rules)
            if done[name] is not None:
                self.proposals.append(Proposal.of(done[name]))

    def _hashed(self) -> Any:
        """Features of the config whose words are hashed, and whose table nobody shares."""
        listed = self.searched.experiment.features.raw["features"]
        shared = [feature.get("embedding_name") for feature in listed]
        changed = {f["name"] for p in self.proposals if p.accepted for f in p.features}
        for feature in listed:
            name = feature.get("name")
            alone = shared.count(name) == 0 and feature.get("embedding_name") is None
            if feature.get("hash_bucket_size") and alone and name in self.searched.base and name not in changed:
                yield name, feature

    def _resized(self, name: str, feature: Mapping[str, Any], rules: HashingConfig) -> dict[str, Any] | None:
        old = int(feature["hash_bucket_size"])
        column = next((c for c in self.columns.values() if c.feature == name), None)
        term = self.searched.base[name]
        if not isinstance(term, Codes):
            return None
        if column is not None and column.name in self.searched.distinct:
            words = self.searched.distinct[column.name]
        else:
            words = words_behind(occupied(term.slice(self.searched.train).values), old)
        size = buckets_for(words, rules.max_collisions, rules.max_buckets)
        share = collisions(words, old)
        if not (share > rules.max_collisions and size > old) and size > HALF * old:
            return None
        told = f"about {words:,.0f} words in {old:,} rows, of which {share:.0%} share one; {size:,} would let {collisions(words, size):.0%}"
        proposal = Proposal("hash_size", name, (name,), features=({**feature, "hash_bucket_size": size},), rows=size)
        source = self.searched.words[column.name] if column is not None else term
        resized = _hashed_codes(source, size)
        gain = self._replaced(name, resized)
        proposal = proposal.measured(gain)
        holds = gain.value > -max(self.config.min_gain, 2 * gain.error) if size < old else self._enough(gain)
        taken = proposal.taken(told) if holds else proposal.rejected(f"{told}; {self._too_little(gain)}")
        return taken.plain()

    def _replaced(self, name: str, term: Codes) -> Gain:
        """What it gains to have another table in the place of a field, among the features of the config."""
        without = self.base.copy()
        without.remove(name)
        both = []
        for codes in (self.searched.base[name], term):
            model = without.copy()
            model.add(name, codes)
            model.refit(REFITS)
            both.append(model)
        return added(both[0], both[1], self.searched.judge)

    # ------------------------------------------------------------------------------------------- judgement

    def _enough(self, gain: Gain) -> bool:
        return gain.value >= self.config.min_gain and gain.z >= self.config.min_z

    def _too_little(self, gain: Gain) -> str:
        if gain.value < self.config.min_gain:
            return f"gains less than min_gain, {self.config.min_gain:g}"
        return f"gains {gain.z:.1f} standard errors, less than min_z, {self.config.min_z:g}"

    def _on_valid(self, before: Additive, after: Additive) -> Gain | None:
        span = self.searched.valid
        return compared(before.rows(span), after.logit[span] - before.logit[span]) if span.stop > span.start else None

    def _judged(self, proposal: Proposal, *, searched: bool = False) -> Proposal:
        """Accepted, where the gain is enough and `valid`, which no search has seen, does not speak against it."""
        gain = Gain(proposal.gain, proposal.error)
        if not searched and not self._enough(gain):
            return proposal.rejected(self._too_little(gain))
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


def _aggregate(plain: Mapping[str, Any]) -> Aggregate:
    of = plain["of"]
    return Aggregate(tuple(of["keys"]), of["window"], of["measure"])


def _hashed_codes(codes: Codes, size: int) -> Codes:
    """The codes as a table of so many rows would hold them: each at a place of chance."""
    places = np.random.default_rng(size).integers(1, size + 1, codes.size)
    places[0] = 0
    return Codes(places[codes.values].astype(np.int32), size + 1, codes.offsets)
