"""`easyrec cross` on the embedded shop: does it find the planted crosses, how long does it take, what do they bring.

`python benchmarks/cross.py [--rows 1150000] [--seeds 101 102] [--page]`

1.15 M exposures are 1.0 M of training. A seed is another shop. A column is planted beside the shop's own that looks ahead:
the rate of the item's clicks over its coming three days. Logistic regression is trained with the config's features, and with
those that were accepted, for as many epochs as its valid AUC rises; both are measured on the last two days. Runs that have
ended are kept, as long as the commit is the same; one that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import statistics
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from record import ROOT, commit, kept, save, section, table

sys.path.remove(str(Path(__file__).resolve().parent))  # where `serving` is a script, and not the package

import easyrec
from easyrec.data.shop import generate

PLANTED = ({"age", "cate"}, {"city", "brand"}, {"hour", "tags"})
FUTURE = "next_rate"
DAY = 86_400
COLUMNS = (
    "timestamp", "user_id", "age", "gender", "city", "level", "item_id", "cate", "brand", "price", "tags", "hour",
    "weekday", "scene", "position", "click",
)  # fmt: skip
FEATURES: list[dict[str, Any]] = [
    {"type": "id", "name": "user_id", "expression": "user:user_id", "num_buckets": 20000},
    {"type": "raw", "name": "age", "expression": "user:age", "boundaries": [20, 25, 30, 36, 43, 52, 62]},
    {"type": "id", "name": "gender", "expression": "user:gender", "vocab_list": ["female", "male", "unknown"]},
    {"type": "id", "name": "city", "expression": "user:city", "num_buckets": 300},
    {"type": "id", "name": "level", "expression": "user:level", "num_buckets": 8},
    {"type": "id", "name": "item_id", "expression": "item:item_id", "num_buckets": 10000},
    {"type": "id", "name": "cate", "expression": "item:cate", "num_buckets": 200},
    {"type": "id", "name": "brand", "expression": "item:brand", "num_buckets": 2000},
    {
        "type": "raw",
        "name": "price",
        "expression": "item:price",
        "boundaries": [8, 14, 20, 27, 35, 45, 58, 75, 100, 140],
    },
    {"type": "id", "name": "tags", "expression": "item:tags", "hash_bucket_size": 1000},
    {"type": "id", "name": "position", "expression": "item:position", "num_buckets": 16},
    {"type": "id", "name": "hour", "expression": "context:hour", "num_buckets": 24},
    {"type": "id", "name": "weekday", "expression": "context:weekday", "num_buckets": 7},
    {"type": "id", "name": "scene", "expression": "context:scene", "hash_bucket_size": 100},
]


def files(rows: int, seed: int) -> Path:
    """The shop of a seed as parquet files, with the planted column."""
    folder = ROOT / ".data" / "cross" / f"{rows}-{seed}"
    if (folder / "test.parquet").exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    shop = generate(rows, seed)
    whole = shop.table("all", COLUMNS)
    whole = whole.append_column(FUTURE, pa.array(next_rate(whole)))
    for part in ("train", "valid", "test"):
        span = shop.rows(part)
        pq.write_table(whole.slice(span.start, len(span)), folder / f"{part}.parquet")
    return folder


def next_rate(rows: pa.Table) -> np.ndarray[Any, Any]:
    """Smoothed rate of clicks of a row's item in the three days after it: what no server can know."""
    item, seconds = rows["item_id"].to_numpy(), rows["timestamp"].to_numpy()
    click = rows["click"].to_numpy().astype(np.float64)
    order = np.lexsort((seconds, item))
    whole = item[order].astype(np.int64) * (100 * DAY) + seconds[order] - seconds.min()
    total = np.concatenate([np.zeros(1), np.cumsum(click[order])])
    first, last = np.searchsorted(whole, whole, "right"), np.searchsorted(whole, whole + 3 * DAY, "right")
    rate = (total[last] - total[first] + 20 * click.mean()) / (last - first + 20)
    found = np.empty(len(rate), np.float32)
    found[order] = rate
    return found


