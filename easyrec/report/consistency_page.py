"""What was served against training sets, as one HTML page: feature by feature, with causes and examples."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any
from xml.etree.ElementTree import SubElement

from easyrec.report.pieces import add_section, add_table, add_tile, document, duration, html

__all__ = ["consistency_page"]

LONGEST = 200
"""Characters of a value that are shown."""


def consistency_page(found: Mapping[str, Any]) -> str:
    """The whole page.

    Args:
        found: As `easyrec store verify --json` prints it.
    """
    features = found["features"]
    title = f"{found['model']}: consistency"
    root, main = document(title)
    header = SubElement(main, "header")
    SubElement(header, "h1").text = title
    SubElement(header, "p").text = "what was served against training sets · easyrec store verify"
    tiles = SubElement(main, "div", {"class": "tiles"})
    different = sum(_different(one) for one in features)
    add_tile(tiles, "verdict", "holds" if found["share"] <= found["allowed"] else "broken")
    add_tile(tiles, "rows", f"{found['rows']:,}")
    add_tile(tiles, "values", f"{sum(one['values'] for one in features):,}")
    add_tile(tiles, "values that differ", f"{different:,}")
    add_tile(tiles, "share", f"{found['share']:.3%}")
    add_tile(tiles, "expired", f"{found['expired']:,}")
    add_tile(tiles, "time", duration(found["seconds"]))
    heads = ["feature", "view", "values", "mismatch", "missing", "extra", "SMAPE", "edits"]
    rows = [
        [
            *(str(one[key]) for key in ("name", "view")),
            *(f"{one[key]:,}" for key in ("values", "mismatch", "missing", "extra")),
            *("" if one[key] is None else f"{one[key]:.3g}" for key in ("smape", "edit_distance")),
        ]
        for one in sorted(features, key=_different, reverse=True)
    ]
    add_table(add_section(main, "Features", "card"), heads, rows, text=2)
    causes = [[one["name"], cause, f"{n:,}"] for one in features for cause, n in one["causes"].items()]
    if causes:
        add_table(add_section(main, "Causes", "card"), ["feature", "cause", "values looked at"], causes, text=2)
    cases = [
        [one["name"], case["key"], _time(case["time"]), _short(case["served"]), _short(case["replayed"]), case["cause"]]
        for one in features
        for case in one["examples"]
    ]
    if cases:
        heads = ["feature", "key", "read at", "served", "replayed", "cause"]
        add_table(add_section(main, "Some differences", "card"), heads, cases, text=6)
    if found["absent"]:
        SubElement(add_section(main, "Not in the log", "card"), "p").text = ", ".join(found["absent"])
    return html(root)


def _different(one: Mapping[str, Any]) -> int:
    return int(one["mismatch"] + one["missing"] + one["extra"])


def _short(value: Any) -> str:
    text = "" if value is None else str(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def _time(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, timezone.utc):%Y-%m-%d %H:%M:%S.%f} UTC"
