"""Lines of a region as headings, paragraphs and lists."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

from rag.document import LEVELS, Block, Bullets, Heading, Paragraph
from rag.pages.captions import is_caption
from rag.pages.page import Box, Page, Span, around, joined, line_text, rows_of
from rag.pages.regions import Region

LARGER = 1.12
"""How much larger than running text a heading is."""
APART = 1.35
"""How much further apart lines of two paragraphs are than those of one."""
SPACE = 0.4
"""Of the height of a line: room of a space and a little more."""
JUSTIFIED = 0.15
"""Of the height of a line: how far from the edge lines end that are all equally long."""
DENSE = 1.2
"""The same, where characters have no spaces and marks may not begin a line."""
BEFORE = 2.5
"""Of the height of a line: how far before it the mark of a list stands at most."""
OFF = 1.2
"""Points: lines that begin further apart do not begin alike."""
DOTS = "\u2022\u25cf\u25e6\u25aa\u2023\u2043\u00b7\uf0b7\u25a0\u25cb"
"""Marks that are nothing else."""
CLOSE, LOOSE = 0.18, 0.3
"""Of the height of a line: how much further apart lines of two paragraphs are, on pages that are exact, and on scans."""
FAR = 1.6
"""Of the height of a heading: how far apart lines of two headings are at least."""
FEW = 4
"""Lines that tell how far apart lines are, at least."""
LONGEST = 40
"""Items of a list that is numbered, where it goes on in the next column."""
SHORT = 160
"""Characters of a heading."""
MARK = re.compile(
    r"^\s*(?:([\u2022\u25cf\u25e6\u25aa\u2023\u2043\u00b7\uf0b7\u25a0\u25cb*\u2013\u2014-])|(\d{1,3}[.)]|[a-z][.)]|\(\d{1,3}\)))\s+",
    re.IGNORECASE,
)
LIKE_MARK = re.compile(r"^(?:[\u3002\u25cb\u2022\u00b7\u25cf]\s*|o\s+)(?=\S)")
"""Marks of lists as OCR reads them."""
SENTENCE_END = re.compile(r"[.!?:;\u3002\uff01\uff1f\uff1a\u2026][\"'\u201d\u2019)]*$")


@dataclass(frozen=True)
class Styles:
    """How a document's text looks.

    Attributes:
        body: Height of running text.
        sizes: Heights of headings, the largest first.
        bold: Whether there are headings as high as running text that are bold.
        pitch: How far apart lines of running text are, as times their height.
    """

    body: float
    sizes: tuple[float, ...]
    bold: bool
    pitch: float = 1.3

    def level(self, row: list[Span], text: str) -> int:
        """The level of a heading; 0: it is none."""
        if len(text) > SHORT or not any(character.isalpha() for character in text):
            return 0
        size = _size(row)
        if size >= LARGER * self.body:
            near = min(range(len(self.sizes)), key=lambda i: abs(self.sizes[i] - size), default=None)
            return min(near + 1, LEVELS) if near is not None else 0
        if self.bold and all(span.bold for span in row) and size >= 0.95 * self.body and not SENTENCE_END.search(text):
            return min(len(self.sizes) + 1, LEVELS)
        return 0


def styles_of(pages: Sequence[Page]) -> Styles:
    """How the text of some pages looks."""
    heights: Counter[float] = Counter()
    bold: Counter[bool] = Counter()
    for page in pages:
        for span in page.spans:
            if any(map(str.isalpha, span.text)):  # marks of lists may be of another font
                heights[span.type_size] += len(span.text)
            bold[span.bold] += len(span.text)
    if not heights:
        return Styles(10.0, (), False)
    body = max(heights, key=lambda size: (heights[size], size))
    larger = sorted((size for size in heights if size >= LARGER * body), reverse=True)
    sizes: list[float] = []
    for size in larger:
        if not sizes or size < 0.96 * sizes[-1]:
            sizes.append(size)
    return Styles(body, tuple(sizes[:LEVELS]), bold[True] < 0.3 * sum(bold.values()), _pitch(pages, body))


def _pitch(pages: Sequence[Page], body: float) -> float:
    """How far apart lines of running text are."""
    ratios: list[float] = []
    for page in pages:
        spans = [span for span in page.spans if abs(span.type_size - body) < 0.05 * body]
        for above, below in pairwise(spans):
            apart = (below.top - above.top) / max(above.size, 1.0)
            if 0.8 < apart < 3 and below.left < above.right and above.left < below.right:
                ratios.append(apart)
    return sorted(ratios)[len(ratios) // 3] if len(ratios) >= FEW else Styles.pitch


_Line: TypeAlias = tuple[list[Span], Box, str]
"""Its spans, where they stand, and what they say."""


@dataclass(frozen=True)
class Ends:
    """How a paragraph begins and ends, which tells whether it goes on elsewhere.

    Attributes:
        room: That its last line leaves.
        word: Width of its first word.
        indented: Whether its first line is.
        line: Height of a line.
        first: Whether it is a list whose first number is one that lists begin with.
    """

    room: float
    word: float
    indented: bool
    line: float
    first: bool = False


def blocks_of(page: Page, region: Region, styles: Styles, ends: dict[int, Ends] | None = None) -> list[Block]:
    """The blocks of a region.

    Args:
        page: Where it is.
        region: It.
        styles: How text looks.
        ends: Is told of each paragraph how it begins and ends, by the number that `id` gives it.
    """
    rows = rows_of(region.spans)
    lines = [(row, around(row), line_text(row)) for row in rows]
    lines = [line for line in lines if line[2]]
    steps = sorted(
        b[1].top - a[1].top for a, b in pairwise(lines) if 0.8 < (b[1].top - a[1].top) / max(a[1].height, 1.0) < 3
    )
    step = steps[len(steps) // 4] if steps else 0.0
    if len(steps) < FEW and lines:  # too few to tell
        step = min(step, 1.15 * styles.pitch * lines[0][1].height)
    marks = [_has_dot(page, box) for _, box, _ in lines]
    if page.scanned:  # marks of lists look like letters there
        lines = [(row, box, LIKE_MARK.sub("\u2022 ", text)) for row, box, text in lines]
    groups: list[list[tuple[list[Span], str]]] = []
    kinds: list[int] = []
    dotted: list[bool] = []
    is_item = False
    last_number: str | None = None
    hangs: dict[int, float] = {}  # where lines of items go on, by the places of their marks
    for number, (row, box, text) in enumerate(lines):
        level = styles.level(row, text)
        fresh = number == 0 or level != kinds[-1]
        if not fresh:
            above = lines[number - 1]
            pitch = min(box.top - above[1].top, box.bottom - above[1].bottom)
            room = (LOOSE if page.scanned else CLOSE) * box.height
            far = box.top - above[1].top > APART * max(step, 0.9 * above[1].height) or (0 < step < pitch - room)
            if level:  # lines of headings are further apart than those of running text
                far = pitch > FAR * box.height
            indent = (
                box.left - region.box.left > 0.8 * box.height and above[1].left - region.box.left < 0.5 * box.height
            )
            # A line that had room for the next word was ended by somebody.
            has_room = (
                region.box.right - above[1].right > _first_word(row) + (2.5 if page.scanned else 1) * SPACE * box.height
            )
            ended = has_room and bool(SENTENCE_END.search(above[2]))
            mark = MARK.match(text)
            counts = mark is not None and mark.group(2) is not None and mark.group(2) == _next(last_number)
            # A number, or a dash, at the beginning of a line in the middle of a sentence is no mark.
            marked = marks[number] or (
                mark is not None
                and (has_room or far or counts or text[0] in DOTS or bool(SENTENCE_END.search(above[2])))
            )
            lone_mark = text.isdigit() and len(text) < 4 and _size(row) < 0.8 * styles.body  # of a footnote
            # Lines of a caption stand in the middle of their column.
            again = len(groups[-1]) == 1 and _begins_again(lines, number, region)
            indent = (indent or again) and not is_item and not is_caption(groups[-1][0][1])
            # Where lines of items begin below each other, one that begins elsewhere is of no item, unless it is at the edge.
            hang = hangs.get(round(groups[-1][0][0][0].left))
            if is_item and not page.scanned and hang is not None:
                beside = abs(box.left - hang) > OFF and box.left - region.box.left > OFF
            else:
                beside = (
                    is_item
                    and not page.scanned
                    and not any(marks[number + 1 : number + 2])
                    and _indents(lines, number, region)
                )
            fresh = not lone_mark and (marked or far or (level == 0 and (indent or ended or beside)))
        if fresh:
            last_number = mark.group(2) if (mark := MARK.match(text)) is not None else None
            groups.append([])
            kinds.append(level)
            is_item = marks[number] or bool(MARK.match(text))
            dotted.append(marks[number])
        elif is_item and len(groups[-1]) == 1:
            hangs[round(groups[-1][0][0][0].left)] = box.left
        groups[-1].append((row, text))
    return _made(page, region, groups, kinds, dotted, {} if ends is None else ends)


def _begins_again(lines: list[_Line], number: int, region: Region) -> bool:
    """Whether a line is indented as the one above it is, which was a whole paragraph: the next line is at the edge."""
    above, line, *below = lines[number - 1 : number + 2]
    if not below or not SENTENCE_END.search(above[2]) or abs(line[1].left - above[1].left) > OFF:
        return False
    return line[1].left - region.box.left > 0.8 * line[1].height and abs(below[0][1].left - region.box.left) <= OFF


def _indents(lines: list[_Line], number: int, region: Region) -> bool:
    """Whether a line below that of an item begins an indented paragraph: the next one is at the edge, as no line of an item is."""
    item, line, *below = lines[number - 1 : number + 2]
    mark, lefts, edge = MARK.match(item[2]), item[0][0].lefts, region.box.left
    if mark is None or mark.end() >= len(lefts) or not below or MARK.match(below[0][2]):
        return False
    if below[0][1].top - line[1].bottom > line[1].height or abs(below[0][1].left - edge) > OFF:
        return False
    return min(abs(line[1].left - lefts[mark.end()]), line[1].left - edge, abs(item[1].left - edge)) > OFF


def _has_dot(page: Page, box: Box) -> bool:
    """Whether a small shape stands before a line."""
    return any(
        box.top <= (dot.top + dot.bottom) / 2 <= box.bottom and 0 <= box.left - dot.right < BEFORE * box.height
        for dot in page.dots
    )


def _next(mark: str | None) -> str | None:
    """The number that follows one, with what stands beside it."""
    digits = re.search(r"\d+", mark or "")
    return None if digits is None or mark is None else mark.replace(digits.group(), str(int(digits.group()) + 1))


def _made(
    page: Page,
    region: Region,
    groups: list[list[tuple[list[Span], str]]],
    kinds: list[int],
    dotted: list[bool],
    ends: dict[int, Ends],
) -> list[Block]:
    """Groups of lines as blocks; items that follow each other are one list."""
    edge = region.box.right
    rights = [(edge - row[-1].right) / row[-1].size for group in groups for row, _ in group]
    justified = sum(room <= JUSTIFIED for room in rights) >= max(4, 0.5 * len(rights))
    found: list[Block] = []
    items: list[tuple[float, str, list[Span], bool]] = []
    begins = False

    def flush() -> None:
        if items:
            lefts = sorted({round(left) for left, *_ in items})
            starts = [left for number, left in enumerate(lefts) if number == 0 or left - lefts[number - 1] > 4]
            depths = {left: sum(start <= left for start in starts) - 1 for left in lefts}
            spans = [span for _, _, own, _ in items for span in own]
            entries = tuple((depths[round(left)], text) for left, text, _, _ in items)
            made = Bullets(entries, items[0][3], page.place(spans))
            ends[id(made)] = Ends(edge - spans[-1].right, 0.0, False, spans[-1].size, begins)
            found.append(made)
            items.clear()

    for number, (group, level, dot) in enumerate(zip(groups, kinds, dotted, strict=True)):
        spans = [span for row, _ in group for span in row]
        text = joined([line for _, line in group])
        mark = MARK.match(text)
        if mark is not None and number == 0 and _is_large(mark.group(2)):
            mark = None  # the end of a sentence that began elsewhere
        if level:
            flush()
            found.append(Heading(text, level, page.place(spans)))
        elif dot:
            begins = begins and bool(items)
            items.append((spans[0].left, text, spans, False))
        elif mark is not None and text[mark.end() :]:
            begins = begins if items else mark.group(2) is not None and mark.group(2).strip("().").lower() in ("1", "a")
            items.append((spans[0].left, text[mark.end() :], spans, mark.group(2) is not None))
        else:
            flush()
            made = Paragraph(text, page.place(spans))
            first, last = group[0][0], group[-1][0]
            indented = first[0].left - region.box.left > 0.8 * first[0].size
            room = region.box.right - last[-1].right
            # Lines of Chinese end before a character that must stay with the mark after it.
            short = DENSE if ord(last[-1].text[-1]) >= 0x2E80 else JUSTIFIED
            if justified and room > short * last[-1].size:
                room = region.box.width  # other lines end at the edge: this one was ended by somebody
            ends[id(made)] = Ends(room, _first_word(first), indented, last[-1].size)
            found.append(made)
    flush()
    return found


def _is_large(mark: str | None) -> bool:
    """Whether a number is none that an item at the top of a column has."""
    digits = re.search(r"\d+", mark or "")
    return digits is not None and int(digits.group()) > LONGEST


def _first_word(row: list[Span]) -> float:
    """Width of a row's first word; of Chinese its first two characters."""
    span = row[0]
    if ord(span.text[0]) >= 0x2E80:
        return 2 * span.size  # marks that no line may begin with take one with them
    space = span.text.find(" ")
    return (span.lefts[space] if 0 < space < len(span.lefts) else span.right) - span.left


def _size(row: list[Span]) -> float:
    """Height of most characters of a row."""
    sizes: Counter[float] = Counter()
    for span in row:
        sizes[span.type_size] += len(span.text)
    return max(sizes, key=lambda size: (sizes[size], size))
