"""`lr`: logistic regression on ids and numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from torch import Tensor

from easyrec.batch import Embedded
from easyrec.config.model import GroupUse, ModelConfig, TaskConfig
from easyrec.layout import GroupLayout
from easyrec.models._model import Head, Model


class Config(ModelConfig):
    """Config of `lr`."""

    type: Literal["lr"] = "lr"

    def uses(self) -> dict[str, GroupUse]:
        """First-order weights of `deep`, no embeddings."""
        return {"deep": GroupUse(fields=False, first_order=True)}


class LR(Model):
    """Logit = bias + one weight per id + weighted dense inputs.

    Shape:
        output: {"logit": (B,)}, before the sigmoid

    Source:
        Richardson et al., "Predicting clicks", WWW 2007, section 4.1.
    """

    def __init__(self, config: Config, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> None:
        super().__init__(config, layouts, tasks)
        self.head = Head(tasks, 0, terms=1)

    def forward(self, x: Embedded) -> dict[str, Tensor]:
        """The logits."""
        return self.head(None, self.linear(x))
