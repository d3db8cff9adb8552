"""`frequency_cap`: at most so many of a kind within so many positions, and no item too often for a user."""

from __future__ import annotations

from collections import Counter
from typing import Literal

import numpy as np
from pydantic import Field, model_validator
from typing_extensions import Self

from serving.engine.ask import Ask
from serving.engine.merge import Candidates
from serving.engine.rerank import Rerank, RerankConfig, chosen_first


class Config(RerankConfig):
    """Config of `frequency_cap`."""

    type: Literal["frequency_cap"] = "frequency_cap"
    by: str | None = Field(None, min_length=1)
    """A column of the catalogue, e.g. `brand`."""
    most: int = Field(2, ge=1)
    """How many items of one value may stand within `window` positions."""
    window: int | None = Field(None, ge=2)
    """Default: the whole list."""
    shown: int | None = Field(None, ge=1)
    """How often a user may be shown an item within `within_s`; who was shown it as often gets it last."""
    within_s: float = Field(86_400.0, gt=0.0)

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.by is None and self.shown is None:
            raise ValueError("needs 'by' or 'shown': what is not to come too often?")
        return self


class FrequencyCap(Rerank):
    """Takes the best item that does not come too often; where there is none, the best one."""

    def prepare(self) -> None:
        """Values of the column as numbers."""
        self._codes = None if self.config.by is None else self.rows.groups(self.config.by).first
        self._values = 0 if self.config.by is None else len(self.rows.groups(self.config.by).values)

    def rerank(self, ask: Ask, candidates: Candidates, count: int) -> Candidates:
        """See the contract."""
        if self.config.shown is not None:
            candidates = self._without_tired(ask, candidates)
        if self._codes is None:
            return candidates
        codes, many = self._codes[candidates.rows], len(candidates)
        counts = np.zeros(self._values + 1, np.int64)  # the last is that of items without a value, which is never full
        free, chosen, window = np.ones(many, bool), list[int](), self.config.window
        for position in range(min(count, many)):
            if window is not None and position >= window:
                counts[codes[chosen[position - window]]] -= 1
            counts[-1] = -1
            able = free & (counts[codes] < self.config.most)
            pick = int(able.argmax())
            if not able[pick]:
                pick = int(free.argmax())
            chosen.append(pick)
            free[pick] = False
            counts[codes[pick]] += 1
        return candidates.take(chosen_first(many, chosen))

    def _without_tired(self, ask: Ask, candidates: Candidates) -> Candidates:
        oldest = ask.question.time - 1000.0 * self.config.within_s
        past = ask.past
        counts = Counter(key for key, time in zip(past.shown, past.shown_times, strict=True) if time >= oldest)
        tired = [key for key, times in counts.items() if times >= (self.config.shown or 1)]
        if not tired:
            return candidates
        last = np.isin(candidates.rows, self.rows.find(tired))
        return candidates.take(np.argsort(last, kind="stable"))
