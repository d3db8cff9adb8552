"""Attention among the steps of each row, without padding them to the longest row."""

from __future__ import annotations

import math
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from easyrec.modules.alike import Padding, in_groups, in_turns

NEVER = -1e30
"""A score that weighs nothing, and unlike -inf has a gradient."""


def attend(projected: Tensor, offsets: Tensor, *, causal: bool = False) -> Tensor:
    """``softmax(Q K' / sqrt(d)) V`` among the steps of each row, for each head; with `causal` no step sees a later one.

    Rows are taken in the order of their lengths: in groups whose lengths differ by a fifth at most, on a GPU by half, each
    padded to its own longest; under torch.export 64 at a time, in a loop that a stored program repeats.

    Shape:
        projected: (N, 3, H, d), the queries, keys and values of all rows' steps
        offsets: (B+1,), row b has the steps `offsets[b] .. offsets[b+1]`
        output: (N, H, d)
    """
    if torch.compiler.is_exporting():
        return _captured(projected, offsets, causal=causal)
    if not projected.shape[0]:
        return projected[:, 0]
    attended: Tensor = in_groups(partial(_padded, causal=causal), offsets, projected)
    return attended


def _padded(lengths: Tensor, longest: int, projected: Tensor, *, causal: bool) -> Tensor:
    """(n, H, d), attention among rows of these lengths, (n, 3, H, d), padded to the longest."""
    padding, bias = Padding(lengths, longest, projected.shape[0]), None
    if padding.inside is not None:
        bias = projected.new_zeros(padding.rows, 1, longest if causal else 1, longest)
        hidden = ~padding.inside[:, None, None]
        bias = bias.masked_fill(hidden | _later(longest, lengths) if causal else hidden, -torch.inf)
    queries, keys, values = padding.filled(projected).permute(2, 0, 3, 1, 4)  # (R, H, L, d) each
    given = {"is_causal": True} if causal and bias is None else {"attn_mask": bias}
    return padding.taken(F.scaled_dot_product_attention(queries, keys, values, **given).transpose(1, 2))


def _later(longest: int, like: Tensor) -> Tensor:
    """(L, L), whether a key lies behind its query."""
    within = torch.arange(longest, device=like.device)
    return within > within.unsqueeze(1)


def _captured(projected: Tensor, offsets: Tensor, *, causal: bool = False) -> Tensor:
    """The same as a loop over groups of rows, every operator of which a stored program may call.

    Places without a step hold a key that no query takes: queries and keys have one column more, of ones and of zeros,
    there a large negative number. So no mask goes over the scores unless they are causal.
    """
    total, _, heads, dim = projected.shape
    queries, keys, values = projected[:, 0] / math.sqrt(dim), projected[:, 1], projected[:, 2]  # (N, H, d) each
    one = projected.new_ones(total, heads, 1)
    steps = torch.cat([queries, one, keys, torch.zeros_like(one), values], dim=2)  # (N, H, 3d + 2)
    none = projected.new_zeros(1, heads, 2 * dim + 1)
    none = torch.cat([none, projected.new_full((1, heads, 1), NEVER), none[:, :, :dim]], dim=2)

    def attend_to_some(filled: Tensor, within: Tensor) -> Tensor:
        filled = torch.unflatten(filled, 2, (heads, -1)).transpose(1, 2)  # (R, H, L, 3d + 2)
        scores = filled[..., : dim + 1] @ filled[..., dim + 1 : 2 * dim + 2].transpose(2, 3)
        if causal:
            scores = scores.masked_fill(within > within.unsqueeze(1), NEVER)
        return (torch.softmax(scores, dim=3) @ filled[..., 2 * dim + 2 :]).transpose(1, 2)

    output = in_turns(attend_to_some, offsets, torch.cat([steps, none]).flatten(1), heads * dim)
    return torch.unflatten(output, 1, (heads, dim))
