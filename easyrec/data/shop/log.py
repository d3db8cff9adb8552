"""The generated shop as Arrow data: exposures by day with their histories, items, users, categories."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from easyrec.data.shop.behaviour import HOUR, SCENES, Events, Requests
from easyrec.data.shop.catalogue import DAYS, NUM_CATES, Catalogue
from easyrec.data.shop.draws import Ints
from easyrec.data.shop.simulation import Exposures
from easyrec.data.shop.users import AGES, GENDERS, Users

Split = Literal["train", "valid", "test", "all"]
SPLIT_DAYS: dict[str, range] = {
    "train": range(1, 27),
    "valid": range(27, 29),
    "test": range(29, 31),
    "all": range(1, DAYS + 1),
}
MAX_STEPS = 500

_HISTORY = {"item_id": pa.int32(), "cate": pa.int32(), "timestamp": pa.int64(), "hours_ago": pa.float32()}

SCHEMA = pa.schema(
    [
        ("request_id", pa.int64()),
        ("timestamp", pa.int64()),
        ("day", pa.int32()),
        ("user_id", pa.int64()),
        ("age", pa.int32()),
        ("gender", pa.string()),
        ("city", pa.int32()),
        ("level", pa.int32()),
        ("item_id", pa.int64()),
        ("cate", pa.int32()),
        ("brand", pa.int32()),
        ("price", pa.float32()),
        ("title", pa.string()),
        ("tags", pa.list_(pa.string())),
        ("birth_day", pa.int32()),
        ("hour", pa.int32()),
        ("weekday", pa.int32()),
        ("scene", pa.string()),
        ("position", pa.int32()),
        *((f"click_seq__{child}", pa.list_(dtype)) for child, dtype in _HISTORY.items()),
        *((f"buy_seq__{child}", pa.list_(dtype)) for child, dtype in _HISTORY.items()),
        ("kv_cate_cnt", pa.map_(pa.string(), pa.float32())),
        ("click", pa.int32()),
        ("buy", pa.int32()),
        ("p_click", pa.float32()),
        ("p_buy", pa.float32()),
        ("p_buy_all", pa.float32()),
        ("p_click_position_1", pa.float32()),
    ]
)


@dataclass(frozen=True)
class History:
    """Events of all users in one buffer; each request owns the slice [start, end) of it."""

    events: Events
    start: Ints
    end: Ints

    @classmethod
    def of(cls, events: Events, requests: Requests) -> History:
        """The newest 500 events strictly before each request."""
        first, end = events.before(requests.user, requests.time)
        return cls(events, np.maximum(first, end - MAX_STEPS), end)


@dataclass(frozen=True)
class ShopData:
    """One generated shop. Scalars are held in memory; histories are cut out when they are read.

    Attributes:
        items: One row per item.
        users: One row per user.
        categories: One row per leaf category, with its names.
    """

    items: pa.Table
    users: pa.Table
    categories: pa.Table
    catalogue: Catalogue
    population: Users
    requests: Requests
    exposures: Exposures
    clicks: History
    buys: History

    @property
    def terms(self) -> dict[str, npt.NDArray[np.float32]]:
        """Hidden terms of the click logit by name, one value per exposure."""
        return self.exposures.terms

    @property
    def num_rows(self) -> int:
        """Exposures in all days."""
        return len(self.exposures.request)

    def rows(self, split: Split | int) -> range:
        """Exposures of a split, or of one day 1..30, as a range of row numbers."""
        days = range(split, split + 1) if isinstance(split, int) else SPLIT_DAYS[split]
        day = self.requests.day[self.exposures.request]
        start, stop = np.searchsorted(day, [days.start, days.stop])
        return range(int(start), int(stop))

    @property
    def train(self) -> pa.Table:
        """Days 1 to 26."""
        return self.table("train")

    @property
    def valid(self) -> pa.Table:
        """Days 27 and 28."""
        return self.table("valid")

    @property
    def test(self) -> pa.Table:
        """Days 29 and 30."""
        return self.table("test")

    def table(self, split: Split | int = "all", columns: Iterable[str] | None = None) -> pa.Table:
        """A whole split, or one day, with all columns or some. A million rows with histories take about 2 GB."""
        names = SCHEMA.names if columns is None else list(columns)
        rows, step = self.rows(split), 65_536
        batches = [self.batch(i, min(i + step, rows.stop), names) for i in range(rows.start, rows.stop, step)]
        return pa.Table.from_batches(batches, pa.schema([SCHEMA.field(name) for name in names]))

    def batch(self, start: int, stop: int, columns: Iterable[str] | None = None) -> pa.RecordBatch:
        """Exposures [start, stop) as a record batch.

        Raises:
            KeyError: A column is none of SCHEMA.
        """
        cut = _Cut(self, start, stop)
        schema = pa.schema([SCHEMA.field(name) for name in (SCHEMA.names if columns is None else columns)])
        return pa.record_batch([cut.column(field) for field in schema], schema=schema)


class _Cut:
    """Columns of one range of exposures."""

    def __init__(self, shop: ShopData, start: int, stop: int) -> None:
        self._shop = shop
        self._rows = slice(start, stop)
        self._request = shop.exposures.request[self._rows]
        self._item = pa.array(shop.exposures.item[self._rows])
        self._user = shop.requests.user[self._request]

    def column(self, field: pa.Field) -> pa.Array:
        shop, name = self._shop, field.name
        if name.startswith("click_seq__"):
            return self._history(shop.clicks, name.removeprefix("click_seq__"), field.type)
        if name.startswith("buy_seq__"):
            return self._history(shop.buys, name.removeprefix("buy_seq__"), field.type)
        if name == "kv_cate_cnt":
            return self._cate_counts()
        if name in shop.items.column_names:
            return shop.items[name].combine_chunks().take(self._item).cast(field.type)
        requests, people = shop.requests, shop.population
        if name in ("click", "buy", "position", "p_click", "p_buy", "p_buy_all", "p_click_position_1"):
            values = getattr(shop.exposures, name)[self._rows]
        elif name == "scene":
            return pa.array(SCENES).take(pa.array(requests.scene[self._request]))
        elif name == "gender":
            return pa.array(GENDERS).take(pa.array(people.gender[self._user]))
        else:
            known: dict[str, Callable[[], npt.NDArray[Any]]] = {
                "request_id": lambda: self._request,
                "timestamp": lambda: requests.time[self._request],
                "day": lambda: requests.day[self._request],
                "hour": lambda: requests.hour[self._request],
                "weekday": lambda: (requests.day[self._request] - 1) % 7,
                "user_id": lambda: self._user,
                "age": lambda: AGES[people.age_band[self._user]],
                "city": lambda: people.city[self._user],
                "level": lambda: people.level[self._user],
            }
            values = known[name]()
        return pa.array(values).cast(field.type)

    def _steps(self, history: History) -> tuple[Ints, npt.NDArray[np.int32], Ints]:
        """Places in the event buffer, list offsets, and the row of each step."""
        start, end = history.start[self._request], history.end[self._request]
        length = end - start
        offsets = np.concatenate([[0], np.cumsum(length)])
        row = np.repeat(np.arange(len(length)), length)
        return np.arange(offsets[-1]) - offsets[row] + start[row], offsets.astype(np.int32), row

    def _history(self, history: History, child: str, dtype: pa.DataType) -> pa.ListArray:
        place, offsets, row = self._steps(history)
        events = history.events
        if child == "item_id":
            values = events.item[place]
        elif child == "cate":
            values = self._shop.catalogue.cate[events.item[place]]
        elif child == "timestamp":
            values = events.time[place]
        else:
            now = self._shop.requests.time[self._request]
            values = ((now[row] - events.time[place]) / HOUR).astype(np.float32)
        return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values).cast(dtype.value_type))

    def _cate_counts(self) -> pa.MapArray:
        """How often each leaf occurs in the click history."""
        place, _, row = self._steps(self._shop.clicks)
        cate = self._shop.catalogue.cate[self._shop.clicks.events.item[place]]
        key, count = np.unique(row * NUM_CATES + cate, return_counts=True)
        offsets = np.searchsorted(key // NUM_CATES, np.arange(len(self._request) + 1)).astype(np.int32)
        names = pa.array([str(leaf) for leaf in range(NUM_CATES)]).take(pa.array(key % NUM_CATES))
        return pa.MapArray.from_arrays(pa.array(offsets), names, pa.array(count.astype(np.float32)))
