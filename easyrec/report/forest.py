"""A forest plot: an estimate and its interval in each line, beside a line for no effect."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple
from xml.etree.ElementTree import Element, SubElement

from easyrec.report.svg import RIGHT, WIDTH, Scale

_NAMES = 130
_ROW = 24
_SHADES = {"good": "s2", "bad": "s1", "": "s0"}


class Span(NamedTuple):
    """A line of the plot: a name, a value with its interval, all as shares; `good`, `bad` or nothing special."""

    name: str
    value: float
    low: float
    high: float
    kind: str = ""


def forest(spans: Sequence[Span], label: str) -> Element:
    """The plot, in per cent.

    Args:
        spans: The lines, from the top.
        label: What the picture shows, for those who cannot see it.
    """
    height = _ROW * len(spans) + 40
    ends = [100 * end for span in spans for end in (span.low, span.high, span.value) if math.isfinite(end)]
    scale = Scale.over([0.0, *ends], _NAMES, WIDTH - RIGHT - 16, margin=0.04)
    root = Element("svg", {"class": "plot", "viewBox": f"0 0 {WIDTH} {height}", "role": "img", "aria-label": label})
    bottom = height - 28
    for tick in scale.ticks():
        at = f"{scale(tick):.1f}"
        SubElement(root, "line", {"class": "grid", "x1": at, "x2": at, "y1": "4", "y2": str(bottom)})
        _text(root, scale(tick), bottom + 17, f"{tick:+g} %" if tick else "0", "middle", "tick")
    zero = f"{scale(0.0):.1f}"
    SubElement(root, "line", {"class": "mark", "x1": zero, "x2": zero, "y1": "4", "y2": str(bottom)})
    for index, span in enumerate(spans):
        y = _ROW * index + 4 + _ROW / 2
        name = span.name if len(span.name) <= 20 else f"{span.name[:19]}…"
        _text(root, _NAMES - 10, y + 4, name, "end", "name")
        shade = _SHADES[span.kind]
        low, high = (100 * end if math.isfinite(end) else 100 * span.value for end in (span.low, span.high))
        line = SubElement(root, "path", {"class": f"line {shade}", "d": f"M{scale(low):.1f},{y:.1f}H{scale(high):.1f}"})
        SubElement(line, "title").text = f"{span.name}: {low:+.2f} % .. {high:+.2f} %"
        dot = {"class": f"dot {shade}", "cx": f"{scale(100 * span.value):.1f}", "cy": f"{y:.1f}", "r": "4.5"}
        SubElement(SubElement(root, "circle", dot), "title").text = f"{span.name}: {100 * span.value:+.2f} %"
    return root


def _text(root: Element, x: float, y: float, text: str, anchor: str, kind: str) -> None:
    SubElement(root, "text", {"x": f"{x:.1f}", "y": f"{y:.1f}", "text-anchor": anchor, "class": kind}).text = text
