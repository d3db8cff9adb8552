"""`dpp`: a determinantal point process: the list whose items are good and, all together, span the most."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from serving.engine.ask import Ask
from serving.engine.merge import Candidates
from serving.engine.rerank import chosen_first, relevance
from serving.engine.rerank._alike import Alike, AlikeConfig

LEAST = 1e-9
"""What an item adds to the volume at least; where none adds more, the others follow by their scores."""


class Config(AlikeConfig):
    """Config of `dpp`."""

    type: Literal["dpp"] = "dpp"
    quality: float = Field(2.0, ge=0.0, le=50.0)
    """How much relevance counts beside diversity; 0: not at all."""
    alike: float = Field(0.9, ge=0.0, lt=1.0)
    """Similarity of items that could not be more alike."""


class DPP(Alike):
    """Takes, one after another, the item that enlarges ``det(L)`` the most, ``L_ij = q_i q_j S_ij, q_i = exp(quality r_i / 2)``.

    r is the score between the least (0) and the largest (1) of the candidates, S similarity.

    Source:
        Chen, Zhang and Zhou, "Fast greedy MAP inference for determinantal point process to improve recommendation
        diversity", NeurIPS 2018, algorithm 1.
    """

    def rerank(self, ask: Ask, candidates: Candidates, count: int) -> Candidates:
        """See the contract."""
        many = len(candidates)
        steps = min(count, many)
        quality = np.exp(0.5 * self.config.quality * relevance(candidates.scores))
        codes = None if self._codes is None else self._codes[:, candidates.rows]
        made = None if self._vectors is None else self._vectors.made
        vectors = None if made is None else made[0][candidates.rows]
        gains = quality * quality
        factors = np.zeros((steps, many))
        chosen: list[int] = []
        for step in range(steps):
            pick = int(gains.argmax())
            if gains[pick] < LEAST:
                break
            chosen.append(pick)
            if vectors is not None:
                alike = 0.5 + 0.5 * (vectors @ vectors[pick]).astype(np.float64)
            elif codes is not None:
                alike = ((codes == codes[:, pick, None]) & (codes >= 0)).mean(axis=0)
            else:
                break
            kernel = self.config.alike * quality[pick] * quality * alike
            kernel[pick] = quality[pick] * quality[pick]
            factor = (kernel - factors[:step, pick] @ factors[:step]) / np.sqrt(gains[pick])
            factors[step] = factor
            gains = gains - factor * factor
            gains[pick] = -np.inf
        return candidates.take(chosen_first(many, chosen))
