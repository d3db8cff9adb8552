"""Beam search over the codes of items: the best beginnings are kept, level by level, and no code is written that no item has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from easyrec.retrieval.trie import Trie

Advance = Callable[[Tensor | None, Tensor | None], Tensor]
"""From (B, K) parents among the beams before and the codes that were written behind these, to (B, K, C) log-probabilities of
the next code; from None to those of the first, (B, 1, C)."""


@dataclass(frozen=True)
class Grown:
    """What the beams of some users can go on to: M beginnings, one code longer.

    Attributes:
        level: How many codes the beams hold.
        users: (M,), whose each is, ascending.
        beams: (M,), which beam it goes on from, all users' K counted.
        codes: (M,), the code that is added.
        before: (M,), the score of the beam.
        parents, written: (B, K), where the beams came from, among those before, and their last codes; None at first. A beam
            that holds fewer beginnings than it could is filled with parents and codes of 0, whose results are not read.
    """

    level: int
    users: Tensor
    beams: Tensor
    codes: Tensor
    before: Tensor
    parents: Tensor | None
    written: Tensor | None


Score = Callable[[Grown], Tensor]
"""Gives (M,), the scores that are compared."""


def beam_search(
    trie: Trie, advance: Advance, users: int, beam: int, barred: tuple[Tensor, Tensor] | None = None
) -> tuple[Tensor, Tensor]:
    """The items whose codes are the most probable, as far as the beam holds their beginnings.

    With a beam of as many items as there are it is the exact order of all.

    Args:
        trie: The items.
        advance: The model.
        users: B.
        beam: K, how many beginnings are kept for each user.
        barred: Users and items (n,) that are not found together.

    Returns:
        (B, k) int64 items, the most probable first, -1 behind the last, k at most K; (B, k) their log-probabilities.
    """
    return search(trie, added(advance), users, beam, barred)


def added(advance: Advance) -> Score:
    """The log-probability of a beginning: that of the beam, and that of the code behind it."""

    def score(grown: Grown) -> Tensor:
        logs = advance(grown.parents, grown.written).flatten(0, 1)
        return grown.before + logs[grown.beams, grown.codes]

    return score


def search(
    trie: Trie, score: Score, users: int, beam: int, barred: tuple[Tensor, Tensor] | None = None
) -> tuple[Tensor, Tensor]:
    """The same by any score of beginnings: on each level the best are kept, and those of the last one are found.

    Beginnings all of whose items are barred are left out on every level, so that each that is kept leads to an item.

    Args:
        trie: The items.
        score: What beginnings are compared by.
        users: B.
        beam: K.
        barred: Users and items (n,) that are not found together.

    Returns:
        (B, k) items, and (B, k) their scores.
    """
    device = trie.items.device
    nodes = torch.zeros(users, 1, dtype=torch.int64, device=device)
    scores = torch.zeros(users, 1, device=device)
    parents = codes = None
    bars = None if barred is None else _Bars(trie, barred)
    for level in range(trie.levels):
        starts, width = trie.starts[level], nodes.shape[1]
        alive = scores > -torch.inf
        counts = torch.where(alive, starts[nodes + 1] - starts[nodes], 0).flatten()  # (B * k,)
        beams = torch.repeat_interleave(counts)  # whose child each candidate is, (M,)
        within = torch.arange(beams.shape[0], device=device) - (counts.cumsum(0) - counts)[beams]
        children = starts[nodes.flatten()[beams]] + within
        rows = beams // max(width, 1)
        found = score(Grown(level, rows, beams, trie.codes[level][children], scores.flatten()[beams], parents, codes))
        if bars is not None:
            found = found.masked_fill(bars.among(level + 1, rows, children), -torch.inf)
        # Each user's candidates side by side.
        of_user = counts.view(users, width).sum(1)
        most = int(of_user.max()) if users else 0
        place = torch.arange(beams.shape[0], device=device) - (of_user.cumsum(0) - of_user)[rows]
        dense = scores.new_full((users, most), -torch.inf)
        dense[rows, place] = found
        which = torch.zeros(users, most, dtype=torch.int64, device=device)
        which[rows, place] = torch.arange(beams.shape[0], device=device)
        scores, chosen = dense.topk(min(beam, most), dim=1)
        picked = which.gather(1, chosen)
        real = scores > -torch.inf
        nodes = torch.where(real, children[picked], 0) if len(children) else torch.zeros_like(picked)
        parents = torch.where(real, beams[picked] % max(width, 1), 0) if len(beams) else torch.zeros_like(picked)
        codes = torch.where(real, trie.codes[level][nodes], 0)
    return torch.where(scores > -torch.inf, trie.items[nodes], -1), scores


def in_turns(
    part: Callable[[int, int], Score],
    users: int,
    step: int,
    trie: Trie,
    beam: int,
    k: int,
    barred: tuple[Tensor, Tensor] | None,
) -> tuple[Tensor, Tensor]:
    """(B, k) the best items of each user, -1 behind the last, and (B, k) their scores.

    Args:
        part: What beginnings of some users, from one to before another, are compared by.
        users: B.
        step: Users that are searched for at once.
        trie: The items.
        beam: Beginnings that are kept, at least k where there are so many items.
        k: How many are found.
        barred: Users and items (n,) that are not found together.
    """
    device = trie.items.device
    parts = [(torch.zeros(0, k, dtype=torch.int64, device=device), torch.zeros(0, k, device=device))]
    for start in range(0, users, step):
        stop = min(start + step, users)
        bars = None
        if barred is not None:
            mine = (barred[0] >= start) & (barred[0] < stop)
            bars = barred[0][mine] - start, barred[1][mine]
        items, scores = search(trie, part(start, stop), stop - start, beam, bars)
        short = max(k - items.shape[1], 0)
        parts.append((F.pad(items[:, :k], (0, short), value=-1), F.pad(scores[:, :k], (0, short), value=-torch.inf)))
    return torch.cat([items for items, _ in parts]), torch.cat([scores for _, scores in parts])


class _Bars:
    """Nodes that some users are not led to, as none of the items below them may be found.

    Args:
        trie: The items.
        barred: Users and items (n,).
    """

    def __init__(self, trie: Trie, barred: tuple[Tensor, Tensor]) -> None:
        places = trie.places(barred[1])
        pairs = torch.unique(barred[0][places >= 0] * len(trie.items) + places[places >= 0])
        self.trie, self.users, self.places = trie, pairs // len(trie.items), pairs % len(trie.items)

    def among(self, level: int, users: Tensor, nodes: Tensor) -> Tensor:
        """(M,), whether all items below a node of a level are barred for a user."""
        first = self.trie.leaves[level]
        above = torch.searchsorted(first, self.places, right=True) - 1
        found, counts = torch.unique(self.users * len(first) + above, return_counts=True)
        whole = found[counts == (first[1:] - first[:-1])[found % len(first)]]
        return torch.isin(users * len(first) + nodes, whole)
