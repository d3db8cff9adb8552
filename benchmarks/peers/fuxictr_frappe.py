"""FuxiCTR's DeepFM on Frappe_x1 with the published settings, early stop included: test AUC of one seed.

Runs in the peers' environment, made by `train_throughput.py`:
`.peers/venv/bin/python benchmarks/peers/fuxictr_frappe.py FRAPPE_X1_FOLDER SEED [threads]`.
"""

from __future__ import annotations

import logging
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from fuxictr.pytorch.dataloaders import RankDataLoader
from fuxictr.pytorch.torch_utils import seed_everything
from fuxictr_deepfm import DeepFM, feature_map
from sklearn.metrics import roc_auc_score

PARTS = ("train", "valid", "test")


def encoded(source: Path, folder: Path) -> dict[str, int]:
    """Write each part with ids from 1, column by column; the sizes of the columns' tables."""
    parts = {part: pq.read_table(source / f"{part}.parquet") for part in PARTS}
    names = [name for name in parts["train"].column_names if name != "label"]
    columns: dict[str, dict[str, np.ndarray]] = {part: {} for part in PARTS}
    sizes = {}
    ends = np.cumsum([len(parts[part]) for part in PARTS])[:-1]
    for name in names:
        words, ids = np.unique(np.concatenate([parts[part][name].to_numpy() for part in PARTS]), return_inverse=True)
        sizes[name] = len(words) + 1
        for part, values in zip(PARTS, np.split(ids + 1, ends), strict=True):
            columns[part][name] = values.astype(np.int32)
    for part in PARTS:
        np.savez(folder / f"{part}.npz", label=parts[part]["label"].to_numpy().astype(np.float32), **columns[part])
    return sizes


def main() -> None:
    source, seed = Path(sys.argv[1]), int(sys.argv[2])
    torch.set_num_threads(int(sys.argv[3]) if len(sys.argv) > 3 else 2)
    logging.disable(logging.CRITICAL)
    seed_everything(seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "bench").mkdir()
        model = {"embedding_dim": 10, "hidden": [400, 400, 400], "dropout": 0.2, "batch_norm": True, "lr": 1e-3}
        spec = {"folder": name, "label": "label", "categorical": encoded(source, folder), "numeric": []}
        spec["model"] = model | {"embedding_regularizer": 0.05}
        fm = feature_map(spec)
        net = DeepFM(
            fm,
            spec,
            model_id="DeepFM",
            task="binary_classification",
            gpu=-1,
            verbose=0,
            model_root=name,
            metrics=["AUC", "logloss"],
            monitor="AUC",
            monitor_mode="max",
            save_best_only=True,
            early_stop_patience=2,
            eval_steps=None,
            reduce_lr_on_plateau=True,
        )
        files = {f"{part}_data": str(folder / f"{part}.npz") for part in PARTS}
        settings = {"batch_size": 4096, "data_format": "npz", "num_workers": 0}
        train = {key: files[key] for key in ("train_data", "valid_data")}
        batches, valid = RankDataLoader(fm, stage="train", shuffle=True, **train, **settings)
        net.fit(batches, validation_data=valid, epochs=100, max_gradient_norm=10.0)
        test = RankDataLoader(fm, stage="test", shuffle=False, test_data=files["test_data"], **settings)
        labels = np.load(folder / "test.npz")["label"]
        print(f"seed {seed}: test AUC {roc_auc_score(labels, net.predict(test)):.5f}")


if __name__ == "__main__":
    main()
