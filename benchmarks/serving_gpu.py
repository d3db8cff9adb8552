"""Serving on a GPU beside the processor, in one process: DeepFM and DIN, 200 and 2,000 candidates of one user.

`python benchmarks/serving_gpu.py --out FILE [--runs 3] [--seconds 0.4] [--only NAME ...]`; where there is no GPU,
`python benchmarks/serving_gpu.py --page FILE` writes a file's table into docs/benchmarks.md.

The models are those of `serving.py`: DeepFM with 26 ids and 13 numbers, dim 16, an MLP of 256-128-64; DIN with 1,000 steps,
dim 32. A request is Arrow columns, its answer an array: no HTTP. `p50` and `p99` are of one caller, requests a second of
eight threads, CPU ms the process's for each of those. The processor computes with one thread for each caller, as it serves.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.append(sys.path.pop(0))  # `serving` is the package, not the script beside this one

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from record import ROOT, interleave, section, table
from serving_models import DIN_ROWS, ITEMS, STEPS, USERS, deepfm_config, din_config
from train_throughput import synthetic

import easyrec
from serving import Predictor

FOLDER = ROOT / ".peers" / "serving_gpu"
CANDIDATES = (200, 2000)
THREADS, SESSIONS = 8, 4
CHOSEN = {"name": "cuda", "dense": "gpu", "sessions": SESSIONS}
CONTESTANTS: dict[str, dict[str, Any] | str] = {
    "processor": "cpu",
    "GPU fp32, no graphs": {**CHOSEN, "tables": "cpu", "graphs": False},
    "GPU fp32": {**CHOSEN, "tables": "cpu"},
    "GPU fp32, tables there": {**CHOSEN, "tables": "gpu"},
    "GPU bf16": {**CHOSEN, "tables": "cpu", "precision": "bf16", "tolerance": 0.05},
    "GPU, as measured": {"name": "cuda", "sessions": SESSIONS},
}


def rows_of(model: str) -> tuple[dict[str, Any], pa.Table]:
    """The experiment, and rows for it."""
    path = FOLDER / f"{model}.parquet"
    if model == "deepfm":
        spec = synthetic(max(CANDIDATES) * 2)
        rows = pq.read_table(Path(spec["folder"]) / "train.parquet")
        return deepfm_config(spec, path, ids=True), rows
    rng = np.random.default_rng(7)
    history = list(rng.integers(0, ITEMS, (DIN_ROWS, STEPS)))
    columns = {"user_id": rng.integers(0, USERS, DIN_ROWS), "item_id": rng.integers(0, ITEMS, DIN_ROWS)}
    labels = (columns["item_id"] % 2).astype(np.float32)
    return din_config(path), pa.table(columns | {"click_seq__item_id": pa.array(history), "label": labels})


def bundle_of(model: str) -> tuple[Path, pa.Table]:
    """A bundle after two steps of training, and rows of its columns."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    config, rows = rows_of(model)
    pq.write_table(rows, config["data"]["train"]["path"])
    config["train"] |= {"epochs": None, "steps": 2}
    config["export"] = {"runtimes": ["torch_export"], "request": {"items": CANDIDATES[0]}}
    return easyrec.train(config, run_dir=FOLDER / model, overwrite=True, progress=False).bundle, rows


def request_of(predictor: Predictor, rows: pa.Table, count: int) -> Callable[[], Mapping[str, np.ndarray]]:
    """Asks for the first row's user and so many items."""
    chosen = rows.take(pa.array(np.arange(count) % rows.num_rows)).combine_chunks().to_batches()[0]
    sides = {"user": chosen.slice(0, 1), "item": chosen, "context": chosen.slice(0, 1)}
    wanted = {side: [n for n, own in predictor.generator.inputs.items() if own == side] for side in sides}
    given = [sides[side].select(wanted[side]) if wanted[side] else None for side in ("user", "item", "context")]
    return lambda: predictor.predict(*given)


def timed(ask: Callable[[], Any], seconds: float) -> dict[str, float]:
    """Milliseconds of one caller, requests a second of several threads, and the processor's milliseconds for each."""
    for _ in range(2):
        ask()
    spent, end = [], time.perf_counter() + seconds
    while len(spent) < 3 or time.perf_counter() < end:
        before = time.perf_counter()
        ask()
        spent.append(time.perf_counter() - before)

    def on(until: float) -> int:
        count = 0
        while count == 0 or time.perf_counter() < until:
            ask()
            count += 1
        return count

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(on, [time.perf_counter() + seconds / 2] * THREADS))  # every session has its graph
        begun, used = time.perf_counter(), time.process_time()
        answered = sum(pool.map(on, [begun + seconds] * THREADS))
        whole, used = time.perf_counter() - begun, time.process_time() - used
    p50, p99 = np.percentile(spent, [50, 99]) * 1000
    return {"p50": p50, "p99": p99, "per_s": answered / whole, "cpu_ms": 1000 * used / answered}


def measured(args: argparse.Namespace) -> dict[str, Any]:
    """All contestants in turn."""
    torch.set_num_threads(1)
    told: dict[str, Any] = {
        "gpu": torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "medians": {},
        "settled": {},
    }
    for model in ("deepfm", "din"):
        bundle, rows = bundle_of(model)
        predictors = {}
        for name, device in CONTESTANTS.items():
            if not args.only or name in args.only:
                begun = time.perf_counter()
                predictors[name] = Predictor.load(bundle, device=device, verify=False)
                print(f"{model}, {name}: loaded in {time.perf_counter() - begun:.1f} s", flush=True)
        for count in CANDIDATES:
            asks = {name: request_of(predictor, rows, count) for name, predictor in predictors.items()}
            exact = next(iter(asks.values()))()
            errors = {name: max(np.abs(ask()[t] - exact[t]).max() for t in exact) for name, ask in asks.items()}
            medians = interleave({n: lambda a=a: timed(a, args.seconds) for n, a in asks.items()}, args.runs)
            for name, found in medians.items():
                told["medians"][f"{model}, {count:,}, {name}"] = found | {"error": float(errors[name])}
            _keep(told, args.out)
        for name, predictor in predictors.items():
            if predictor.device_stats is not None:
                told["settled"][f"{model}, {name}"] = asdict(predictor.device_stats)
        for predictor in predictors.values():
            predictor.close()
    return told


def _keep(told: dict[str, Any], out: Path | None) -> None:
    """Write what is known so far: a stopped script leaves that."""
    if out is not None:
        out.write_text(json.dumps(told, indent=1) + "\n")


def shown(told: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of the table."""
    return [
        {
            "model, candidates, contestant": name,
            "p50 ms": m["p50"],
            "p99 ms": m["p99"],
            "requests/s": m["per_s"],
            "CPU ms": m["cpu_ms"],
            "largest difference": f"{m['error']:.1e}",
        }
        for name, m in told["medians"].items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="where the figures go")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0.4, help="of each measurement")
    parser.add_argument("--only", nargs="*", default=[], help="contestants that run; the first is compared with")
    parser.add_argument("--page", type=Path, help="write the table of these figures into docs/benchmarks.md")
    args = parser.parse_args()
    if args.page:
        section("serving_gpu", shown(json.loads(args.page.read_text())))
        return
    if not torch.cuda.is_available():
        sys.exit("there is no GPU here")
    told = measured(args)
    table(shown(told))
    for name, stats in told["settled"].items():
        print(
            f"{name}: tables {stats['tables']}, {stats['graphs']} graphs, {stats['eager'] or ''} {stats['placement']}"
        )
    _keep(told, args.out)


if __name__ == "__main__":
    main()
