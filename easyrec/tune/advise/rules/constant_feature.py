"""`constant_feature`: features that say the same of every row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np

from easyrec.tune.advise.evidence import Evidence
from easyrec.tune.advise.hashing import row_hashes
from easyrec.tune.advise.proposal import Proposal
from easyrec.tune.advise.rules import Need, Rule
from easyrec.tune.advise.seen import Seen
from feature_generator import OutputSpec

LEAST_ROWS = 1000


class ConstantFeature(Rule):
    """A feature has one value, or none, in all rows."""

    needs: ClassVar[Need] = "data"

    def look(self, evidence: Evidence) -> Iterator[Proposal]:
        """See the family's contract."""
        parts = [part for part in (evidence.train, evidence.valid) if part is not None]
        if evidence.train.rows < LEAST_ROWS:
            return
        for output, spec in evidence.used.items():
            known = [_only(part, output) for part in parts]
            if None in known or len(set(known)) != 1:
                continue
            if (getattr(spec.config, "boundaries", None) or getattr(spec.config, "vocabulary_key", "")) and _varies(
                parts, spec
            ):
                continue  # its buckets or its words are what is wrong
            rows = sum(part.rows for part in parts)
            yield Proposal(
                "medium",
                evidence.spots[output].prefix,
                f"{known[0]} in all of {rows:,} rows",
                "it tells no row from another, and is read, made and multiplied all the same",
                "the same quality with less to read and to compute; if values are to come later, leave it in",
                evidence.without(output),
                output,
            )


def _varies(parts: Sequence[Seen], spec: OutputSpec) -> bool:
    """Whether the columns that a feature reads differ between rows."""
    columns = [source.name for source in spec.config.sources if source.name in parts[0].raw.column_names]
    return any(len(np.unique(row_hashes(part.raw.select(columns)))) > 1 for part in parts) if columns else True


def _only(part: Seen, output: str) -> str | None:
    """What a feature says of every row, None where it says this of one and that of another."""
    ids, numbers = part.ids(output), part.numbers(output)
    if numbers is not None:
        same = bool(len(numbers)) and bool((numbers == numbers[0]).all())
        return f"the number {', '.join(f'{x:g}' for x in numbers[0])}" if same else None
    if ids is None:
        return None
    if not len(ids.values):
        return "no value"
    once = len(ids.values) == part.rows and len(np.unique(ids.rows)) == part.rows
    return f"one value ({ids.distinct[0]})" if len(ids.distinct) == 1 and once else None
