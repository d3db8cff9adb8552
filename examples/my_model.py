"""`my_model`: fields behind gates, and an MLP. A model of one file; `docs/guide/custom_models.md` uses it."""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from easyrec.batch import Embedded
from easyrec.config import GroupUse
from easyrec.models import Head, Model, ModelConfig
from easyrec.modules.mlp import MLP, MLPConfig, linear


class Config(MLPConfig, ModelConfig):
    """Keys of `my_model`, beside those of all models and of an MLP."""

    type: Literal["my_model"] = "my_model"
    strength: float = Field(2.0, gt=0.0)
    """How much a gate may magnify a field."""

    def uses(self) -> dict[str, GroupUse]:
        """Embeddings of equal dims of the group `deep`."""
        return {"deep": GroupUse(equal_dims=True)}


class GatedFields(Model):
    """Logit = MLP([g_1 e_1 .. g_F e_F, x]) with gates ``g = strength * sigmoid(W [e, x])``, one per field."""

    def __init__(self, config: Config, layouts, tasks) -> None:  # noqa: ANN001 (short, to be read)
        super().__init__(config, layouts, tasks)
        self.gate = linear(self.width(), self.num_fields())
        self.deep = MLP(self.width(), config)
        self.head = Head(tasks, self.deep.out)

    def forward(self, x: Embedded) -> dict[str, Tensor]:
        """The logits."""
        fields = self.fields(x)  # (B, F, D)
        gates = self.config.strength * torch.sigmoid(self.gate(self.flat(x, fields=fields)))  # (B, F)
        return self.head(self.deep(self.flat(x, fields=fields * gates.unsqueeze(2))))
