"""FuxiCTR's models on Frappe_x1: its embedding, blocks, loader, loss, optimizer and fit loop.

Runs in the peers' environment: `python fuxictr_frappe.py SPEC.json OUT.json [threads]`. The spec names `model`,
`settings`, `source` (folder of the data), `seed`, and `epochs` to time so many without evaluation; without it the whole
fit with early stop runs, and AUC counts. Where the package has no such model its blocks are wired as the paper says.
"""

from __future__ import annotations

import json
import logging
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from fuxictr.features import FeatureMap
from fuxictr.pytorch.dataloaders import RankDataLoader
from fuxictr.pytorch.layers import (
    CompressedInteractionNet,
    CrossNetV2,
    FactorizationMachine,
    FeatureEmbedding,
    LogisticRegression,
    MLP_Block,
    ScaledDotProductAttention,
)
from fuxictr.pytorch.models import BaseModel
from fuxictr.pytorch.torch_utils import seed_everything
from fuxictr_deepfm import feature_map
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

PARTS = ("train", "valid", "test")
Settings = dict[str, Any]


def mlp(width: int, hidden: list[int], settings: Settings, output: int | None = None, **keys: Any) -> nn.Module:
    """FuxiCTR's MLP block."""
    keys = {"dropout_rates": settings.get("dropout", 0.0), "batch_norm": settings.get("batch_norm", False), **keys}
    return MLP_Block(
        input_dim=width,
        hidden_units=hidden,
        hidden_activations="relu",
        output_dim=output,
        output_activation=None,
        **keys,
    )


class DeepFM(nn.Module):
    """FM block and MLP block."""

    def __init__(self, fm: FeatureMap, width: int, s: Settings) -> None:
        super().__init__()
        self.fm, self.mlp = FactorizationMachine(fm), mlp(width, s["hidden"], s, 1)

    def forward(self, x: Any, fields: Tensor) -> Tensor:
        return self.fm(x, fields) + self.mlp(fields.flatten(1))


class DCNv2(nn.Module):
    """CrossNetV2 beside an MLP block, one linear layer over both."""

    def __init__(self, fm: FeatureMap, width: int, s: Settings) -> None:
        super().__init__()
        self.cross, self.mlp = CrossNetV2(width, s["cross_layers"]), mlp(width, s["hidden"], s)
        self.last = nn.Linear(width + s["hidden"][-1], 1)

    def forward(self, x: Any, fields: Tensor) -> Tensor:
        flat = fields.flatten(1)
        return self.last(torch.cat([self.cross(flat), self.mlp(flat)], dim=1))


class XDeepFM(nn.Module):
    """Compressed interaction network, MLP block, logistic regression."""

    def __init__(self, fm: FeatureMap, width: int, s: Settings) -> None:
        super().__init__()
        self.linear = LogisticRegression(fm, use_bias=False)
        self.cin = CompressedInteractionNet(fm.num_fields, s["cin_hidden"])
        self.mlp = mlp(width, s["hidden"], s, 1)

    def forward(self, x: Any, fields: Tensor) -> Tensor:
        return self.linear(x) + self.cin(fields) + self.mlp(fields.flatten(1))


