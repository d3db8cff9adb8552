"""CTR models on Frappe_x1 beside the published results: tuning on valid, then the table.

`make bench-ctr`, or `python benchmarks/frappe.py [tune | table | page] [--models deepfm ...] [--trials 2]`

- `tune`: the same number of trials for every model: first the settings of `configs/frappe/<name>.yaml`, then draws from
  one space over all models. Valid AUC decides; test is not looked at.
- `table`: the best trial of each model, seed 2021; the best six by valid AUC with two more seeds.
- `page`: writes the table into `docs/benchmarks.md`.

Every finished run is a line of `benchmarks/results/frappe_x1.jsonl`, so a stopped script goes on where it stopped, and
several may run side by side on models of their own. A line counts as long as config, model and its modules are the same.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import logging
import os
import random
import re
import statistics
import sys
import tempfile
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

from record import RESULTS, ROOT, commit, table

import easyrec
from easyrec.config import load_experiment

LINES = RESULTS / "frappe_x1.jsonl"
PAGE = ROOT / "docs" / "benchmarks.md"
CONFIGS = ROOT / "configs" / "frappe"
PUBLISHED = {  # test AUC, BARS leaderboard of Frappe_x1
    "lr": 0.9356, "fm": 0.9671, "ffm": 0.9786, "fwfm": 0.9776, "fmfm": 0.9749, "afm": 0.9697, "nfm": 0.9804,
    "hofm": 0.9742, "dnn": 0.9833, "pnn": 0.9841, "wide_and_deep": 0.9841, "deepfm": 0.9842, "dcn": 0.9839,
    "dcn_v2": 0.9845, "xdeepfm": 0.9845, "autoint": 0.9831, "autoint_plus": 0.9848, "fignn": 0.9761,
    "fibinet": 0.9832, "afn": 0.9811, "afn_plus": 0.9826, "deepim": 0.9844, "destine": 0.9856, "masknet": 0.9837,
    "dlrm": 0.9840, "edcn": 0.9850, "sam": 0.9801, "aoanet": 0.9844, "finalmlp": 0.9861, "finalnet": 0.9857,
}  # fmt: skip
MARGIN = 0.0015
"""Test AUC that a model may lie below its published one."""
PEER = 0.9855
"""FuxiCTR's best on exactly this data: its DeepFM, one seed."""
SEED, MORE_SEEDS, BEST = 2021, (2022, 2023), 6
SPACE: dict[str, list[Any]] = {
    "model.embedding_dim": [10, 20, 40],
    "train.embedding_regularizer": [0.02, 0.05, 0.1, 0.2],
    "model.dropout": [0.1, 0.2, 0.3, 0.4, 0.5],
}
"""What a draw may change; keys that a model does not have are passed over. The first draw is dim 20 alone."""


def names() -> list[str]:
    """The models that have a config here."""
    return sorted(path.stem for path in CONFIGS.glob("*.yaml") if path.stem != "frappe")


def trial(name: str, number: int) -> dict[str, Any]:
    """Overrides of a model's trial; the first has none. Equal for equal name and number."""
    if number == 0:
        return {}
    if number == 1 and name not in ("lr", "fm"):
        return {"model.embedding_dim": 20}
    drawn = random.Random(f"{name}-{number}")  # noqa: S311 (no secret)
    fields = type(load_experiment(CONFIGS / f"{name}.yaml").model).model_fields
    chosen: dict[str, Any] = {}
    for key, values in SPACE.items():
        value = drawn.choice(values)
        if not key.startswith("model.") or key.removeprefix("model.") in fields:
            chosen[key] = value
    return chosen


@cache
def sources(module: str) -> tuple[str, ...]:
    """The model's or layer's file and those of the models and layers that it imports."""
    path = ROOT.joinpath(*module.split(".")).with_suffix(".py")
    if not path.exists():
        return ()
    found = {str(path)}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        name = str(node.module) if isinstance(node, ast.ImportFrom) else ""
        if name.startswith(("easyrec.models.", "easyrec.modules.")) and not name.endswith("._model"):  # every model's
            found.update(sources(name))
    return tuple(sorted(found))


def fingerprint(name: str, overrides: dict[str, Any]) -> str:
    """Changes where the config or the code of the model changes."""
    experiment = load_experiment(CONFIGS / f"{name}.yaml", overrides)
    content = re.sub(r"path: .*", "", experiment.to_yaml())
    for path in sources(f"easyrec.models.{experiment.model.type}"):
        content += ast.dump(ast.parse(Path(path).read_text(encoding="utf-8")))
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def done() -> dict[tuple[str, int], dict[str, Any]]:
    """Finished runs by fingerprint and seed."""
    lines = LINES.read_text(encoding="utf-8").splitlines() if LINES.exists() else []
    runs = [json.loads(line) for line in lines]
    return {(run["fingerprint"], run["seed"]): run for run in runs}


