"""`finalmlp`: two MLPs over differently gated features, joined by a bilinear form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor
from typing_extensions import Self

from easyrec.batch import Embedded
from easyrec.config.model import GroupUse, ModelConfig, TaskConfig
from easyrec.layout import GroupLayout
from easyrec.models._model import Head, Model
from easyrec.modules.fusion import BilinearFusion
from easyrec.modules.mlp import MLP, MLPConfig, Widths
from easyrec.modules.selection import FeatureGate
from feature_generator.config import fault


class Config(ModelConfig):
    """Config of `finalmlp`."""

    type: Literal["finalmlp"] = "finalmlp"
    mlp1: MLPConfig = MLPConfig()
    """The first stream."""
    mlp2: MLPConfig = MLPConfig()
    """The second stream."""
    heads: int = Field(1, gt=0)
    """Parts into which the last layers of both streams are cut; each part meets its counterpart alone."""
    gates: bool = True
    """Gate the features of each stream."""
    gate_hidden: Widths = Field([64], min_length=1)
    """Widths of the hidden layers of a gate with a context."""

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        widths = self.mlp1.hidden[-1], self.mlp2.hidden[-1]
        if any(width % self.heads for width in widths):
            text = f"'heads' must divide the last widths of mlp1 and mlp2, but {self.heads} does not divide both"
            raise fault(f"{text} {widths[0]} and {widths[1]}", "heads")
        return self

    def uses(self) -> dict[str, GroupUse]:
        """Embeddings of `deep`; for the gates tables of their own of `context1` and `context2`."""
        contexts = {f"context{i}": GroupUse(own=True, optional=True) for i in (1, 2)} if self.gates else {}
        return {"deep": GroupUse(), **contexts}


class FinalMLP(Model):
    """``z = b + w_1 . h_1 + w_2 . h_2 + sum_h h_1h' W_h h_2h`` with ``h_i = MLP_i(gate_i(x))``.

    x holds all embeddings and dense inputs of `deep`, of any dims. A gate reads its context group; without one it is
    the same for all rows.

    Shape:
        output: {"logit": (B,)}, before the sigmoid

    Source:
        Mao et al., "FinalMLP: An Enhanced Two-Stream MLP Model for CTR Prediction", AAAI 2023, eq. (4)-(11).
    """

    def __init__(self, config: Config, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> None:
        super().__init__(config, layouts, tasks)
        width, hidden = self.width(), MLPConfig(hidden=config.gate_hidden)
        self.contexts = [f"context{i}" if f"context{i}" in self.layouts else None for i in (1, 2)]
        sizes = [0 if context is None else self.width(context) for context in self.contexts]
        self.gate1 = FeatureGate(width, sizes[0], hidden) if config.gates else None
        self.gate2 = FeatureGate(width, sizes[1], hidden) if config.gates else None
        self.mlp1, self.mlp2 = MLP(width, config.mlp1), MLP(width, config.mlp2)
        self.fusion = BilinearFusion(self.mlp1.out, self.mlp2.out, config.heads)
        self.head = Head(tasks, self.mlp1.out + self.mlp2.out, terms=1)

    def forward(self, x: Embedded) -> dict[str, Tensor]:
        """The logits."""
        first = second = self.flat(x)  # (B, width)
        if self.gate1 is not None and self.gate2 is not None:
            context1, context2 = (None if name is None else self.flat(x, name) for name in self.contexts)
            first, second = self.gate1(first, context1), self.gate2(second, context2)
        first, second = self.mlp1(first), self.mlp2(second)  # (B, mlp1.hidden[-1]), (B, mlp2.hidden[-1])
        return self.head(torch.cat([first, second], dim=1), self.fusion(first, second))
