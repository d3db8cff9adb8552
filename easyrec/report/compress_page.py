"""The report of a search for compression as one HTML page: sizes against what they cost, and the config of the best."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from xml.etree.ElementTree import SubElement

from easyrec.report.pieces import add_card, add_section, add_table, add_tile, document, duration, html
from easyrec.report.points import scatter

__all__ = ["compress_page"]


def compress_page(found: Mapping[str, Any]) -> str:
    """The whole page.

    Args:
        found: `name`, `model`, `target`, `bound` of the AUC that may be lost, `bytes` in fp32, `auc` by task, `tried`, as
            `easyrec.tune.compress.outputs.told` gives them, whether the target is `reached`, `config`, and `environment`.
    """
    root, main = document(f"{found['name']}: compression")
    header = SubElement(main, "header")
    SubElement(header, "h1").text = f"{found['name']}: compression of embedding tables"
    about = [found["model"], f"target {found['target']:g}x", f"AUC may drop by {found['bound']:g}", "easyrec compress"]
    SubElement(header, "p").text = " · ".join(about)
    best = next((one for one in found["tried"] if one["best"]), None)
    tiles = SubElement(main, "div", {"class": "tiles"})
    add_tile(tiles, "tables in fp32", size(found["bytes"]))
    for task, auc in found["auc"].items():
        add_tile(tiles, f"AUC of {task}", f"{auc:.5f}")
    if best is not None:
        add_tile(tiles, "best", best["name"])
        add_tile(tiles, "its tables", size(best["bytes"]))
        add_tile(tiles, "times smaller", f"{best['smaller']:.2f}")
        for task in best["auc_drop"]:
            add_tile(tiles, f"its AUC of {task}", f"{best['auc'][task]:.5f}")
    add_tile(tiles, "target", "reached" if found["reached"] else "not reached")
    measured = [one for one in found["tried"] if one["auc_drop"] and one["smaller"]]
    if measured:
        cards = add_section(main, "Size against accuracy", "cards")
        for task in found["auc"]:
            card = add_card(cards, f"AUC of {task} lost")
            dots = [
                (
                    float(one["smaller"]),
                    float(one["auc_drop"][task]),
                    f"{one['name']}: {one['smaller']:.2f}x, AUC {-one['auc_drop'][task]:+.5f}",
                    "best" if one["best"] else "ended" if one["reason"] else "other",
                )
                for one in measured
            ]
            card.append(
                scatter(dots, f"AUC of {task} lost by how much smaller tables are", "times smaller", "AUC lost")
            )
            SubElement(card, "p").text = "hollow dots cost too much; the best has a colour of its own"
    head = ["candidate", "refused", "tables", "times smaller", *[f"AUC of {t}" for t in found["auc"]], "time"]
    rows = [
        [
            f"{one['name']}, best" if one["best"] else one["name"],
            one["reason"],
            size(one["bytes"]) if one["bytes"] else "",
            f"{one['smaller']:.2f}" if one["smaller"] else "",
            *[f"{one['auc'][t]:.5f} ({-one['auc_drop'][t]:+.5f})" if t in one["auc"] else "" for t in found["auc"]],
            duration(one["seconds"]),
        ]
        for one in found["tried"]
    ]
    add_table(add_section(main, "All that was tried", "card"), head, rows, text=2)
    SubElement(add_section(main, "Best config", "card"), "pre").text = found["config"]
    facts = [[name, str(told)] for name, told in found["environment"].items()]
    add_table(add_section(main, "Environment", "card"), [], facts, text=2)
    return html(root)


def size(number: float) -> str:
    """Bytes as people say them."""
    for unit in ("B", "KiB", "MiB"):
        if number < 1024:
            return f"{number:,.0f} {unit}" if unit == "B" else f"{number:,.1f} {unit}"
        number /= 1024
    return f"{number:,.2f} GiB"