def run(name: str, number: int, seed: int) -> dict[str, Any]:
    """One training, or what it gave before."""
    overrides = trial(name, number)
    key = fingerprint(name, overrides)
    found = done().get((key, seed))
    if found is not None:
        return found
    with tempfile.TemporaryDirectory() as folder:
        finished = easyrec.train(
            CONFIGS / f"{name}.yaml",
            overrides={**overrides, "train.seed": seed, "train.log_every": 1_000_000},
            run_dir=Path(folder) / "run",
            export=False,
            progress=False,
        )
    metrics = finished.metrics
    result = {"model": name, "trial": number, "seed": seed, "overrides": overrides, "fingerprint": key}
    result |= {f"{part}_{k}": round(metrics[part][k], 6) for part in ("valid", "test") for k in ("auc", "logloss")}
    result |= {"best_step": metrics["best_step"], "seconds": round(metrics["seconds"], 1)}
    result |= {"threads": os.environ.get("OMP_NUM_THREADS", ""), "commit": commit(), "date": date.today().isoformat()}
    LINES.parent.mkdir(parents=True, exist_ok=True)
    with LINES.open("a", encoding="utf-8") as file:
        file.write(json.dumps(result) + "\n")
    shown = ", ".join(f"{k.rpartition('.')[2]} {v}" for k, v in overrides.items())
    print(f"{name} trial {number} seed {seed} [{shown}]: valid {result['valid_auc']:.5f}", flush=True)
    return result


def best_trial(name: str, trials: int) -> tuple[int, dict[str, Any]] | None:
    """The finished trial with the best valid AUC, and its run."""
    runs = done()
    found = [(number, runs.get((fingerprint(name, trial(name, number)), SEED))) for number in range(trials)]
    finished = [(number, run) for number, run in found if run is not None]
    return max(finished, key=lambda pair: pair[1]["valid_auc"], default=None)


def rows(chosen: list[str], trials: int, *, train: bool) -> list[dict[str, Any]]:
    """The table, best test AUC first; with `train` the seeds of the best six are run."""
    best = {name: found for name in chosen if (found := best_trial(name, trials)) is not None}
    leaders = sorted(best, key=lambda name: -best[name][1]["valid_auc"])[:BEST]
    result = []
    for name, (number, first) in best.items():
        runs = [first]
        if name in leaders:
            known, key = done(), fingerprint(name, trial(name, number))
            more = (run(name, number, s) if train else known.get((key, s)) for s in MORE_SEEDS)
            runs += [r for r in more if r is not None]
        auc, published = statistics.mean(r["test_auc"] for r in runs), PUBLISHED.get(name)
        result.append(
            {
                "model": name,
                "seeds": len(runs),
                "valid AUC": f"{statistics.mean(r['valid_auc'] for r in runs):.5f}",
                "test AUC": f"{auc:.5f}",
                "logloss": f"{statistics.mean(r['test_logloss'] for r in runs):.4f}",
                "published": "" if published is None else f"{published:.4f}",
                "wanted": "" if published is None else "yes" if auc >= published - MARGIN else "no",
                "trial": number,
            }
        )
    return sorted(result, key=lambda row: row["test AUC"], reverse=True)


def write_page(found: list[dict[str, Any]]) -> None:
    """Put the table between the marks of the page."""
    columns = ["model", "seeds", "valid AUC", "test AUC", "logloss", "published"]
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    for row in found:
        cells = [str(row[c]) for c in columns]
        lines.append("| " + " | ".join([f"`{cells[0]}`", *cells[1:]]) + " |")
    start, end = "<!-- frappe_x1 -->\n", "<!-- /frappe_x1 -->\n"
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(start)
    _, _, after = rest.partition(end)
    PAGE.write_text(f"{before}{start}{chr(10).join(lines)}\n{end}{after}", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="?", choices=["tune", "table", "page", "all"], default="all")
    parser.add_argument("--models", nargs="*", default=names(), choices=names(), metavar="MODEL")
    parser.add_argument("--trials", type=int, default=2, help="trials of each model, from the first")
    parser.add_argument("--only", type=int, nargs="*", help="numbers of the trials to run now")
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    os.environ.setdefault("EASYREC_DATA", str(ROOT.parent / "shared" / "data"))
    if not (Path(os.environ["EASYREC_DATA"]) / "frappe_x1").exists():
        sys.exit("Frappe_x1 is not here: set EASYREC_DATA to the folder that holds frappe_x1/")
    if args.what in ("tune", "all"):
        for number in range(args.trials) if args.only is None else args.only:
            for name in args.models:
                run(name, number, SEED)
    if args.what != "tune":
        found = rows(args.models, args.trials, train=args.what in ("table", "all"))
        table(found)
        short = [row["model"] for row in found if row["wanted"] == "no"]
        print(f"{len(found)} models; below the published AUC by more than {MARGIN}: {', '.join(short) or 'none'}")
        print(f"best: {found[0]['model']} {found[0]['test AUC']}; FuxiCTR's best on this data: {PEER}" if found else "")
    if args.what in ("page", "all"):
        write_page(found)


if __name__ == "__main__":
    main()
