"""One contestant: DeepFM in plain torch, one nn.Embedding per feature, one fused Adam over everything.

`python torch_deepfm.py SPEC.json OUT.json - threads [device]`; on a device all rows are there before the first step.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn


class DeepFM(nn.Module):
    """Numeric features are fields too: value times a learned vector."""

    def __init__(self, spec: dict) -> None:
        super().__init__()
        model, sizes = spec["model"], spec["categorical"].values()
        dim, numeric = model["embedding_dim"], len(spec["numeric"])
        self.tables = nn.ModuleList(nn.Embedding(n, dim) for n in sizes)
        self.first = nn.ModuleList(nn.Embedding(n, 1) for n in sizes)
        self.vectors = nn.Parameter(torch.randn(numeric, dim) * 1e-4)
        self.weights = nn.Parameter(torch.zeros(numeric))
        for table in [*self.tables, *self.first]:
            nn.init.normal_(table.weight, std=1e-4)
        width = (len(self.tables) + numeric) * dim
        layers: list[nn.Module] = []
        for hidden in model["hidden"]:
            layers += [nn.Linear(width, hidden)]
            layers += [nn.BatchNorm1d(hidden)] if model["batch_norm"] else []
            layers += [nn.ReLU()]
            layers += [nn.Dropout(model["dropout"])] if model["dropout"] else []
            width = hidden
        self.mlp = nn.Sequential(*layers, nn.Linear(width, 1))
        for layer in self.mlp:
            if isinstance(layer, nn.Linear):  # as the other contestants start theirs
                nn.init.xavier_normal_(layer.weight)
                nn.init.zeros_(layer.bias)

    def forward(self, ids: Tensor, values: Tensor) -> Tensor:
        fields = [table(ids[:, i]) for i, table in enumerate(self.tables)]
        embedded = torch.stack(fields, dim=1)
        if self.vectors.shape[0]:
            embedded = torch.cat([embedded, values[:, :, None] * self.vectors], dim=1)
        linear = sum(table(ids[:, i]) for i, table in enumerate(self.first)).squeeze(1) + values @ self.weights
        fm = 0.5 * (embedded.sum(1).square() - embedded.square().sum(1)).sum(1)
        return linear + fm + self.mlp(embedded.flatten(1)).squeeze(1)


def read(path: Path, spec: dict) -> tuple[Tensor, Tensor, Tensor]:
    table = pq.read_table(path)
    ids = np.stack([table[n].to_numpy().astype(np.int64) for n in spec["categorical"]], axis=1)
    values = np.zeros((len(ids), 0), np.float32)
    if spec["numeric"]:
        values = np.stack([table[n].to_numpy().astype(np.float32) for n in spec["numeric"]], axis=1)
    labels = table[spec["label"]].to_numpy().astype(np.float32)
    return torch.from_numpy(ids), torch.from_numpy(values), torch.from_numpy(labels)


def main() -> None:
    spec = json.loads(Path(sys.argv[1]).read_text())
    model_spec = spec["model"]
    torch.set_num_threads(int(sys.argv[4]))
    torch.manual_seed(model_spec["seed"])
    device = sys.argv[5] if len(sys.argv) > 5 else "cpu"
    model = DeepFM(spec).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=model_spec["lr"], fused=True)
    folder, size = Path(spec["folder"]), model_spec["batch_size"]
    regularizer = model_spec["embedding_regularizer"]
    started, cpu = time.perf_counter(), time.process_time()
    ids, values, labels = (part.to(device) for part in read(folder / "train.parquet", spec))
    if device != "cpu":  # what the reader took is not what is compared there
        started = time.perf_counter()
    for _ in range(model_spec["epochs"]):
        order = torch.randperm(len(labels), device=device)
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            optimizer.zero_grad(set_to_none=True)
            logit = model(ids[rows], values[rows])
            loss = nn.functional.binary_cross_entropy_with_logits(logit, labels[rows])
            if regularizer:
                loss = loss + regularizer / 2 * sum(t.weight.square().sum() for t in [*model.tables, *model.first])
            loss.backward()
            optimizer.step()
    if device != "cpu":
        torch.cuda.synchronize()
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    model.eval()
    ids, values, labels = read(folder / "test.parquet", spec)
    with torch.no_grad():
        pairs = zip(ids.to(device).split(16384), values.to(device).split(16384), strict=True)
        scores = torch.cat([model(i, v) for i, v in pairs]).cpu()
    rows_seen = spec["rows"] * model_spec["epochs"]
    Path(sys.argv[2]).write_text(
        json.dumps(
            {
                "seconds": seconds,
                "cpu_seconds": cpu,
                "rows_per_s": rows_seen / seconds,
                "memory_mb": torch.cuda.max_memory_allocated() / 2**20 if device != "cpu" else 0.0,
                "auc": roc_auc_score(labels, scores),
            }
        )
    )


if __name__ == "__main__":
    main()
