"""The report of a search as one HTML page: the best config, how the search went, and what mattered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any
from xml.etree.ElementTree import Element, SubElement

from easyrec.report.pieces import add_card, add_legend, add_section, add_table, add_tile, document, duration, html
from easyrec.report.points import Axis, Point, bars, contour, parallel, scatter
from easyrec.report.svg import Series, line_chart, number

__all__ = ["Axis", "tune_page"]

CURVES = 6
"""Trials whose evaluations are drawn: the best."""
CONTOURS = 3


def tune_page(found: Mapping[str, Any], axes: Sequence[Axis]) -> str:
    """The whole page.

    Args:
        found: `name`; `objectives`, pairs of a name and whether higher is better; `trials`, as
            `easyrec.tune.row.Row` has them; `best`, numbers of the best ones; `importance` by parameter; `config`, the
            best one as text; and `environment`.
        axes: The spaces.
    """
    trials: Sequence[Mapping[str, Any]] = found["trials"]
    (value, higher), *more = found["objectives"]
    complete = [t for t in trials if t["state"] == "complete"]
    best = [t for number_ in found["best"] for t in complete if t["number"] == number_]
    root, main = document(f"{found['name']}: search")
    header = SubElement(main, "header")
    SubElement(header, "h1").text = f"{found['name']}: search of settings"
    facts = found["environment"]
    about = [f"{len(axes)} spaces", f"sampler {facts['sampler']}", f"pruner {facts['pruner']}"]
    SubElement(header, "p").text = " · ".join([*about, "easyrec tune"])
    _tiles(main, trials, best, value, [name for name, _ in more])
    if best:
        head = ["space", "value"]
        card = add_section(main, "Best point", "card")
        add_table(card, head, [[name, _cell(drawn)] for name, drawn in best[0]["values"].items()], text=2)
    if complete:
        _course(main, trials, value, higher)
    points = _points(complete, value, higher)
    if more and len(complete) > 1:
        _front(main, complete, found["best"], value, [name for name, _ in more])
    if len(points) > 1:
        _meaning(main, points, axes, found["importance"], value)
    _table(main, trials, [name for name, _ in found["objectives"]], axes, found["best"])
    SubElement(add_section(main, "Best config", "card"), "pre").text = found["config"]
    rows = [[name, str(told)] for name, told in facts.items()]
    add_table(add_section(main, "Environment", "card"), [], rows, text=2)
    return html(root)


def _tiles(
    main: Element, trials: Sequence[Mapping[str, Any]], best: Sequence[Mapping[str, Any]], value: str, more: list[str]
) -> None:
    tiles = SubElement(main, "div", {"class": "tiles"})
    if best:
        for name in (value, *more):
            add_tile(tiles, f"best {name}" if name == value else name, _told(best[0]["outcome"][name]))
        add_tile(tiles, "best trial", str(best[0]["number"]))
    for state in ("complete", "pruned", "failed", "interrupted"):
        count = sum(t["state"] == state for t in trials)
        if count:
            add_tile(tiles, state, str(count))
    add_tile(tiles, "evaluations", str(sum(len(t["curve"]) for t in trials)))
    add_tile(tiles, "time of trials", duration(sum(t["seconds"] for t in trials)))


def _course(main: Element, trials: Sequence[Mapping[str, Any]], value: str, higher: bool) -> None:
    """How the search went: the value of each trial, and the evaluations of the best."""
    cards = add_section(main, "Course", "cards")
    dots, so_far = [], None
    for trial in trials:
        told = trial["outcome"].get(value)
        if told is None or trial["state"] not in ("complete", "pruned"):
            continue
        better = trial["state"] == "complete" and (so_far is None or (told > so_far if higher else told < so_far))
        so_far = told if better else so_far
        kind = "best" if better else "ended" if trial["state"] == "pruned" else "other"
        title = f"trial {trial['number']}, {trial['state']}: {value} {_told(told)}"
        dots.append((float(trial["number"]), float(told), title, kind))
    card = add_card(cards, "History")
    card.append(scatter(dots, f"{value} of each trial", "trial", value, line=True))
    SubElement(card, "p").text = "the line is the best so far; hollow dots are trials that were ended early"
    followed = [t for t in trials if value in t["outcome"] and len(t["curve"]) > 1]
    followed.sort(key=lambda t: t["outcome"][value], reverse=higher)
    lines = [Series(f"trial {t['number']}", range(1, len(t["curve"]) + 1), t["curve"]) for t in followed[:CURVES]]
    if lines:
        card = add_card(cards, f"Evaluations of {len(lines)} of the best")
        add_legend(card, [line.name for line in lines])
        card.append(line_chart(lines, f"{value} by evaluation", "evaluation", ""))


def _points(complete: Sequence[Mapping[str, Any]], value: str, higher: bool) -> list[Point]:
    """The trials as points, with their ranks."""
    ordered = sorted(complete, key=lambda t: t["outcome"][value], reverse=not higher)
    last = max(len(ordered) - 1, 1)
    return [
        Point(f"trial {t['number']}: {_told(t['outcome'][value])}", t["values"], t["outcome"][value], rank / last)
        for rank, t in enumerate(ordered)
    ]


def _front(
    main: Element, complete: Sequence[Mapping[str, Any]], best: Sequence[int], value: str, more: list[str]
) -> None:
    cards = add_section(main, "Objectives", "cards")
    for name in more:
        dots = [
            (
                float(t["outcome"][name]),
                float(t["outcome"][value]),
                f"trial {t['number']}: {value} {_told(t['outcome'][value])}, {name} {_told(t['outcome'][name])}",
                "best" if t["number"] in best else "other",
            )
            for t in complete
        ]
        add_card(cards, f"{value} and {name}").append(scatter(dots, f"{value} by {name}", name, value))
    SubElement(cards, "p").text = "no other trial beats an orange one in all objectives"


def _meaning(
    main: Element, points: Sequence[Point], axes: Sequence[Axis], importance: Mapping[str, float], value: str
) -> None:
    """What mattered: parallel coordinates, importance, and the value over pairs of parameters."""
    varied = [axis for axis in axes if len({str(p.values[axis.name]) for p in points if axis.name in p.values}) > 1]
    if varied:
        card = add_section(main, "All trials", "card")
        card.append(parallel(points, varied, value))
        SubElement(card, "p").text = "a thread per trial, from pale for the worst to dark for the best"
    order = sorted(varied, key=lambda axis: -importance.get(axis.name, 0.0))
    pairs = []
    for x, y in combinations(order, 2):
        shared = [p for p in points if x.name in p.values and y.name in p.values]
        if len(shared) > 3:
            pairs.append((x, y, shared))
    if not importance and not pairs:
        return
    cards = add_section(main, "What mattered", "cards three")
    if importance:
        card = add_card(cards, "Importance")
        card.append(bars(dict(sorted(importance.items(), key=lambda pair: -pair[1])), "importance of parameters"))
        text = "how much each parameter tells the best tenth of the trials from the others, by PED-ANOVA"
        SubElement(card, "p").text = text
    for x, y, shared in pairs[:CONTOURS]:
        add_card(cards, f"{value} over {x.name} and {y.name}").append(contour(shared, x, y))


def _table(
    main: Element,
    trials: Sequence[Mapping[str, Any]],
    objectives: Sequence[str],
    axes: Sequence[Axis],
    best: Sequence[int],
) -> None:
    names = [axis.name for axis in axes]
    head = ["trial", "state", *objectives, *names, "evaluations", "time", "reason"]
    rows = []
    for trial in trials:
        told = [_told(trial["outcome"][name]) if name in trial["outcome"] else "" for name in objectives]
        drawn = [_cell(trial["values"][name]) if name in trial["values"] else "" for name in names]
        state = f"{trial['state']}, best" if trial["number"] in best else trial["state"]
        reason = trial["reason"].splitlines()[0] if trial["reason"] else ""
        rows.append(
            [str(trial["number"]), state, *told, *drawn, str(len(trial["curve"])), duration(trial["seconds"]), reason]
        )
    add_table(add_section(main, "Trials", "card"), head, rows, text=2)


def _told(value: float) -> str:
    return f"{value:.5f}" if abs(value) < 100 else number(value)


def _cell(value: Any) -> str:
    return number(value, 4) if isinstance(value, int | float) and not isinstance(value, bool) else str(value)
