"""Regions: columns of text one after the other, and tables without rules."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

from rag.pages.captions import is_caption
from rag.pages.marks import MARKED
from rag.pages.page import BODY, PICTURE, Box, Span, around, rows_of

ITEM = 5.0
"""Of the height of characters: how high items of a list are at most that tell of the next one."""
GUTTER = 0.9
"""Of the height of characters: how much free room divides columns, at least."""
WIDE = 1.4
"""Of the height of characters: room between columns of two rows."""
ROWS = 2
"""Rows that columns of running text have at least."""
TABLE_ROWS = 3
"""Rows of a table without rules, at least."""
BAND = 2.5
"""Of the height of characters: free room in one column beside a line in the other from which on the line stands over both."""
ABOVE = 3
"""Lines above columns, at most, that are looked beyond for longer ones."""
SMALL = 0.92
"""Of most characters, that those of footnotes have at most."""
SURE = 6
"""Rows of two columns from which on others of the page are told by them."""
NESTED = 3.0
"""Of the height of characters: by how much lists in lists are indented at most."""
CALLED = 3.0
"""Of the height of characters: how far above a table, or a picture, its caption begins at most."""
SIDE = 5.0
"""Points: how far apart sides are at most of what is equally wide."""
SIDES = 2
"""Places of columns that are known: left pages may have them elsewhere than right ones."""
INDENT = 2.5
"""Of the height of characters: how far a line of a column is indented at most."""
TOGETHER = 1.8
"""Of the height of characters: by how much columns begin at other heights at most, below what stands over them."""
LINES = 8
"""Rows that columns in a column have at least."""
CLOSE = 0.6
"""Of the height of characters: how far apart lines of a paragraph are at most."""
NEXT = 1.6
"""How far apart paragraphs of a column are at most, where the other column has ended."""
EVEN = 3.2
"""Lines by which columns differ at most that were made equally long."""
OFF = 0.12
"""Of the height of characters: by how much cells of a row stand at other heights at most."""
CENTRE = 0.02
"""Of a column: how far from its middle a picture may stand that is in its middle."""
FULL = 0.62
"""Share of its column that a line of running text fills on average, at least; cells of tables fill less."""


@dataclass
class Region:
    """Spans that are read from the top to the bottom.

    Attributes:
        spans: They.
        box: Room that they have.
    """

    spans: list[Span]
    box: Box


@dataclass
class Aligned:
    """A table without rules.

    Attributes:
        rows: Its spans by row and column.
        edges: Where its columns begin and end.
    """

    rows: list[list[list[Span]]]
    edges: list[float]

    @property
    def spans(self) -> list[Span]:
        """All of them."""
        return [span for row in self.rows for cell in row for span in cell]


def regions_of(
    spans: list[Span], depth: int = 0, gutters_before: list[tuple[float, float]] | None = None
) -> list[Region | Aligned]:
    """What is read one after the other.

    Args:
        spans: Of a page, or of a column.
        depth: How many columns it is in.
        gutters_before: Room between the columns of other pages, for those that are too short to tell; is told of this page's.
    """
    if not spans:
        return []
    box = around(spans)
    rows = rows_of(spans)
    found: list[Region | Aligned] = []
    plain: list[Span] = []
    known = [] if gutters_before is None else gutters_before  # room between columns that are long enough to tell
    start = 0
    while start < len(rows):
        end, gutters = _run(rows, start, box, depth) if depth < 8 else (start, [])
        if not gutters:
            plain += rows[start]
            start += 1
            continue
        # A short line above columns, as a heading in the middle, leaves other room than they do, which ends sooner.
        for ahead in range(start + 1, min(start + 1 + ABOVE, end) if end < len(rows) else 0):
            longer, wider = _run(rows, ahead, box, depth)
            if longer > end and not any(_beside(row, *room) for row in rows[start:ahead] for room in wider):
                plain += [span for row in rows[start:ahead] for span in row]
                start, end, gutters = ahead, longer, wider
                break
        first, end = _first(rows, start, end, gutters), _last(rows, start, end, gutters)
        beside = next((n for n in range(first, end) if any(_beside(rows[n], *room) for room in gutters)), first)
        more = [(n, _inner(_common(rows[n:end], box), rows[n:end])) for n in (first, beside)]
        first, found_gutters = max(
            more, key=lambda one: (len(one[1]), -one[0])
        )  # a table begins where it has all columns
        gutters = found_gutters or gutters
        plain += [span for row in rows[start:first] for span in row]
        start = first
        end = _banded(rows, start, end, gutters)
        block = rows[start:end]
        edges = [box.left, *((low + high) / 2 for low, high in gutters), box.right]
        parts = _divided(block, edges, depth)
        start = end
        if not depth and len(gutters) == 1 and len(block) >= SURE and len(parts) == 2:
            known[:] = [gutters[0], *(room for room in known if abs(room[1] - gutters[0][1]) > 1)][:SIDES]
        if depth and len(parts) == 1 and isinstance(parts[0], Region):  # no columns: lines among others
            plain += parts[0].spans
            continue
        if plain:
            found.append(Region(plain, box))
            plain = []
        found += parts
    if plain:
        found.append(Region(plain, box))
    for room in [] if depth else known:
        found = [part for region in found for part in _short_columns(region, room)]
    return found


def _short_columns(region: Region | Aligned, gutter: tuple[float, float]) -> list[Region | Aligned]:
    """A region in parts, where few lines of it are in columns that others of the page have: too few to find them by themselves."""
    low, high = gutter
    if isinstance(region, Aligned) or not (region.box.left < low and high < region.box.right):
        return [region]
    rows = rows_of(region.spans)
    beside = [_is_in_columns(row, gutter) for row in rows]
    if not any(beside):
        return [region]
    first, last = beside.index(True), len(rows) - 1 - beside[::-1].index(True)
    if not all(beside[first : last + 1]):
        return [region]
    while last + 1 < len(rows) and _goes_on(rows[: last + 1], rows[last + 1], gutter):
        last += 1
    inside = [span for row in rows[first : last + 1] for span in row]
    parts = [
        [span for row in rows[:first] for span in row],
        [span for span in inside if span.left < high - 1],
        [span for span in inside if span.left >= high - 1],
        [span for row in rows[last + 1 :] for span in row],
    ]
    middle = (low + high) / 2
    left, right = replace(region.box, right=middle), replace(region.box, left=middle)
    boxes = (region.box, left, right, region.box)
    return [Region(spans, box) for spans, box in zip(parts, boxes, strict=True) if spans]


def _is_in_columns(row: list[Span], gutter: tuple[float, float]) -> bool:
    """Whether a row has text on both sides of a room, and the right one begins where its column does, or is indented."""
    _, high = gutter
    right = [span for span in row if span.left >= high - 1]
    if not right or len(right) == len(row) or any(span.text.startswith(BODY) for span in row):
        return False
    left = [span for span in row if span.left < high - 1]
    indent = right[0].left - high
    return (
        all(_seen_right(span) <= high - GUTTER * span.size for span in left)
        and indent <= INDENT * right[0].size
        and len(row) == 2
    )


def _goes_on(above: list[list[Span]], row: list[Span], gutter: tuple[float, float]) -> bool:
    """Whether a row is the next line of one of two columns."""
    _, high = gutter
    sides = [
        all(_seen_right(span) <= high - GUTTER * span.size for span in row),
        all(span.left >= high - 1 for span in row),
    ]
    if not any(sides):
        return False
    own = [span for span in above[-1] if (span.left >= high - 1) == sides[1]]
    return bool(own) and _follows(own[-1], row[0], CLOSE)


def _run(rows: list[list[Span]], start: int, box: Box, depth: int) -> tuple[int, list[tuple[float, float]]]:
    """The longest run of rows from one on that have room between columns in common, and that room."""
    free = [(box.left, box.right)]
    best: tuple[int, list[tuple[float, float]]] = (start, [])
    em = _em(rows)
    end = start
    while end < len(rows):
        taken = sorted((span.left, _seen_right(span)) for span in rows[end])
        narrowed = [room for room in _cut(free, taken) if room[1] - room[0] >= GUTTER * em]
        inner = _inner(narrowed, rows[start : end + 1])
        if end > start and best[1] and not inner:
            break
        free = narrowed
        end += 1
        # Spaces of two lines may stand below each other, so that two rows make columns only where much room is between them.
        wide = not depth and all(high - low >= WIDE * em for low, high in inner)
        if inner and end - start >= (ROWS if wide else TABLE_ROWS):
            best = (end, inner)
        if not free:
            break
    return best


def _common(rows: list[list[Span]], box: Box) -> list[tuple[float, float]]:
    """Room between columns that all rows have in common."""
    free = [(box.left, box.right)]
    for row in rows:
        free = _cut(free, sorted((span.left, _seen_right(span)) for span in row))
    em = _em(rows)
    return [room for room in free if room[1] - room[0] >= GUTTER * em]


def _em(rows: list[list[Span]]) -> float:
    """Height of most characters."""
    sizes = sorted(span.size for row in rows for span in row)
    return sizes[len(sizes) // 2]


def _first(rows: list[list[Span]], start: int, end: int, gutters: list[tuple[float, float]]) -> int:
    """Where columns begin: rows in one of them alone belong to them where they are closely followed by what looks alike."""
    first = min(
        (n for n in range(start, end) if any(_beside(rows[n], low, high) for low, high in gutters)), default=start
    )
    # What stands in a right column alone, or beside its rows, is no heading over all of them.
    right = min((n for n in range(start, first) if _right_of(rows[n], gutters)), default=first)
    first = right
    while first > start:
        row, below = around(rows[first - 1]), [span for other in rows[first:end] for span in other]
        under = [span for span in below if span.left < row.right and row.left < span.right]
        near = min(under, key=lambda span: span.top, default=None)
        beside = any(span.top < row.bottom - 0.2 * row.height for span in below if span.left >= row.right)
        if not beside and (near is None or not _follows(rows[first - 1][-1], near, CLOSE)):
            break
        first -= 1
    return first


def _banded(rows: list[list[Span]], start: int, end: int, gutters: list[tuple[float, float]]) -> int:
    """Where columns end since a line, such as a heading, stands over all of them: nothing is beside it for a while."""
    em = _em(rows[start:end])
    sides = [
        [span for row in rows[start:end] for span in row if _seen_right(span) <= low + 1] for low, _ in gutters[:1]
    ]
    sides += [[span for row in rows[start:end] for span in row if span.left >= high - 1] for _, high in gutters[-1:]]
    for number in range(start + 1, end - 1):
        row = around(rows[number])
        if row.left > gutters[0][0] or row.right > gutters[0][0] + 1:
            continue
        above = [span for span in sides[0] if span.bottom <= row.top + 0.3 * em]
        near = max(above, key=lambda span: span.bottom, default=None)
        body = rows[number][0].text.startswith(BODY)
        if (
            near is not None
            and _follows(near, rows[number][0], CLOSE)
            and not (body and not near.text.startswith(BODY))
        ):
            continue
        if body and not _even(rows[start:number], gutters) and not _is_free(rows, number, sides[1:]):
            continue
        if body and _is_centred(rows[number], above, gutters):
            continue
        if above and _broken(rows, number, around(above)):
            continue
        if all(_is_apart(row, side, em) for side in sides[1:]) and (body or _begin_together(row, sides, em)):
            return number
    return end


def _even(rows: list[list[Span]], gutters: list[tuple[float, float]]) -> bool:
    """Whether columns end at one height, as where they were made equally long."""
    low, high = gutters[0][0], gutters[-1][1]
    left = [span.bottom for row in rows for span in row if _seen_right(span) <= low + 1]
    right = [span.bottom for row in rows for span in row if span.left >= high - 1]
    return bool(left and right) and abs(max(left) - max(right)) <= EVEN * _pitch(rows)


def _pitch(rows: list[list[Span]]) -> float:
    """How far apart most lines are."""
    em = _em(rows)
    spans = sorted((span for row in rows for span in row), key=lambda span: (round(span.left / em), span.top))
    steps = sorted(b.top - a.top for a, b in pairwise(spans) if em <= b.top - a.top <= 2 * em)
    return max(em, steps[len(steps) // 2]) if steps else em


def _is_free(rows: list[list[Span]], number: int, sides: list[list[Span]]) -> bool:
    """Whether columns leave the room beside a whole table, or picture, and go on below it."""
    name = rows[number][0].text
    box = around([span for row in rows[number:] for span in row if span.text == name])
    slack = 0.3 * box.height / max(1, round(box.height / _em(rows)))
    return all(
        any(span.top >= box.bottom - slack for span in side)
        and not any(span.bottom > box.top + slack and span.top < box.bottom - slack for span in side)
        for side in sides
    )


def _is_apart(row: Box, side: list[Span], em: float) -> bool:
    """Whether a column has free room beside a row, and goes on above and below it."""
    if any(min(span.bottom, row.bottom) - max(span.top, row.top) > 0.1 * em for span in side):
        return False
    above = max((span.bottom for span in side if span.bottom <= row.bottom), default=None)
    # Footnotes at the end of a column are no text that goes on.
    rest = [span for span in side if span.top >= row.top and (span.size > SMALL * em or span.text.startswith(BODY))]
    below = min((span.top for span in rest), default=None)
    return above is not None and below is not None and below - above >= BAND * em


def _begin_together(row: Box, sides: list[list[Span]], em: float) -> bool:
    """Whether columns below a row begin at one height, as they do below what stands over all of them."""
    tops = [min((span.top for span in side if span.top > row.bottom - 0.2 * em), default=None) for side in sides]
    known = [top for top in tops if top is not None]
    return len(known) < len(tops) or max(known) - min(known) <= TOGETHER * em


def _right_of(row: list[Span], gutters: list[tuple[float, float]]) -> bool:
    """Whether a row stands in a column that is not the first."""
    return any(all(span.left >= high - 1 for span in row) for _, high in gutters)


def _follows(above: Span, below: Span, room: float) -> bool:
    """Whether one is the next line of the other's column, by its looks."""
    alike = abs(below.type_size - above.type_size) <= 0.5
    # A table, or a picture, and what it is called belong together.
    called = (above.text.startswith(BODY) and is_caption(below.text)) or (
        below.text.startswith(BODY) and is_caption(above.text)
    )
    return (alike and below.top - above.bottom <= room * below.size) or (
        called and below.top - above.bottom <= NEXT * below.size
    )


