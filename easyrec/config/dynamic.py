"""What dynamic tables ask of training: a row belongs to an id only while it learns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from easyrec.errors import Problem

if TYPE_CHECKING:
    from easyrec.config.model import ModelConfig
    from easyrec.config.train import TrainConfig


def unfit_dynamic(
    model: ModelConfig, train: TrainConfig, names: Sequence[str], still: Sequence[str]
) -> Iterator[Problem]:
    """What stands against training dynamic tables; each `where` is a dotted path.

    Args:
        model: The `model` section.
        train: The `train` section.
        names: The dynamic tables.
        still: Features of those that do not learn.
    """
    if not names:
        return
    named = ", ".join(f"'{name}'" for name in names)
    if train.sparse_optimizer.type == "adam":
        text = f"'adam' moves every row at every step, and rows of the dynamic tables {named} come and go"
        yield Problem(f"{text}\ntake lazy_adam, rowwise_adagrad, adagrad, sgd or ftrl", "train.sparse_optimizer.type")
    if train.embedding_regularizer:
        text = f"moves every row at every step, and rows of the dynamic tables {named} come and go\nleave it out"
        yield Problem(text, "train.embedding_regularizer")
    if model.propagated_layers() is not None:
        text = f"'{model.type}' spreads its embeddings over a graph of fixed ids, and {named} are dynamic"
        yield Problem(f"{text}\ngive these features num_buckets or a vocabulary", "model.type")
    for feature in still:
        text = f"'{feature}' is dynamic and not trainable: its rows would stay as they start"
        yield Problem(f"{text}\nleave out one of the two", f"features.{feature}")
