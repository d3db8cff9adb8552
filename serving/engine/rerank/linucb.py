"""`linucb`: a linear model of what is clicked, learned live, plus a bonus for what it is unsure of."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import socket
import threading
import time
import uuid
import zipfile
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
from serving.server.metrics import is_alive

REMEMBERED = 20_000
"""Lists whose items may still be clicked."""
SHARE_S = 5.0
"""How often what was learned is written, and what others learned is read."""
STALE_S = 86_400.0
"""A file that was not written for so long is merged, whoever wrote it."""
_HOST = hashlib.blake2b(socket.gethostname().encode(), digest_size=4).hexdigest()


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

    <features>-<host>-<process>-<n>.npz   what a process has learned, written by it again and again
    <features>-merged.npz                 what processes had learned that have ended, and whose files it holds

    A process whose file was merged, as it had nothing to write for a day, goes on with a new one.

    Args:
        features: What the model sees, as text: files of other features are left alone.
        size: How many numbers that are.
        ridge: Of the model.
        path: The folder, or None.
    """

    def __init__(self, features: Sequence[str], size: int, ridge: float, path: str | None) -> None:
        self._lock, self._size, self._ridge = threading.Lock(), size, ridge
        self._folder = None if path is None else Path(path)
        self._print = hashlib.blake2b("\n".join(features).encode(), digest_size=6).hexdigest()
        self._file = self._new_file()
        self._own = np.zeros((size, size + 1))
        self._others = np.zeros((size, size + 1))
        self._saved: Floats | None = None
        self._shown: OrderedDict[str, dict[str, Floats]] = OrderedDict()
        self._shared, self._written = 0.0, False
        self._solved: tuple[Floats, Floats] | None = None
        self.share()

    def _new_file(self) -> str:
        return f"{self._print}-{_HOST}-{os.getpid()}-{uuid.uuid4().hex[:8]}.npz"

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
        with (self._folder / ".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            merged, names = self._merge(self._folder)
            self._write(self._folder, names)
            others = merged
            for path in self._files(self._folder):
                if path.name != self._file and path.name not in names:
                    others = others + self._read(path)[0]
        with self._lock:
            if (others != self._others).any():
                self._others, self._solved = others, None

    def _write(self, folder: Path, merged: frozenset[str]) -> None:
        """Write what this process learned; what was merged is not its own any more."""
        with self._lock:
            if self._saved is not None and (self._file in merged or not (folder / self._file).exists()):
                self._own = self._own - self._saved
                self._file, self._saved, self._solved, self._written = self._new_file(), None, None, False
            own, dirty = self._own.copy(), not self._written
        if dirty and own.any():
            _save(folder / self._file, sums=own)
            self._saved = own
        with self._lock:
            self._written = self._written or bool((own == self._own).all())

    def _merge(self, folder: Path) -> tuple[Floats, frozenset[str]]:
        """Put what ended processes learned into one file; gives its sums, and whose files are in it."""
        target = folder / f"{self._print}-merged.npz"
        sums, names = self._read(target)
        ended = [path for path in self._files(folder) if path.name != self._file and _has_ended(path)]
        new = [path for path in ended if path.name not in names]
        if new:
            for path in new:
                sums = sums + self._read(path)[0]
            names = frozenset(path.name for path in ended)  # those that a kill leaves beside it count once
            _save(target, sums=sums, names=np.array(sorted(names)))
        for path in ended:
            path.unlink(missing_ok=True)
        for path in folder.glob(f".{self._print}-*.writing"):
            if path.name != f".{self._file}.writing" and _has_ended(path):
                path.unlink(missing_ok=True)
        return sums, names

    def _files(self, folder: Path) -> list[Path]:
        return [path for path in folder.glob(f"{self._print}-*.npz") if not path.name.endswith("-merged.npz")]

    def _read(self, path: Path) -> tuple[Floats, frozenset[str]]:
        """The sums of a file and the names in it; zeros where it cannot be read."""
        with contextlib.suppress(OSError, ValueError, KeyError, zipfile.BadZipFile), np.load(path) as held:
            sums: Floats = held["sums"]
            if sums.shape == self._own.shape and np.isfinite(sums).all():
                return sums, frozenset(held["names"].tolist() if "names" in held else ())
        return np.zeros((self._size, self._size + 1)), frozenset()


def _save(path: Path, **arrays: npt.NDArray[Any]) -> None:
    partial = path.with_name(f".{path.name}.writing")
    with partial.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]  # its stubs take the names for options
    partial.replace(path)


def _has_ended(path: Path) -> bool:
    """Whether a file is of a process that writes it no more: one of this host that is gone, or one long unheard of."""
    parts = path.name.lstrip(".").split(".", 1)[0].split("-")
    with contextlib.suppress(OSError):
        if time.time() - path.stat().st_mtime > STALE_S:
            return True
    return len(parts) == 4 and parts[1] == _HOST and parts[2].isdigit() and not is_alive(int(parts[2]))


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
        self._learned = self.memory = self.world.shared(key, Learned, config.features, size, config.ridge, config.path)

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
