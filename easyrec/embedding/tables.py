"""The memory of the tables and their optimizer's state, and the step on them. Knows no torch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from easyrec.embedding import native
from easyrec.embedding.keys import PARTS, KeyMap, start_rows
from easyrec.embedding.spec import STATES, KeySpec, TableSpec, row_widths
from easyrec.embedding.tiers import Tiers, TierSpec
from easyrec.errors import CheckpointError

if TYPE_CHECKING:
    from easyrec.config.train import SparseOptimizer

LINE = 64  # bytes; a row that fits a cache line must not straddle two
DRAWN = 1 << 14  # rows that are drawn at once


def aligned(rows: int, dim: int, fill: float = 0.0) -> np.ndarray:
    """(rows, dim) float32 filled with a number, starting at a cache line."""
    raw = np.empty(rows * dim + LINE // 4, np.float32)
    start = -raw.ctypes.data % LINE // 4
    array = raw[start : start + rows * dim].reshape(rows, dim)
    array.fill(fill)
    return array


def flat_arrays(specs: Sequence[TableSpec], fill: float = 0.0, widths: Sequence[int] | None = None) -> list[np.ndarray]:
    """One array (rows, dim) per table; tables of equal dim lie one after another in one flat array.

    Args:
        specs: The tables.
        fill: First value of every element.
        widths: Columns of each, instead of its dim.
    """
    widths = widths or [spec.dim for spec in specs]
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
        tiers: Tables that are partly in memory.
        folder: Where the files of these are made.

    Attributes:
        weights: (rows, dim) float32 of each table; of one that is partly in memory, what its file holds.
        states: Per name of a state array, the arrays of each table.
        keys: The maps of ids to rows, by name.
        native: The memory as the kernels know it; of tables that are partly there, that part.
        tiers: The tables that are partly in memory.
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
        tiers: Sequence[TierSpec] = (),
        folder: Path | None = None,
    ) -> None:
        self.specs, self.optimizer, self.regularizer, self.seed = tuple(specs), optimizer, regularizer, seed
        self.step = 0
        self.keys = {spec.name: KeyMap(spec, seed) for spec in keys}
        self._first = float(getattr(optimizer, "initial_accumulator", 0.0))
        widths = row_widths(specs, optimizer.type)
        self.tiers, self._parted = Tiers(tiers, widths, folder or Path()), {name for t in tiers for name in t.tables}
        in_memory, on_file = self._arrays(tiers, widths)
        self._near = in_memory
        self.weights, self.states = on_file[0], dict(zip(STATES[optimizer.type], on_file[1:], strict=True))
        self._start()
        a, b = (*in_memory[1:], [], [])[:2]
        self.native = native.Tables(in_memory[0], a, b, [spec.trainable for spec in specs], threads)

    def _arrays(
        self, tiers: Sequence[TierSpec], widths: Mapping[str, Sequence[int]]
    ) -> tuple[list[list[np.ndarray]], list[list[np.ndarray]]]:
        """The weights and each state of every table, as far as they are in memory; and all rows of them."""
        whole = [spec for spec in self.specs if spec.name not in self._parted]
        near: dict[str, list[np.ndarray]] = {spec.name: [] for spec in whole}
        for number in range(1 + len(STATES[self.optimizer.type])):
            fill = self._first if number else 0.0
            for spec, array in zip(
                whole, flat_arrays(whole, fill, [widths[s.name][number] for s in whole]), strict=True
            ):
                near[spec.name].append(array)
        far = dict(near)
        for tier in tiers:
            near |= dict(zip(tier.tables, self.tiers[tier.name].memory, strict=True))
            far |= dict(zip(tier.tables, self.tiers[tier.name].whole, strict=True))
        first, second = ([list(a) for a in zip(*(by[s.name] for s in self.specs), strict=True)] for by in (near, far))
        states = 1 + len(STATES[self.optimizer.type])
        return first or [[] for _ in range(states)], second or [[] for _ in range(states)]

    def _start(self) -> None:
        """Let all rows have their first values."""
        self._first_rows()
        for place, spec in enumerate(self.specs):
            if self._first and spec.name in self._parted:  # a new file is full of zeros
                for arrays in self.states.values():
                    arrays[place][...] = self._first

    def _first_rows(self) -> None:
        for place, spec in enumerate(self.specs):
            if spec.keys is None:
                initialize(spec, self.weights[place], self.seed)

    def rows(self, keys: str | None, tier: str | None, ids: np.ndarray, *, learning: bool) -> np.ndarray:
        """(n,) rows of ids as the kernels know them, -1 for those without.

        Args:
            keys: Name of the keys by which ids have rows; None: they are rows.
            tier: Name of the tier where the rows are; None: all are in memory.
            ids: (n,) int64.
            learning: Whether it is a step of training: then ids are counted, and may get rows, which start anew.
        """
        if keys is None:
            rows = ids
        elif learning:
            rows, _ = self.admitted(keys, tier, ids)
        else:
            rows = self.keys[keys].find(ids)
        return rows if tier is None else self.tiers.take(tier, rows, changes=learning)

    def admitted(self, keys: str, tier: str | None, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(n,) rows of ids in a step of training, -1 for those without; and the rows that start anew, where they are.

        Args:
            keys: Name of the keys by which ids have rows.
            tier: Name of the tier where the rows are; None: all are in memory.
            ids: (n,) int64.
        """
        rows, fresh, new = self.keys[keys].admit(ids, self.step)
        at = fresh
        if len(fresh):
            at = fresh if tier is None else self.tiers.take(tier, fresh, changes=True)
            for place, spec in enumerate(self.specs):
                if spec.keys == keys:
                    start_rows(spec, self._near[0][place], at, new, self.seed)
                    for arrays in self._near[1:]:
                        arrays[place][at] = self._first
        return rows, at

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
        self.tiers.write_back()
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
            started = np.empty((int(here.sum()), spec.dim), np.float32)
            start_rows(spec, started, np.arange(len(started)), ids[here], self.seed)
            self.weights[self.specs.index(spec)][held[here]] = started

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
        self.were_changed()

    def were_changed(self) -> None:
        """Tell that someone else changed `weights` or `states`."""
        self.tiers.forget()
        self.native.refresh_codes()
