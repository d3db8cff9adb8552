"""`recent`: what is new in the catalogue."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator
from typing_extensions import Self

from feature_generator.config import fault
from serving.engine.ask import Ask
from serving.engine.recall import Found, Recall, RecallConfig
from serving.engine.rows import Ints

_MS = {"ms": 1.0, "s": 1000.0, "h": 3_600_000.0, "d": 86_400_000.0}


class Config(RecallConfig):
    """Config of `recent`."""

    for_all: ClassVar[bool] = True
    aside: ClassVar[bool] = False

    type: Literal["recent"] = "recent"
    column: str = Field(min_length=1)
    """A column of the catalogue: larger is newer. Columns of times are milliseconds since 1970."""
    unit: Literal["ms", "s", "h", "d"] | None = None
    """What the column counts since 1970; with it, items of the future are left out."""
    most_age_s: float | None = Field(None, gt=0.0)
    """What is older is left out; needs `unit`."""

    @model_validator(mode="after")
    def _with_unit(self) -> Self:
        if self.most_age_s is not None and self.unit is None:
            raise fault("needs 'unit': what does the column count since 1970?", "most_age_s")
        return self


class Recent(Recall):
    """The newest first."""

    why = "new"

    def prepare(self) -> None:
        """All items, the newest first."""
        times = self.rows.numbers(self.config.column)
        order = np.argsort(-times, kind="stable")
        self._order = order[(self.allowed & ~np.isnan(times))[order]]
        self._times = -times[self._order]

    def recall(self, ask: Ask, count: int) -> Found:
        """See the contract."""
        first, last = 0, len(self._order)
        if self.config.unit is not None:
            now = ask.question.time / _MS[self.config.unit]
            first = int(np.searchsorted(self._times, -now))
            if self.config.most_age_s is not None:
                oldest = (ask.question.time - 1000.0 * self.config.most_age_s) / _MS[self.config.unit]
                last = int(np.searchsorted(self._times, -oldest, "right"))
        return Found(self._order[first:last][:count])

    def everything(self) -> Ints:
        """See the contract."""
        return self._order
