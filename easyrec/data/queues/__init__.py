"""Work queues: slices of work that workers take one by one, so that a slow worker takes fewer.

One file per place where a queue may lie, each with a `Config` whose `open` gives a `WorkQueue`. A worker leases a slice
for some seconds and renews the lease while it works; a slice whose lease runs out goes to the next who asks. Every lease
has a token of its own: only the newest one counts, so a slice is done once, however many workers tried it. A queue
accounts for one epoch; every epoch is a queue of its own.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any, ClassVar, Literal, TypeAlias
from urllib.parse import parse_qsl

from pydantic import Field

from easyrec.errors import LeaseLost, QueueError, QueueGone
from feature_generator.config import Choice, Document, StrictModel, member, members, validate

State: TypeAlias = Literal["waiting", "leased", "done", "failed"]
STATES: tuple[State, ...] = ("waiting", "leased", "done", "failed")

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
"""What slices, workers and queues may be called: every backend and every file system takes it."""


@dataclass(frozen=True)
class Lease:
    """A slice that a worker holds for a while.

    Attributes:
        slice: Name of the slice.
        token: Tells this lease from all others.
        attempt: How often the slice was taken, with this time; from 1.
        seconds: How long it holds without being renewed.
        worker: Who took it.
    """

    slice: str
    token: str
    attempt: int
    seconds: float
    worker: str


class Idle(Enum):
    """Why there is no slice to take."""

    WAIT = "others hold what is not done; some of it may come back"
    DONE = "every slice is done or has failed"


@dataclass(frozen=True)
class Entry:
    """What a queue knows of a slice.

    Attributes:
        slice: Its name.
        state: Where it stands. A lease that ran out stays `leased` until someone takes the slice.
        attempts: How often it was taken.
        worker: Who holds it, or who did it.
        age: Seconds since it was taken, where it is leased; for people to read, nothing is decided by it.
        rows: Rows of its result, where it is done.
        reason: What the last failed attempt said.
    """

    slice: str
    state: State
    attempts: int = 0
    worker: str = ""
    age: float | None = None
    rows: int | None = None
    reason: str = ""


@dataclass(frozen=True)
class Status:
    """A look at a queue.

    Attributes:
        job: Identity of the work.
        attempts: How often a slice is tried.
        entries: All slices, in their order.
    """

    job: str
    attempts: int
    entries: Sequence[Entry]

    @property
    def counts(self) -> Counter[State]:
        """Number of slices by state."""
        return Counter(entry.state for entry in self.entries)

    @property
    def finished(self) -> bool:
        """Whether every slice is done or has failed."""
        counts = self.counts
        return counts["waiting"] == counts["leased"] == 0

    def those(self, state: State) -> list[Entry]:
        """Slices in a state."""
        return [entry for entry in self.entries if entry.state == state]


class WorkQueue(ABC):
    """Slices of one epoch of one job, shared by workers in any number of processes.

    Safe to use from several threads. All methods raise `QueueError` where the store cannot be reached or is damaged, and
    `QueueGone` where it holds no such queue.

    Attributes:
        shown: What people call it, without secrets.
    """

    shown: str

    def create(self, job: str, slices: Sequence[str], attempts: int = 3) -> None:
        """Make the queue, all of it or nothing; where it is there already, check that it is of the same work.

        Args:
            job: Identity of the work, any text.
            slices: Names of the slices; they are handed out in this order.
            attempts: How often a slice is tried before it counts as failed; of a queue that is there its own count holds.

        Raises:
            ValueError: A name is no `NAME`, or is given twice.
            QueueError: The queue is there and holds other work.
        """
        wrong = [name for name in slices if not NAME.fullmatch(name)]
        if wrong or len(set(slices)) != len(slices) or attempts < 1:
            raise ValueError(f"not a name of a slice: {wrong[0]!r}" if wrong else "slices or attempts make no queue")
        known = self._create(job, list(slices), attempts)
        if known is not None and known != (job, list(slices)):
            what = "other slices of the same work" if known[0] == job else "other work"
            text = f"holds {what} ({len(known[1])} slices): take another name or place, or remove that queue"
            raise QueueError(f"{self.shown} {text}")

    @abstractmethod
    def _create(self, job: str, slices: list[str], attempts: int) -> tuple[str, list[str]] | None:
        """Make the queue; where it is there already, give its job and slices."""

    @abstractmethod
    def lease(self, worker: str, seconds: float) -> Lease | Idle:
        """Take a slice: of those that wait or whose lease ran out the one that was tried least, then the first.

        A slice whose last attempt ran out is marked as failed here.

        Args:
            worker: Who asks.
            seconds: How long the lease holds.
        """

    @abstractmethod
    def renew(self, lease: Lease) -> None:
        """Let the lease hold for its seconds from now on.

        Raises:
            LeaseLost: Another worker took the slice since.
        """

    @abstractmethod
    def complete(self, lease: Lease, rows: int) -> None:
        """Mark the slice as done. To say it twice is fine; so is to say it late, as long as nobody else took the slice.

        Raises:
            LeaseLost: Another worker took the slice since.
        """

    @abstractmethod
    def fail(self, lease: Lease, reason: str) -> None:
        """Give the slice back; after its last attempt it is marked as failed.

        Raises:
            LeaseLost: Another worker took the slice since.
        """

    @abstractmethod
    def release(self, lease: Lease) -> None:
        """Give the slice back as if it had not been tried.

        Raises:
            LeaseLost: Another worker took the slice since.
        """

    @abstractmethod
    def again(self, slices: Sequence[str]) -> None:
        """Let slices that are done or failed wait anew, with no attempt counted; others stay as they are."""

    @abstractmethod
    def status(self) -> Status:
        """Where all slices stand."""

    @abstractmethod
    def remove(self) -> None:
        """Remove the queue; one that is not there is fine."""

    def close(self) -> None:  # noqa: B027 (most queues hold nothing open)
        """Let go of what is open."""

    def gone(self) -> QueueGone:
        """The error of a queue that is not there."""
        return QueueGone(f"{self.shown}: there is no such queue, or no longer")

    def damaged(self, what: str) -> QueueError:
        """The error of a queue that cannot be trusted."""
        return QueueError(f"{self.shown} is damaged: {what}; remove the queue and start again, finished parts are kept")

    @staticmethod
    def lost(lease: Lease) -> LeaseLost:
        """The error of a lease that is no longer the newest."""
        return LeaseLost(
            f"slice '{lease.slice}' is no longer held by {lease.worker}: its lease was not renewed in time"
        )


class QueueConfig(StrictModel, ABC):
    """Config of a work queue; a member's `Config` derives from it.

    `${NAME}` stays as it is written until the queue is opened, so that a config can be shown.
    """

    family: ClassVar[str | None] = "easyrec.data.queues"

    type: str
    name: str = Field("work", pattern=rf"^{NAME.pattern}$")
    """Tells queues in one place apart."""
    attempts: int = Field(3, ge=1)
    """How often a slice is tried before it counts as failed."""
    lease_seconds: float = Field(60.0, gt=0.0)
    """How long a worker may be silent before its slice goes to another one."""
    slice_rows: int = Field(131_072, ge=1)
    """About how many rows a slice has; a row group or a piece of a text file is never cut."""

    @classmethod
    @abstractmethod
    def of_uri(cls, uri: str, options: Mapping[str, str]) -> dict[str, Any]:
        """What the config says of a place, e.g. `{"path": ...}`.

        Args:
            uri: The place, without what stands behind `?`.
            options: What stood there.
        """

    @abstractmethod
    def open(self, epoch: int = 0) -> WorkQueue:
        """The queue of an epoch; nothing is made or asked yet.

        Raises:
            ConfigError: `${NAME}` is not set.
            MissingExtra: A package is not installed.
        """


class _Named(StrictModel):
    """A queue as a call names it."""

    queue: Annotated[Any, Choice("easyrec.data.queues")]


SCHEMES = {"file": "files", "rediss": "redis"}
"""Schemes that are not called like the type."""


def queue_config(given: str | Mapping[str, Any] | QueueConfig) -> QueueConfig:
    """The config of a queue from its content or its place.

    Args:
        given: `{"type": ..., ...}`; or a folder; or `sqlite:work.db`, `redis://host:6379/0`, with further keys behind
            `?`, as in `redis://host/0?name=scores&attempts=5`.

    Raises:
        ConfigError: There is no such type, or a key is wrong.
    """
    if isinstance(given, QueueConfig):
        return given
    found = dict(given) if isinstance(given, Mapping) else _of_text(given)
    document = Document(data={"queue": found}, raw={"queue": found})  # not `of`: secrets stay out of configs
    made: QueueConfig = validate(_Named, document).queue
    return made


def _of_text(text: str) -> dict[str, Any]:
    scheme, colon, _ = expanded(text).partition(":")
    if not colon or "/" in scheme:
        scheme = "files"
    kind = SCHEMES.get(scheme, scheme)
    if kind not in members("easyrec.data.queues"):
        return {"type": kind}  # told as any unknown type is
    place, _, query = text.partition("?") if colon else (text, "", "")
    options = dict(parse_qsl(query, keep_blank_values=True))
    made: dict[str, Any] = member("easyrec.data.queues", kind).Config.of_uri(place, options)
    return {"type": kind, **options, **made}


def expanded(text: str) -> str:
    """The text with every `${NAME}` replaced.

    Raises:
        ConfigError: One is not set.
    """
    found: str = Document.of({"queue": text}).data["queue"]
    return found


def silent(worker: str, seconds: float) -> str:
    """Why an attempt failed whose worker fell silent."""
    return f"nothing was heard from {worker} for {seconds:g} s: it died, or lost its connection"
