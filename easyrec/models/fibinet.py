"""`fibinet`: weighted fields and bilinear products under an MLP; also FiBiNet++."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor
from typing_extensions import Self

from easyrec.batch import Embedded
from easyrec.config.model import GroupUse, ModelConfig, TaskConfig
from easyrec.errors import ConfigError, Problem
from easyrec.layout import GroupLayout
from easyrec.models._model import Head, Model
from easyrec.modules.activation import BatchNorm
from easyrec.modules.bilinear import Bilinear, Kind
from easyrec.modules.mlp import MLP, MLPConfig, linear
from easyrec.modules.squeeze import SqueezeExcitation, SqueezeExcitationPlus
from feature_generator.config import fault


class Config(MLPConfig, ModelConfig):
    """Config of `fibinet`."""

    type: Literal["fibinet"] = "fibinet"
    version: Literal["original", "plus"] = "original"
    """FiBiNET, or FiBiNet++, which has a tenth of its parameters."""
    bilinear: Kind = "all"
    """One matrix for all pairs, one for each left field, or one for each pair."""
    reduction: int = Field(3, gt=0)
    """Squeezed numbers over the width of the layer that weighs them."""
    squeeze_groups: int = Field(2, gt=0)
    """Parts of a field that `plus` squeezes; must divide the fields' dim."""
    rank: int = Field(50, gt=0)
    """Numbers to which `plus` maps the products of all pairs."""

    @model_validator(mode="after")
    def _fits_the_version(self) -> Self:
        unread = sorted({"squeeze_groups", "rank"} & self.model_fields_set)
        if self.version == "original" and unread:
            raise fault(f"'{unread[0]}' is a key of 'version: plus'", unread[0])
        return self

    def uses(self) -> dict[str, GroupUse]:
        """Embeddings of equal dims of `deep`, in the original version first-order weights too."""
        return {"deep": GroupUse(first_order=self.version == "original", equal_dims=True)}


class FiBiNET(Model):
    """Logit = first-order weights + MLP([bilinear(e), bilinear(SE(e)), x]), or in `plus` MLP([SE+(e), R dots(e), x]).

    SE weighs the fields, R maps the bilinear dot products of all pairs to a few numbers. In `plus` the fields are
    normalised over the batch first.

    Shape:
        output: {"logit": (B,)}, before the sigmoid

    Source:
        Huang et al., "FiBiNET: Combining Feature Importance and Bilinear feature Interaction", RecSys 2019,
        eq. (1)-(9); `plus`: Zhang et al., "FiBiNet++: Reducing Model Size by Low Rank Feature Interaction Layer",
        CIKM 2023, eq. (2)-(12).
    """

    def __init__(self, config: Config, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> None:
        super().__init__(config, layouts, tasks)
        self.plus = config.version == "plus"
        fields, dim = self.num_fields(), self.dim()
        if self.plus and dim % config.squeeze_groups:
            text = f"'squeeze_groups' must divide the fields' dim, but {config.squeeze_groups} does not divide {dim}"
            raise ConfigError([Problem(text, "model.squeeze_groups")])
        pairs, groups = self.num_pairs(), config.squeeze_groups
        self.norm = BatchNorm(fields * dim) if self.plus else None
        self.squeeze: SqueezeExcitation | SqueezeExcitationPlus = (
            SqueezeExcitationPlus(fields, dim, groups, config.reduction)
            if self.plus
            else SqueezeExcitation(fields, config.reduction)
        )
        self.bilinear = Bilinear(fields, dim, config.bilinear, inner=self.plus)
        self.squeezed = None if self.plus else Bilinear(fields, dim, config.bilinear)
        self.rank = linear(pairs, config.rank) if self.plus else None
        width = fields * dim + config.rank if self.plus else 2 * pairs * dim
        self.deep = MLP(width + self.layouts["deep"].dense_width, config)
        self.head = Head(tasks, self.deep.out, terms=0 if self.plus else 1)

    def forward(self, x: Embedded) -> dict[str, Tensor]:
        """The logits."""
        fields = self.fields(x)  # (B, F, D)
        if self.norm is not None:
            fields = torch.unflatten(self.norm(fields.flatten(1)), 1, fields.shape[1:])
        squeezed, products = self.squeeze(fields), self.bilinear(fields).flatten(1)
        if self.rank is not None:
            parts = [squeezed.flatten(1), self.rank(products)]  # (B, F * D), (B, rank)
        else:
            assert self.squeezed is not None
            parts = [products, self.squeezed(squeezed).flatten(1)]  # (B, pairs * D) each
        parts += [x.dense("deep")] if self.layouts["deep"].dense else []
        hidden = self.deep(torch.cat(parts, dim=1))
        return self.head(hidden) if self.plus else self.head(hidden, self.linear(x))
