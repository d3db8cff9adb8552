"""Views that are made of other views, of label tables or of files, without code: one file per kind, each with a `Config`.

`easyrec store build` runs a transform by duckdb and writes its rows to where the view's `source` says.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, TypeAlias

from feature_generator.config import Choice, StrictModel

Input: TypeAlias = str | Annotated[Any, Choice("easyrec.store.offline")]
"""Name of a view or of a label table, or a table of its own."""


@dataclass(frozen=True)
class Rows:
    """A table that a transform reads.

    Attributes:
        name: Of the view of duckdb over it.
        types: Type of each column.
        event_time: Column of event times; None: there is none.
        created_time: Column that says when a row became known.
    """

    name: str
    types: Mapping[str, str]
    event_time: str | None = None
    created_time: str | None = None


@dataclass(frozen=True)
class Target:
    """The view that is made.

    Attributes:
        join_id: Column of its entity's ids.
        event_time: Column of its event times; None: it has none.
        created_time: Column of its created times.
        fields: Names of its fields.
        until: Microseconds since 1970 at which statistics end; None: with the rows.
    """

    join_id: str
    event_time: str | None
    created_time: str | None
    fields: tuple[str, ...]
    until: int | None = None


class TransformConfig(StrictModel, ABC):
    """Config of a transform; a member's `Config` derives from it."""

    family: ClassVar[str | None] = "easyrec.store.transforms"

    type: str

    @property
    @abstractmethod
    def reads(self) -> Mapping[str, Any]:
        """The tables that are read (`Input`), by the names that the transform knows them by."""

    def check(self, fields: Mapping[str, str], event_time: str | None) -> None:
        """Refuse a view that it cannot make.

        Args:
            fields: Types of those of the view, by name.
            event_time: Of the view.

        Raises:
            ValueError: They do not fit.
        """
        del fields, event_time

    @abstractmethod
    def select(self, db: Any, rows: Mapping[str, Rows], target: Target) -> str:
        """The query of the view's rows: its ids, times and fields, by their names.

        Args:
            db: A connection of which nothing else is done but to run the query.
            rows: What is read, by the names of `reads`.
            target: The view.

        Raises:
            DataError: A column is missing.
            ConfigError: The query is not allowed.
        """
