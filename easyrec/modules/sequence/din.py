"""`din`: the steps weighted by how they match the candidate."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from easyrec.batch import Seq
from easyrec.config.model import EncoderConfig
from easyrec.layout import SequenceLayout
from easyrec.modules.activation import Activation, activation
from easyrec.modules.mlp import linear
from easyrec.modules.product import product
from easyrec.modules.sequence._encoder import SequenceEncoder, age, softmax_steps, sum_steps


class Config(EncoderConfig):
    """Config of `din`."""

    type: Literal["din"] = "din"
    hidden: list[Annotated[int, Field(gt=0)]] = Field([36], min_length=1)
    """Widths of the attention unit's layers."""
    activation: Activation = "dice"
    softmax: bool = False
    """Make the weights of a row's steps sum to 1. The paper leaves them as they are, to keep intensity of interest."""
    positions: int = Field(0, ge=0)
    """Learn a term per position counted from the newest step, equal from this one on; 0: none."""


class DIN(SequenceEncoder):
    """``sum_l a(q, s_l) s_l``, with the weight a = MLP([q, k_l, q - k_l, q * k_l]) of each step.

    q is the candidate, k_l the columns of the step s_l that are paired with it; columns that are paired with nothing
    also enter the MLP. The steps of all rows lie one after another, there is no padding, and the MLP's first layer is
    split, which changes nothing but the cost:
    ``W [q, k, q - k, q * k] = (W_q + W_d) q + (W_k - W_d) k + W_m (q * k)``, whose first term is computed once per row.

    Source:
        Zhou et al., "Deep Interest Network", KDD 2018, eq. (2) and figure 2; the inputs q - k and q * k are those of
        the authors' code.
    """

    def __init__(self, config: Config, layout: SequenceLayout) -> None:
        super().__init__(config, layout)
        width = sum(child.dim for child in self.paired)
        self.width = width
        self.unpaired = [child for child in layout.children if child not in self.paired]
        first, *others = config.hidden
        self.first = linear(4 * width + sum(child.dim for child in self.unpaired), first)
        self.recency = nn.Parameter(torch.zeros(config.positions, first)) if config.positions else None
        layers: list[nn.Module] = [activation(config.activation, first)]
        for units in others:
            layers += [linear(first, units), activation(config.activation, units)]
            first = units
        self.rest = nn.Sequential(*layers)
        self.last = linear(first, 1, bias=not config.softmax)  # softmax ignores what all steps share

    def forward(self, steps: Seq, query: Tensor | None) -> Tensor:
        """(B, D), the interest of each row in its candidate."""
        assert query is not None
        weights = self.weights(steps, query)
        return sum_steps(weights.unsqueeze(1) * steps.values, steps)

    def weights(self, steps: Seq, query: Tensor) -> Tensor:
        """(N,) float32, the weight of each step."""
        keys = self.compared(steps.values)  # (N, W)
        per_query, per_key, difference, match = torch.split(self.first.weight[:, : 4 * self.width], self.width, dim=1)
        of_row = product(query, per_query + difference, self.first.bias)  # (B, H)
        spread = query.index_select(0, steps.rows)  # (N, W)
        parts = [keys, spread * keys, *(steps.values[:, child.columns] for child in self.unpaired)]
        matrix = torch.cat([per_key - difference, match, self.first.weight[:, 4 * self.width :]], dim=1)
        hidden = product(torch.cat(parts, dim=1), matrix) + of_row.index_select(0, steps.rows)  # (N, H)
        if self.recency is not None:
            hidden = hidden + self.recency.index_select(0, age(steps).clamp_max(self.config.positions - 1))
        scores = self.last(self.rest(hidden)).squeeze(1).float()
        return softmax_steps(scores, steps) if self.config.softmax else scores
