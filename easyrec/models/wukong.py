"""`wukong`: stacked factorization machines, a model that grows by depth and width."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from torch import Tensor, nn

from easyrec.batch import Embedded
from easyrec.config.model import GroupUse, ModelConfig, TaskConfig
from easyrec.layout import GroupLayout
from easyrec.models._model import Head, Model
from easyrec.modules.dense_field import DenseField
from easyrec.modules.mlp import MLP, Layers, LayersConfig, MLPConfig
from easyrec.modules.wukong import WukongConfig, WukongLayer


class Config(MLPConfig, WukongConfig, ModelConfig):
    """Config of `wukong`; the keys of an MLP are those of the last one, `dropout` also holds for the layers."""

    type: Literal["wukong"] = "wukong"
    bottom: Layers = LayersConfig(hidden=[64])
    """Layers over the dense inputs, below the one that is as wide as an embedding; a list is their `hidden`."""

    def uses(self) -> dict[str, GroupUse]:
        """Embeddings of equal dims of `deep`."""
        return {"deep": GroupUse(equal_dims=True)}


class Wukong(Model):
    """Logit = w . MLP(X_n) + b with ``X_{l+1} = norm([fm(X_l), linear(X_l)] + X_l)`` of the fields X_0.

    An MLP makes one field of the dense inputs.

    Shape:
        output: {"logit": (B,)}, before the sigmoid

    Source:
        Zhang et al., "Wukong: Towards a Scaling Law for Large-Scale Recommendation", ICML 2024, section 3.
    """

    def __init__(self, config: Config, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> None:
        super().__init__(config, layouts, tasks)
        dense, fields, dim = self.layouts["deep"].dense_width, self.num_fields(), self.dim()
        self.bottom = DenseField(dense, dim, config.bottom) if dense else None
        fields += 1 if dense else 0
        layers = []
        for _ in range(config.layers):
            layers.append(WukongLayer(fields, dim, config, config.dropout))
            fields = layers[-1].out
        self.layers = nn.Sequential(*layers)
        self.deep = MLP(fields * dim, config)
        self.head = Head(tasks, self.deep.out)

    def forward(self, x: Embedded) -> dict[str, Tensor]:
        """The logits."""
        fields = self.fields(x)  # (B, F, D)
        if self.bottom is not None:
            fields = self.bottom(fields, x.dense("deep"))
        return self.head(self.deep(self.layers(fields).flatten(1)))
