"""`pdn`: the sum of the paths from a user over each step to the candidate."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from easyrec.batch import Seq
from easyrec.config.model import EncoderConfig
from easyrec.layout import SequenceLayout
from easyrec.modules.activation import Activation, activation
from easyrec.modules.mlp import Widths, in_float32, linear
from easyrec.modules.sequence._encoder import SequenceEncoder, sum_steps

FEW = -2.0
"""Where the biases of both networks start: many paths then add up to little."""


class Config(EncoderConfig):
    """Config of `pdn`."""

    type: Literal["pdn"] = "pdn"
    trigger: Widths = Field([64], min_length=1)
    """Widths of the network that tells how much a step matters to the user."""
    similarity: Widths = Field([64], min_length=1)
    """Widths of the network that tells how near a step is to the candidate."""
    activation: Activation = "relu"


class Net(nn.Module):
    """``w . h_n(.. h_1(W x + r)) + b``, a number per step, where r is what all steps of a row share.

    Shape:
        input: (N, width)
        of_row: (N, hidden[0])
        output: (N,) float32
    """

    def __init__(self, width: int, hidden: Widths, kind: Activation) -> None:
        super().__init__()
        units, *others = hidden
        self.first = linear(width, units)
        layers: list[nn.Module] = [activation(kind, units)]
        for following in others:
            layers += [linear(units, following), activation(kind, following)]
            units = following
        self.rest, self.last = nn.Sequential(*layers), linear(units, 1)
        nn.init.constant_(self.last.bias, FEW)

    def forward(self, input: Tensor, of_row: Tensor | None) -> Tensor:
        """A number per step."""
        hidden = self.first(input)
        hidden = hidden if of_row is None else hidden + of_row
        return in_float32(self.last, self.rest(hidden)).squeeze(1)


class Paths(SequenceEncoder):
    """``sum_l log(1 + e^{t_l} e^{s_l})`` with ``t = MLP_t([x_u, s])`` and ``s = MLP_s([k_l, q, k_l * q, x_i])``.

    A path leads from the user over a step s_l, of which k_l are the columns that are compared with the candidate q. What
    a model knows of the user and of the item, x_u and x_i, joins where it gives that to `paths`. What a row's steps share
    is multiplied once for all.

    Shape:
        output: (B, 1), not negative

    Source:
        Li et al., "Path-based Deep Network for Candidate Item Matching in Recommenders", SIGIR 2021, section 3; the
        product k * q stands for the paper's relation of two items.
    """

    stepwise = False

    def __init__(self, config: Config, layout: SequenceLayout) -> None:
        super().__init__(config, layout)
        self.dim = 1
        width = sum(child.dim for child in self.paired)
        self.trigger = Net(layout.dim, config.trigger, config.activation)
        self.similarity = Net(2 * width, config.similarity, config.activation)
        self.candidate = linear(width, config.similarity[0], bias=False)

    def forward(self, steps: Seq, query: Tensor | None) -> Tensor:
        """(B, 1), the sum of each row's paths."""
        return self.paths(steps, query)

    def paths(self, steps: Seq, query: Tensor | None, user: Tensor | None = None, item: Tensor | None = None) -> Tensor:
        """The same.

        Args:
            steps: The steps.
            query: (B, W), the candidates.
            user: (B, trigger[0]), what the rows' users add to the trigger's first layer.
            item: (B, similarity[0]), what the candidates add to the similarity's.
        """
        assert query is not None
        of_item = self.candidate(query)
        of_item = of_item if item is None else of_item + item
        keys = self.compared(steps.values)  # (N, W)
        matched = torch.cat([keys, keys * query.index_select(0, steps.rows)], dim=1)
        trigger = self.trigger(steps.values, None if user is None else user.index_select(0, steps.rows))
        similarity = self.similarity(matched, of_item.index_select(0, steps.rows))
        return sum_steps(F.softplus(trigger + similarity).unsqueeze(1), steps)
