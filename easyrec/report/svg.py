"""Plots as SVG elements: line charts and bar charts whose colours come from the page's style sheet."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element, SubElement

WIDTH, HEIGHT = 420, 250
LEFT, RIGHT, TOP, BOTTOM = 70, 14, 12, 42


@dataclass(frozen=True)
class Series:
    """One line of a chart: `ys[i]` at `xs[i]`; a `dashed` one is a reference, not a measurement."""

    name: str
    xs: Sequence[float]
    ys: Sequence[float]
    dashed: bool = False
    dots: bool = False


@dataclass(frozen=True)
class Scale:
    """A linear map of values to pixels, with round ticks."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """The pixel of `value`."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self, about: int = 5) -> list[float]:
        """Round numbers inside the scale, about as many as asked."""
        step = round_step((self.high - self.low) / about)
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [i * step for i in range(first, last + 1)]

    @staticmethod
    def over(values: Sequence[float], start: float, end: float, *, margin: float = 0.05) -> Scale:
        """The scale that shows all `values`, with room of `margin` of their range on both sides."""
        low, high = (min(values), max(values)) if values else (0.0, 1.0)
        if high - low < 1e-12 * max(1.0, abs(high)):
            room = abs(high) * 0.05 or 0.5
            low, high = low - room, high + room
        room = (high - low) * margin
        return Scale(low - room, high + room, start, end)


@dataclass(frozen=True)
class LogScale:
    """A map of the logs of positive values to pixels, with ticks at 1, 2 and 5 times powers of ten."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """The pixel of `value`."""
        share = math.log(value / self.low) / math.log(self.high / self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Round numbers inside the scale."""
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        return [m * 10.0**power for power in powers for m in (1, 2, 5) if self.low <= m * 10.0**power <= self.high]

    @staticmethod
    def over(values: Sequence[float], start: float, end: float) -> LogScale:
        """The scale that shows all `values`, with some room on both sides."""
        low, high = (min(values), max(values)) if values else (1.0, 10.0)
        return LogScale(low / 1.3, high * 1.3, start, end)


def round_step(step: float) -> float:
    """The smallest of 1, 2, 2.5, 5 times a power of ten that is not below `step`."""
    power = 10.0 ** math.floor(math.log10(step))
    return float(next(m * power for m in (1.0, 2.0, 2.5, 5.0, 10.0) if m * power >= step * (1 - 1e-9)))


def number(value: float, digits: int = 4) -> str:
    """A number as people read it: 1.2 M, 35 k, 0.8123."""
    if not math.isfinite(value):
        return str(value)
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= max(size, 1e4):
            return _digits(value / size, digits - 1) + unit
    return str(int(value)) if value == int(value) else _digits(value, digits)


def _digits(value: float, digits: int) -> str:
    """At least this many leading digits, never an exponent, no zeros that say nothing."""
    if value and abs(value) < 1e-4:
        return f"{value:.{digits}g}"
    before = len(str(int(abs(value)))) if abs(value) >= 1 else 0
    text = f"{value:.{max(digits - before, 0)}f}" if before else f"{value:.{digits}g}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def line_chart(
    series: Sequence[Series],
    label: str,
    x: str,
    y: str,
    *,
    unit: bool = False,
    log: bool = False,
    mark: tuple[float, str] | None = None,
    span: tuple[float, float] | None = None,
) -> Element:
    """A line chart.

    Args:
        series: The lines; at most six get colours of their own.
        label: What the picture shows, for those who cannot see it.
        x: Title of the x axis.
        y: Title of the y axis; empty for none.
        unit: Both axes run from 0 to 1.
        log: The y axis is one of logs; all values are above 0.
        mark: An x value and a word to mark it with.
        span: Values that the x axis must show.
    """
    points = [(float(a), float(b)) for s in series for a, b in zip(s.xs, s.ys, strict=True) if math.isfinite(b)]
    across = (LEFT, WIDTH - RIGHT)
    down = (HEIGHT - BOTTOM, TOP)
    sx = (
        Scale(0.0, 1.0, *across) if unit else Scale.over([*(span or ()), *(p[0] for p in points)], *across, margin=0.02)
    )
    heights = [p[1] for p in points]
    sy: Scale | LogScale
    if log:
        sy = LogScale.over(heights, *down)
    else:
        sy = Scale(0.0, 1.0, *down) if unit else Scale.over(heights, *down, margin=0.08)
    root = _frame(label, x, y, sx, sy)
    if mark is not None and sx.low <= mark[0] <= sx.high:
        at = f"{sx(mark[0]):.1f}"
        SubElement(root, "line", {"class": "mark", "x1": at, "x2": at, "y1": str(TOP), "y2": str(HEIGHT - BOTTOM)})
        near_end = mark[0] > (sx.low + sx.high) / 2
        _text(root, sx(mark[0]) + (-5 if near_end else 5), TOP + 11, mark[1], "end" if near_end else "start")
    for index, one in enumerate(series):
        kind = f"s{index % 6}" + (" dashed" if one.dashed else "")
        path = " ".join(
            f"{'M' if i == 0 else 'L'}{sx(float(a)):.1f},{sy(float(b)):.1f}"
            for i, (a, b) in enumerate((a, b) for a, b in zip(one.xs, one.ys, strict=True) if math.isfinite(b))
        )
        line = SubElement(root, "path", {"class": f"line {kind}", "d": path})
        SubElement(line, "title").text = one.name
        if one.dots:
            for a, b in zip(one.xs, one.ys, strict=True):
                if math.isfinite(b):
                    dot = {"class": f"dot {kind}", "cx": f"{sx(a):.1f}", "cy": f"{sy(b):.1f}", "r": "3.5"}
                    SubElement(
                        SubElement(root, "circle", dot), "title"
                    ).text = f"{one.name}: {number(b)} at {number(a)}"
    return root


