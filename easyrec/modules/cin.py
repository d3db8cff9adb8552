"""The compressed interaction network of xDeepFM."""

from __future__ import annotations

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from typing_extensions import Self

from easyrec.modules.mlp import Widths, linear
from easyrec.modules.product import product
from feature_generator.config import StrictModel, fault


class CINConfig(StrictModel):
    """Keys of a compressed interaction network."""

    cin_units: Widths = Field([128, 128], min_length=1)
    """Feature maps of each layer; layer l makes crosses of degree l + 1."""
    split_half: bool = False
    """Pass one half of each layer's maps on and put out the other, instead of both with all."""

    @model_validator(mode="after")
    def _halves_are_whole(self) -> Self:
        odd = [units for units in self.cin_units[:-1] if units % 2]
        if self.split_half and odd:
            raise fault(f"'split_half' needs even 'cin_units' before the last layer, but one is {odd[0]}", "cin_units")
        return self


class CIN(nn.Module):
    """``sum_d x^l_hd`` of all layers, where ``x^l_hd = b_h + sum_ij W_hij x^0_id x^(l-1)_jd`` and ``x^0`` the fields.

    A map that no further layer reads is needed as its sum over d alone, and that is linear in the dot products
    ``sum_d x^0_id x^(l-1)_jd``: D times fewer multiplications. The products of all pairs exist for these alone.

    Shape:
        fields: (B, F, D)
        output: (B, out)

    Source:
        Lian et al., "xDeepFM", KDD 2018, eq. (6)-(8).
    """

    def __init__(self, fields: int, config: CINConfig) -> None:
        super().__init__()
        self.split = config.split_half
        last = len(config.cin_units) - 1
        halves = 2 if self.split else 1
        self.passed = [0 if layer == last else units // halves for layer, units in enumerate(config.cin_units)]
        befores = [fields, *self.passed[:-1]]
        pairs = zip(befores, config.cin_units, strict=True)
        self.layers = nn.ModuleList(linear(fields * before, units) for before, units in pairs)
        self.out = sum(config.cin_units) - (sum(self.passed) if self.split else 0)

    def forward(self, fields: Tensor) -> Tensor:
        """The sums, layer after layer."""
        count, dim = fields.shape[1], fields.shape[2]
        columns = fields.transpose(1, 2)  # (B, D, F)
        x, sums = columns, []
        for layer, passed in zip(self.layers, self.passed, strict=True):
            assert isinstance(layer, nn.Linear)
            weight, bias = layer.weight, layer.bias  # (units, F * before), (units,)
            if passed < len(weight):
                dots = torch.bmm(fields, x).flatten(1)  # (B, F * before)
                sums.append(product(dots, weight[passed:]) + dim * bias[passed:])
            if passed:
                # First x through all matrices W_hi., then the weighted sum over i: the smaller of the two orders.
                maps = torch.unflatten(weight[:passed], 1, (count, -1)).transpose(0, 1).flatten(0, 1)
                through = torch.unflatten(product(x.flatten(0, 1), maps), 1, (count, passed))  # (B * D, F, passed)
                crossed = torch.bmm(columns.reshape(-1, 1, count), through)  # (B * D, 1, passed)
                x = torch.unflatten(crossed.squeeze(1) + bias[:passed], 0, (-1, dim))  # (B, D, passed)
                sums += [] if self.split else [x.sum(dim=1)]
        return sums[0] if len(sums) == 1 else torch.cat(sums, dim=1)
