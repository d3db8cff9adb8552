"""The contract of the family of sequence encoders, and sums over the steps of each row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from easyrec.batch import Seq
from easyrec.errors import ConfigError
from easyrec.layout import SequenceLayout

PART = 8192
"""Steps that `in_parts` takes at a time."""


class SequenceEncoder(nn.Module):
    """From the steps of each row to one vector per row; rows without steps get zeros.

    An encoder defines `forward`.

    Args:
        config: The encoder's config.
        layout: Columns of a step, and which children are paired with a candidate.

    Attributes:
        dim: Width of the output; the steps' own width unless an encoder says otherwise.
        paired: Children that are compared with a candidate.
        needs_query: Whether `forward` must be given the candidates.
        stepwise: Whether the output has the columns of a step, so that it can be multiplied with the candidate.
        auxiliary: A scalar loss of its own that `forward` left in training, weighted; None where there is none.

    Raises:
        ConfigError: A candidate is needed, and no child has one; or `product` is wanted of an encoder whose output
            is no step.
    """

    needs_query = True
    stepwise = True

    def __init__(self, config: Any, layout: SequenceLayout) -> None:
        super().__init__()
        self.config, self.layout = config, layout
        self.auxiliary: Tensor | None = None
        self.dim = layout.dim
        self.paired = [c for c, q in zip(layout.children, layout.query, strict=True) if q is not None]
        if (self.needs_query or config.product) and not self.paired:
            children = ", ".join(c.name for c in layout.children)
            what = f"encoder '{config.type}'" + ("" if self.needs_query else " with 'product'")
            raise ConfigError(
                f"{what} compares the steps of '{layout.name}' with a candidate, but no feature of the group shares an "
                f"embedding_name with its children: {children}\n"
                f"set 'query' on the sequence, e.g. query: {{{layout.children[0].name.rpartition('__')[2]}: "
                "a feature of the group}"
            )
        if config.product and not self.stepwise:
            raise ConfigError(f"encoder '{config.type}' gives no step, so it takes no 'product' with the candidate")

    def forward(self, steps: Seq, query: Tensor | None) -> Tensor:
        """Encode.

        Args:
            steps: values (N, D), rows (N,), offsets (B+1,).
            query: (B, width of `paired`), the candidates side by side; None where none is needed.

        Returns:
            (B, dim) float32.
        """
        raise TypeError(f"{type(self).__name__} must define forward")

    def as_step(self, query: Tensor) -> Tensor:
        """(B, D), the candidate at the place of the children that it is paired with, 0 for the others."""
        parts, start = [], 0
        for child in self.layout.children:
            if child in self.paired:
                parts.append(query[:, start : start + child.dim])
                start += child.dim
            else:
                parts.append(query.new_zeros((query.shape[0], child.dim)))
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)

    def compared(self, values: Tensor) -> Tensor:
        """The columns of `values` (N, D) that are paired with a candidate, side by side."""
        if len(self.paired) == len(self.layout.children):
            return values
        parts = [values[:, child.columns] for child in self.paired]
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)


def sum_steps(values: Tensor, steps: Seq) -> Tensor:
    """(B, D) float32, the sum over each row's steps of `values` (N, D)."""
    zeros = values.new_zeros((steps.offsets.shape[0] - 1, values.shape[1]), dtype=torch.float32)
    return zeros.index_add(0, steps.rows, values.float())


def max_steps(values: Tensor, steps: Seq) -> Tensor:
    """(B, D) float32, the greatest of each column of `values` (N, D) over each row's steps; 0 where there are none."""
    zeros = values.new_zeros((steps.offsets.shape[0] - 1, values.shape[1]), dtype=torch.float32)
    rows = steps.rows.unsqueeze(1).expand_as(values)
    return zeros.scatter_reduce(0, rows, values.float(), "amax", include_self=False)


def softmax_steps(scores: Tensor, steps: Seq) -> Tensor:
    """`scores`, (N,) or (N, H), as probabilities over the steps of each row."""
    rows = steps.rows if scores.dim() == 1 else steps.rows.unsqueeze(1).expand_as(scores)
    lowest = scores.new_full((steps.offsets.shape[0] - 1, *scores.shape[1:]), -torch.inf)
    highest = lowest.scatter_reduce(0, rows, scores.detach(), "amax")
    powers = torch.exp(scores - highest.index_select(0, steps.rows))
    totals = torch.zeros_like(lowest).index_add(0, steps.rows, powers)
    return powers / totals.index_select(0, steps.rows)


def age(steps: Seq) -> Tensor:
    """(N,) int64, how many steps of the row are newer."""
    ends = steps.offsets.index_select(0, steps.rows + 1)
    return ends - 1 - torch.arange(steps.rows.shape[0], device=steps.rows.device)


def newest(steps: Seq, count: int) -> Seq:
    """The newest `count` steps of each row."""
    kept = torch.nonzero(age(steps) < count).squeeze(1)
    lengths = steps.offsets.diff().clamp_max(count)
    offsets = torch.cat([steps.offsets.new_zeros(1), lengths.cumsum(0)])
    return Seq(steps.values.index_select(0, kept), steps.rows.index_select(0, kept), offsets)


def in_parts(function: Callable[[Tensor, Tensor], Tensor], steps: Seq) -> Tensor:
    """`function(values, rows)` (N,) of many steps, a part at a time so that what it makes stays in the cache.

    Under torch.export of all at once.
    """
    if torch.compiler.is_exporting() or steps.values.shape[0] <= PART:
        return function(steps.values, steps.rows)
    parts = zip(torch.split(steps.values, PART), torch.split(steps.rows, PART), strict=True)
    return torch.cat([function(values, rows) for values, rows in parts])
