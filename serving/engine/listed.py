"""`Listed`: a list that was made for a request, and what is told of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from serving.engine.merge import Candidates, scratch
from serving.engine.recall import Found
from serving.engine.rows import Ints, Rows

if TYPE_CHECKING:
    from serving.engine.ask import Ask
    from serving.engine.plan import Plan


@dataclass
class Listed:
    """A list.

    Attributes:
        ask: For which request.
        plan: By what it was made.
        candidates: The items, the best first.
        reasons: Why each is there, in words.
        times: Seconds by stage.
        counts: Candidates that went into each stage, and came out.
        degraded: What was left out.
        timeouts: Stages that were not waited for any longer.
    """

    ask: Ask
    plan: Plan
    candidates: Candidates
    reasons: Sequence[str]
    times: Mapping[str, float] = field(default_factory=dict)
    counts: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    degraded: Sequence[str] = ()
    page_start: int = 0

    def answer(self) -> dict[str, Any]:
        """What a client is told, but for how long it took."""
        asked, candidates = self.ask.question, self.candidates
        names = self.plan.names_of_bits
        items = [
            {"item_id": key, "position": position, "score": score, "sources": names(bits), "reason": reason}
            for position, key, score, bits, reason in zip(
                range(self.page_start, self.page_start + len(candidates)),
                self.plan.rows.keys_of(candidates.rows),
                np.nan_to_num(candidates.scores, neginf=0.0, posinf=0.0).tolist(),
                candidates.sources.tolist(),
                self.reasons,
                strict=True,
            )
        ]
        return {
            "request_id": asked.request_id,
            "scene": self.plan.scene.name,
            "items": items,
            "experiments": dict(self.ask.variants),
            "degraded": list(self.degraded),
        }


def reasons_of(
    rows: Ints, found: Sequence[Found], templates: Sequence[str], catalogue: Rows, title: str | None
) -> list[str]:
    """Why each of some items is there: what the source says that knows most of it.

    Args:
        rows: (n,) numbers of items.
        found: What each source gave.
        templates: What each source tells, with `{item}` and `{group}`.
        catalogue: The catalogue.
        title: Its column with what people call an item.
    """
    told = [""] * len(rows)
    best = [0] * len(rows)
    place = scratch("reason", len(catalogue), np.int64)
    for one, template in zip(found, templates, strict=True):
        if not len(one.rows):
            continue
        place[rows] = 0
        place[one.rows] = np.arange(len(one.rows))
        at = place[rows]
        for position in np.flatnonzero(one.rows[at] == rows).tolist():
            where = int(at[position])
            known = 1 + (one.because is not None) + (one.groups is not None)
            if known <= best[position]:
                continue
            text = template
            if "{item}" in text:
                cause = -1 if one.because is None else int(one.because[where])
                text = text.replace("{item}", _title(catalogue, title, cause) if cause >= 0 else "something like it")
            if "{group}" in text:
                group = None if one.groups is None or one.names is None else one.names[int(one.groups[where])]
                text = text.replace("{group}", str(group) if group is not None else "what you like")
            told[position], best[position] = text, known
    return told


def _title(catalogue: Rows, column: str | None, row: int) -> str:
    value = catalogue.table.column(column)[row].as_py() if column is not None else None
    return str(catalogue.key_of(row) if value is None else value)[:200]
