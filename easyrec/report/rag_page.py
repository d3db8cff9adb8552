"""What came of questions to documents as one HTML page: means with intervals, differences, questions one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import Element, SubElement

from easyrec.report.forest import Span, forest
from easyrec.report.pieces import add_card, add_section, add_table, add_tile, document, html
from easyrec.report.svg import bar_chart

SHOWN = 50
"""Questions that are shown of those with the lowest values, and of those that differ most."""
BINS = 10
LONG = 300
"""Letters of a question or an answer that are shown."""


def rag_page(told: Mapping[str, Any]) -> str:
    """The whole page.

    Args:
        told: What `rag.evaluation.results.Evaluation.as_json` gives, with `compared` and `gates`.
    """
    root, main = document(f"{told['name']}: evaluation")
    header = SubElement(main, "header")
    SubElement(header, "h1").text = str(told["name"])
    SubElement(header, "p").text = f"{told['questions']:,} questions · easyrec rag eval"
    tiles = SubElement(main, "div", {"class": "tiles"})
    for one in [one for one in told["metrics"] if one["mean"] is not None][:6]:
        add_tile(tiles, one["name"], f"{one['mean']:.3f}")
    for note in told["notes"]:
        card = SubElement(main, "div", {"class": "card"})
        SubElement(card, "h3").text = "Beware"
        SubElement(card, "p").text = note
    _gates(main, told)
    _means(main, told)
    _kinds(main, told)
    for name, compared in told.get("compared", {}).items():
        _compared(main, name, compared, {case["id"]: case for case in told["cases"]})
    _spread(main, told)
    _questions(main, told)
    _cost(main, told)
    return html(root)


def _gates(main: Element, told: Mapping[str, Any]) -> None:
    gates = told.get("gates", [])
    if gates:
        rows = [["passed" if one["passed"] else "FAILED", one["gate"], one["why"]] for one in gates]
        add_table(add_section(main, "Gates", "card"), ["", "gate", "seen"], rows, text=3)


def _means(main: Element, told: Mapping[str, Any]) -> None:
    cards = add_section(main, "Means", "cards")
    card = add_card(cards, f"Means and their {told['level']:.0%} intervals")
    spans = [
        Span(one["name"], one["mean"], one["low"], one["high"]) for one in told["metrics"] if one["mean"] is not None
    ]
    if spans:
        card.append(forest(spans, "mean of each metric"))
    head = ["metric", "mean", "low", "high", "of", "unparsed", "refused", "led", "failed"]
    rows = []
    for one in told["metrics"]:
        states = [str(one["states"][name] or "") for name in ("unparsed", "refused", "led", "failed")]
        rows.append([one["name"], *(_number(one[key]) for key in ("mean", "low", "high")), str(one["count"]), *states])
    card = add_section(main, "Metrics", "card")
    add_table(card, head, rows, text=1)
    SubElement(card, "p").text = (
        "of: questions that have a value, over which the mean is taken; unparsed and refused: what the judge said could not be "
        "used; led: the judge also agreed with what nobody wrote; failed: the question could not be asked"
    )


def _kinds(main: Element, told: Mapping[str, Any]) -> None:
    kinds = told["kinds"]
    if len(kinds) < 2:
        return
    names = [one["name"] for one in told["metrics"]]
    by_kind = {kind: {one["name"]: one for one in found} for kind, found in kinds.items()}
    rows = [[name, *(_number(by_kind[kind][name]["mean"]) for kind in kinds)] for name in names]
    head = ["metric", *(str(kind).replace("_", " ") for kind in kinds)]
    add_table(add_section(main, "By kind of question", "card"), head, rows, text=1)


def _compared(
    main: Element, name: str, compared: Sequence[Mapping[str, Any]], cases: Mapping[str, Mapping[str, Any]]
) -> None:
    cards = add_section(main, name, "cards")
    spans = [
        Span(one["name"], one["difference"], one["low"], one["high"], _good(one))
        for one in compared
        if one["difference"] is not None
    ]
    if spans:
        card = add_card(cards, "Second minus first")
        card.append(forest(spans, "difference of each metric"))
        SubElement(card, "p").text = "coloured where the corrected p is below 0.05: green is better, orange is worse"
    head = ["metric", "first", "second", "difference", "low", "high", "p", "p of all", "better", "worse", "of"]
    rows = [
        [
            one["name"],
            *(_number(one[key]) for key in ("first", "second", "difference", "low", "high")),
            *(f"{one[key]:.3g}" for key in ("p", "p_corrected")),
            *(str(one[key]) for key in ("better", "worse", "count")),
        ]
        for one in compared
    ]
    card = add_section(main, f"{name}, in numbers", "card")
    add_table(card, head, rows, text=1)
    SubElement(
        card, "p"
    ).text = "p: randomisation test over the questions that both have a value for; p of all: corrected for all metrics (Holm)"
    moved = [(gain, one["name"], key) for one in compared for key, gain in one["questions"].items() if gain != 0.0]
    moved.sort(key=lambda entry: (-abs(entry[0]), entry[1], entry[2]))
    if moved:
        rows = [
            [_short(cases.get(key, {}).get("question", key)), metric, f"{gain:+.3f}"]
            for gain, metric, key in moved[:SHOWN]
        ]
        card = add_section(main, f"{name}: questions that differ most", "card")
        add_table(card, ["question", "metric", "difference"], rows, text=2)


def _spread(main: Element, told: Mapping[str, Any]) -> None:
    """How the values lie."""
    cards = add_section(main, "Values of questions", "cards three")
    edges = [n / BINS for n in range(BINS + 1)]
    for one in told["metrics"]:
        values = [case["values"][one["name"]] for case in told["cases"]]
        there = [min(max(value, 0.0), 1.0) for value in values if value is not None]
        if not there:
            continue
        counts = [0] * BINS
        for value in there:
            counts[min(int(value * BINS), BINS - 1)] += 1
        add_card(cards, one["name"]).append(bar_chart(counts, edges, f"values of {one['name']}", "value", "questions"))


def _questions(main: Element, told: Mapping[str, Any]) -> None:
    """Those that came off worst."""
    cases = [(_mean(case), case) for case in told["cases"]]
    cases = sorted((entry for entry in cases if entry[0] is not None), key=lambda entry: (entry[0], entry[1]["id"]))
    if not cases:
        return
    head = ["question", "kind", "answer", "right answer", "found", *(one["name"] for one in told["metrics"])]
    rows = []
    for _, case in cases[:SHOWN]:
        hits = ", ".join(("✓ " if hit["right"] else "") + hit["source"].rpartition("/")[2] for hit in case["hits"][:5])
        texts = [_short(case.get(key, "")) for key in ("answer", "right_answer")]
        values = [_number(case["values"][one["name"]]) for one in told["metrics"]]
        rows.append([_short(case["question"]), case["kind"].replace("_", " "), *texts, _short(hits), *values])
    card = add_section(main, "Questions that came off worst", "card")
    add_table(card, head, rows, text=5)
    SubElement(card, "p").text = f"by the mean of their values; the first {min(SHOWN, len(cases))} of {len(cases):,}"


def _cost(main: Element, told: Mapping[str, Any]) -> None:
    if told["usage"]:
        head = ["", "calls", "from the cache", "tokens in", "tokens out", "cost"]
        rows = [
            [who, *(f"{int(took[key]):,}" for key in ("calls", "hits", "input", "output")), f"{took['cost']:.4f}"]
            for who, took in told["usage"].items()
        ]
        add_table(add_section(main, "What models took", "card"), head, rows, text=1)


def _mean(case: Mapping[str, Any]) -> float | None:
    there = [value for value in case["values"].values() if value is not None]
    return sum(there) / len(there) if there else None


def _good(one: Mapping[str, Any]) -> str:
    if one["p_corrected"] is None or not one["p_corrected"] < 0.05:
        return ""
    return "good" if one["difference"] > 0 else "bad"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _short(text: str) -> str:
    return text if len(text) <= LONG else text[: LONG - 1] + "…"
