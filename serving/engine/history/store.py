"""`store`: what a feature store has of the user, such as a sequence that a stream writes."""

from __future__ import annotations

from typing import Any, Literal

import pyarrow as pa
from pydantic import Field

from serving.engine.ask import Ask
from serving.engine.history import History, HistoryConfig, Past


class Config(HistoryConfig):
    """Config of `store`; the engine needs `features`."""

    type: Literal["store"] = "store"
    clicked: str = Field(min_length=1)
    """Column of the user with the items that were clicked, oldest first."""
    times: str | None = Field(None, min_length=1)
    """Column with when, in milliseconds since 1970; default: all now."""
    seen: str | None = Field(None, min_length=1)
    """Column with the items that were shown, oldest first."""


class OfStore(History):
    """Events change nothing here: they reach the store by its stream."""

    def of(self, ask: Ask) -> Past:
        """See the contract."""
        now = ask.question.time
        clicked = self._column(ask, self.config.clicked)[: self.config.steps]
        times = self._column(ask, self.config.times)[: len(clicked)]
        shown = self._column(ask, self.config.seen)[: self.config.shown]
        if len(times) < len(clicked):
            times = [now] * len(clicked)
        return Past(clicked, times, [1.0] * len(clicked), shown, [now] * len(shown))

    def _column(self, ask: Ask, name: str | None) -> list[Any]:
        """A list, the newest first."""
        if name is None:
            return []
        found = ask.stored_columns.get(name)
        value = ask.question.user.get(name, found)
        value = value[0].as_py() if isinstance(value, pa.Array) else value
        return [one for one in reversed(value) if one is not None] if isinstance(value, list) else []
