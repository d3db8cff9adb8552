"""Training from files, end to end: ours, FuxiCTR, DeepCTR-Torch, plain torch. The same DeepFM, the same rows.

`python benchmarks/train_throughput.py [--data synthetic|frappe] [--runs 3] [--rows 1000000]`

Each contestant runs in a process of its own, in turn. Its time goes from opening the files to the end of the last
epoch; imports and building the model are outside. The peers live in an environment that this script makes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from record import ROOT, data, interleave, save, section, table

PEERS = ROOT / ".peers"
PACKAGES = ("torch==2.13.0", "fuxictr==2.3.10", "deepctr-torch==0.3.0", "polars<2", "ray")
TORCHREC = ("torch==2.13.0", "torchrec==1.8.0", "scikit-learn", "pyarrow", "pandas")
FBGEMM = "fbgemm-gpu-cpu==1.8.0"
"""In the place of the build for GPUs, which TorchRec asks for."""


def peers_python(name: str = "venv", packages: Sequence[str] = PACKAGES) -> Path:
    """The interpreter of an environment of peers, made on first use."""
    python = PEERS / name / "bin" / "python"
    stamp = PEERS / name / ".installed"
    if not stamp.exists():
        subprocess.run([sys.executable, "-m", "venv", PEERS / name], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
        stamp.write_text("\n".join(packages))
    return python


def torchrec_python() -> Path:
    """The interpreter of TorchRec's own environment."""
    python = peers_python("torchrec", TORCHREC)
    stamp = PEERS / "torchrec" / ".cpu"
    if not stamp.exists():
        subprocess.run([python, "-m", "pip", "uninstall", "--quiet", "--yes", "fbgemm-gpu"], check=True)
        command = [python, "-m", "pip", "install", "--quiet", "--force-reinstall", "--no-deps", FBGEMM]
        subprocess.run(command, check=True)
        stamp.write_text(FBGEMM)
    return python


def synthetic(rows: int) -> dict:
    """26 categorical features with 2.0 M rows in all, Zipf ids, 13 numeric features; labels by planted effects."""
    folder = PEERS / f"synthetic-{rows}"
    sizes = [600_000, 400_000, 300_000, 200_000, 150_000, 100_000, 80_000, 50_000, 40_000, 30_000, 20_000, 10_000]
    sizes += [5_000, 4_000, 3_000, 2_000, 1_500, 1_000, 500, 300, 200, 100, 50, 30, 20, 10]
    categorical = {f"c{i}": n for i, n in enumerate(sizes)}
    numeric = [f"n{i}" for i in range(13)]
    if not (folder / "test.npz").exists():
        folder.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(2026)
        total = rows + rows // 4
        logit = np.full(total, -1.5)
        columns: dict[str, np.ndarray] = {}
        for name, size in categorical.items():
            ranks = np.minimum(rng.zipf(1.2, total) - 1, 10 * size) % size
            columns[name] = rng.permutation(size)[ranks].astype(np.int32)
            if size <= 5_000:  # a signal that every contestant learns in one epoch, so that equal AUC means equal work
                logit += rng.normal(0, 0.4, size)[columns[name]]
        for name in numeric:
            columns[name] = rng.normal(0, 1, total).astype(np.float32)
            logit += rng.normal(0, 0.15) * columns[name]
        latent = {name: rng.normal(0, 0.5, (categorical[name], 4)) for name in ("c20", "c21", "c22", "c23")}
        for a, b in (("c20", "c22"), ("c21", "c23")):
            logit += (latent[a][columns[a]] * latent[b][columns[b]]).sum(1)
        columns["label"] = (rng.random(total) < 1 / (1 + np.exp(-logit))).astype(np.float32)
        for split, part in (("train", slice(0, rows)), ("test", slice(rows, total))):
            chunk = {n: v[part] for n, v in columns.items()}
            pq.write_table(pa.table(chunk), folder / f"{split}.parquet", row_group_size=65536, compression="lz4")
            np.savez(folder / f"{split}.npz", **chunk)
    model = {"embedding_dim": 16, "hidden": [256, 128, 64], "dropout": 0.0, "batch_norm": False, "lr": 1e-3}
    model |= {"batch_size": 4096, "epochs": 1, "seed": 2026, "embedding_regularizer": 0.0}
    return {"folder": str(folder), "rows": rows, "categorical": categorical, "numeric": numeric, "model": model}


