"""A tree over items as one HTML page: its levels, and how alike the items of a node are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from xml.etree.ElementTree import SubElement

from easyrec.report import pieces
from easyrec.report.svg import Series, line_chart, number


def tree_page(name: str, about: Mapping[str, Any], told: str) -> str:
    """The page.

    Args:
        name: What the tree is called.
        about: `items`, `nodes`, and by level `nodes`, the `least` and `most` items of one, and `told`.
        told: What is told of how alike the items of a node are.
    """
    root, main = pieces.document(f"{name}: tree")
    SubElement(SubElement(main, "header"), "h1").text = name
    levels = about["levels"]
    tiles = SubElement(main, "div", {"class": "tiles"})
    pieces.add_tile(tiles, "items", number(about["items"]))
    pieces.add_tile(tiles, "nodes", number(about["nodes"]))
    pieces.add_tile(tiles, "levels", number(len(levels)))
    cards = pieces.add_section(main, "Levels", "cards")
    keys = ("nodes", "least", "most", told)
    rows = [[f"{index + 1}", *(number(level[key]) for key in keys)] for index, level in enumerate(levels)]
    head = ["level", "nodes", "items, least", "most", told]
    pieces.add_table(pieces.add_card(cards, "Nodes"), head, rows, text=1)
    shown = pieces.add_card(cards, told.capitalize())
    line = Series(told, list(range(1, len(levels) + 1)), [level[told] for level in levels])
    shown.append(line_chart([line], f"share {told} by level", "level", told))
    return pieces.html(root)
