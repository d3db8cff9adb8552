"""`product`: an id's embedding is made of a row for each of its digits."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from easyrec.config.compress import CompositionConfig, Part
from easyrec.modules.compress._composition import Composition, combined
from easyrec.modules.compress.quotient_remainder import Operation, widths


class Config(CompositionConfig):
    """Config of `product`."""

    type: Literal["product"] = "product"
    digits: int = Field(2, ge=2, le=8)
    """Number of tables; each has about the root of this degree of the number of ids as rows."""
    operation: Operation = "add"
    """What makes an embedding of the rows: `add`, `multiply`, or `concat`, each of a part of the dim."""

    @property
    def linear(self) -> bool:  # type: ignore[override]
        """Whether sums of parts give the sum of embeddings."""
        return self.operation != "multiply"

    def parts(self, rows: int, dim: int) -> list[Part]:
        """A table for each digit of ids to the smallest base that suffices."""
        base = next(b for b in range(max(2, int(rows ** (1 / self.digits)) - 1), rows + 3) if b**self.digits >= rows)
        if base * self.digits >= rows:
            raise ValueError(
                f"{self.digits} digits of {rows} ids need as many rows: the table would not become smaller"
            )
        sizes = widths(dim, self.digits, self.operation)
        return [Part(rows, base, size, divide=base**place, modulo=base) for place, size in enumerate(sizes)]


class Product(Composition):
    """``e_i = sum_j t_j[d_j(i)]`` with the digits d_j of the id, or their product, or all side by side.

    Source:
        Shi et al., "Compositional embeddings using complementary partitions for memory-efficient recommendation
        systems", KDD 2020, section 4: generalised quotients and remainders.
    """

    def forward(self, parts: Tensor) -> Tensor:
        """The embeddings."""
        return combined(self.config.operation, torch.split(parts, list(self.dims), dim=1))
