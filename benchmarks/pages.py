"""Writes what was measured of each model into its page, `docs/models/<type>.md`, from the lines in `results/*.jsonl`.

`python benchmarks/pages.py`

Lines whose config or code has changed since do not count: their rows leave the pages.
"""

from __future__ import annotations

import os
import statistics
from collections import defaultdict
from pathlib import Path
from typing import Any

import frappe
import ml1m_ctr
import multi_task
from record import ROOT, fingerprint, found, lines

from easyrec.config import load_experiment

PAGES = ROOT / "docs" / "models"
START, END = "<!-- results -->\n", "<!-- /results -->\n"


def frappe_rows() -> list[tuple[str, dict[str, Any]]]:
    """Test AUC on Frappe_x1 of the best trial on valid."""
    rows = []
    for name in frappe.names():
        best = frappe.best_trial(name)
        if best is None:
            continue
        _, run = best
        runs = [run, *(found("frappe_x1", run["fingerprint"], seed) for seed in frappe.MORE_SEEDS)]
        told = [r["test_auc"] for r in runs if r is not None]
        changed = ", ".join(f"`{key.rpartition('.')[2]}: {value}`" for key, value in run["overrides"].items())
        config = f"`configs/frappe/{name}.yaml`" + (f", {changed}" if changed else "")
        published = frappe.PUBLISHED.get(name)
        row = _row("Frappe_x1", config, "test AUC", told, "" if published is None else f"{published:.4f}")
        rows.append((load_experiment(frappe.CONFIGS / f"{name}.yaml").model.type, row))
    return rows


def ml1m_rows() -> list[tuple[str, dict[str, Any]]]:
    """Test AUC on MovieLens-1M, beside FuxiCTR's model where it has one."""
    peers = {run["model"].partition(" ")[2].lower(): run["test_auc"] for run in _peers()}
    os.environ.setdefault("EASYREC_ML1M", str(ml1m_ctr.OUT))
    rows = []
    for name in (*ml1m_ctr.FULL, *ml1m_ctr.IDS):
        config, laid = ml1m_ctr.overrides(name)
        experiment = load_experiment(ml1m_ctr.CONFIGS / f"{config}.yaml", laid)
        runs = [found("ml1m_ctr", fingerprint(experiment), seed) for seed in range(2026, 2036)]
        told = [run["test_auc"] for run in runs if run is not None]
        if told:
            peer = peers.get(experiment.model.type) if name.endswith("_ids") and name != "pooled_ids" else None
            beside = "" if peer is None else f"{peer:.5f} (FuxiCTR)"
            where = f"`configs/ml1m/{config}.yaml`" + (", item ids alone" if name.endswith("_ids") else "")
            rows.append((experiment.model.type, _row("MovieLens-1M", where, "test AUC", told, beside)))
    return rows


def _peers() -> list[dict[str, Any]]:
    return [run for run in lines("ml1m_ctr") if run["model"].startswith("FuxiCTR ")]


def task_rows() -> list[tuple[str, dict[str, Any]]]:
    """Test AUC on Adult, and AUC by chance on the embedded shop."""
    os.environ.setdefault("EASYREC_ADULT", str(multi_task.OUT))
    shown = {"adult": {"test income": "income", "test marital": "never married"}}
    shown["shop"] = {"buy AUC by chance": "purchases, by chance", "conversion AUC": "conversion of all rows"}
    rows = []
    for part, data in (("adult", "UCI Adult"), ("shop-1150000", "embedded shop")):
        folder = part.partition("-")[0]
        for name in multi_task.ADULT if folder == "adult" else multi_task.SHOP:
            experiment = load_experiment(ROOT / "configs" / folder / f"{name}.yaml")
            seeds = multi_task.SEEDS[folder]
            runs = [found("multi_task", fingerprint(experiment) + part, seed) for seed in seeds]
            told = [run for run in runs if run is not None]
            for key, what in shown[folder].items():
                if told and key in told[0]:
                    values = [run[key] for run in told]
                    config = f"`configs/{folder}/{name}.yaml`"
                    rows.append((experiment.model.type, _row(data, config, f"AUC, {what}", values, "")))
    return rows


def _row(data: str, config: str, measured: str, values: list[float], beside: str) -> dict[str, Any]:
    mean = f"{statistics.mean(values):.5f}"
    return {"data": data, "config": config, "measured": measured, "value": mean, "seeds": len(values), "beside": beside}


def write(page: Path, rows: list[dict[str, Any]]) -> None:
    """Put the rows under `## Results` of a page, in the place of those that were there."""
    text = page.read_text(encoding="utf-8")
    before, mark, after = text.partition(START)
    if mark:
        _, _, after = after.partition(END)
    else:
        before, mark, after = text.partition("## Results\n\n")
        before, after = before + mark, "\n" + after
    cells = [("data", "config", "measured", "", "seeds", "published, or beside"), ("---",) * 6]
    cells += [tuple(str(value) for value in row.values()) for row in rows]
    listed = "".join("| " + " | ".join(row) + " |\n" for row in cells) if rows else ""
    page.write_text(before + (START + listed + END if rows else "") + after, encoding="utf-8")


def main() -> None:
    os.environ.setdefault("EASYREC_DATA", str(ROOT.parent / "shared" / "data"))
    rows = defaultdict(list)
    for model, row in [*frappe_rows(), *ml1m_rows(), *task_rows()]:
        rows[model].append(row)
    for page in sorted(PAGES.glob("*.md")):
        if page.stem in rows or START in page.read_text(encoding="utf-8"):
            write(page, rows[page.stem])
    print(f"{len(rows)} models have results")


if __name__ == "__main__":
    main()
