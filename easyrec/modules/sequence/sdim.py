"""`sdim`: the steps weighted by how many of their hash signatures are the candidate's."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from easyrec.batch import Seq
from easyrec.config.model import EncoderConfig
from easyrec.layout import SequenceLayout
from easyrec.modules.sequence._encoder import SequenceEncoder, in_parts, sum_steps


class Config(EncoderConfig):
    """Config of `sdim`."""

    type: Literal["sdim"] = "sdim"
    signatures: int = Field(16, gt=0)
    """How many signatures a step has: more are nearer to their expectation."""
    width: int = Field(3, gt=0)
    """Bits of a signature: with more of them only what is more alike collides."""


class SDIM(SequenceEncoder):
    """``sum_l w_l s_l`` with ``w = c / |c|_2``, where c_l is the share of signatures that step and candidate have in common.

    A signature is the signs of the paired columns along `width` random directions. Two vectors share one with the
    probability ``(1 - angle / pi)^width``, so that c is attention without a product of step and candidate. Every step
    counts, none is searched for; the hash has no gradient. The directions are drawn once and are part of the model.

    Source:
        Cao et al., "Sampling Is All You Need on Modeling Long-Term User Behaviors for CTR Prediction", CIKM 2022,
        section 4.
    """

    directions: Tensor

    def __init__(self, config: Config, layout: SequenceLayout) -> None:
        super().__init__(config, layout)
        drawn = torch.randn(sum(child.dim for child in self.paired), config.width * config.signatures)
        self.register_buffer("directions", drawn)

    def forward(self, steps: Seq, query: Tensor | None) -> Tensor:
        """(B, D), the steps weighted."""
        assert query is not None
        shares = self.shares(steps, query).unsqueeze(1)  # (N, 1)
        length = sum_steps(shares.square(), steps).sqrt()  # (B, 1)
        return sum_steps(shares * steps.values, steps) / length.clamp_min(1e-6)

    @torch.no_grad()
    def shares(self, steps: Seq, query: Tensor) -> Tensor:
        """(N,), c of each step."""
        wanted = self._sides(query)

        def share(values: Tensor, rows: Tensor) -> Tensor:
            alike = self._sides(self.compared(values)) == wanted.index_select(0, rows)  # (n, width * signatures)
            collide, *others = torch.split(alike, self.config.signatures, dim=1)
            for other in others:
                collide = collide & other
            result: Tensor = collide.sum(dim=1) / self.config.signatures
            return result

        return in_parts(share, steps)

    def _sides(self, vectors: Tensor) -> Tensor:
        """On which side of each direction a vector lies; rounded to bfloat16 too many would lie on none."""
        if torch.is_autocast_enabled(vectors.device.type):
            with torch.autocast(vectors.device.type, enabled=False):
                return vectors.float() @ self.directions > 0
        return vectors @ self.directions > 0
