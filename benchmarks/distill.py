"""Students beside the same on labels alone: a small MLP on Frappe_x1, and two towers that follow a DIN on MovieLens-1M.

`python benchmarks/distill.py [frappe | prerank | all] [--seeds 3] [--page]`

- `frappe`: the teacher is the MLP of `configs/frappe/dnn.yaml` with `embedding_dim` 20, the student that of
  `configs/distill/frappe.yaml`. The same is trained on labels alone, with the same settings and with the dropout that is best
  for it on valid.
- `prerank`: the teacher is `configs/ml1m/din.yaml`, the student `configs/distill/prerank.yaml`: two towers that learn the
  teacher's scores of drawn candidates, measured by how many of its best ten of 101 they keep. Both read the newest 50 steps
  of the history, and the teacher is trained for four epochs, so that all of it takes minutes.

Everything is kept under `.data/distill`: a stopped script goes on where it stopped. `--page` writes the tables of the last
results into `docs/benchmarks.md`.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from ml1m_ctr import OUT as ML1M
from ml1m_ctr import prepare
from record import RESULTS, ROOT, data, save, section, table

sys.path.remove(str(Path(__file__).resolve().parent))  # where `serving` is a script, and not the package

import easyrec
from easyrec.config import load_experiment
from easyrec.tune.distilled import LABELS, told

HOME = ROOT / ".data" / "distill"
SHOWN = {"frappe": ("auc", "logloss"), "prerank": ("ranker_hit_rate@10", "ranker_hit_rate@30", "auc")}
TITLES = {
    "auc": "test AUC",
    "logloss": "test logloss",
    "ranker_hit_rate@10": "ranker's 10 in 10",
    "ranker_hit_rate@30": "ranker's 10 in 30",
}
SHORTER = {"features[history].sequence_length": 50}
"""Laid over both configs on MovieLens-1M."""
ITEM_COLUMNS = ["item_id", "genres", "genre_set", "year", "log_count"]


def teacher(config: Path, name: str, overrides: Mapping[str, Any]) -> Path:
    """The folder of a teacher's run, trained where it is not there."""
    folder = HOME / name
    if not (folder / "metrics.json").is_file():
        laid = {"train.log_every": 1_000_000, **overrides}
        easyrec.train(config, overrides=laid, run_dir=folder, resume=True, progress=False)
    return folder


def distilled(name: str, seeds: int, laid: Mapping[str, Any], alone: Mapping[str, Any] | None = None) -> None:
    """Train the student and its like on labels alone, and keep what came out.

    Args:
        name: Of the comparison.
        seeds: How often both are trained.
        laid: Settings of both.
        alone: Settings that are better on labels alone: one more contestant.
    """
    config = ROOT / "configs" / "distill" / f"{name}.yaml"
    quiet = {"train.log_every": 1_000_000, **laid}
    found = easyrec.distill(
        config, overrides={"distill.seeds": seeds, **quiet}, run_dir=HOME / f"{name}-student", progress=False
    )
    contestants = told(found.contestants, ("valid", "test"))
    if alone is not None:
        shown = ", ".join(f"{key.rpartition('.')[2]} {value}" for key, value in alone.items())
        tuned = labels_alone(config, name, seeds, {**quiet, **alone}, contestants[-1])
        contestants.append({**tuned, "name": f"{LABELS}, {shown}"})
    table(rows(name, contestants))
    save(f"distill-{name}", {"seeds": seeds, "contestants": contestants})


def labels_alone(
    config: Path, name: str, seeds: int, laid: Mapping[str, Any], student: Mapping[str, Any]
) -> dict[str, Any]:
    """The student's like, trained on labels alone with settings of its own."""
    metrics: dict[str, list[Any]] = {"valid": [], "test": []}
    first = load_experiment(config).train.seed
    for seed in range(first, first + seeds):
        folder = HOME / f"{name}-labels-{seed}"
        if not (folder / "metrics.json").is_file():
            laid = {**laid, "distill": None, "train.seed": seed}
            easyrec.train(config, overrides=laid, run_dir=folder, resume=True, progress=False, export=False)
        run = easyrec.Run.load(folder)
        for part, values in metrics.items():
            values.append(run.metrics[part])
    return {**student, "metrics": metrics, "latency_ms": None}


def frappe(seeds: int) -> None:
    """A small MLP and one nine times as large."""
    data("frappe_x1")
    path = teacher(ROOT / "configs" / "frappe" / "dnn.yaml", "frappe-teacher", {"model.embedding_dim": 20})
    os.environ["EASYREC_TEACHER"] = str(path)
    frappe_catalogue()
    distilled("frappe", seeds, {}, {"model.dropout": 0.2})


def frappe_catalogue() -> None:
    """One row per app: its id, and whether it costs something."""
    path = HOME / "apps.parquet"
    os.environ["EASYREC_APPS"] = str(path)
    if not path.is_file():
        rows = pq.read_table(data("frappe_x1") / "train.parquet", columns=["item", "cost"])
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(rows.group_by("item").aggregate([("cost", "min")]).rename_columns(["item", "cost"]), path)


def prerank(seeds: int) -> None:
    """Two towers that follow a DIN."""
    prepare()
    os.environ["EASYREC_ML1M"] = str(ML1M)
    catalogue()
    path = teacher(ROOT / "configs" / "ml1m" / "din.yaml", "prerank-teacher", {**SHORTER, "train.epochs": 4})
    os.environ["EASYREC_TEACHER"] = str(path)
    distilled("prerank", seeds, SHORTER)


def catalogue() -> None:
    """One row per movie."""
    if (ML1M / "items.parquet").is_file():
        return
    parts = [pq.read_table(ML1M / f"{split}.parquet", columns=ITEM_COLUMNS) for split in ("train", "valid", "test")]
    whole = pa.concat_tables(parts)
    first = whole.append_column("row", pa.array(range(whole.num_rows))).group_by("item_id").aggregate([("row", "min")])
    pq.write_table(whole.take(first["row_min"]), ML1M / "items.parquet")


def rows(name: str, contestants: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The table of one comparison: test metrics, means over seeds and each seed of the first."""
    found = []
    for one in contestants:
        values = one["metrics"]["test"]
        row: dict[str, Any] = {"model": one["name"], "parameters": f"{one['parameters']:,}", "seeds": len(values)}
        if one["latency_ms"] is not None:
            row["ms a request"] = f"{one['latency_ms']:.2f}"
        else:
            row["ms a request"] = ""
        row |= {TITLES[metric]: f"{fmean(value[metric] for value in values):.5f}" for metric in SHOWN[name]}
        first = SHOWN[name][0]
        row["each seed"] = ", ".join(f"{value[first]:.4f}" for value in values)
        found.append(row)
    return found


def page() -> None:
    """Write the last results into the page."""
    for name in SHOWN:
        files = sorted(RESULTS.glob(f"distill-{name}-*.json"))
        if files:
            section(f"distill-{name}", rows(name, json.loads(files[-1].read_text())["contestants"]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="?", choices=["frappe", "prerank", "all"], default="all")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--page", action="store_true", help="write the last results into docs/benchmarks.md alone")
    args = parser.parse_args()
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    if args.page:
        page()
        return
    for name, run in (("frappe", frappe), ("prerank", prerank)):
        if args.what in (name, "all"):
            run(args.seeds)


if __name__ == "__main__":
    main()
