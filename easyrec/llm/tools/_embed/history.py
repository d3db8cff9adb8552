"""`Histories`: what users took last, read of a table of events in pieces."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from easyrec.llm.events import events_of, moments, numbers_of, plain

if TYPE_CHECKING:
    from easyrec.llm.tools.embed import History

PIECE = 1_000_000
"""Events that are read before all but each user's last ones are forgotten."""


class Histories:
    """The last items of each user.

    In memory are these, and a piece of the events.

    Args:
        config: Which events.
        items: Ids of the items that are known; others are passed over.
        where: The section of the config, for errors.

    Attributes:
        users: Their ids, in the order of their first events.
        unknown: Events whose item is not known.

    Raises:
        ConfigError: A column is missing.
        DataError: The events cannot be read.
    """

    def __init__(self, config: History, items: pa.Array, where: str) -> None:
        self.users: pa.Array | None = None
        self.unknown = 0
        self._config = config
        self._owner, self._item = np.zeros(0, np.int64), np.zeros(0, np.int64)
        self._time = np.zeros(0, np.int64)
        waiting: list[pa.RecordBatch] = []
        columns = [config.user, *([config.label] if config.label else [])]
        for batch in events_of(config, columns, where):
            waiting.append(batch)
            if sum(one.num_rows for one in waiting) >= PIECE:
                self._take(pa.Table.from_batches(waiting), items)
                waiting = []
        if waiting:
            self._take(pa.Table.from_batches(waiting), items)
        owners = np.arange(0 if self.users is None else len(self.users))
        self._begins = np.searchsorted(self._owner, owners, "left")
        self._ends = np.searchsorted(self._owner, owners, "right")

    def _take(self, events: pa.Table, items: pa.Array) -> None:
        config = self._config
        if config.label is not None:
            events = events.filter(pc.greater(events[config.label].cast(pa.float64()), 0.0))
        number = numbers_of(plain(events[config.item]), items, config.path, config.item)
        self.unknown += int((number < 0).sum())
        events, number = events.filter(pa.array(number >= 0)), number[number >= 0]
        if not len(number):
            return
        users = plain(events[config.user])
        known = users.unique() if self.users is None else pa.concat_arrays([self.users, users]).unique()
        owner = numbers_of(users, known, config.path, config.user)
        time = moments(plain(events[config.time]), config)
        self.users = known  # those of before keep their numbers: `unique` keeps the order
        owner = np.concatenate([self._owner, owner])
        item, time = np.concatenate([self._item, number]), np.concatenate([self._time, time])
        order = np.lexsort((time, owner))  # stable: of one moment the later row is the later event
        owner, item, time = owner[order], item[order], time[order]
        ends = np.searchsorted(owner, owner, "right")
        newest = ends - np.arange(len(owner)) <= config.last
        self._owner, self._item, self._time = owner[newest], item[newest], time[newest]

    def of(self, ids: pa.Array) -> tuple[np.ndarray, np.ndarray]:
        """Offsets (n + 1,) and numbers of the items of some users, each one's oldest first; none of those without events."""
        if self.users is None:
            return np.zeros(len(ids) + 1, np.int64), np.zeros(0, np.int64)
        who = numbers_of(ids, self.users, self._config.path, self._config.user)
        begins = np.where(who >= 0, self._begins[who], 0)
        lengths = np.where(who >= 0, self._ends[who] - begins, 0)
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        places = np.arange(offsets[-1]) + np.repeat(begins - offsets[:-1], lengths)
        return offsets, self._item[places]
