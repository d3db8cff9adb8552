"""What was read in a picture as a page: lines as spans, and sizes of fonts that are alike made equal."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rag.ocr import Scan
from rag.pages.page import Affine, Box, Page, Span

ALIKE = 0.11
"""Share by which sizes of one font differ at most, as they are measured in a picture."""
MANY = 40
"""Characters of a script, whose size tells that of running text."""
BODY = 10.0
"""Points of running text on a page whose size nobody knows."""


@dataclass(frozen=True)
class Sizes:
    """Sizes of fonts.

    Attributes:
        known: Each that there is, the largest first.
        dense: How much larger those of Chinese are than they are measured, beside Latin ones.
    """

    known: tuple[float, ...]
    dense: float = 1.0

    def of(self, span: Span) -> float:
        """The size of a span."""
        return self.nearest(span.points * (self.dense if _is_dense(span.text) else 1.0))

    def nearest(self, size: float) -> float:
        """The one that a size must be, if it is near enough."""
        near = min(self.known, key=lambda known: abs(known - size), default=size)
        return near if abs(near - size) <= ALIKE * near else size


def page_of(scan: Scan, number: int, width: float = 0.0, height: float = 0.0) -> Page:
    """A page.

    Args:
        scan: What was read on it.
        number: Of the page, from 1 on.
        width: Points of the page as it was given, before it was turned; 0: not known, then running text decides.
        height: As `width`.
    """
    sides = (height, width) if scan.quarters % 2 else (width, height)
    if width and height:
        across, down = _straight(scan, *sides)
    else:
        across = down = BODY / (_middle([(line.size, len(line.text)) for line in scan.lines]) if scan.lines else 20.0)
    page = Page(number, scan.width * across, scan.height * down, scanned=True)
    for line in scan.lines:
        lefts = _lefts(line.text, line.left * across, line.right * across)
        page.spans.append(
            Span(
                line.left * across, line.top * down, line.right * across, line.bottom * down, line.text, lefts,
                points=line.size * down,
            )
        )  # fmt: skip
    page.rules = [Box(a * across, b * down, c * across, d * down) for a, b, c, d in scan.rules]
    page.dots = [Box(a * across, b * down, c * across, d * down) for a, b, c, d in scan.dots]
    page.back = _shares(scan)
    return page


def made_alike(pages: Iterable[Page], sizes: Sizes) -> None:
    """Give the spans of pages that were read one of some sizes each."""
    for page in pages:
        if page.scanned:
            for span in page.spans:
                span.points = sizes.of(span)


def sizes_of(pages: Iterable[Page], given: Sizes = Sizes(())) -> Sizes:
    """Sizes of fonts out of those that were measured.

    Args:
        pages: Those of them that were read are looked at.
        given: Sizes that are known to be there.
    """
    spans = [span for page in pages if page.scanned for span in page.spans]
    if not spans:
        return given
    kinds = [[(s.points, len(s.text)) for s in spans if _is_dense(s.text) == kind] for kind in (False, True)]
    dense = 1.0
    if all(sum(count for _, count in kind) >= MANY for kind in kinds):
        # Running text of both has one size, if what is measured is near enough.
        dense = _middle(kinds[0]) / _middle(kinds[1])
        dense = dense if abs(dense - 1) <= 1.5 * ALIKE else 1.0
    sizes = kinds[0] + [(size * dense, count) for size, count in kinds[1]]
    known = list(given.known)
    body = given.nearest(_middle(sizes))
    if body not in known:
        known.append(body)
    rest = sorted((one for one in sizes if all(abs(one[0] - size) > ALIKE * size for size in known)), reverse=True)
    while rest:
        group = [one for one in rest if one[0] >= (1 - ALIKE) * rest[0][0]]
        rest = rest[len(group) :]
        known.append(_middle(group))
    return Sizes(tuple(sorted({round(size, 1) for size in known}, reverse=True)), dense)


def _is_dense(text: str) -> bool:
    """Whether most of it is Chinese."""
    return 2 * sum(ord(character) >= 0x2E80 for character in text) > len(text)


def _straight(scan: Scan, width: float, height: float) -> tuple[float, float]:
    """Points of a pixel. A picture that was made straight is larger than the page."""
    back = scan.back
    length = (back[0, 0] ** 2 + back[1, 0] ** 2) ** 0.5  # pixels as given, of one as it is now
    given_width = scan.given[1] if scan.quarters % 2 else scan.given[0]
    given_height = scan.given[0] if scan.quarters % 2 else scan.given[1]
    return float(length * width / given_width), float(length * height / given_height)


def _middle(sizes: list[tuple[float, int]]) -> float:
    """The median by characters."""
    ordered = sorted(sizes)
    half, passed = sum(count for _, count in ordered) / 2, 0
    for size, count in ordered:
        passed += count
        if passed >= half:
            return size
    return ordered[-1][0]


def _lefts(text: str, left: float, right: float) -> list[float]:
    """Where characters begin, about."""
    widths = [_width(character) for character in text]
    step = (right - left) / max(sum(widths), 1.0)
    found, at = [], left
    for width in widths:
        found.append(at)
        at += step * width
    return found


def _width(character: str) -> float:
    """Of a character, where that of most letters is 1."""
    if ord(character) >= 0x2E80:
        return 2.0
    if character in "iljtfrI.,;:'!|()[] ":
        return 0.6
    if character in "mwMW%@":
        return 1.6
    return 1.3 if character.isupper() else 1.0


def _shares(scan: Scan) -> Affine:
    """From shares of the upright picture to those of the one that was given."""
    (a, b, c), (d, e, f) = scan.back.tolist()
    wide, high = scan.given
    return (
        a * scan.width / wide, b * scan.height / wide, c / wide,
        d * scan.width / high, e * scan.height / high, f / high,
    )  # fmt: skip
