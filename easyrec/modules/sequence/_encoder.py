"""The contract of the family of sequence encoders, and sums over the steps of each row."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from easyrec.batch import Seq
from easyrec.errors import ConfigError
from easyrec.layout import SequenceLayout


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
        auxiliary: A scalar loss of its own that `forward` left in training, weighted; None where there is none.

    Raises:
        ConfigError: A candidate is needed, and no child has one.
    """

    needs_query = True

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

    def forward(self, steps: Seq, query: Tensor | None) -> Tensor:
        """Encode.

        Args:
            steps: values (N, D), rows (N,), offsets (B+1,).
            query: (B, width of `paired`), the candidates side by side; None where none is needed.

        Returns:
            (B, dim) float32.
        """
        raise TypeError(f"{type(self).__name__} must define forward")

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


def softmax_steps(scores: Tensor, steps: Seq) -> Tensor:
    """(N,), each row's `scores` (N,) as probabilities over its steps."""
    lowest = scores.new_full((steps.offsets.shape[0] - 1,), -torch.inf)
    highest = lowest.scatter_reduce(0, steps.rows, scores.detach(), "amax")
    powers = torch.exp(scores - highest.index_select(0, steps.rows))
    totals = torch.zeros_like(lowest).index_add(0, steps.rows, powers)
    return powers / totals.index_select(0, steps.rows)
