"""What a stream remembers, changed in one transaction: one file per kind, each with a `Config` whose `open` gives a `State`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import ClassVar, TypeAlias

from feature_generator.config import StrictModel

Changes: TypeAlias = Iterable[tuple[str, Sequence[bytes], Sequence[bytes]]]
"""Space, keys and values; an empty value: the key is gone."""


class State(ABC):
    """Values by space and key, for one process. A space is a short name; keys of a space are in the order of their bytes.

    All methods raise `StoreError` where it cannot be used.

    Attributes:
        shown: What people call it.
    """

    shown: str

    @abstractmethod
    def get(self, space: str, keys: Sequence[bytes]) -> list[bytes | None]:
        """The value of each key, None where there is none."""

    @abstractmethod
    def scan(
        self, space: str, after: bytes = b"", most: int = 1000, before: bytes | None = None
    ) -> list[tuple[bytes, bytes]]:
        """Keys and values that follow a key, in order.

        Args:
            space: Of the keys.
            after: The key that was met last; empty: from the first on.
            most: How many at most.
            before: The key at which to stop; None: none.
        """

    @abstractmethod
    def commit(self, changes: Changes) -> None:
        """Make changes, all of them or none, also where the power fails."""

    @abstractmethod
    def close(self) -> None:
        """Let go of it; others may use it then."""


def every(state: State, space: str) -> Iterator[tuple[bytes, bytes]]:
    """All keys and values of a space, in order."""
    after = b""
    while found := state.scan(space, after):
        yield from found
        after = found[-1][0]


class StateConfig(StrictModel, ABC):
    """Config of a state; a member's `Config` derives from it."""

    family: ClassVar[str | None] = "easyrec.stream.state"

    type: str

    @abstractmethod
    def place(self, default: Path) -> Path:
        """The file or folder of the state; see `open`."""

    @abstractmethod
    def open(self, default: Path) -> State:
        """The state; it is made where it is not there.

        Args:
            default: Where it lies where the config names no path; its kind is added behind.

        Raises:
            MissingExtra: A package is not installed.
            StoreError: Another process uses it, or it cannot be used.
        """
