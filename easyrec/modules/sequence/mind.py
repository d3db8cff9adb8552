"""`mind`: interests that a user's steps sort themselves into, by one bilinear map for all."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from easyrec.batch import Seq
from easyrec.config.model import EncoderConfig
from easyrec.layout import SequenceLayout
from easyrec.modules.mlp import linear
from easyrec.modules.routing import route
from easyrec.modules.sequence._encoder import SequenceEncoder


class Config(EncoderConfig):
    """Config of `mind`."""

    type: Literal["mind"] = "mind"
    interests: int = Field(4, gt=0)
    """K, capsules per user."""
    turns: int = Field(3, gt=0)
    """Turns of routing."""


class MIND(SequenceEncoder):
    """``[u_1 .. u_K]``, capsules of the votes ``S s_l``, the same to all, routed from ``b_lk = <r_k, S s_l>``.

    r_k are fixed random directions; the paper draws every b_lk anew, which no two scorings would agree on. A row with L
    steps has ``max(1, min(K, log2 L))`` capsules, in the places of the others the first one again.

    Shape:
        output: (B, K * width of a step)

    Source:
        Li et al., "Multi-Interest Network with Dynamic Routing for Recommendation at Tmall", CIKM 2019, algorithm 1 and
        eq. (8)-(9).
    """

    needs_query = False
    stepwise = False

    def __init__(self, config: Config, layout: SequenceLayout) -> None:
        super().__init__(config, layout)
        self.shared = linear(layout.dim, layout.dim, bias=False)
        self.directions: Tensor
        self.register_buffer("directions", torch.randn(config.interests, layout.dim))
        self.dim = config.interests * layout.dim

    def forward(self, steps: Seq, query: Tensor | None) -> Tensor:
        """(B, K * D), the capsules side by side."""
        mapped = self.shared(steps.values).float()  # (N, D)
        count, rows = self.config.interests, steps.rows
        lengths = steps.offsets.diff()
        numbers = torch.arange(count, device=rows.device)
        open_ = numbers < torch.log2(lengths.clamp_min(1).float()).clamp(1, count).floor().unsqueeze(1)  # (B, K)
        start = mapped.detach() @ self.directions.T
        start = start.masked_fill(~open_.index_select(0, rows), -1e9)
        votes = mapped.unsqueeze(1).expand(-1, count, -1)
        capsules = route(votes, start, steps, self.config.turns)
        return torch.where(open_.unsqueeze(2), capsules, capsules[:, :1]).flatten(1)
