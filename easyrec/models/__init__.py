"""Models: from embedded features to one logit per task.

The contract of the family: `easyrec/models/<type>.py` holds the model's `Config` over `ModelConfig`, and one class over
`Model`. `Config.uses` says which feature groups the model reads and what of each; the model sees fields, dense inputs
and sequences of those groups, never tables, engines or devices. It works for any number of rows, 0 and 1 included, and
torch.export captures it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from easyrec.config.family import implementation
from easyrec.config.model import ModelConfig, TaskConfig

if TYPE_CHECKING:
    from easyrec.embedding.spec import EmbeddingPlan
    from easyrec.models._model import Head, Model

__all__ = ["Head", "Model", "ModelConfig", "build"]


def build(config: ModelConfig, plan: EmbeddingPlan, tasks: Sequence[TaskConfig]) -> Model:
    """A fresh model; its weights are drawn from torch's generator.

    Args:
        config: The `model` section.
        plan: The embedding plan of that section.
        tasks: What is predicted.

    Raises:
        ConfigError: The groups do not suit the model.
    """
    from easyrec.models._model import Model as Base  # noqa: PLC0415 (torch stays out until a model is built)

    return implementation("easyrec.models", config.type, Base)(config, plan.layouts, tasks)


def __getattr__(name: str) -> Any:
    if name in ("Head", "Model"):
        from easyrec.models import _model  # noqa: PLC0415 (torch stays out until it is asked for)

        return getattr(_model, name)
    raise AttributeError(f"module 'easyrec.models' has no attribute '{name}'")
