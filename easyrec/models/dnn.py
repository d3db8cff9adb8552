"""`dnn`: an MLP over embeddings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from torch import Tensor

from easyrec.batch import Embedded
from easyrec.config.model import ModelConfig, TaskConfig
from easyrec.layout import GroupLayout
from easyrec.models._model import Head, Model
from easyrec.modules.mlp import MLP, MLPConfig


class Config(MLPConfig, ModelConfig):
    """Config of `dnn`."""

    type: Literal["dnn"] = "dnn"


class DNN(Model):
    """Logit = w . MLP([e_1 .. e_F, x]) + b, of embeddings e and dense inputs x of any dims.

    Shape:
        output: {"logit": (B,)}, before the sigmoid

    Source:
        Covington et al., "Deep neural networks for YouTube recommendations", RecSys 2016, section 4.
    """

    def __init__(self, config: Config, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> None:
        super().__init__(config, layouts, tasks)
        self.deep = MLP(self.width(), config)
        self.head = Head(tasks, self.deep.out)

    def forward(self, x: Embedded) -> dict[str, Tensor]:
        """The logits."""
        return self.head(self.deep(self.flat(x)))
