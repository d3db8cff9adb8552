"""Where samples go: one file per kind of place, each with a `Config` whose `open` gives a `Sink`.

What a step makes is written in two moves, so that a reader finds each row once, whenever the writer was killed: `prepare` puts
the rows where nobody reads them and gives a note; the note is committed with the state; `publish` then lets them be read. After
a restart the note that was committed last is published again, and what was prepared without a note is forgotten.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import pyarrow as pa

from feature_generator.config import StrictModel


class Sink(ABC):
    """A place for rows, of one writer at a time.

    Attributes:
        shown: What people call it, without secrets.
    """

    shown: str

    @abstractmethod
    def prepare(self, step: int, rows: pa.Table, times: np.ndarray) -> bytes:
        """Keep rows durably where nobody reads them, and give a note by which they are found.

        Args:
            step: Number of the step; one that was not committed comes again.
            rows: At least one.
            times: (rows,) int64: when each happened, microseconds since 1970.

        Raises:
            StoreError: They cannot be written.
        """

    @abstractmethod
    def publish(self, note: bytes, *, again: bool = False) -> None:
        """Let the rows of a note be read, each once.

        Args:
            note: What `prepare` gave.
            again: Whether this may have been done before, in whole or in part.

        Raises:
            StoreError: They cannot be written.
        """

    @abstractmethod
    def forget(self) -> None:
        """Remove what was prepared and never committed."""

    @abstractmethod
    def close(self) -> None:
        """Let go of what is open."""


class SinkConfig(StrictModel, ABC):
    """Config of a sink; a member's `Config` derives from it."""

    family: ClassVar[str | None] = "easyrec.stream.sinks"

    type: str

    @abstractmethod
    def open(self, writer: str, keys: Sequence[str]) -> Sink:
        """The place, which is made where it is not there.

        Args:
            writer: Who writes: the same after a stop, and nobody else.
            keys: Columns that tell a sample from another.

        Raises:
            ConfigError: `${NAME}` is not set.
            MissingExtra: A package is not installed.
            StoreError: It cannot be reached.
        """
