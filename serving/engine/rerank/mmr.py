"""`mmr`: maximal marginal relevance: what is good and unlike what stands above it."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import ConfigDict, Field

from serving.engine.ask import Ask
from serving.engine.merge import Candidates
from serving.engine.rerank import chosen_first, relevance
from serving.engine.rerank._alike import Alike, AlikeConfig


class Config(AlikeConfig):
    """Config of `mmr`."""

    model_config = ConfigDict(populate_by_name=True, serialize_by_alias=True)

    type: Literal["mmr"] = "mmr"
    balance: float = Field(0.7, ge=0.0, le=1.0, alias="lambda")
    """1: relevance alone counts; 0: only that items differ."""


class MMR(Alike):
    """Takes, one after another, the item with the largest ``lambda * relevance - (1 - lambda) * max similarity``.

    Relevance is the score between the least (0) and the largest (1) of the candidates; similarity is to what was taken.

    Source:
        Carbonell and Goldstein, "The use of MMR, diversity-based reranking for reordering documents and producing
        summaries", SIGIR 1998.
    """

    def rerank(self, ask: Ask, candidates: Candidates, count: int) -> Candidates:
        """See the contract."""
        balance, many = self.config.balance, len(candidates)
        gains = balance * relevance(candidates.scores)
        codes = None if self._codes is None else self._codes[:, candidates.rows]
        made = None if self._vectors is None else self._vectors.made
        vectors = None if made is None else made[0][candidates.rows]
        alike = np.zeros(many)
        chosen: list[int] = []
        for _ in range(min(count, many)):
            pick = int((gains - (1.0 - balance) * alike).argmax())
            chosen.append(pick)
            gains[pick] = -np.inf
            if codes is not None:
                same = (codes == codes[:, pick, None]) & (codes >= 0)
                now = same[0].astype(np.float64) if len(same) == 1 else same.mean(axis=0)
            elif vectors is not None:
                now = (vectors @ vectors[pick]).astype(np.float64)
            else:
                break
            np.maximum(alike, now, out=alike)
        return candidates.take(chosen_first(many, chosen))
