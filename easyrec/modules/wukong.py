"""The layer of Wukong: factorization machines that make embeddings of embeddings."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from easyrec.modules.mlp import MLP, MLPConfig, Widths, linear
from feature_generator.config import StrictModel


class WukongConfig(StrictModel):
    """Keys of Wukong's layers."""

    layers: int = Field(3, gt=0)
    """Number of layers; layer l holds crosses of degree up to 2^l."""
    fm_fields: int = Field(16, gt=0)
    """Embeddings that a layer's factorization machine makes."""
    linear_fields: int = Field(16, gt=0)
    """Embeddings that are linear in the layer's input."""
    rank: int = Field(8, gt=0)
    """Columns to which the dot products of all pairs are compressed."""
    fm_hidden: Widths = Field([256], min_length=1)
    """Widths of the MLP from dot products to embeddings."""


class WukongLayer(nn.Module):
    """``norm([MLP(norm(X (X' Y))), L X] + R X)`` of embeddings X (F, D).

    X X' are the dot products of all pairs, and the learned Y (F, rank) compresses them; since ``(X X') Y = X (X' Y)``
    they are never there. R is the identity where the numbers of embeddings allow it.

    Shape:
        input: (B, F, D)
        output: (B, fm_fields + linear_fields, D)

    Source:
        Zhang et al., "Wukong: Towards a Scaling Law for Large-Scale Recommendation", ICML 2024, section 3.
    """

    def __init__(self, fields: int, dim: int, config: WukongConfig, dropout: float = 0.0) -> None:
        super().__init__()
        self.out = config.fm_fields + config.linear_fields
        self.config, self.residual = config, fields != self.out
        maps = config.rank + config.linear_fields + (self.out if self.residual else 0)
        self.maps = linear(fields, maps, bias=False)  # Y, L and R, which all read X'
        for weight in torch.split(self.maps.weight.detach(), self.sizes):
            nn.init.xavier_normal_(weight)
        self.norm = nn.LayerNorm(fields * config.rank)
        self.mlp = MLP(fields * config.rank, MLPConfig(hidden=config.fm_hidden, dropout=dropout))
        self.last = linear(self.mlp.out, config.fm_fields * dim)
        self.add = nn.LayerNorm(dim)

    @property
    def sizes(self) -> list[int]:
        """Columns of Y, L and R."""
        return [self.config.rank, self.config.linear_fields, *([self.out] if self.residual else [])]

    def forward(self, input: Tensor) -> Tensor:
        """The embeddings of the next layer."""
        mapped = self.maps(input.transpose(1, 2))  # (B, D, rank + linear_fields [+ out])
        compressed, compact, *residual = torch.split(mapped, self.sizes, dim=2)
        products = torch.bmm(input.to(compressed.dtype), compressed)  # (B, F, rank)
        crossed = torch.unflatten(self.last(self.mlp(self.norm(products.flatten(1)))), 1, (self.config.fm_fields, -1))
        joined = torch.cat([crossed.transpose(1, 2), compact.to(crossed.dtype)], dim=2)  # (B, D, out)
        below = residual[0] if residual else input.transpose(1, 2)
        return self.add((joined + below).transpose(1, 2))  # type: ignore[no-any-return]
