"""History: what users clicked lately and what they were shown, as recall and filters read it.

The contract of the family: `serving/engine/history/<type>.py` holds the history's `Config` over `HistoryConfig`, and one
class over `History`. Users are texts; of each the newest items count, and are forgotten after a while.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from easyrec.config.family import implementation
from feature_generator.config import StrictModel

if TYPE_CHECKING:
    from serving.engine.ask import Ask

PACKAGE = "serving.engine.history"


class HistoryConfig(StrictModel):
    """What the config of every history has; a history's own `Config` derives from it.

    Attributes:
        shared: Whether all processes of a server see the same.
    """

    family: ClassVar[str | None] = PACKAGE
    shared: ClassVar[bool] = True

    type: str
    steps: int = Field(50, ge=1, le=10_000)
    """Clicks and the like that are kept of a user."""
    shown: int = Field(500, ge=0, le=100_000)
    """Items that a user was shown and that are kept; the filter `seen` reads them."""
    keep_s: float = Field(604_800.0, gt=0.0)
    """What is older is forgotten, by event time."""
    columns: dict[str, str] = {}
    """Columns of the user that are made of the clicks, oldest first: by name, a column of the catalogue, or `event_time_ms`,
    `event_time_s`, `hours_ago`. What a feature store has of the column stands before them."""


@dataclass(frozen=True)
class Past:
    """What a user did lately.

    Attributes:
        keys: Items that were clicked and the like, the newest first.
        times: When each was, in milliseconds since 1970.
        weights: What each is worth as a sign of interest.
        shown: Items that were shown, the newest first.
        shown_times: When.
    """

    keys: Sequence[Any] = ()
    times: Sequence[int] = ()
    weights: Sequence[float] = ()
    shown: Sequence[Any] = ()
    shown_times: Sequence[int] = ()


@dataclass
class Event:
    """Something that a user did.

    Attributes:
        event_id: Tells events apart: what comes twice counts once.
        type: One of those that the config names.
        request_id: Of the list in which the item stood; empty: none.
        value: E.g. a price.
    """

    event_id: str
    type: str
    user_id: str | int
    item_id: str | int
    time: int
    request_id: str = ""
    value: float = 1.0
    more: dict[str, Any] = field(default_factory=dict)


class History:
    """What users did lately. Safe to use from several threads.

    Args:
        config: Its config.
    """

    def __init__(self, config: Any) -> None:
        self.config = config

    def of(self, ask: Ask) -> Past:
        """What the user of a request did."""
        return self.past(str(ask.question.user_id), ask.question.time)

    def past(self, user: str, now: int) -> Past:
        """What a user did, where it is kept here.

        Args:
            user: Who.
            now: Milliseconds since 1970.
        """
        raise TypeError(f"{type(self).__name__} must define past")

    def add(self, events: Sequence[tuple[str, Any, int, float]]) -> None:
        """Take note of clicks and the like: user, item, time and weight of each."""

    def show(self, user: str, items: Sequence[Any], now: int) -> None:
        """Take note of what a user was shown."""

    def close(self) -> None:
        """Let go of it."""


def build(config: HistoryConfig) -> History:
    """The history of a config."""
    found: History = implementation(PACKAGE, config.type, History)(config)
    return found
