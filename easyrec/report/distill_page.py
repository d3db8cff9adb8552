"""The report of a distillation as one HTML page: teacher, student, and the same student on labels alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import Any
from xml.etree.ElementTree import SubElement

from easyrec.report.pieces import add_card, add_legend, add_section, add_table, add_tile, document, html
from easyrec.report.svg import Series, line_chart, number


def distill_page(found: Mapping[str, Any]) -> str:
    """The whole page.

    Args:
        found: `name`; `metric`, what training watched; `contestants`, as `easyrec.tune.distilled.told` gives them; `gain`
            by part, where there is one; `curves` by contestant, pairs of epoch and value for each seed; `config` as
            text; and `environment`.
    """
    contestants: Sequence[Mapping[str, Any]] = found["contestants"]
    metric: str = found["metric"]
    root, main = document(f"{found['name']}: distillation")
    header = SubElement(main, "header")
    SubElement(header, "h1").text = f"{found['name']}: distillation"
    seeds = max((one["seeds"] for one in contestants), default=0)
    SubElement(
        header, "p"
    ).text = f"{seeds} seed{'s' * (seeds != 1)} · compared by {metric or 'no metric'} · easyrec distill"
    tiles = SubElement(main, "div", {"class": "tiles"})
    for part, gain in (found.get("gain") or {}).items():
        add_tile(tiles, f"gain in {metric} on {part}", f"{gain:+.5f}")
    sizes = {one["name"]: one["parameters"] for one in contestants}
    if sizes.get("teacher") and sizes.get("student"):
        add_tile(tiles, "student's share of the teacher's parameters", f"1/{sizes['teacher'] / sizes['student']:.1f}")
    for part in ("valid", "test"):
        names = list(dict.fromkeys(n for one in contestants for values in one["metrics"].get(part, ()) for n in values))
        names = sorted((n for n in names if "[" not in n), key=lambda name: name != metric)
        if names:
            card = add_section(main, f"Compared on {part}", "card")
            head = ["", "parameters", "ms a request", *names]
            add_table(card, head, [_row(one, part, names) for one in contestants], text=1)
            SubElement(card, "p").text = "means over seeds, with their standard deviation where there are several"
    lines = [
        Series(f"{name}, {index + 1}" if len(curves) > 1 else name, [x for x, _ in curve], [y for _, y in curve])
        for name, curves in found["curves"].items()
        for index, curve in enumerate(curves)
        if len(curve) > 1
    ]
    if lines:
        card = add_card(add_section(main, "Course", "cards"), f"{metric} on valid")
        add_legend(card, [line.name for line in lines])
        taught = [v for one in contestants if one["name"] == "teacher" for v in one["metrics"].get("valid", ())]
        level = taught[0].get(metric) if taught else None
        ends = [end(x for line in lines for x in line.xs) for end in (min, max)]
        shown = lines if level is None else [*lines, Series("teacher", ends, [level] * 2, dashed=True)]
        card.append(line_chart(shown, f"{metric} on valid by epoch", "epoch", ""))
        if level is not None:
            SubElement(card, "p").text = "dashed: the teacher"
    SubElement(add_section(main, "Config of the student", "card"), "pre").text = found["config"]
    rows = [[name, str(value)] for name, value in found["environment"].items()]
    add_table(add_section(main, "Environment", "card"), [], rows, text=2)
    return html(root)


def _row(one: Mapping[str, Any], part: str, names: Sequence[str]) -> list[str]:
    parameters = "" if one["parameters"] is None else f"{one['parameters']:,}"
    latency = "" if one["latency_ms"] is None else number(one["latency_ms"], 3)
    cells = []
    for name in names:
        values = [v[name] for v in one["metrics"].get(part, ()) if v.get(name) is not None]
        spread = f" ± {stdev(values):.5f}" if len(values) > 1 else ""
        cells.append(f"{fmean(values):.5f}{spread}" if values else "")
    return [one["name"], parameters, latency, *cells]
