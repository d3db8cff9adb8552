"""What stands at the edges of pages and belongs to none of them: heads, feet and numbers of pages."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from rag.pages.page import Page, Span, line_text, rows_of
from rag.pages.paragraphs import LARGER

PAGE_NUMBER = re.compile(
    r"(?:page|seite|第)?\s*[-\u2013(]?\s*\d{1,5}\s*[-\u2013)]?\s*(?:(?:/|of|von)\s*\d{1,5}|页)?", re.IGNORECASE
)
"""A line that tells the number of its page and nothing else."""
ARABIC = re.compile(r"[-\u2013(]?(\d{1,5})[-\u2013)]?")
ROMAN = re.compile(r"(?=[ivxlc])(c{0,3})(xc|xl|l?x{0,3})(ix|iv|v?i{0,3})", re.IGNORECASE)
EDGE = 0.09
"""Share of a page at its top and bottom where what repeats is looked for."""
REPEATED = 0.5
"""Share of the pages that have it."""
COUNTED = 0.25
"""Share of the pages whose numbers stand at one height: left pages may have theirs elsewhere, and so may prefaces."""
FEWEST = 3
"""Pages that have it, at least."""
SMALL = 0.92
"""Of running text, that what stands beside the number of a single page has at most."""
NEXT = 1.6
"""Of the height of characters: how far a row of a table is from the next one at most."""
LEVEL = 2.0
"""Points by which what stands at one height differs at most."""


class Running:
    """Heads, feet and numbers of pages.

    Args:
        pages: Some pages of a document.
        body: Height of its running text.
    """

    def __init__(self, pages: Sequence[Page], body: float) -> None:
        self._body = body
        self._repeated = _repeated(pages)
        self._counted = _counted(pages, LARGER * body)

    def without(self, page: Page) -> list[Span]:
        """The spans of a page that belong to it alone."""
        gone: set[int] = set()
        edges = rows_of(_at_edges(page))
        sizes: set[float] = set()  # of what stands beside the number of a page
        for row in edges:
            text = line_text(row)
            low = row[0].top > (1 - EDGE) * page.height
            lone = _numbers(text, page)
            beside = len(row) > 1 and row[-1].left > 0.5 * page.width and _numbers(row[-1].text, page)
            if low and beside and all(span.type_size <= SMALL * self._body for span in row):
                sizes |= {span.type_size for span in row}
                gone |= {id(span) for span in row}
            elif _is_header(row, page):
                continue
            elif _same(text) in self._repeated or (lone and low) or self._counts(row, page):
                gone |= {id(span) for span in row}
        for row in edges:  # the line at the head of a page looks as the one at its foot
            if row[0].bottom < EDGE * page.height and all(span.type_size in sizes for span in row):
                gone |= {id(span) for span in row}
        return [span for span in page.spans if id(span) not in gone]

    def _counts(self, row: list[Span], page: Page) -> bool:
        """Whether a row has the number of its page where other pages have theirs."""
        if any(span.type_size >= LARGER * self._body for span in row):
            return False
        found = [number - page.number for number in _ends(row)]
        return any(
            offset == other and abs(row[0].top - top) <= LEVEL for offset in found for top, other in self._counted
        )


def _is_header(row: list[Span], page: Page) -> bool:
    """Whether a row is the header of a table that goes over pages: cells stand closely below its own."""
    if len(row) < 2 or row[0].top > 0.5 * page.height:
        return False
    bottom = max(span.bottom for span in row)
    below = [span for span in page.spans if 0 <= span.top - bottom <= NEXT * row[0].size]
    return sum(any(abs(span.left - cell.left) <= 1 for span in below) for cell in row) >= 2


def _numbers(text: str, page: Page) -> bool:
    """Whether a text is the number of a page and nothing else."""
    return bool(PAGE_NUMBER.fullmatch(text)) and str(page.number) in re.findall(r"\d+", text)


def _ends(row: list[Span]) -> set[int]:
    """Numbers that a row begins, or ends, with."""
    words = line_text(row).split()
    found = set()
    for word in (words[:1] + words[-1:]) if words else []:
        if arabic := ARABIC.fullmatch(word):
            found.add(int(arabic.group(1)))
        elif roman := ROMAN.fullmatch(word.lower()):
            found.add(sum(_roman(part) for part in roman.groups()))
    return found


def _roman(text: str) -> int:
    """What one place of a Roman number counts."""
    counts = {"i": 1, "v": 5, "x": 10, "l": 50, "c": 100}
    numbers = [counts[letter] for letter in text]
    return sum(-n if any(m > n for m in numbers[k + 1 :]) else n for k, n in enumerate(numbers))


def _counted(pages: Sequence[Page], largest: float) -> list[tuple[float, int]]:
    """Heights at which pages have their numbers, and by how much these are more than the pages of the file."""
    seen: dict[int, list[tuple[float, int]]] = {}
    for page in pages:
        for row in rows_of(_at_edges(page)):
            if all(span.type_size < largest for span in row):
                for number in _ends(row):
                    seen.setdefault(number - page.number, []).append((row[0].top, page.number))
    least = max(FEWEST, COUNTED * len(pages))
    found: list[tuple[float, int]] = []
    for offset, places in seen.items():
        found += [
            (float(top), offset)
            for top in {round(top) for top, _ in places}
            if len({number for at, number in places if abs(at - top) <= LEVEL}) >= least
        ]
    return found


def _at_edges(page: Page) -> list[Span]:
    return [span for span in page.spans if span.bottom < EDGE * page.height or span.top > (1 - EDGE) * page.height]


def _same(text: str) -> str:
    """A line without its digits."""
    return re.sub(r"\d+", "#", text)


def _repeated(pages: Sequence[Page]) -> set[str]:
    """Lines at the edges that most pages have; of two pages, those that stand at the same place of both."""
    if len(pages) < 2:
        return set()
    rows = [[(_same(line_text(row)), row[0].top) for row in rows_of(_at_edges(page))] for page in pages]
    if len(pages) == 2:
        return {text for text, top in rows[0] if text and any(text == t and abs(top - y) < 2 for t, y in rows[1])}
    counts = Counter(text for own in rows for text in {text for text, _ in own})
    return {text for text, count in counts.items() if text and count >= max(FEWEST, REPEATED * len(pages))}
