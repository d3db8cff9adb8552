"""What came of experiments as one HTML page: the split, lifts with intervals, their course, segments, samples."""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import Element, SubElement

from easyrec.report.forest import Span, forest
from easyrec.report.pieces import add_card, add_legend, add_section, add_table, add_tile, document, html
from easyrec.report.svg import Series, line_chart, number

COURSES = 6
"""Courses that are drawn for an experiment."""
WIDEST = 5.0
"""How far an interval is drawn, beside the last one at one look."""


def ab_page(found: Sequence[Mapping[str, Any]]) -> str:
    """The whole page.

    Args:
        found: What `serving.ab.analysis.analyse` gives.
    """
    names = ", ".join(one["experiment"] for one in found)
    root, main = document(f"{names}: experiments")
    header = SubElement(main, "header")
    SubElement(header, "h1").text = names if len(found) == 1 else f"{len(found)} experiments"
    SubElement(header, "p").text = "easyrec engine ab analyse"
    for one in found:
        _experiment(main, one, alone=len(found) == 1)
    return html(root)


def _experiment(main: Element, found: Mapping[str, Any], *, alone: bool) -> None:
    if not alone:
        SubElement(SubElement(main, "header"), "h1").text = found["experiment"]
    _about(main, found)
    _split(main, found)
    treated = [one for one in found["metrics"] if "lift" in one]
    _lifts(main, found, treated)
    _courses(main, found, treated)
    _segments(main, found)
    _samples(main, found, treated)


def _about(main: Element, found: Mapping[str, Any]) -> None:
    days = max(found["ends"][-1] - found["start"], 0.0) / 86_400 if found["ends"] else 0.0
    about = [
        f"layer {found['layer']}",
        f"from {_day(found['start'])}",
        f"{days:.1f} days",
        f"control {found['control']}",
    ]
    SubElement(SubElement(main, "header"), "p").text = " · ".join([*about, *filter(None, [found["description"]])])
    tiles = SubElement(main, "div", {"class": "tiles"})
    sample = found["sample"]
    add_tile(tiles, "units", f"{sum(one['units'] for one in sample['variants']):,}")
    add_tile(tiles, "split", "MISMATCH" if sample["mismatch"] else "as it should be")
    first = next((one["metric"] for one in found["metrics"]), "")
    for one in found["metrics"]:
        if one["metric"] == first and "lift" in one:
            add_tile(tiles, f"{first} of {one['variant']}", _share(one["lift"]))
            add_tile(tiles, "p at any time", _p(one["sequential_p"]))
    for note in found["notes"]:
        card = SubElement(main, "div", {"class": "card"})
        SubElement(card, "h3").text = "Beware"
        SubElement(card, "p").text = note


def _split(main: Element, found: Mapping[str, Any]) -> None:
    sample = found["sample"]
    card = add_section(main, "Split", "card")
    rows = [
        [one["name"], f"{one['units']:,}", f"{one['expected']:,.0f}", _share(one["units"] / one["expected"] - 1.0)]
        for one in sample["variants"]
    ]
    add_table(card, ["variant", "units", "expected", "beside it"], rows, text=1)
    left = [
        (sample["listed"], "on white lists"),
        (sample["crossed"], "in several variants"),
        (sample["strange"], "in unknown variants"),
    ]
    told = ", ".join(f"{count:,} {what}" for count, what in left if count)
    text = f"chi-square test of the split: p {_p(sample['p'])}; below 0.001 nothing else can be believed"
    SubElement(card, "p").text = text + (f"; left out: {told}" if told else "")


def _lifts(main: Element, found: Mapping[str, Any], treated: Sequence[Mapping[str, Any]]) -> None:
    level = f"{1 - found['alpha']:.0%}"
    cards = add_section(main, f"Lift beside '{found['control']}'", "cards")
    spans = [
        Span(_label(one, treated), one["lift"], one["lift_low"], one["lift_high"], _good(one, found["alpha"]))
        for one in treated
        if math.isfinite(one["lift"])
    ]
    if spans:
        card = add_card(cards, f"Lifts and their {level} intervals, at one look")
        card.append(forest(spans, "lift of each metric"))
        SubElement(card, "p").text = "coloured where the interval is on one side of 0: green is better, orange is worse"
    sure = [
        Span(
            _label(one, treated),
            one["lift"],
            one["sequential_low"],
            one["sequential_high"],
            _good(one, found["alpha"], "sequential_p"),
        )
        for one in treated
        if math.isfinite(one["sequential_low"])
    ]
    if sure:
        card = add_card(cards, f"{level} intervals that may be looked at any time")
        card.append(forest(sure, "lift of each metric, at any time"))
        text = f"wider, but right however often they are looked at; tuned to a lift of {found['expected_lift']:.1%}"
        SubElement(card, "p").text = text
    head = [
        "metric",
        "variant",
        "units",
        "mean",
        "with CUPED",
        "lift",
        level,
        "p",
        "p of all",
        "p any time",
        "variance kept",
    ]
    rows = []
    for one in found["metrics"]:
        told = [one["metric"], one["variant"], f"{one['units']:,}", number(one["mean"], 5), number(one["adjusted"], 5)]
        if "lift" in one:
            span = f"{_share(one['lift_low'])} .. {_share(one['lift_high'])}"
            ps = [_p(one[key]) for key in ("p", "p_corrected", "sequential_p")]
            told += [_share(one["lift"]), span, *ps, f"{one['variance_kept']:.0%}"]
        rows.append(told + [""] * (len(head) - len(told)))
    card = add_section(main, "Metrics", "card")
    add_table(card, head, rows, text=2)
    SubElement(card, "p").text = (
        "p: at one look that was planned; p of all: corrected for all metrics and variants of this table; p any time: "
        "may be looked at as often as one likes; variance kept: what CUPED leaves of it"
    )


