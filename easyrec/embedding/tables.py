"""The memory of the tables and their optimizer's state, and the step on them. Knows no torch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from easyrec.embedding import native
from easyrec.embedding.keys import PARTS, KeyMap, start_rows
from easyrec.embedding.spec import KeySpec, TableSpec
from easyrec.errors import CheckpointError

if TYPE_CHECKING:
    from easyrec.config.train import SparseOptimizer

LINE = 64  # bytes; a row that fits a cache line must not straddle two
DRAWN = 1 << 14  # rows that are drawn at once

STATES: Mapping[str, tuple[str, ...]] = {
    "adam": ("m", "v"),
    "lazy_adam": ("m", "v"),
    "rowwise_adagrad": ("sum",),
    "adagrad": ("sum",),
    "sgd": (),
    "ftrl": ("z", "n"),
}
"""Names of each optimizer's state arrays; `sum` of `rowwise_adagrad` has one column."""


def aligned(rows: int, dim: int, fill: float = 0.0) -> np.ndarray:
    """(rows, dim) float32 filled with a number, starting at a cache line."""
    raw = np.empty(rows * dim + LINE // 4, np.float32)
    start = -raw.ctypes.data % LINE // 4
    array = raw[start : start + rows * dim].reshape(rows, dim)
    array.fill(fill)
    return array


def flat_arrays(specs: Sequence[TableSpec], fill: float = 0.0, width: int | None = None) -> list[np.ndarray]:
    """One array (rows, dim) per table; tables of equal dim lie one after another in one flat array.

    Args:
        specs: The tables.
        fill: First value of every element.
        width: Columns instead of each table's dim.
    """
    widths = [width or spec.dim for spec in specs]
    flat = {w: aligned(sum(s.rows for s, v in zip(specs, widths, strict=True) if v == w), w, fill) for w in set(widths)}
    used = dict.fromkeys(flat, 0)
    result = []
    for spec, w in zip(specs, widths, strict=True):
        result.append(flat[w][used[w] : used[w] + spec.rows])
        used[w] += spec.rows
    return result


def drawn_rows(spec: TableSpec, seed: int, chunk: int) -> Iterator[tuple[int, np.ndarray]]:
    """The first rows of a table, from the seed and its name alone: other tables do not matter.

    Args:
        spec: The table.
        seed: The seed.
        chunk: Rows that are drawn at once; which are drawn does not depend on it.

    Yields:
        Number of the first row, and (n, dim) float32.
    """
    key = hashlib.blake2b(f"{seed}:{spec.name}".encode(), digest_size=16).digest()
    random = np.random.Generator(np.random.Philox(key=int.from_bytes(key, "little")))
    value = np.float32(spec.init.value)
    for start in range(0, spec.rows, chunk):
        shape = min(chunk, spec.rows - start), spec.dim
        if spec.init.type == "identity":
            yield start, value * np.eye(*shape, k=start, dtype=np.float32)
        elif spec.init.type == "normal":
            yield start, random.standard_normal(shape, np.float32) * value
        else:
            yield start, (random.random(shape, np.float32) - np.float32(0.5)) * (2 * value)


def initialize(spec: TableSpec, weights: np.ndarray, seed: int) -> None:
    """Fill a table in place with its first rows."""
    for start, rows in drawn_rows(spec, seed, DRAWN):
        weights[start : start + len(rows)] = rows


class TrainedTables:
    """Weights and optimizer state of all tables.

    Args:
        specs: The tables.
        optimizer: What moves them.
        regularizer: lambda of lambda/2 * ||E||^2 over all trainable tables.
        seed: With the name of a table it decides the first weights.
        threads: How many threads share the work; results do not depend on it.
        keys: By which ids have rows, in the dynamic ones.

    Attributes:
        weights: (rows, dim) float32 of each table.
        states: Per name of a state array, the arrays of each table.
        keys: The maps of ids to rows, by name.
        native: The same memory as the kernels know it.
        step: Steps done.
    """

    def __init__(
        self,
        specs: Sequence[TableSpec],
        optimizer: SparseOptimizer,
        regularizer: float,
        seed: int,
        threads: int,
        keys: Sequence[KeySpec] = (),
    ) -> None:
        self.specs, self.optimizer, self.regularizer, self.seed = tuple(specs), optimizer, regularizer, seed
        self.step = 0
        self.keys = {spec.name: KeyMap(spec, seed) for spec in keys}
        self.weights = flat_arrays(specs)
        self._start()
        self._first = float(getattr(optimizer, "initial_accumulator", 0.0))
        width = 1 if optimizer.type == "rowwise_adagrad" else None
        self.states = {name: flat_arrays(specs, self._first, width) for name in STATES[optimizer.type]}
        a, b = (*self.states.values(), [], [])[:2]
        self.native = native.Tables(self.weights, a, b, [spec.trainable for spec in specs], threads)

    def _start(self) -> None:
        """Let all rows have their first values."""
        for spec, weights in zip(self.specs, self.weights, strict=True):
            if spec.keys is None:
                initialize(spec, weights, self.seed)

    def admit(self, name: str, ids: np.ndarray) -> np.ndarray:
        """(n,) rows of the ids of a training step, -1 for those without; those that get one start anew."""
        rows, fresh, new = self.keys[name].admit(ids, self.step)
        if len(fresh):
            for place, (spec, weights) in enumerate(zip(self.specs, self.weights, strict=True)):
                if spec.keys == name:
                    start_rows(spec, weights, fresh, new, self.seed)
                    for arrays in self.states.values():
                        arrays[place][fresh] = self._first
        return rows

    def find(self, name: str, ids: np.ndarray) -> np.ndarray:
        """(n,) rows of ids, -1 for those without."""
        return self.keys[name].find(ids)

    def apply(self, gradients: Sequence[tuple[Any, np.ndarray]], lr: float, scale: float) -> None:
        """One optimizer step.

        Args:
            gradients: Pairs of a native call and the gradient (rows, width) of what it filled.
            lr: Learning rate.
            scale: Factor of the whole gradient.
        """
        self.step += 1
        self.native.apply(list(gradients), self._step(lr, scale))

    def square_sum(self, gradients: Sequence[tuple[Any, np.ndarray]]) -> float:
        """Sum of the squares of the gradient of all weights, equal ids summed first."""
        return float(self.native.square_sum(list(gradients), self._step(0.0, 1.0)))

    def _step(self, lr: float, scale: float) -> Any:
        optimizer: Any = self.optimizer
        fields: dict[str, Any] = {"lr": lr, "scale": scale, "regularizer": self.regularizer}
        kind = optimizer.type
        if kind in ("adam", "lazy_adam"):
            beta1, beta2 = optimizer.betas
            fields |= {"beta1": beta1, "beta2": beta2, "eps": optimizer.eps, "dense": kind == "adam"}
            fields |= {"correction1": 1 - beta1**self.step, "correction2": (1 - beta2**self.step) ** 0.5}
            kind = "adam"
        elif kind in ("rowwise_adagrad", "adagrad"):
            fields |= {"eps": optimizer.eps}
        elif kind == "ftrl":
            fields |= {"l1": optimizer.l1, "l2": optimizer.l2, "beta": optimizer.beta}
        return native.Step(rule=getattr(native.Rule, kind), **fields)

    # -------------------------------------------------------------------------------------------- state

    def arrays(self) -> dict[str, np.ndarray]:
        """Everything that a checkpoint needs: `<table>/weight` and `<table>/<state>` as views, `step`, and the keys' state."""
        result = {f"{s.name}/weight": w for s, w in zip(self.specs, self.weights, strict=True)}
        for name, arrays in self.states.items():
            result |= {f"{s.name}/{name}": a for s, a in zip(self.specs, arrays, strict=True)}
        return {**result, **self.key_arrays(), "step": np.array(self.step, np.int64)}

    def key_arrays(self) -> dict[str, np.ndarray]:
        """The state of the keys: `<name>/key_<part>`."""
        maps = self.keys.items()
        return {f"{name}/key_{part}": array for name, keys in maps for part, array in keys.arrays().items()}

    def start_keys(self, name: str, parts: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Let keys start with those that had rows elsewhere; their rows here are to be filled.

        Args:
            name: Of the keys.
            parts: The keys, and their rows and counts elsewhere; where there are too many, those counted most are taken.

        Returns:
            (n,) rows here, and those elsewhere.
        """
        self.keys[name], here, there = self.keys[name].started(parts, self.step)
        return here, there

    def start_rows(self, specs: Sequence[TableSpec], rows: np.ndarray) -> None:
        """Fill rows of some dynamic tables as those of ids that come for the first time."""
        for spec in specs:
            assert spec.keys is not None
            ids, held = self.keys[spec.keys].held()
            here = np.isin(held, rows)
            start_rows(spec, self.weights[self.specs.index(spec)], held[here], ids[here], self.seed)

    def load_keys(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Take over what `key_arrays` gave.

        Raises:
            CheckpointError: They are those of other keys; nothing is changed then.
        """
        restored = {}
        for name, keys in self.keys.items():
            parts = {part: arrays[key] for part in PARTS if (key := f"{name}/key_{part}") in arrays}
            restored[name] = keys.restored(parts)
        self.keys = restored

    def load(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Take over what `arrays` gave.

        Raises:
            CheckpointError: A table or state is missing, unknown, or of another shape; nothing is changed then.
        """
        own = self.arrays()
        if own.keys() != arrays.keys():
            odd = sorted(own.keys() ^ arrays.keys())
            raise CheckpointError(f"the tables are not this model's: {', '.join(odd[:5])}")
        moving = {f"{name}/key_{part}" for name in self.keys for part in PARTS}  # as long as there are keys
        for name, array in own.items():
            if name in moving:
                continue
            if array.shape != arrays[name].shape or array.dtype != arrays[name].dtype:
                found = f"{arrays[name].dtype} {arrays[name].shape}"
                raise CheckpointError(
                    f"'{name}' is {found} in the checkpoint, the model has {array.dtype} {array.shape}"
                )
        self.load_keys(arrays)
        for name, array in own.items():
            if name not in moving:
                array[...] = arrays[name]
        self.step = int(arrays["step"])
        self.native.refresh_codes()
