"""One contestant: DeepCTR-Torch's DeepFM with its own fit loop.

Runs in the peers' environment: `python deepctr_deepfm.py SPEC.json OUT.json - [threads]`.
It trains from memory only, so reading the parquet file into its input dict is part of its time.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from deepctr_torch.inputs import DenseFeat, SparseFeat
from deepctr_torch.models import DeepFM
from sklearn.metrics import roc_auc_score


def main() -> None:
    spec = json.loads(Path(sys.argv[1]).read_text())
    model_spec = spec["model"]
    torch.set_num_threads(int(sys.argv[4]))
    dim = model_spec["embedding_dim"]
    columns = [SparseFeat(n, v, embedding_dim=dim) for n, v in spec["categorical"].items()]
    columns += [DenseFeat(n, 1) for n in spec["numeric"]]
    model = DeepFM(
        columns,
        columns,
        dnn_hidden_units=model_spec["hidden"],
        l2_reg_linear=0.0,
        l2_reg_embedding=model_spec["embedding_regularizer"] or 0.0,
        dnn_dropout=model_spec["dropout"],
        dnn_use_bn=model_spec["batch_norm"],
        seed=model_spec["seed"],
        device="cpu",
    )
    for layer in [*model.dnn.linears, model.dnn_linear]:  # as the other contestants start theirs
        torch.nn.init.xavier_normal_(layer.weight)
    model.compile(torch.optim.Adam(model.parameters(), lr=model_spec["lr"]), "binary_crossentropy", metrics=[])
    names = [*spec["categorical"], *spec["numeric"]]
    folder = Path(spec["folder"])
    started, cpu = time.perf_counter(), time.process_time()
    frame = pd.read_parquet(folder / "train.parquet")
    inputs = {n: frame[n].to_numpy() for n in names}
    labels = frame[spec["label"]].to_numpy(np.float32)[:, None]
    model.fit(inputs, labels, batch_size=model_spec["batch_size"], epochs=model_spec["epochs"], verbose=0)
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    test = pd.read_parquet(folder / "test.parquet")
    scores = model.predict({n: test[n].to_numpy() for n in names}, 16384).ravel()
    rows = spec["rows"] * model_spec["epochs"]
    auc = roc_auc_score(test[spec["label"]], scores)
    Path(sys.argv[2]).write_text(
        json.dumps({"seconds": seconds, "cpu_seconds": cpu, "rows_per_s": rows / seconds, "auc": auc})
    )


if __name__ == "__main__":
    main()
