"""What `expect:` of a view says of its rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, model_validator
from typing_extensions import Self

from easyrec.errors import nearest
from easyrec.store.duration import Duration
from feature_generator.config import Choice, StrictModel

NUMBERS = ("int32", "int64", "float", "double")
Policy: TypeAlias = Literal["fail", "quarantine", "warn"]
"""What becomes of a publication: it does not happen; it happens without the rows; it happens, and is told."""


class OfRows(StrictModel):
    """What each row is expected to be."""

    on_failure: Policy = "fail"
    max_share: float = Field(0.0, ge=0.0, le=1.0)
    """Share of the rows that may be otherwise; of `quarantine`, all of them are set aside."""


class OfAll(StrictModel):
    """What all rows together are expected to be: none of them is to blame."""

    on_failure: Literal["fail", "warn"] = "fail"


class NullRate(OfRows):
    """A field is not null; NaN counts as null."""

    type: Literal["null_rate"] = "null_rate"
    field: str


class Range(OfRows):
    """A number, or each number of an array or vector, is between two bounds; null is."""

    type: Literal["range"] = "range"
    field: str
    min: float | None = None
    max: float | None = None

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError("needs 'min', 'max' or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"'min' {self.min:g} lies above 'max' {self.max:g}")
        return self


class Values(OfRows):
    """A value, or each value of an array, is one of some; null is."""

    type: Literal["values"] = "values"
    field: str
    allowed: list[bool | int | float | str] = Field(min_length=1, max_length=100_000)


class Unique(OfRows):
    """A key comes once. Of rows with one key the first stays where the others are set aside."""

    type: Literal["unique"] = "unique"
    columns: list[str] = []
    """Columns that are part of the key beside the join id, such as the event time of a history."""


class Rows(OfAll):
    """So many rows come."""

    type: Literal["rows"] = "rows"
    min: int = Field(1, ge=0)
    max: int | None = Field(None, ge=0)


class Freshness(OfAll):
    """The newest row is not old."""

    type: Literal["freshness"] = "freshness"
    max_age: Duration = Field(gt=0.0)


class Psi(OfAll):
    """A field is distributed as in a baseline, by the population stability index."""

    type: Literal["psi"] = "psi"
    field: str
    max: float = Field(0.2, gt=0.0)
    min_rows: int = Field(1000, ge=1)
    """Rows, of now and of the baseline, below which nothing is said."""
    baseline: Annotated[Any, Choice("easyrec.store.offline")] | None = None
    """A table to compare with; default: the first rows that passed, until `easyrec store check --baseline`."""


Expectation: TypeAlias = Annotated[
    NullRate | Range | Values | Unique | Rows | Freshness | Psi, Field(discriminator="type")
]


class Quarantine(StrictModel):
    """Where rows are set aside."""

    path: str = Field(min_length=1)
    """A folder; each publication that sets rows aside makes a parquet file in it."""
    max_share: float = Field(0.1, gt=0.0, le=1.0)
    """Share of the rows that may be set aside; of more nothing is published."""


def shown(expectation: Any) -> str:
    """An expectation in a few words."""
    one = expectation
    if isinstance(one, NullRate):
        return f"{one.field} is not null"
    if isinstance(one, Range):
        low, high = ("" if bound is None else f"{bound:g}" for bound in (one.min, one.max))
        return f"{one.field} in {low}..{high}"
    if isinstance(one, Values):
        some = ", ".join(map(str, one.allowed[:5]))
        return f"{one.field} is one of {some}{', ...' if len(one.allowed) > 5 else ''}"
    if isinstance(one, Unique):
        return f"a key comes once{f' per {chr(44).join(one.columns)}' if one.columns else ''}"
    if isinstance(one, Rows):
        return f"{one.min:,} rows or more" if one.max is None else f"{one.min:,} to {one.max:,} rows"
    if isinstance(one, Freshness):
        return f"the newest row is at most {one.max_age / 3600:g} h old"
    return f"{one.field} is distributed as before"


def problems(
    expect: list[Any], quarantine: Quarantine | None, types: Mapping[str, str], timed: bool, redacted: set[str]
) -> Iterator[tuple[str, tuple[str | int, ...]]]:
    """What is wrong with expectations beside single keys, and the way to the key in the view.

    Args:
        expect: Them.
        quarantine: Where rows are set aside.
        types: Type of each field of the view, by name.
        timed: Whether its rows have event times.
        redacted: Fields whose values are shown nowhere.
    """
    seen = set()
    for place, one in enumerate(expect):
        here = ("expect", place)
        kind, field = one.type, getattr(one, "field", None)
        if (kind, field) in seen:
            yield f"two expectations '{kind}'{f' of {field}' if field else ''}: a field has one of a type", here
        seen.add((kind, field))
        if field is not None and field not in types:
            known = f"it has: {', '.join(list(types)[:20])}"
            yield f"the view has no field '{field}'{nearest(field, list(types))}; {known}", (*here, "field")
            continue
        held = "" if field is None else types[field].replace(" ", "")
        inner = held.removeprefix("array<").removesuffix(">") if held.startswith("array<") else held
        if kind == "range" and inner not in NUMBERS and not held.startswith("vector<"):
            yield f"'{field}' is {held}, which has no bounds", (*here, "field")
        if kind == "values" and (inner.startswith(("map<", "array<", "vector<")) or inner == "timestamp"):
            yield f"'{field}' is {held}, whose values cannot be listed", (*here, "field")
        if kind == "freshness" and not timed:
            yield "the view has no event_time, of which freshness is", here
        if kind == "psi" and field in redacted and held == "string":
            yield f"a baseline would keep texts of '{field}', which is redacted", (*here, "field")
        if one.on_failure == "quarantine" and quarantine is None:
            yield "rows are to be set aside: say where, quarantine: {path: folder}", (*here, "on_failure")
