"""The `cross` section: which features are searched for, and what counts as a gain."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator
from typing_extensions import Self

from feature_generator.config import StrictModel
from feature_generator.features import Sided

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 7 * 86400.0}


def seconds(value: Any) -> Any:
    """Seconds of a text such as `12h`; other values as they are."""
    if not isinstance(value, str):
        return value
    found = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([smhdw])\s*", value)
    if found is None:
        raise ValueError(f"'{value}' is no time: write a number and s, m, h, d or w, such as 12h or 7d")
    return float(found[1]) * UNITS[found[2]]


Seconds = Annotated[float, BeforeValidator(seconds, json_schema_input_type=float | str)]
"""A time in seconds, or a text such as `7d`."""


class CrossesConfig(StrictModel):
    """Which crosses are searched for."""

    most: int = Field(10, gt=0)
    """Crosses that are taken at most."""
    order: int = Field(3, ge=2, le=5)
    """Columns of a cross at most."""
    beam: int = Field(2, ge=1, le=20)
    """Sets of crosses that are followed side by side."""


class BoundariesConfig(StrictModel):
    """How numbers become buckets by what they say of the label."""

    buckets: int = Field(16, ge=2, le=64)
    """Buckets at most."""
    min_rows: int = Field(200, ge=1)
    """Rows of a bucket at least,"""
    min_share: float = Field(0.01, ge=0.0, le=0.5)
    """and share of all rows at least."""


class AggregatesConfig(StrictModel):
    """Which counts and rates of keys are tried."""

    keys: list[list[str]] | None = None
    """Names of features of ids, each alone or in a list. Default: every one, and the user's with each of the item."""
    windows: list[Seconds | Literal["all"]] = Field([86400.0, 7 * 86400.0, "all"], min_length=1)
    """How far back they reach."""
    every: Seconds = Field(86400.0, gt=0)
    """Time from one table to the next: a row sees the last one before its event."""
    delay: Seconds = Field(0.0, ge=0)
    """Time after an event until its label is known."""
    smoothing: float = Field(20.0, gt=0)
    """Rows of the average rate that are added to each rate."""
    buckets: int = Field(16, ge=2, le=64)
    """Buckets of an aggregate at most."""
    most: int = Field(3, gt=0)
    """Aggregates that are taken at most."""
    max_entries: int = Field(1_000_000, gt=0)
    """Entries of a table at most."""

    @field_validator("keys", mode="before", json_schema_input_type=list[str | list[str]] | None)
    @classmethod
    def _a_name_is_a_list(cls, value: Any) -> Any:
        return [[key] if isinstance(key, str) else key for key in value] if isinstance(value, list) else value

    @model_validator(mode="after")
    def _whole_windows(self) -> Self:
        for window in self.windows:
            if window != "all" and (window <= 0 or window % self.every):
                raise ValueError(f"windows are multiples of 'every', {self.every:g} s, but one is {window:g} s")
        return self


class HashingConfig(StrictModel):
    """How large tables of hashed ids should be."""

    max_collisions: float = Field(0.1, gt=0.0, lt=1.0)
    """Share of words that meet another one in their row of the table."""
    max_buckets: int = Field(1_000_000, gt=0)
    """Rows of a table at most."""


class TimeCheckConfig(StrictModel):
    """The check that no column knows what comes after its row's event."""

    keys: list[str] | None = None
    """Names of features of ids whose rows are followed through time. Default: of each side the one with most ids."""
    trust: list[str] = []
    """Columns that are known before the event whatever they look like."""
    available_at: dict[str, str | Seconds] = {}
    """Column -> the column with the time at which its value is known, or how long after the event that is."""

    @field_validator("available_at", mode="before")
    @classmethod
    def _times(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        whole = {k: v.strip() if isinstance(v, str) else v for k, v in value.items()}
        return {
            k: seconds(v) if isinstance(v, str) and re.fullmatch(r"[0-9.]+\s*[smhdw]", v) else v
            for k, v in whole.items()
        }


class CrossConfig(StrictModel):
    """The `cross` section."""

    rows: int = Field(1_000_000, ge=1000)
    """Rows that are searched at most: the newest ones of `data.train`."""
    holdout: float = Field(0.2, gt=0.0, lt=0.9)
    """Share of these rows, the newest ones, on which gains are measured."""
    columns: list[Sided] = []
    """Columns beside those of the features, each as `side:name`."""
    time_unit: Literal["s", "ms", "us"] = "s"
    """Of `data.event_time`, where it holds numbers."""
    time_check: TimeCheckConfig | Literal[False] = TimeCheckConfig()
    boundaries: BoundariesConfig | Literal[False] = BoundariesConfig()
    crosses: CrossesConfig | Literal[False] = CrossesConfig()
    aggregates: AggregatesConfig | Literal[False] = AggregatesConfig()
    hashing: HashingConfig | Literal[False] = HashingConfig()
    min_gain: float = Field(5e-5, ge=0.0)
    """Decrease of the log loss per row that a feature has to be worth, in nats."""
    min_z: float = Field(4.0, ge=0.0)
    """The gain in standard errors, at least."""
    minutes: float = Field(10.0, gt=0)
    """When the search ends. Interruptions do not count anew."""
    seed: int = Field(0, ge=0, lt=2**31)
    """Of the rows that candidates are ranked by before all rows decide."""

    @field_validator("time_check", "boundaries", "crosses", "aggregates", "hashing", mode="before")
    @classmethod
    def _on(cls, value: Any) -> Any:
        return {} if value is True else value
