"""What `store.yaml` says of a stream view: where its events come from, and what is counted of them."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

import pyarrow as pa
from pydantic import Field, ValidationError, field_validator, model_validator
from typing_extensions import Self

from easyrec.errors import nearest
from easyrec.store.codec import arrow_type
from easyrec.store.duration import Duration
from feature_generator.config import Choice, StrictModel, fault

Value: TypeAlias = bool | int | float | str
Function: TypeAlias = Literal["count", "sum", "mean", "min", "max", "first", "last", "distinct", "decayed"]
NUMBERS = ("int32", "int64", "float", "double")
KEYS = ("string", "int64", "int32")
WHOLE = ("int32", "int64", "bool")


class Condition(StrictModel):
    """What a column must hold; a plain value stands for `{is: value}`, a list for `{in: list}`."""

    model_config = {"populate_by_name": True}

    is_: Value | None = Field(None, alias="is")
    is_not: Value | None = Field(None, alias="not")
    among: list[Value] | None = Field(None, alias="in", min_length=1)
    least: float | None = Field(None, alias="from")
    most: float | None = Field(None, alias="to")
    null: bool | None = None

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        if isinstance(value, list):
            return {"in": value}
        return value if isinstance(value, dict | Condition) else {"is": value}

    @model_validator(mode="after")
    def _some(self) -> Self:
        if all(value is None for value in self.__dict__.values()):
            raise ValueError("say what the column must hold: a value, a list, or is, not, in, from, to, null")
        return self

    def check(self, column: str, kind: str) -> None:
        """Raise a fault where a column of this type cannot hold it."""
        values = [*(self.among or ()), *(value for value in (self.is_, self.is_not) if value is not None)]
        for value in values:
            try:
                pa.scalar(value).cast(arrow_type(kind))
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError):  # noqa: PERF203 (a handful of values)
                raise fault(f"{value!r} is no {kind}, as '{column}' is", "where", column) from None
        if (self.least is not None or self.most is not None) and kind not in NUMBERS:
            raise fault(f"'{column}' is {kind}; from and to are of numbers", "where", column)


class EventsConfig(StrictModel):
    """Events: where they come from, what they hold, and which of them count."""

    source: Annotated[Any, Choice("easyrec.stream.sources")]
    """Where they come from."""
    columns: dict[str, str] = Field(min_length=1)
    """Types of what is read of them, as of a view's fields; what else they hold is passed over."""
    event_time: str
    """The column that says when it happened."""
    time_unit: Literal["s", "ms", "us"] = "s"
    """What a whole number in `event_time` counts."""
    where: dict[str, Condition] = {}
    """What its columns must hold for an event to count; all of it."""
    lateness: Annotated[Duration, Field(ge=0.0)] = 60.0
    """How long after a later event one may come; those that come later still are left out and counted."""
    skew: Annotated[Duration, Field(ge=0.0)] = 300.0
    """How far ahead of its arrival an event's time may be; those that are further ahead are left out and counted."""
    idle: Annotated[Duration, Field(gt=0.0)] = 60.0
    """After how long a partition without events does not hold up the others."""
    id: str | None = None
    """The column that tells one event from another: those that come twice count once."""
    horizon: Annotated[Duration, Field(gt=0.0)] = 3600.0
    """For how long, in event time, ids are remembered."""
    malformed: Literal["fail", "skip", "dead_letters"] = "fail"
    """What becomes of what cannot be read: an error; it is counted; or it is counted and written to `dead_letters`."""
    dead_letters: str | None = None
    """The file of what could not be read or written, a JSON object a line."""
    batch_rows: int = Field(50_000, gt=0)
    """Events that are taken at once, at most."""
    batch_seconds: Annotated[Duration, Field(gt=0.0)] = 0.5
    """How long to wait for them."""
    state: Annotated[Any, Choice("easyrec.stream.state")] = Field({"type": "sqlite"}, validate_default=True)
    """Where is kept what has been read, and what follows from it. Default: a file of SQLite called like the view."""

    @field_validator("columns", mode="after")
    @classmethod
    def _known(cls, value: dict[str, str]) -> dict[str, str]:
        for name, text in value.items():
            try:
                arrow_type(text)
            except ValueError as error:
                raise ValueError(f"'{name}': {error}") from None
            if text.startswith(("map", "steps", "decay")):
                raise ValueError(f"'{name}': columns of events are plain values, arrays and vectors, not {text}")
        return value

    @model_validator(mode="after")
    def _fits(self) -> Self:
        for key, name in (("event_time", self.event_time), ("id", self.id), *(("where", name) for name in self.where)):
            if name is not None:
                self.check(name, key)
        for name, condition in self.where.items():
            condition.check(name, self.columns[name])
        kind = self.columns[self.event_time]
        if kind not in ("timestamp", "int64", "int32"):
            raise fault(f"'{self.event_time}' is {kind}, but a time is timestamp, int64 or int32", "event_time")
        if self.id is not None and self.columns[self.id] not in KEYS:
            raise fault(f"an id is {', '.join(KEYS)}", "id")
        if self.malformed == "dead_letters" and self.dead_letters is None:
            raise fault("name the file: dead_letters: bad.jsonl", "malformed")
        return self

    def check(self, name: str, *keys: str | int) -> None:
        """Raise a fault at a key where `name` is no column."""
        if name not in self.columns:
            told = f"'{name}' is not among the columns{nearest(name, self.columns)}; known: {', '.join(self.columns)}"
            raise fault(told, *keys)

    @property
    def schema(self) -> pa.Schema:
        """Columns of the events."""
        return pa.schema([(name, arrow_type(text)) for name, text in self.columns.items()])


