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
import next_item
import tiger
import two_tower
from record import ROOT, data, finished

from easyrec.config import load_experiment

PAGES = ROOT / "docs" / "models"
START, END = "<!-- results -->\n", "<!-- /results -->\n"
NONE = "None measured on public data yet.\n"


def frappe_rows() -> list[tuple[str, dict[str, Any]]]:
    """Test AUC on Frappe_x1 of the best trial on valid."""
    rows = []
    for name in frappe.names():
        best = frappe.best_trial(name)
        if best is None:
            continue
        _, run = best
        runs = [run, *finished("frappe_x1", run["fingerprint"], frappe.MORE_SEEDS)]
        told = [r["test_auc"] for r in runs]
        changed = ", ".join(f"`{key.rpartition('.')[2]}: {value}`" for key, value in run["overrides"].items())
        config = f"`configs/frappe/{name}.yaml`" + (f", {changed}" if changed else "")
        published = frappe.PUBLISHED.get(name)
        row = _row("Frappe_x1", config, "test AUC", told, "" if published is None else f"{published:.4f}")
        rows.append((load_experiment(frappe.CONFIGS / f"{name}.yaml").model.type, row))
    return rows


def ml1m_rows() -> list[tuple[str, dict[str, Any]]]:
    """Test AUC on MovieLens-1M, beside FuxiCTR's model where it has one."""
    rows = []
    for name in (*ml1m_ctr.FULL, *ml1m_ctr.IDS):
        told = [run["test_auc"] for run in finished("ml1m_ctr", ml1m_ctr.key(name), ml1m_ctr.SEEDS)]
        if told:
            config, laid = ml1m_ctr.overrides(name)
            model = load_experiment(ml1m_ctr.CONFIGS / f"{config}.yaml", laid).model.type
            rows.append((model, _row("MovieLens-1M", _ml1m_config(name, config), "test AUC", told, "")))
    for row in ml1m_ctr.beside():
        name, peer = ml1m_ctr.PEERS[row["model"]], f"{row['FuxiCTR']} (FuxiCTR)"
        where, model = _ml1m_config(name, ml1m_ctr.overrides(name)[0]), row["model"].lower()
        same = [
            told for kind, told in rows if kind == model and (told["config"], told["value"]) == (where, row["easyrec"])
        ]
        if same:
            same[0]["beside"] = peer
            continue
        told = _row("MovieLens-1M", f"{where}, {row['epochs']} epochs", "test AUC", [float(row["easyrec"])], peer)
        rows.append((model, told | {"seeds": row["seeds"]}))
    return rows


def _ml1m_config(name: str, config: str) -> str:
    """What was trained: a config, or its model over item ids alone."""
    if not name.endswith("_ids"):
        return f"`configs/ml1m/{config}.yaml`"
    return f"`configs/ml1m/{config}.yaml`, item ids alone" + ("" if config == name else " as in `ids.yaml`")


def task_rows() -> list[tuple[str, dict[str, Any]]]:
    """Test AUC on Adult, and AUC by chance on the embedded shop."""
    os.environ.setdefault("EASYREC_ADULT", str(multi_task.OUT))
    shown = {"adult": {"test income": "income", "test marital": "never married"}}
    shown["shop"] = {"buy AUC by chance": "purchases, by chance", "conversion AUC": "conversion of all rows"}
    rows = []
    for part, source in (("adult", "UCI Adult"), ("shop-1150000", "embedded shop")):
        folder = part.partition("-")[0]
        for name in multi_task.ADULT if folder == "adult" else multi_task.SHOP:
            if name.startswith("single_"):  # of one task: what the others are compared with
                continue
            experiment = load_experiment(ROOT / "configs" / folder / f"{name}.yaml")
            told = finished("multi_task", multi_task.key(name, part), multi_task.SEEDS[folder])
            for key, what in shown[folder].items():
                if told and key in told[0]:
                    values = [run[key] for run in told]
                    config = f"`configs/{folder}/{name}.yaml`"
                    rows.append((experiment.model.type, _row(source, config, f"AUC, {what}", values, "")))
    return rows


