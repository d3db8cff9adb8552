"""One contestant: FuxiCTR's DeepFM, assembled from its own blocks, its own loader, loss, optimizer and fit loop.

Runs in the peers' environment: `python fuxictr_deepfm.py SPEC.json OUT.json [npz|parquet] [threads]`.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
from fuxictr.features import FeatureMap
from fuxictr.pytorch.dataloaders import RankDataLoader
from fuxictr.pytorch.layers import FactorizationMachine, FeatureEmbedding, MLP_Block
from fuxictr.pytorch.models import BaseModel
from fuxictr.pytorch.torch_utils import seed_everything
from sklearn.metrics import roc_auc_score
from torch import nn


class DeepFM(BaseModel):
    """Logit = FactorizationMachine block + MLP block over one FeatureEmbedding, as its model zoo wires them."""

    def __init__(self, feature_map: FeatureMap, spec: dict, **kwargs) -> None:
        model = spec["model"]
        super().__init__(feature_map, embedding_regularizer=model["embedding_regularizer"] or None, **kwargs)
        dim = model["embedding_dim"]
        self.embedding_layer = FeatureEmbedding(feature_map, dim)
        self.fm = FactorizationMachine(feature_map)
        self.mlp = MLP_Block(
            input_dim=feature_map.sum_emb_out_dim(),
            output_dim=1,
            hidden_units=model["hidden"],
            hidden_activations="relu",
            output_activation=None,
            dropout_rates=model["dropout"],
            batch_norm=model["batch_norm"],
        )
        self.compile("adam", "binary_crossentropy", model["lr"])
        self.reset_parameters()
        for part in (self.embedding_layer, self.fm):  # its numeric fields start a thousand times larger than its ids
            for module in part.modules():
                if isinstance(module, nn.Linear):
                    nn.init.normal_(module.weight, std=1e-4)
        self.model_to_device()

    def forward(self, inputs: dict) -> dict:
        x = self.get_inputs(inputs)
        embedded = self.embedding_layer(x)
        logit = self.fm(x, embedded) + self.mlp(embedded.flatten(start_dim=1))
        return {"y_pred": self.output_activation(logit)}


def feature_map(spec: dict) -> FeatureMap:
    fm = FeatureMap("bench", spec["folder"])
    fm.features = OrderedDict(
        [(n, {"type": "numeric", "source": ""}) for n in spec["numeric"]]
        + [(n, {"type": "categorical", "source": "", "vocab_size": v}) for n, v in spec["categorical"].items()]
    )
    fm.labels = [spec["label"]]
    fm.num_fields = fm.get_num_fields()
    fm.total_features = sum(spec["categorical"].values()) + len(spec["numeric"])
    fm.default_emb_dim = spec["model"]["embedding_dim"]
    fm.set_column_index()
    return fm


def main() -> None:
    spec = json.loads(Path(sys.argv[1]).read_text())
    kind = sys.argv[3]
    torch.set_num_threads(int(sys.argv[4]))
    logging.disable(logging.CRITICAL)
    seed_everything(spec["model"]["seed"])
    fm = feature_map(spec)
    model = DeepFM(
        fm,
        spec,
        model_id="DeepFM",
        task="binary_classification",
        gpu=-1,
        verbose=0,
        model_root=str(Path(sys.argv[2]).parent),
        metrics=["AUC"],
        monitor="AUC",
    )
    suffix = ".npz" if kind == "npz" else ".parquet"
    started, cpu = time.perf_counter(), time.process_time()
    folder = Path(spec["folder"])
    train = RankDataLoader(
        fm,
        stage="train",
        train_data=str(folder / f"train{suffix}"),
        valid_data=None,
        batch_size=spec["model"]["batch_size"],
        shuffle=True,
        data_format=kind,
        num_workers=0 if kind == "npz" else 1,
    )[0]
    model._max_gradient_norm = 10.0  # what fit() sets
    model._eval_steps, model._total_steps, model._stop_training = 10**9, 0, False
    for _ in range(spec["model"]["epochs"]):
        model.train_epoch(train)
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    test = RankDataLoader(
        fm,
        stage="test",
        test_data=str(folder / f"test{suffix}"),
        batch_size=spec["model"]["batch_size"],
        shuffle=False,
        data_format=kind,
        num_workers=0 if kind == "npz" else 1,
    )
    scores = model.predict(test)
    labels = np.load(folder / "test.npz")[spec["label"]]
    rows = spec["rows"] * spec["model"]["epochs"]
    Path(sys.argv[2]).write_text(
        json.dumps(
            {"seconds": seconds, "cpu_seconds": cpu, "rows_per_s": rows / seconds, "auc": roc_auc_score(labels, scores)}
        )
    )


if __name__ == "__main__":
    main()
