"""`synthetic`: the embedded data set, generated where it is read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Literal

import pyarrow as pa
from pydantic import Field

from easyrec.data.shop import MAX_ROWS, SCHEMA, SPLIT_DAYS, ShopData, generate
from easyrec.data.sources import Policy, Source, SourceConfig, Unit

_BATCH_ROWS = 16_384


class Config(SourceConfig):
    """Config of `synthetic`.

    Attributes:
        name: The data set; docs/reference/shop.md describes it.
        version: Of the data set; the same version and seed give the same bytes for ever.
        rows: Exposures in all 30 days together, whatever the split.
        seed: Other seeds give other users, items and effects of the same kind.
        size: 10,000 items (small) or 100,000 (large).
        split: Days 1-26 (train), 27-28 (valid), 29-30 (test), or all.
    """

    type: Literal["synthetic"] = "synthetic"
    name: Literal["shop"] = "shop"
    version: Literal[1] = 1
    rows: int = Field(1_000_000, ge=1, le=MAX_ROWS)
    seed: int = 0
    size: Literal["small", "large"] = "small"
    split: Literal["train", "valid", "test", "all"] = "all"

    def unlike(self, other: object) -> str:
        """They are of one log where version, seed, size and rows are equal."""
        if not isinstance(other, Config):
            return ""
        keys = [key for key in ("version", "seed", "size", "rows") if getattr(self, key) != getattr(other, key)]
        if not keys:
            return ""
        told = " and ".join(f"{key} ({getattr(self, key)} and {getattr(other, key)})" for key in keys)
        others = "requests, pages and labels" if keys == ["rows"] else "users, items and effects"
        return f"are of different shops, of other {others}: make {told} equal"

    def open(self, bad_rows: Policy = "fail") -> Source:
        """The source; nothing is generated before its units are asked for."""
        del bad_rows  # the shop has none
        return Shop(self)


class Shop(Source):
    """The rows of a split, one unit per day."""

    def __init__(self, config: Config) -> None:
        self.columns = {field.name: field.type for field in SCHEMA}
        self._config = config

    def units(self) -> list[Unit]:
        """The days of the split that have rows."""
        shop = self._shop()
        units: list[Unit] = []
        for day in SPLIT_DAYS[self._config.split]:
            if rows := len(shop.rows(day)):
                units.append(Unit(len(units), rows, f"the shop's day {day}", first_row=shop.rows(day).start))
        return units

    def read(self, unit: Unit, columns: Sequence[str], start_row: int = 0) -> Iterator[pa.RecordBatch]:
        """The day's exposures in order of time, page and position."""
        self.require(columns)
        shop, stop = self._shop(), unit.first_row + (unit.rows or 0)
        for start in range(unit.first_row + start_row, stop, _BATCH_ROWS):
            yield shop.batch(start, min(start + _BATCH_ROWS, stop), columns)

    def identity(self) -> str:
        """The config: the same version and seed give the same bytes."""
        return self._config.model_dump_json()

    def _shop(self) -> ShopData:
        config = self._config
        return _generated(config.rows, config.seed, config.size, config.version)


@lru_cache(maxsize=2)  # train, valid and test are splits of one shop
def _generated(rows: int, seed: int, size: str, version: int) -> ShopData:
    return generate(rows, seed, size, version)
