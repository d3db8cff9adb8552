"""Tables with level rules, or stripes, and no upright ones: rows by them, columns by the room that all rows leave."""

from __future__ import annotations

from itertools import pairwise

from rag.pages.page import Box, Page, Span, around, rows_of
from rag.pages.regions import FULL
from rag.pages.ruled import NEAR, Ruled, filled, split

BANDS = 4
"""Level rules from which on each row has its own; fewer stand above and below the header, and at the end."""
TOGETHER = 0.7
"""Share of the rows that have text in several columns, at least."""
ROOM = 0.5
"""Of the height of characters: free room between columns, at least; spaces have less."""
CLOSE = 0.4
"""Of the height of characters: how far lines of a cell are apart at most."""
LINES = 0.3
"""Of the height of characters: by how much rows are further apart than lines of a cell."""
FAR = 1.8
"""Of the height of characters: how far rows without rules between them are apart at most."""
HEAD = 0.6
"""Of all rows of a table, that its header is high at most, where three rules are all that it has."""
ABOVE = 0.9
"""Of the height of characters: how far the header stands above its rule at most."""
HEADER = 4
"""Lines of a header at most."""
SHAPES = 3000
"""Rules and stripes of a page, at most: a drawing has more."""
TALLEST = 0.25
"""Of a page, that a row has at most where rows are told by their rules."""


def striped_tables_of(page: Page, spans: list[Span]) -> tuple[list[Ruled], list[Span]]:
    """The tables between level rules alone, and the spans that are in none.

    Args:
        page: Its rules and stripes.
        spans: Those of it that are in no other table.
    """
    found: list[Ruled] = []
    if not spans or len(page.rules) + len(page.stripes) > SHAPES:
        return found, spans
    level = level_lines(page)
    seen: list[Box] = []
    stacks = [part for stack in _stacks(level) for part in _tables(stack, level, spans)]
    for group in sorted(stacks, key=lambda group: group[0].left - group[0].right):  # the widest first
        box = Box(group[0].left, group[0].top, group[0].right, group[-1].bottom)
        if any(_within(box, other) for other in seen):  # rules of some columns
            continue
        seen.append(box)
        if len(group) == 2 and _has_header(group[0], spans):  # the second one may be that of another table
            continue
        inside = [span for span in spans if box.holds(span)]
        made = _table(page, box, [rule for rule in level if _within(rule, box)], inside)
        if made is not None:
            taken = {id(span) for span in inside}
            spans = [span for span in spans if id(span) not in taken]
            found.append(made)
    return sorted(found, key=lambda table: table.box.top), spans


def level_lines(page: Page) -> list[Box]:
    """Level rules, those of cells beside each other as one, and the edges of stripes."""
    upright = [rule for rule in page.rules if rule.width < rule.height]
    rules = [rule for rule in page.rules if rule.width >= rule.height]
    rules = [rule for rule in rules if not any(_crosses(rule, other) for other in upright)]
    stripes = _joined(page.stripes)
    # A single ground may be that of a box with text; those of a table are above each other.
    alike = [a for a in stripes if any(a is not b and _same_sides(a, b) for b in [*stripes, *rules])]
    edges = [Box(box.left, y, box.right, y) for box in alike for y in (box.top, box.bottom)]
    found: list[Box] = []
    for rule in sorted(_joined(rules) + edges, key=lambda rule: (rule.top, rule.left)):
        if not any(abs(rule.top - other.top) <= NEAR and _same_sides(rule, other) for other in found[-8:]):
            found.append(rule)
    return found


def _crosses(rule: Box, upright: Box) -> bool:
    """Whether a level rule meets an upright one."""
    return (
        rule.left - NEAR <= upright.right
        and upright.left <= rule.right + NEAR
        and upright.top - NEAR <= rule.bottom
        and rule.top <= upright.bottom + NEAR
    )


def _joined(boxes: list[Box]) -> list[Box]:
    """Boxes of one height that stand beside each other, as one."""
    levels: list[list[Box]] = []
    for box in sorted(boxes, key=lambda box: box.top):
        if levels and box.top - levels[-1][0].top <= 1:
            levels[-1].append(box)
        else:
            levels.append([box])
    found: list[Box] = []
    for level in levels:
        last: Box | None = None
        for box in sorted(level, key=lambda box: box.left):
            if last is not None and abs(last.bottom - box.bottom) <= 1 and box.left - last.right <= NEAR:
                last.right = max(last.right, box.right)
            else:
                last = Box(box.left, box.top, box.right, box.bottom)
                found.append(last)
    return found


def _same_sides(a: Box, b: Box) -> bool:
    return abs(a.left - b.left) <= NEAR and abs(a.right - b.right) <= NEAR


def _within(rule: Box, box: Box) -> bool:
    return (
        box.left - NEAR <= rule.left
        and rule.right <= box.right + NEAR
        and box.top - NEAR <= rule.top
        and rule.bottom <= box.bottom + NEAR
    )


