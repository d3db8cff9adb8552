"""Where events come from: one file per kind of source, each with a `Config` whose `open` gives an `EventSource`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeAlias

import numpy as np
import pyarrow as pa

from feature_generator.config import StrictModel

Offset: TypeAlias = Any
"""Where a partition is gone on with; JSON can hold it."""


@dataclass(frozen=True)
class Malformed:
    """What could not be read, or does not count.

    Attributes:
        place: Where it lies, as errors name it.
        reason: What is wrong with it.
        content: What it holds, as far as it is text.
    """

    place: str
    reason: str
    content: str = ""


@dataclass(frozen=True)
class Events:
    """Consecutive events of a partition.

    Attributes:
        partition: Its name.
        rows: The columns that were asked for.
        offset: Where it is gone on with.
        arrived: (rows,) int64: when each came, microseconds since 1970; None: now.
        malformed: What could not be read among them.
        place: Where a row lies, as errors name it.
    """

    partition: str
    rows: pa.RecordBatch
    offset: Offset
    arrived: np.ndarray | None = None
    malformed: Sequence[Malformed] = field(default=())
    place: Callable[[int], str] | None = None


class EventSource(ABC):
    """Events by partition, each in its order, from any place on.

    Attributes:
        shown: What people call it, without secrets.
    """

    shown: str

    @property
    @abstractmethod
    def partitions(self) -> Sequence[str]:
        """Names of the partitions."""

    @property
    @abstractmethod
    def ended(self) -> bool:
        """Whether nothing will come any more."""

    @abstractmethod
    def seek(self, offsets: Mapping[str, Offset]) -> None:
        """Go on at these places; a partition that is not among them begins where the config says.

        Raises:
            DataError: Something that was not read yet is there no more.
        """

    @abstractmethod
    def poll(self, most: int, seconds: float) -> list[Events]:
        """Events that come next: what is there, or what comes within some time.

        Args:
            most: About how many, at most.
            seconds: How long to wait where there is none.

        Raises:
            DataError: Nothing can be read: the server is away for too long, or what comes next was deleted.
        """

    @abstractmethod
    def backlog(self) -> int | None:
        """Events, about, that wait; None: it is not known."""

    @abstractmethod
    def close(self) -> None:
        """Let go of what is open."""


class SourceConfig(StrictModel, ABC):
    """Config of a source of events; a member's `Config` derives from it."""

    family: ClassVar[str | None] = "easyrec.stream.sources"

    type: str

    @abstractmethod
    def open(self, schema: pa.Schema, *, until_end: bool = False) -> EventSource:
        """The events.

        Args:
            schema: Columns that are asked for; an event that lacks one has null there.
            until_end: Whether to end where they end now.

        Raises:
            ConfigError: `${NAME}` is not set.
            DataError: There is no such thing.
            MissingExtra: A package is not installed.
        """