class Window(StrictModel):
    """Which events count at a time."""

    type: Literal["tumbling", "hopping", "sliding", "session"]
    """`tumbling`, `hopping`: the last window that is complete; `sliding`: up to now; `session`: the one that goes on."""
    size: Annotated[Duration, Field(ge=0.001)] | None = None
    """How long it is."""
    hop: Annotated[Duration, Field(ge=0.001)] | None = None
    """Of `hopping`: how long after one the next begins."""
    tile: Annotated[Duration, Field(ge=0.001)] | None = None
    """Of `sliding`: events leave together in tiles of this length. Default: a 60th of the size, at least a second."""
    gap: Annotated[Duration, Field(ge=0.001)] | None = None
    """Of `session`: how long there may be no event."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        wanted = {
            "tumbling": ("size",),
            "hopping": ("size", "hop"),
            "sliding": ("size",),
            "session": ("gap",),
        }[self.type]
        for key in ("size", "hop", "tile", "gap"):
            given = getattr(self, key) is not None
            if key in wanted and not given:
                raise fault(f"a {self.type} window needs it", key)
            if given and key not in wanted and (self.type, key) != ("sliding", "tile"):
                raise fault(f"a {self.type} window has none", key)
        if self.size is not None:
            if self.size_micros % self.hop_micros:
                raise fault("must divide the size", "hop" if self.hop is not None else "tile")
            if self.size_micros // self.hop_micros > 1440:
                raise fault("is more than 1440 times in the size", "hop" if self.hop is not None else "tile")
        return self

    @property
    def size_micros(self) -> int:
        """Length in microseconds."""
        assert self.size is not None
        return round(self.size * 1e6)

    @property
    def hop_micros(self) -> int:
        """From one window's begin to the next one's, in microseconds: what begins and leaves together is a pane."""
        if self.type == "tumbling":
            return self.size_micros
        if self.type == "hopping":
            assert self.hop is not None
            return round(self.hop * 1e6)
        if self.tile is not None:
            return round(self.tile * 1e6)
        second = 1_000_000
        size = self.size_micros
        if size < second or size % second:
            return size
        return second * next(
            s for s in range(max(1, size // second // 60), size // second + 1) if not size % (s * second)
        )


class Aggregate(StrictModel):
    """A field of the view: what is counted of a key's events."""

    name: str
    function: Function
    column: str | None = None
    """What it is of; `count` and `decayed` count events without it, and with it those where it is not null."""
    window: Window | None = None
    """Default: all events."""
    k: int = Field(10, gt=0, le=10_000)
    """Of `last`: how many."""
    half_life: Annotated[Duration, Field(gt=0.0)] | None = None
    """Of `decayed`: after how long an event counts half."""
    description: str = ""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.column is None and self.function not in ("count", "decayed"):
            raise fault(f"{self.function} needs it", "column")
        if (self.half_life is None) == (self.function == "decayed"):
            told = (
                "decayed needs it: after how long an event counts half" if self.half_life is None else "is of decayed"
            )
            raise fault(told, "half_life")
        if self.function == "decayed" and self.window is not None:
            raise fault("a decayed count has none: all events count, the older the less", "window")
        if self.window is not None and self.window.type == "session" and self.function in ("first", "last", "distinct"):
            raise fault(f"{self.function} is not kept by sessions; take a sliding window", "window", "type")
        return self

    def kind(self, columns: dict[str, str]) -> str:
        """The type of what is read.

        Raises:
            ValidationError: The column has a type that it is not defined for.
        """
        column = None if self.column is None else columns[self.column]
        if self.function in ("count", "distinct"):
            return "int64"
        if self.function == "decayed":
            return "double"
        assert column is not None
        if self.function in ("first", "last"):
            if "<" in column:
                raise fault(f"'{self.column}' is {column}; {self.function} is of plain values", "column")
            return f"array<{column}>" if self.function == "last" else column
        if column not in NUMBERS and not (column == "timestamp" and self.function in ("min", "max")):
            raise fault(f"'{self.column}' is {column}; {self.function} is of numbers", "column")
        if self.function == "mean":
            return "double"
        if self.function == "sum":
            return "int64" if column in WHOLE else "double"
        return column


