"""The dashboard of a loop: one page without a script and without anything from elsewhere."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import Element, SubElement

from easyrec.loop.config import LoopConfig
from easyrec.report.pieces import add_card, add_legend, add_section, add_table, add_tile, document, duration, html
from easyrec.report.svg import Series, line_chart

REFRESH_S = 10
SHOWN = 500
"""Versions in a chart."""
LISTED = 30
"""Versions in the table."""


def page(loop: LoopConfig, status: Mapping[str, Any]) -> str:
    """The whole page.

    Args:
        loop: The loop.
        status: What `status_of` tells.
    """
    root, main = document(f"loop of {loop.experiment}")
    head = root.find("head")
    assert head is not None
    SubElement(head, "meta", {"http-equiv": "refresh", "content": str(REFRESH_S)})
    header = SubElement(main, "header")
    SubElement(header, "h1").text = f"Loop of {loop.experiment}"
    told = datetime.datetime.fromtimestamp(status["at"], datetime.timezone.utc)
    SubElement(
        header, "p", {"class": "note"}
    ).text = f"{told:%Y-%m-%d %H:%M:%S} UTC; looked at anew every {REFRESH_S} s"
    _tiles(main, status)
    history = [one for one in status["history"] if one["result"] in ("published", "refused")][-SHOWN:]
    cards = add_section(main, "Versions", "cards")
    _gate(cards, status["metric"], history)
    _times(cards, history)
    _table(main, status)
    _logs(main, status)
    return html(root)


def _tiles(main: Element, status: Mapping[str, Any]) -> None:
    figures = status["figures"]
    tiles = SubElement(main, "div", {"class": "tiles"})
    add_tile(tiles, "served version", _text(figures["served_version"]))
    add_tile(tiles, "learned, behind the log", _seconds(figures["served_behind_seconds"]))
    add_tile(tiles, "learned, behind the clock", _seconds(figures["served_age_seconds"]))
    add_tile(tiles, "samples, behind the log", _seconds(figures["joined_behind_seconds"]))
    add_tile(tiles, "logs to read", _bytes(figures["backlog_bytes"]))
    add_tile(tiles, "samples to learn", _text(figures["waiting_samples"]))
    add_tile(tiles, status["metric"], "" if figures["gate_value"] is None else f"{figures['gate_value']:.4f}")
    add_tile(tiles, "refused", _text(figures["versions_refused_total"]))
    add_tile(tiles, "restarts", _text(sum(status["restarts"].values())))
    begun = status["begun"]
    if begun is not None:
        add_tile(tiles, "being made", f"{begun['version']}, after {begun['done'][-1]}")


def _gate(cards: Element, metric: str, history: Sequence[Mapping[str, Any]]) -> None:
    card = add_card(cards, f"{metric} on samples that no version had learned")
    made = [
        (name, [(one["version"], one[key]) for one in history if one.get(key) is not None])
        for name, key in (("new version", "value"), ("what was served", "serving"))
    ]
    series = [
        Series(name, [x for x, _ in points], [y for _, y in points], dots=len(points) < 30)
        for name, points in made
        if points
    ]
    if series:
        add_legend(card, [one.name for one in series])
        card.append(line_chart(series, f"{metric} by version", "version", metric))
    else:
        SubElement(card, "p", {"class": "note"}).text = "no version was measured yet"


def _times(cards: Element, history: Sequence[Mapping[str, Any]]) -> None:
    card = add_card(cards, "Seconds of each step")
    names = list(dict.fromkeys(name for one in history for name in one.get("seconds") or {}))
    series = []
    for name in names:
        points = [
            (one["version"], one["seconds"][name])
            for one in history
            if (one.get("seconds") or {}).get(name) is not None
        ]
        if points:
            series.append(Series(name, [x for x, _ in points], [y for _, y in points]))
    if series:
        add_legend(card, [one.name for one in series])
        card.append(line_chart(series, "seconds by version", "version", "seconds"))
    else:
        SubElement(card, "p", {"class": "note"}).text = "no step was done yet"


def _table(main: Element, status: Mapping[str, Any]) -> None:
    card = add_section(main, "What became of versions", "card")
    head = ["result", "why", "learned until", "version", "rows", status["metric"], "of what was served", "seconds"]
    rows = []
    for one in reversed(status["history"][-LISTED:]):
        seconds = [value for value in (one.get("seconds") or {}).values() if value is not None]
        rows.append(
            [
                str(one["result"]) + (f" to {one['to']}" if "to" in one else ""),
                str(one.get("why") or ""),
                _moment(one.get("trained_until")),
                str(one["version"]),
                _text(one.get("rows")),
                _value(one.get("value")),
                _value(one.get("serving")),
                f"{sum(seconds):.1f}" if seconds else "",
            ]
        )
    add_table(card, head, rows, text=3)


def _logs(main: Element, status: Mapping[str, Any]) -> None:
    card = add_section(main, "What became of events", "card")
    kinds: dict[str, dict[str, int]] = {}
    for name, number in status["counts"].items():
        kind, dot, what = name.partition(".")
        if dot:
            kinds.setdefault(kind, {})[what] = number
    columns = ["read", "filtered", "ahead", "malformed", "duplicates", "late", "unmatched", "positives"]
    add_table(
        card, ["events", *columns], [[k, *(_text(v.get(c, 0)) for c in columns)] for k, v in kinds.items()], text=1
    )


def _text(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def _value(value: float | None) -> str:
    return "" if value is None else f"{value:.5f}"


def _seconds(value: float | None) -> str:
    if value is None:
        return ""
    return duration(value) if value >= 0 else f"-{duration(-value)}"


def _bytes(value: float | None) -> str:
    if value is None:
        return ""
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:,.0f} {unit}"
        value /= 1024
    return f"{value:,.1f} GiB"


def _moment(milliseconds: float | None) -> str:
    if milliseconds is None:
        return ""
    return f"{datetime.datetime.fromtimestamp(milliseconds / 1e3, datetime.timezone.utc):%Y-%m-%d %H:%M:%S}"
