"""Plots of points of a space with a value each: scatter, parallel coordinates, contour, bars. Colours go by the value."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree.ElementTree import Element, SubElement

from easyrec.report.svg import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, LogScale, Scale, number

SHADES = 5
"""Colours, from the worst values to the best."""
CELLS = 28
"""Cells of a contour, along each side."""


@dataclass(frozen=True)
class Axis:
    """A parameter of a space.

    Attributes:
        name: Its name.
        labels: Of a choice: its options.
        log: Whether its logarithm counts.
    """

    name: str
    labels: Sequence[str] = ()
    log: bool = False

    def scale(self, values: Sequence[Any], start: float, end: float) -> Place:
        """Where values lie between two pixels."""
        if self.labels:
            inset = (end - start) / (2 * len(self.labels))
            return Place(Scale(0.0, max(len(self.labels) - 1.0, 1.0), start + inset, end - inset), self)
        numbers = [float(v) for v in values]
        return Place(LogScale.over(numbers, start, end) if self.log else Scale.over(numbers, start, end), self)


@dataclass(frozen=True)
class Place:
    """The map of an axis's values to pixels."""

    scale: Scale | LogScale
    axis: Axis

    def __call__(self, value: Any) -> float:
        """The pixel of a value."""
        return self.scale(self.axis.labels.index(str(value)) if self.axis.labels else float(value))

    def ticks(self) -> list[tuple[float, str]]:
        """Pixels with what stands beside them."""
        if self.axis.labels:
            return [(self.scale(i), _short(label)) for i, label in enumerate(self.axis.labels)]
        found = self.scale.ticks()
        step = max(1, math.ceil(len(found) / 7))
        return [(self.scale(tick), number(tick, 3)) for tick in found[::step]]


@dataclass(frozen=True)
class Point:
    """A point and its value.

    Attributes:
        name: What it is called.
        values: By axis.
        value: What it gave.
        rank: From 0, the worst, to 1, the best.
    """

    name: str
    values: Mapping[str, Any]
    value: float
    rank: float

    @property
    def shade(self) -> str:
        """Its colour."""
        return f"q{min(int(self.rank * SHADES), SHADES - 1)}"


def scatter(points: Sequence[tuple[float, float, str, str]], label: str, x: str, y: str, line: bool = False) -> Element:
    """Dots.

    Args:
        points: (x, y, title, class) of each.
        label: What the picture shows.
        x: Title of the x axis.
        y: Title of the y axis.
        line: Whether a line of the best so far is drawn, of the points whose class is `best`.
    """
    sx = Place(Scale.over([p[0] for p in points], LEFT, WIDTH - RIGHT, margin=0.03), Axis(x))
    sy = Place(Scale.over([p[1] for p in points], HEIGHT - BOTTOM, TOP, margin=0.08), Axis(y))
    root = _frame(label, sx, sy)
    best = [(sx(p[0]), sy(p[1])) for p in points if p[3] == "best"]
    if line and best:
        path = f"M{best[0][0]:.1f},{best[0][1]:.1f}" + "".join(f"H{a:.1f}V{b:.1f}" for a, b in best[1:])
        SubElement(root, "path", {"class": "line s1", "d": f"{path}H{sx(max(p[0] for p in points)):.1f}"})
    for a, b, title, kind in points:
        shade = {"best": "dot s1", "other": "dot s0", "ended": "dot ended"}.get(kind, f"dot {kind}")
        dot = {"class": shade, "cx": f"{sx(a):.1f}", "cy": f"{sy(b):.1f}", "r": "3.5"}
        SubElement(SubElement(root, "circle", dot), "title").text = title
    return root


def parallel(points: Sequence[Point], axes: Sequence[Axis], value: str) -> Element:
    """Parallel coordinates: an axis per parameter and one for the value, a thread per point, the best on top.

    A thread leaves out the axes of parameters that its point does not have.
    """
    width, top, bottom = max(420, 150 * (len(axes) + 1)), 34, 14
    root = Element("svg", {"class": "plot", "viewBox": f"0 0 {width} {HEIGHT + 30}", "role": "img"})
    root.set("aria-label", f"parameters and {value} of all trials")
    low, high = HEIGHT + 30 - bottom, top
    last = Axis(value)
    told = [*axes, last]
    values = {a.name: [p.values[a.name] for p in points if a.name in p.values] for a in axes}
    values[last.name] = [p.value for p in points]
    places = [a.scale(values[a.name], low, high) for a in told]
    gap = (width - 110) / max(len(told) - 1, 1)
    across = [75 + i * gap for i in range(len(told))]
    for point in sorted(points, key=lambda p: p.rank):
        given = {**point.values, last.name: point.value}
        knots = [(x, s(given[a.name])) for x, a, s in zip(across, told, places, strict=True) if a.name in given]
        path = " ".join(f"{'L' if i else 'M'}{x:.1f},{y:.1f}" for i, (x, y) in enumerate(knots))
        SubElement(SubElement(root, "path", {"class": f"thread {point.shade}", "d": path}), "title").text = point.name
    for x, axis, place in zip(across, told, places, strict=True):
        at = f"{x:.1f}"
        SubElement(root, "line", {"class": "axis", "x1": at, "x2": at, "y1": str(high), "y2": str(low)})
        _text(root, x, 16, _short(axis.name, 22, end=True), "middle", "name")
        for y, text in place.ticks():
            _text(root, x - 5, y + 4, text, "end")
    return root