def config(folder: Path, name: str, extra: list[str]) -> dict[str, Any]:
    """Logistic regression over the shop's plain columns."""
    parts = {part: {"type": "parquet", "path": str(folder / f"{part}.parquet")} for part in ("train", "valid", "test")}
    return {
        "name": name,
        "data": {**parts, "labels": ["click"], "event_time": "timestamp", "batch_size": 1024},
        "features": FEATURES,
        "model": {"type": "lr"},
        "train": {
            "epochs": 4,
            "sparse_optimizer": {"type": "lazy_adam", "lr": 0.005},
            "early_stop": {"metric": "auc", "patience": 1},
            "log_every": 1_000_000,
        },
        "eval": {"metrics": ["auc", "logloss"]},
        "cross": {"columns": extra},
    }


def one(rows: int, seed: int) -> dict[str, Any]:
    """The figures of a shop."""
    folder = files(rows, seed)
    written = config(folder, f"cross-{seed}", [f"item:{FUTURE}"])
    work = folder / commit().rstrip("+")
    found = easyrec.cross(written, run_dir=work / "search")
    accepted = found.accepted
    crosses = [set(proposal.reads) for proposal in accepted if proposal.kind == "cross"]
    future = next(proposal for proposal in found.proposals if proposal.name == FUTURE)
    trained = {}
    for name, source in (("before", written), ("after", found.config)):
        start = time.perf_counter()
        run = easyrec.train(source, run_dir=work / name, resume=True, export=False, progress=False)
        trained[name] = {part: run.metrics[part]["auc"] for part in ("valid", "test")}
        trained[name]["seconds"] = time.perf_counter() - start
    return {
        "found": sum(one in crosses for one in PLANTED),
        "seconds": found.seconds,
        "accepted": [[p.kind, p.name, round(p.gain, 6), round(p.error, 6), round(p.valid, 6)] for p in accepted],
        "probes": {span: dict(told) for span, told in found.quality.items()},
        "future": [future.state, future.reason],
        "lr": trained,
    }


def tell(runs: dict[int, dict[str, Any]], rows: int) -> None:
    """The table."""
    lines = []
    for seed, run in runs.items():
        before, after = run["lr"]["before"]["test"], run["lr"]["after"]["test"]
        kinds = [kind for kind, *_ in run["accepted"]]
        lines.append(
            {
                "shop": f"seed {seed}",
                "planted crosses found": f"{run['found']} of {len(PLANTED)}",
                "accepted": f"{kinds.count('cross')} crosses, {len(kinds) - kinds.count('cross')} others",
                "search": f"{run['seconds']:.0f} s",
                "LR, test AUC": f"{before:.4f}",
                "with the features": f"{after:.4f}",
                "gain": f"{after - before:+.4f}",
                "column that looks ahead": run["future"][0],
            }
        )
    table(lines)
    gain = statistics.fmean(run["lr"]["after"]["test"] - run["lr"]["before"]["test"] for run in runs.values())
    print(f"mean gain {gain:+.4f}")
    save("cross", {"rows": rows, "threads": os.environ.get("OMP_NUM_THREADS", ""), "shops": runs})


def page() -> None:
    """Put the newest result into `docs/benchmarks.md`."""
    path = max((ROOT / "benchmarks" / "results").glob("cross-*.json"))
    runs = json.loads(path.read_text())["shops"]
    lines = []
    for seed, run in runs.items():
        before, after = run["lr"]["before"]["test"], run["lr"]["after"]["test"]
        lines.append(
            {
                "shop": f"seed {seed}",
                "planted crosses found": f"{run['found']} of {len(PLANTED)}",
                "accepted": ", ".join(name for _, name, *_ in run["accepted"]),
                "search": f"{run['seconds']:.0f} s",
                "LR, test AUC": f"{before:.4f}",
                "with the features": f"{after:.4f} ({after - before:+.4f})",
                "column that looks ahead": run["future"][0],
            }
        )
    section("cross", lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_150_000)
    parser.add_argument("--seeds", type=int, nargs="*", default=[101, 102])
    parser.add_argument("--page", action="store_true", help="write the newest result into docs/benchmarks.md, and stop")
    args = parser.parse_args()
    if args.page:
        page()
        return
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    tell({seed: kept("cross", f"{args.rows}-{seed}", partial(one, args.rows, seed)) for seed in args.seeds}, args.rows)


if __name__ == "__main__":
    main()
