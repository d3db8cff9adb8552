"""What was read in a picture as a page: lines as spans, and sizes of fonts that are alike made equal."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rag.ocr import Scan
from rag.pages.page import Affine, Box, Page, Span

ALIKE = 0.11
"""Share by which sizes of one font differ at most, as they are measured in a picture."""
BODY = 10.0
"""Points of running text on a page whose size nobody knows."""


@dataclass(frozen=True)
class Sizes:
    """Sizes of fonts.

    Attributes:
        known: Each that there is, the largest first.
    """

    known: tuple[float, ...]

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
        body = sizes_of([(line.size, len(line.text)) for line in scan.lines]).known
        across = down = BODY / (_body(scan) if body else 20.0)
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
    page.back = _shares(scan)
    return page


def made_alike(pages: Iterable[Page], sizes: Sizes) -> None:
    """Give the spans of pages that were read one of some sizes each."""
    for page in pages:
        if page.scanned:
            for span in page.spans:
                span.points = sizes.nearest(span.points)


def measured(pages: Iterable[Page]) -> list[tuple[float, int]]:
    """Sizes of the spans of pages that were read, with how many characters have them."""
    return [(span.points, len(span.text)) for page in pages if page.scanned for span in page.spans]


def sizes_of(sizes: list[tuple[float, int]], given: Sizes = Sizes(())) -> Sizes:
    """Sizes of fonts out of those that were measured.

    Args:
        sizes: Each with how many characters have it.
        given: Sizes that are known to be there.
    """
    if not sizes:
        return given
    known = list(given.known)
    body = given.nearest(_middle(sizes))
    if body not in known:
        known.append(body)
    rest = sorted((one for one in sizes if all(abs(one[0] - size) > ALIKE * size for size in known)), reverse=True)
    while rest:
        group = [one for one in rest if one[0] >= (1 - ALIKE) * rest[0][0]]
        rest = rest[len(group) :]
        known.append(_middle(group))
    return Sizes(tuple(sorted({round(size, 1) for size in known}, reverse=True)))


def _straight(scan: Scan, width: float, height: float) -> tuple[float, float]:
    """Points of a pixel. A picture that was made straight is larger than the page."""
    back = scan.back
    length = (back[0, 0] ** 2 + back[1, 0] ** 2) ** 0.5  # pixels as given, of one as it is now
    given_width = scan.given[1] if scan.quarters % 2 else scan.given[0]
    given_height = scan.given[0] if scan.quarters % 2 else scan.given[1]
    return float(length * width / given_width), float(length * height / given_height)


def _body(scan: Scan) -> float:
    return _middle([(line.size, len(line.text)) for line in scan.lines])


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
    """Where characters begin, about: Chinese ones are twice as wide as others."""
    widths = [2.0 if ord(character) >= 0x2E80 else 1.0 for character in text]
    step = (right - left) / max(sum(widths), 1.0)
    found, at = [], left
    for width in widths:
        found.append(at)
        at += step * width
    return found


def _shares(scan: Scan) -> Affine:
    """From shares of the upright picture to those of the one that was given."""
    (a, b, c), (d, e, f) = scan.back.tolist()
    wide, high = scan.given
    return (
        a * scan.width / wide, b * scan.height / wide, c / wide,
        d * scan.width / high, e * scan.height / high, f / high,
    )  # fmt: skip
