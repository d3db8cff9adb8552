"""The report of a run as one HTML page: no script, nothing from outside, every text escaped by the tree it is in."""

from __future__ import annotations

import math
from typing import Any
from xml.etree.ElementTree import Element, SubElement

from easyrec.report.pieces import add_card, add_legend, add_section, add_table, add_tile, document, duration, html
from easyrec.report.run_files import RunFiles
from easyrec.report.svg import Series, bar_chart, line_chart, number, spark


def page(run: RunFiles) -> str:
    """The whole page."""
    root, main = document(f"{run.name}: easyrec report")
    _header(main, run)
    for section in (_progress, _quality, _final, _features, _tables, _timings, _config, _environment):
        section(main, run)
    return html(root)


# ------------------------------------------------------------------------------------------- sections


def _header(main: Element, run: RunFiles) -> None:
    header = SubElement(main, "header")
    SubElement(header, "h1").text = run.name
    training = run.details.get("training", {})
    facts = [str(training[key]) for key in ("model", "finished") if training.get(key)]
    facts = [fact[:16].replace("T", " ") + " UTC" if fact.endswith("+00:00") else fact for fact in facts]
    SubElement(header, "p").text = " · ".join([*facts, "easyrec report"])
    tiles = SubElement(main, "div", {"class": "tiles"})
    for split in ("test", "valid"):
        for name, value in list(_leaves(run.metrics.get(split)))[:4]:
            add_tile(tiles, f"{split} {name}", _metric(value))
        if run.metrics.get(split):
            break
    if "best_step" in run.metrics:
        add_tile(tiles, "best step", number(run.metrics["best_step"]))
    if "seconds" in run.metrics:
        add_tile(tiles, "training time", duration(run.metrics["seconds"]))
    if training.get("samples_per_second"):
        add_tile(tiles, "samples / s", number(training["samples_per_second"], 3))
    if training.get("parameters"):
        add_tile(tiles, "parameters", number(training["parameters"], 3))


def _progress(main: Element, run: RunFiles) -> None:
    lines = [line for line in run.evaluations if isinstance(line.get("step"), int)]
    charts: dict[str, list[Series]] = {}
    steps = [(line["step"], line["loss"]) for line in run.progress if line.get("loss") is not None]
    if len(steps) > 1:
        charts["loss"] = [Series("train", [s[0] for s in steps], [s[1] for s in steps])]
        lines = [{**line, "train": {**line.get("train", {}), "loss": None}} for line in lines]
    for split in ("train", "valid", "test"):
        names = dict.fromkeys(name for line in lines for name, _ in _leaves(line.get(split)))
        for name in names:
            points = [(line["step"], dict(_leaves(line.get(split))).get(name)) for line in lines]
            kept = [(step, value) for step, value in points if value is not None]
            series = Series(split, [p[0] for p in kept], [p[1] for p in kept], dots=len(kept) <= 40)
            charts.setdefault(name, []).append(series)
    if not charts:
        return
    best = run.metrics.get("best_step")
    mark = (float(best), "best") if isinstance(best, int) else None
    span = (0.0, float(max(step for lines_ in charts.values() for series in lines_ for step in series.xs)))
    cards = add_section(main, "Training", "cards three")
    for name, lines_ in charts.items():
        card = add_card(cards, name)
        if len(lines_) > 1:
            add_legend(card, [s.name for s in lines_])
        card.append(line_chart(lines_, f"{name} by training step", "training step", "", mark=mark, span=span))


def _quality(main: Element, run: RunFiles) -> None:
    curves = run.details.get("curves", {})
    tasks = list(dict.fromkeys(task for split in curves.values() for task in split))
    if not tasks:
        return
    for task in tasks:
        found = {split: curves[split][task] for split in ("valid", "test") if task in curves.get(split, {})}
        cards = add_section(main, f"Quality of {task}" if len(tasks) > 1 else "Quality", "cards three")
        roc = [Series(split, c["roc"]["fpr"], c["roc"]["tpr"]) for split, c in found.items() if c["roc"]["fpr"]]
        if roc:
            card = add_card(cards, "ROC")
            add_legend(card, [s.name for s in roc])
            chance = Series("chance", [0, 1], [0, 1], dashed=True)
            plot = line_chart([*roc, chance], "ROC curve", "false positive rate", "true positive rate", unit=True)
            card.append(plot)
        reliability = [
            Series(split, c["reliability"]["predicted"], c["reliability"]["observed"], dots=True)
            for split, c in found.items()
            if c["reliability"]["predicted"]
        ]
        if reliability:
            top = max(max(*s.xs, *s.ys) for s in reliability)
            low = min(min(*s.xs, *s.ys) for s in reliability)
            card = add_card(cards, "Calibration")
            add_legend(card, [s.name for s in reliability])
            perfect = Series("perfect", [low, top], [low, top], dashed=True)
            label = "observed rate by predicted probability"
            card.append(line_chart([*reliability, perfect], label, "predicted probability", "observed rate"))
            SubElement(card, "p").text = "20 groups of equal size; on the dashed line predictions are true rates"
        split, last = list(found.items())[-1]
        if any(last["histogram"]["counts"]):
            card = add_card(cards, f"Predictions on {split}")
            histogram = last["histogram"]
            plot = bar_chart(histogram["counts"], histogram["edges"], "rows by probability", "probability", "rows")
            card.append(plot)


