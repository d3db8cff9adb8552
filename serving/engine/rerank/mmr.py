"""`mmr`: maximal marginal relevance: what is good and unlike what stands above it."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import ConfigDict, Field, model_validator
from typing_extensions import Self

from serving.engine.ask import Ask
from serving.engine.merge import Candidates
from serving.engine.rerank import Rerank, RerankConfig, chosen_first, relevance
from serving.engine.row_vectors import row_vectors


class Config(RerankConfig):
    """Config of `mmr`."""

    model_config = ConfigDict(populate_by_name=True, serialize_by_alias=True)

    type: Literal["mmr"] = "mmr"
    by: str | list[str] | None = None
    """Columns of the catalogue: items are alike as far as they have the same values in them."""
    items: str | None = Field(None, min_length=1)
    """Instead, the folder of `easyrec embed`: items are alike as their vectors' cosine says."""
    balance: float = Field(0.7, ge=0.0, le=1.0, alias="lambda")
    """1: relevance alone counts; 0: only that items differ."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.by is None) == (self.items is None):
            raise ValueError("needs either 'by' or 'items': what makes items alike?")
        return self


class MMR(Rerank):
    """Takes, one after another, the item with the largest ``lambda * relevance - (1 - lambda) * max similarity``.

    Relevance is the score between the least (0) and the largest (1) of the candidates; similarity is to what was taken.

    Source:
        Carbonell and Goldstein, "The use of MMR, diversity-based reranking for reordering documents and producing
        summaries", SIGIR 1998.
    """

    def prepare(self) -> None:
        """Values of the columns as numbers, or vectors."""
        by = self.config.by
        columns = [by] if isinstance(by, str) else by or []
        self._codes = np.stack([self.rows.groups(column).first for column in columns]) if columns else None
        self._vectors = None
        if self.config.items is not None:
            self._vectors = row_vectors(self.world, self.config.items, self.rows, unit=True)

    def refresh(self) -> None:
        """Take vectors that were written anew."""
        if self._vectors is not None:
            self._vectors.refresh()

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
