"""`quotient_remainder`: an id's embedding is made of a row for its quotient and one for its remainder."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from easyrec.config.compress import CompositionConfig, Part
from easyrec.modules.compress._composition import Composition, combined

Operation = Literal["multiply", "add", "concat"]


def widths(dim: int, parts: int, operation: str) -> list[int]:
    """Numbers of each part's rows.

    Raises:
        ValueError: The dim cannot be divided.
    """
    if operation != "concat":
        return [dim] * parts
    if dim % parts:
        raise ValueError(
            f"'concat' divides the embedding among {parts} tables, but its dim is {dim}\ntake a multiple of {parts}"
        )
    return [dim // parts] * parts


class Config(CompositionConfig):
    """Config of `quotient_remainder`."""

    type: Literal["quotient_remainder"] = "quotient_remainder"
    collisions: int = Field(4, ge=2)
    """How many ids share a row of the quotients, which is how much smaller the table becomes."""
    operation: Operation = "multiply"
    """What makes an embedding of the two: `multiply`, `add`, or `concat`, each of half the dim."""

    @property
    def linear(self) -> bool:  # type: ignore[override]
        """Whether sums of parts give the sum of embeddings."""
        return self.operation != "multiply"

    def parts(self, rows: int, dim: int) -> list[Part]:
        """A table of quotients and one of remainders."""
        if rows <= self.collisions:
            raise ValueError(
                f"'collisions' is {self.collisions}, but the table has {rows} ids: it would not become smaller"
            )
        first, second = widths(dim, 2, self.operation)
        quotients = Part(rows, -(-rows // self.collisions), first, divide=self.collisions)
        return [quotients, Part(rows, self.collisions, second, modulo=self.collisions)]


class QuotientRemainder(Composition):
    """``e_i = q_(i // c) * (1 + r_(i % c))``, or the sum of both, or both side by side; c ids share a row of q.

    Two ids differ in one of the two, so that each has an embedding of its own.

    Source:
        Shi et al., "Compositional embeddings using complementary partitions for memory-efficient recommendation
        systems", KDD 2020, section 3.
    """

    def forward(self, parts: Tensor) -> Tensor:
        """The embeddings."""
        return combined(self.config.operation, torch.split(parts, list(self.dims), dim=1))
