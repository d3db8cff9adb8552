"""Six models beside FuxiCTR's on Frappe_x1: the same data, hyper-parameters and machine; test AUC and training speed.

`python benchmarks/fuxictr.py [quality | speed] [--models deepfm ...] [--seeds 1] [--runs 3] [--threads 2]`

- `quality`: both train to their early stop under the settings of `configs/frappe/<model>.yaml`. Finished runs are
  lines of `results/fuxictr.jsonl`, ours of `results/frappe_x1.jsonl`: a stopped script goes on where it stopped.
- `speed`: two epochs of training from files to weights, evaluation not counted; contestants in turn, medians.

FuxiCTR runs in an environment of its own, which `train_throughput.py` makes.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import statistics
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import frappe
from record import ROOT, digest, interleave, once, save, section, table
from train_throughput import contestant, peers_python

import easyrec
from easyrec.config import load_experiment

MODELS = ("deepfm", "dcn_v2", "finalmlp", "autoint_plus", "masknet", "xdeepfm")
EPOCHS = 2
ROWS = 202_027


def source() -> Path:
    """Folder of the data."""
    return Path(os.environ["EASYREC_DATA"]) / "frappe_x1"


def config(model: str) -> Path:
    """Our config of a model."""
    return ROOT / "configs" / "frappe" / f"{model}.yaml"


def settings(model: str) -> dict[str, Any]:
    """What FuxiCTR is told: the hyper-parameters of our config, under its script's names."""
    experiment = load_experiment(config(model))
    ours = experiment.model.model_dump()
    found = {k: v for k, v in ours.items() if k in ("embedding_dim", "hidden", "dropout", "batch_norm", "heads")}
    found |= {"embedding_regularizer": experiment.train.embedding_regularizer}
    found |= {"lr": experiment.train.dense_optimizer.lr}
    if model == "dcn_v2":
        found["cross_layers"] = ours["cross_layers"]
    elif model == "finalmlp":
        groups = experiment.model.groups or {}
        found |= {"hidden1": ours["mlp1"]["hidden"], "hidden2": ours["mlp2"]["hidden"]}
        found |= {"dropout": ours["mlp1"]["dropout"], "batch_norm": ours["mlp1"]["batch_norm"]}
        found |= {"gate_hidden": ours["gate_hidden"]}
        found |= {name: groups[name].features for name in ("context1", "context2") if name in groups}
    elif model == "autoint_plus":
        found |= {k: ours[k] for k in ("attention_layers", "attention_dim")} | {"layer_norm": ours["attention_norm"]}
    elif model == "masknet":
        keys = ("structure", "embedding_norm", "blocks", "block_dim", "reduction")
        found |= {k: ours[k] for k in keys}
    elif model == "xdeepfm":
        found["cin_hidden"] = ours["cin_units"]
    return found


def theirs(model: str, seed: int, threads: int, epochs: int | None = None) -> dict[str, float]:
    """One run of FuxiCTR."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "spec.json"
        spec = {"model": model, "settings": settings(model), "source": str(source()), "seed": seed, "epochs": epochs}
        path.write_text(json.dumps(spec))
        return contestant(peers_python(), "peers/fuxictr_frappe.py", path, str(threads))()


def ours(model: str, seed: int, threads: int, precision: str = "fp32", epochs: int | None = None) -> dict[str, float]:
    """One run of ours, measured by the trainer's own stopwatch."""
    overrides: dict[str, Any] = {"train.seed": seed, "train.threads": threads, "train.precision": precision}
    overrides["train.log_every"] = 1_000_000
    if epochs is not None:
        overrides |= {"train.epochs": epochs, "train.evaluate_every": {"epochs": 1000}}
        overrides |= {"train.checkpoint": {"every": {"epochs": 1000}}}
    with tempfile.TemporaryDirectory() as name:
        run = easyrec.train(
            config(model), overrides=overrides, run_dir=Path(name) / "run", export=False, progress=False
        )
        timings = json.loads((run.path / "report.json").read_text())["timings"]
        seconds = sum(timings.get(part, 0.0) for part in ("training", "waiting for data", "other"))
        return {"seconds": seconds, "auc": run.metrics["test"]["auc"]}


def quality(models: list[str], seeds: int, threads: int) -> None:
    """Test AUC of both."""
    rows = []
    for model in models:
        found: dict[str, list[float]] = {"easyrec": [], "FuxiCTR": []}
        told = json.dumps(settings(model), sort_keys=True)
        key = digest(f"{model} {told}", [ROOT / "benchmarks" / "peers" / "fuxictr_frappe.py"])
        for seed in range(2021, 2021 + seeds):
            found["easyrec"].append(frappe.run(model, 0, seed)["test_auc"])
            peer = once("fuxictr", key, seed, {"model": model}, partial(theirs, model, seed, threads))
            found["FuxiCTR"].append(peer["auc"])
        means = {name: statistics.mean(values) for name, values in found.items()}
        difference = means["easyrec"] - means["FuxiCTR"]
        rows.append({"model": model, **{n: f"{v:.5f}" for n, v in means.items()}, "difference": f"{difference:+.5f}"})
        table(rows[-1:])
    table(rows)
    section("fuxictr-quality", rows)


def speed(models: list[str], runs: int, threads: int) -> None:
    """Training time of both."""
    rows = []
    for model in models:
        medians = interleave(
            {
                "fp32": partial(ours, model, 2021, threads, "fp32", EPOCHS),
                "bf16": partial(ours, model, 2021, threads, "bf16", EPOCHS),
                "FuxiCTR": partial(theirs, model, 2021, threads, EPOCHS),
            },
            runs,
        )
        base = medians["FuxiCTR"]["seconds"]
        row = {"model": model, **{f"{n} rows/s": round(EPOCHS * ROWS / m["seconds"]) for n, m in medians.items()}}
        rows.append(row | {f"{n} x": round(base / medians[n]["seconds"], 2) for n in ("fp32", "bf16")})
        table(rows[-1:])
    table(rows)
    save("fuxictr-speed", {"runs": runs, "threads": threads, "epochs": EPOCHS, "rows": rows})
    section("fuxictr-speed", rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="?", choices=["quality", "speed", "all"], default="all")
    parser.add_argument("--models", nargs="*", default=list(MODELS), choices=MODELS, metavar="MODEL")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    os.environ.setdefault("EASYREC_DATA", str(ROOT.parent / "shared" / "data"))
    if not source().exists():
        sys.exit("Frappe_x1 is not here: set EASYREC_DATA to the folder that holds frappe_x1/")
    if args.what in ("speed", "all"):
        speed(args.models, args.runs, args.threads)
    if args.what in ("quality", "all"):
        quality(args.models, args.seeds, args.threads)


if __name__ == "__main__":
    main()
