"""`bert4rec`: a transformer that sees both ways, and tells steps that are hidden from it."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from easyrec.batch import Seq
from easyrec.config.model import EncoderConfig
from easyrec.layout import SequenceLayout
from easyrec.modules.dropout import Dropout
from easyrec.modules.mlp import linear
from easyrec.modules.sequence._encoder import age
from easyrec.modules.sequence._telling import TellingEncoder
from easyrec.modules.transformer import Transformer, TransformerConfig


class Config(TransformerConfig, EncoderConfig):
    """Config of `bert4rec`."""

    type: Literal["bert4rec"] = "bert4rec"
    layers: int = Field(2, gt=0)
    """Blocks, one after another."""
    heads: int = Field(2, gt=0)
    feedforward: int | None = Field(None, gt=0)
    """Units inside the feed-forward part; null: four times the width of a step."""
    dropout: float = Field(0.2, ge=0.0, lt=1.0)
    """Probability of zeroing an input, and what attention and the feed-forward part add, while training."""
    positions: int = Field(200, ge=0)
    """Learn a vector per position counted from the newest step, equal from this one on; 0: none."""


class BERT4Rec(TellingEncoder):
    """``norm(gelu(W x_m + b))`` with the output x_m of a transformer at a hidden step m, in whose place stands a mask.

    Its input is ``norm(s_l + p_l)``. The step that follows the newest is told by a mask behind it.

    Source:
        Sun et al., "BERT4Rec: Sequential Recommendation with Bidirectional Encoder Representations from Transformer",
        CIKM 2019, section 3.
    """

    def __init__(self, config: Config, layout: SequenceLayout) -> None:
        super().__init__(config, layout)
        self.mask = nn.Parameter(0.02 * torch.randn(layout.dim))
        self.positions = nn.Parameter(0.02 * torch.randn(config.positions, layout.dim)) if config.positions else None
        inner = config.feedforward or 4 * layout.dim
        blocks = config.model_copy(update={"feedforward": inner})
        self.transformer = Transformer(layout.dim, blocks, activation=nn.GELU)
        self.out = linear(layout.dim, layout.dim)
        self.norms = nn.ModuleList([nn.LayerNorm(layout.dim), nn.LayerNorm(layout.dim)])
        self.dropout = Dropout(config.dropout)

    def unseen(self, steps: Seq, places: Tensor) -> Tensor:
        """(P, D), what is told of these steps while all of them are hidden."""
        hidden = torch.zeros_like(steps.rows, dtype=torch.bool).index_fill(0, places, True)
        values = torch.where(hidden.unsqueeze(1), self.mask, steps.values)
        return self._outputs(steps._replace(values=values), places)

    def forward(self, steps: Seq, query: Tensor | None) -> Tensor:
        """(B, D) float32, what is told of a step behind the newest; zeros without steps."""
        rows = torch.arange(steps.offsets.shape[0] - 1, device=steps.offsets.device)
        masks = steps.offsets[1:] + rows
        kept = torch.arange(steps.rows.shape[0], device=rows.device) + steps.rows
        place = torch.cat([kept, masks])
        values = torch.cat([steps.values, self.mask.expand(rows.shape[0], -1).to(steps.values.dtype)])
        longer = Seq(
            torch.zeros_like(values).index_put((place,), values),
            torch.zeros_like(place).index_put((place,), torch.cat([steps.rows, rows])),
            steps.offsets + torch.arange(steps.offsets.shape[0], device=rows.device),
        )
        return self._outputs(longer, masks).float() * (steps.offsets.diff() > 0).unsqueeze(1)

    def _outputs(self, steps: Seq, places: Tensor) -> Tensor:
        x = steps.values
        if self.positions is not None:
            x = x + self.positions.index_select(0, age(steps).clamp_max(self.positions.shape[0] - 1))
        x = self.transformer(self.dropout(self.norms[0](x)), steps.offsets).index_select(0, places)
        return self.norms[1](nn.functional.gelu(self.out(x)))  # type: ignore[no-any-return]
