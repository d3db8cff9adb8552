"""Ranks among a few drawn items."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from easyrec.retrieval.metrics import Drawn


class Few:
    """Draws n items for each user, one after another in proportion to w, none twice: those of the n least ``E_i / w_i``.

    The E_i are exponential. Users one after another get the same items however they are cut into batches.

    Args:
        drawn: How many, and how likely.
        counts: (N,) how often each item is met in training.

    Source:
        Efraimidis and Spirakis, "Weighted random sampling with a reservoir", Information Processing Letters 2006.
    """

    def __init__(self, drawn: Drawn, counts: np.ndarray) -> None:
        self.drawn, self.random = drawn, np.random.default_rng(drawn.seed)
        self.weights: np.ndarray | None = None
        if drawn.by == "popularity":
            self.weights = np.maximum(counts, 1.0).astype(np.float32)

    def ranks(self, scores: Tensor, who: Tensor, what: Tensor) -> np.ndarray:
        """(r,) int64, from 0, where wanted items stand among what is drawn for their users and all that these want.

        Args:
            scores: (B, N) float32 of all items, -inf for those that a user is spared.
            who: (r,) int64, users.
            what: (r,) int64, items that they want.
        """
        times = self.random.standard_exponential(tuple(scores.shape), dtype=np.float32)
        if self.weights is not None:
            times /= self.weights
        waiting = torch.from_numpy(times).to(scores.device).masked_fill_(scores == -torch.inf, torch.inf)
        waiting[who, what] = torch.inf
        soonest, chosen = waiting.topk(min(self.drawn.negatives, scores.shape[1]), dim=1, largest=False)
        drawn = scores.gather(1, chosen).masked_fill_(soonest == torch.inf, -torch.inf)
        own = scores[who, what].unsqueeze(1)
        ranks = (drawn.index_select(0, who) >= own).sum(1)
        ranks += (_each(scores, who, what).index_select(0, who) >= own).sum(1) - 1
        found: np.ndarray = ranks.cpu().numpy()
        return found


def _each(scores: Tensor, who: Tensor, what: Tensor) -> Tensor:
    """(B, W), the scores of all that each user wants, once each, -inf behind the last."""
    users, items = torch.unique(torch.stack([who, what]), dim=1)
    sizes = torch.bincount(users, minlength=len(scores))
    places = torch.arange(len(users), device=users.device) - (sizes.cumsum(0) - sizes).index_select(0, users)
    found = scores.new_full((len(scores), int(sizes.max()) if len(users) else 0), -torch.inf)
    found[users, places] = scores[users, items]
    return found
