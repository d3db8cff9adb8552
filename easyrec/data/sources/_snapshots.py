"""`SnapshotSource`: rows of a table that changes, as they are in the version to which the source is pinned."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Annotated, Any

from pydantic import AfterValidator

from easyrec.data.sources import Source
from easyrec.data.sources._wrapped import WrappedSource
from easyrec.errors import DataError


def _moment_text(value: str) -> str:
    try:
        moment_of(value)
    except ValueError:
        raise ValueError(f"must be a moment such as 2026-05-01T12:00, but is '{value}'") from None
    return value


Moment = Annotated[str, AfterValidator(_moment_text)]
"""The text of a moment, as `moment_of` reads it."""


def moment_of(text: str) -> datetime:
    """An ISO moment; UTC where it names no zone."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


class SnapshotSource(WrappedSource):
    """One version of a table. A subclass says what a version is and how it is opened.

    Args:
        table: The table's name, as errors and checkpoints have it.
    """

    def __init__(self, table: str) -> None:
        self.table = table
        source, self._pin = self.opened(None)
        super().__init__(source)

    @abstractmethod
    def opened(self, pin: Mapping[str, Any] | None) -> tuple[Source, dict[str, Any]]:
        """The rows, and what tells them from those of other versions: plain JSON.

        Args:
            pin: What an earlier call gave; None: the version is the config's to choose.

        Raises:
            DataError: There is no such table, or the version is no longer there.
        """

    def pinned(self, first: int = 0) -> dict[str, Any]:
        """The table and its version."""
        del first
        return {"table": self.table, **self._pin}

    def pin(self, state: Mapping[str, Any]) -> None:
        """Have the rows of another opening, whatever was written to the table since."""
        if state.get("table") != self.table:
            raise DataError(f"cannot resume: the table was {state.get('table')}, and is {self.table}")
        wanted = {key: value for key, value in state.items() if key != "table"}
        if wanted == self._pin:
            return
        self.close()
        try:
            source, self._pin = self.opened(wanted)
        except DataError as error:
            raise DataError(f"cannot resume: {error.reason}", file=error.file) from error
        self.source, self.columns = source, source.columns

    def identity(self) -> str:
        """The version, and what is read of it."""
        units = [[unit.description, unit.rows] for unit in self.units()]
        return json.dumps([self.pinned(), units], sort_keys=True)