class Attention(nn.Module):
    """One layer of multi-head self-attention over fields, with residual, optional norm and ReLU (AutoInt, eq. 5-8)."""

    def __init__(self, width: int, s: Settings) -> None:
        super().__init__()
        dim, self.heads = s["attention_dim"], s["heads"]
        self.parts = nn.ModuleList(nn.Linear(width, dim, bias=False) for _ in range(3))
        self.residual = nn.Linear(width, dim, bias=False) if width != dim else nn.Identity()
        self.norm = nn.LayerNorm(dim) if s["layer_norm"] else nn.Identity()
        self.attend, self.scale = ScaledDotProductAttention(s["dropout"]), (dim // self.heads) ** 0.5

    def forward(self, fields: Tensor) -> Tensor:
        q, k, v = (p(fields).unflatten(2, (self.heads, -1)).transpose(1, 2) for p in self.parts)
        mixed = self.attend(q, k, v, scale=self.scale)[0].transpose(1, 2).flatten(2)
        return self.norm(mixed + self.residual(fields)).relu()


class AutoIntPlus(nn.Module):
    """Self-attention layers beside an MLP block."""

    def __init__(self, fm: FeatureMap, width: int, s: Settings) -> None:
        super().__init__()
        dims = [s["embedding_dim"]] + [s["attention_dim"]] * s["attention_layers"]
        self.attention = nn.Sequential(*(Attention(d, s) for d in dims[:-1]))
        self.last, self.mlp = nn.Linear(fm.num_fields * dims[-1], 1), mlp(width, s["hidden"], s, 1)

    def forward(self, x: Any, fields: Tensor) -> Tensor:
        return self.last(self.attention(fields).flatten(1)) + self.mlp(fields.flatten(1))


class MaskBlock(nn.Module):
    """``relu(norm(W (V_mask * v)))`` with the instance-guided mask of all embeddings (MaskNet, eq. 4-9)."""

    def __init__(self, embeddings: int, width: int, units: int, s: Settings) -> None:
        super().__init__()
        inner = int(width * s["reduction"])
        self.mask = nn.Sequential(nn.Linear(embeddings, inner), nn.ReLU(), nn.Linear(inner, width))
        self.hidden = nn.Sequential(
            nn.Linear(width, units, bias=False), nn.LayerNorm(units), nn.ReLU(), nn.Dropout(s["dropout"])
        )

    def forward(self, embeddings: Tensor, v: Tensor) -> Tensor:
        return self.hidden(self.mask(embeddings) * v)


class MaskNet(nn.Module):
    """Mask blocks in a row, or side by side under an MLP block."""

    def __init__(self, fm: FeatureMap, width: int, s: Settings) -> None:
        super().__init__()
        norm = nn.LayerNorm if s["embedding_norm"] else lambda _: nn.Identity()
        self.norms = nn.ModuleList(norm(s["embedding_dim"]) for _ in range(fm.num_fields))
        self.serial = s["structure"] == "serial"
        if self.serial:
            widths = [width, *s["hidden"]]
            self.blocks = nn.ModuleList(MaskBlock(width, a, b, s) for a, b in pairwise(widths))
            self.last: nn.Module = nn.Linear(widths[-1], 1)
        else:
            self.blocks = nn.ModuleList(MaskBlock(width, width, s["block_dim"], s) for _ in range(s["blocks"]))
            self.last = mlp(s["blocks"] * s["block_dim"], s["hidden"], s, 1, batch_norm=False)

    def forward(self, x: Any, fields: Tensor) -> Tensor:
        flat = fields.flatten(1)
        v = torch.cat([norm(f) for norm, f in zip(self.norms, fields.unbind(1), strict=True)], dim=1)
        if not self.serial:
            return self.last(torch.cat([block(flat, v) for block in self.blocks], dim=1))
        for block in self.blocks:
            v = block(flat, v)
        return self.last(v)


class FinalMLP(nn.Module):
    """Two MLP blocks over gated embeddings, fused by a bilinear form per head (FinalMLP, eq. 2-6)."""

    def __init__(self, fm: FeatureMap, width: int, s: Settings) -> None:
        super().__init__()
        dim = s["embedding_dim"]
        contexts = (s.get("context1", []), s.get("context2", []))
        self.contexts = nn.ModuleList(
            FeatureEmbedding(fm, dim, required_feature_columns=c) if c else nn.Identity() for c in contexts
        )
        self.biases = nn.ParameterList(nn.Parameter(torch.zeros(1, dim)) for _ in contexts)
        self.gates = nn.ModuleList(
            MLP_Block(dim * max(1, len(c)), s["gate_hidden"], "relu", width, "sigmoid") for c in contexts
        )
        self.streams = nn.ModuleList([mlp(width, s["hidden1"], s), mlp(width, s["hidden2"], s)])
        first, second, self.heads = s["hidden1"][-1], s["hidden2"][-1], s["heads"]
        self.linear = nn.ModuleList([nn.Linear(first, 1), nn.Linear(second, 1)])
        self.cross = nn.Parameter(torch.empty(self.heads, first // self.heads, second // self.heads))
        nn.init.xavier_normal_(self.cross)

    def forward(self, x: Any, fields: Tensor) -> Tensor:
        flat, found = fields.flatten(1), []
        for context, bias, gate, stream in zip(self.contexts, self.biases, self.gates, self.streams, strict=True):
            about = bias.expand(len(flat), -1) if isinstance(context, nn.Identity) else context(x).flatten(1)
            found.append(stream(2 * gate(about) * flat))
        a, b = (f.unflatten(1, (self.heads, -1)) for f in found)
        fused = torch.einsum("bhi,hij,bhj->b", a, self.cross, b).unsqueeze(1)
        return self.linear[0](found[0]) + self.linear[1](found[1]) + fused


BODIES = {
    "deepfm": DeepFM, "dcn_v2": DCNv2, "xdeepfm": XDeepFM, "autoint_plus": AutoIntPlus, "masknet": MaskNet,
    "finalmlp": FinalMLP,
}  # fmt: skip


class Peer(BaseModel):
    """A body over one FeatureEmbedding."""

    def __init__(self, fm: FeatureMap, name: str, settings: Settings, **keys: Any) -> None:
        super().__init__(fm, embedding_regularizer=settings["embedding_regularizer"] or None, **keys)
        self.embedding_layer = FeatureEmbedding(fm, settings["embedding_dim"])
        self.body = BODIES[name](fm, fm.sum_emb_out_dim(), settings)
        self.compile("adam", "binary_crossentropy", settings["lr"])
        self.reset_parameters()
        self.model_to_device()

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        x = self.get_inputs(inputs)
        return {"y_pred": self.output_activation(self.body(x, self.embedding_layer(x)))}


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
    spec = json.loads(Path(sys.argv[1]).read_text())
    torch.set_num_threads(int(sys.argv[3]) if len(sys.argv) > 3 else 2)
    logging.disable(logging.CRITICAL)
    seed_everything(spec["seed"])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "bench").mkdir()
        about = {"folder": name, "label": "label", "categorical": encoded(Path(spec["source"]), folder), "numeric": []}
        fm = feature_map({**about, "model": {"embedding_dim": spec["settings"]["embedding_dim"]}})
        watched = {"metrics": ["AUC", "logloss"], "monitor": "AUC", "monitor_mode": "max", "save_best_only": True}
        watched |= {"early_stop_patience": 2, "eval_steps": None, "reduce_lr_on_plateau": True}
        common = {"model_id": "Peer", "task": "binary_classification", "gpu": -1, "verbose": 0, "model_root": name}
        net = Peer(fm, spec["model"], spec["settings"], **common, **watched)
        files = {f"{part}_data": str(folder / f"{part}.npz") for part in PARTS}
        how = {"batch_size": 4096, "data_format": "npz", "num_workers": 0}
        train = {key: files[key] for key in ("train_data", "valid_data")}
        batches, valid = RankDataLoader(fm, stage="train", shuffle=True, **train, **how)
        started, cpu = time.perf_counter(), time.process_time()
        if spec.get("epochs"):
            net._max_gradient_norm = 10.0  # what fit() sets
            net._eval_steps, net._total_steps, net._stop_training = 10**9, 0, False
            for _ in range(spec["epochs"]):
                net.train_epoch(batches)
        else:
            net.fit(batches, validation_data=valid, epochs=100, max_gradient_norm=10.0)
        result = {"seconds": time.perf_counter() - started, "cpu_seconds": time.process_time() - cpu}
        test = RankDataLoader(fm, stage="test", shuffle=False, test_data=files["test_data"], **how)
        result["auc"] = roc_auc_score(np.load(folder / "test.npz")["label"], net.predict(test))
    Path(sys.argv[2]).write_text(json.dumps(result))


if __name__ == "__main__":
    main()
