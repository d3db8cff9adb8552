"""The advice about a config as one HTML page: every proposal with its reason, and what was looked at."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import SubElement

from easyrec.report.pieces import add_card, add_section, add_table, add_tile, document, html


def advice_page(found: Mapping[str, Any], places: Sequence[str]) -> str:
    """The whole page.

    Args:
        found: What `easyrec.tune.advise.api.Advice.told` gives.
        places: Where each proposal stands, as people read it.
    """
    proposals: Sequence[Mapping[str, Any]] = found["proposals"]
    root, main = document(f"{found['name']}: advice")
    header = SubElement(main, "header")
    SubElement(header, "h1").text = f"{found['name']}: advice"
    SubElement(header, "p").text = " · ".join([*found["seen"], "easyrec advise"])
    tiles = SubElement(main, "div", {"class": "tiles"})
    add_tile(tiles, "proposals", str(len(proposals)))
    for severity in ("high", "medium", "low"):
        count = sum(p["severity"] == severity for p in proposals)
        if count:
            add_tile(tiles, severity, str(count))
    add_tile(tiles, "rules that looked", str(len(found["looked"])))
    if proposals:
        cards = add_section(main, "Proposals", "cards")
        for proposal, place in zip(proposals, places, strict=True):
            card = add_card(cards, f"{proposal['key']} ({proposal['severity']})")
            rows = [
                ["where", place],
                ["seen", proposal["seen"]],
                ["why", proposal["why"]],
                ["effect", proposal["effect"]],
            ]
            add_table(card, [], rows, text=2)
            if proposal["overrides"]:
                words = " \\\n  ".join(map(shlex.quote, proposal["overrides"]))
                SubElement(card, "pre").text = (
                    f"-o {words}" if proposal["reached"] else "\n".join(proposal["overrides"])
                )
    rows = [
        ["looked", ", ".join(found["looked"])],
        *([f"without {what}", why] for what, why in found["missing"].items()),
    ]
    add_table(add_section(main, "Rules", "card"), [], rows, text=2)
    return html(root)
