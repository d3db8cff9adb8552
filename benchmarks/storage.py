"""A table of 12 GB, trained with 2 GiB of memory for its rows, beside the same in memory: samples a second, and the losses.

`python benchmarks/storage.py [--rows 58_800_000] [--memory 2048] [--steps 300] [--threads 1] [--runs 3] [--page]`

One feature of 58.8 M ids, which are met as often as 1 / rank and lie scattered over the table; eight more of 10,000 each; DeepFM
with embeddings of 16 and lazy Adam, so that a row takes 204 bytes. Each training is a process of its own; the one with few rows
in memory may take no more than 4 GB of memory of its own (RLIMIT_DATA), the file it reads is not counted. A step is 4096 rows; the
figure is the median over spans of 20 steps, the first ten spans left out. Both write their checkpoint, which is not timed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from statistics import median

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from record import ROOT, interleave, save, section, table

import easyrec

CONFIG = ROOT / "configs" / "storage" / "large_table.yaml"
OUT = ROOT / ".data" / "storage"
ROWS, BATCH, SEED, WARM = 58_800_000, 4096, 2026, 10
PRIME = 2_654_435_761  # scatters ranks over the table
CAP = 4 << 30
FIELDS = 8


def prepare(rows: int, steps: int) -> Path:
    """The rows as parquet."""
    folder = OUT / f"{rows}-{steps}"
    if (folder / "train.parquet").exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    random, count = np.random.default_rng(SEED), steps * BATCH
    rank = np.exp(random.random(count) * np.log(rows)).astype(np.int64) - 1  # P(rank) ~ 1 / rank
    fields = {
        f"field_{i}": (np.exp(random.random(count) * np.log(10_000)).astype(np.int64) - 1).astype(np.int32)
        for i in range(FIELDS)
    }
    click = (rank % 7 + fields["field_0"] % 5 + 4 * random.random(count) > 7).astype(np.int8)
    columns = {"key": rank * PRIME % rows, **fields, "click": click}
    pq.write_table(pa.table(columns), folder / ".train.parquet", row_group_size=200_000)
    (folder / ".train.parquet").rename(folder / "train.parquet")
    return folder


def one(rows: int, steps: int, memory: int, threads: int) -> None:
    """Train, and print what came out as the last line."""
    os.environ["EASYREC_STORAGE"] = str(prepare(rows, steps))
    if memory:
        resource.setrlimit(resource.RLIMIT_DATA, (CAP, CAP))
    settings = {
        "features[key].num_buckets": rows,
        "train.storage": {"memory_mb": memory, "disk": str(OUT)} if memory else None,
        "train.threads": threads,
        "train.seed": SEED,
    }
    folder = OUT / "runs" / f"{rows}-{memory}"
    easyrec.train(CONFIG, overrides=settings, run_dir=folder, overwrite=True, export=False, progress=False)
    told = [json.loads(line) for line in (folder / "progress.jsonl").read_text().splitlines()]
    tables = sorted((folder / "checkpoints").rglob("*.npy"))
    checksums = json.loads(next((folder / "checkpoints").rglob("manifest.json")).read_text())["files"]
    learned = json.dumps([[line["loss"] for line in told], [checksums[f"tables/{t.name}"]["sha256"] for t in tables]])
    shutil.rmtree(folder)
    found = {"samples/s": median(line["samples_per_second"] for line in told[WARM:])}
    found |= {"learned": int(hashlib.sha256(learned.encode()).hexdigest()[:12], 16)}
    traffic = [line["storage"]["key"] for line in told[WARM:] if "storage" in line]
    if traffic:
        found |= {
            "hit rate": round(float(np.mean([t["hit_rate"] for t in traffic])), 4),
            "rows in memory": traffic[0]["rows_in_memory"],
        }
        found |= {
            f"rows {what} a step": round(float(np.mean([t[what] for t in traffic])) / 20)
            for what in ("read", "written")
        }
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    found |= {"most memory, MB": int(status["VmHWM"].split()[0]) // 1024}
    print(json.dumps(found))


def measured(args: argparse.Namespace, memory: int) -> dict[str, float]:
    """What a training gave, in a process of its own."""
    command = [sys.executable, __file__, "--one", "--memory", str(memory), "--rows", str(args.rows)]
    command += ["--steps", str(args.steps), "--threads", str(args.threads)]
    result: dict[str, float] = json.loads(
        subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1]
    )
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--memory", type=int, default=2048)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--page", action="store_true", help="write the table into docs/benchmarks.md")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        one(args.rows, args.steps, args.memory, args.threads)
        return
    prepare(args.rows, args.steps)
    found = interleave(
        {"in memory": lambda: measured(args, 0), "storage": lambda: measured(args, args.memory)}, args.runs
    )
    if found["in memory"]["learned"] != found["storage"]["learned"]:
        sys.exit("the losses or the tables differ")
    share = found["storage"]["samples/s"] / found["in memory"]["samples/s"]
    shown = [
        {"rows": name, **{k: f"{round(v, 4):,}" if v < 1 else f"{v:,.0f}" for k, v in told.items() if k != "learned"}}
        for name, told in found.items()
    ]
    shown[1]["share"] = f"{share:.2f}"
    table(shown)
    save(
        "storage",
        {
            "table_rows": args.rows,
            "memory_mb": args.memory,
            "threads": args.threads,
            "share": share,
            "contestants": found,
        },
    )
    if args.page:
        section("storage", shown)


if __name__ == "__main__":
    main()
