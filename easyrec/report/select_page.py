"""The report of a feature selection as one HTML page: what each feature is worth and costs, and which are removed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any
from xml.etree.ElementTree import Element, SubElement

from easyrec.report.pieces import add_card, add_section, add_table, add_tile, document, duration, html
from easyrec.report.points import scatter
from easyrec.report.svg import WIDTH, number

__all__ = ["select_page"]

TALL, NAMES, ROOM = 20, 170, 60
"""Pixels of a bar, of the names beside it, and of the numbers behind it."""


def select_page(found: Mapping[str, Any]) -> str:
    """The whole page.

    Args:
        found: `name`; `rows`, as `easyrec.tune.select.selected.FeatureRow` has them, the best first; `methods`, each with
            `type`, `unit`, `null` (what shuffled copies are worth), `bounds` by feature, `base` and `seconds`, the one that decides
            first; `second_look`, such a method's `unit`, `null`, `bounds`, `seconds` and `importance`, or None; `pairs` of features that tell each other; `verified`, metrics by what was trained; `metric`; `config`,
            the chosen one as text; and `environment`.
    """
    rows: Sequence[Mapping[str, Any]] = found["rows"]
    methods: Sequence[Mapping[str, Any]] = found["methods"]
    root, main = document(f"{found['name']}: feature selection")
    header = SubElement(main, "header")
    SubElement(header, "h1").text = f"{found['name']}: feature selection"
    told = [f"{len(rows)} features", *(f"measured by {m['type']}" for m in methods[:1]), "easyrec select"]
    SubElement(header, "p").text = " · ".join(told)
    _tiles(main, found)
    if methods:
        cards = add_section(main, "What features are worth", "cards")
        for method in methods:
            _worth(cards, method, rows)
        if found["second_look"]:
            _again(cards, found["second_look"], rows)
        _costs(main, methods[0], rows)
    if len(methods) > 1:
        _agreement(main, methods, rows)
    _table(main, methods, rows)
    if found["pairs"]:
        card = add_section(main, "Features that tell each other", "card")
        add_table(card, ["feature", "feature", "how well"], [[a, b, f"{v:.3f}"] for a, b, v in found["pairs"]], text=2)
    SubElement(add_section(main, "Chosen config", "card"), "pre").text = found["config"]
    facts = [[name, str(value)] for name, value in found["environment"].items()]
    add_table(add_section(main, "Environment", "card"), [], facts, text=2)
    return html(root)


def _tiles(main: Element, found: Mapping[str, Any]) -> None:
    tiles, rows, metric = SubElement(main, "div", {"class": "tiles"}), found["rows"], found["metric"]
    add_tile(tiles, "kept", str(sum(row["kept"] for row in rows)))
    add_tile(tiles, "removed", str(sum(not row["kept"] for row in rows)))
    for name, values in found["verified"].items():
        add_tile(tiles, f"{metric}, {name}", f"{values[metric]:.5f}")
    seconds = [values["seconds"] for values in found["verified"].values()]
    if len(seconds) > 1 and seconds[-1]:
        add_tile(tiles, "training, times as fast", f"{seconds[0] / seconds[-1]:.2f}")
    again = [found["second_look"]] if found["second_look"] else []
    measured = sum(method["seconds"] for method in (*found["methods"], *again))
    if measured:
        add_tile(tiles, "time of measuring", duration(measured))


def _worth(cards: Element, method: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> None:
    """Bars of a method, and where shuffled copies end."""
    kind = method["type"]
    values = [(row["name"], row["importance"][kind], row["kept"]) for row in rows if kind in row["importance"]]
    card = add_card(cards, f"{kind}: {method['unit']}")
    card.append(_bars(sorted(values, key=lambda v: -v[1]), method["null"], method["bounds"], f"importance by {kind}"))
    text = "lengths are square roots; orange features are removed"
    if method["null"]:
        text += f"; the band is where {len(method['null'])} shuffled copies are, a mark where noise of the feature's size ends"
    SubElement(card, "p").text = text


def _again(cards: Element, look: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> None:
    """Bars of the second look."""
    kept = {row["name"]: row["kept"] for row in rows}
    values = [(name, worth, kept[name]) for name, worth in look["importance"].items()]
    card = add_card(cards, f"second look: {look['unit']}")
    card.append(
        _bars(sorted(values, key=lambda v: -v[1]), look["null"], look["bounds"], "importance in the second look")
    )
    text = "measured without most noise, with one of those that are alike, and without what tells a feature that was in doubt"
    SubElement(card, "p").text = text


def _bars(
    values: Sequence[tuple[str, float, bool]], null: Sequence[float], bounds: Mapping[str, float], label: str
) -> Element:
    height = TALL * len(values) + 6
    root = Element("svg", {"class": "plot", "viewBox": f"0 0 {WIDTH} {height}", "role": "img", "aria-label": label})
    ends = [0.0, *null, *bounds.values(), *(v for _, v, _ in values)]
    low = _root(min(ends))
    high = max(_root(max(ends)), low + 1e-12)

    def at(value: float) -> float:
        return NAMES + (_root(value) - low) / (high - low) * (WIDTH - NAMES - ROOM)

    if null:
        left, right = at(min(null)), at(max(null))
        band = {"x": f"{left:.1f}", "y": "0", "width": f"{max(right - left, 1.0):.1f}", "height": str(height)}
        SubElement(root, "rect", {"class": "cell q0", **band})
    for index, (name, value, kept) in enumerate(values):
        y, start, end = index * TALL + 3, min(at(0.0), at(value)), max(at(0.0), at(value))
        text = SubElement(root, "text", {"x": str(NAMES - 8), "y": str(y + 12), "text-anchor": "end", "class": "name"})
        text.text = name if len(name) < 24 else f"…{name[-22:]}"
        box = {"x": f"{start:.1f}", "y": str(y), "width": f"{max(end - start, 1.0):.1f}", "height": str(TALL - 6)}
        bar = SubElement(root, "rect", {"class": f"bar {'s0' if kept else 's1'}", **box})
        SubElement(bar, "title").text = f"{name}: {number(value, 4)}"
        shown = {"x": f"{end + 5:.1f}", "y": str(y + 11), "class": "tick"}
        SubElement(root, "text", shown).text = number(value, 3)
        if name in bounds:
            x = f"{at(bounds[name]):.1f}"
            SubElement(root, "line", {"class": "axis", "x1": x, "x2": x, "y1": str(y - 2), "y2": str(y + TALL - 4)})
    return root


def _root(value: float) -> float:
    return math.copysign(math.sqrt(abs(value)), value)


def _costs(main: Element, method: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> None:
    """Worth against cost."""
    cards, kind = add_section(main, "Worth and cost", "cards"), method["type"]
    for key, title in (("latency_ms", "ms of a request"), ("memory_mb", "MB of tables")):
        dots = [
            (
                float(row[key]),
                _root(row["importance"][kind]),
                f"{row['name']}: worth {number(row['importance'][kind], 4)}, {number(row[key], 3)} {title}",
                "other" if row["kept"] else "best",
            )
            for row in rows
            if kind in row["importance"]
        ]
        card = add_card(cards, f"Worth by {title}")
        card.append(scatter(dots, f"worth by {title}", title, f"square root of {method['unit']}"))
        SubElement(card, "p").text = "orange features are removed"


def _agreement(main: Element, methods: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]]) -> None:
    """Whether the methods rank features alike."""
    cards = add_section(main, "Agreement of methods", "cards")
    pairs, lines = list(combinations([m["type"] for m in methods], 2)), []
    for a, b in pairs:
        shared = [row for row in rows if a in row["importance"] and b in row["importance"]]
        ranks = [_ranks([row["importance"][kind] for row in shared]) for kind in (a, b)]
        both = list(zip(shared, *ranks, strict=True))
        top = min(10, (len(shared) + 1) // 2)
        common = sum(x <= top and y <= top for _, x, y in both)
        lines.append([a, b, f"{_correlation(*ranks):.2f}", f"{common} of {top}"])
        if a == methods[0]["type"]:
            dots = [
                (float(x), float(y), f"{row['name']}: {x} and {y}", "other" if row["kept"] else "best")
                for row, x, y in both
            ]
            add_card(cards, f"Ranks by {a} and {b}").append(
                scatter(dots, f"ranks by {a} and {b}", f"rank by {a}", f"by {b}")
            )
    head = ["method", "method", "ranks", "best"]
    card = add_card(cards, "Of all pairs")
    add_table(card, head, lines, text=2)
    SubElement(
        card, "p"
    ).text = "ranks: Spearman's correlation, 1 where they are the same; best: how many of the best by one are so by the other"


def _ranks(values: Sequence[float]) -> list[int]:
    order = sorted(range(len(values)), key=lambda i: -values[i])
    ranks = [0] * len(values)
    for rank, index in enumerate(order, 1):
        ranks[index] = rank
    return ranks


def _correlation(a: Sequence[int], b: Sequence[int]) -> float:
    """Spearman's, of ranks without ties."""
    n = len(a)
    return 1.0 if n < 2 else 1 - 6 * sum((x - y) ** 2 for x, y in zip(a, b, strict=True)) / (n * (n * n - 1))


def _table(main: Element, methods: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]]) -> None:
    kinds = [method["type"] for method in methods]
    dims = any(row["proposed_dim"] is not None for row in rows)
    head = ["feature", "", "why", *kinds, "MB", "ms", *(["dim", "proposed"] if dims else [])]
    lines = []
    for row in rows:
        told = [number(row["importance"][kind], 4) if kind in row["importance"] else "" for kind in kinds]
        widths = [str(row[key] or "") for key in ("embedding_dim", "proposed_dim")] if dims else []
        costs = [number(row["memory_mb"], 3), number(row["latency_ms"], 3)]
        lines.append([row["name"], "kept" if row["kept"] else "removed", row["reason"], *told, *costs, *widths])
    add_table(add_section(main, "Features", "card"), head, lines, text=3)
