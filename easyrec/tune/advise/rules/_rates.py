"""Settings of learning rates that several rules propose."""

from __future__ import annotations

from typing import Any

from easyrec.config.train import TrainConfig

BOTH = ("dense_optimizer", "sparse_optimizer")


def constant(train: TrainConfig) -> bool:
    """Whether neither rate changes on the way."""
    return all(getattr(train, name).schedule.type == "constant" for name in BOTH)


def decayed(train: TrainConfig) -> dict[str, Any]:
    """Schedules by which rates fall to 0 at the end, for those that stay as they are."""
    return {
        f"train.{name}.schedule": {"type": "cosine"}
        for name in BOTH
        if getattr(train, name).schedule.type == "constant"
    } | _named(train)


def scaled(train: TrainConfig, factor: float) -> dict[str, Any]:
    """Both rates times a factor, in two digits."""
    return {f"train.{name}.lr": float(f"{getattr(train, name).lr * factor:.2g}") for name in BOTH} | _named(train)


def _named(train: TrainConfig) -> dict[str, Any]:
    """The types of optimizers that the config leaves to the default: a key beside them needs them named."""
    return {f"train.{name}.type": getattr(train, name).type for name in BOTH if name not in train.model_fields_set}