def next_item_rows() -> list[tuple[str, dict[str, Any]]]:
    """Test recall@10 and NDCG@10 of the last items on MovieLens-1M and Amazon Beauty, all items ranked."""
    rows = []
    for part, source in (("ml-1m", "MovieLens-1M"), ("beauty", "Amazon Beauty"), ("ml-100k", "MovieLens-100K")):
        for line in next_item.rows(part):
            config = next_item.config(part, line["model"])
            told = _row(source, f"`{config.relative_to(ROOT)}`", "test recall@10, ndcg@10", [], line["published"])
            told["value"] = f"{line['recall@10']}, {line['ndcg@10']}"
            rows.append((load_experiment(config).model.type, told | {"seeds": 1}))
    return rows


def tiger_rows() -> list[tuple[str, dict[str, Any]]]:
    """The same of models that write codes."""
    rows = []
    for part, source in (("beauty", "Amazon Beauty"), ("ml-1m", "MovieLens-1M")):
        for line in tiger.rows(part):
            config = f"`configs/next_item/tiger.yaml`, size {line['size']}, {line['model'].partition(', ')[2]}"
            told = _row(source, config, "test recall@10, ndcg@10", [], line["published"])
            rows.append(("tiger", told | {"value": f"{line['recall@10']}, {line['ndcg@10']}", "seeds": 1}))
    return rows


def two_tower_rows() -> list[tuple[str, dict[str, Any]]]:
    """Test hit rate and recall of the last movies on MovieLens-1M, all movies ranked."""
    rows = []
    for line in two_tower.rows(list(two_tower.SEEDS)):
        config = two_tower.CONFIGS / f"{line['config']}.yaml"
        told = _row("MovieLens-1M", f"`{config.relative_to(ROOT)}`", "test hit_rate@100, recall@10", [], "")
        told |= {"value": f"{line['hit_rate@100']}, {line['recall@10']}", "seeds": line["seeds"]}
        rows.append((load_experiment(config).model.type, told))
    return rows


def _row(source: str, config: str, measured: str, values: list[float], beside: str) -> dict[str, Any]:
    return {
        "data": source,
        "config": config,
        "measured": measured,
        "value": f"{statistics.mean(values):.5f}" if values else "",
        "seeds": len(values),
        "beside": beside,
    }


def write(page: Path, rows: list[dict[str, Any]]) -> None:
    """Put the rows under `## Results` of a page, in the place of those that were there; without any, that there are none."""
    text = page.read_text(encoding="utf-8")
    before, mark, after = text.partition(START)
    if mark:
        _, _, after = after.partition(END)
    else:
        before, mark, after = text.partition("## Results\n\n")
        before, after = before + mark, "\n" + after
    cells: list[tuple[str, ...]] = [("data", "config", "measured", "", "seeds", "published, or beside"), ("---",) * 6]
    cells += [tuple(str(value) for value in row.values()) for row in rows]
    after = "\n" + after.lstrip("\n") if after.strip() else ""
    listed = "".join("| " + " | ".join(row) + " |\n" for row in cells) if rows else ""
    page.write_text(before + START + (listed or NONE) + END + after, encoding="utf-8")


def main() -> None:
    data("frappe_x1")
    rows = defaultdict(list)
    every = (frappe_rows, ml1m_rows, task_rows, next_item_rows, tiger_rows, two_tower_rows)
    for model, row in (row for kind in every for row in kind()):
        rows[model].append(row)
    for page in sorted(PAGES.glob("*.md")):
        if page.stem in rows or START in page.read_text(encoding="utf-8"):
            write(page, rows[page.stem])
    print(f"{len(rows)} models have results")


if __name__ == "__main__":
    main()
