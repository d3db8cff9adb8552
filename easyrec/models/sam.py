"""`sam`: stacked layers in which the dot products between fields weigh, without softmax."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from easyrec.batch import Embedded
from easyrec.config.model import TaskConfig
from easyrec.layout import GroupLayout
from easyrec.models._dense_field import DenseFieldConfig, DenseFieldModel
from easyrec.models._model import Head
from easyrec.modules.self_product import SelfProduct


class Config(DenseFieldConfig):
    """Config of `sam`."""

    type: Literal["sam"] = "sam"
    values: Literal["weights", "products"] = "weights"
    """What the dot products weigh: a learned vector per pair of fields (SAM3A), or the pair's product (SAM3E)."""
    interaction_layers: int = Field(3, gt=0)
    """Number of layers."""
    dropout: float = Field(0.0, ge=0.0, lt=1.0)
    """Probability of zeroing a number of a layer's output while training."""
    aggregation: Literal["concat", "sum"] = "concat"
    """The logit reads the last fields side by side, or their sum."""


class SAM(DenseFieldModel):
    """Logit = w . [o_1 .. o_F] + b of the last layer's fields; an MLP makes one field of the dense inputs.

    Shape:
        output: {"logit": (B,)}, before the sigmoid

    Source:
        Cheng and Xue, "Looking at CTR Prediction Again: Is Attention All You Need?", SIGIR 2021, section 3.
    """

    def __init__(self, config: Config, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> None:
        super().__init__(config, layouts, tasks)
        fields, dim = self.count, self.dim()
        layers = (SelfProduct(fields, dim, config.values, config.dropout) for _ in range(config.interaction_layers))
        self.layers = nn.Sequential(*layers)
        self.head = Head(tasks, dim * (fields if config.aggregation == "concat" else 1))

    def forward(self, x: Embedded) -> dict[str, Tensor]:
        """The logits."""
        fields = self.all_fields(x)  # (B, F, D)
        fields = self.layers(fields)
        return self.head(fields.flatten(1) if self.config.aggregation == "concat" else fields.sum(dim=1))