def _last(rows: list[list[Span]], start: int, end: int, gutters: list[tuple[float, float]]) -> int:
    """Where columns end: rows in one of them alone belong to them as long as they follow closely and look alike."""
    both = [n for n in range(start, end) if any(_beside(rows[n], low, high) for low, high in gutters)]
    # Rows of columns need not be level: what stands in the second one alone is beside the first all the same.
    last = max([*both, *(n for n in range(start, end) if _right_of(rows[n], gutters))], default=end - 1)
    while last + 1 < end:
        row, above = around(rows[last + 1]), [span for other in rows[start : last + 1] for span in other]
        over = [span for span in above if span.left < row.right and row.left < span.right]
        near = max(over, key=lambda span: span.bottom, default=None)
        even = _even(rows[start : last + 1], gutters)
        room = CLOSE if even and not (near is not None and _listed(above, rows[last + 1])) else NEXT
        alone = all(other[0].text == rows[last + 1][0].text for other in rows[last + 1 :])
        fits = (alone and _fits(rows[last + 1], above, gutters)) or any(
            belongs(rows[last + 1], above, gutters) for belongs in (_is_called, _is_centred)
        )
        if not fits and (near is None or not _follows(near, rows[last + 1][0], room)):
            beside = max(span.bottom for other in rows[start : last + 1] for span in other)
            if near is None or not (_broken(rows, last + 1, around(over)) or row.top < beside + 0.2 * row.height):
                break
            last += 1
            if last + 1 >= end:
                break
        name = rows[last + 1][0].text
        if even and name.startswith(BODY) and not fits and not any(span.text == name for span in above):
            break
        last += 1
    # Where nothing goes over all columns until the end of the page, the longer column goes on to there.
    rest = rows[last + 1 : end]
    if rest and len(rows) - end <= 1 and _fills(rest, rows[start : last + 1], gutters):
        return end
    return last + 1


