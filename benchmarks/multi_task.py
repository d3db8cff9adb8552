"""Models of several tasks beside models of one: UCI Adult (income, never married) and the embedded shop (click, buy).

`python benchmarks/multi_task.py [--part adult shop] [--seeds 3] [--rows 1150000] [--only mmoe ...] [--page]`

On the shop the test AUC of purchases is also measured against the chance that each was drawn from (`p_buy`), without the
noise of 600 draws: every row counts as a purchase by that chance, and as none by the rest. Models with a conversion are
measured in the same way over all exposures, clicked or not, against `p_buy_all`, the chance of a purchase after a click;
beside that AUC stand the correlation of the logits and the mean of the squared error. A seed is another shop.

Finished runs are lines of `results/multi_task.jsonl`, as in `frappe.py`. Adult is made of the folder `adult/` in
`EASYREC_DATA`: its own test set, and the last tenth of its training set, shuffled once, as valid.
"""

from __future__ import annotations

import argparse
import logging
import os
import statistics
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv
from record import ROOT, data, fingerprint, finished, once, section, table
from sklearn.metrics import roc_auc_score

import easyrec
from easyrec.config import load_experiment

OUT = ROOT / ".data" / "adult"
COLUMNS = ["age", "workclass", "weight", "education", "education_num", "marital", "occupation", "relationship", "race"]
COLUMNS += ["sex", "gain", "loss", "hours", "country", "income"]
SHOP = ("single_buy", "mmoe", "ple", "aitm", "esmm", "escm2", "esmm_narrow", "escm2_narrow")
HIDDEN = ["p_buy", "p_buy_all"]
SEEDS = {"adult": range(2021, 2031), "shop": range(101, 111)}
"""By part; the first ones are taken."""
ADULT = (
    "single_income",
    "single_marital",
    "shared_bottom",
    "mmoe",
    "ple",
    "dbmtl",
    "home",
    "ppnet",
    "pepnet",
    "m2m",
    "star",
)


def prepare() -> None:
    """Write train, valid and test of Adult as parquet."""
    if (OUT / "test.parquet").exists():
        return
    folder = data("adult")
    OUT.mkdir(parents=True, exist_ok=True)
    train, test = _rows(folder / "adult.data"), _rows(folder / "adult.test")
    train = train.take(np.random.default_rng(2026).permutation(train.num_rows))
    cut = train.num_rows * 9 // 10
    for name, part in (("train", train.slice(0, cut)), ("valid", train.slice(cut)), ("test", test)):
        pq.write_table(part, OUT / f"{name}.parquet")


def _rows(path: Path) -> pa.Table:
    """The rows of a file, with the two labels in place of what they are made of."""
    text = path.read_bytes().replace(b", ", b",")
    lines = [line for line in text.splitlines() if line.count(b",") == len(COLUMNS) - 1]
    rows = csv.read_csv(pa.py_buffer(b"\n".join(lines)), csv.ReadOptions(column_names=COLUMNS))
    income = [int(text.startswith(">50K")) for text in rows["income"].to_pylist()]
    single = [int(text == "Never-married") for text in rows["marital"].to_pylist()]
    rows = rows.drop_columns(["income", "marital", "education_num"])  # the last is `education` once more
    return rows.append_column("income", pa.array(income, pa.int8())).append_column(
        "never_married", pa.array(single, pa.int8())
    )


def adult(name: str, seed: int) -> dict[str, float]:
    """AUC of each task of a config of `configs/adult/`."""
    config = ROOT / "configs" / "adult" / f"{name}.yaml"
    run = easyrec.train(config, overrides={"name": f"adult-{name}-{seed}", "train.seed": seed}, overwrite=True)
    tasks = ["income", "marital"] if name not in ("single_income", "single_marital") else [name.partition("_")[2]]
    values = {
        f"{part} {task}": run.metrics[part][f"{task}/auc" if len(tasks) > 1 else "auc"]
        for part in ("valid", "test")
        for task in tasks
    }
    return {**values, "seconds": run.metrics["seconds"]}


def measure_adult(names: Sequence[str], seeds: int) -> list[dict[str, Any]]:
    """Means over seeds, beside those of the single models."""
    prepare()
    os.environ["EASYREC_ADULT"] = str(OUT)
    rows = [_mean(name, "adult", partial(adult, name), SEEDS["adult"][:seeds]) for name in names]
    single = {key: v for row in rows if row["config"].startswith("single") for key, v in row.items() if "test" in key}
    for row in rows:
        if not row["config"].startswith("single"):
            row |= {f"{key} gain": row[key] - v for key, v in single.items() if key in row}
    return rows


