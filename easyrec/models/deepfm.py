"""`deepfm`: a factorization machine and an MLP over one shared embedding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from torch import Tensor

from easyrec.batch import Embedded
from easyrec.config.model import GroupUse, ModelConfig, TaskConfig
from easyrec.layout import GroupLayout
from easyrec.models._model import Head, Model
from easyrec.modules.fm import FM
from easyrec.modules.mlp import MLP, MLPConfig


class Config(MLPConfig, ModelConfig):
    """Config of `deepfm`."""

    type: Literal["deepfm"] = "deepfm"

    def uses(self) -> dict[str, GroupUse]:
        """Embeddings of equal dims and first-order weights of `deep`."""
        return {"deep": GroupUse(first_order=True, equal_dims=True)}


class DeepFM(Model):
    """Logit = first-order weights + FM of the fields + MLP of the fields and the dense inputs.

    Shape:
        output: {"logit": (B,)}, before the sigmoid

    Source:
        Guo et al., "DeepFM", IJCAI 2017, eq. (1)-(4).
    """

    def __init__(self, config: Config, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> None:
        super().__init__(config, layouts, tasks)
        self.fm = FM()
        self.deep = MLP(self.width(), config)
        self.head = Head(tasks, self.deep.out, terms=2)

    def forward(self, x: Embedded) -> dict[str, Tensor]:
        """The logits."""
        fields = self.fields(x)  # (B, F, D)
        deep = self.deep(self.flat(x, fields=fields))  # (B, hidden[-1])
        return self.head(deep, self.linear(x), self.fm(fields))
