"""Which partitions are read: conditions on their columns, as every source of partitioned tables takes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Annotated, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import ConfigDict, Field, field_validator, model_validator
from typing_extensions import Self

from easyrec.data.sources._types import type_text
from easyrec.errors import ConfigError, DataError, Problem, nearest
from feature_generator.config import StrictModel


class Range(StrictModel):
    """Values from one to another, both included; either may be left out."""

    model_config = ConfigDict(populate_by_name=True)

    first: str | int | None = Field(None, alias="from")
    to: str | int | None = None

    @model_validator(mode="after")
    def _some(self) -> Self:
        if self.first is None and self.to is None:
            raise ValueError("give 'from', 'to' or both")
        return self

    @property
    def bounds(self) -> tuple[str | int | None, str | int | None]:
        """The first and the last value; None: there is no such bound."""
        return self.first, self.to


class Window(StrictModel):
    """The last days up to one, which is included; written as folders write days."""

    last: int = Field(gt=0)
    until: str | int

    @field_validator("until")
    @classmethod
    def _day(cls, value: str | int) -> str | int:
        _day_of(str(value))
        return value

    @property
    def bounds(self) -> tuple[str | int | None, str | int | None]:
        """The first and the last day."""
        day, form = _day_of(str(self.until))
        return (day - timedelta(days=self.last - 1)).strftime(form), str(self.until)


def _day_of(text: str) -> tuple[datetime, str]:
    for form in ("%Y%m%d", "%Y-%m-%d"):
        try:
            day = datetime.strptime(text, form)
        except ValueError:
            continue
        if day.strftime(form) == text:
            return day, form
    raise ValueError(f"'{text}' is no day such as 20260131 or 2026-01-31")


Value: TypeAlias = str | Annotated[int, Field(strict=True)]
Wanted: TypeAlias = Range | Window | Value | Annotated[list[Value], Field(min_length=1)]
"""Of one partition: a value, any of some values, from one to another, or the last days."""


def typed(text: str, kind: pa.DataType) -> pa.Scalar | None:
    """The value that a text stands for; None where it is none of this type."""
    try:
        return pc.cast(pa.scalar(text), kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None


def misfits(where: Mapping[str, Wanted], kinds: Mapping[str, pa.DataType], hint: str = "none") -> list[str]:
    """What does not fit the partitions that there are.

    Args:
        where: Conditions by partition.
        kinds: Types by partition.
        hint: What is told of a table without partitions.
    """
    problems = []
    for name, wanted in where.items():
        if name not in kinds:
            problems.append(f"there is no partition '{name}'{nearest(name, kinds)}\nknown: {', '.join(kinds) or hint}")
            continue
        values = wanted.bounds if isinstance(wanted, Range | Window) else _listed(wanted)
        strange = [value for value in values if value is not None and typed(str(value), kinds[name]) is None]
        problems += [f"'{name}': '{value}' is no {type_text(kinds[name])}" for value in strange]
    return problems


def holds(wanted: Wanted, value: pa.Scalar | None, kind: pa.DataType) -> bool:
    """Whether a condition holds for a partition's value; none does for null."""
    if value is None or not value.is_valid:
        return False
    if isinstance(wanted, Range | Window):
        low, high = (None if bound is None else typed(str(bound), kind) for bound in wanted.bounds)
        return (low is None or low.as_py() <= value.as_py()) and (high is None or value.as_py() <= high.as_py())
    return any(value.equals(typed(str(item), kind)) for item in _listed(wanted))


def check(where: Mapping[str, Wanted], kinds: Mapping[str, pa.DataType], table: str) -> None:
    """Check conditions on the partitions of a table, which are known only when it is opened.

    Raises:
        ConfigError: There is no such partition, or a value is not of its type.
    """
    problems = misfits(where, kinds, f"none; {table} has no partitions")
    if problems:
        raise ConfigError([Problem(text, "where", file=table) for text in problems])


def is_wanted(where: Mapping[str, Wanted], values: Mapping[str, pa.Scalar], kinds: Mapping[str, pa.DataType]) -> bool:
    """Whether all conditions hold for a partition's values."""
    return all(holds(wanted, values[name], kinds[name]) for name, wanted in where.items())


def none_wanted(there: Iterable[str], table: str) -> DataError:
    """The error of a table none of whose partitions is wanted."""
    names = sorted(there)
    told = f"; there are {names[0]} to {names[-1]}" if names else "; there is none"
    return DataError(f"no partition is as 'where' wants it{told}", file=table)


def _listed(wanted: str | int | list[str | int]) -> list[str | int]:
    return wanted if isinstance(wanted, list) else [wanted]
