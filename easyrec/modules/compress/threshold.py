"""`threshold`: rows whose norm stays below a learned threshold are zeros, and are not stored."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from easyrec.config.compress import CompositionConfig, Part
from easyrec.modules.compress._composition import Composition

SMALLEST = 1e-12
"""Norm that a row of zeros is divided by."""


class Config(CompositionConfig):
    """Config of `threshold`."""

    linear: ClassVar[bool] = False

    type: Literal["threshold"] = "threshold"
    start: float = Field(1e-5, gt=0.0, lt=1.0)
    """The threshold at first."""
    pull: float = Field(1e-3, ge=0.0)
    """How strongly the threshold is pulled up, against the loss of the tasks: the more, the fewer rows stay."""

    def parts(self, rows: int, dim: int) -> list[Part]:
        """The table itself."""
        return [Part(rows, rows, dim)]


class Threshold(Composition):
    """``e_i = E_i max(0, 1 - t / |E_i|)`` with ``t = sigmoid(s)``; the loss grows by ``-pull log t``.

    This is the soft threshold of PEP on the norm of a row: what becomes zero is a whole row, which need not be stored,
    rather than numbers here and there.

    Source:
        Liu et al., "Learnable embedding sizes for recommender systems" (PEP), ICLR 2021, eq. (6)-(8); the norm of rows is
        ours.
    """

    def __init__(self, config: Any, dims: tuple[int, ...], dim: int) -> None:
        super().__init__(config, dims, dim)
        self.level = nn.Parameter(torch.logit(torch.tensor(config.start)))

    def forward(self, parts: Tensor) -> Tensor:
        """The embeddings."""
        norms = parts.float().square().sum(dim=1, keepdim=True).add(SMALLEST**2).sqrt()
        return parts * torch.relu(1.0 - torch.sigmoid(self.level) / norms).to(parts.dtype)

    @property
    def auxiliary(self) -> Tensor | None:
        """What pulls the threshold up."""
        return -self.config.pull * nn.functional.logsigmoid(self.level)

    def idle(self, rows: Tensor) -> Tensor:
        """Rows below the threshold."""
        with torch.no_grad():
            return ~self(rows).any(dim=1)
