"""One contestant: DeepFM over TorchRec's fused embeddings (FBGEMM, row-wise Adagrad in the backward pass), in its own pipeline.

`python torchrec_deepfm.py SPEC.json OUT.json fp32|bf16 [threads]`. One process of a gloo group, sharded by its planner.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist
import torchrec
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn
from torch_deepfm import read
from torchrec.distributed.embeddingbag import EmbeddingBagCollectionSharder
from torchrec.distributed.model_parallel import DistributedModelParallel
from torchrec.distributed.planner import EmbeddingShardingPlanner, ParameterConstraints, Topology
from torchrec.distributed.train_pipeline import TrainPipelineBase
from torchrec.optim.apply_optimizer_in_backward import apply_optimizer_in_backward
from torchrec.optim.rowwise_adagrad import RowWiseAdagrad
from torchrec.streamable import Pipelineable


@dataclass
class Batch(Pipelineable):
    """Ids by feature, numbers, labels."""

    ids: torchrec.KeyedJaggedTensor
    values: Tensor
    labels: Tensor

    def to(self, device: torch.device, non_blocking: bool = False) -> Batch:
        """The batch on a device."""
        return Batch(self.ids.to(device, non_blocking), self.values.to(device), self.labels.to(device))

    def record_stream(self, stream: torch.Stream) -> None:
        """Nothing: there is no stream on a processor."""


class DeepFM(nn.Module):
    """Numeric features are fields too: value times a learned vector. A row holds the first-order weight too: widths go by 4."""

    def __init__(self, spec: dict, precision: str) -> None:
        super().__init__()
        model, sizes = spec["model"], spec["categorical"]
        dim, numeric = model["embedding_dim"], len(spec["numeric"])
        start = {"init_fn": lambda w: nn.init.normal_(w, std=1e-4)}
        config = torchrec.EmbeddingBagConfig
        tables = [
            config(name=f"t_{n}", embedding_dim=dim + 4, num_embeddings=size, feature_names=[n], **start)
            for n, size in sizes.items()
        ]
        self.tables, self.dim = torchrec.EmbeddingBagCollection(device=torch.device("meta"), tables=tables), dim
        self.keys, self.bf16 = list(sizes), precision == "bf16"
        self.vectors = nn.Parameter(torch.randn(numeric, dim) * 1e-4)
        self.weights = nn.Parameter(torch.zeros(numeric))
        width = (len(sizes) + numeric) * dim
        layers: list[nn.Module] = []
        for hidden in model["hidden"]:
            layers += [nn.Linear(width, hidden), nn.ReLU()]
            width = hidden
        self.mlp = nn.Sequential(*layers, nn.Linear(width, 1))
        for layer in self.mlp:
            if isinstance(layer, nn.Linear):
                nn.init.xavier_normal_(layer.weight)
                nn.init.zeros_(layer.bias)

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The loss, and logits."""
        embedded = self.tables(batch.ids)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
            looked_up = torch.stack([embedded[k] for k in self.keys], dim=1)
            fields = torch.cat([looked_up[..., : self.dim], batch.values[:, :, None] * self.vectors], dim=1)
            linear = looked_up[..., self.dim].sum(1) + batch.values @ self.weights
            fm = 0.5 * (fields.sum(1).square() - fields.square().sum(1)).sum(1)
            logit = (linear + fm + self.mlp(fields.flatten(1)).squeeze(1)).float()
        return nn.functional.binary_cross_entropy_with_logits(logit, batch.labels), logit


def batches(data: tuple[Tensor, Tensor, Tensor], keys: list[str], order: Tensor, size: int) -> Iterator[Batch]:
    """Some rows, batch by batch."""
    ids, values, labels = data
    for rows in order.split(size):
        flat, lengths = ids[rows].t().reshape(-1), torch.ones(len(keys) * len(rows), dtype=torch.int32)
        yield Batch(torchrec.KeyedJaggedTensor(keys=keys, values=flat, lengths=lengths), values[rows], labels[rows])


def main() -> None:
    spec = json.loads(Path(sys.argv[1]).read_text())
    model_spec = spec["model"]
    if model_spec["batch_norm"] or model_spec["dropout"] or model_spec["embedding_regularizer"]:
        sys.exit("this contestant has no batch norm, dropout or regularizer")
    torch.set_num_threads(int(sys.argv[4]))
    torch.manual_seed(model_spec["seed"])
    os.environ |= {
        "RANK": "0",
        "WORLD_SIZE": "1",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": os.environ.get("PEER_PORT", "29577"),
    }
    dist.init_process_group("gloo")
    device = torch.device("cpu")
    plain = DeepFM(spec, sys.argv[3])
    apply_optimizer_in_backward(RowWiseAdagrad, plain.tables.parameters(), {"lr": model_spec["lr"] * 20})
    # Left to itself the planner copies small tables, whose updates are not fused.
    wanted = ParameterConstraints(sharding_types=["table_wise"], compute_kernels=["fused"])
    constraints = {f"t_{name}": wanted for name in spec["categorical"]}
    planner = EmbeddingShardingPlanner(topology=Topology(world_size=1, compute_device="cpu"), constraints=constraints)
    sharders = [EmbeddingBagCollectionSharder()]
    plan = planner.plan(plain, sharders)
    model = DistributedModelParallel(plain, device=device, plan=plan, sharders=sharders)
    dense = [p for n, p in model.named_parameters() if "tables." not in n]
    optimizer = torch.optim.Adam(dense, lr=model_spec["lr"], fused=True)
    pipeline = TrainPipelineBase(model, optimizer, device)
    keys, size, folder = list(spec["categorical"]), model_spec["batch_size"], Path(spec["folder"])
    started, cpu = time.perf_counter(), time.process_time()
    data = read(folder / "train.parquet", spec)
    for _ in range(model_spec["epochs"]):
        reader = batches(data, keys, torch.randperm(len(data[2])), size)
        with suppress(StopIteration):
            while True:
                pipeline.progress(reader)
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    model.eval()
    data = read(folder / "test.parquet", spec)
    with torch.no_grad():
        scores = torch.cat([model(b)[1] for b in batches(data, keys, torch.arange(len(data[2])), 16384)])
    rows_seen = spec["rows"] * model_spec["epochs"]
    found = {
        "seconds": seconds,
        "cpu_seconds": cpu,
        "rows_per_s": rows_seen / seconds,
        "auc": roc_auc_score(data[2], scores),
    }
    Path(sys.argv[2]).write_text(json.dumps(found))
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
