"""FuxiCTR's sequence models on the frozen MovieLens-1M clicks, item ids alone: test AUC of one seed.

Runs in the peers' environment: `python fuxictr_ml1m.py MODEL DATA OUT.json [--epochs 12] [--seed 2026] [--threads 1]
[--gpu 0]`.
MODEL is one of those that its package ships (`model_zoo.LongCTR`); its own loader pads the newest 200 items of the
history. DATA holds `ml1m_ctr/` and `ml-1m/`.
"""

from __future__ import annotations

import argparse
import importlib
import json
import logging
import sys
import tempfile
import time
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from fuxictr.features import FeatureMap
from fuxictr.pytorch.torch_utils import seed_everything
from sklearn.metrics import roc_auc_score

MODELS = ("DIN", "DIEN", "TransAct", "SIM", "ETA", "SDIM", "TWIN")
PARTS = ("train", "valid", "test")
MODEL_KEYS = {
    "TransAct": {"dcn_hidden_units": [200, 80], "dim_feedforward": 64, "num_heads": 2},
    "DIN": {"din_use_softmax": True, "attention_hidden_units": [36], "attention_hidden_activations": "sigmoid"},
    "SDIM": {"attention_dim": 32, "num_hashes": 4, "hash_bits": 4},
}
DEFAULT_KEYS = {"attention_dim": 32}


def write(source: Path, folder: Path) -> int:
    """The loader's files: rows, the history of each user, the items; gives the number of items."""
    log = pd.read_parquet(source / "ml-1m" / "sequences.parquet").sort_values(["user", "pos"])
    items = int(log["item"].max()) + 1
    users = int(log["user"].max()) + 1
    histories = log.groupby("user")["item"].apply(np.array).reindex(range(users))
    empty = np.zeros(0, np.int64)
    listed = [h if isinstance(h, np.ndarray) else empty for h in histories]
    pd.DataFrame({"full_item_seq": listed}).to_parquet(folder / "users.parquet")
    pd.DataFrame({"item_index": range(items), "item_id": range(items)}).to_parquet(folder / "items.parquet")
    for part in PARTS:
        rows = pd.read_parquet(source / "ml1m_ctr" / f"{part}.parquet")
        renamed = {"user": "user_index", "pos": "seq_len", "item": "item_index"}
        rows.rename(columns=renamed)[["label", "user_index", "seq_len", "item_index"]].to_parquet(
            folder / f"{part}.parquet"
        )
    return items


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", choices=MODELS)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--gpu", type=int, default=-1, help="number of the GPU; -1: the processor")
    parser.add_argument("--workers", type=int, default=0, help="processes that load batches")
    parser.add_argument("--rows", type=int, help="rows of training, to try it")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    logging.disable(logging.CRITICAL)
    seed_everything(args.seed)
    zoo = Path(importlib.import_module("fuxictr").__file__).parents[1] / "model_zoo" / "LongCTR"
    sys.path.insert(0, str(zoo))
    loader_class = importlib.import_module("longctr_dataloader").LongCTRDataLoader
    model_class = getattr(importlib.import_module(f"{args.model}.{args.model}"), args.model)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "bench").mkdir()
        items = write(args.data, folder)
        if args.rows:
            train = pd.read_parquet(folder / "train.parquet").sample(args.rows, random_state=1)
            train.to_parquet(folder / "train.parquet")
        fm = FeatureMap("bench", name)
        meta = {"type": "meta", "source": ""}
        fm.features = OrderedDict(
            user_index=meta, seq_len=meta, item_index=meta,
            item_id={"type": "categorical", "source": "item", "vocab_size": items, "padding_idx": 0},
        )  # fmt: skip
        fm.labels, fm.num_fields, fm.total_features, fm.default_emb_dim = ["label"], 1, items, 32
        fm.sum_emb_out_dim = lambda *_: 32
        keys = {"embedding_dim": 32, "dnn_hidden_units": [200, 80], "net_dropout": 0.3, "learning_rate": 2e-3}
        keys |= {**DEFAULT_KEYS, **MODEL_KEYS.get(args.model, {})}
        common = {
            "task": "binary_classification",
            "gpu": args.gpu,
            "verbose": 0,
            "model_root": name,
            "metrics": ["AUC"],
        }
        common |= {"monitor": "AUC", "monitor_mode": "max", "save_best_only": True, "early_stop_patience": 2}
        common |= {"eval_steps": None, "reduce_lr_on_plateau": True, "optimizer": "adam", "loss": "binary_crossentropy"}
        net = model_class(fm, model_id=args.model, embedding_regularizer=3e-6, **keys, **common)
        info = {"user_info": str(folder / "users.parquet"), "item_info": str(folder / "items.parquet")}

        def loader(part: str) -> object:
            path = str(folder / f"{part}.parquet")
            shuffle = part == "train"
            return loader_class(
                fm, path, **info, batch_size=2048, shuffle=shuffle, num_workers=args.workers, max_len=200, padding="pre"
            )

        started = time.perf_counter()
        net.fit(loader("train"), validation_data=loader("valid"), epochs=args.epochs, max_gradient_norm=10.0)
        seconds = time.perf_counter() - started
        scores = net.predict(loader("test"))
        labels = pd.read_parquet(folder / "test.parquet")["label"].to_numpy()
    result = {"model": args.model, "auc": roc_auc_score(labels, scores), "seconds": seconds, "epochs": args.epochs}
    args.out.write_text(json.dumps(result))
    print(result)


if __name__ == "__main__":
    main()
