"""`wukong`: stacked factorization machines, a model that grows by depth and width."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from torch import Tensor, nn

from easyrec.batch import Embedded
from easyrec.config.model import TaskConfig
from easyrec.layout import GroupLayout
from easyrec.models._dense_field import DenseFieldConfig, DenseFieldModel
from easyrec.models._model import Head
from easyrec.modules.mlp import MLP, MLPConfig
from easyrec.modules.wukong import WukongConfig, WukongLayer


class Config(MLPConfig, WukongConfig, DenseFieldConfig):
    """Config of `wukong`; the keys of an MLP are those of the last one, `dropout` also holds for the layers."""

    type: Literal["wukong"] = "wukong"


class Wukong(DenseFieldModel):
    """Logit = w . MLP(X_n) + b with ``X_{l+1} = norm([fm(X_l), linear(X_l)] + X_l)`` of the fields X_0.

    An MLP makes one field of the dense inputs.

    Shape:
        output: {"logit": (B,)}, before the sigmoid

    Source:
        Zhang et al., "Wukong: Towards a Scaling Law for Large-Scale Recommendation", ICML 2024, section 3.
    """

    def __init__(self, config: Config, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> None:
        super().__init__(config, layouts, tasks)
        fields, dim = self.count, self.dim()
        layers = []
        for _ in range(config.layers):
            layers.append(WukongLayer(fields, dim, config, config.dropout))
            fields = layers[-1].out
        self.layers = nn.Sequential(*layers)
        self.deep = MLP(fields * dim, config)
        self.head = Head(tasks, self.deep.out)

    def forward(self, x: Embedded) -> dict[str, Tensor]:
        """The logits."""
        fields = self.all_fields(x)  # (B, F, D)
        return self.head(self.deep(self.layers(fields).flatten(1)))
