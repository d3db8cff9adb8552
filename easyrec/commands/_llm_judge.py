"""Let models judge what systems answer: by a rubric, or one answer beside another, and beside what people have found.

easyrec llm judge -c llm.yaml
easyrec llm judge -c llm.yaml -o judge.sample=200
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from easyrec.commands._llm import add_config, bar, config_of, tell_asked
from easyrec.commands._print import console, count, line, table


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec llm judge`."""
    add_config(parser)


def run(args: argparse.Namespace) -> None:
    """Judge, tell what came of it, and write files and a page."""
    from easyrec.durable import write_text  # noqa: PLC0415 (help must not wait for it)
    from easyrec.llm.tools.judge import judge, prompts_of  # noqa: PLC0415
    from easyrec.report.judge_page import judge_page  # noqa: PLC0415

    config, own = config_of(args, "judge")
    with bar(prompts_of(config, own), "votes") as progress:
        done = judge(config, own, progress=progress)
    _tell(done.report)
    tell_asked(done.asked, priced=any(one.price is not None for one in own.judges or [config.asked()]))
    page = Path(own.output).with_name(f"{Path(own.output).name}.report.html")
    write_text(page, judge_page(done.report))
    for path in (*done.written, Path(f"{own.output}.report.json"), page):
        line(f"written: {path}")


def _tell(report: Mapping[str, Any]) -> None:
    """Print grades and comparisons."""
    level = f"{report['level']:.0%}"
    if "grades" in report:
        grades = report["grades"]
        shown = table("Grades", "criterion", "system", "mean", level, "of", right=2)
        for one in grades["means"]:
            shown.add_row(one["criterion"], one["system"], *numbers(one), count(one["count"]))
        console().print(shown)
        if grades["differences"]:
            shown = table(
                "Second minus first", "criterion", "first", "second", "difference", level, "p", "p of all", right=3
            )
            for one in grades["differences"]:
                told = numbers({**one, "value": one["mean"]})
                shown.add_row(
                    one["criterion"],
                    one["first"],
                    one["second"],
                    *told,
                    *(chance(one[p]) for p in ("p", "p_corrected")),
                )
            console().print(shown)
        _tell_people(grades["people"], level)
    if "controls" in report:
        shown = table("Answers to something else", "criterion", "seen as worse", level, "lower by", right=1)
        for name, one in report["controls"].items():
            shown.add_row(name, *numbers(one["seen"]), digits(one["lower_by"]["value"]))
        console().print(shown)
    if "comparisons" in report:
        head = ("first", "second", "won", "tied", "lost", "undecided", "share of decided", level, "p")
        shown = table("Comparisons", *head, right=2)
        for one in report["comparisons"]["table"]:
            counts = (count(one[name]) for name in ("won", "tied", "lost", "undecided"))
            shown.add_row(one["first"], one["second"], *counts, *numbers(one["share_won"]), chance(one["p"]))
        console().print(shown)
        shown = table("What the order does", "judge", "turned with it", level, "first won", level, right=1)
        for one in report["comparisons"]["judges"]:
            shown.add_row(one["judge"], *numbers(one["flips"]), *numbers(one["first_won"]))
        console().print(shown)


def _tell_people(people: Mapping[str, Any] | None, level: str) -> None:
    """Print how far the judges agree with people, and what people would find."""
    if people is None:
        return
    head = ("criterion", "labelled", "weighted kappa", level, "milder by", level, "error", "error, mapped")
    shown = table("Beside people", *head, right=1)
    for name, one in people["criteria"].items():
        own, mapped = one["agreement"], one["calibration"]
        errors = (
            ("", "") if mapped is None else (digits(mapped[when]["absolute_error"]) for when in ("before", "after"))
        )
        told = (*numbers(own["weighted_kappa"]), *numbers(own["milder_by"]), *errors)
        shown.add_row(name, count(one["labelled"]), *told)
    console().print(shown)
    columns = ("criterion", "system", "with the judges", level, "labels alone", level, "judges alone")
    shown = table("What people would find", *columns, right=2)
    for name, one in people["criteria"].items():
        for own in one["estimates"]:
            means = (*numbers(own["powered"]), *numbers(own["labels_alone"]))
            shown.add_row(name, own["system"], *means, digits(own["judges_alone"]))
    console().print(shown)


def numbers(one: Mapping[str, Any]) -> tuple[str, str]:
    """A value and its interval."""
    span = "" if one["low"] is None else f"{digits(one['low'])} .. {digits(one['high'])}"
    return digits(one["value"]), span


def digits(value: float | None) -> str:
    """A number, or nothing."""
    return "" if value is None else f"{value:.3f}"


def chance(value: float | None) -> str:
    """A p value, or nothing."""
    return "" if value is None else f"{value:.3f}" if value >= 0.001 else f"{value:.0e}"
