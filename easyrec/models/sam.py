"""`sam`: stacked layers in which the dot products between fields weigh, without softmax."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from easyrec.batch import Embedded
from easyrec.config.model import GroupUse, ModelConfig, TaskConfig
from easyrec.layout import GroupLayout
from easyrec.models._model import Head, Model
from easyrec.modules.dense_field import DenseField
from easyrec.modules.mlp import Layers, LayersConfig
from easyrec.modules.self_product import SelfProduct


class Config(ModelConfig):
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
    bottom: Layers = LayersConfig(hidden=[64])
    """Layers over the dense inputs, below the one that is as wide as an embedding; a list is their `hidden`."""

    def uses(self) -> dict[str, GroupUse]:
        """Embeddings of equal dims of `deep`."""
        return {"deep": GroupUse(equal_dims=True)}


class SAM(Model):
    """Logit = w . [o_1 .. o_F] + b of the last layer's fields; an MLP makes one field of the dense inputs.

    Shape:
        output: {"logit": (B,)}, before the sigmoid

    Source:
        Cheng and Xue, "Looking at CTR Prediction Again: Is Attention All You Need?", SIGIR 2021, section 3.
    """

    def __init__(self, config: Config, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> None:
        super().__init__(config, layouts, tasks)
        dense, fields, dim = self.layouts["deep"].dense_width, self.num_fields(), self.dim()
        self.bottom = DenseField(dense, dim, config.bottom) if dense else None
        fields += 1 if dense else 0
        layers = (SelfProduct(fields, dim, config.values, config.dropout) for _ in range(config.interaction_layers))
        self.layers = nn.Sequential(*layers)
        self.head = Head(tasks, dim * (fields if config.aggregation == "concat" else 1))

    def forward(self, x: Embedded) -> dict[str, Tensor]:
        """The logits."""
        fields = self.fields(x)  # (B, F, D)
        if self.bottom is not None:
            fields = self.bottom(fields, x.dense("deep"))
        fields = self.layers(fields)
        return self.head(fields.flatten(1) if self.config.aggregation == "concat" else fields.sum(dim=1))
