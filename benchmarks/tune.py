"""Samplers and pruners of `easyrec tune` on a table of recorded trials, and a search on Frappe_x1 from poor settings.

`python benchmarks/tune.py [record | compare | frappe]`

- `record`: trains points of a grid on a part of Frappe_x1 to its end, by `easyrec tune` with the sampler `grid`, and
  writes the valid AUC of each epoch to `benchmarks/results/tune_curves.json`. Made once; stopped, it goes on.
- `compare`: searches that table instead of training: a point gives the curve of the nearest recorded one. Samplers are
  compared by the best AUC after equally many trials, pruners by the epochs that they spare.
- `frappe`: `configs/tune/frappe.yaml`, for 30 minutes on two cores: then trains `best.yaml` and prints its test AUC.
  Stopped, it goes on.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import statistics
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from record import RESULTS, ROOT, commit, data, machine, save, section, table

sys.path.remove(str(Path(__file__).resolve().parent))  # where `serving` is a script, and not the package

import easyrec
from easyrec.tune.search import Search, load_search
from easyrec.tune.study import Study

CURVES = RESULTS / "tune_curves.json"
SHARE = 8
"""One in so many rows of Frappe_x1 is taken."""
EPOCHS = 9
GRID: dict[str, list[float]] = {
    "train.dense_optimizer.lr": [1e-4, 3e-4, 1e-3, 3e-3, 1e-2],
    "train.sparse_optimizer.lr": [3e-4, 1e-3, 3e-3, 1e-2, 3e-2],
    "model.dropout": [0.0, 0.25, 0.5],
    "model.embedding_dim": [4, 16],
}
"""What is recorded: so many of its points, drawn at random."""
POINTS = 60
SPACE: dict[str, Any] = {
    "train.dense_optimizer.lr": {"log": [1e-4, 1e-2]},
    "train.sparse_optimizer.lr": {"log": [3e-4, 3e-2]},
    "model.dropout": {"uniform": [0.0, 0.5]},
    "model.embedding_dim": {"int": [4, 16]},
}
"""What is searched."""
TRIALS, SEEDS = 30, range(5)
PAIRS = (("random", "none"), ("random", "median"), ("tpe", "none"), ("tpe", "median"), ("tpe", "hyperband"))
"""Samplers and pruners. `random` draws the same points whatever is pruned, so there a pruner is compared with none."""
EQUAL = 0.0005
"""AUC by which two results may differ and be called equal."""


def config(folder: Path, space: Mapping[str, Any], **tune: Any) -> dict[str, Any]:
    """DeepFM on the part of Frappe_x1 in the folder."""
    ids = ["user", "item", "daytime", "weekday", "isweekend", "homework", "cost", "weather", "country", "city"]
    parts = {name: {"type": "parquet", "path": str(folder / f"{name}.parquet")} for name in ("train", "valid")}
    found: dict[str, Any] = {
        "name": "tune_curves",
        "data": {**parts, "labels": ["label"], "batch_size": 512},
        "features": [{"type": "id", "names": ids, "num_buckets": 5382, "embedding_name": "{name}"}],
        "model": {"type": "deepfm", "hidden": [64, 32], "batch_norm": True},
        "train": {
            "epochs": EPOCHS,
            "log_every": 1_000_000,
            "dense_optimizer": {"type": "adam"},
            "sparse_optimizer": {"type": "lazy_adam"},
        },
        "tune": tune,
    }
    for path, value in space.items():
        node = found
        *above, last = path.split(".")
        for key in above:
            node = node[key]
        node[last] = value
    return found


def record() -> None:
    """Train the grid and write its curves."""
    source, folder = data("frappe_x1"), ROOT / ".data" / "tune"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("train", "valid"):
        rows = pq.read_table(source / f"{name}.parquet")
        pq.write_table(rows.take(list(range(0, rows.num_rows, SHARE))), folder / f"{name}.parquet")
    space = {path: {"choice": values} for path, values in GRID.items()}
    whole = config(folder, space, sampler="grid", pruner="none", seed=1, budget={"trials": POINTS})
    found = easyrec.tune(whole, run_dir=folder / "study", progress=False)
    rows = [row for row in found.rows if row.state == "complete"]
    points = [
        {**{k: float(v) for k, v in row.values.items()}, "curve": [round(v, 6) for v in row.curve]} for row in rows
    ]
    content = {"benchmark": "tune_curves", "commit": commit(), "machine": machine(), "epochs": EPOCHS, "points": points}
    CURVES.write_text(json.dumps(content, indent=None, separators=(",", ":")).replace('{"train', '\n{"train') + "\n")
    print(f"{len(points)} points; the best: {max(max(p['curve']) for p in points):.5f}")


def recorded() -> list[dict[str, Any]]:
    """The recorded points."""
    points: list[dict[str, Any]] = json.loads(CURVES.read_text())["points"]
    return points


def curve_of(points: list[dict[str, Any]], values: Mapping[str, Any]) -> list[float]:
    """The curve of the recorded point that is nearest, on scales of 0 to 1."""

    def place(name: str, value: float) -> float:
        low, high = GRID[name][0], GRID[name][-1]
        if name.endswith("lr"):
            return math.log(value / low) / math.log(high / low)
        return (value - low) / (high - low)

    def distance(point: Mapping[str, Any]) -> float:
        return sum((place(name, point[name]) - place(name, values[name])) ** 2 for name in GRID)

    found: list[float] = min(points, key=distance)["curve"]
    return found


def searched(points: list[dict[str, Any]], sampler: str, pruner: str, seed: int) -> dict[str, float]:
    """A search of the table: the best AUC, and the epochs that it took."""
    with tempfile.TemporaryDirectory() as folder:
        tune = {"sampler": sampler, "pruner": pruner, "seed": seed, "budget": {"trials": TRIALS}}
        search = load_table_search(tune)
        epochs, best, course = 0, 0.0, []
        with Study(search, Path(folder)) as study:
            while (asked := study.ask()) is not None:
                trial, values = asked
                for number, auc in enumerate(curve := curve_of(points, values), 1):
                    epochs += 1
                    trial.report(auc, number)
                    if trial.should_prune():
                        study.prune(trial)
                        break
                else:
                    study.complete(trial, {"auc": max(curve)})
                    best = max(best, *curve)
                course.append(best)
    return {"best": best, "mean best so far": statistics.fmean(course), "epochs": epochs}


def load_table_search(tune: Mapping[str, Any]) -> Search:
    """The search of the table; its data are never read."""
    return load_search(config(Path("none"), SPACE, **tune))


def compare() -> None:
    """Search the table with every sampler and pruner."""
    points = recorded()
    runs: dict[str, list[dict[str, float]]] = {}
    for sampler, pruner in PAIRS:
        runs[f"{sampler}, {pruner}"] = [searched(points, sampler, pruner, seed) for seed in SEEDS]
        print(f"  {sampler}, {pruner}: {runs[f'{sampler}, {pruner}']}", flush=True)
    tell(points, runs)


def tell(points: list[dict[str, Any]], runs: Mapping[str, list[dict[str, float]]]) -> None:
    """The table of samplers and pruners."""
    rows = []
    for name, found in runs.items():
        best = [run["best"] for run in found]
        saved = 1 - statistics.fmean(run["epochs"] for run in found) / (TRIALS * EPOCHS)
        rows.append(
            {
                "sampler, pruner": name,
                "best AUC, mean": f"{statistics.fmean(best):.5f}",
                "worst of 5": f"{min(best):.5f}",
                "best so far": f"{statistics.fmean(run['mean best so far'] for run in found):.5f}",
                "epochs saved": f"{saved:.0%}",
            }
        )
    table(rows)
    section("tune", rows)
    pairs = zip(runs["tpe, none"], runs["random, none"], strict=True)
    wins = sum(tpe["best"] >= random["best"] for tpe, random in pairs)
    print(f"the best recorded point: {max(max(p['curve']) for p in points):.5f}")
    print(f"tpe is no worse than random in {wins} of {len(SEEDS)} seeds")
    for sampler, pruner in PAIRS:
        if pruner != "none":
            ends = list(zip(runs[f"{sampler}, {pruner}"], runs[f"{sampler}, none"], strict=True))
            lost = [whole["best"] - run["best"] for run, whole in ends]
            equal = sum(one <= EQUAL for one in lost)
            print(f"{sampler}, {pruner}: equal in {equal} of {len(lost)} seeds, {statistics.fmean(lost):+.5f} AUC lost")
    save("tune", {"trials": TRIALS, "epochs": EPOCHS, "runs": runs})


def frappe() -> None:
    """The search from poor settings, and the test AUC of what it found."""
    data("frappe_x1")
    folder = ROOT / ".data" / "tune" / "frappe"
    found = easyrec.tune(ROOT / "configs" / "tune" / "frappe.yaml", run_dir=folder / "study")
    run = easyrec.train(found.config, run_dir=folder / "run", resume=True, export=False)
    told = {part: run.metrics[part]["auc"] for part in ("valid", "test")}
    trials = [
        {"trial": r.number, "state": r.state, **r.outcome, "values": r.values, "seconds": r.seconds} for r in found.rows
    ]
    print(
        f"{len(found.rows)} trials; trial {found.best[0].number} trained: valid {told['valid']:.5f}, test {told['test']:.5f}"
    )
    save("tune_frappe", {"auc": told, "values": found.values, "trials": trials})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="?", choices=["record", "compare", "frappe"], default="compare")
    what = parser.parse_args().what
    logging.basicConfig(format="%(message)s", level=logging.INFO if what != "compare" else logging.ERROR)
    {"record": record, "compare": compare, "frappe": frappe}[what]()


if __name__ == "__main__":
    main()
