"""Beam search over the codes of items: the best beginnings are kept, level by level, and no code is written that no item has."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from easyrec.retrieval.trie import Trie

Advance = Callable[[Tensor | None, Tensor | None], Tensor]
"""From (B, K) parents among the beams before and the codes that were written behind these, to (B, K, C) log-probabilities of
the next code; from None to those of the first, (B, 1, C)."""


def beam_search(
    trie: Trie, advance: Advance, users: int, beam: int, barred: tuple[Tensor, Tensor] | None = None
) -> tuple[Tensor, Tensor]:
    """The items whose codes are the most probable, as far as the beam holds their beginnings.

    With a beam of as many items as there are it is the exact order of all.

    Args:
        trie: The items.
        advance: The model. A beam that holds fewer beginnings than it could is filled with parents and codes of 0, whose
            results are not read.
        users: B.
        beam: K, how many beginnings are kept for each user.
        barred: Users and items (n,) that are not found together.

    Returns:
        (B, k) int64 items, the most probable first, -1 behind the last, k at most K; (B, k) their log-probabilities.
    """
    nodes = torch.zeros(users, 1, dtype=torch.int64)
    scores = torch.zeros(users, 1)
    parents = codes = None
    for level in range(trie.levels):
        logs = advance(parents, codes)  # (B, k, C)
        starts, width = trie.starts[level], nodes.shape[1]
        alive = scores > -torch.inf
        counts = torch.where(alive, starts[nodes + 1] - starts[nodes], 0).flatten()  # (B * k,)
        beams = torch.repeat_interleave(counts)  # whose child each candidate is, (M,)
        within = torch.arange(beams.shape[0]) - (counts.cumsum(0) - counts)[beams]
        children = starts[nodes.flatten()[beams]] + within
        rows = beams // max(width, 1)
        found = scores.flatten()[beams] + logs.flatten(0, 1)[beams, trie.codes[level][children]]
        if barred is not None and level + 1 == trie.levels:
            found = found.masked_fill(_among(rows, trie.items[children], barred), -torch.inf)
        # Each user's candidates side by side.
        of_user = counts.view(users, width).sum(1)
        most = int(of_user.max()) if users else 0
        place = torch.arange(beams.shape[0]) - (of_user.cumsum(0) - of_user)[rows]
        dense = scores.new_full((users, most), -torch.inf)
        dense[rows, place] = found
        which = torch.zeros(users, most, dtype=torch.int64)
        which[rows, place] = torch.arange(beams.shape[0])
        scores, chosen = dense.topk(min(beam, most), dim=1)
        picked = which.gather(1, chosen)
        real = scores > -torch.inf
        nodes = torch.where(real, children[picked], 0) if len(children) else torch.zeros_like(picked)
        parents = torch.where(real, beams[picked] % max(width, 1), 0) if len(beams) else torch.zeros_like(picked)
        codes = torch.where(real, trie.codes[level][nodes], 0)
    return torch.where(scores > -torch.inf, trie.items[nodes], -1), scores


def _among(rows: Tensor, items: Tensor, barred: tuple[Tensor, Tensor]) -> Tensor:
    """(M,), whether a user and an item are among pairs of them."""
    if not len(barred[0]) or not len(rows):
        return torch.zeros(rows.shape, dtype=torch.bool)
    most = int(max(items.max(), barred[1].max())) + 1
    return torch.isin(rows * most + items, barred[0] * most + barred[1])