def _fits(row: list[Span], above: list[Span], gutters: list[tuple[float, float]]) -> bool:
    """Whether a table stands in the first column, since the next one begins with one as wide, which is the rest of it."""
    low, high = gutters[0]
    if not row[0].text.startswith(BODY) or row[0].right >= high:
        return False
    first = [span for span in above if _seen_right(span) <= low + 1]
    second = min((span for span in above if span.left >= high - 1), key=lambda span: span.top, default=None)
    if not first or second is None or not second.text.startswith(BODY):
        return False
    left = min(span.left for span in first)
    return abs(row[0].left - left) <= SIDE and abs(row[0].width - second.width) <= SIDE


def _is_centred(row: list[Span], above: list[Span], gutters: list[tuple[float, float]]) -> bool:
    """Whether a picture stands in the middle of the first column: over all it would not, as tables do that are left there."""
    low, high = gutters[0]
    lines = [span for span in above if _seen_right(span) <= low + 1 and not span.text.startswith(BODY)]
    if not row[0].text.startswith(PICTURE) or row[0].right >= high or not lines:
        return False
    column = around(lines)
    return abs(row[0].left + row[0].right - column.left - column.right) <= 2 * CENTRE * column.width


def _is_called(row: list[Span], above: list[Span], gutters: list[tuple[float, float]]) -> bool:
    """Whether a table, or a picture, stands in the first column, closely below what it is called there."""
    low, high = gutters[0]
    if not row[0].text.startswith(BODY) or row[0].right >= high:
        return False
    near = [span for span in above if _seen_right(span) <= low + 1 and row[0].top - span.bottom <= CALLED * span.size]
    return any(is_caption(span.text) for span in near)


