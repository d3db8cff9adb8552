"""`fmfm`: a factorization machine with a learned matrix, or vector, per pair of fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from torch import Tensor

from easyrec.batch import Embedded
from easyrec.config.model import GroupUse, ModelConfig, TaskConfig
from easyrec.layout import GroupLayout
from easyrec.models._model import Head, Model
from easyrec.modules.pairs import WeightedPairs


class Config(ModelConfig):
    """Config of `fmfm`."""

    type: Literal["fmfm"] = "fmfm"
    interaction: Literal["matrix", "vector"] = "matrix"
    """What a pair of fields learns: a D x D matrix, or its diagonal alone (FvFM)."""

    def uses(self) -> dict[str, GroupUse]:
        """Embeddings of equal dims and first-order weights of `deep`."""
        return {"deep": GroupUse(first_order=True, equal_dims=True)}


class FmFM(Model):
    """Logit = first-order weights + sum_{i<j} e_i' M_ij e_j, with a learned M_ij per pair of fields.

    Shape:
        output: {"logit": (B,)}, before the sigmoid

    Source:
        Sun et al., "FM^2: Field-matrixed Factorization Machines", WWW 2021, section 3.
    """

    def __init__(self, config: Config, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> None:
        super().__init__(config, layouts, tasks)
        self.num_pairs()
        self.pairs = WeightedPairs(self.num_fields(), self.dim(), config.interaction)
        self.head = Head(tasks, 0, terms=2)

    def forward(self, x: Embedded) -> dict[str, Tensor]:
        """The logits."""
        return self.head(None, self.linear(x), self.pairs(self.fields(x)))
