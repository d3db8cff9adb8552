"""`Question`: what a client asks; `Ask`: the same on its way through the stages, with what is known of the user."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from serving.engine.history import Past
from serving.engine.once import once
from serving.engine.rows import Ints, Rows

if TYPE_CHECKING:
    from serving.ab import Assignment
    from serving.engine.world import World

NO_PAST = Past()
Vector = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Question:
    """What is asked.

    Attributes:
        scene: Its name; empty: the first one.
        user_id: The user.
        size: How many items are wanted; None: as many as the scene says.
        user: Columns of the user that came with the request.
        context: Columns of the request.
        request_id: Tells requests apart, and seeds what is random together with `seed`.
        time: Milliseconds since 1970 at which the user asks.
        page: Which of the pages, from 0.
        seed: Another one gives other random choices.
        parameters: Laid over the scene's config, as those of an experiment.
    """

    scene: str
    user_id: str | int
    size: int | None = None
    user: Mapping[str, Any] = field(default_factory=dict)
    context: Mapping[str, Any] = field(default_factory=dict)
    request_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    time: int = field(default_factory=lambda: time.time_ns() // 1_000_000)
    page: int = 0
    seed: int = 0
    parameters: Mapping[str, Any] = field(default_factory=dict)


class Ask:
    """A question on its way. Its methods may be called from several threads.

    Args:
        question: What was asked.
        world: What all requests share.
        rows: The catalogue, as it is for this request.
        deadline: When an answer comes too late, by `time.perf_counter`.

    Attributes:
        degraded: What was left out.
        hurried: Whether nothing may be waited for any more.
        best: What may be answered if no further stage comes to its end.
        stored: Waits for the user's columns of the feature store; None: there is none.
        variants: The experiments that the user is in: by layer, experiment and variant.
        assignment: The same, as what counts for them wants it.
        parameters: What is laid over the scene's config.
    """

    def __init__(
        self,
        question: Question,
        world: World,
        rows: Rows,
        deadline: float,
    ) -> None:
        self.question, self.world, self.rows = question, world, rows
        self.deadline, self.degraded = deadline, list[str]()
        self.best: Ints | None = None
        self.assignment: Assignment | None = None
        self.variants: Mapping[str, str] = {}
        self.parameters: Mapping[str, Any] = {}
        self.hurried = False
        self._lock, self._vector_lock = threading.RLock(), threading.Lock()
        self.stored: Callable[[], Mapping[str, pa.Array]] | None = None
        self._vectors: dict[tuple[str, str | None], Vector] = {}

    @once
    def random(self) -> np.random.Generator:
        """Seeded by the request: the same request is answered alike."""
        asked = self.question
        text = f"{asked.request_id}\0{asked.user_id}\0{asked.seed}\0{asked.page}"
        return np.random.Generator(
            np.random.PCG64(int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big"))
        )

    @property
    def past(self) -> Past:
        """What the user did lately."""
        with self._lock:
            return self._past

    @once
    def _past(self) -> Past:
        try:
            return self.world.history.of(self)
        except Exception as error:  # noqa: BLE001 (a request always answers: nothing is known of the user then)
            self.degraded.append("history: error")
            self.world.failed("history", error)
            return NO_PAST

    @property
    def knows_past(self) -> bool:
        """Whether `past` takes no time."""
        return "_past" in self.__dict__

    @once
    def clicked(self) -> Ints:
        """Numbers of the items that the user took an interest in, the newest first; those that are gone are left out."""
        found = self.rows.find(self.past.keys)
        return found[found >= 0]

    @once
    def clicked_times(self) -> npt.NDArray[np.int64]:
        """When, in milliseconds since 1970."""
        found = self.rows.find(self.past.keys)
        return np.asarray(self.past.times, np.int64)[found >= 0]

    @property
    def user(self) -> Mapping[str, Any]:
        """What is known of the user: values, or Arrow arrays of one, by column."""
        with self._lock:
            return self._user

    @property
    def stored_columns(self) -> Mapping[str, pa.Array]:
        """What a feature store has of the user."""
        with self._lock:
            return self._stored_columns

    @once
    def _stored_columns(self) -> Mapping[str, pa.Array]:
        return {} if self.stored is None else self.stored()

    @once
    def _user(self) -> dict[str, Any]:
        columns: dict[str, Any] = {}
        columns |= self.stored_columns
        columns |= self.world.past_columns(self, columns)
        return {self.world.config.user_key: self.question.user_id, **columns, **self.question.user}

    @property
    def _known_user(self) -> Mapping[str, Any]:
        """What is known of the user; in a hurry no more than is there already."""
        if not self.hurried:
            return self.user
        known: Mapping[str, Any] = self.__dict__.get("_user", self.question.user)
        return known

    def value(self, side: str, column: str) -> Any:
        """A value of the user or the context as Python has it; None where there is none."""
        held = self._known_user if side == "user" else self.question.context
        found = held.get(column)
        return found[0].as_py() if isinstance(found, pa.Array) else found

    def batch(self, side: str, columns: Sequence[str]) -> pa.RecordBatch:
        """Columns of the user or the context as a batch of one row; null where there is none."""
        held = self.user if side == "user" else self.question.context
        arrays, names = [], []
        for name in columns:
            head = name if name in held else name.partition("__")[0]
            if head in names:
                continue
            value = held.get(head)
            arrays.append(value if isinstance(value, pa.Array) else pa.array([value]))
            names.append(head if head in held else name)
        return pa.RecordBatch.from_arrays(arrays, names)

    def vector(self, model: str, tower: str | None) -> Vector:
        """The user's vector by a tower, computed once.

        Raises:
            Refused: The model is not there yet, or is another one's tower.
            DataError: A column is unreadable.
        """
        with self._vector_lock:
            key = (model, tower)
            if key not in self._vectors:
                self._vectors[key] = self.world.vector(self, model, tower)
            return self._vectors[key]