def _listed(above: list[Span], row: list[Span]) -> bool:
    """Whether a row is the next item of a list in its column."""
    if not MARKED.match(row[0].text):
        return False
    size = row[0].size
    near = [span for span in above if abs(span.left - row[0].left) <= NESTED * size and MARKED.match(span.text)]
    return any(row[0].top - span.bottom <= ITEM * size for span in near)


def _broken(rows: list[list[Span]], number: int, column: Box) -> bool:
    """Whether a line of running text was broken at the edge of a column: it is full there, and goes on in the next line."""
    if number + 1 >= len(rows) or any(row[0].text.startswith(BODY) for row in rows[number : number + 2]):
        return False
    line, below = around(rows[number]), around(rows[number + 1])
    inside = max(line.right, below.right) <= column.right + line.height and line.left >= column.left - line.height
    full = line.right >= column.right - 0.12 * column.width
    return inside and full and _follows(rows[number][-1], rows[number + 1][0], CLOSE)


def _fills(rest: list[list[Span]], above: list[list[Span]], gutters: list[tuple[float, float]]) -> bool:
    """Whether rows are as wide as the first column."""
    edge = gutters[0][0]
    first = [span for row in above for span in row if _seen_right(span) <= edge + 1]
    if not first:
        return False
    column = around(first)
    if any(_seen_right(span) > edge + 1 for row in rest for span in row):
        return False
    lines = [around(row) for row in rest if not row[0].text.startswith(BODY)]
    full = [line.right >= column.right - 0.12 * column.width for line in lines]
    # A line that is full and goes on in the next one was broken at the edge of the column.
    broken = any(
        one and 0 <= below.top - above.bottom <= CLOSE * above.height
        for one, (above, below) in zip(full, pairwise(lines), strict=False)
    )
    return sum(full) >= (1 if broken else 2) and sum(full) >= len(lines) // 4


