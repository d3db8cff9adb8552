"""What an online store knows of an entity: its views, their schemas, and which generations of them count."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from easyrec.errors import StoreError
from easyrec.store.definitions import View

FORMAT = 1
MOST_VIEWS = 65_535


@dataclass(frozen=True)
class State:
    """A view as readers see it at some time.

    Attributes:
        generations: Ascending: the newest row of a key among them counts.
        rows: Rows that were written to make it.
        published: Seconds since 1970.
        newest: Latest event time, microseconds since 1970; None: its rows have no times.
        version: Which model made its vectors; empty: it holds none.
    """

    generations: list[int]
    rows: int
    published: float
    newest: int | None = None
    version: str = ""


@dataclass(frozen=True)
class Writing:
    """A generation that is being written, or whose writer was stopped.

    Attributes:
        generation: Its number.
        token: Tells one writer from another.
        since: Seconds since 1970.
        merge: Whether what is not written stays as it is.
        source: What tells its input from others; empty: nothing does.
        schema: Number of the schema that its rows have.
    """

    generation: int
    token: str
    since: float
    merge: bool
    source: str = ""
    schema: int = 0


@dataclass(frozen=True)
class Known:
    """What is known of a view.

    Attributes:
        slot: Its number inside of records.
        last: Number of the last generation that was begun.
        schemas: Fields and types, by the number that a row says.
        live: What is read; None: nothing was published yet.
        former: What was read before, and can be returned to.
        writing: What is being written.
    """

    slot: int
    last: int = 0
    schemas: dict[int, list[tuple[str, str]]] = field(default_factory=dict)
    live: State | None = None
    former: State | None = None
    writing: Writing | None = None

    @property
    def spans(self) -> list[tuple[int, list[int]]]:
        """The states whose rows must stay, as the codec takes them."""
        return [(self.slot, state.generations) for state in (self.live, self.former) if state is not None]


def recent(name: str) -> str:
    """What a head calls the place of the events of a view that come one by one; no view is called so."""
    return f"{name} recent"


@dataclass(frozen=True)
class Head:
    """What is known of the views of an entity. Rows are read with the head of the same moment.

    Attributes:
        views: By name.
    """

    views: Mapping[str, Known] = field(default_factory=dict)

    @classmethod
    def of(cls, text: bytes | None) -> Head:
        """The head that a store holds.

        Raises:
            StoreError: It is damaged, or of a later version of this program.
        """
        if text is None:
            return cls()
        try:
            data = json.loads(text)
            if data["format"] != FORMAT:
                raise StoreError(f"the store was written by another version of this program (format {data['format']})")
            return cls({name: _known(known) for name, known in data["views"].items()})
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StoreError(f"what the store says of its views is damaged: {error}") from None

    def text(self) -> bytes:
        """The head as a store holds it."""
        views = {name: asdict(known) for name, known in self.views.items()}
        for known in views.values():
            for state in filter(None, (known["live"], known["former"])):
                state["generations"] = _runs(state["generations"])
        return json.dumps({"format": FORMAT, "views": views}, separators=(",", ":")).encode()

    def changed(self, name: str, known: Known) -> Head:
        """The head with another view."""
        return Head({**self.views, name: known})

    def registered(self, view: View) -> tuple[Head, int]:
        """The head that knows a view with its fields, and the number of its schema.

        Raises:
            StoreError: A field has another type than before, or there are too many views.
        """
        known = self.views.get(view.name) or Known(self._slot())
        fields = list(view.stored.items())
        for schema in known.schemas.values():
            for name, kind in schema:
                if view.stored.get(name, kind) != kind:
                    told = (
                        f"field '{name}' of view '{view.name}' is {view.stored[name]}, but was {kind} in rows that are"
                    )
                    raise StoreError(f"{told} there: give the field another name")
        number = next((number for number, schema in known.schemas.items() if schema == fields), None)
        if number is None:
            number = max(known.schemas, default=0) + 1
            known = replace(known, schemas={**known.schemas, number: fields})
        return self.changed(view.name, known), number

    def with_recent(self, view: View, now: float) -> Head:
        """The head that also knows a place for the events of a view that come one by one, beside its history.

        Args:
            view: Of sequences.
            now: Seconds since 1970.
        """
        name = recent(view.name)
        if name in self.views:
            return self
        return self.changed(name, Known(self._slot(), 1, live=State([1], 0, now)))

    def _slot(self) -> int:
        """The first that no view has."""
        slots = {known.slot for known in self.views.values()}
        slot = next(slot for slot in range(MOST_VIEWS + 1) if slot not in slots)
        if slot >= MOST_VIEWS:
            raise StoreError(f"an entity has at most {MOST_VIEWS} views")
        return slot

    @property
    def spans(self) -> list[tuple[int, list[int]]]:
        """What must stay of all views, as the codec takes it."""
        return [span for known in self.views.values() for span in known.spans]


def _known(data: dict[str, Any]) -> Known:
    live, former = (_state(data[key]) for key in ("live", "former"))
    return Known(
        data["slot"],
        data["last"],
        {int(number): [(name, kind) for name, kind in fields] for number, fields in data["schemas"].items()},
        live,
        former,
        None if data["writing"] is None else Writing(**data["writing"]),
    )


def _state(data: dict[str, Any] | None) -> State | None:
    if data is None:
        return None
    made: list[int] = []
    for run in data["generations"]:
        first, last = (run, run) if isinstance(run, int) else run
        made += range(first, last + 1)
    return State(**{**data, "generations": made})


def _runs(numbers: list[int]) -> list[int | list[int]]:
    """Ascending numbers, those that follow each other as their first and last: a view may be merged for ever."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return [first if first == last else [first, last] for first, last in runs]