def expected_auc(chances: np.ndarray, scores: np.ndarray) -> float:
    """AUC where a row is a positive by its chance and a negative by the rest."""
    rows, weights = np.r_[scores, scores], np.r_[chances, 1 - chances]
    labels = np.r_[np.ones(len(scores)), np.zeros(len(scores))]
    return float(roc_auc_score(labels, rows, sample_weight=weights))


def shop(name: str, rows: int, seed: int) -> dict[str, float]:
    """What a config of `configs/shop/` knows of purchases on the last two days of a shop."""
    where = {f"data.{part}.{k}": v for part in ("train", "valid", "test") for k, v in (("rows", rows), ("seed", seed))}
    config = ROOT / "configs" / "shop" / f"{name}.yaml"
    run = easyrec.train(config, overrides={**where, "name": f"shop-{name}-{seed}"}, overwrite=True, export=False)
    found = {"buy AUC": run.metrics["test"]["auc" if name == "single_buy" else "ctcvr/auc"]}
    scores = easyrec.predict(run.path, overrides={"data.reserved": HIDDEN})
    truth = {column: scores[column].to_numpy().astype(np.float64) for column in HIDDEN}
    found["buy AUC by chance"] = expected_auc(truth["p_buy"], scores["ctcvr"].to_numpy())
    found["best by chance"] = expected_auc(truth["p_buy"], truth["p_buy"])
    if "cvr" in scores:
        cvr = np.clip(scores["cvr"].to_numpy().astype(np.float64), 1e-7, 1 - 1e-7)
        found["conversion AUC"] = expected_auc(truth["p_buy_all"], cvr)
        found["best conversion AUC"] = expected_auc(truth["p_buy_all"], truth["p_buy_all"])
        logits = [np.log(p / (1 - p)) for p in (truth["p_buy_all"], cvr)]
        found["conversion correlation"] = float(np.corrcoef(*logits)[0, 1])
        found["conversion squared error"] = float(np.mean((cvr - truth["p_buy_all"]) ** 2))
        found["mean conversion"], found["mean p_buy_all"] = float(cvr.mean()), float(truth["p_buy_all"].mean())
    return {**found, "seconds": run.metrics["seconds"]}


def key(name: str, part: str) -> str:
    """Fingerprint of a config in a part."""
    return fingerprint(load_experiment(ROOT / "configs" / part.partition("-")[0] / f"{name}.yaml")) + part


def _mean(name: str, part: str, run: Callable[[int], dict[str, float]], seeds: Sequence[int]) -> dict[str, Any]:
    about = {"config": name, "part": part}
    return {"config": name} | _means([once("multi_task", key(name, part), s, about, partial(run, s)) for s in seeds])


def _means(results: Sequence[dict[str, Any]]) -> dict[str, float]:
    figures = [key for key, value in results[0].items() if isinstance(value, float)]
    return {key: statistics.mean(r[key] for r in results) for key in figures}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", nargs="*", default=["adult"], choices=["adult", "shop"])
    parser.add_argument("--seeds", type=int, default=3, choices=range(1, 11))
    parser.add_argument("--rows", type=int, default=1_150_000)
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--page", action="store_true", help="write all that has run into docs/benchmarks.md")
    args = parser.parse_args()
    logging.disable(logging.INFO)
    if "adult" in args.part:
        rows = measure_adult([name for name in ADULT if name in (args.only or ADULT)], args.seeds)
        _show(rows)
        if args.page:
            _page("adult", ADULT, ["test income", "test marital"])
    if "shop" in args.part:
        part, seeds = f"shop-{args.rows}", SEEDS["shop"][: args.seeds]
        names = [name for name in SHOP if name in (args.only or SHOP)]
        _show([_mean(name, part, partial(shop, name, args.rows), seeds) for name in names])
        if args.page:
            conversion = ["conversion AUC", "conversion correlation", "conversion squared error", "mean conversion"]
            conversion += ["mean p_buy_all"]
            _page(part, SHOP, ["buy AUC", "buy AUC by chance", *conversion])


def _page(part: str, names: Sequence[str], columns: Sequence[str]) -> None:
    rows = []
    for name in names:
        runs = finished("multi_task", key(name, part), SEEDS[part.partition("-")[0]])
        if runs:
            mean = _means(runs)
            told = {c: f"{mean[c]:.5f}" if c in mean else "" for c in columns}
            rows.append({"config": name, "seeds": len(runs), **told})
    section(f"multi_task-{part}", rows)


def _show(rows: Sequence[dict[str, Any]]) -> None:
    table([{k: f"{v:.5f}" if isinstance(v, float) and k != "seconds" else v for k, v in row.items()} for row in rows])


if __name__ == "__main__":
    main()
