"""`dmin`: several interests, each an attention of its own among refined steps."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from easyrec.batch import Seq
from easyrec.config.model import EncoderConfig
from easyrec.layout import SequenceLayout, Span
from easyrec.modules.activation import Activation
from easyrec.modules.mlp import linear
from easyrec.modules.sequence import din
from easyrec.modules.sequence._encoder import SequenceEncoder
from easyrec.modules.sequence._next_step import next_step_loss
from easyrec.modules.transformer import Block, BlockConfig, Heads


class Config(BlockConfig, EncoderConfig):
    """Config of `dmin`."""

    type: Literal["dmin"] = "dmin"
    interests: int = Field(4, gt=0)
    """Interests, each a head of the second attention."""
    hidden: list[Annotated[int, Field(gt=0)]] = Field([36], min_length=1)
    """Widths of the unit that weighs the steps of an interest by the candidate."""
    activation: Activation = "dice"
    positions: int = Field(200, ge=0)
    """Learn a term of that unit per position counted from the newest step, equal from this one on; 0: none."""
    auxiliary: float = Field(1.0, ge=0.0)
    """Weight of the loss that lets a refined step tell the next one; 0: none."""


class DMIN(SequenceEncoder):
    """``[sum_l a(q, z^h_l) z^h_l]_h``, the interests h of refined steps in the candidate.

    Refined steps are ``r = transformer block(s)``. The heads of another attention among them, each projected to the
    width W of the candidate, are z^h; the weights a are those of `din` with softmax and positions, one unit for all.

    While training, r_l should tell the next step from one of another row. So no step attends to newer ones, as in the
    authors' code: r_l would know what it should tell.

    Shape:
        output: (B, H * W)

    Source:
        Xiao et al., "Deep Multi-Interest Network", CIKM 2020, section 3.
    """

    stepwise = False

    def __init__(self, config: Config, layout: SequenceLayout) -> None:
        super().__init__(config, layout)
        self.width = sum(child.dim for child in self.paired)
        self.refiner = Block(layout.dim, config, causal=True)
        self.heads = Heads(layout.dim, config.interests, causal=True)
        drawn = [linear(self.heads.dim, self.width, bias=False).weight for _ in range(config.interests)]
        self.projections = nn.Parameter(torch.stack([w.detach().t() for w in drawn]))  # (H, d, W)
        unit = din.Config(hidden=config.hidden, activation=config.activation, softmax=True, positions=config.positions)
        interest = SequenceLayout(layout.name, (Span("interest", self.width, 0),), ("candidate",))
        self.unit = din.DIN(unit, interest)
        self.dim = config.interests * self.width

    def forward(self, steps: Seq, query: Tensor | None) -> Tensor:
        """(B, H * W), the interests side by side."""
        assert query is not None
        refined = self.refiner(steps.values, steps.offsets)  # (N, D)
        loss = next_step_loss(refined, steps) if self.training and self.config.auxiliary else None
        self.auxiliary = None if loss is None else self.config.auxiliary * loss
        heads = self.heads(refined, steps.offsets).transpose(0, 1)  # (H, N, d)
        count, rows = self.config.interests, query.shape[0]
        # Every head of a row is a row of the unit.
        head = torch.arange(count, device=query.device).unsqueeze(1)
        spread = Seq(
            (heads @ self.projections).flatten(0, 1),
            (head * rows + steps.rows).flatten(),
            torch.cat([(head * steps.rows.shape[0] + steps.offsets[:-1]).flatten(), steps.offsets[-1:] * count]),
        )
        interests = self.unit(spread, query.repeat(count, 1))  # (H * B, W)
        return interests.view(count, rows, self.width).transpose(0, 1).flatten(1)  # type: ignore[no-any-return]
