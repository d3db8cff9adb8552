"""`request`: what clients send along: `user.clicked` and `user.shown`, lists of items, the newest first."""

from __future__ import annotations

from typing import Literal

from serving.engine.history import History, HistoryConfig, Past


class Config(HistoryConfig):
    """Config of `request`."""

    type: Literal["request"] = "request"
    clicked: str = "clicked"
    """Column of the request's `user` with the items that it clicked, the newest first."""
    seen: str = "shown"
    """Column with those that it was shown."""


class FromRequest(History):
    """Nothing is kept here; `World.past` reads the request."""

    def past(self, user: str, now: int) -> Past:
        """Nothing is known of a user without the request."""
        return Past()
