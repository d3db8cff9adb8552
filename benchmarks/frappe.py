"""CTR models on Frappe_x1 beside the published results: tuning on valid, then the table.

`make bench-ctr`, or `python benchmarks/frappe.py [tune | table | page] [--models deepfm ...] [--trials 1 2]`

- `tune`: the same trials for every model. Trial 0 is `configs/frappe/<name>.yaml` as it is, trial 1 has `embedding_dim`
  20, others are draws from one space over all models. Valid AUC decides; test is not looked at.
- `table`: the best trial of each model, seed 2021; the best six by valid AUC with two more seeds.
- `page`: writes the table of all models that have run into `docs/benchmarks.md`.

Every finished run is a line of `benchmarks/results/frappe_x1.jsonl`, so a stopped script goes on where it stopped, and
several may run side by side on models of their own. A line counts as long as config, model and its modules are the same.
"""

from __future__ import annotations

import argparse
import logging
import random
import statistics
from collections.abc import Sequence
from typing import Any

from record import ROOT, data, fingerprint, finished, found, once, section, table, trained

from easyrec.config import load_experiment

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
"""What a draw may change; keys that a model does not have are passed over."""
TRIALS = (1,)
"""Those of the table."""


def names() -> list[str]:
    """The models that have a config here."""
    return sorted(path.stem for path in CONFIGS.glob("*.yaml") if path.stem != "frappe")


def trial(name: str, number: int) -> dict[str, Any]:
    """Overrides of a model's trial; the first has none. Equal for equal name and number."""
    if number == 0:
        return {}
    if number == 1:
        best_at_ten = ("lr", "fm", "afn")  # the linear one has none
        return {} if name in best_at_ten else {"model.embedding_dim": 20}
    drawn = random.Random(f"{name}-{number}")  # noqa: S311 (no secret)
    fields = type(load_experiment(CONFIGS / f"{name}.yaml").model).model_fields
    chosen: dict[str, Any] = {}
    for key, values in SPACE.items():
        value = drawn.choice(values)
        if not key.startswith("model.") or key.removeprefix("model.") in fields:
            chosen[key] = value
    return chosen


def key(name: str, number: int) -> str:
    """Fingerprint of a trial."""
    return fingerprint(load_experiment(CONFIGS / f"{name}.yaml", trial(name, number)))


def run(name: str, number: int, seed: int) -> dict[str, Any]:
    """One training, or what it gave before."""
    overrides = trial(name, number)

    def train() -> dict[str, Any]:
        result = trained(CONFIGS / f"{name}.yaml", overrides, seed, ("auc", "logloss"), key(name, number))
        shown = ", ".join(f"{k.rpartition('.')[2]} {v}" for k, v in overrides.items())
        print(f"{name} trial {number} seed {seed} [{shown}]: valid {result['valid_auc']:.5f}", flush=True)
        return result

    about = {"model": name, "trial": number, "overrides": overrides}
    return once("frappe_x1", key(name, number), seed, about, train)


def best_trial(name: str, trials: Sequence[int] = TRIALS) -> tuple[int, dict[str, Any]] | None:
    """The finished trial with the best valid AUC, and its run."""
    runs = [(number, found("frappe_x1", key(name, number), SEED)) for number in trials]
    finished = [(number, run) for number, run in runs if run is not None]
    return max(finished, key=lambda pair: pair[1]["valid_auc"], default=None)


def rows(chosen: list[str], trials: Sequence[int], *, train: bool) -> list[dict[str, Any]]:
    """The table, best test AUC first; with `train` the seeds of the best six are run."""
    best = {name: tuned for name in chosen if (tuned := best_trial(name, trials)) is not None}
    leaders = sorted(best, key=lambda name: -best[name][1]["valid_auc"])[:BEST]
    result = []
    for name, (number, first) in best.items():
        runs = [first]
        if name in leaders:
            if train:
                for seed in MORE_SEEDS:
                    run(name, number, seed)
            runs += finished("frappe_x1", key(name, number), MORE_SEEDS)
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="?", choices=["tune", "table", "page", "all"], default="all")
    parser.add_argument("--models", nargs="*", default=names(), choices=names(), metavar="MODEL")
    parser.add_argument("--trials", type=int, nargs="*", default=TRIALS, help="numbers of the trials of each model")
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    data("frappe_x1")
    if args.what in ("tune", "all"):
        for number in args.trials:
            for name in args.models:
                run(name, number, SEED)
    if args.what != "tune":
        shown = rows(args.models, args.trials, train=args.what in ("table", "all"))
        table(shown)
        short = [row["model"] for row in shown if row["wanted"] == "no"]
        print(f"{len(shown)} models; below the published AUC by more than {MARGIN}: {', '.join(short) or 'none'}")
        print(f"best: {shown[0]['model']} {shown[0]['test AUC']}; FuxiCTR's best on this data: {PEER}" if shown else "")
    if args.what in ("page", "all"):
        columns = ["model", "seeds", "valid AUC", "test AUC", "logloss", "published"]
        every = rows(names(), args.trials, train=False)
        section("frappe_x1", [{column: row[column] for column in columns} for row in every])


if __name__ == "__main__":
    main()
