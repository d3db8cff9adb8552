"""`same_feature`: features that say what another one says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from easyrec.tune.advise.evidence import Evidence
from easyrec.tune.advise.proposal import Proposal
from easyrec.tune.advise.rules import Need, Rule

OFTEN = 5.0
"""Rows per value that it takes to tell: values that come once are one to one with those of any such feature."""


class SameFeature(Rule):
    """Two features are the same but for the names of their values."""

    needs: ClassVar[Need] = "data"

    def look(self, evidence: Evidence) -> Iterator[Proposal]:
        """See the family's contract."""
        part = evidence.train
        known: dict[tuple[int, bytes], str] = {}
        for output, spec in evidence.used.items():
            ids = part.ids(output)
            if (
                ids is None
                or spec.sequence is not None
                or len(ids.values) != part.rows
                or len(np.unique(ids.rows)) != part.rows
            ):
                continue
            if len(ids.distinct) < 2 or part.rows < OFTEN * len(ids.distinct):
                continue
            _, first, index = np.unique(ids.values, return_index=True, return_inverse=True)
            places = np.argsort(np.argsort(first))[index]  # values numbered in the order in which they come
            key = len(ids.distinct), places.tobytes()
            other = known.setdefault(key, output)
            if other == output:
                continue
            yield Proposal(
                "low",
                evidence.spots[output].prefix,
                f"'{output}' and '{other}' go with each other one to one in all of {part.rows:,} rows, {len(ids.distinct):,} values "
                "each",
                "the second one adds weights and time, and nothing to know",
                "the same quality within what another seed changes, and a field less to compute",
                evidence.without(output),
                output,
            )
