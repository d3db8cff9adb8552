"""`mixed_times`: a `valid` that is no later than `train`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from easyrec.tune.advise.evidence import Evidence
from easyrec.tune.advise.proposal import Proposal
from easyrec.tune.advise.rules import Need, Rule

INSIDE = 0.5
"""Share of valid's rows before the end of train from which on it is told."""


class MixedTimes(Rule):
    """`valid` is drawn from the time of `train`, not from after it."""

    needs: ClassVar[Need] = "data"

    def look(self, evidence: Evidence) -> Iterator[Proposal]:
        """See the family's contract."""
        train, valid, data = evidence.train, evidence.valid, evidence.experiment.data
        if valid is None or train.times is None or valid.times is None:
            return
        ours, theirs = train.times[np.isfinite(train.times)], valid.times[np.isfinite(valid.times)]
        if not len(ours) or not len(theirs) or ours.min() == ours.max():
            return
        inside = float((theirs < np.quantile(ours, 0.99)).mean())
        if inside < INSIDE or theirs.max() < ours.min():
            return
        first = _moment(float(np.quantile(ours, 0.9)), train.raw.schema.field(train.clock).type)
        split = {"by": "time", "column": train.clock, "valid_from": first}
        others = {f"data.{part}": None for part in ("valid", "test") if getattr(data, part) is not None}
        yield Proposal(
            "medium",
            "data.split" if data.split is not None else "data.valid",
            f"{inside:.0%} of the rows of valid are older than the newest of train, by '{train.clock}'",
            "a model that is used tomorrow learns from today; measured on its own time it knows sessions, trends and items that "
            "nobody knows beforehand",
            "metrics fall to what they will be in use, and decisions that they guide become right; by how much only the new split "
            "shows",
            {**others, "data.split": split},
        )


def _moment(value: float, kind: pa.DataType) -> Any:
    """A moment as `valid_from` takes it."""
    if pa.types.is_temporal(kind):
        return datetime.fromtimestamp(value / 1e6, timezone.utc).replace(tzinfo=None, microsecond=0).isoformat()
    return int(value) if pa.types.is_integer(kind) else value
