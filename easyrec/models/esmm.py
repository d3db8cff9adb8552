"""`esmm`: clicks and conversions of all rows, and through them conversions given a click."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from easyrec.batch import Embedded
from easyrec.models._funnel import Funnel, FunnelConfig


class Config(FunnelConfig):
    """Config of `esmm`."""

    type: Literal["esmm"] = "esmm"


class ESMM(Funnel):
    """p(both) = p(click) p(conversion), each of the two a tower over the shared embeddings.

    The conversion's own tower learns through p(both) over all rows, not from clicked rows alone.

    Shape:
        output: {click: (B,), conversion: (B,), both: (B,)} by the tasks' names, before the sigmoid

    Source:
        Ma et al., "Entire Space Multi-Task Model", SIGIR 2018, eq. (1) and (3).
    """

    def forward(self, x: Embedded) -> dict[str, Tensor]:
        """The logits."""
        return self.composed(self.logits(self.towers(self.flat(x))))
