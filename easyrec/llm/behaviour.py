"""`Behaviour`: what users did, in the order of time, and never what they did later than a moment."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from easyrec.errors import DataError
from easyrec.llm.events import Column, Period, events_of, moments, numbers_of, plain


class BehaviourConfig(Period):
    """Events of users."""

    user: Column = "user_id"
    """The column of the user."""
    time: Column = "timestamp"
    """The column that says when it happened."""
    label: Column | None = None
    """Only events count whose value here is above 0."""
    value: Column | None = None
    """A number that the user gave the item, such as stars, which the model is told."""
    last: int = Field(20, ge=1, le=1000)
    """Events of a user that are told, his newest."""


class Behaviour:
    """Events of items that are known, by user, each one's oldest first.

    Args:
        config: Which events.
        items: Ids of the items that are known; events of others are passed over.
        where: The section of the config, for errors.

    Attributes:
        users: (U,) ids, in the order of their first events in the table.
        owner: (n,) int32, the user of an event.
        item: (n,) int32, its item's number.
        time: (n,) when; microseconds since 1970, or numbers as they are.
        value: (n,) float64, what the user gave the item, or None.
        time_type: Of the column of times.
        unknown: Events whose item is not known.

    Raises:
        ConfigError: A column is missing.
        DataError: The events cannot be read, or there are none.
    """

    def __init__(self, config: BehaviourConfig, items: pa.Array, where: str) -> None:
        self.config = config
        more = [one for one in (config.label, config.value) if one is not None]
        read = list(events_of(config, [config.user, *more], where))
        events = pa.Table.from_batches(read) if read else None
        if events is not None and config.label is not None:
            events = events.filter(pc.greater(_number(events[config.label], config, config.label), 0.0))
        number = np.zeros(0, np.int64)
        if events is not None:
            number = numbers_of(plain(events[config.item]), items, config.path, config.item)
        self.unknown = int((number < 0).sum())
        if events is None or not (number >= 0).any():
            raise DataError("holds no event of an item that is known", file=config.path, column=config.item)
        events = events.filter(pa.array(number >= 0))
        self.time_type: pa.DataType = events.schema.field(config.time).type
        who = plain(events[config.user])
        self.users: pa.Array = who.unique()
        owner = numbers_of(who, self.users, config.path, config.user).astype(np.int32)
        item, time = number[number >= 0].astype(np.int32), moments(plain(events[config.time]), config)
        order = np.lexsort((time, owner))  # stable: of one moment the later row is the later event
        self.owner, self.item, self.time = owner[order], item[order], time[order]
        self.value: np.ndarray | None = None
        if config.value is not None:
            self.value = _number(events[config.value], config, config.value).to_numpy(zero_copy_only=False)[order]
        bounds = np.arange(len(self.users) + 1)
        self._begin = np.searchsorted(self.owner, bounds, "left")

    def numbers_of(self, ids: pa.Array, path: str, column: str) -> np.ndarray:
        """(n,) the numbers of users; -1 of those without events."""
        return numbers_of(plain(ids), self.users, path, column)

    def of(self, user: int) -> slice:
        """Where the events of a user lie; none of number -1."""
        return slice(0, 0) if user < 0 else slice(int(self._begin[user]), int(self._begin[user + 1]))

    def last(self, user: int, before: float | None = None, count: int | None = None) -> np.ndarray:
        """Places of a user's newest events, the oldest first.

        Args:
            user: His number.
            before: Only events strictly before this moment.
            count: How many; default: as many as the config says.
        """
        whole = self.of(user)
        end = whole.stop
        if before is not None:
            end = whole.start + int(np.searchsorted(self.time[whole], before, "left"))
        return np.arange(max(whole.start, end - (count or self.config.last)), end)

    def counts(self, items: int) -> np.ndarray:
        """(items,) how many events each item has."""
        return np.bincount(self.item, minlength=items)

    def counts_before(self, items: np.ndarray, moments: np.ndarray | None) -> np.ndarray:
        """(m,) how many events an item has strictly before a moment; all of them without moments."""
        order = np.lexsort((self.time, self.item))
        item, time = self.item[order], self.time[order]
        begin = np.searchsorted(item, items, "left")
        if moments is None:
            return np.searchsorted(item, items, "right") - begin
        steps = np.unique(time)
        keys = item.astype(np.int64) * (len(steps) + 1) + np.searchsorted(steps, time, "left")
        wanted = items.astype(np.int64) * (len(steps) + 1) + np.searchsorted(steps, moments, "left")
        return np.searchsorted(keys, wanted, "left") - begin


def _number(column: pa.ChunkedArray, config: BehaviourConfig, name: str) -> pa.Array:
    """A column as float64.

    Raises:
        DataError: It holds no numbers.
    """
    try:
        return plain(column).cast(pa.float64())
    except pa.ArrowException:
        raise DataError(f"{column.type} is no number", file=config.path, column=name) from None
