"""Marks of lists, and the lines that they stand before."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from dataclasses import replace

from rag.pages.page import Span

LONE = re.compile(
    r"[\u2022\u25cf\u25e6\u25aa\u2023\u2043\u00b7\uf0b7\u25a0\u25cb*\u2013-]|\(?(?:\d{1,3}|[a-z])[.)]", re.IGNORECASE
)
"""Marks of lists that stand by themselves."""
MARKED = re.compile(rf"(?:{LONE.pattern})\s", re.IGNORECASE)
"""How lines with such a mark begin."""
BESIDE = 400
"""Spans at one height, at most, among which the line of a mark is looked for."""


def with_marks(spans: list[Span]) -> list[Span]:
    """Spans with marks of lists before what they stand before: room behind a mark divides no columns."""
    gone: set[int] = set()
    found: dict[int, Span] = {}
    ordered = sorted(spans, key=lambda span: span.top)
    tops = [span.top for span in ordered]
    for mark in ordered:
        if not LONE.fullmatch(mark.text):
            continue
        # Lines of another column, which stand at other heights, must not come between a mark and its own.
        near = ordered[bisect_left(tops, mark.top - mark.size) : bisect_right(tops, mark.bottom)]
        if len(near) > BESIDE:
            continue
        level = [span for span in near if span.left >= mark.right and _level(mark, span) > 0.5]
        after = min(level, key=lambda span: span.left - _level(mark, span) * mark.size, default=None)
        if after is None:
            continue
        before = [span.right for span in near if span.right <= mark.left and _level(mark, span) > 0.5]
        if before and mark.left - max(before) < after.left - mark.right:
            continue  # the end of a line
        if after.left - mark.right < 4 * after.size and id(after) not in found:
            text = f"{mark.text} {after.text}"
            found[id(after)] = replace(after, left=mark.left, text=text, lefts=[*mark.lefts, mark.right, *after.lefts])
            gone.add(id(mark))
    return [found.get(id(span), span) for span in spans if id(span) not in gone]


def _level(a: Span, b: Span) -> float:
    """Share of the lower one's height at which both are."""
    return (min(a.bottom, b.bottom) - max(a.top, b.top)) / max(min(a.size, b.size), 0.1)
