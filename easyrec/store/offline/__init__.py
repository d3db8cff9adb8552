"""Where the rows of views lie over all times: one file per kind of table, each with a `Config` whose `scan` gives it to duckdb."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from feature_generator.config import StrictModel


class OfflineConfig(StrictModel, ABC):
    """Config of a table; a member's `Config` derives from it."""

    family: ClassVar[str | None] = "easyrec.store.offline"

    type: str

    @abstractmethod
    def scan(self, db: Any, name: str) -> None:
        """Make a view of duckdb over the table, whose columns are read as they are asked for.

        Args:
            db: A connection.
            name: Of the view.

        Raises:
            DataError: There is nothing to read.
        """


def quoted(name: str) -> str:
    """A name as SQL takes it, whatever it holds."""
    return '"' + name.replace('"', '""') + '"'


def text(value: str) -> str:
    """A text as SQL takes it, whatever it holds."""
    return "'" + value.replace("'", "''") + "'"
