"""The report of a search of features as one HTML page: what was found, how the search went, and what the crosses say."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import Element, SubElement

from easyrec.report.pieces import add_card, add_section, add_table, add_tile, document, duration, html
from easyrec.report.svg import Scale, number

SHADES = 5
"""Colours of a heat map, from the lowest rate to the highest."""
LISTED = 60
"""Proposals in the table."""
ROW = 24
"""Pixels of a line of the plots."""
NAMES = 250
"""Pixels of the names on the left."""


def cross_page(found: Mapping[str, Any]) -> str:
    """The whole page.

    Args:
        found: `name`; `proposals`, as `easyrec.tune.cross.proposal.Proposal` has them, with `z`; `nodes` of the beam search;
            `quality`; `maps`; `left_out`, features that the probes do without; `unfinished`, why it ended early; `config`,
            the new one as text; and `environment`.
    """
    proposals: Sequence[Mapping[str, Any]] = found["proposals"]
    accepted = [p for p in proposals if p["state"] == "accepted"]
    root, main = document(f"{found['name']}: automatic features")
    header = SubElement(main, "header")
    SubElement(header, "h1").text = f"{found['name']}: automatic features"
    about = [f"{len(proposals)} proposals", f"{len(accepted)} accepted", "easyrec cross"]
    SubElement(header, "p").text = " · ".join([found["unfinished"], *about] if found["unfinished"] else about)
    _tiles(main, found, accepted)
    if accepted:
        _gains(main, accepted)
    if len(found["nodes"]) > 1:
        card = add_section(main, "Search of crosses", "card")
        card.append(beam_tree(found["nodes"]))
        SubElement(card, "p").text = (
            "a line per set, under the set that it grew from; bold: the sets that lead to the best one; pale: sets that "
            "others of the same size beat; the number is what the last cross gained, in nats per 1,000 rows"
        )
    if found["maps"]:
        cards = add_section(main, "What the crosses say", "cards")
        for one in found["maps"]:
            card = add_card(cards, " x ".join(one["columns"]))
            card.append(heat_map(one))
            SubElement(card, "p").text = "rate of the label, from pale to dark; empty: fewer than 20 rows"
    _table(main, proposals)
    if found["left_out"]:
        rows = [[name, why] for name, why in found["left_out"].items()]
        add_table(add_section(main, "Features that the probes did without", "card"), [], rows, text=2)
    SubElement(add_section(main, "Config", "card"), "pre").text = found["config"]
    rows = [[name, str(told)] for name, told in found["environment"].items()]
    add_table(add_section(main, "Environment", "card"), [], rows, text=2)
    return html(root)


def _tiles(main: Element, found: Mapping[str, Any], accepted: Sequence[Mapping[str, Any]]) -> None:
    tiles = SubElement(main, "div", {"class": "tiles"})
    names = {"judge": "newest rows of train", "valid": "valid"}
    for span, told in found["quality"].items():
        add_tile(tiles, f"AUC on {names[span]}, {told['auc_before']:.4f} before", f"{told['auc_after']:.4f}")
    add_tile(tiles, "accepted", str(len(accepted)))
    memory = sum(p["memory_mb"] for p in accepted if not math.isnan(p["memory_mb"]))
    add_tile(tiles, "memory of tables", f"{memory:.1f} MB")
    add_tile(tiles, "time of the search", duration(float(found["environment"]["seconds"])))


def _gains(main: Element, accepted: Sequence[Mapping[str, Any]]) -> None:
    card = add_section(main, "Gains", "card")
    card.append(intervals([(p["name"], p["gain"], p["error"], p["valid"], p["valid_error"]) for p in accepted]))
    SubElement(card, "p").text = (
        "decrease of the log loss in nats per 1,000 rows, each beside those above it, with 95 % intervals: filled on the "
        "newest rows of train, by which it was chosen; hollow on valid, which the search has not seen"
    )


def intervals(lines: Sequence[tuple[str, float, float, float, float]]) -> Element:
    """Gains with their intervals.

    Args:
        lines: Name, gain and standard error, and the two on valid, NaN where there is none.
    """
    width, height = 860, ROW * len(lines) + 40
    ends = [1000 * (v + s * 1.96 * e) for _, g, ge, d, de in lines for v, e in ((g, ge), (d, de)) for s in (-1, 1)]
    scale = Scale.over([0.0, *(end for end in ends if math.isfinite(end))], NAMES, width - 20)
    root = _plot(width, height, "gain of each accepted feature")
    for tick in scale.ticks():
        at = f"{scale(tick):.1f}"
        SubElement(root, "line", {"class": "grid", "x1": at, "x2": at, "y1": "4", "y2": str(height - 30)})
        _text(root, scale(tick), height - 12, number(tick, 3), "middle")
    for index, (name, gain, error, valid, valid_error) in enumerate(lines):
        y = 16 + ROW * index
        _text(root, NAMES - 12, y + 4, _short(name), "end", "name")
        for value, spread, kind, shift in ((gain, error, "s0", -4), (valid, valid_error, "ended", 4)):
            if math.isnan(value):
                continue
            low, high = (1000 * (value + side * 1.96 * spread) for side in (-1, 1))
            bar = {"y1": str(y + shift), "y2": str(y + shift), "x1": f"{scale(low):.1f}", "x2": f"{scale(high):.1f}"}
            SubElement(root, "line", {"class": "line s0", **bar})
            dot = {"class": f"dot {kind}", "cx": f"{scale(1000 * value):.1f}", "cy": str(y + shift), "r": "4"}
            SubElement(SubElement(root, "circle", dot), "title").text = f"{name}: {1000 * value:.3f}"
    return root


def beam_tree(nodes: Sequence[Mapping[str, Any]]) -> Element:
    """The sets of a beam search, each under the one that it grew from."""
    below: dict[int | None, list[Mapping[str, Any]]] = {}
    for node in nodes:
        below.setdefault(node["parent"], []).append(node)
    by_number = {node["number"]: node for node in nodes}
    best = next((node for node in nodes if node["state"] == "best"), None)
    leading: set[int] = set()
    while best is not None:
        leading.add(best["number"])
        best = by_number.get(best["parent"])
    lines: list[tuple[int, int, Mapping[str, Any]]] = []  # depth, line of the parent, node

    def walk(node: Mapping[str, Any], depth: int, parent: int) -> None:
        lines.append((depth, parent, node))
        own = len(lines) - 1
        for child in sorted(below.get(node["number"], []), key=lambda child: float(child["loss"])):
            walk(child, depth + 1, own)

    walk(nodes[0], 0, -1)
    root = _plot(860, ROW * len(lines) + 12, "sets of crosses that were tried")
    for index, (depth, parent, node) in enumerate(lines):
        x, y = 14 + 34 * depth, 16 + ROW * index
        if parent >= 0:
            from_y = 16 + ROW * parent + 6
            path = f"M{x - 34},{from_y} L{x - 34},{y} L{x - 6},{y}"
            SubElement(root, "path", {"class": "axis", "d": path, "fill": "none"})
        chosen = node["number"] in leading
        kind = "dot s0" if chosen else "dot ended" if node["state"] == "dropped" else "dot s1"
        SubElement(root, "circle", {"class": kind, "cx": str(x), "cy": str(y), "r": "5"})
        named = node["crosses"][-1] if node["crosses"] else "features of the config"
        told = f"  +{1000 * node['gain']:.3f}" if node["crosses"] else ""
        text = _text(root, x + 12, y + 4, f"{named}{told}", "start", "name")
        if chosen:
            text.set("font-weight", "650")
        SubElement(text, "title").text = f"{', '.join(node['crosses'])}; log loss {node['loss']:.6f}"
    return root


def heat_map(one: Mapping[str, Any]) -> Element:
    """The rate by the words of two columns."""
    rows, heads, rate = one["rows"], one["heads"], one["rate"]
    known = sorted(value for line in rate for value in line if value is not None)
    bounds = [known[len(known) * k // SHADES] for k in range(1, SHADES)] if known else []
    left, top, cell = 120, 8, max(min(560 // max(len(heads), 1), 24), 10)
    below = 24 + 7 * max((len(_short(head, 12)) for head in heads), default=0)  # words on the slant
    width, height = left + cell * len(heads) + 12, top + cell * len(rows) + below
    root = _plot(max(width, 300), height, f"rate by {' and '.join(one['columns'])}")
    for i, row in enumerate(rows):
        _text(root, left - 6, top + cell * i + cell * 0.7, _short(row, 16), "end")
        for j, head in enumerate(heads):
            value = rate[i][j]
            if value is None:
                continue
            shade = sum(value >= bound for bound in bounds)
            at = {"x": str(left + cell * j), "y": str(top + cell * i), "width": str(cell), "height": str(cell)}
            box = SubElement(root, "rect", {"class": f"cell q{shade}", **at})
            SubElement(box, "title").text = f"{row}, {head}: {value:.3f} of {one['shown'][i][j]:,} rows"
    for j, head in enumerate(heads):
        x, y = left + cell * (j + 0.65), top + cell * len(rows) + 8
        text = _text(root, 0, 0, _short(head, 12), "end")
        text.set("transform", f"translate({x:.1f} {y}) rotate(-60)")
    return root


def _table(main: Element, proposals: Sequence[Mapping[str, Any]]) -> None:
    head = ["proposal", "kind", "state", "why", "gain", "± s.e.", "AUC", "on valid", "MB", "µs / 1,000 rows"]
    rows = [
        [
            p["name"],
            p["kind"].replace("_", " "),
            p["state"],
            p["reason"],
            _nats(p["gain"]),
            _nats(p["error"]),
            "" if math.isnan(p["auc"]) else f"{p['auc']:+.5f}",
            _nats(p["valid"]),
            "" if math.isnan(p["memory_mb"]) else number(p["memory_mb"], 3),
            "" if math.isnan(p["micros"]) else f"{p['micros']:.0f}",
        ]
        for p in proposals[:LISTED]
    ]
    card = add_section(main, "Proposals", "card")
    add_table(card, head, rows, text=4)
    more = len(proposals) - len(rows)
    told = "gains are decreases of the log loss in nats per 1,000 rows"
    SubElement(card, "p").text = told + (f"; {more} more are in proposals.csv" if more > 0 else "")


def _nats(value: float) -> str:
    return "" if math.isnan(value) else f"{1000 * value:.3f}"


def _short(text: str, most: int = 36) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _plot(width: int, height: int, label: str) -> Element:
    return Element("svg", {"class": "plot", "viewBox": f"0 0 {width} {height}", "role": "img", "aria-label": label})


def _text(root: Element, x: float, y: float, text: str, anchor: str, kind: str = "tick") -> Element:
    at = {"x": f"{x:.1f}", "y": f"{y:.1f}", "text-anchor": anchor, "class": kind}
    element = SubElement(root, "text", at)
    element.text = text
    return element
