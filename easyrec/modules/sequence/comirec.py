"""`comirec`: interests that attention, or routing, reads out of a user's steps."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from easyrec.batch import Seq
from easyrec.config.model import EncoderConfig
from easyrec.layout import SequenceLayout
from easyrec.modules.mlp import linear
from easyrec.modules.routing import route
from easyrec.modules.sequence._encoder import SequenceEncoder, age, softmax_steps, sum_steps


class Config(EncoderConfig):
    """Config of `comirec`."""

    type: Literal["comirec"] = "comirec"
    mode: Literal["attention", "routing"] = "attention"
    """ComiRec-SA, or ComiRec-DR."""
    interests: int = Field(4, gt=0)
    """K, vectors per user."""
    hidden: int = Field(64, gt=0)
    """Units of the attention."""
    positions: int = Field(200, ge=0)
    """Of attention: learn a vector per position counted from the newest step, equal from this one on; 0: none."""
    turns: int = Field(3, gt=0)
    """Turns of routing."""


class ComiRec(SequenceEncoder):
    """``[u_1 .. u_K]`` with ``u_k = sum_l a_lk s_l`` and ``a_k = softmax_l(w_k . tanh(W (s_l + p_l)))``.

    With `routing` capsules of the votes ``W_k s_l``, from agreements of 0.

    Shape:
        output: (B, K * width of a step)

    Source:
        Cen et al., "Controllable Multi-Interest Framework for Recommendation", KDD 2020, eq. (3)-(8).
    """

    needs_query = False
    stepwise = False

    def __init__(self, config: Config, layout: SequenceLayout) -> None:
        super().__init__(config, layout)
        self.dim = config.interests * layout.dim
        self.positions: nn.Parameter | None = None
        if config.mode == "routing":
            self.votes = linear(layout.dim, config.interests * layout.dim, bias=False)
            return
        if config.positions:
            self.positions = nn.Parameter(0.02 * torch.randn(config.positions, layout.dim))
        self.inner = linear(layout.dim, config.hidden, bias=False)
        self.outer = linear(config.hidden, config.interests, bias=False)

    def forward(self, steps: Seq, query: Tensor | None) -> Tensor:
        """(B, K * D), the interests side by side."""
        count = self.config.interests
        if self.config.mode == "routing":
            votes = torch.unflatten(self.votes(steps.values), 1, (count, -1))
            return route(votes, votes.new_zeros(votes.shape[:2]), steps, self.config.turns).flatten(1)
        places = steps.values
        if self.positions is not None:
            places = places + self.positions.index_select(0, age(steps).clamp_max(self.positions.shape[0] - 1))
        weights = softmax_steps(self.outer(torch.tanh(self.inner(places))).float(), steps)  # (N, K)
        return sum_steps((weights.unsqueeze(2) * steps.values.unsqueeze(1)).flatten(1), steps)