def _beside(row: list[Span], low: float, high: float) -> bool:
    """Whether a row has text on both sides."""
    return any(_seen_right(span) <= low + 1 for span in row) and any(span.left >= high - 1 for span in row)


def _seen_right(span: Span) -> float:
    """Where the ink of a span ends: wide marks at its end have theirs in their left half."""
    return max(span.left, span.right - 0.62 * span.size) if span.text[-1:] in "，。、；：！？）》」』】" else span.right


def _cut(free: list[tuple[float, float]], taken: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """What is left of some room."""
    found = free
    for low, high in taken:
        found = [part for a, b in found for part in ((a, min(b, low)), (max(a, high), b)) if part[1] > part[0]]
    return sorted(set(found))


def _inner(free: list[tuple[float, float]], rows: list[list[Span]]) -> list[tuple[float, float]]:
    """Room that has text on both sides, in two rows at least."""
    found = []
    for low, high in free:
        left = sum(any(_seen_right(span) <= low + 1 for span in row) for row in rows)
        right = sum(any(span.left >= high - 1 for span in row) for row in rows)
        if left >= 2 and right >= 2:
            found.append((low, high))
    # Columns that nothing stands in are none.
    kept: list[tuple[float, float]] = []
    for room in found:
        if kept and not any(kept[-1][1] - 1 <= span.left and span.right <= room[0] + 1 for row in rows for span in row):
            continue
        kept.append(room)
    return kept


def _divided(rows: list[list[Span]], edges: list[float], depth: int) -> list[Region | Aligned]:
    """Columns of text, or a table."""
    columns = len(edges) - 1

    def column(span: Span) -> int:
        return min(sum((span.left + span.right) / 2 >= edge for edge in edges[1:-1]), columns - 1)

    cells = [[[span for span in row if column(span) == number] for number in range(columns)] for row in rows]
    together = sum(sum(map(bool, row)) > 1 for row in cells) / len(cells)
    filled = []
    for number in range(columns):
        own = [around(row[number]) for row in cells if row[number]]
        width = edges[number + 1] - edges[number]
        filled += [box.width / width for box in own if box.height < 3 * min(other.height for other in own)]
    fill = sum(filled) / len(filled) if filled else 1.0
    listed = any(sum(bool(MARKED.match(s.text)) for row in cells for s in row[n]) > 1 for n in range(columns))
    text = columns == 2 and (listed or not _is_level(cells))
    if together >= 0.7 and not text and (fill < FULL or (columns > 3 and len(rows) > TABLE_ROWS)):
        if len(rows) < TABLE_ROWS:
            spans = [span for row in rows for span in row]
            return [Region(spans, around(spans))]
        return [Aligned(cells, edges)]
    narrow = any(_gap(rows, edge) < WIDE * _em(rows) for edge in edges[1:-1])
    if depth and (narrow or len(rows) < LINES):  # spaces of lines below each other
        spans = [span for row in rows for span in row]
        return [Region(spans, around(spans))]
    found: list[Region | Aligned] = []
    for number in range(columns):
        found += regions_of([span for row in cells for span in row[number]], depth + 1)
    return found


def _is_level(cells: list[list[list[Span]]]) -> bool:
    """Whether the texts of most rows stand at one height, as cells do, and lines of columns by chance alone."""
    rows = [[cell[0] for cell in row if cell] for row in cells]
    rows = [row for row in rows if len(row) > 1]
    apart = [min(_between([s.top for s in row]), _between([s.bottom for s in row])) / row[0].size for row in rows]
    return sum(share <= OFF for share in apart) >= 0.5 * len(rows)


def _between(values: list[float]) -> float:
    return max(values) - min(values)


def _gap(rows: list[list[Span]], edge: float) -> float:
    """Room around an edge between columns."""
    left = max((span.right for row in rows for span in row if span.right <= edge + 1), default=edge)
    right = min((span.left for row in rows for span in row if span.left >= edge - 1), default=edge)
    return right - left
