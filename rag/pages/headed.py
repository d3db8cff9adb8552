"""Tables of which the header alone has a rule: columns by the room that all rows leave, rows to where something else begins."""

from __future__ import annotations

from itertools import pairwise

from rag.pages.page import Box, Page, Span, around, rows_of
from rag.pages.ruled import NEAR, Ruled, filled
from rag.pages.striped import SHAPES, apart, columns_of, header_above, level_lines, whole_rows

FAR = 1.6
"""Of the height of characters, and of the room between the rows above: how far rows are apart at most."""
LEAST = 0.7
"""Of the height of characters: room between rows that is never too much."""
FILLED = 0.75
"""Share of its column that a cell has on average at most; lines of running text below a rule have more."""
RULES = 200
"""Level rules of a page at most: a drawing has more."""
TOGETHER = 0.6
"""Share of the rows that have text in several columns, at least."""


def headed_tables_of(page: Page, spans: list[Span]) -> tuple[list[Ruled], list[Span]]:
    """The tables with a rule under their header alone, and the spans that are in none.

    Args:
        page: Its rules.
        spans: Those of it that are in no other table.
    """
    found: list[Ruled] = []
    if not spans or len(page.rules) + len(page.stripes) > SHAPES:
        return found, spans
    rules = [rule for rule in level_lines(page) if rule.width > 4 * rule.height]
    if len(rules) > RULES:
        return found, spans
    for rule in sorted(rules, key=lambda rule: rule.top):
        made = _table(rule, rules, spans)
        if made is not None:
            spans = [span for span in spans if not made.box.holds(span)]
            found.append(made)
    return found, spans


def _table(rule: Box, rules: list[Box], spans: list[Span]) -> Ruled | None:
    """The table whose header a rule is under; None: there is none."""
    near = [span for span in spans if span.left < rule.right and span.right > rule.left]
    header = header_above(rule, near)
    columns = columns_of([(span.left, span.right) for span in header], header[0].size) if header else []
    if len(columns) < 2:
        return None
    rows, columns = _rows(rule, rules, near, columns)
    if len(rows) < 2:
        return None
    xs = [rule.left, *((a[1] + b[0]) / 2 for a, b in pairwise(columns)), rule.right]
    groups = whole_rows(rows)
    body = [span for row in rows for span in row]
    together = sum(_count(group, columns) > 1 for group in groups)
    if len(groups) < 2 or together < TOGETHER * len(groups) or _fill(rows, xs) > FILLED:
        return None
    tops = [around(group) for group in groups]
    box = Box(rule.left, around(header).top, rule.right, tops[-1].bottom)
    ys = [box.top, rule.top, *((a.bottom + b.top) / 2 for a, b in pairwise(tops)), box.bottom]
    level = [Box(rule.left, y, rule.right, y) for y in ys]
    upright = [Box(x, box.top, x, box.bottom) for x in xs]
    cells, _ = filled(xs, ys, level, upright, [*header, *body])
    if any(not any(row[column] for row in cells) for column in range(len(columns))):
        return None
    return Ruled(box, cells, 1, xs)


def _rows(
    rule: Box, rules: list[Box], spans: list[Span], columns: list[tuple[float, float]]
) -> tuple[list[list[Span]], list[tuple[float, float]]]:
    """Rows below a rule that leave room between columns, and these."""
    below = [span for span in spans if (span.top + span.bottom) / 2 > rule.bottom]
    end = min(
        (other.top for other in rules if other.top > rule.top + NEAR and _meets(other, rule)), default=float("inf")
    )
    found: list[list[Span]] = []
    gaps = [0.0]
    last = rule.bottom
    for row in rows_of([span for span in below if span.top < end]):
        box, size = around(row), max(span.size for span in row)
        gap = box.top - last
        if box.left < rule.left - NEAR or box.right > rule.right + NEAR or gap > FAR * size:
            break
        if len(found) > 1 and gap > FAR * max(*gaps, LEAST * size):
            break
        if found and abs(row[0].type_size - found[0][0].type_size) > 0.1 * size:
            break
        parts = apart(row)
        wider = columns_of([*columns, *((span.left, span.right) for span in parts)], size)
        if len(wider) < len(columns):
            break
        columns = wider
        if found:
            gaps.append(gap)
        found.append(parts)
        last = box.bottom
    return _without_rest(found, columns), columns


def _without_rest(rows: list[list[Span]], columns: list[tuple[float, float]]) -> list[list[Span]]:
    """Rows without lines at their end that stand alone, and further away than rows are from each other."""
    while len(rows) > 2 and _count(rows[-1], columns) == 1:
        gaps = [around(b).top - around(a).bottom for a, b in pairwise(rows)]
        if gaps[-1] <= 1.15 * max(gaps[:-1]) + 0.5:
            break
        rows = rows[:-1]
    return rows


def _meets(a: Box, b: Box) -> bool:
    """Whether rules are above each other."""
    return a.left < b.right and b.left < a.right


def _count(row: list[Span], columns: list[tuple[float, float]]) -> int:
    """How many columns have a text."""
    return sum(any(left - 1 <= span.left and span.right <= right + 1 for span in row) for left, right in columns)


def _fill(rows: list[list[Span]], xs: list[float]) -> float:
    """Share of its column that a line of a cell has on average."""
    shares = [
        sum(span.width for span in own) / (right - left)
        for row in rows
        for left, right in pairwise(xs)
        if (own := [span for span in row if left <= (span.left + span.right) / 2 < right])
    ]
    return sum(shares) / max(len(shares), 1)
