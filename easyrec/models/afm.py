"""`afm`: a factorization machine that attends to its pairs of fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from easyrec.batch import Embedded
from easyrec.config.model import GroupUse, ModelConfig, TaskConfig
from easyrec.layout import GroupLayout
from easyrec.models._model import Head, Model
from easyrec.modules.dropout import Dropout
from easyrec.modules.mlp import in_float32, linear
from easyrec.modules.pairs import Products

AT_A_TIME = 4096
"""Products that the attention network reads at a time: what it makes of more leaves the cache, at thrice the time."""


class Config(ModelConfig):
    """Config of `afm`."""

    type: Literal["afm"] = "afm"
    attention_dim: int = Field(16, gt=0)
    """Width of the attention network's only hidden layer."""
    attention_dropout: float = Field(0.0, ge=0.0, lt=1.0)
    """Probability of zeroing a pair's attention while training."""
    pooled_dropout: float = Field(0.0, ge=0.0, lt=1.0)
    """Probability of zeroing a number of the attended sum while training."""

    def uses(self) -> dict[str, GroupUse]:
        """Embeddings of equal dims and first-order weights of `deep`."""
        return {"deep": GroupUse(first_order=True, equal_dims=True)}


class AFM(Model):
    """Logit = first-order weights + p . sum_{i<j} a_ij e_i * e_j, with a = softmax(h . relu(W (e_i * e_j) + b)).

    Shape:
        output: {"logit": (B,)}, before the sigmoid

    Source:
        Xiao et al., "Attentional Factorization Machines", IJCAI 2017, eq. (5) and (6).
    """

    def __init__(self, config: Config, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> None:
        super().__init__(config, layouts, tasks)
        self.pairs = self.num_pairs()
        self.products = Products(self.num_fields())
        self.hidden = linear(self.dim(), config.attention_dim)
        self.score = linear(config.attention_dim, 1, bias=False)
        self.attention_dropout, self.pooled_dropout = Dropout(config.attention_dropout), Dropout(config.pooled_dropout)
        self.head = Head(tasks, self.dim(), terms=1)

    def forward(self, x: Embedded) -> dict[str, Tensor]:
        """The logits."""
        products = self.products(self.fields(x))  # (B, P, D)
        attention = self.attention_dropout(torch.softmax(self.scores(products), dim=1))  # (B, P, 1)
        pooled = self.pooled_dropout((attention * products).sum(dim=1))  # (B, D)
        return self.head(pooled, self.linear(x))

    def scores(self, products: Tensor) -> Tensor:
        """(B, P, 1), what the attention network says of each product."""
        flat = products.flatten(0, 1)  # (B P, D)
        parts = [flat] if torch.compiler.is_compiling() else torch.split(flat, AT_A_TIME)
        scores = [in_float32(self.score, torch.relu(self.hidden(part))) for part in parts]
        return torch.unflatten(scores[0] if len(scores) == 1 else torch.cat(scores), 0, (-1, self.pairs))
