"""Six models beside FuxiCTR's on Frappe_x1: the same data, hyper-parameters and machine; test AUC and training speed.

`python benchmarks/fuxictr.py [quality | speed | page] [--models deepfm ...] [--seeds 1] [--runs 3] [--threads 2]`

- `quality`: both train to their early stop under the settings of `configs/frappe/<model>.yaml`. Finished runs are
  lines of `results/fuxictr.jsonl`, ours of `results/frappe_x1.jsonl`: a stopped script goes on where it stopped.
- `speed`: two epochs of training from files to weights, evaluation not counted; contestants in turn, medians, a line of
  `results/fuxictr_speed.jsonl` per model.
- `page`: writes what has run into `docs/benchmarks.md`, as the others do at their end.

FuxiCTR runs in an environment of its own, which `train_throughput.py` makes.
"""

from __future__ import annotations

import argparse
import json
import logging
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import frappe
from record import ROOT, data, digest, finished, interleave, machine, once, section, table, versus
from train_throughput import contestant, peers_python

import easyrec
from easyrec.config import load_experiment

MODELS = ("deepfm", "dcn_v2", "finalmlp", "autoint_plus", "masknet", "xdeepfm")
SEEDS = range(2021, 2031)
"""The first ones are taken."""
EPOCHS = 2
ROWS = 202_027


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
        spec = {
            "model": model,
            "settings": settings(model),
            "source": str(data("frappe_x1")),
            "seed": seed,
            "epochs": epochs,
        }
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


def peer_key(model: str, what: str) -> str:
    """Fingerprint of FuxiCTR's runs: what it is told, and its script."""
    told = json.dumps(settings(model), sort_keys=True)
    return digest(f"{model} {what}{told}", [ROOT / "benchmarks" / "peers" / "fuxictr_frappe.py"])


def quality(models: list[str], seeds: int, threads: int) -> None:
    """Train both to their early stop."""
    for model in models:
        for seed in SEEDS[:seeds]:
            frappe.run(model, 0, seed)
            once("fuxictr", peer_key(model, ""), seed, {"model": model}, partial(theirs, model, seed, threads))


def quality_rows() -> list[dict[str, str]]:
    """Test AUC of both, of the seeds that both have."""
    rows = []
    for model in MODELS:
        ours_ = finished("frappe_x1", frappe.key(model, 0), SEEDS)
        cells = versus(ours_, finished("fuxictr", peer_key(model, ""), SEEDS), "auc")
        rows += [{"model": model, **cells}] if cells else []
    return rows


def speed_key(model: str, runs: int, threads: int) -> str:
    """Fingerprint of a comparison in speed."""
    return frappe.key(model, 0) + peer_key(model, f"{EPOCHS} {runs} {threads}")


def speed(models: list[str], runs: int, threads: int) -> None:
    """Time the training of both, in turn."""

    def measured(model: str) -> dict[str, float]:
        contestants = {p: partial(ours, model, 2021, threads, p, EPOCHS) for p in ("fp32", "bf16")}
        medians = interleave(contestants | {"FuxiCTR": partial(theirs, model, 2021, threads, EPOCHS)}, runs)
        return {name: found["seconds"] for name, found in medians.items()}

    for model in models:
        about = {"model": model, "runs": runs, "epochs": EPOCHS, "machine": machine()}
        once("fuxictr_speed", speed_key(model, runs, threads), 2021, about, partial(measured, model))


def speed_rows(runs: int, threads: int) -> list[dict[str, Any]]:
    """Training speed of both, and how many times faster ours is."""
    rows = []
    for model in MODELS:
        for line in finished("fuxictr_speed", speed_key(model, runs, threads), [2021]):
            seconds = {name: line[name] for name in ("fp32", "bf16", "FuxiCTR")}
            row: dict[str, Any] = {f"{name} rows/s": round(EPOCHS * ROWS / value) for name, value in seconds.items()}
            row |= {f"{name} x": f"{seconds['FuxiCTR'] / seconds[name]:.2f}" for name in ("fp32", "bf16")}
            rows.append({"model": model} | row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="?", choices=["quality", "speed", "page", "all"], default="all")
    parser.add_argument("--models", nargs="*", default=list(MODELS), choices=MODELS, metavar="MODEL")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    data("frappe_x1")
    if args.what in ("speed", "all"):
        speed(args.models, args.runs, args.threads)
    if args.what in ("quality", "all"):
        quality(args.models, args.seeds, args.threads)
    for name, rows in (("speed", speed_rows(args.runs, args.threads)), ("quality", quality_rows())):
        table(rows)
        section(f"fuxictr-{name}", rows)


if __name__ == "__main__":
    main()
