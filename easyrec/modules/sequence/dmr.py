"""`dmr`: how near the candidate is to the user and to each step."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from easyrec.batch import Seq
from easyrec.config.model import EncoderConfig
from easyrec.layout import SequenceLayout
from easyrec.modules.mlp import linear
from easyrec.modules.sequence._encoder import SequenceEncoder, age, softmax_steps, sum_steps
from easyrec.modules.sequence._next_step import elsewhere


class Config(EncoderConfig):
    """Config of `dmr`."""

    type: Literal["dmr"] = "dmr"
    units: int = Field(36, gt=0)
    """Width of both attention units."""
    positions: int = Field(200, gt=0)
    """Learn a term per position counted from the newest step, equal from this one on."""
    auxiliary: float = Field(0.1, ge=0.0)
    """Weight of the loss that lets the user's vector tell the newest step from others; 0: none."""
    negatives: int = Field(20, gt=0)
    """Steps of other rows that the newest step is told from."""


class DMR(SequenceEncoder):
    """``[sum_l softmax(b)_l s_l, r, sum_l b_l]`` with ``r = u . V q``.

    The user to item network: ``u = prelu(W sum_l softmax(a)_l s_l + c)`` with ``a_l = z . tanh(W_s s_l + p_l)``. The item
    to item network: ``b_l = z' . tanh(W'_q q + W'_s s_l + p'_l)``. Positions p are counted from the newest step.

    While training, the u of all steps but the newest should tell it, s_L, from steps s' of other rows:
    ``-log(exp(u . V s_L) / (exp(u . V s_L) + sum exp(u . V s')))``. The paper has a second embedding of items in the
    place of the product V q.

    Shape:
        output: (B, D + 2)

    Source:
        Lyu et al., "Deep Match to Rank Model", AAAI 2020, eq. (3)-(12).
    """

    stepwise = False

    def __init__(self, config: Config, layout: SequenceLayout) -> None:
        super().__init__(config, layout)
        width = sum(child.dim for child in self.paired)
        self.user_unit = _Unit(layout.dim, 0, config)
        self.item_unit = _Unit(layout.dim, width, config)
        self.user = nn.Sequential(linear(layout.dim, width), nn.PReLU(width))
        self.item = linear(width, width, bias=False)
        self.dim = layout.dim + 2

    def forward(self, steps: Seq, query: Tensor | None) -> Tensor:
        """(B, D + 2), the interest and both relevances."""
        assert query is not None
        scores = self.user_unit(steps, None)
        user = self.user(sum_steps(softmax_steps(scores, steps).unsqueeze(1) * steps.values, steps))  # (B, W)
        some = (steps.offsets.diff() > 0).unsqueeze(1)
        relevance = (user * self.item(query)).float().sum(1, keepdim=True) * some
        matches = self.item_unit(steps, query)
        interest = sum_steps(softmax_steps(matches, steps).unsqueeze(1) * steps.values, steps)
        self.auxiliary = self.newest_step_loss(scores, steps) if self.training and self.config.auxiliary else None
        return torch.cat([interest, relevance, sum_steps(matches.unsqueeze(1), steps)], dim=1)

    def newest_step_loss(self, scores: Tensor, steps: Seq) -> Tensor | None:
        """The weighted loss of the user to item network; None where no row has two steps, or only one has any."""
        lengths, count = steps.offsets.diff(), self.config.negatives
        rows = torch.nonzero(lengths > 1).squeeze(1)
        others = elsewhere(steps, rows.repeat_interleave(count))
        if others is None:
            return None
        before = scores.masked_fill(age(steps) == 0, -torch.inf)
        weights = softmax_steps(before, steps).nan_to_num()  # rows of one step have none before it
        users = self.user(sum_steps(weights.unsqueeze(1) * steps.values, steps).index_select(0, rows))
        places = torch.cat([(steps.offsets.index_select(0, rows + 1) - 1).unsqueeze(1), others.view(-1, count)], dim=1)
        items = self.item(self.compared(steps.values.index_select(0, places.flatten())))  # (n * (1 + K), W)
        logits = (users.unsqueeze(1) * torch.unflatten(items, 0, (-1, 1 + count))).float().sum(2)
        return self.config.auxiliary * F.cross_entropy(logits, torch.zeros_like(rows))  # type: ignore[no-any-return]


class _Unit(nn.Module):
    """``z . tanh(W_q q + W_s s_l + p_l)`` of each step, (N,) float32; without W_q q where `query` is 0 wide."""

    def __init__(self, width: int, query: int, config: Config) -> None:
        super().__init__()
        self.step = linear(width, config.units, bias=False)
        self.query = linear(query, config.units, bias=False) if query else None
        self.positions = nn.Parameter(torch.zeros(config.positions, config.units))
        self.last = linear(config.units, 1, bias=False)

    def forward(self, steps: Seq, query: Tensor | None) -> Tensor:
        place = age(steps).clamp_max(self.positions.shape[0] - 1)
        hidden = self.step(steps.values) + self.positions.index_select(0, place)
        if self.query is not None:
            hidden = hidden + self.query(query).index_select(0, steps.rows)
        return self.last(torch.tanh(hidden)).squeeze(1).float()  # type: ignore[no-any-return]
