"""A model that learns on day after day, beside one that is trained anew on all days so far; and the deltas between its bundles.

`python benchmarks/incremental.py [--days 7] [--events 1_000_000] [--threads 1] [--page]`

The stream of `dynamic.py`, whose items live for half of all days here, cut into days. After each day both are asked
for the first fifth of the day that follows, which nobody has seen. The
incremental model starts from the one of the day before (`train.init_from`) and reads one day; the other reads all, in the order
of time. Seconds are of reading, training and that answer. A delta leads from the bundle of one day to that of the next.
"""

from __future__ import annotations

import argparse
import os
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from dynamic import CONFIG, OUT, SEED, capacity, prepare
from record import fingerprint, lines, once, section, table

import easyrec
from easyrec.config import load_experiment

DAYS = OUT / "days"
LIFE = 0.5
"""Share of all days that an item is met for."""


def cut(days: int, events: int) -> Path:
    """One file per day, and one more."""
    folder = DAYS / f"{days}-{events}"
    if (folder / f"day-{days}.parquet").exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    whole = pq.read_table(prepare((days + 1) * events, LIFE) / "train.parquet")
    for day in range(days + 1):
        pq.write_table(whole.slice(day * events, events // 5), folder / f"asked-{day}.parquet", row_group_size=100_000)
        pq.write_table(whole.slice(day * events, events), folder / f"day-{day}.parquet", row_group_size=100_000)
    return folder


def run(days: int, events: int, threads: int) -> list[dict[str, Any]]:
    """Both models over all days, or what they gave before."""
    folder = cut(days, events)
    os.environ["EASYREC_STREAM"] = str(folder)
    item = {"features[item_id].dynamic": {"capacity": 4 * capacity((days + 1) * events)}}
    code = ["easyrec.embedding.keys", "easyrec.embedding.tables", "easyrec.train.init_from"]
    key = f"{days}-{events}-{fingerprint(load_experiment(CONFIG, item), code)}"
    runs = folder / "runs"
    shutil.rmtree(runs, ignore_errors=True)

    def trained(name: str, read: list[int], start: Path | None) -> dict[str, Any]:
        settings = {**item, "train.seed": SEED, "train.threads": threads, "train.log_every": 1_000_000}
        settings |= {} if start is None else {"train.init_from": {"path": str(start), "optimizer": True}}
        files = [str(folder / f"day-{day}.parquet") for day in read]
        data = {"train": {"type": "parquet", "path": files}}
        data |= {"test": {"type": "parquet", "path": str(folder / f"asked-{read[-1] + 1}.parquet")}}
        done = easyrec.train(CONFIG, data=data, overrides=settings, run_dir=runs / name, progress=False)
        return {"auc": round(done.metrics["test"]["auc"], 6), "seconds": round(done.metrics["seconds"], 1)}

    def all_days() -> dict[str, Any]:
        told: list[dict[str, Any]] = []
        for day in range(days):
            before = runs / f"incremental-{day - 1}" if day else None
            found = {"day": day + 1, "incremental": trained(f"incremental-{day}", [day], before)}
            found["full"] = trained(f"full-{day}", list(range(day + 1)), None)
            if day:
                made = easyrec.make_delta(
                    runs / f"incremental-{day - 1}" / "bundle",
                    runs / f"incremental-{day}" / "bundle",
                    runs / f"delta-{day}",
                )
                bundle = runs / f"incremental-{day}" / "bundle"
                size = sum(path.stat().st_size for path in bundle.rglob("*") if path.is_file())
                found["delta"] = {"bytes": made.bytes, "rows": max(made.changed.values(), default=0), "bundle": size}
            told.append(found)
            print(found, flush=True)
        return {"days": told}

    about = {"events": events, "threads": str(threads)}
    told: list[dict[str, Any]] = once("incremental", key, SEED, about, all_days)["days"]
    return told


def rows() -> list[dict[str, Any]]:
    """The last table that was made."""
    found = lines("incremental")
    result = []
    for day in found[-1]["days"] if found else ():
        one, two = day["incremental"], day["full"]
        cells = {"day": day["day"], "incremental AUC": f"{one['auc']:.4f}", "full AUC": f"{two['auc']:.4f}"}
        cells |= {"incremental s": f"{one['seconds']:.0f}", "full s": f"{two['seconds']:.0f}"}
        delta = day.get("delta")
        cells |= {"changed rows": f"{delta['rows']:,}" if delta else ""}
        cells |= {"delta MB": f"{delta['bytes'] / 1e6:.1f}" if delta else ""}
        cells |= {"bundle MB": f"{delta['bundle'] / 1e6:.1f}" if delta else ""}
        result.append(cells)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--days", type=int, default=7)
    parser.add_argument("--events", type=int, default=1_000_000, help="of one day")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--page", action="store_true", help="write the table into docs/benchmarks.md")
    args = parser.parse_args()
    run(args.days, args.events, args.threads)
    table(rows())
    if args.page:
        section("incremental", rows())


if __name__ == "__main__":
    main()
