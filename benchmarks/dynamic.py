"""Dynamic tables: a stream of ids that come and go, beside a hashed table of the same memory; and the map of ids to rows.

`python benchmarks/dynamic.py [stream | map] [--events 20_000_000] [--threads 1] [--runs 5] [--page]`

`stream`: 20 M events on 5 M items (of 5.65 M), in the order of time. An item is born somewhere in the stream and is met for
about a thirtieth of it; of 64 neighbours the first takes a fifth of their events, the last half a percent. Whether an event is a
click follows from the item, its category and the hour. The model reads the stream once; test are the 400,000 events that follow.
The hashed table has as many rows more as the map of the dynamic one takes memory. Peak memory is that of the process, less
what it is with a table of 1,000 rows.

`map`: ids a second of one core (processor time) over a map of 2 M ids, met alike, in batches of 100,000.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from record import ROOT, fingerprint, interleave, lines, once, save, section, table

import easyrec
from easyrec.config import load_experiment
from easyrec.embedding import native
from easyrec.embedding.keys import FinishedKeys, KeyMap
from easyrec.embedding.spec import KeySpec

CONFIG = ROOT / "configs" / "dynamic" / "stream.yaml"
OUT = ROOT / ".data" / "dynamic"
ITEMS, EVENTS, TEST, CAPACITY, SEED = 5_650_000, 20_000_000, 400_000, 1_000_000, 2026
LIFE, NEIGHBOURS = 1 / 30, 64
CATEGORIES = 200
PART = 1_000_000
BAR = 40e6
MAP, BATCH, BATCHES = 2_000_000, 100_000, 40


def prepare(events: int, life: float = LIFE) -> Path:
    """The stream as parquet, in the order of time; an item lives for that share of it."""
    folder = OUT / (str(events) if life == LIFE else f"{events}-{life}")
    if (folder / "test.parquet").exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    items = ITEMS * events // EVENTS
    random = np.random.default_rng(SEED)
    quality = random.normal(0.0, 1.0, items).astype(np.float32)
    category = random.integers(0, CATEGORIES, items).astype(np.int32)
    of_category = random.normal(0.0, 0.5, CATEGORIES)
    places = random.permutation(NEIGHBOURS)
    writer, written, total = None, 0, events + TEST * events // EVENTS
    while written < total:
        count = min(PART, total - written, events - written if written < events else total)
        when = (written + np.arange(count)) / total * (1 - life) + life  # the first events find items too
        born = np.maximum(when - random.exponential(life, count), 0.0)
        rank = (NEIGHBOURS * random.random(count) ** 2.5).astype(np.int64)
        item = np.minimum((born * items).astype(np.int64) // NEIGHBOURS * NEIGHBOURS + places[rank], items - 1)
        hour = random.integers(0, 24, count)
        logit = quality[item] + of_category[category[item]] + 0.3 * np.sin(hour / 24 * 2 * np.pi) - 1.0
        click = random.random(count) < 1 / (1 + np.exp(-logit))
        columns = {"item_id": item, "category": category[item], "hour": hour.astype(np.int32)}
        part = pa.table({**columns, "click": click.astype(np.int8)})
        if written in (0, events):
            if writer is not None:
                writer.close()
            writer = pq.ParquetWriter(folder / f"{'train' if written < events else 'test'}.parquet", part.schema)
        assert writer is not None
        writer.write_table(part, row_group_size=200_000)
        written += count
    assert writer is not None
    writer.close()
    return folder


def capacity(events: int) -> int:
    """Rows of the dynamic table."""
    return CAPACITY * events // EVENTS


def contestants(events: int) -> dict[str, dict[str, Any]]:
    """Overrides by name: the dynamic table, a hashed one of its memory, and the least of both."""
    spec, width = KeySpec("item_id", capacity(events)), load_experiment_dim()
    of_row = 4 * (width + 1) + 4 * 2  # weights of both orders, and one number of Adagrad for each
    rows = spec.capacity + spec.bytes // of_row
    item = "features[item_id]"
    return {
        "dynamic": {f"{item}.dynamic": {"capacity": spec.capacity}},
        "hashed": {f"{item}.dynamic": None, f"{item}.hash_bucket_size": rows},
        "least": {f"{item}.dynamic": {"capacity": 1000}},
    }


def load_experiment_dim() -> int:
    """Width of the item's embedding."""
    os.environ.setdefault("EASYREC_STREAM", str(OUT))
    return int(load_experiment(CONFIG).model.embedding_dim or 0)


def run(name: str, events: int, threads: int) -> dict[str, Any]:
    """One training in a process of its own, or what it gave before."""
    os.environ["EASYREC_STREAM"] = str(prepare(events))
    overrides = contestants(events)[name]
    code = ["easyrec.embedding.keys", "easyrec.embedding.tables"]
    key = f"{events}-{fingerprint(load_experiment(CONFIG, overrides), code)}"

    def train() -> dict[str, Any]:
        command = [sys.executable, __file__, "one", "--name", name, "--events", str(events), "--threads", str(threads)]
        found = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        result: dict[str, Any] = json.loads(found.splitlines()[-1])
        return result

    return once("dynamic", key, SEED, {"table": name, "events": events, "threads": str(threads)}, train)


