"""Training on a GPU, from parquet files: rows a second, memory, and which share of what the GPU could do that is.

`python benchmarks/gpu.py --out FILE [--runs 3] [--steps 120] [--rows 1000000] [--batches 4096 65536]`; where there is no
GPU, `python benchmarks/gpu.py --page FILE` writes a file's table into docs/benchmarks.md.

The model and the rows are those of `train_throughput.py`. The roofline is the time that a step would take if matrix
products ran at the rate of a large one and all else at the rate of a large copy, both measured here: the weights and
states of the rows of a step are read and written once, looked-up vectors and their gradients are written and read once.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from ours_deepfm import config
from record import ROOT, interleave, section, table
from torch.utils.flop_counter import FlopCounterMode
from train_throughput import synthetic

from easyrec.config import load_experiment
from easyrec.train.trainer import Trainer

WARM_UP = 20
MOVED = 6
"""Numbers that Lazy Adam reads and writes for each weight of a row: it, and both of its states."""


class Timed(Trainer):
    """A trainer that takes the time behind its warm-up, and counts the work of one step."""

    def _learn(self, turn: Any) -> None:
        if self.step == WARM_UP - 1:
            counter = FlopCounterMode(display=False)
            with counter:
                super()._learn(turn)
            self.flops = counter.get_total_flops()
        else:
            super()._learn(turn)
        if self.step in (WARM_UP, self.config.steps):
            torch.cuda.synchronize()
            now = time.perf_counter(), self.watch.seconds["waiting for data"]
            if self.step == WARM_UP:
                self.begun = now
            self.ended = now


def ours(spec: dict, precision: str, tables: str, steps: int) -> dict[str, float]:
    """Rows a second of a run, end to end and without waiting for rows; its peak memory, and the work of a step."""
    settings = config(spec, precision, 8)
    settings["train"] |= {"epochs": None, "steps": steps, "device": "cuda", "tables": tables}
    del settings["data"]["test"]
    folder = Path(spec["folder"]) / "gpu"
    shutil.rmtree(folder, ignore_errors=True)
    torch.cuda.reset_peak_memory_stats()
    trainer = Timed(load_experiment(settings), folder, export=False, bar=False)
    trainer.fit()
    (begun, waited), (ended, waited_too) = trainer.begun, trainer.ended
    whole, waiting = ended - begun, waited_too - waited
    rows = spec["model"]["batch_size"] * (steps - WARM_UP)
    memory = torch.cuda.max_memory_allocated() / 2**20
    del trainer.collection
    return {
        "rows_per_s": rows / whole,
        "rows_per_s_of_steps": rows / (whole - waiting),
        "ms": 1000 * (whole - waiting) / (steps - WARM_UP),
        "memory_mb": memory,
        "flops": trainer.flops,
    }


def plain(spec: dict, path: Path) -> dict[str, float]:
    """Plain torch, all rows on the GPU before it starts: tables with dense gradients, one fused Adam."""
    out = path.parent / "plain.json"
    script = str(ROOT / "benchmarks" / "peers" / "torch_deepfm.py")
    subprocess.run([sys.executable, script, str(path), str(out), "-", "8", "cuda"], check=True)
    told = json.loads(out.read_text())
    ms = 1000 * spec["model"]["batch_size"] / told["rows_per_s"]
    return {"rows_per_s": told["rows_per_s"], "ms": ms, "memory_mb": told["memory_mb"]}


def distinct(spec: dict) -> tuple[float, float]:
    """Mean number of distinct rows, and of looked-up ones, of all tables in a batch."""
    size = spec["model"]["batch_size"]
    read = pq.read_table(f"{spec['folder']}/train.parquet", columns=list(spec["categorical"]))
    counts = [
        sum(len(np.unique(read[name].to_numpy()[start : start + size])) for name in spec["categorical"])
        for start in range(0, min(len(read), 4 * size), size)
    ]
    return float(np.mean(counts)), float(size * len(spec["categorical"]))


def peak(precision: str) -> tuple[float, float]:
    """Floating-point operations, and bytes, that the GPU does in a second."""
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    a, b = (torch.randn(8192, 8192, device="cuda", dtype=kind) for _ in range(2))
    source = torch.empty(2**28, device="cuda")
    target = torch.empty_like(source)
    best = []
    for work in (lambda: torch.mm(a, b), lambda: target.copy_(source)):
        seconds = []
        for _ in range(8):
            torch.cuda.synchronize()
            started = time.perf_counter()
            work()
            torch.cuda.synchronize()
            seconds.append(time.perf_counter() - started)
        best.append(min(seconds))
    return 2 * 8192**3 / best[0], 2 * 4 * 2**28 / best[1]


def bound_ms(spec: dict, flops: float, peaks: tuple[float, float]) -> float:
    """The least time of a step."""
    rows, looked_up = distinct(spec)
    width = spec["model"]["embedding_dim"] + 1  # with the first-order weight
    of_tables = 4 * width * (MOVED * rows + 4 * looked_up)  # vectors and gradients are written and read
    return 1000 * (flops / peaks[0] + of_tables / peaks[1])


def measured(args: argparse.Namespace) -> dict[str, Any]:
    """All contestants in turn."""
    contestants, specs = {}, {}
    for size in args.batches:
        spec = {"label": "label", **synthetic(args.rows)}
        spec = {**spec, "model": {**spec["model"], "batch_size": size}}
        path = Path(spec["folder"]) / f"gpu-{size}.json"
        path.write_text(json.dumps(spec))
        for precision in ("fp32", "bf16"):
            for tables in ("device", "processor"):
                name = f"easyrec {precision}, tables on the {tables}, {size}"
                specs[name] = spec, precision
                contestants[name] = lambda s=spec, p=precision, t=tables: ours(s, p, t, args.steps)
        if not args.skip_plain:
            contestants[f"plain torch fp32, {size}"] = lambda s=spec, p=path: plain(s, p)
    peaks = {precision: peak(precision) for precision in ("fp32", "bf16")}
    common: dict[str, float] = {"rows_per_s_of_steps": 0.0, "flops": 0.0}
    for precision, (flops, rate) in peaks.items():  # a run that is cut short has told them
        print(f"{precision}: {flops / 1e12:.0f} TFLOP/s, {rate / 1e12:.2f} TB/s", flush=True)
    medians = interleave({n: lambda c=c: common | c() for n, c in contestants.items()}, args.runs)
    for name, (spec, precision) in specs.items():
        medians[name]["bound_ms"] = bound_ms(spec, medians[name]["flops"], peaks[precision])
    return {"gpu": torch.cuda.get_device_name(), "torch": torch.__version__, "peaks": peaks, "medians": medians}


def shown(told: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of the table."""
    return [
        {
            "contestant, rows of a batch": name,
            "rows/s": m["rows_per_s"],
            "ms of a step": m["ms"],
            "GPU memory, MiB": m["memory_mb"],
            "of the roofline": f"{m['bound_ms'] / m['ms']:.1%}" if "bound_ms" in m else "",
        }
        for name, m in told["medians"].items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="where the figures go")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--batches", type=int, nargs="*", default=[4096, 65536])
    parser.add_argument("--skip-plain", action="store_true", help="leave plain torch out")
    parser.add_argument("--page", type=Path, help="write the table of these figures into docs/benchmarks.md")
    args = parser.parse_args()
    if args.page:
        section("gpu", shown(json.loads(args.page.read_text())))
        return
    if not torch.cuda.is_available():
        sys.exit("there is no GPU here")
    told = measured(args)
    table(shown(told))
    if args.out:
        args.out.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
