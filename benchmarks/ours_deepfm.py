"""One contestant: easyrec's DeepFM, from parquet through the FeatureGenerator, by the ordinary trainer.

`python ours_deepfm.py SPEC.json OUT.json fp32|bf16 [threads] [lazy_adam|rowwise_adagrad]`; the latter is for the peers that
update tables by it, at twenty times the rate.

Its time is the trainer's own: waiting for data, training, and what lies between them; the evaluation, the checkpoint,
the export and the report at the end are outside, as they are for the peers.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import easyrec


def config(spec: dict, precision: str, threads: int, sparse: str = "lazy_adam") -> dict:
    """The experiment: categorical features as ids, numeric ones as linear fields."""
    model, folder = spec["model"], spec["folder"]
    features = [
        {"type": "id", "name": n, "expression": f"item:{n}", "num_buckets": v} for n, v in spec["categorical"].items()
    ]
    features += [
        {
            "type": "raw",
            "name": n,
            "expression": f"item:{n}",
            "dense_embedding": "linear",
            "embedding_dim": model["embedding_dim"],
        }
        for n in spec["numeric"]
    ]
    exact = model["embedding_regularizer"] > 0
    return {
        "name": f"bench-{Path(folder).name}-{precision}",
        "data": {
            "train": {"type": "parquet", "path": f"{folder}/train.parquet"},
            "test": {"type": "parquet", "path": f"{folder}/test.parquet"},
            "labels": [spec["label"]],
            "batch_size": model["batch_size"],
        },
        "features": features,
        "model": {
            "type": "deepfm",
            "embedding_dim": model["embedding_dim"],
            "hidden": model["hidden"],
            "dropout": model["dropout"],
            "batch_norm": model["batch_norm"],
        },
        "train": {
            "epochs": model["epochs"],
            "seed": model["seed"],
            "precision": precision,
            "threads": threads,
            "embedding_regularizer": model["embedding_regularizer"],
            "sparse_optimizer": {
                "type": "adam" if exact else sparse,
                "lr": model["lr"] * (20 if sparse == "rowwise_adagrad" else 1),
            },
            "dense_optimizer": {"type": "adam", "lr": model["lr"]},
            "grad_clip": 10.0 if exact else None,
            "evaluate_every": {"epochs": 1000},
            "checkpoint": {"every": {"epochs": 1000}},
        },
        "eval": {"metrics": ["auc"]},
    }


def main() -> None:
    spec = json.loads(Path(sys.argv[1]).read_text())
    experiment = config(spec, sys.argv[3], int(sys.argv[4]), *sys.argv[5:])
    cpu = time.process_time()
    run = easyrec.train(experiment, run_dir=Path(spec["folder"]) / "run", overwrite=True)
    cpu = time.process_time() - cpu
    timings = json.loads((run.path / "report.json").read_text())["timings"]
    seconds = sum(timings.get(part, 0.0) for part in ("training", "waiting for data", "other"))
    rows = spec["rows"] * spec["model"]["epochs"]
    result = {"seconds": seconds, "cpu_seconds": cpu, "rows_per_s": rows / seconds, "auc": run.metrics["test"]["auc"]}
    Path(sys.argv[2]).write_text(json.dumps(result | {f"t_{k}": v for k, v in timings.items()}))


if __name__ == "__main__":
    main()
