"""`slow_features`: steps that wait for features to be made."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from easyrec.processors import num_processors
from easyrec.tune.advise.evidence import Evidence
from easyrec.tune.advise.proposal import Proposal
from easyrec.tune.advise.rules import Need, Rule
from feature_generator.profiling import profile as profile_features

WAITING = 0.25
"""Share of the time from which on it is told."""
SHOWN, ROWS = 3, 4096
"""Features that are named, and rows that their cost is measured on."""


class SlowFeatures(Rule):
    """Training waits for the FeatureGenerator."""

    needs: ClassVar[Need] = "profile"

    def look(self, evidence: Evidence) -> Iterator[Proposal]:
        """See the family's contract."""
        profile, data = evidence.profile or {}, evidence.experiment.data
        waited, reader, steps = profile["parts"].get("waiting for data", 0.0), profile["reader"], profile["steps"]
        share = waited / profile["seconds"]
        if share < WAITING or reader["features"] <= max(reader["reading"], reader["batches"], waited / 2):
            return
        threads = max(2, num_processors() // 2)
        settings: dict[str, Any] = {"data.threads": threads} if data.threads < threads else {}
        yield Proposal(
            "medium",
            "data.threads",
            f"{share:.0%} of {steps} steps was spent waiting for data; the reader spent {1000 * reader['features'] / steps:.1f} ms a step "
            f"on features, {1000 * reader['reading'] / steps:.1f} ms on reading{_dearest(evidence)}",
            "the model stands still while features are made, anew in every epoch",
            "features take up to so many times less where processors are idle; with more epochs than one, features written once (easyrec "
            "fg run) and data.fg: encoded save all of it",
            settings,
        )


def _dearest(evidence: Evidence) -> str:
    """The features that cost most, where there are rows to measure on."""
    generator, part = evidence.experiment.generator, evidence.parts.get("train")
    if part is None or generator.mode == "encoded" or any(name not in part.table for name in generator.outputs):
        return ""
    columns = [
        name
        for name in part.raw.column_names
        if name in generator.inputs or any(i.startswith(f"{name}__") for i in generator.inputs)
    ]
    batch = part.raw.select(columns).slice(0, ROWS).combine_chunks().to_batches()[0]
    costs = sorted(profile_features(generator, [batch], rounds=1)[0], key=lambda cost: -cost.micros)[:SHOWN]
    return "; the dearest: " + ", ".join(f"{cost.feature} {cost.share:.0%}" for cost in costs)
