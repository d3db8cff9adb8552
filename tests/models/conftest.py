"""Embedded inputs without tables: the real plan of a small generator, filled with random numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from easyrec.batch import Embedded
from easyrec.config import TaskConfig
from easyrec.config.model import ModelConfig
from easyrec.embedding.plan import EmbeddingPlan, plan_embeddings
from easyrec.embedding.sides import user_columns, user_sequences
from easyrec.layout import GroupLayout, SequenceLayout
from feature_generator import FeatureGenerator
from feature_generator.config import member

FEATURES = {
    "features": [
        {"type": "id", "name": "user", "expression": "user:user", "num_buckets": 20},
        {"type": "id", "name": "item", "expression": "item:item", "num_buckets": 30},
        {"type": "id", "name": "cate", "expression": "item:cate", "num_buckets": 10},
        {"type": "id", "name": "scene", "expression": "user:scene", "num_buckets": 5},
        {"type": "raw", "name": "price", "expression": "item:price"},
        {"type": "raw", "name": "size", "expression": "item:size", "value_dim": 2},
        {"type": "raw", "name": "age", "expression": "user:age", "embedding_dim": 4, "dense_embedding": "autodis"},
        {
            "type": "raw",
            "name": "place",
            "expression": "item:place",
            "value_dim": 2,
            "embedding_dim": 4,
            "dense_embedding": "mlp",
        },
        {
            "type": "sequence",
            "name": "clicks",
            "sequence_length": 10,
            "features": [
                {"type": "id", "name": "item", "expression": "item:item", "embedding_name": "item", "num_buckets": 30},
                {"type": "id", "name": "cate", "expression": "item:cate", "embedding_name": "cate", "num_buckets": 10},
                {"type": "id", "name": "hour", "expression": "user:hour", "num_buckets": 24},
            ],
        },
        {
            "type": "sequence",
            "name": "buys",
            "sequence_length": 10,
            "features": [
                {"type": "id", "name": "item", "expression": "item:item", "embedding_name": "item", "num_buckets": 30}
            ],
        },
    ]
}
DENSE = ["price", "size"]
IDS = ["user", "item", "cate"]


class Case:
    """A model's config, its plan, and inputs for it."""

    def __init__(self, config: ModelConfig, plan: EmbeddingPlan) -> None:
        self.config, self.plan = config, plan

    @property
    def layouts(self) -> Mapping[str, GroupLayout]:
        return self.plan.layouts

    def inputs(self, rows: int, seed: int = 0, lengths: list[int] | None = None) -> Embedded:
        """Random inputs of `rows` rows that want gradients; sequences have 0 to 6 steps, row 2 none."""
        drawn = torch.Generator().manual_seed(seed)
        tensors: dict[str, Tensor] = {}
        for name, layout in self.layouts.items():
            widths = {"emb": layout.width, "first": layout.num_fields, "dense": layout.dense_width}
            widths["num"] = layout.numeric_width
            for key in layout.keys():  # noqa: SIM118 (not a dict)
                kind = key.partition(":")[0]
                if kind == "emb" and any(span.coded for span in layout.fields):
                    tensors[key] = torch.randint(0, 5, (rows, layout.width), generator=drawn).float()
                elif kind in widths:
                    tensors[key] = torch.randn(rows, widths[kind], generator=drawn).requires_grad_(
                        kind not in ("dense", "num")
                    )
            for sequence in layout.sequences:
                counts = torch.randint(0, 7, (rows,), generator=drawn)
                counts[2:3] = 0
                counts[3:4] = 6
                if lengths is not None:
                    counts = torch.tensor(lengths)
                offsets = torch.cat([torch.zeros(1, dtype=torch.int64), counts.cumsum(0)])
                steps = int(offsets[-1])
                key = f"{name}/{sequence.name}"
                tensors[f"seq:{key}"] = _steps(sequence, steps, drawn)
                tensors[f"rows:{key}"] = torch.repeat_interleave(torch.arange(rows), counts)
                tensors[f"offsets:{key}"] = offsets
        return Embedded(tensors, self.layouts)

    def request(
        self, rows: int, steps: int, user: set[str], seed: int = 3
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """A request whose user has `steps` in each sequence: as its program reads it, and as rows."""
        columns, apart = user_columns(self.plan, user), user_sequences(self.plan, user)
        once: dict[str, Tensor] = {}
        repeated: dict[str, Tensor] = {}
        for key, tensor in self.inputs(rows, seed, [steps] * rows).tensors.items():
            whole, name = tensor.detach(), key.partition(":")[2]
            if key in columns:
                mine = torch.tensor(columns[key])
                whole[:, mine] = whole[:1, mine]
                once |= {f"user/{key}": whole[:1, mine].clone(), f"item/{key}": whole[:, ~mine]}
            elif name in apart and key.startswith("seq:"):
                whole = whole[:steps].repeat(rows, 1)
                once[f"user/{key}"] = whole[:steps].clone()
            elif name in apart:
                once[f"user/{key}"] = (
                    torch.zeros(steps, dtype=torch.int64) if key[0] == "r" else torch.tensor([0, steps])
                )
            repeated[key] = whole
            once.setdefault(f"item/{key}", whole)
        return once, repeated


def _steps(sequence: SequenceLayout, steps: int, drawn: torch.Generator) -> Tensor:
    """Random steps that want gradients; codes of items are whole numbers, and want none."""
    values = torch.randn(steps, sequence.dim, generator=drawn)
    for child in sequence.children:
        if child.coded:
            values[:, child.columns] = torch.randint(0, 5, (steps, child.dim), generator=drawn).float()
    return values.requires_grad_(not all(child.coded for child in sequence.children))


@pytest.fixture(scope="session")
def generator() -> FeatureGenerator:
    return FeatureGenerator.load(FEATURES)


@pytest.fixture(scope="session")
def case(generator: FeatureGenerator) -> Callable[..., Case]:
    """`case("deepfm", hidden=[8])`: the model over three ids, dense inputs and sequences where it wants them."""

    def make(type: str, features: list[str] | None = None, sequences: Any = None, **keys: Any) -> Case:
        config_class = member("easyrec.models", type).Config
        keys = {**config_class.example, **keys}
        chosen = [*IDS, *DENSE] if features is None else features
        if "groups" not in keys:
            used = {
                "features": chosen,
                "sequences": sequences if sequences is not None else [{"sequence": "clicks"}],
            }
            first = config_class.model_construct(groups=None)
            if config_class.example:  # what it reads depends on its keys
                first = config_class.model_validate({"type": type, **keys})
            domain = {"features": ["cate"]}
            keys["groups"] = {name: domain if use.about == "domain" else used for name, use in first.uses().items()}
            for name, use in first.uses().items():
                if use.alone or (use.codes and use.about == "item"):
                    keys["groups"][name] = {"features": [use.about]}
        config = config_class.model_validate({"type": type, "embedding_dim": 4, **keys})
        return Case(config, plan_embeddings(generator.outputs, config))

    return make


@pytest.fixture
def task() -> TaskConfig:
    return TaskConfig(name="click", label="click")
