"""`bst`: a transformer over the steps and the candidate."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from easyrec.batch import Seq
from easyrec.config.model import EncoderConfig
from easyrec.layout import SequenceLayout
from easyrec.modules.sequence._encoder import SequenceEncoder, age, sum_steps
from easyrec.modules.transformer import Transformer, TransformerConfig


class Config(TransformerConfig, EncoderConfig):
    """Config of `bst`."""

    type: Literal["bst"] = "bst"
    positions: int = Field(200, ge=0)
    """Learn a vector per position counted from the candidate, equal from this one on; 0: none."""
    pooling: Literal["mean", "sum", "candidate"] = "mean"
    """What becomes of a row's outputs: their mean or sum, or that of the candidate alone."""


class BST(SequenceEncoder):
    """``mean(transformer([s_1 + p_L .. s_L + p_1, q + p_0]))``.

    The candidate q is the newest step, with zeros where a child is paired with nothing. Positions are counted from it,
    and learned; the paper counts seconds, and gives the MLP all outputs of a fixed number of steps side by side.

    Source:
        Chen et al., "Behavior Sequence Transformer", DLP-KDD 2019, sections 2.1 and 2.2.
    """

    def __init__(self, config: Config, layout: SequenceLayout) -> None:
        super().__init__(config, layout)
        self.positions = nn.Parameter(torch.zeros(config.positions, layout.dim)) if config.positions else None
        self.transformer = Transformer(layout.dim, config)

    def forward(self, steps: Seq, query: Tensor | None) -> Tensor:
        """(B, D), the pooled outputs."""
        assert query is not None
        whole = with_candidate(steps, self.as_step(query))
        places = whole.values
        if self.positions is not None:
            places = places + self.positions.index_select(0, age(whole).clamp_max(self.positions.shape[0] - 1))
        x: Tensor = self.transformer(places, whole.offsets)
        lengths = steps.offsets.diff().unsqueeze(1)
        if self.config.pooling == "candidate":
            pooled: Tensor = x.index_select(0, whole.offsets[1:] - 1).float()
        else:
            pooled = sum_steps(x, whole)
            pooled = pooled / (lengths + 1) if self.config.pooling == "mean" else pooled
        return pooled * (lengths > 0)


def with_candidate(steps: Seq, candidate: Tensor) -> Seq:
    """The steps of each row and its `candidate` (B, D) behind them."""
    rows = torch.arange(candidate.shape[0], device=candidate.device)
    total = steps.values.shape[0]
    place = torch.cat([torch.arange(total, device=rows.device) + steps.rows, steps.offsets[1:] + rows])
    values = torch.cat([steps.values, candidate])
    offsets = steps.offsets + torch.arange(steps.offsets.shape[0], device=rows.device)
    return Seq(
        torch.zeros_like(values).index_put((place,), values),
        torch.zeros_like(place).index_put((place,), torch.cat([steps.rows, rows])),
        offsets,
    )
