"""Semantic ids as one HTML page: how good they are, and how often each code is used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from xml.etree.ElementTree import SubElement

from easyrec.report import pieces
from easyrec.report.svg import Series, line_chart, number


def code_page(name: str, about: Mapping[str, Any]) -> str:
    """The page.

    Args:
        name: What the ids are called.
        about: `config` and what `easyrec.retrieval.semantic_ids._quality.quality` tells.
    """
    root, main = pieces.document(f"{name}: semantic ids")
    SubElement(SubElement(main, "header"), "h1").text = name
    tiles = SubElement(main, "div", {"class": "tiles"})
    pieces.add_tile(tiles, "items", number(about["items"]))
    pieces.add_tile(tiles, "different codes / items", number(about["unique"]))
    pieces.add_tile(tiles, "most items of equal codes", number(about["alike"]))
    levels = about["levels"]
    cards = pieces.add_section(main, "Levels", "cards")
    rows = [
        [f"{index + 1}", *(number(level[key]) for key in ("used", "entropy", "perplexity", "unexplained"))]
        for index, level in enumerate(levels)
    ]
    pieces.add_table(
        pieces.add_card(cards, "Codes"), ["level", "used", "entropy, bits", "perplexity", "unexplained"], rows, text=1
    )
    lines = [
        Series(f"level {index + 1}", list(range(len(level["counts"]))), sorted(level["counts"], reverse=True))
        for index, level in enumerate(levels)
    ]
    shown = pieces.add_card(cards, "Use")
    pieces.add_legend(shown, [line.name for line in lines])
    shown.append(line_chart(lines, "items of each code", "codes, the most used first", "items"))
    return pieces.html(root)
