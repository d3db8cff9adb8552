"""`linucb`: a linear model of what is clicked, learned live, plus a bonus for what it is unsure of."""

from __future__ import annotations

import contextlib
import os
import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, Field

from easyrec.errors import DataError
from feature_generator.expressions import ExpressionError
from serving.engine.ask import Ask
from serving.engine.formula import Formula, check_text
from serving.engine.merge import Candidates
from serving.engine.rerank import Rerank, RerankConfig, chosen_first
from serving.engine.rows import Floats

REMEMBERED = 20_000
"""Lists whose items may still be clicked."""
SHARE_S = 5.0
"""How often what was learned is written, and what others learned is read."""


class Config(RerankConfig):
    """Config of `linucb`."""

    type: Literal["linucb"] = "linucb"
    features: list[Annotated[str, AfterValidator(check_text)]] = Field(min_length=1, max_length=64)
    """What the model sees of an item: expressions over `score`, columns of numbers of the catalogue, `user.<column>` and
    `context.<column>`, scaled to about -1 to 1. What cannot be told is 0."""
    alpha: float = Field(0.5, ge=0.0, le=100.0)
    """How much the bonus counts."""
    ridge: float = Field(1.0, gt=0.0)
    """How strongly the model is held to 0 at the start."""
    pool: int = Field(100, ge=1, le=1000)
    """So many of the best candidates are ordered; the others follow as they are."""
    path: str | None = Field(None, min_length=1)
    """A folder in which what was learned is kept, and shared by the processes; without it each has its own and forgets it."""


class Learned:
    """Sums over what was shown and clicked: ``A = sum x x'``, ``b = sum reward x``; those of others come from files.

    Args:
        size: How many features.
        ridge: Of the model.
        path: The folder, or None.
    """

    def __init__(self, size: int, ridge: float, path: str | None) -> None:
        self._lock, self._size, self._ridge = threading.Lock(), size, ridge
        self._folder = None if path is None else Path(path)
        self._file = f"{os.getpid()}-{uuid.uuid4().hex[:8]}.npz"
        self._own = np.zeros((size, size + 1))
        self._others = np.zeros((size, size + 1))
        self._shown: OrderedDict[str, dict[str, Floats]] = OrderedDict()
        self._shared, self._written = 0.0, False
        self._solved: tuple[Floats, Floats] | None = None
        self.share()

    def solved(self) -> tuple[Floats, Floats]:
        """The weights, and the inverse of A."""
        with self._lock:
            if self._solved is None:
                sums = self._own + self._others
                inverse: Floats = np.linalg.inv(sums[:, :-1] + self._ridge * np.eye(self._size)).astype(np.float64)
                self._solved = (inverse @ sums[:, -1], inverse)
            return self._solved

    def show(self, request: str, keys: Sequence[Any], features: Floats) -> None:
        """Learn of what was shown: so far nobody clicked it."""
        with self._lock:
            self._own[:, :-1] += features.T @ features
            self._shown[request] = {str(key): row for key, row in zip(keys, features, strict=True)}
            while len(self._shown) > REMEMBERED:
                self._shown.popitem(last=False)
            self._solved, self._written = None, False

    def reward(self, request: str, key: Any, value: float) -> None:
        """Learn of a click or the like."""
        with self._lock:
            features = self._shown.get(request, {}).get(str(key))
            if features is not None:
                self._own[:, -1] += value * features
                self._solved, self._written = None, False

    def share(self) -> None:
        """Write what this process learned, and read what others did."""
        if self._folder is None or time.monotonic() - self._shared < SHARE_S:
            return
        self._shared = time.monotonic()
        self._folder.mkdir(parents=True, exist_ok=True)
        with self._lock:
            own, dirty = self._own.copy(), not self._written
            self._written = True
        if dirty and own.any():
            partial = self._folder / f".{self._file}.writing"
            with partial.open("wb") as file:
                np.savez(file, sums=own)
            partial.replace(self._folder / self._file)
        others = np.zeros_like(own)
        for path in self._folder.glob("*.npz"):
            if path.name == self._file:
                continue
            with contextlib.suppress(OSError, ValueError, KeyError):
                sums: npt.NDArray[Any] = np.load(path, allow_pickle=False)["sums"]
                if sums.shape == own.shape and np.isfinite(sums).all():
                    others += sums
        with self._lock:
            if (others != self._others).any():
                self._others, self._solved = others, None


class LinUCB(Rerank):
    """Orders by ``theta' x + alpha sqrt(x' A^-1 x)``. The order follows from what was learned: no chance has a say in it.

    Source:
        Li, Chu, Langford and Schapire, "A contextual-bandit approach to personalized news article recommendation",
        WWW 2010, algorithm 1, with one model for all items.
    """

    def prepare(self) -> None:
        """The expressions."""
        config = self.config
        try:
            self._formulas = [Formula(text, ("score",), self.rows) for text in config.features]
        except ExpressionError as error:
            raise DataError(f"'{config.called}', features: {error}") from None
        size = 1 + len(self._formulas)
        key = ("linucb", config.path, tuple(config.features), config.ridge)
        self._learned = self.memory = self.world.shared(key, Learned, size, config.ridge, config.path)

    def refresh(self) -> None:
        """Share what was learned."""
        self._learned.share()

    def _features(self, ask: Ask, candidates: Candidates) -> Floats:
        scores = {"score": np.nan_to_num(candidates.scores)}
        columns = [np.ones(len(candidates)), *(one(candidates.rows, scores, ask.value) for one in self._formulas)]
        return np.nan_to_num(np.stack(columns, axis=1), posinf=0.0, neginf=0.0)

    def rerank(self, ask: Ask, candidates: Candidates, count: int) -> Candidates:
        """See the contract."""
        best = candidates.take(np.arange(min(self.config.pool, len(candidates))))
        features = self._features(ask, best)
        weights, inverse = self._learned.solved()
        bonus = np.sqrt(np.maximum(np.einsum("nd,de,ne->n", features, inverse, features), 0.0))
        order = np.argsort(-(features @ weights + self.config.alpha * bonus), kind="stable")
        return candidates.take(chosen_first(len(candidates), order.tolist()))

    def shown(self, ask: Ask, candidates: Candidates, keys: Sequence[Any]) -> None:
        """See the contract."""
        if len(candidates):
            self._learned.show(ask.question.request_id, keys, self._features(ask, candidates))

    def happened(self, request_id: str, key: Any, value: float) -> None:
        """See the contract."""
        self._learned.reward(request_id, key, value)
