"""Tables that are partly in memory: hot rows with their optimizer's state, all others in a file. Knows no torch."""

from __future__ import annotations

import math
import os
import tempfile
import weakref
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from easyrec.embedding import native
from easyrec.embedding.spec import EmbeddingPlan, row_widths
from easyrec.errors import ConfigError, Problem, RunError

if TYPE_CHECKING:
    from easyrec.config.train import Storage

INDEX_BYTES = 4
"""Of memory for each row of a tier, in memory or not: where it is."""
SLOT_BYTES = 16
"""Of memory for each row that is in memory, beside its numbers."""


@dataclass(frozen=True)
class TierSpec:
    """Tables that are looked up by the same ids: their rows come and go together.

    Attributes:
        name: Of the first table.
        tables: Names of the tables.
        rows: Rows of each.
        slots: How many of them are in memory.
        features: Outputs that look up here.
    """

    name: str
    tables: tuple[str, ...]
    rows: int
    slots: int
    features: frozenset[str]


@dataclass(frozen=True)
class Store:
    """What tables may take.

    Attributes:
        bytes: Of memory, with the optimizer's state.
        folder: Of the disk that holds what is not in memory.
    """

    bytes: int
    folder: Path


def store_of(config: Storage | None, folder: Path) -> Store | None:
    """What the config of a run in a folder lets tables take.

    Raises:
        ConfigError: What should be a folder is a file.
    """
    if config is None:
        return None
    if config.disk is not None and Path(config.disk).is_file():
        raise ConfigError([Problem(f"must be a folder, but {config.disk} is a file", "train.storage.disk")])
    return Store(config.memory_mb << 20, folder if config.disk is None else Path(config.disk))


@dataclass(frozen=True)
class Placing:
    """Where the rows of all tables are.

    Attributes:
        tiers: Those that are partly in memory; the other tables are there whole.
        bytes: Of memory, with the optimizer's state.
        needed: What all tables would take.
        disk: Bytes of the files of those that are partly in memory.
    """

    tiers: tuple[TierSpec, ...] = ()
    bytes: int = 0
    needed: int = 0
    disk: int = 0

    @property
    def of_features(self) -> dict[str, str]:
        """The name of the tier that a feature is looked up in."""
        return {feature: tier.name for tier in self.tiers for feature in tier.features}


def bytes_of(plan: EmbeddingPlan, optimizer: str) -> int:
    """What all tables take with the state of an optimizer, by its type."""
    widths = row_widths(plan.tables, optimizer)
    return sum(keys.bytes for keys in plan.keys) + sum(4 * t.rows * sum(widths[t.name]) for t in plan.tables)


def place(plan: EmbeddingPlan, optimizer: str, budget: int, near: Collection[str] = ()) -> Placing:
    """Decide which rows are in memory: of each table the same number, small ones whole.

    Where ids are as frequent as 1 / rank, the last row that is kept of one table is then asked for as often as that of
    another one.

    Args:
        plan: Tables and groups.
        optimizer: Type of what moves the tables: it decides the size of its state.
        budget: Bytes of memory for all tables.
        near: Tables that must be in memory.

    Raises:
        ConfigError: What must be in memory does not fit.
    """
    widths = {name: sum(parts) for name, parts in row_widths(plan.tables, optimizer).items()}
    keys = sum(spec.bytes for spec in plan.keys)
    sized = {spec.name: 4 * spec.rows * widths[spec.name] for spec in plan.tables}
    needed = bytes_of(plan, optimizer)
    if needed <= budget:
        return Placing((), needed, needed)
    waiting = sorted(_together(plan, near), key=lambda kind: kind.rows)
    row_bytes = {kind.name: 4 * sum(widths[name] for name in kind.tables) for kind in waiting}
    parted = {name for kind in waiting for name in kind.tables}
    used = keys + sum(size for name, size in sized.items() if name not in parted)
    slots = 0
    while waiting:
        index = sum(INDEX_BYTES * kind.rows for kind in waiting)
        slots = (budget - used - index) // sum(row_bytes[kind.name] + SLOT_BYTES for kind in waiting)
        if slots < waiting[0].rows:
            break
        used += waiting[0].rows * row_bytes[waiting[0].name]
        waiting.pop(0)
    if slots < 1:
        least = used + sum(INDEX_BYTES * kind.rows + row_bytes[kind.name] + SLOT_BYTES for kind in waiting)
        maps = f"maps of the ids of dynamic tables ({math.ceil(keys / (1 << 20)):,} MB), " if keys else ""
        text = f"{maps}tables that must be in memory, and the index of the others, take {math.ceil(least / (1 << 20)):,} MB"
        raise ConfigError([Problem(f"{text} before any row of the others is there", "train.storage.memory_mb")])
    used += sum(INDEX_BYTES * k.rows + slots * (row_bytes[k.name] + SLOT_BYTES) for k in waiting)
    disk = sum(kind.rows * row_bytes[kind.name] for kind in waiting)
    return Placing(tuple(replace(kind, slots=slots) for kind in waiting), used, needed, disk)


