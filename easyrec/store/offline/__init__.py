"""Where the rows of views lie over all times: one file per kind of table, each with a `Config` that gives it to duckdb or Spark."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, TypeAlias

from pydantic import PlainSerializer

from feature_generator.config import StrictModel

Options: TypeAlias = Annotated[dict[str, Any], PlainSerializer(lambda options: dict.fromkeys(options, "***"))]
"""Options of a storage or a catalogue, which may hold secrets: the registry keeps their names alone."""


def without_secrets(error: Exception, options: Mapping[str, Any]) -> str:
    """The first line of an error, without the options' values, but for short ones such as `true`, which are no secrets."""
    told = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
    for value in sorted(map(str, _texts(options)), key=len, reverse=True):
        if len(value) > 5:
            told = told.replace(value, "***")
    return told


def _texts(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    else:
        yield value


@dataclass(frozen=True)
class Wanted:
    """What of a table will be read: others may be left out, none has to be.

    Attributes:
        columns: Names; None: any.
        time: Column of the rows' event times; None: they have none.
        low: Earliest one in microseconds since 1970; None: there is no bound.
        high: Latest one.
    """

    columns: Sequence[str] | None = None
    time: str | None = None
    low: int | None = None
    high: int | None = None


ALL = Wanted()


class OfflineConfig(StrictModel, ABC):
    """Config of a table; a member's `Config` derives from it."""

    family: ClassVar[str | None] = "easyrec.store.offline"

    type: str

    @abstractmethod
    def scan(self, db: Any, name: str, wanted: Wanted = ALL) -> None:
        """Make a view of duckdb over the table, whose rows come in the same order each time that they are asked for.

        Args:
            db: A connection.
            name: Of the view.
            wanted: What will be read of it.

        Raises:
            DataError: There is nothing to read.
        """

    @abstractmethod
    def frame(self, spark: Any, wanted: Wanted = ALL) -> Any:
        """A frame of Spark over the table.

        Args:
            spark: A session.
            wanted: What will be read of it.

        Raises:
            DataError: There is nothing to read.
            StoreError: Spark does not read such tables.
        """
