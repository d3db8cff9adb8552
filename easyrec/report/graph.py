"""A model as an SVG file: groups, blocks and heads, with shapes and numbers of weights."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from easyrec.durable import write_text
from easyrec.models._boxes import Box, Panel, Picture
from easyrec.report.layered import place

MARGIN, GAP_X, GAP_Y, LINE, PAD = 24, 56, 18, 16, 10
STYLE = """
svg { color-scheme: light dark; --page: #f7f7f5; --card: #ffffff; --ink: #1d1d1b; --soft: #6b6a66; --line: #c9c7c0;
  --group: #16996b; --block: #8d8b84; --package: #6a55c2; --head: #2a78d6;
  font: 12px system-ui, -apple-system, "Segoe UI", "Noto Sans", "Noto Sans CJK SC", sans-serif; }
@media (prefers-color-scheme: dark) { svg { --page: #161615; --card: #1f1f1d; --ink: #ecebe6; --soft: #a09f99;
  --line: #4a4944; --group: #35b386; --block: #76746d; --package: #9a8bea; --head: #4f97ec; } }
.page { fill: var(--page); }
.box { fill: var(--card); stroke-width: 1.5; }
.box.group { stroke: var(--group); } .box.block { stroke: var(--block); }
.box.package { stroke: var(--package); stroke-dasharray: 5 3; } .box.head { stroke: var(--head); stroke-width: 2; }
.edge { fill: none; stroke: var(--line); stroke-width: 1.5; } .tip { fill: var(--line); }
text { fill: var(--soft); font-variant-numeric: tabular-nums; } .title { fill: var(--ink); font-weight: 600; }
.head-line { fill: var(--ink); font-size: 16px; font-weight: 650; } .panel { fill: var(--soft); font-weight: 600; }
"""


def write_graph(path: str | Path, picture: Picture, title: str, subtitle: str) -> None:
    """Write the picture of a model as a file, all of it or nothing.

    Raises:
        OSError: It cannot be written.
    """
    root = graph(picture, title, subtitle)
    indent(root, " ")
    write_text(Path(path), tostring(root, encoding="unicode") + "\n")


def graph(picture: Picture, title: str, subtitle: str) -> Element:
    """The picture as an SVG element: the same picture, the same element."""
    root = Element("svg", {"xmlns": "http://www.w3.org/2000/svg", "role": "img", "aria-label": title})
    SubElement(root, "style").text = STYLE
    page = SubElement(root, "rect", {"class": "page", "x": "0", "y": "0"})
    _text(root, MARGIN, MARGIN + 12, title, "head-line")
    _text(root, MARGIN, MARGIN + 30, subtitle, "")
    width = max(_width(title, 9.0), _width(subtitle))
    top = MARGIN + 52.0
    for panel in picture.panels:
        if panel.title:
            _text(root, MARGIN, top + 4, panel.title, "panel")
            top += 18
        wide, tall = _panel(root, panel, MARGIN, top)
        width, top = max(width, wide), top + tall + MARGIN
    size = {"width": f"{width + 2 * MARGIN:.0f}", "height": f"{top:.0f}"}
    page.attrib |= size
    root.attrib |= {**size, "viewBox": f"0 0 {size['width']} {size['height']}"}
    return root


def _panel(root: Element, panel: Panel, left: float, top: float) -> tuple[float, float]:
    """Draw a panel; its width and height."""
    boxes = {box.id: box for box in panel.boxes}
    reads = {box.id: list(dict.fromkeys(ref for ref in box.reads if ref in boxes)) for box in panel.boxes}
    heights = {box.id: 2 * PAD + LINE * (1 + len(box.lines)) - 3.0 for box in panel.boxes}
    placed = place(reads, heights, GAP_Y)
    number = max(placed.column.values(), default=-1) + 1
    widths = [max(_box_width(boxes[n]) for n, c in placed.column.items() if c == column) for column in range(number)]
    lefts = [left + sum(widths[:column]) + GAP_X * column for column in range(number)]
    for (source, target), route in placed.routes.items():
        at = placed.column[source]
        points = [(lefts[at] + widths[at], top + placed.middle[source])]
        for column, y in route:
            points += [(lefts[column], top + y), (lefts[column] + widths[column], top + y)]
        points.append((lefts[placed.column[target]] - 6, top + placed.middle[target]))
        _edge(root, points)
    for name, box in boxes.items():
        column = placed.column[name]
        _box(root, box, lefts[column], top + placed.middle[name] - heights[name] / 2, widths[column], heights[name])
    return sum(widths) + GAP_X * max(number - 1, 0), placed.height


def _edge(root: Element, points: Sequence[tuple[float, float]]) -> None:
    """A curve through the points, which leaves and arrives level, and its tip."""
    path = f"M{points[0][0]:.1f},{points[0][1]:.1f}"
    for (x0, y0), (x1, y1) in pairwise(points):
        half = (x1 - x0) / 2
        path += f" C{x0 + half:.1f},{y0:.1f} {x1 - half:.1f},{y1:.1f} {x1:.1f},{y1:.1f}"
    SubElement(root, "path", {"class": "edge", "d": path})
    x, y = points[-1]
    SubElement(root, "path", {"class": "tip", "d": f"M{x:.1f},{y - 4:.1f} L{x + 6:.1f},{y:.1f} L{x:.1f},{y + 4:.1f} Z"})


def _box(root: Element, box: Box, x: float, y: float, width: float, height: float) -> None:
    group = SubElement(root, "g")
    if box.note:
        SubElement(group, "title").text = box.note
    shape = {"x": f"{x:.1f}", "y": f"{y:.1f}", "width": f"{width:.1f}", "height": f"{height:.1f}", "rx": "6"}
    SubElement(group, "rect", {"class": f"box {box.kind}", **shape})
    _text(group, x + PAD, y + PAD + 10, box.title, "title")
    for number, line in enumerate(box.lines, 1):
        _text(group, x + PAD, y + PAD + 10 + LINE * number, line, "")


def _text(root: Element, x: float, y: float, text: str, kind: str) -> None:
    at = {"x": f"{x:.1f}", "y": f"{y:.1f}"}
    SubElement(root, "text", {**at, "class": kind} if kind else at).text = text


def _box_width(box: Box) -> float:
    return max(_width(box.title, 7.2), *(_width(line) for line in box.lines), 60.0) + 2 * PAD


def _width(text: str, each: float = 6.6) -> float:
    """About how wide a text is; Chinese characters count twice."""
    return sum(each * (1.9 if unicodedata.east_asian_width(c) in "WF" else 1.0) for c in text)
