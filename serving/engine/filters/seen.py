"""`seen`: what the user was shown or clicked lately."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from serving.engine.ask import Ask
from serving.engine.filters import Filter, FilterConfig
from serving.engine.rows import Ints, Mask


class Config(FilterConfig):
    """Config of `seen`."""

    soft: ClassVar[bool] = True

    type: Literal["seen"] = "seen"
    what: list[Literal["shown", "clicked"]] = Field(["shown", "clicked"], min_length=1)
    """Items that were shown, and items that were clicked and the like, as far as `history` holds them."""
    within_s: float | None = Field(None, gt=0.0)
    """How long ago at most; default: as long as `history` keeps it."""


class Seen(Filter):
    """Given up where a list would be short."""

    def keeps(self, ask: Ask, items: Ints) -> Mask | None:
        """See the contract."""
        past, what = ask.past, self.config.what
        keys = [*(past.shown if "shown" in what else ()), *(past.keys if "clicked" in what else ())]
        if self.config.within_s is not None:
            times = [*(past.shown_times if "shown" in what else ()), *(past.times if "clicked" in what else ())]
            oldest = ask.question.time - 1000.0 * self.config.within_s
            keys = [key for key, time in zip(keys, times, strict=True) if time >= oldest]
        if not keys:
            return None
        return ~np.isin(items, self.rows.find(keys))
