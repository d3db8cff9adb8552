"""`ccpm`: convolutions along the fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from easyrec.batch import Embedded
from easyrec.config.model import GroupUse, ModelConfig, TaskConfig
from easyrec.layout import GroupLayout
from easyrec.models._model import Head, Model
from easyrec.modules.field_convolution import FieldConvolutionConfig, FieldConvolutions


class Config(FieldConvolutionConfig, ModelConfig):
    """Config of `ccpm`."""

    type: Literal["ccpm"] = "ccpm"

    def uses(self) -> dict[str, GroupUse]:
        """Embeddings of equal dims of `deep`, in the order of the config."""
        return {"deep": GroupUse(equal_dims=True)}


class CCPM(Model):
    """Logit = w . [convolutions of e_1 .. e_F, x] + b, with dense inputs x.

    Shape:
        output: {"logit": (B,)}, before the sigmoid

    Source:
        Liu et al., "A Convolutional Click Prediction Model", CIKM 2015, section 3.
    """

    def __init__(self, config: Config, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> None:
        super().__init__(config, layouts, tasks)
        self.convolutions = FieldConvolutions(self.num_fields(), self.dim(), config)
        self.head = Head(tasks, self.convolutions.out + layouts["deep"].dense_width)

    def forward(self, x: Embedded) -> dict[str, Tensor]:
        """The logits."""
        maps = self.convolutions(self.fields(x))  # (B, C, p, D)
        return self.head(torch.cat([maps.flatten(1), x.dense("deep")], dim=1))
