"""What dynamic tables ask of training: a row belongs to an id only while it learns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from easyrec.errors import Problem

if TYPE_CHECKING:
    from easyrec.config.model import ModelConfig
    from easyrec.config.train import TrainConfig
    from easyrec.embedding.spec import EmbeddingPlan


def unfit_dynamic(model: ModelConfig, train: TrainConfig, plan: EmbeddingPlan) -> Iterator[Problem]:
    """What stands against training a plan with dynamic tables; each `where` is a dotted path."""
    if not plan.keys:
        return
    named = ", ".join(f"'{keys.name}'" for keys in plan.keys)
    if train.sparse_optimizer.type == "adam":
        text = f"'adam' moves every row at every step, and rows of the dynamic tables {named} come and go"
        yield Problem(f"{text}\ntake lazy_adam, rowwise_adagrad, adagrad, sgd or ftrl", "train.sparse_optimizer.type")
    if train.embedding_regularizer:
        text = f"moves every row at every step, and rows of the dynamic tables {named} come and go\nleave it out"
        yield Problem(text, "train.embedding_regularizer")
    if model.propagated_layers() is not None:
        text = f"'{model.type}' spreads its embeddings over a graph of fixed ids, and {named} are dynamic"
        yield Problem(f"{text}\ngive these features num_buckets or a vocabulary", "model.type")
    for table in plan.tables:
        if table.keys is not None and not table.trainable:
            text = f"'{table.features[0]}' is dynamic and not trainable: its rows would stay as they start"
            yield Problem(f"{text}\nleave out one of the two", f"features.{table.features[0]}")
