"""`fwfm`: a factorization machine with a learned weight per pair of fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from torch import Tensor

from easyrec.batch import Embedded
from easyrec.config.model import GroupUse, ModelConfig, TaskConfig
from easyrec.errors import ConfigError, Problem
from easyrec.layout import GroupLayout
from easyrec.models._model import Head, Model
from easyrec.modules.pairs import WeightedPairs


class Config(ModelConfig):
    """Config of `fwfm`."""

    type: Literal["fwfm"] = "fwfm"
    linear: Literal["weight", "feature", "field"] = "field"
    """Linear part: a weight per id, or the dot product of the embedding with a vector per id or per field."""

    def uses(self) -> dict[str, GroupUse]:
        """Embeddings of equal dims of `deep`; its first-order weights, or a vector per id as `linear`."""
        uses = {"deep": GroupUse(first_order=self.linear == "weight", equal_dims=True)}
        if self.linear == "feature":
            uses["linear"] = GroupUse(equal_dims=True, own=True, like="deep")
        return uses


class FwFM(Model):
    """Logit = linear part + sum_{i<j} r_ij <e_i, e_j>, with a learned r_ij per pair of fields.

    The linear part is sum_i w_i (`weight`), sum_i <e_i, w_i> with a vector per id (`feature`), or with one per field
    (`field`); and weighted dense inputs.

    Shape:
        output: {"logit": (B,)}, before the sigmoid

    Source:
        Pan et al., "Field-weighted Factorization Machines", WWW 2018, section 3.
    """

    def __init__(self, config: Config, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> None:
        super().__init__(config, layouts, tasks)
        self.num_pairs()
        self.pairs = WeightedPairs(self.num_fields(), self.dim(), "scalar")
        if config.linear == "weight":
            self.head = Head(tasks, 0, terms=2)
        elif config.linear == "field":
            self.head = Head(tasks, self.width(), terms=1)
        else:
            if (self.num_fields("linear"), self.dim("linear")) != (self.num_fields(), self.dim()):
                text = "the linear part has a vector for each field of 'deep': leave the group 'linear' out"
                raise ConfigError([Problem(text, "model.groups.linear")])
            self.head = Head(tasks, layouts["deep"].dense_width, terms=2)

    def forward(self, x: Embedded) -> dict[str, Tensor]:
        """The logits."""
        fields = self.fields(x)  # (B, F, D)
        pairs = self.pairs(fields)  # (B, 1)
        if self.config.linear == "weight":
            return self.head(None, self.linear(x), pairs)
        if self.config.linear == "field":
            return self.head(self.flat(x, fields=fields), pairs)
        linear = (fields * self.fields(x, "linear")).sum(dim=(1, 2)).unsqueeze(1)  # (B, 1)
        return self.head(x.dense("deep"), linear, pairs)
