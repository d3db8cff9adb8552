"""What tables that are partly in memory ask of training: a step may touch its own rows alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from easyrec.errors import Problem

if TYPE_CHECKING:
    from easyrec.config.model import ModelConfig
    from easyrec.config.train import TrainConfig


def unfit_storage(model: ModelConfig, train: TrainConfig) -> Iterator[Problem]:
    """What stands against keeping rows on disk; each `where` is a dotted path.

    Args:
        model: The `model` section.
        train: The `train` section.
    """
    if train.storage is None:
        return
    every = "moves every row at every step, and 'train.storage' keeps rows on disk"
    if train.sparse_optimizer.type == "adam":
        text = f"'adam' {every}\ntake lazy_adam, rowwise_adagrad, adagrad, sgd or ftrl"
        yield Problem(text, "train.sparse_optimizer.type")
    if train.embedding_regularizer:
        yield Problem(f"{every}\nleave it out", "train.embedding_regularizer")
    if model.propagated_layers() is not None:
        text = f"'{model.type}' spreads whole tables over a graph, so that all rows must be in memory"
        yield Problem(f"{text}\nleave it out", "train.storage")
