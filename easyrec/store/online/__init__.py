"""Online stores: what is known of a key of an entity, in one read.

One file per kind of store, each with a `Config` whose `open` gives an `OnlineStore`. A store keeps a record (bytes) for each
key of an entity and a head (bytes) for each entity; `easyrec.store.native` knows what is in a record. All views of an entity
share the record of a key, so that many views cost one read.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import ClassVar, TypeAlias

from easyrec.errors import StoreError
from easyrec.store import native
from feature_generator.config import Document, StrictModel

Spans: TypeAlias = Sequence[tuple[int, list[int]]]
"""Slots of views with the generations that count."""


class OnlineStore(ABC):
    """Records by entity and key. Safe to use from several threads and by several processes.

    All methods raise `StoreError` where the store cannot be reached or is damaged.

    Attributes:
        shown: What people call it, without secrets.
    """

    shown: str

    @abstractmethod
    def read(self, entity: str, keys: Sequence[bytes]) -> tuple[bytes | None, list[bytes | None]]:
        """The head of an entity, and the record of each key, all of one moment.

        Args:
            entity: Its name.
            keys: Any; one may be asked for twice.

        Returns:
            The head, None where nothing was written; the records in order, None where there is none.
        """

    def read_many(self, asked: Mapping[str, Sequence[bytes]]) -> dict[str, tuple[bytes | None, list[bytes | None]]]:
        """`read` for the keys of several entities; a store that has a way to go there goes it once."""
        return {entity: self.read(entity, keys) for entity, keys in asked.items()}

    @abstractmethod
    def splice(
        self,
        entity: str,
        slot: int,
        generation: int,
        keys: Sequence[bytes],
        rows: Sequence[bytes],
        keep: Spans,
        fence: bytes = b"",
    ) -> None:
        """Put a row into the record of each key, see `record.h`; what others put there meanwhile is not lost.

        Args:
            entity: Its name.
            slot: Number of the view.
            generation: Of the rows.
            keys: No key twice.
            rows: One for each key; empty: the key is deleted.
            keep: What must stay of this slot.
            fence: What the head must hold at the moment of writing, else nothing is written: whose turn it is. A writer that
                was held up knows not what came after it, and would take it for what need not stay.

        Raises:
            StoreError: The head does not hold the fence: another writer has begun.
        """

    @abstractmethod
    def set_head(self, entity: str, new: bytes, old: bytes | None) -> bool:
        """Replace the head if it still is `old`, durably; says whether it was."""

    @abstractmethod
    def scan(self, entity: str, at_once: int = 1000) -> Iterator[list[tuple[bytes, bytes]]]:
        """All keys of an entity with their records, about `at_once` at a time, in any order.

        A key that is there all the while comes once or, in some stores, more often; the others may come or not.
        """

    @abstractmethod
    def sweep(self, entity: str, keys: Sequence[bytes], live: Spans) -> None:
        """Take from the records of some keys what is not counted; remove those in which nothing is left."""

    def changes(self, entity: str, since: bytes | None) -> tuple[bytes, list[bytes] | None]:
        """Which keys of an entity were changed, for those who keep its records in memory.

        A change is told of in the same step that makes it, so that none is missed. A store that keeps no journal
        answers that any key may have changed, and its followers read everything anew each time.

        Args:
            entity: Its name.
            since: What a former call gave; None: from now on.

        Returns:
            A mark for the next call, and the keys whose records were changed since, a key perhaps more than once; None:
            any key may have been.
        """
        return b"", None

    @abstractmethod
    def close(self) -> None:
        """Let go of what is open."""


class OnlineConfig(StrictModel, ABC):
    """Config of an online store; a member's `Config` derives from it."""

    family: ClassVar[str | None] = "easyrec.store.online"

    type: str

    @abstractmethod
    def open(self, project: str) -> OnlineStore:
        """The store of a project; it is made where it is not there.

        Raises:
            ConfigError: `${NAME}` is not set.
            MissingExtra: A package is not installed.
            StoreError: It cannot be reached.
        """


def address(text: str, *schemes: str) -> str:
    """The address of a server, of one of some schemes; one that begins with a `${NAME}` is looked at when it is used.

    Raises:
        ValueError: It is of none of them.
    """
    if not text.startswith(("${", *schemes)):
        shown = text.partition("://")
        told = f"{shown[0]}://..." if shown[1] else "no address"
        raise ValueError(
            f"must begin with {', '.join(schemes[:-1])}{' or ' if schemes[1:] else ''}{schemes[-1]}, but is {told}"
        )
    return text


def expanded(text: str) -> str:
    """The text with every `${NAME}` replaced.

    Raises:
        ConfigError: One is not set.
    """
    found: str = Document.of({"online": text}).data["online"]
    return found


def check_fence(shown: str, entity: str, head: bytes | None, fence: bytes) -> None:
    """See `OnlineStore.splice`.

    Raises:
        StoreError: The head does not hold the fence.
    """
    if fence not in (head or b""):
        told = "another writer has begun after this one, or it was taken for dead"
        raise StoreError(f"{shown}, entity '{entity}': {told}: nothing is written any more")


@contextmanager
def intact(shown: str, entity: str, keys: Sequence[bytes], records: Sequence[bytes | None]) -> Iterator[None]:
    """Inside, records are read; one that is damaged is told by its key.

    Raises:
        StoreError: One is.
    """
    try:
        yield
    except ValueError as error:
        told = f"{shown}, entity '{entity}'"
        for key, record in zip(keys, records, strict=True):
            try:
                native.parts(record or b"")
            except ValueError as damage:  # noqa: PERF203 (looked for once something is wrong)
                key_ = key.decode(errors="replace")[:100]
                raise StoreError(f"{told}, key '{key_}': {damage}: delete the key, and publish again") from None
        raise StoreError(f"{told}: {error}") from None
