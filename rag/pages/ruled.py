"""Tables between rules: cells, merged ones too, by the lines around them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from rag.pages.page import Box, Page, Span, joined, line_text, rows_of

NEAR = 3.0
"""Points that rules may be apart that meet."""
COVERED = 0.6
"""Share of a cell's side that a rule has at least."""


@dataclass
class Ruled:
    """A table.

    Attributes:
        box: Where it stands.
        cells: Its texts, by row and column.
        header: How many rows of it are header.
        edges: Where its columns begin and end.
    """

    box: Box
    cells: list[list[str]]
    header: int
    edges: list[float]


def tables_of(page: Page) -> tuple[list[Ruled], list[Span]]:
    """The tables of a page, and the spans that are in none."""
    found: list[Ruled] = []
    spans = page.spans
    for group in _groups(page.rules):
        level = [rule for rule in group if rule.width >= rule.height]
        upright = [rule for rule in group if rule.width < rule.height]
        xs = _places([(rule.left + rule.right) / 2 for rule in upright])
        ys = _places([(rule.top + rule.bottom) / 2 for rule in level])
        if len(xs) < 2 or len(ys) < 2 or len(xs) * len(ys) < 6:
            continue
        box = Box(xs[0], ys[0], xs[-1], ys[-1])
        inside = [span for span in spans if box.holds(span)]
        if not inside:
            continue
        spans = [span for span in spans if not box.holds(span)]
        cells, header = filled(xs, ys, level, upright, inside)
        if any(any(row) for row in cells):
            found.append(Ruled(box, cells, header, xs))
    return found, spans


def _groups(rules: list[Box]) -> list[list[Box]]:
    """Rules that meet, directly or by others."""
    left = list(rules)
    groups: list[list[Box]] = []
    while left:
        group = [left.pop()]
        todo = [group[0]]
        while todo:
            rule = todo.pop()
            touching = [other for other in left if _meet(rule, other)]
            if touching:
                kept = {id(other) for other in touching}
                left = [other for other in left if id(other) not in kept]
                group += touching
                todo += touching
        groups.append(group)
    return sorted(groups, key=lambda group: min(rule.top for rule in group))


def _meet(a: Box, b: Box) -> bool:
    return (
        a.left - NEAR <= b.right and b.left - NEAR <= a.right and a.top - NEAR <= b.bottom and b.top - NEAR <= a.bottom
    )


def _places(values: list[float]) -> list[float]:
    """Values that differ by more than rules that meet."""
    found: list[list[float]] = []
    for value in sorted(values):
        if found and value - found[-1][-1] <= NEAR:
            found[-1].append(value)
        else:
            found.append([value])
    return [sum(group) / len(group) for group in found]


def filled(
    xs: list[float], ys: list[float], level: list[Box], upright: list[Box], spans: list[Span]
) -> tuple[list[list[str]], int]:
    """Texts by row and column, and how many rows are header. Cells without a rule between them are one."""
    rows, columns = len(ys) - 1, len(xs) - 1
    owner = {(row, column): (row, column) for row in range(rows) for column in range(columns)}

    def root(cell: tuple[int, int]) -> tuple[int, int]:
        while owner[cell] != cell:
            cell = owner[cell]
        return cell

    for row in range(rows):
        for column in range(columns):
            if column + 1 < columns and not _covered(upright, xs[column + 1], ys[row], ys[row + 1], upright=True):
                owner[root((row, column + 1))] = root((row, column))
            if row + 1 < rows and not _covered(level, ys[row + 1], xs[column], xs[column + 1], upright=False):
                owner[root((row + 1, column))] = root((row, column))
    held: dict[tuple[int, int], list[Span]] = {}
    for span in (part for whole in spans for part in split(whole, xs)):
        x, y = (span.left + span.right) / 2, (span.top + span.bottom) / 2
        column = min(max(sum(x >= edge for edge in xs) - 1, 0), columns - 1)
        row = min(max(sum(y >= edge for edge in ys) - 1, 0), rows - 1)
        held.setdefault(root((row, column)), []).append(span)
    texts = {cell: joined([line_text(line) for line in rows_of(inside)]) for cell, inside in held.items()}
    cells = [[texts.get(root((row, column)), "") for column in range(columns)] for row in range(rows)]
    first = {root((0, column)) for column in range(columns)}
    deep = max(row for row, column in owner if root((row, column)) in first) + 1
    wide = any(sum(root((0, column)) == cell for column in range(columns)) > 1 for cell in first) and columns > 1
    header = max(deep, 2 if wide and deep < 2 and rows > 2 else 1)
    return cells, header if header < rows else 1


def _covered(rules: list[Box], at: float, start: float, end: float, *, upright: bool) -> bool:
    """Whether there is a rule along most of a side."""
    length = 0.0
    for rule in rules:
        place = (rule.left + rule.right) / 2 if upright else (rule.top + rule.bottom) / 2
        if abs(place - at) <= NEAR:
            low, high = (rule.top, rule.bottom) if upright else (rule.left, rule.right)
            length += max(0.0, min(high, end) - max(low, start))
    return length >= COVERED * (end - start)


def split(span: Span, edges: list[float]) -> list[Span]:
    """A span in parts, where it goes over a rule."""
    inside = [edge for edge in edges if span.left + 1 < edge < span.right - 1]
    if not inside:
        return [span]
    found: list[Span] = []
    start = 0
    for edge in [*inside, span.right + 1]:
        end = next((i for i in range(start, len(span.lefts)) if span.lefts[i] >= edge - 0.5), len(span.lefts))
        first, last = start, end
        while first < last and span.text[first] == " ":
            first += 1
        while first < last and span.text[last - 1] == " ":
            last -= 1
        if first < last:
            right = span.lefts[last] if last < len(span.lefts) else span.right
            found.append(
                replace(
                    span, left=span.lefts[first], right=right, text=span.text[first:last], lefts=span.lefts[first:last]
                )
            )
        start = end
    return found