def bar_chart(counts: Sequence[float], edges: Sequence[float], label: str, x: str, y: str) -> Element:
    """A histogram: `counts[i]` between `edges[i]` and `edges[i + 1]`."""
    sx = Scale(edges[0], edges[-1], LEFT, WIDTH - RIGHT)
    sy = Scale(0.0, (max(counts) or 1.0) * 1.05, HEIGHT - BOTTOM, TOP)
    root = _frame(label, x, y, sx, sy)
    for count, low, high in zip(counts, edges, edges[1:], strict=False):
        box = {
            "class": "bar s0",
            "x": f"{sx(low) + 0.5:.1f}",
            "y": f"{sy(count):.1f}",
            "width": f"{max(sx(high) - sx(low) - 1, 0.5):.1f}",
            "height": f"{max(HEIGHT - BOTTOM - sy(count), 0):.1f}",
        }
        SubElement(SubElement(root, "rect", box), "title").text = f"{number(low)} .. {number(high)}: {number(count)}"
    return root


def spark(counts: Sequence[float], label: str) -> Element:
    """A histogram as small as a word."""
    width, height = 96, 22
    root = Element("svg", {"class": "spark", "viewBox": f"0 0 {width} {height}", "role": "img", "aria-label": label})
    top = max(counts, default=0.0) or 1.0
    step = width / max(len(counts), 1)
    for i, count in enumerate(counts):
        tall = max(count / top * (height - 2), 1.0 if count else 0.0)
        box = {"x": i * step + 0.5, "y": height - tall, "width": max(step - 1, 0.5), "height": tall}
        SubElement(root, "rect", {"class": "bar s0", **{k: f"{v:.1f}" for k, v in box.items()}})
    return root


def _frame(label: str, x: str, y: str, sx: Scale, sy: Scale | LogScale) -> Element:
    root = Element("svg", {"class": "plot", "viewBox": f"0 0 {WIDTH} {HEIGHT}", "role": "img", "aria-label": label})
    form = number if isinstance(sy, LogScale) else _format(sy.ticks())
    for tick in sy.ticks():
        at = f"{sy(tick):.1f}"
        SubElement(root, "line", {"class": "grid", "x1": str(LEFT), "x2": str(WIDTH - RIGHT), "y1": at, "y2": at})
        _text(root, LEFT - 8, sy(tick) + 4, form(tick), "end")
    form = _format(sx.ticks())
    for tick in sx.ticks():
        _text(root, sx(tick), HEIGHT - BOTTOM + 18, form(tick), "middle")
    base = str(HEIGHT - BOTTOM)
    SubElement(root, "line", {"class": "axis", "x1": str(LEFT), "x2": str(WIDTH - RIGHT), "y1": base, "y2": base})
    _text(root, (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, x, "middle", "name")
    if y:
        side = _text(root, 0, 0, y, "middle", "name")
        side.set("transform", f"translate(12 {(TOP + HEIGHT - BOTTOM) / 2:.0f}) rotate(-90)")
    return root


def _format(ticks: Sequence[float]) -> Callable[[float], str]:
    """How to write all ticks of an axis: with as many decimals as their step needs."""
    step = ticks[1] - ticks[0] if len(ticks) > 1 else 1.0
    if max(map(abs, ticks), default=0.0) >= 1e4:
        return number
    decimals = next((d for d in range(7) if abs(round(step, d) - step) < step * 1e-6), 6)
    return lambda value: f"{value:.{decimals}f}"


def _text(root: Element, x: float, y: float, text: str, anchor: str, kind: str = "tick") -> Element:
    at = {"x": f"{x:.1f}", "y": f"{y:.1f}", "text-anchor": anchor, "class": kind}
    element = SubElement(root, "text", at)
    element.text = text
    return element