def one(name: str, events: int, threads: int) -> None:
    """Train, and print what came out as the last line."""
    os.environ["EASYREC_STREAM"] = str(prepare(events))
    settings = {
        **contestants(events)[name],
        "train.seed": SEED,
        "train.threads": threads,
        "train.log_every": max(1, events // 40_000),
    }
    folder = OUT / "runs" / name
    result = easyrec.train(CONFIG, overrides=settings, run_dir=folder, overwrite=True, export=False, progress=False)
    told = [json.loads(line) for line in (folder / "progress.jsonl").read_text().splitlines()]
    dynamic = [line["dynamic"]["item_id"] for line in told if "dynamic" in line]
    found = {f"test_{k}": round(v, 6) for k, v in result.metrics["test"].items()}
    found |= {"seconds": round(result.metrics["seconds"], 1)}
    found |= {"peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)}
    if dynamic:
        found |= {k: sum(line[k] for line in dynamic) for k in ("admitted", "evicted")}
        found |= {"hit_rate": round(sum(line["found"] for line in dynamic) / sum(line["seen"] for line in dynamic), 4)}
    print(json.dumps(found))


def rows(events: int) -> list[dict[str, Any]]:
    """The stream's table."""
    runs = {line["table"]: line for line in lines("dynamic") if line["events"] == events}
    spec, width = KeySpec("item_id", capacity(events)), load_experiment_dim()
    plan = (spec.bytes + spec.capacity * (4 * (width + 1) + 8)) / 2**20
    result = []
    for name in ("dynamic", "hashed"):
        line = runs.get(name)
        if line is None:
            continue
        size = contestants(events)[name].get("features[item_id].hash_bucket_size", capacity(events))
        cells = {"table": name, "rows": f"{size:,}", "test AUC": f"{line['test_auc']:.4f}"}
        cells |= {"logloss": f"{line['test_logloss']:.4f}", "MiB planned": f"{plan:.0f}"}
        cells |= {"MiB taken": f"{line['peak_mb'] - runs['least']['peak_mb']:.0f}" if "least" in runs else ""}
        cells |= {"hit rate": f"{line['hit_rate']:.3f}" if "hit_rate" in line else ""}
        cells |= {
            "evicted": f"{line['evicted']:,}" if "evicted" in line else "",
            "minutes": f"{line['seconds'] / 60:.1f}",
        }
        result.append(cells)
    return result


def speed(runs: int) -> dict[str, dict[str, float]]:
    """Million ids a second."""
    random = np.random.default_rng(SEED)
    ids = random.integers(0, 2**62, MAP)
    batches = [ids[random.integers(0, MAP, BATCH)] for _ in range(BATCHES)]
    counted = KeySpec("ids", MAP, "exact", 2, size=MAP)
    maps = {"all admitted": KeyMap(KeySpec("ids", MAP), SEED), "admitted by count": KeyMap(counted, SEED)}
    for keys in maps.values():
        for step in range(2):
            keys.admit(ids, step)
    finished = FinishedKeys(native.key_slots(ids, np.arange(len(ids))))

    def timed(work: Any) -> dict[str, float]:
        began = time.thread_time()
        for batch in batches:
            work(batch)
        return {"M ids/s": BATCH * BATCHES / (time.thread_time() - began) / 1e6}

    contestants = {f"{name}, {what}": getattr(keys, what) for name, keys in maps.items() for what in ("admit", "find")}
    steps = {name: (lambda b, f=f: f(b, 2)) if name.endswith("admit") else f for name, f in contestants.items()}
    steps["served, find"] = finished.find
    return interleave({name: (lambda f=f: timed(f)) for name, f in steps.items()}, runs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="?", choices=["stream", "map", "one"], default="stream")
    parser.add_argument("--events", type=int, default=EVENTS)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--name", help=argparse.SUPPRESS)
    parser.add_argument("--page", action="store_true", help="write the table into docs/benchmarks.md")
    args = parser.parse_args()
    if args.what == "one":
        one(args.name, args.events, args.threads)
        return
    if args.what == "map":
        found = speed(args.runs)
        table([{"map of 2 M ids": name, "M ids/s": f"{told['M ids/s']:.1f}"} for name, told in found.items()])
        save("key_map", {"ids": MAP, "bar": BAR, "contestants": found})
        if args.page:
            section("key_map", [{"map of 2 M ids": n, "M ids/s": f"{t['M ids/s']:.1f}"} for n, t in found.items()])
        return
    for name in contestants(args.events):
        run(name, args.events, args.threads)
    table(rows(args.events))
    if args.page:
        section("dynamic", rows(args.events))


if __name__ == "__main__":
    main()
