"""`eulernet`: products of fields to learned powers, computed in the complex plane."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from easyrec.batch import Embedded
from easyrec.config.model import TaskConfig
from easyrec.layout import GroupLayout
from easyrec.models._dense_field import DenseFieldConfig, DenseFieldModel
from easyrec.models._model import Head
from easyrec.modules.euler import EulerLayer


class Config(DenseFieldConfig):
    """Config of `eulernet`."""

    type: Literal["eulernet"] = "eulernet"
    orders: list[Annotated[int, Field(gt=0)]] = Field([16, 16], min_length=1)
    """Products that each layer makes, input side first."""
    dropout: float = Field(0.0, ge=0.0, lt=1.0)
    """Probability of zeroing an input of a layer while training."""
    layer_norm: bool = False
    """Normalise each product over its dims after every layer."""


class EulerNet(DenseFieldModel):
    """Logit = w . Re(o) + w . Im(o) + b, of the last layer's o, over ``c_j = m_j exp(i e_j)``.

    An MLP makes one field of the dense inputs.

    Shape:
        output: {"logit": (B,)}, before the sigmoid

    Source:
        Tian et al., "EulerNet: Adaptive Feature Interaction Learning via Euler's Formula for CTR Prediction", SIGIR 2023,
        section 3.
    """

    def __init__(self, config: Config, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> None:
        super().__init__(config, layouts, tasks)
        fields, dim = self.count, self.dim()
        self.moduli = nn.Parameter(torch.ones(fields, 1))
        widths = [fields, *config.orders]
        self.layers = nn.ModuleList(
            EulerLayer(before, dim, after, config.dropout, norm=config.layer_norm)
            for before, after in zip(widths, config.orders, strict=False)
        )
        self.head = Head(tasks, config.orders[-1] * dim)

    def forward(self, x: Embedded) -> dict[str, Tensor]:
        """The logits."""
        fields = self.all_fields(x)  # (B, F, D)
        real, imaginary = self.moduli * torch.cos(fields), self.moduli * torch.sin(fields)
        for layer in self.layers:
            real, imaginary = layer(real, imaginary)
        return self.head((real + imaginary).flatten(1))