def frappe(_: int) -> dict:
    """Frappe_x1 with the published settings, two epochs."""
    source = data("frappe_x1")
    folder = PEERS / "frappe"
    folder.mkdir(parents=True, exist_ok=True)
    parts = {split: pq.read_table(source / f"{split}.parquet") for split in ("train", "test")}
    names = [n for n in parts["train"].column_names if n != "label"]
    both = {n: np.concatenate([parts[s][n].to_numpy() for s in parts]) for n in names}
    categorical = {}
    for split, part in parts.items():
        chunk = {}
        for n in names:
            words, codes = np.unique(both[n], return_inverse=True)
            categorical[n] = len(words) + 1
            start = 0 if split == "train" else len(parts["train"])
            chunk[n] = (codes[start : start + len(part)] + 1).astype(np.int32)
        chunk["label"] = part["label"].to_numpy().astype(np.float32)
        pq.write_table(pa.table(chunk), folder / f"{split}.parquet", compression="lz4")
        np.savez(folder / f"{split}.npz", **chunk)
    model = {"embedding_dim": 10, "hidden": [400, 400, 400], "dropout": 0.2, "batch_norm": True, "lr": 1e-3}
    model |= {"batch_size": 4096, "epochs": 2, "seed": 2026, "embedding_regularizer": 0.05}
    return {
        "folder": str(folder),
        "rows": len(parts["train"]),
        "categorical": categorical,
        "numeric": [],
        "model": model,
    }


def contestant(python: Path | str, script: str, spec: Path, *options: str) -> Callable[[], dict[str, float]]:
    """A run of one script in its own process."""

    def run() -> dict[str, float]:
        out = spec.parent / f"{Path(script).stem}.out.json"
        out.unlink(missing_ok=True)
        command = [str(python), str(ROOT / "benchmarks" / script), str(spec), str(out), *options]
        environment = {**os.environ, "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0", "PYTHONWARNINGS": "ignore"}
        done = subprocess.run(command, check=False, env=environment, capture_output=True, text=True)
        if done.returncode or not out.exists():
            sys.exit(f"{script} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
        return json.loads(out.read_text())

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", choices=["synthetic", "frappe"], default="synthetic")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", nargs="*", help="names of contestants")
    parser.add_argument("--page", action="store_true", help="write the table into docs/benchmarks.md")
    args = parser.parse_args()
    spec = {"label": "label", **(synthetic if args.data == "synthetic" else frappe)(args.rows)}
    path = Path(spec["folder"]) / "spec.json"
    path.write_text(json.dumps(spec))
    threads, peers = str(args.threads), peers_python()
    torchrec: dict[str, Callable[[], dict[str, float]]] = {}
    if not spec["model"]["embedding_regularizer"]:  # which its fused optimizers do not know
        of_rows, script = (threads, "rowwise_adagrad"), "peers/torchrec_deepfm.py"
        for precision in ("fp32", "bf16"):
            name = f"easyrec {precision}, row-wise Adagrad"
            torchrec[name] = contestant(sys.executable, "ours_deepfm.py", path, precision, *of_rows)
            torchrec[f"TorchRec 1.8.0 {precision}"] = contestant(torchrec_python(), script, path, precision, threads)
    contestants = {
        "easyrec fp32": contestant(sys.executable, "ours_deepfm.py", path, "fp32", threads),
        "easyrec bf16": contestant(sys.executable, "ours_deepfm.py", path, "bf16", threads),
        "plain torch, fused Adam": contestant(sys.executable, "peers/torch_deepfm.py", path, "-", threads),
        **torchrec,
        "FuxiCTR 2.3.10": contestant(peers, "peers/fuxictr_deepfm.py", path, "npz", threads),
        "DeepCTR-Torch 0.3.0": contestant(peers, "peers/deepctr_deepfm.py", path, "-", threads),
    }
    if args.only:
        contestants = {n: c for n, c in contestants.items() if any(o in n for o in args.only)}
    medians = interleave(contestants, args.runs)
    base = medians.get("FuxiCTR 2.3.10")
    rows = [
        {
            "contestant": name,
            "rows/s": m["rows_per_s"],
            "x FuxiCTR": m["rows_per_s"] / base["rows_per_s"] if base else "",
            "seconds": m["seconds"],
            "CPU s": m["cpu_seconds"],
            "test AUC": f"{m['auc']:.5f}",
        }
        for name, m in medians.items()
    ]
    table(rows)
    if args.page and args.data == "synthetic":
        section("train_throughput-synthetic", rows)
    if not args.only:
        settings = {"data": args.data, "rows": spec["rows"], "runs": args.runs, "threads": args.threads}
        save(f"train_throughput-{args.data}", {"settings": {**settings, **spec["model"]}, "medians": medians})


if __name__ == "__main__":
    main()
