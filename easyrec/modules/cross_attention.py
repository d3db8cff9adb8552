"""Attention of each row's queries to the row's steps, without padding these to the longest row."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from easyrec.batch import Seq
from easyrec.modules.alike import Padding, alike, places
from easyrec.modules.sequence._encoder import softmax_steps


def attend_across(queries: Tensor, steps: Seq) -> Tensor:
    """``softmax(Q K' / sqrt(d)) V`` of each row's queries over the steps of the row, for each head.

    Rows are taken in groups of like lengths, each padded to its own longest; under torch.export step by step.

    Shape:
        queries: (B, T, H, d)
        steps.values: (N, 2, H, d), keys and values
        output: (B, T, H, d), zeros in rows without steps
    """
    if torch.compiler.is_exporting():
        return _captured(queries, steps)
    attended: Tensor = _in_groups(queries, steps)
    return attended


@torch.compiler.disable  # type: ignore[untyped-decorator]  # the number of groups is in the data
def _in_groups(queries: Tensor, steps: Seq) -> Tensor:
    lengths, order = torch.sort(steps.offsets.diff(), descending=True, stable=True)
    groups = list(alike(lengths.tolist(), lengths.device))
    if not groups:
        return queries
    place = places(steps.offsets.index_select(0, order), lengths)
    parts = torch.split(steps.values.index_select(0, place), [count for *_, count in groups])
    ordered = queries.index_select(0, order)
    results = [
        _padded(ordered[first:last], part, lengths[first:last])
        for part, (first, last, _) in zip(parts, groups, strict=True)
    ]
    back = torch.empty_like(order)
    back[order] = torch.arange(order.shape[0], device=order.device)
    return torch.cat(results).index_select(0, back)


def _padded(queries: Tensor, keys_values: Tensor, lengths: Tensor) -> Tensor:
    """(R, T, H, d), of rows with these lengths, padded to the first, which is the longest."""
    longest = int(lengths[0])
    if not longest:
        return torch.zeros_like(queries)
    padding, bias = Padding(lengths, longest, keys_values.shape[0]), None
    if padding.inside is not None:
        bias = queries.new_zeros(padding.rows, 1, 1, longest).masked_fill(~padding.inside[:, None, None], -torch.inf)
    keys, values = padding.filled(keys_values).permute(2, 0, 3, 1, 4)  # (R, H, L, d) each
    attended = F.scaled_dot_product_attention(queries.transpose(1, 2), keys, values, attn_mask=bias).transpose(1, 2)
    empty = lengths == 0
    return attended.masked_fill(empty[:, None, None, None], 0.0) if int(lengths[-1]) == 0 else attended


def _captured(queries: Tensor, steps: Seq) -> Tensor:
    """The same by sums over the steps of each row, of operators that a stored program may call."""
    keys, values = steps.values[:, 0].unsqueeze(1), steps.values[:, 1].unsqueeze(1)  # (N, 1, H, d) each
    own = queries.index_select(0, steps.rows)  # (N, T, H, d)
    scores = (own * keys).sum(dim=3) / queries.shape[3] ** 0.5  # (N, T, H)
    shares = torch.unflatten(softmax_steps(scores.flatten(1), steps), 1, (queries.shape[1], queries.shape[2]))
    return torch.zeros_like(queries).index_add(0, steps.rows, shares.unsqueeze(3) * values)
