"""`pooling`: the mean or the sum of a row's steps."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from easyrec.batch import Seq
from easyrec.config.model import EncoderConfig
from easyrec.modules.sequence._encoder import SequenceEncoder, sum_steps


class Config(EncoderConfig):
    """Config of `pooling`."""

    type: Literal["pooling"] = "pooling"
    pooling: Literal["mean", "sum"] = "mean"
    """What becomes of a row's steps."""

    @property
    def lookup_pooling(self) -> Literal["sum", "mean"] | None:
        """The pooling; with `product` the lookup does not suffice."""
        return None if self.product else self.pooling


class Pooling(SequenceEncoder):
    """``sum_l s_l`` or ``sum_l s_l / L`` over a row's steps s_1 .. s_L.

    Without `product` the embedding lookup does this itself, and the children count as fields of their group.
    """

    needs_query = False

    def forward(self, steps: Seq, query: Tensor | None) -> Tensor:
        """(B, D), the pooled steps."""
        total = sum_steps(steps.values, steps)
        if self.config.pooling == "sum":
            return total
        return total / steps.offsets.diff().clamp_min(1).unsqueeze(1)