def contour(points: Sequence[Point], x: Axis, y: Axis) -> Element:
    """The value over two parameters: between points the mean of them, nearer ones weighing more."""
    sx = x.scale([p.values[x.name] for p in points], LEFT, WIDTH - RIGHT)
    sy = y.scale([p.values[y.name] for p in points], HEIGHT - BOTTOM, TOP)
    placed = [(sx(p.values[x.name]), sy(p.values[y.name]), p) for p in points]
    root = _frame(f"value over {x.name} and {y.name}", sx, sy, side="")
    wide, tall = (WIDTH - RIGHT - LEFT) / CELLS, (HEIGHT - BOTTOM - TOP) / CELLS
    for column in range(CELLS):
        for row in range(CELLS):
            left, upper = LEFT + column * wide, TOP + row * tall
            rank = _near(placed, left + wide / 2, upper + tall / 2)
            shade = f"cell q{min(int(rank * SHADES), SHADES - 1)}"
            box = {"x": left, "y": upper, "width": wide + 0.3, "height": tall + 0.3}
            SubElement(root, "rect", {"class": shade, **{k: f"{v:.1f}" for k, v in box.items()}})
    for a, b, point in placed:
        dot = {"class": "dot ringed", "cx": f"{a:.1f}", "cy": f"{b:.1f}", "r": "3"}
        SubElement(SubElement(root, "circle", dot), "title").text = point.name
    return root


def bars(values: Mapping[str, float], label: str) -> Element:
    """Shares as bars, each with its name."""
    tall, left = 26, 170
    root = Element("svg", {"class": "plot", "viewBox": f"0 0 {WIDTH} {tall * len(values) + 6}", "role": "img"})
    root.set("aria-label", label)
    top = max(values.values(), default=0.0) or 1.0
    for index, (name, value) in enumerate(values.items()):
        y = index * tall + 4
        _text(root, left - 8, y + 15, _short(name, 22, end=True), "end", "name")
        width = max(value / top * (WIDTH - left - 60), 1.0)
        box = {"x": str(left), "y": str(y), "width": f"{width:.1f}", "height": str(tall - 8)}
        SubElement(SubElement(root, "rect", {"class": "bar s0", **box}), "title").text = name
        _text(root, left + width + 6, y + 14, f"{value:.0%}", "start")
    return root


def _near(placed: Sequence[tuple[float, float, Point]], x: float, y: float) -> float:
    """The mean rank of the points, each weighing by its distance to the power of -3."""
    weights = [((a - x) ** 2 + (b - y) ** 2 + 9.0) ** -1.5 for a, b, _ in placed]
    return float(sum(w * p.rank for w, (_, _, p) in zip(weights, placed, strict=True)) / sum(weights))


def _frame(label: str, sx: Place, sy: Place, side: str | None = None) -> Element:
    """Axes with ticks and titles; the one on the side is the axis's name unless another is given."""
    root = Element("svg", {"class": "plot", "viewBox": f"0 0 {WIDTH} {HEIGHT}", "role": "img", "aria-label": label})
    for at, text in sy.ticks():
        ends = {"x1": str(LEFT), "x2": str(WIDTH - RIGHT), "y1": f"{at:.1f}", "y2": f"{at:.1f}"}
        SubElement(root, "line", {"class": "grid", **ends})
        _text(root, LEFT - 8, at + 4, text, "end")
    for at, text in sx.ticks():
        _text(root, at, HEIGHT - BOTTOM + 18, text, "middle")
    base = str(HEIGHT - BOTTOM)
    SubElement(root, "line", {"class": "axis", "x1": str(LEFT), "x2": str(WIDTH - RIGHT), "y1": base, "y2": base})
    _text(root, (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, _short(sx.axis.name, 48, end=True), "middle", "name")
    title = _text(root, 0, 0, _short(sy.axis.name, 30, end=True) if side is None else side, "middle", "name")
    title.set("transform", f"translate(12 {(TOP + HEIGHT - BOTTOM) / 2:.0f}) rotate(-90)")
    return root


def _short(text: str, most: int = 12, *, end: bool = False) -> str:
    """The text, cut where it is too long; `end` keeps its end, which tells names apart."""
    if len(text) <= most:
        return text
    return f"…{text[-most + 1 :]}" if end else f"{text[: most - 1]}…"


def _text(root: Element, x: float, y: float, text: str, anchor: str, kind: str = "tick") -> Element:
    element = SubElement(root, "text", {"x": f"{x:.1f}", "y": f"{y:.1f}", "text-anchor": anchor, "class": kind})
    element.text = text
    return element
