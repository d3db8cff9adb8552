"""RecBole's SASRec on MovieLens-1M under its defaults: NDCG@10 of every epoch, and how long it took.

Runs in an environment with RecBole: `python recbole_sasrec.py DATA OUT.json [--epochs 300] [--minutes 120] [--batches N]
[--threads 2] [--gpu 0]`. Of what RecBole asks for, `recbole==1.2.1 colorlog texttable` beside torch, pandas, pyarrow,
pyyaml, scipy, scikit-learn, tensorboard, tqdm and colorama are enough.

DATA holds `ml-1m/sequences.parquet`. The same command goes on where `--minutes` stopped it, with the state beside OUT.
`--batches` trains that many batches, without evaluation, to time a machine on which a whole run would take days; the
result tells seconds per batch and batches per epoch.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

# RecBole 1.2.1 was written for NumPy 1. Under pandas 3 it fills no missing values, as its warnings say; there are none here.
for _name, _kind in (("float_", np.float64), ("complex_", np.complex128), ("unicode_", np.str_)):
    if not hasattr(np, _name):
        setattr(np, _name, _kind)

SEED = 2026


def write(source: Path, folder: Path) -> None:
    """The interactions as RecBole reads them; a user's order stands for time."""
    log = pd.read_parquet(source / "ml-1m" / "sequences.parquet")
    there = folder / "ml"
    there.mkdir(parents=True)
    table = log[["user", "item", "pos"]]
    table.columns = ["user_id:token", "item_id:token", "timestamp:float"]
    table.to_csv(there / "ml.inter", sep="\t", index=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--epochs", type=int, default=300)
    parser.add_argument("--minutes", type=float, default=None, help="begin no epoch after so many")
    parser.add_argument("--batches", type=int, default=None)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--gpu", type=int, default=-1)
    args = parser.parse_args()
    args.data, args.out = args.data.resolve(), args.out.resolve()
    sys.argv = sys.argv[:1]  # RecBole reads it too
    torch.set_num_threads(args.threads)

    from recbole.config import Config  # noqa: PLC0415 (NumPy must have its old names first)
    from recbole.data import create_dataset, data_preparation  # noqa: PLC0415
    from recbole.model.sequential_recommender import SASRec  # noqa: PLC0415
    from recbole.trainer import Trainer  # noqa: PLC0415
    from recbole.utils import init_seed  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(args.data, folder)
        os.chdir(folder)  # it writes logs and curves where it stands
        settings: dict[str, Any] = {
            "data_path": str(folder),
            "checkpoint_dir": str(folder / "saved"),
            "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
            "train_neg_sample_args": None,  # its cross-entropy over all items, the default of its SASRec
            "epochs": args.epochs,
            "seed": SEED,
            "use_gpu": args.gpu >= 0,
            "gpu_id": str(args.gpu) if args.gpu >= 0 else "",  # its device follows this alone, not `use_gpu`
            "metrics": ["Recall", "NDCG"],
            "topk": [10],
            "valid_metric": "NDCG@10",
            "show_progress": False,
        }
        config = Config(model="SASRec", dataset="ml", config_dict=settings)
        init_seed(SEED, config["reproducibility"])
        dataset = create_dataset(config)
        train, valid, test = data_preparation(config, dataset)
        model = SASRec(config, train.dataset).to(config["device"])
        found: dict[str, Any] = {"batches_per_epoch": len(train), "rows": len(train.dataset), "epochs": []}
        found["device"] = torch.cuda.get_device_name(config["device"]) if args.gpu >= 0 else "cpu"
        trainer = Trainer(config, model)
        if args.batches:
            _time(trainer, train, args.batches, found)
        else:
            _train(trainer, (train, valid, test), found, args.out, args.minutes)
        args.out.write_text(json.dumps(found))


def _clock(device: torch.device) -> float:
    """The time once the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _time(trainer: Any, train: Any, batches: int, found: dict[str, Any]) -> None:
    model, began = trainer.model.train(), 0.0
    for number, batch in enumerate(train):
        if number == 1:  # the first one warms up
            began = _clock(trainer.device)
        if number > batches:
            break
        trainer.optimizer.zero_grad()
        model.calculate_loss(batch.to(trainer.device)).backward()
        trainer.optimizer.step()
    found["seconds_per_batch"] = (_clock(trainer.device) - began) / batches


def _train(trainer: Any, parts: tuple[Any, Any, Any], found: dict[str, Any], out: Path, minutes: float | None) -> None:
    """Its early stop: more than ten epochs in a row without one as good. What is drawn by chance goes on where it was left."""
    train, valid, test = parts
    state, began = out.with_suffix(".pt"), time.perf_counter()
    best, behind, weights, former = -1.0, 0, None, 0.0
    chance = [torch.default_generator, train.generator]  # weights and dropout; the order of the rows
    if trainer.device.type == "cuda":
        chance.append(torch.cuda.default_generators[torch.cuda.current_device()])  # dropout there
    if state.exists():
        kept = torch.load(state, map_location="cpu", weights_only=True)
        trainer.model.load_state_dict(kept["model"])
        trainer.optimizer.load_state_dict(kept["optimizer"])
        for generator, drawn in zip(chance, kept["random"], strict=True):
            generator.set_state(drawn)
        weights, best, behind = kept["weights"], kept["best"], kept["behind"]
        found["epochs"] = kept["epochs"]
        former = found["epochs"][-1]["seconds"]
    for epoch in range(len(found["epochs"]), trainer.epochs):
        if behind > trainer.stopping_step:
            break
        if minutes is not None and time.perf_counter() - began > 60 * minutes:
            return
        trainer._train_epoch(train, epoch)
        value = float(trainer.evaluate(valid, load_best_model=False)["ndcg@10"])
        found["epochs"].append({"ndcg@10": value, "seconds": former + time.perf_counter() - began})
        behind += 1
        if value >= best:
            best, behind = value, 0
            weights = {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}
        kept = {"model": trainer.model.state_dict(), "optimizer": trainer.optimizer.state_dict(), "weights": weights}
        kept |= {"random": [generator.get_state() for generator in chance]}
        kept |= {"best": best, "behind": behind, "epochs": found["epochs"]}
        torch.save(kept, state.with_suffix(".new"))
        state.with_suffix(".new").replace(state)
        out.write_text(json.dumps(found))
    trainer.model.load_state_dict(weights)
    told = trainer.evaluate(test, load_best_model=False)
    found |= {"test_ndcg@10": float(told["ndcg@10"]), "test_recall@10": float(told["recall@10"])}


if __name__ == "__main__":
    main()