class WriteConfig(StrictModel):
    """How rows go to the online store."""

    mode: Literal["queue", "direct"] = "queue"
    """`queue`: beside the counting, of several rows of a key the last; `direct`: each batch before the next is read."""
    rows: int = Field(100_000, gt=0)
    """Keys that may wait in the queue."""
    full: Literal["wait", "drop_oldest", "drop_newest"] = "wait"
    """What becomes of rows for which the queue has no room."""
    tries: int = Field(8, gt=0)
    """How often a write is tried where the store cannot be reached."""
    backoff: Annotated[Duration, Field(gt=0.0)] = 0.2
    """How long to wait before the second try; twice as long before each further one, at most a minute."""
    failed: Literal["stop", "dead_letters"] = "stop"
    """What becomes of rows that cannot be written."""


class StreamConfig(EventsConfig):
    """Features that are counted as events come."""

    key: str | None = None
    """The column of the events that is the entity's id; default: the one called like its join_id."""
    aggregates: list[Aggregate] = Field(min_length=1)
    """The fields."""
    write: WriteConfig = WriteConfig()
    """How they go to the online store."""

    @model_validator(mode="after")
    def _aggregated(self) -> Self:
        if self.write.failed == "dead_letters" and self.dead_letters is None:
            raise fault("name the file: dead_letters: bad.jsonl", "write", "failed")
        if self.key is not None:
            self.check(self.key, "key")
        seen: set[str] = set()
        for place, one in enumerate(self.aggregates):
            if one.name in seen:
                raise fault(f"two are called '{one.name}'", "aggregates", place, "name")
            seen.add(one.name)
            if one.column is not None:
                self.check(one.column, "aggregates", place, "column")
            try:
                one.kind(self.columns)
            except ValidationError as error:
                raise fault(error.errors()[0]["msg"], "aggregates", place, "column") from None
        return self

    def check_key(self, join_id: str) -> None:
        """Check that events have the id of the entity.

        Raises:
            ValueError: They have none.
        """
        key = self.key or join_id
        if key not in self.columns:
            known = ", ".join(self.columns)
            told = f"events have no column '{key}'{nearest(key, self.columns)}; they have: {known}. Name it as `key`"
            raise ValueError(told)
        if self.columns[key] not in KEYS:
            raise ValueError(f"a key is {', '.join(KEYS)}, but '{key}' is {self.columns[key]}")

    @property
    def fields(self) -> list[dict[str, str]]:
        """Name and type of each field, as a view's `fields` have them."""
        return [
            {"name": one.name, "type": f"steps<{one.kind(self.columns)}>", "description": one.description}
            if one.half_life is None
            else {"name": one.name, "type": f"decay<{one.half_life:.17g}>", "description": one.description}
            for one in self.aggregates
        ]