def _together(plan: EmbeddingPlan, near: Collection[str]) -> list[TierSpec]:
    """The tables that may be partly in memory, those of the same ids together; no slots yet."""
    specs = {spec.name: spec for spec in plan.tables}
    whole = {*near, *_read_whole(plan)}
    parts: list[tuple[set[str], set[str]]] = []  # tables and features that are looked up together
    for group in plan.groups.values():
        for bag in group.bags:
            if bag.table is None:
                continue
            if bag.kind != "ids" or bag.part is not None:
                whole.add(bag.table)
            tables, features = {bag.table}, {bag.feature}
            for part in [p for p in parts if p[0] & tables or p[1] & features]:
                parts.remove(part)
                tables, features = tables | part[0], features | part[1]
            parts.append((tables, features))
    result = []
    for tables, features in parts:
        names = tuple(name for name in specs if name in tables)
        if not tables & whole and len({specs[name].rows for name in names}) == 1:
            result.append(TierSpec(names[0], names, specs[names[0]].rows, 0, frozenset(features)))
    return result


def _read_whole(plan: EmbeddingPlan) -> Iterator[str]:
    """Tables whose rows are compared with each other, or that hold no more than the ids themselves."""
    for spec in plan.tables:
        if spec.init.type == "identity":
            yield spec.name
    for group in plan.groups.values():
        for layout, bags in zip(group.layout.sequences, group.sequences, strict=True):
            if layout.search is not None and layout.search.kind in ("hash", "soft"):
                names = [child.name for child in layout.children]
                yield from (b.table for n, b in zip(names, bags, strict=True) if n == layout.search.child and b.table)


class Tier:
    """The rows of some tables, in memory and in a file.

    Args:
        spec: Which tables, and how many rows are in memory.
        widths: Numbers per row of each array of each table: the weights, then the state.
        folder: Where the file is made; it has no name there, and is gone with the process.

    Attributes:
        memory: The arrays in memory (slots, width), by table and array.
        whole: The same arrays (rows, width) as the file holds them: what is in memory is newer until `write_back`.

    Raises:
        RunError: There is no room for the file.
    """

    def __init__(self, spec: TierSpec, widths: Sequence[Sequence[int]], folder: Path) -> None:
        self.spec = spec
        self._failed = ""
        self._width = sum(sum(w) for w in widths)
        self._file = _nameless(folder, 4 * spec.rows * self._width)
        weakref.finalize(self, self._file.close)
        records = np.memmap(self._file, np.float32, "r+", shape=(spec.rows, self._width))
        self.memory, self.whole = [], []
        start = 0
        for of_table in widths:
            stops = start + np.cumsum([0, *of_table])
            self.memory.append([np.zeros((spec.slots, width), np.float32) for width in of_table])
            self.whole.append([records[:, a:b] for a, b in pairwise(stops)])
            start = int(stops[-1])
        flat = [array for arrays in self.memory for array in arrays]
        self._native = native.Tier(rows=spec.rows, arrays=flat, file=self._file.fileno())

    def take(self, rows: np.ndarray, ticket: int, floor: int, *, changes: bool) -> np.ndarray:
        """(n,) places in memory of rows (n,), -1 for -1; those that are not there are read.

        Args:
            rows: Rows of the tables.
            ticket: Number of the step that asks.
            floor: Rows that this step or a later one took stay.
            changes: Whether the step will change them.

        Raises:
            RunError: A step needs more rows than there is memory for, or the disk refuses.
        """
        slots, missing = self._asked(self._native.take, np.ascontiguousarray(rows), ticket, floor, changes)
        if missing:
            lacking = len(np.unique(rows[(slots < 0) & (rows >= 0)]))  # beside those of other features, which are held
            text = f"there is memory for {self.spec.slots:,} rows of '{self.spec.name}', and a step needs {lacking:,} more at once"
            remedy = "raise train.storage.memory_mb, or make batches smaller (data.batch_size, data.eval_batch_size)"
            raise RunError(f"{text}\n{remedy}")
        return slots  # type: ignore[no-any-return]

    def fetch(self, rows: np.ndarray, ticket: int, floor: int) -> None:
        """Read rows that a later step will take, as many as there is room for."""
        self._asked(self._native.take, np.ascontiguousarray(rows), ticket, floor, False)

    def write_back(self) -> None:
        """Let the file hold what memory holds.

        Raises:
            RunError: The disk refuses.
        """
        self._asked(self._native.write_back)

    def forget(self) -> None:
        """Let memory hold nothing: the file was changed."""
        self._native.forget()

    def take_counts(self) -> dict[str, int]:
        """Since the last call: occurrences `asked`, and rows `read` and `written`."""
        counts: dict[str, int] = self._native.take_counts()
        return counts

    def _asked(self, call: Any, *args: Any) -> Any:
        if self._failed:
            raise RunError(self._failed)
        try:
            return call(*args)
        except OSError as error:  # rows may be lost: nothing goes on from here but a checkpoint
            self._failed = f"the rows of '{self.spec.name}' cannot be kept on disk: {error.strerror or error}"
            raise RunError(f"{self._failed}\nthe last checkpoint is whole: go on with --resume") from error