def _final(main: Element, run: RunFiles) -> None:
    splits = [s for s in ("train", "valid", "test") if isinstance(run.metrics.get(s), dict)]
    names = list(dict.fromkeys(name for s in splits for name, _ in _leaves(run.metrics[s])))
    if not names:
        return
    values = {s: dict(_leaves(run.metrics[s])) for s in splits}
    rows = [[name, *(_metric(values[s][name]) if name in values[s] else "" for s in splits)] for name in names]
    add_table(add_section(main, "Metrics of the best checkpoint", "card"), ["metric", *splits], rows, text=1)


def _features(main: Element, run: RunFiles) -> None:
    features = run.details.get("features", [])
    if not features:
        return
    card = add_section(main, "Features", "card")
    head = [
        "feature",
        "kind",
        "distribution",
        "empty",
        "values per row",
        "distinct",
        "table rows",
        "top id",
        "mean",
        "std",
    ]
    table = add_table(card, head, [], text=3)
    for f in features:
        row = SubElement(table, "tr")
        SubElement(row, "td", {"class": "name"}).text = f["name"]
        SubElement(row, "td").text = str(f["kind"]).replace("_", " ")
        SubElement(row, "td").append(spark(f.get("histogram") or [], f"distribution of {f['name']}"))
        cells = [
            f"{f['empty']:.1%}",
            number(f["per_row"], 3),
            number(f["distinct"]) if f.get("distinct") else "",
            number(f["num_embeddings"]) if f.get("num_embeddings") else "",
            f"{f['top_share']:.1%}" if f.get("top_share") is not None else "",
            number(f["mean"], 3) if f.get("mean") is not None else "",
            number(f["std"], 3) if f.get("std") is not None else "",
        ]
        for text in cells:
            SubElement(row, "td", {"class": "n"}).text = text
    rows = run.details.get("sampled_rows")
    note = f"from {number(rows)} rows of train; " if rows else ""
    SubElement(
        card, "p"
    ).text = f"{note}numbers: histogram from the 1st to the 99th percentile; ids: the most frequent, descending"


def _tables(main: Element, run: RunFiles) -> None:
    tables = run.details.get("tables", [])
    if tables:
        first = [t for t in tables if t["name"].endswith(":first")]
        own = [t for t in tables if t not in first]
        rows = [[t["name"], number(t["rows"]), str(t["dim"]), number(t["rows"] * t["dim"])] for t in own]
        if first:
            total = number(sum(t["rows"] for t in first))
            rows.append([f"first-order weights of {len(first)} tables", total, "1", total])
        card = add_section(main, "Embedding tables", "card")
        add_table(card, ["table", "rows", "dim", "parameters"], rows, text=1)


def _timings(main: Element, run: RunFiles) -> None:
    timings: dict[str, float] = run.details.get("timings", {})
    if not timings:
        return
    card = add_section(main, "Where the time went", "card")
    total = sum(timings.values()) or 1.0
    table = add_table(card, ["part", "", "time", "share"], [], text=2)
    for name, seconds in sorted(timings.items(), key=lambda item: -item[1]):
        row = SubElement(table, "tr")
        SubElement(row, "td", {"class": "name"}).text = name.replace("_", " ")
        width = f"width:{max(seconds / total, 0) * 260:.0f}px"
        SubElement(SubElement(row, "td"), "span", {"class": "share", "style": width}).text = ""
        SubElement(row, "td", {"class": "n"}).text = duration(seconds)
        SubElement(row, "td", {"class": "n"}).text = f"{seconds / total:.0%}"


def _config(main: Element, run: RunFiles) -> None:
    SubElement(add_section(main, "Config", "card"), "pre").text = run.config


def _environment(main: Element, run: RunFiles) -> None:
    facts = run.details.get("environment", {})
    if facts:
        rows = [[name, str(value)] for name, value in facts.items()]
        add_table(add_section(main, "Environment", "card"), [], rows, text=2)


def _leaves(metrics: Any) -> list[tuple[str, float]]:
    """The numbers of a metrics mapping; nested ones as `task/metric`."""
    found: list[tuple[str, float]] = []
    for name, value in (metrics or {}).items():
        if isinstance(value, dict):
            found += [(f"{name}/{below}", number_) for below, number_ in _leaves(value)]
        elif isinstance(value, int | float) and not isinstance(value, bool):
            found.append((name, float(value)))
    return found


def _metric(value: float) -> str:
    return f"{value:.4f}" if math.isfinite(value) and abs(value) < 1000 else number(value)
