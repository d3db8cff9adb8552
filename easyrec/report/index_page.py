"""The report of indexes as one HTML page: recall against time, every setting, and the cheapest that is good enough."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import SubElement

from easyrec.report.pieces import add_card, add_legend, add_section, add_table, add_tile, document, html
from easyrec.report.svg import Series, line_chart, number


def index_page(found: Mapping[str, Any]) -> str:
    """The whole page.

    Args:
        found: What `easyrec.choose_index` gives.
    """
    points: Sequence[Mapping[str, Any]] = found["points"]
    k, chosen = found["k"], found["suggested"]
    root, main = document(f"{found['name']}: indexes")
    header = SubElement(main, "header")
    SubElement(header, "h1").text = f"{found['name']}: recall and time of indexes"
    about = f"{number(found['items'])} items of {found['dim']} numbers · {number(found['queries'])} vectors of users"
    SubElement(header, "p").text = f"{about} · {k} nearest of each · one thread"
    tiles = SubElement(main, "div", {"class": "tiles"})
    if chosen is not None:
        add_tile(tiles, "cheapest", setting(chosen["config"]))
        add_tile(tiles, f"recall@{k}", f"{chosen['recall']:.4f}")
        add_tile(tiles, "p50", f"{number(chosen['p50_ms'], 3)} ms")
        add_tile(tiles, "p95", f"{number(chosen['p95_ms'], 3)} ms")
        add_tile(tiles, "bytes per item", number(chosen["bytes"]))
    cards = add_section(main, f"Recall@{k} and time of a search", "cards")
    for title, key in (("Median time", "p50_ms"), ("Processor time", "processor_ms")):
        card = add_card(cards, title)
        lines = [_line(name, points, key) for name in dict.fromkeys(p["name"] for p in points)]
        add_legend(card, [line.name for line in lines])
        label = f"{title.lower()} of a search by recall@{k}"
        mark = (float(found["recall"]), "wanted")
        card.append(line_chart(lines, label, f"recall@{k}", "ms", log=True, mark=mark, span=(found["recall"], 1.0)))
    SubElement(cards, "p").text = "lower right is better; processor time is what others on the machine do not disturb"
    rows = [
        [
            *(p["name"], setting(p["config"]), "cheapest" if p == chosen else ""),
            *(f"{p['recall']:.4f}", number(p["p50_ms"], 3), number(p["p95_ms"], 3), number(p["processor_ms"], 3)),
            *(number(p["bytes"]), number(p["searches"])),
        ]
        for p in points
    ]
    head = ["index", "setting", "", f"recall@{k}", "p50 ms", "p95 ms", "processor ms", "bytes per item", "searches"]
    add_table(add_section(main, "Settings", "card"), head, rows, text=3)
    facts = [[name, str(value)] for name, value in found["environment"].items()]
    add_table(add_section(main, "Environment", "card"), [], facts, text=2)
    return html(root)


def setting(config: Mapping[str, Any]) -> str:
    """What of a config a search heeds."""
    return next((f"{key} {config[key]}" for key in ("ef_search", "probes") if key in config), "exact")


def _line(name: str, points: Sequence[Mapping[str, Any]], key: str) -> Series:
    mine = sorted((p for p in points if p["name"] == name), key=lambda p: (p["recall"], p[key]))
    return Series(name, [p["recall"] for p in mine], [max(p[key], 1e-3) for p in mine], dots=True)