class Tiers:
    """All tiers of some tables, and the thread that reads rows before they are needed.

    Each lookup has a ticket. The rows that a step of training takes stay in memory until it has changed them.

    Args:
        specs: The tiers.
        widths: Numbers per row of each array of a table, by its name.
        folder: Where the files are made.
    """

    def __init__(self, specs: Sequence[TierSpec], widths: Mapping[str, Sequence[int]], folder: Path) -> None:
        self._by_name = {spec.name: Tier(spec, [widths[name] for name in spec.tables], folder) for spec in specs}
        self._ticket, self._learning = 0, 0  # of the last lookup; of the first one since the tables were changed, or 0
        self._reader = ThreadPoolExecutor(1, "easyrec-rows") if specs else None
        self._reading: Future[None] | None = None

    def __bool__(self) -> bool:
        return bool(self._by_name)

    def __getitem__(self, name: str) -> Tier:
        return self._by_name[name]

    def begin(self, *, learning: bool) -> None:
        """A lookup begins."""
        self._ticket += 1
        if learning and not self._learning:
            self._learning = self._ticket

    def end(self) -> None:
        """The tables have been changed, or will not be, by what was looked up."""
        self._learning = 0

    def take(self, name: str, rows: np.ndarray, *, changes: bool) -> np.ndarray:
        """(n,) places in memory of rows, -1 for -1, for the lookup that has begun."""
        return self._by_name[name].take(rows, self._ticket, self._learning or self._ticket, changes=changes)

    def ahead(self, asked: Callable[[], Iterator[tuple[str, np.ndarray]]]) -> None:
        """Read rows of the next lookup in the background, while this one is worked with.

        Args:
            asked: Gives names of tiers, and rows; called in the background.

        Raises:
            RunError: The disk refused the last time.
        """
        assert self._reader is not None
        if self._reading is not None and not self._reading.done():
            return
        self.settle()
        ticket, floor = self._ticket + 1, self._learning or self._ticket

        def read() -> None:
            for name, rows in asked():
                self._by_name[name].fetch(rows, ticket, floor)

        self._reading = self._reader.submit(read)

    def settle(self) -> None:
        """Wait for the background.

        Raises:
            RunError: The disk refused.
        """
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.result()

    def write_back(self) -> None:
        """Let the files hold what memory holds.

        Raises:
            RunError: The disk refuses.
        """
        self.settle()
        for tier in self._by_name.values():
            tier.write_back()

    def forget(self) -> None:
        """Let memory hold nothing: the files were changed."""
        self.settle()
        for tier in self._by_name.values():
            tier.forget()

    def take_counts(self) -> dict[str, list[int]]:
        """By tier, since the last call: rows in memory, occurrences asked for, and rows read and written."""
        told = {}
        for name, tier in self._by_name.items():
            counts = tier.take_counts()
            told[name] = [tier.spec.slots, counts["asked"], counts["read"], counts["written"]]
        return told


def traffic(slots: float, asked: float, read: float, written: float) -> dict[str, float]:
    """What people are told of a tier: rows in memory, share of lookups found there, rows read and written."""
    rate = {"hit_rate": round(1 - read / asked, 6)} if asked else {}
    return {"rows_in_memory": slots, **rate, "read": read, "written": written}


def _nameless(folder: Path, size: int) -> Any:
    """A new file of a size, all of whose blocks are there, that the system removes when nobody has it open."""
    file = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 (it is open as long as the tables are)
        os.posix_fallocate(file.fileno(), 0, max(size, 1))
    except OSError as error:
        if file is not None:
            file.close()
        text = f"{folder}: no room for {size / 1e6:,.0f} MB of embedding rows: {error.strerror or error}"
        raise RunError(f"{text}\ngive train.storage.disk a folder on a larger disk") from error
    return file
