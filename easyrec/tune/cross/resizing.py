"""The stage of hash sizes: tables of hashed words that are too small, or larger than they need to be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from easyrec.config.cross import HashingConfig
from easyrec.tune.cross.beam import REFITS, added
from easyrec.tune.cross.cardinality import buckets_for, collisions, occupied, words_behind
from easyrec.tune.cross.codes import Codes
from easyrec.tune.cross.probe import Gain
from easyrec.tune.cross.proposal import Proposal
from easyrec.tune.cross.session import Session

SPARED, SPARED_MB = 0.5, 1.0
"""Share of a table, and megabytes, that have to be spared before a smaller one is proposed."""


class Resizing:
    """Measures other sizes of tables.

    Args:
        session: The search.
    """

    def __init__(self, session: Session) -> None:
        self.session = session

    def run(self) -> None:
        """Tables of hashed words that are too small, or larger than they need to be."""
        rules = self.session.config.hashing
        if not isinstance(rules, HashingConfig):
            return
        done: dict[str, Any] = self.session.state.setdefault("hashing", {})
        for name, feature in self._hashed():
            if name not in done:
                self.session.check()
                done[name] = self._resized(name, feature, rules)
            if done[name] is not None:
                self.session.proposals.append(Proposal.of(done[name]))

    def _hashed(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Features of the config whose words are hashed, and whose table nobody shares."""
        listed = self.session.searched.experiment.features.raw["features"]
        shared = [feature.get("embedding_name") for feature in listed]
        changed = {f["name"] for p in self.session.proposals if p.accepted for f in p.features}
        for feature in listed:
            name = feature.get("name")
            alone = shared.count(name) == 0 and feature.get("embedding_name") is None
            if feature.get("hash_bucket_size") and alone and name in self.session.searched.base and name not in changed:
                yield name, feature

    def _resized(self, name: str, feature: Mapping[str, Any], rules: HashingConfig) -> dict[str, Any] | None:
        old = int(feature["hash_bucket_size"])
        column = next((c for c in self.session.columns.values() if c.feature == name), None)
        term = self.session.searched.base[name]
        if not isinstance(term, Codes):
            return None
        if column is not None and column.name in self.session.searched.distinct:
            words = self.session.searched.distinct[column.name]
        else:
            words = words_behind(occupied(term.slice(self.session.searched.train).values), old)
        size = buckets_for(words, rules.max_collisions, rules.max_buckets)
        share = collisions(words, old)
        width = (
            feature.get("embedding_dim") or getattr(self.session.searched.experiment.model, "embedding_dim", None) or 1
        )
        wasteful = size < SPARED * old and (old - size) * width * 4 / 1e6 >= SPARED_MB
        if not (share > rules.max_collisions and size > old) and not wasteful:
            return None
        told = f"about {words:,.0f} words in {old:,} rows, of which {share:.0%} share one; {size:,} would let {collisions(words, size):.0%}"
        proposal = Proposal("hash_size", name, (name,), features=({**feature, "hash_bucket_size": size},), rows=size)
        source = self.session.searched.words[column.name] if column is not None else term
        resized = _hashed_codes(source, size)
        gain = self._replaced(name, resized)
        proposal = proposal.measured(gain)
        holds = (
            gain.value > -max(self.session.config.min_gain, 2 * gain.error) if size < old else self.session.enough(gain)
        )
        taken = proposal.taken(told) if holds else proposal.rejected(f"{told}; {self.session.too_little(gain)}")
        return taken.plain()

    def _replaced(self, name: str, term: Codes) -> Gain:
        """What it gains to have another table in the place of a field, among the features of the config."""
        without = self.session.base.copy()
        without.remove(name)
        both = []
        for codes in (self.session.searched.base[name], term):
            model = without.copy()
            model.add(name, codes)
            model.refit(REFITS)
            both.append(model)
        return added(both[0], both[1], self.session.searched.judge)


def _hashed_codes(codes: Codes, size: int) -> Codes:
    """The codes as a table of so many rows would hold them: each at a place of chance."""
    places = np.random.default_rng(size).integers(1, size + 1, codes.size)
    places[0] = 0
    return Codes(places[codes.values].astype(np.int32), size + 1, codes.offsets)