def _stacks(rules: list[Box]) -> list[list[Box]]:
    """Rules that begin and end alike, each from the top to the bottom."""
    stacks: list[list[Box]] = []
    for rule in rules:
        for stack in stacks:
            if _same_sides(stack[0], rule):
                stack.append(rule)
                break
        else:
            stacks.append([rule])
    return [stack for stack in stacks if len(stack) > 1]


def _tables(stack: list[Box], rules: list[Box], spans: list[Span]) -> list[list[Box]]:
    """The rules of each table."""
    headed = _headed_ones(stack, spans)
    if len(headed) > 1:  # a high table's end is as far from its header as other tables are
        return headed
    return [one for part in _parts(stack, rules) if len(part) > 1 for one in _headed_ones(part, spans)]


def _parts(stack: list[Box], rules: list[Box]) -> list[list[Box]]:
    """Several tables below each other: a rule that stands far from the one above, as no row is high, begins another."""
    if len(stack) < BANDS:
        return [stack]
    steps = sorted(b.top - a.top for a, b in pairwise(stack))
    usual = steps[len(steps) // 2]
    parts: list[list[Box]] = [[stack[0]]]
    for above, below in pairwise(stack):
        between = any(
            above.top < rule.top < below.top and _within(rule, Box(above.left, above.top, above.right, below.bottom))
            for rule in rules
        )
        if below.top - above.top > 6 * usual and not between:
            parts.append([])
        parts[-1].append(below)
    return parts


def _headed_ones(stack: list[Box], spans: list[Span]) -> list[list[Box]]:
    """Several tables below each other that have rules above and below the header, and at the end, alone."""
    triples = [stack[number : number + 3] for number in range(0, len(stack), 3)]
    if len(stack) < 2 * 3 or len(stack) % 3:
        return [stack]
    for first, under, end in triples:
        inside = [span for span in spans if Box(under.left, under.top, under.right, end.top).holds(span, 0)]
        rows = [row for row in rows_of(inside) if len(row) > 1]
        if under.top - first.top > HEAD * (end.top - under.top) or len(rows) < 2:
            return [stack]
    return triples


def _table(page: Page, box: Box, level: list[Box], spans: list[Span]) -> Ruled | None:
    """The table between some level rules; None: it is none."""
    if len(spans) < 4:
        return None
    ys = [rule.top for rule in level]
    ys = [y for number, y in enumerate(ys) if number == 0 or y - ys[number - 1] > NEAR]
    banded = len(ys) >= BANDS and all(low - high <= TALLEST * page.height for high, low in pairwise(ys))
    if not banded:
        if len(ys) > 3:
            return None
        body = [span for span in spans if span.top >= ys[-2] - 1] if len(ys) == 3 else spans
        lines = rows_of(body)
        if any(_apart(above, below) > FAR * above[0].size for above, below in pairwise(lines)):
            return None  # rules of two tables, or above and below a page
        rows = whole_rows(lines)
        ys = [
            *ys[:-1],
            *(
                max(span.bottom for span in above) / 2 + min(span.top for span in below) / 2
                for above, below in pairwise(rows)
            ),
            ys[-1],
        ]
        level = level + [Box(box.left, y, box.right, y) for y in ys]
    # What stands over several columns is in the header.
    first = level[0].top if len(ys) < 3 else ys[1]
    ends = _ends(page, box)
    spans = [part for span in spans for part in apart(split(span, ends))]
    body = [span for span in spans if (span.top + span.bottom) / 2 > first] or spans
    xs = _columns(box, body, ends)
    whole = _columns(box, spans, ends)
    xs = whole if len(whole) == len(xs) else xs  # names of columns may be wider than all that is in them
    if len(xs) < 3 or len(ys) < 3:
        return None
    if not _is_table(xs, ys, body, banded or bool(ends)):
        return None
    upright = [Box(x, box.top, x, box.bottom) for x in xs]
    cells, header = filled(xs, ys, level, _without_crossed(upright, ys, spans), spans)
    return Ruled(box, _with_groups(cells, header), header, xs)


def _apart(above: list[Span], below: list[Span]) -> float:
    return min(span.top for span in below) - max(span.bottom for span in above)


def _with_groups(cells: list[list[str]], header: int) -> list[list[str]]:
    """Cells of a header's upper rows without a text, above one that has one: the name to the left stands over them too."""
    for above, below in pairwise(cells[:header]):
        for column in range(1, len(above)):
            if not above[column] and below[column] and above[column - 1] != below[column - 1]:
                above[column] = above[column - 1]
    return cells


def whole_rows(rows: list[list[Span]]) -> list[list[Span]]:
    """Lines of rows, without rules between them.

    A line goes on with the row above if it is clearly closer to it than rows are to each other; where none is, if it has nothing in
    the first column.
    """
    left = min(span.left for row in rows for span in row)
    size = rows[0][0].size
    gaps = [_apart(above, below) for above, below in pairwise(rows)]
    least, most = min(gaps, default=0.0), max(gaps, default=0.0)
    found = [rows[0]]
    for row, gap in zip(rows[1:], gaps, strict=True):
        if most - least > LINES * size:
            near = gap < min((least + most) / 2, CLOSE * size)
        else:
            near = gap < 0.25 * size and row[0].left > left + size
        if near:
            found[-1] = found[-1] + row
        else:
            found.append(row)
    return found


def _ends(page: Page, box: Box) -> list[float]:
    """Where rules, or grounds, of single cells meet, inside a table."""
    sides = [
        x
        for part in [*page.rules, *page.stripes]
        if part.width > part.height and _within(part, box)
        for x in (part.left, part.right)
        if box.left + NEAR < x < box.right - NEAR
    ]
    found: list[list[float]] = []
    for x in sorted(sides):
        if found and x - found[-1][0] <= NEAR:
            found[-1].append(x)
        else:
            found.append([x])
    return [sum(group) / len(group) for group in found if len(group) > 1]


def header_above(rule: Box, spans: list[Span]) -> list[Span]:
    """What stands closely above a rule, and is not wider than it."""
    above = rows_of([span for span in spans if (span.top + span.bottom) / 2 < rule.top])
    found: list[Span] = []
    last = rule.top
    for row in reversed(above[-HEADER:]):
        box, size = around(row), max(span.size for span in row)
        far = last - box.bottom > (ABOVE if not found else LINES) * size
        wide = box.left < rule.left - NEAR or box.right > rule.right + NEAR
        if far or wide:
            break
        parts = apart(row)
        columns = columns_of([(span.left, span.right) for span in found], size)
        # Of several lines each is in the columns of those below it.
        if found and len(columns_of([*columns, *((span.left, span.right) for span in parts)], size)) < len(columns):
            break
        found += parts
        last = box.top
    return found


def _has_header(rule: Box, spans: list[Span]) -> bool:
    header = header_above(rule, [span for span in spans if span.left < rule.right and span.right > rule.left])
    return bool(header) and len(columns_of([(span.left, span.right) for span in header], header[0].size)) > 1


def columns_of(parts: list[tuple[float, float]], size: float) -> list[tuple[float, float]]:
    """Columns that texts make: those with less room than that of columns between them are one."""
    found: list[tuple[float, float]] = []
    for left, right in sorted(parts):
        if found and left - found[-1][1] < ROOM * size:
            found[-1] = (found[-1][0], max(found[-1][1], right))
        else:
            found.append((left, right))
    return found


def apart(spans: list[Span]) -> list[Span]:
    """Spans in parts, where their spaces are as wide as the room between columns."""
    found: list[Span] = []
    for span in spans:
        edges = [
            (left + after) / 2
            for character, left, after in zip(span.text, span.lefts, span.lefts[1:], strict=False)
            if character == " " and after - left >= ROOM * span.size
        ]
        found += split(span, edges) if edges else [span]
    return found


def _columns(box: Box, spans: list[Span], ends: list[float]) -> list[float]:
    """Where columns begin and end."""
    spans = sorted(spans, key=lambda span: span.left)
    sizes = sorted(span.size for span in spans)
    room = ROOM * sizes[len(sizes) // 2]
    xs = []
    right = spans[0].right
    for span in spans[1:]:
        if span.left - right >= room and not any(right - 1 <= x <= span.left + 1 for x in ends):
            xs.append((span.left + right) / 2)
        right = max(right, span.right)
    return [box.left, *sorted([*xs, *ends]), box.right]


def _is_table(xs: list[float], ys: list[float], spans: list[Span], celled: bool) -> bool:
    """Whether text between rules is in cells, and not in columns that are read one after the other."""
    cells: dict[tuple[int, int], list[Span]] = {}
    for span in spans:
        row = sum((span.top + span.bottom) / 2 >= y for y in ys)
        column = sum((span.left + span.right) / 2 >= x for x in xs) - 1
        cells.setdefault((row, min(max(column, 0), len(xs) - 2)), []).append(span)
    rows = {row for row, _ in cells}
    together = sum(sum(1 for r, _ in cells if r == row) > 1 for row in rows) / len(rows)
    if together < TOGETHER:
        return False
    if celled:
        return True
    fills = [sum(span.width for span in own) / (xs[column + 1] - xs[column]) for (_, column), own in cells.items()]
    return sum(fills) / len(fills) < FULL or len(xs) > 4


def _without_crossed(upright: list[Box], ys: list[float], spans: list[Span]) -> list[Box]:
    """Edges of columns row by row, but where a text goes over them."""
    found = []
    for edge in upright:
        for top, bottom in pairwise(ys):
            crossed = any(
                top <= (span.top + span.bottom) / 2 < bottom
                and span.left < edge.left - 1
                and span.right > edge.left + 1
                for span in spans
            )
            if not crossed:
                found.append(Box(edge.left, top, edge.right, bottom))
    return found
