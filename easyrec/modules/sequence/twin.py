"""`twin`: target attention over the steps that it would itself give the largest scores."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal, cast

import torch
from pydantic import Field
from torch import Tensor, nn

from easyrec.batch import Seq
from easyrec.config.model import EncoderConfig
from easyrec.layout import SequenceLayout
from easyrec.modules.sequence._encoder import in_parts, softmax_steps
from easyrec.modules.sequence.target_attention import TargetAttention


class Config(EncoderConfig):
    """Config of `twin`."""

    type: Literal["twin"] = "twin"
    top: int = Field(100, gt=0)
    """How many steps are kept at most."""
    heads: int = Field(4, gt=0)
    """Heads of the attention; the search ranks by their mean."""


class TWIN(TargetAttention):
    """``[sum_l a^h_l V_h s_l]_h W`` over the `top` steps, ``a^h = softmax(x^h)``, ``x^h_l = (Q_h q).(K_h k_l)/sqrt(d) + b^h.c_l``.

    k_l are the columns of step l that are paired with the candidate q. Each other child is pressed into one number of
    c_l, and is a bias: what the step alone says. The same scores x, averaged over heads, choose the steps: as
    ``(Q_h q).(K_h k) = (K_h' Q_h q).k``, the search projects candidates alone, and takes one dot product per step.
    Only the chosen steps are projected and get a gradient.

    Source:
        Chang et al., "TWIN: TWo-stage Interest Network for Lifelong User Behavior Modeling in CTR Prediction at
        Kuaishou", KDD 2023, section 4.3.
    """

    keys_of_whole_steps: ClassVar[bool] = False

    def __init__(self, config: Any, layout: SequenceLayout) -> None:
        super().__init__(config, layout)
        crosses = [child for child in layout.children if child not in self.paired]
        self.pressed = nn.ParameterList(nn.init.normal_(torch.empty(c.dim), std=c.dim**-0.5) for c in crosses)
        self.bias = nn.Parameter(torch.ones(config.heads, len(crosses))) if crosses else None

    def forward(self, steps: Seq, query: Tensor | None) -> Tensor:
        """(B, D), the found steps weighted."""
        assert query is not None
        return super().forward(top_steps(self.relevance(steps, query), steps, self.config.top), query)

    @torch.no_grad()
    def relevance(self, steps: Seq, query: Tensor) -> Tensor:
        """(N,), the mean over heads of the scores of each step."""
        by_head = (self.heads, -1)
        asked = torch.unflatten(self.query(query), 1, by_head)  # (B, H, d)
        keys = torch.unflatten(self.key.weight, 0, by_head)  # (H, d, W)
        folded = torch.einsum("bhd,hdw->bw", asked, keys) / (self.heads * math.sqrt(keys.shape[1]))
        direction = self.as_step(folded)  # (B, D)
        if self.bias is not None:
            direction = direction + self._crosses().mean(dim=1)
        return in_parts(lambda values, rows: (values * direction.index_select(0, rows)).sum(dim=1), steps)

    def _crosses(self) -> Tensor:
        """(D, H), what a column of a step adds to the scores by itself."""
        assert self.bias is not None
        parts, number = [], 0
        for child in self.layout.children:
            if child in self.paired:
                parts.append(self.bias.new_zeros(child.dim, self.heads))
            else:
                parts.append(self.pressed[number].unsqueeze(1) * self.bias[:, number])
                number += 1
        return torch.cat(parts)

    def _weights(self, keys: Tensor, query: Tensor, steps: Seq) -> Tensor:
        """(N, H) float32, the weight of each step in each head."""
        scores = (keys * query.index_select(0, steps.rows)).float().sum(2) / math.sqrt(keys.shape[2])
        if self.bias is not None:
            scores = scores + (steps.values @ self._crosses()).float()
        return softmax_steps(scores, steps)


def top_steps(scores: Tensor, steps: Seq, top: int) -> Seq:
    """The steps of each row with its `top` largest scores (N,), in their order; the newest of equal ones."""
    rows, offsets, lengths = steps.rows, steps.offsets, steps.offsets.diff()
    # Numbers may be padded where embeddings may not: a row's limit is the `top`-th largest of them.
    width = cast(int, torch.cat([lengths, lengths.new_zeros(1)]).amax().item()) + top
    place = torch.arange(rows.shape[0], device=rows.device) - offsets.index_select(0, rows)
    padded = scores.new_full((lengths.shape[0] * width,), -torch.inf).scatter(0, rows * width + place, scores)
    limit = torch.topk(padded.view(-1, width), top, dim=1).values[:, top - 1].index_select(0, rows)
    better, equal = scores > limit, scores == limit
    room = top - torch.zeros_like(lengths).index_add(0, rows, better.long())
    before = torch.cat([lengths.new_zeros(1), equal.cumsum(0)])  # equal ones up to each step
    newer = before.index_select(0, offsets.index_select(0, rows + 1)) - before[1:]
    kept = torch.nonzero(better | (equal & (newer < room.index_select(0, rows)))).squeeze(1)
    ends = torch.cat([offsets.new_zeros(1), lengths.clamp_max(top).cumsum(0)])
    return Seq(steps.values.index_select(0, kept), rows.index_select(0, kept), ends)
