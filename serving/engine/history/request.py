"""`request`: what clients send along: `user.clicked` and `user.shown`, lists of items, the newest first."""

from __future__ import annotations

from typing import Literal

from serving.engine.ask import Ask
from serving.engine.history import History, HistoryConfig, Past


class Config(HistoryConfig):
    """Config of `request`."""

    type: Literal["request"] = "request"
    clicked: str = "clicked"
    """Column of the request's `user` with the items that it clicked, the newest first."""
    seen: str = "shown"
    """Column with those that it was shown."""


class FromRequest(History):
    """Nothing is kept here."""

    def of(self, ask: Ask) -> Past:
        """See the contract."""
        config, given, now = self.config, ask.question.user, ask.question.time
        clicked, shown = (given.get(name) or [] for name in (config.clicked, config.seen))
        clicked = clicked[: config.steps] if isinstance(clicked, list) else []
        shown = shown[: config.shown] if isinstance(shown, list) else []
        return Past(clicked, [now] * len(clicked), [1.0] * len(clicked), shown, [now] * len(shown))
