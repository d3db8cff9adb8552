"""`slow_reading`: steps that wait for rows to be read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from easyrec.tune.advise.evidence import Evidence
from easyrec.tune.advise.proposal import Proposal
from easyrec.tune.advise.rules import Need, Rule

WAITING = 0.25
"""Share of the time from which on it is told."""
AHEAD = 32


class SlowReading(Rule):
    """Training waits for the source of its rows."""

    needs: ClassVar[Need] = "profile"

    def look(self, evidence: Evidence) -> Iterator[Proposal]:
        """See the family's contract."""
        profile, data = evidence.profile or {}, evidence.experiment.data
        waited, reader = profile["parts"].get("waiting for data", 0.0), profile["reader"]
        share = waited / profile["seconds"]
        if share < WAITING or reader["reading"] < max(reader["features"], reader["batches"], waited / 2):
            return
        kind, steps = data.train.type if data.train is not None else "frame", profile["steps"]
        better = "" if kind in ("parquet", "frame", "synthetic") else f"; parquet is read many times faster than {kind}"
        yield Proposal(
            "medium",
            "data.prefetch",
            f"{share:.0%} of {steps} steps was spent waiting for data; the reader spent {1000 * reader['reading'] / steps:.1f} ms a step "
            f"on reading, {1000 * reader['features'] / steps:.1f} ms on features",
            f"the model stands still while {kind} is read",
            "more batches ahead even out a source that stalls now and then; one that is slower in all needs a faster disk or format, or "
            f"features written once (easyrec fg run, data.fg: encoded){better}",
            {"data.prefetch": AHEAD} if data.prefetch < AHEAD else {},
        )
