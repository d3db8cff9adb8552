"""What came of judging as one HTML page: grades with intervals, comparisons, agreement, people, what it took."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any
from xml.etree.ElementTree import Element, SubElement

from easyrec.report.forest import Span, forest
from easyrec.report.pieces import add_card, add_section, add_table, add_tile, document, html
from easyrec.report.svg import Series, bar_chart, line_chart

DRAWN = 12
"""Histograms."""
LOW_AGREEMENT, MANY_FLIPS, MANY_LOST = 0.4, 0.2, 0.05
"""What the page warns of: kappa below, verdicts that turn above, votes that are none above."""


def judge_page(told: Mapping[str, Any]) -> str:
    """The whole page.

    Args:
        told: What `<output>.report.json` of `easyrec llm judge` holds.
    """
    root, main = document(f"{told['output']}: judged")
    header = SubElement(main, "header")
    SubElement(header, "h1").text = str(told["output"])
    SubElement(header, "p").text = f"judged by {', '.join(told['judges'])} · easyrec llm judge"
    _tiles(main, told)
    for note in notes(told):
        card = SubElement(main, "div", {"class": "card"})
        SubElement(card, "h3").text = "Beware"
        SubElement(card, "p").text = note
    if "grades" in told:
        _grades(main, told)
    if "comparisons" in told:
        _comparisons(main, told)
    _agreement(main, told)
    _people(main, told)
    _cost(main, told)
    return html(root)


def notes(told: Mapping[str, Any]) -> list[str]:
    """What makes the numbers doubtful, in words."""
    found = []
    for name, one in told["prompts"].items():
        lost = one["asked"] - one["answered"]
        if lost > MANY_LOST * one["asked"]:
            found.append(
                f"{name}: {lost:,} of {one['asked']:,} votes are none; what they would have said is not known."
            )
    for one in told.get("comparisons", {}).get("judges", []):
        if (one["flips"]["value"] or 0.0) > MANY_FLIPS:
            found.append(
                f"{one['judge']}: {one['flips']['value']:.0%} of its verdicts turn with the order of the answers."
            )
        low, high = one["first_won"]["low"], one["first_won"]["high"]
        if low is not None and not low <= 0.5 <= high:
            found.append(f"{one['judge']} prefers what it sees {'first' if low > 0.5 else 'second'}.")
    longer = told.get("comparisons", {}).get("longer_won", {}).get("low")
    if longer is not None and longer > 0.5:
        found.append("Longer answers win: look whether they are better, or only longer.")
    for name, one in told.get("controls", {}).items():
        if one["seen"]["low"] is not None and one["seen"]["low"] <= 0.5:
            found.append(
                f"{name}: the judges do not surely tell answers from those to something else; do not rely on them."
            )
    people = (told.get("grades") or {}).get("people") or {}
    for name, one in people.get("criteria", {}).items():
        kappa = one["agreement"]["weighted_kappa"]["value"]
        if kappa is not None and kappa < LOW_AGREEMENT:
            found.append(f"{name}: the judges agree little with people (weighted kappa {kappa:.2f}).")
    if "grades" in told and not people.get("criteria") and "controls" not in told:
        found.append("No label of a person and no control was at hand: how good the judges are is not known.")
    return found


def _tiles(main: Element, told: Mapping[str, Any]) -> None:
    tiles = SubElement(main, "div", {"class": "tiles"})
    for one in told.get("grades", {}).get("means", []):
        if one["criterion"] == "overall" and one["value"] is not None:
            add_tile(tiles, f"overall {one['system']}".strip(), f"{one['value']:.3f}")
    for one in told.get("comparisons", {}).get("table", [])[:3]:
        if one["score"]["value"] is not None:
            add_tile(tiles, f"{one['first']} beside {one['second']}", f"{one['score']['value']:.1%}")


def _grades(main: Element, told: Mapping[str, Any]) -> None:
    grades, level = told["grades"], f"{told['level']:.0%}"
    cards = add_section(main, "Grades", "cards")
    whole = [one for one in grades["means"] if one["criterion"] == "overall" and one["value"] is not None]
    if whole:
        card = add_card(cards, f"Overall, from 0 to 100 %, with {level} intervals")
        card.append(forest([_span(one["system"] or "all", one) for one in whole], "overall of each system"))
    spread = [one for one in grades["means"] if one.get("grades")]
    cards = add_section(main, "How the grades lie", "cards three")
    for one in spread[:DRAWN]:
        counts, scale = list(one["grades"].values()), [int(grade) for grade in one["grades"]]
        edges = [scale[0] - 0.5, *((a + b) / 2 for a, b in pairwise(scale)), scale[-1] + 0.5]
        title = f"{one['criterion']} {one['system']}".strip()
        add_card(cards, title).append(bar_chart(counts, edges, f"grades of {title}", "grade", "answers"))
    rows = [[one["criterion"], one["system"], *_numbers(one), str(one["count"])] for one in grades["means"]]
    card = add_section(main, "Means", "card")
    add_table(card, ["criterion", "system", "mean", "low", "high", "of"], rows, text=2)
    length = _told(grades["length"])
    SubElement(card, "p").text = (
        "overall: the weighted mean of all criteria on a scale from 0 to 1; "
        f"{grades['ungraded']:,} of {grades['answers']:,} answers have none"
        + (f"; Spearman's correlation of length and overall: {length}" if length else "")
    )
    if grades["differences"]:
        head = ["criterion", "first", "second", "second minus first", "low", "high", "p", "p of all", "better", "worse"]
        rows = [
            [
                *(one[key] for key in ("criterion", "first", "second")),
                *(_number(one[key]) for key in ("mean", "low", "high")),
                *(_chance(one[key]) for key in ("p", "p_corrected")),
                *(str(one[key]) for key in ("better", "worse")),
            ]
            for one in grades["differences"]
        ]
        card = add_section(main, "Systems beside each other", "card")
        add_table(card, head, rows, text=3)
        SubElement(card, "p").text = "on the ids that both answer; p: randomisation test; p of all: corrected (Holm)"
    if "controls" in told:
        rows = [[name, *_numbers(one["seen"]), *_numbers(one["lower_by"])] for name, one in told["controls"].items()]
        card = add_section(main, "Answers to something else", "card")
        add_table(card, ["criterion", "seen as worse", "low", "high", "lower by", "low", "high"], rows, text=1)
        SubElement(card, "p").text = "answers that were graded a second time under another id; 0.5 is chance"


def _comparisons(main: Element, told: Mapping[str, Any]) -> None:
    compared, level = told["comparisons"], f"{told['level']:.0%}"
    cards = add_section(main, "Comparisons", "cards")
    spans = []
    for one in compared["table"]:
        if one["score"]["value"] is not None:
            score = {
                key: None if one["score"][key] is None else 2 * one["score"][key] - 1
                for key in ("value", "low", "high")
            }
            spans.append(_span(f"{one['first']} : {one['second']}", score, _good(one)))
    if spans:
        card = add_card(cards, f"Wins minus losses of the first, with {level} intervals")
        card.append(forest(spans, "net wins of each pair"))
        SubElement(card, "p").text = "coloured where the corrected p is below 0.05: green where the first one is better"
    if compared["strengths"]:
        card = add_card(cards, "Strengths")
        rows = [[one["system"], *_numbers(one)] for one in compared["strengths"]]
        add_table(card, ["system", "strength", "low", "high"], rows, text=1)
        SubElement(card, "p").text = "Bradley-Terry: 1 more is odds of 2.7 to 1 to be preferred"
    head = ["first", "second", "won", "tied", "lost", "undecided", "share of decided", "low", "high", "p", "p of all"]
    rows = [
        [
            one["first"],
            one["second"],
            *(f"{one[key]:,}" for key in ("won", "tied", "lost", "undecided")),
            *_numbers(one["share_won"]),
            *(_chance(one[key]) for key in ("p", "p_corrected")),
        ]
        for one in compared["table"]
    ]
    card = add_section(main, "Comparisons in numbers", "card")
    add_table(card, head, rows, text=2)
    longer = _told(compared["longer_won"])
    SubElement(card, "p").text = "a verdict that turns with the order of the answers is a tie" + (
        f"; the longer answer won {longer} of the decided ones" if longer else ""
    )
    head = [
        "judge",
        "decided",
        "tied",
        "turned",
        "tied in one order",
        "undecided",
        "unparsed",
        "refused",
        "turned",
        "low",
    ]
    keys = (
        "decided",
        "tied_in_both_orders",
        "flipped",
        "tied_in_one_order",
        "undecided",
        "votes_unparsed",
        "votes_refused",
    )
    rows = [
        [one["judge"], *(f"{one[key]:,}" for key in keys), *_numbers(one["flips"]), *_numbers(one["first_won"])]
        for one in compared["judges"]
    ]
    card = add_section(main, "What the order does", "card")
    add_table(card, [*head, "high", "first won", "low", "high"], rows, text=1)
    SubElement(card, "p").text = "first won: of decided verdicts, how often what stood first; 0.5 is as it should be"


def _agreement(main: Element, told: Mapping[str, Any]) -> None:
    rows: list[list[str]] = []
    grades, compared = told.get("grades"), told.get("comparisons")
    if grades:
        for one in grades["between_votes"]:
            who = f"votes of {one['judge']}"
            rows.append([one["criterion"], who, "Fleiss' kappa", *_numbers(one["fleiss"])])
            rows.append([one["criterion"], who, "Krippendorff's alpha", *_numbers(one["alpha"])])
        for one in grades["between_judges"]:
            rows.append([one["criterion"], "all judges", "Krippendorff's alpha", *_numbers(one["alpha"])])
            for pair in one["pairs"]:
                who = f"{pair['first']} and {pair['second']}"
                rows.append([one["criterion"], who, "Cohen's kappa", *_numbers(pair["kappa"])])
                rows.append([one["criterion"], who, "weighted kappa", *_numbers(pair["weighted_kappa"])])
    if compared:
        for one in compared["judges"]:
            if "alpha" in one:
                who = f"votes of {one['judge']}"
                rows.append(["comparisons", who, "Fleiss' kappa", *_numbers(one["fleiss"])])
                rows.append(["comparisons", who, "Krippendorff's alpha", *_numbers(one["alpha"])])
        if compared["between_judges"]:
            rows.append(
                ["comparisons", "all judges", "Krippendorff's alpha", *_numbers(compared["between_judges"]["alpha"])]
            )
            for pair in compared["between_judges"]["pairs"]:
                who = f"{pair['first']} and {pair['second']}"
                rows.append(["comparisons", who, "Cohen's kappa", *_numbers(pair["kappa"])])
    if rows:
        head = ["of", "between", "measure", "value", "low", "high"]
        add_table(add_section(main, "Agreement", "card"), head, rows, text=3)


def _people(main: Element, told: Mapping[str, Any]) -> None:
    people = told.get("grades", {}).get("people")
    for name, one in (people or {}).get("criteria", {}).items():
        cards = add_section(main, f"Beside people: {name}", "cards")
        card, own = add_card(cards, f"Agreement on {one['labelled']:,} answers"), one["agreement"]
        names = {
            "same": "the same grade",
            "within_one": "at most one grade apart",
            "kappa": "Cohen's kappa",
            "weighted_kappa": "weighted kappa",
            "alpha": "Krippendorff's alpha (interval)",
            "distance": "mean distance",
            "milder_by": "milder by",
            "pearson": "Pearson's correlation",
            "spearman": "Spearman's correlation",
        }
        rows = [[words, *_numbers(own[key])] for key, words in names.items()]
        rows.append(["between people, Krippendorff's alpha", *_numbers(one["between_people"])])
        rows.append(["length and mildness, Spearman's", *_numbers(one["length_and_mildness"])])
        add_table(card, ["", "value", "low", "high"], rows, text=1)
        if one["calibration"]:
            _calibration(cards, one["calibration"])
        card = add_card(cards, "The mean that people would find")
        rows = [
            [
                estimate["system"] or "all",
                *_numbers(estimate["powered"]),
                *_numbers(estimate["labels_alone"]),
                _number(estimate["judges_alone"]),
                f"{estimate['labelled']:,} + {estimate['others']:,}",
            ]
            for estimate in one["estimates"]
        ]
        head = [
            "system",
            "with the judges",
            "low",
            "high",
            "labels alone",
            "low",
            "high",
            "judges alone",
            "labelled + others",
        ]
        add_table(card, head, rows, text=1)
        SubElement(
            card, "p"
        ).text = "prediction-powered: right where the labelled answers were drawn by chance from all"
    own = told.get("comparisons", {}).get("people")
    if own:
        names = {"same": "the same verdict", "same_where_both_decide": "where both decide", "kappa": "Cohen's kappa"}
        rows = [[words, *_numbers(own[key]), str(own[key]["count"])] for key, words in names.items()]
        rows.append(["between people, Krippendorff's alpha", *_numbers(own["between_people"]), str(own["labelled"])])
        add_table(
            add_section(main, "Beside people: comparisons", "card"), ["", "value", "low", "high", "of"], rows, text=1
        )


def _calibration(cards: Element, mapped: Mapping[str, Any]) -> None:
    card = add_card(cards, f"From the judges' grades to those of people ({mapped['kind']})")
    knots, values = mapped["map"]["knots"], mapped["map"]["values"]
    ends = [min(*knots, *values), max(*knots, *values)]
    lines = [Series("as people grade", knots, values, dots=True), Series("as it is", ends, ends, dashed=True)]
    card.append(line_chart(lines, "people's grade by the judges' grade", "grade of the judges", "grade of people"))
    rows = [
        [name.replace("_", " "), _number(mapped["before"][name]), _number(mapped["after"][name])]
        for name in mapped["before"]
    ]
    add_table(card, ["", "as it is", "mapped"], rows, text=1)
    text = f"fitted on {mapped['fitted_on']:,} labels, looked at on {mapped['looked_at']:,} others; the absolute error changes by "
    change = mapped["change"]
    SubElement(card, "p").text = text + _told({**change, "value": change["mean"]})


def _cost(main: Element, told: Mapping[str, Any]) -> None:
    head = [
        "asked for",
        "model",
        "asked",
        "from cache",
        "answered",
        "unparsed",
        "refused",
        "tokens in",
        "tokens out",
        "cost",
    ]
    rows = [
        [
            name,
            one["model"],
            *(f"{one[key]:,}" for key in ("asked", "from_cache", "answered")),
            f"{one['unparsed'] + one['cut'] + one['rejected'] + one['failed']:,}",
            f"{one['refused']:,}",
            *(f"{one['tokens'][key]:,}" for key in ("input", "output")),
            f"{one['cost']:.4f}",
        ]
        for name, one in told["prompts"].items()
    ]
    add_table(add_section(main, "What it took", "card"), head, rows, text=2)


def _good(one: Mapping[str, Any]) -> str:
    if one["p_corrected"] is None or not one["p_corrected"] < 0.05:
        return ""
    return "good" if one["score"]["value"] > 0.5 else "bad"


def _span(name: str, one: Mapping[str, Any], kind: str = "") -> Span:
    value = one["value"]
    low, high = (value if one[end] is None else one[end] for end in ("low", "high"))
    return Span(name, value, low, high, kind)


def _numbers(one: Mapping[str, Any]) -> list[str]:
    return [_number(one[key]) for key in ("value", "low", "high")]


def _told(one: Mapping[str, Any]) -> str:
    if one["value"] is None:
        return ""
    span = "" if one["low"] is None else f" ({one['low']:.3f} .. {one['high']:.3f})"
    return f"{one['value']:.3f}{span}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _chance(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}" if value >= 0.001 else f"{value:.0e}"
