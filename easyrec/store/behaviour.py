"""What a view of sequences says: what its events hold, and which sequences are read of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field, field_validator, model_validator
from typing_extensions import Self

from easyrec.errors import nearest
from easyrec.store.duration import Duration
from feature_generator.config import StrictModel, fault

AGE = "ts"
"""The field of a sequence that says how many seconds before the request an event was."""
ITEMS = ("int64", "int32", "string")
NUMBERS = ("int32", "int64", "float", "double")


class Sequence(StrictModel):
    """Some of the events of a key: list columns `<name>__<field>`, the oldest event first."""

    name: str
    length: Annotated[int, Field(ge=1, le=100_000)]
    """Most events; the newest are taken."""
    events: list[str] = []
    """Names of the events that count; default: all, where events have no names."""
    distinct: bool = True
    """Of the events of an item the newest alone."""
    ttl: Annotated[Duration, Field(gt=0.0)] | None = None
    """How old an event may be; default: as the view says."""
    min_play_time: dict[str, float] = {}
    """Name of an event to the least play time with which it counts."""


class Events(StrictModel):
    """What is read of the events of a view."""

    item: str
    """The field that holds the item."""
    name: str | None = None
    """The field that says what was done, such as `click`."""
    play_time: str | None = None
    """The field that says how long an item was played."""
    keep: Annotated[int, Field(ge=1, le=100_000)] = 500
    """Events of each name that are kept of a key, and looked at: its newest."""
    sequences: list[Sequence] = Field(min_length=1, max_length=1000)

    @field_validator("sequences", mode="after")
    @classmethod
    def _distinct(cls, value: list[Sequence]) -> list[Sequence]:
        names = [sequence.name for sequence in value]
        repeated = next((name for name in names if names.count(name) > 1), None)
        if repeated is not None:
            raise ValueError(f"two sequences are called '{repeated}'")
        return value

    @model_validator(mode="after")
    def _fit(self) -> Self:
        for place, sequence in enumerate(self.sequences):
            here = ("sequences", place)
            if sequence.length > self.keep:
                raise fault(f"is {sequence.length}, but keep is {self.keep}", *here, "length")
            if self.name is None and sequence.events:
                raise fault("events are named, but 'name' says not which field names them", *here, "events")
            if self.name is not None and not sequence.events:
                raise fault("say which events count: events: [...]", *here, "events")
            if sequence.min_play_time and self.play_time is None:
                raise fault("'play_time' says not which field holds it", *here, "min_play_time")
            unknown = [name for name in sequence.min_play_time if name not in sequence.events]
            if unknown:
                known = ", ".join(sequence.events)
                told = f"'{unknown[0]}' is none of its events{nearest(unknown[0], sequence.events)}; known: {known}"
                raise fault(told, *here, "min_play_time")
        return self

    @property
    def names(self) -> list[str]:
        """Names of the events that any sequence takes."""
        return sorted({name for sequence in self.sequences for name in sequence.events})

    def check(self, types: Mapping[str, str], event_time: str) -> None:
        """Whether this fits the fields of the view.

        Args:
            types: Type of each field of an event, by name.
            event_time: What their time is called.

        Raises:
            ValidationError: It does not; tells the key of the view.
        """
        for key, allowed in (("item", ITEMS), ("name", ("string",)), ("play_time", NUMBERS)):
            field = getattr(self, key)
            if field is None:
                continue
            if field not in types:
                told = f"'{field}' is none of the fields{nearest(field, list(types))}; known: {', '.join(types)}"
                raise fault(told, "events", key)
            if types[field] not in allowed:
                raise fault(f"'{field}' is {types[field]}, but must be {' or '.join(allowed)}", "events", key)
        for field, kind in types.items():
            if field in (AGE, event_time):
                what = "the age of an event in seconds" if field == AGE else "the time of an event"
                raise fault(f"field '{field}': sequences have a column of this name, {what}; rename it", "fields")
            if kind.startswith(("map", "vector")) or kind.count("array") > 1:
                told = f"field '{field}' is {kind}, but fields of events are scalars or arrays of scalars"
                raise fault(told, "fields")

    def stored(self, types: Mapping[str, str]) -> dict[str, str]:
        """Fields of an event as schemas of the store know them; item and name lie apart."""
        made = {self.item: f"item<{types[self.item]}>"}
        if self.name is not None:
            made[self.name] = f"name<{types[self.name]}>"
        return made | {field: kind for field, kind in types.items() if field not in made}

    def columns(self, types: Mapping[str, str], event_time: str) -> dict[str, tuple[str, str, str]]:
        """Sequence, field and type of each column that is read, by its name.

        Args:
            types: Type of each field of an event, by name.
            event_time: What their time is called.
        """
        held = {**types, event_time: "int64", AGE: "int64"}
        return {
            f"{sequence.name}__{field}": (sequence.name, field, f"array<{kind}>")
            for sequence in self.sequences
            for field, kind in held.items()
        }


def is_apart(kind: str) -> bool:
    """Whether a field of this type of a schema lies apart from the others."""
    return kind.startswith(("item<", "name<"))
