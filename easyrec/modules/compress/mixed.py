"""`mixed`: narrower rows, for all ids or for those that are rare, which a projection widens."""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from easyrec.config.compress import CompositionConfig, Part
from easyrec.modules.compress._composition import Composition


class Config(CompositionConfig):
    """Config of `mixed`."""

    type: Literal["mixed"] = "mixed"
    dim: int = Field(ge=1)
    """Numbers of a narrow row."""
    frequent: int = Field(0, ge=0)
    """The ids below this have rows of the full dim: those of a vocabulary that lists the most frequent first."""

    def parts(self, rows: int, dim: int) -> list[Part]:
        """The narrow table, before it that of frequent ids where there are such."""
        if self.dim >= dim:
            raise ValueError(
                f"'dim' is {self.dim}, but the embedding has {dim} numbers: the table would not become smaller"
            )
        if not self.frequent:
            return [Part(rows, rows, self.dim)]
        if self.frequent >= rows:
            raise ValueError(f"'frequent' is {self.frequent}, but the table has {rows} ids: none would be rare")
        rare = Part(rows, rows - self.frequent, self.dim, start=self.frequent, open=True)
        return [Part(rows, self.frequent, dim, open=True), rare]


class Mixed(Composition):
    """``e_i = f_i`` of the frequent ids, ``e_i = P r_i`` of the others, with r_i of d numbers and P (D, d).

    Source:
        Ginart et al., "Mixed dimension embeddings with application to memory-efficient recommendation systems",
        ISIT 2021, section 3.
    """

    def __init__(self, config: Any, dims: tuple[int, ...], dim: int) -> None:
        super().__init__(config, dims, dim)
        self.project = nn.Parameter(torch.randn(dims[-1], dim) / dims[-1] ** 0.5)

    def forward(self, parts: Tensor) -> Tensor:
        """The embeddings."""
        *frequent, rare = torch.split(parts, list(self.dims), dim=1)
        wide = rare @ self.project.to(rare.dtype)
        return frequent[0] + wide if frequent else wide