def _courses(main: Element, found: Mapping[str, Any], treated: Sequence[Mapping[str, Any]]) -> None:
    drawn = [one for one in treated if len(one["course"]) > 1][:COURSES]
    if not drawn:
        return
    days = [(end - found["start"]) / 86_400 for end in found["ends"]]
    unit, scale = ("day", 1.0) if days[-1] >= 2 else ("hour", 24.0)
    times = [day * scale for day in days]
    cards = add_section(main, "Course", "cards")
    for one in drawn:
        course = one["course"]
        card = add_card(cards, f"{_label(one, treated)}: lift, %")
        names = ["lift", "one look", "any time"]
        add_legend(card, names)
        last = max(abs(course[-1]["lift"]), course[-1]["fixed_high"] - course[-1]["lift"])
        lines = []
        for index, (name, keys) in enumerate(
            zip(names, [("lift",), ("fixed_low", "fixed_high"), ("low", "high")], strict=True)
        ):
            lines += [(index, Series(name, times, [_drawn(look, key, last) for look in course])) for key in keys]
        lines.append((3, Series("no effect", [times[0], times[-1]], [0.0, 0.0], dashed=True)))
        chart = line_chart(
            [s for _, s in lines], f"lift of {one['metric']} by time", unit, "%", span=(times[0], times[-1])
        )
        _recolour(chart, [index for index, _ in lines])
        card.append(chart)


def _drawn(look: Mapping[str, float], key: str, last: float) -> float:
    """An end of an interval, per cent; nothing where it is so far away that it would hide all others."""
    return 100 * look[key] if abs(look[key] - look["lift"]) <= WIDEST * last else math.nan


def _recolour(chart: Element, colours: Sequence[int]) -> None:
    """Give both ends of an interval one colour."""
    paths = [path for path in chart.iter("path") if path.get("class", "").startswith("line")]
    for path, colour in zip(paths, colours, strict=True):
        dashed = " dashed" if "dashed" in path.get("class", "") else ""
        path.set("class", f"line s{colour}{dashed}")


def _segments(main: Element, found: Mapping[str, Any]) -> None:
    if not found["segments"]:
        return
    cards = add_section(main, "Segments", "cards")
    keys = dict.fromkeys((one["segment"], one["metric"]) for one in found["segments"])
    several = len({one["variant"] for one in found["segments"]}) > 1
    for segment, metric in list(keys)[:COURSES]:
        spans = [
            Span(
                one["value"] + (f" · {one['variant']}" if several else ""),
                one["lift"],
                one["lift_low"],
                one["lift_high"],
                _good(one, found["alpha"], "p_corrected"),
            )
            for one in found["segments"]
            if (one["segment"], one["metric"]) == (segment, metric) and math.isfinite(one["lift"])
        ]
        if spans:
            add_card(cards, f"{metric} by {segment}").append(forest(spans, f"lift of {metric} by {segment}"))
    head = [
        "segment",
        "value",
        "metric",
        "variant",
        "units",
        "control",
        "lift",
        f"{1 - found['alpha']:.0%}",
        "p",
        "p of all",
    ]
    rows = [
        [
            *(one[key] for key in ("segment", "value", "metric", "variant")),
            f"{one['units']:,}",
            number(one["control_mean"], 5),
            _share(one["lift"]),
            f"{_share(one['lift_low'])} .. {_share(one['lift_high'])}",
            _p(one["p"]),
            _p(one["p_corrected"]),
        ]
        for one in found["segments"]
    ]
    card = add_section(main, "Segments in numbers", "card")
    add_table(card, head, rows, text=4)
    SubElement(
        card, "p"
    ).text = "coloured, above, where the corrected p is small; a segment that was not planned is a guess"


def _samples(main: Element, found: Mapping[str, Any], treated: Sequence[Mapping[str, Any]]) -> None:
    rows = [
        [one["metric"], one["variant"], _share(one["detectable"], sign=False), f"{one['needed']:,.0f}"]
        for one in treated
        if math.isfinite(one["needed"])
    ]
    if rows:
        card = add_section(main, "Sample", "card")
        add_table(card, ["metric", "variant", "smallest lift found", "units needed"], rows, text=2)
        text = f"units needed of both variants together, to find a lift of {found['expected_lift']:.1%}"
        SubElement(card, "p").text = text


def _good(one: Mapping[str, Any], alpha: float, key: str = "p") -> str:
    if not one[key] < alpha:
        return ""
    return "good" if (one["lift"] > 0) == one["higher"] else "bad"


def _label(one: Mapping[str, Any], treated: Sequence[Mapping[str, Any]]) -> str:
    several = len({other["variant"] for other in treated}) > 1
    return f"{one['metric']} · {one['variant']}" if several else str(one["metric"])


def _share(value: float, *, sign: bool = True) -> str:
    if not math.isfinite(value):
        return ""
    return f"{value:+.2%}" if sign else f"{value:.2%}"


def _p(value: float) -> str:
    return f"{value:.4f}" if value >= 0.0001 else f"{value:.1e}"


def _day(seconds: float) -> str:
    return f"{datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc):%Y-%m-%d %H:%M} UTC"
