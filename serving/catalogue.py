"""`Catalogue`: items whose features are computed ahead, so that a request names its candidates by their keys."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Collection, Container, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import pyarrow as pa

from easyrec.errors import ConfigError, DataError
from easyrec.export.warmup import FOLDER, WarmupRows
from feature_generator.columns import Array
from feature_generator.growing import GrowingArray, GrowingBatch, GrowingItems
from feature_generator.incoming import record
from feature_generator.json_rows import JsonRows
from feature_generator.native import Clock, key_prints, take_rows
from feature_generator.request import ItemTable, Stages, compute
from serving.cache_stats import CacheStats
from serving.layers import Layers, find_layers
from serving.observed import Observer

if TYPE_CHECKING:
    from serving.predictor import Predictor

Ahead: TypeAlias = Literal["features", "embeddings", "layers"]
WASTE = 1024
"""Rows that were replaced or removed are given back once they are more than those that count, and this many."""


@dataclass(frozen=True)
class Keys:
    """Candidates by their keys.

    Attributes:
        keys: A list or an Arrow array of texts or whole numbers.
        given: What the request holds besides: rows of columns that no catalogue holds; None: nothing.
    """

    keys: Any
    given: Any = None

    def __len__(self) -> int:
        return len(self.keys)

    def plain(self) -> list[Any]:
        """The keys as Python has them."""
        return list(self.keys) if isinstance(self.keys, list | tuple) else self.keys.to_pylist()


@dataclass(frozen=True)
class _Held:
    """What is held at a moment. Never changed: a request that has begun ends with what it began with."""

    items: ItemTable
    ahead: Mapping[str, Array] | None
    columns: pa.RecordBatch | pa.Table | None


@dataclass(frozen=True)
class _Made:
    """Rows that were computed, to be held: fingerprints of their keys, and what was counted in them."""

    prints: Array
    items: ItemTable
    ahead: Mapping[str, Array] | None
    columns: pa.RecordBatch | None
    missing: Mapping[str, int]
    unknown: Mapping[str, int]
    bad: list[str]


class _Store:
    """Rows at the end of which more are written; which of them count is said by the index."""

    def __init__(self, first: _Made | _Held) -> None:
        self.rows = GrowingItems(first.items)
        ahead, columns = first.ahead, first.columns
        self.ahead = None if ahead is None else {key: GrowingArray(array) for key, array in ahead.items()}
        self.columns = None if columns is None else GrowingBatch(columns)

    def extend(self, more: _Made) -> None:
        self.rows.extend(more.items)
        for key, array in (self.ahead or {}).items():
            assert more.ahead is not None
            array.extend(more.ahead[key])
        if self.columns is not None:
            self.columns.extend(more.columns)

    def held(self) -> _Held:
        ahead = None if self.ahead is None else {key: array.view() for key, array in self.ahead.items()}
        return _Held(self.rows.items, ahead, None if self.columns is None else self.columns.view())

    @property
    def nbytes(self) -> int:
        columns = 0 if self.columns is None else self.columns.nbytes
        return self.rows.nbytes + columns + sum(array.nbytes for array in (self.ahead or {}).values())


class Picked:
    """The candidates of a request, as the catalogue held them when they were asked for.

    Args:
        held: What was held.
        places: (K,) where they stand there.
        asked: Columns that came with the request, or None.
        layers: What runs a program whose layers were computed ahead; None: the whole program.
    """

    def __init__(self, held: _Held, places: Array, asked: pa.RecordBatch | None, layers: Layers | None) -> None:
        self._held, self._places, self.asked, self.layers = held, places, asked, layers

    def __len__(self) -> int:
        return len(self._places)

    @property
    def is_ahead(self) -> bool:
        """Whether all that a program reads of them was looked up ahead."""
        return self._held.ahead is not None

    def items(self) -> ItemTable:
        """Their features, with what features of both sides read."""
        items = self._held.items.take(self._places)
        return items if self.asked is None else items.beside(self.asked)

    def inputs(self) -> dict[str, Array]:
        """What a program reads of them, where that was looked up ahead."""
        assert self._held.ahead is not None
        return {key: take_rows(array, self._places) for key, array in self._held.ahead.items()}


class Catalogue:
    """Items by key, computed ahead. Any number of threads may ask while others change it.

    What is held is what the predictor would compute of the same rows, bit for bit; a change of several rows is seen whole
    or not at all. Values that are missing, unknown or bad are counted once, when rows come in.

    Args:
        predictor: Whose features they are. The catalogue belongs to it, as its tables are part of what is computed.
        rows: The items: an Arrow table or batch, a data frame, a dict of arrays or a list of mappings; None: none yet.
        key: The column of whole numbers or texts that tells items apart.
        asked: Item columns that come with each request; default: those that features read and `rows` lack.
        ahead: How far items are computed where nothing of a request has a say in it: `features`; their `embeddings`, looked up;
            or the `layers` of the dense part that read items alone, with which scores may differ in their last bits.
        columns: Keep the columns of the rows too, for `columns_of`.
        threads: Threads that compute.
        now: The clock, in seconds.

    Attributes:
        predictor: As given.
        key: As given.
        asked: As given, or found.
        observer: Counts what is unknown of the columns that come with a request.
        ahead: How far they are computed indeed.
        kept: Item columns that are read of `rows`.

    Raises:
        ConfigError: A column in `asked` is read by no feature, or the key is in it.
        DataError: A column is missing or a value is bad, a key is none or is there twice; names the row.
    """

    def __init__(
        self,
        predictor: Predictor,
        rows: Any = None,
        *,
        key: str,
        asked: Sequence[str] | None = None,
        ahead: Ahead = "embeddings",
        columns: bool = False,
        threads: int = 1,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.predictor, self.key, self._threads, self._now = predictor, key, threads, now
        self._keeps_columns = columns
        own = predictor.generator.needs("item")
        if asked is None:
            names = None if rows is None else names_of(rows)
            asked = [] if names is None else [column for column in own if not gives(names, column)]
        for column in asked:
            if column not in own or column == key:
                raise ConfigError(
                    f"'{column}' cannot come with each request: it is the key, or no feature of items reads it"
                )
        self.asked: tuple[str, ...] = tuple(asked)
        self._stages = Stages(predictor.generator, self.asked) if asked else predictor.generator.stages
        self.kept = list(self._stages.kept)
        self._columns = list(dict.fromkeys([key, *self.kept]))
        others = [column for column in self.kept if column != key]
        self._others = frozenset([*others, *(column.partition("__")[0] for column in others)])
        made, later = (
            {node.name for node in stage.program.nodes if node is not None}
            for stage in (self._stages.fixed, self._stages.cross)
        )
        self._observer_of_kept = Observer(predictor.generator, only=made)
        self.observer = Observer(predictor.generator, only=later)
        split = predictor._open()[2]
        fits = split is not None and split.by_row and not split.tiled and not later & split.reads
        fits = fits and ahead != "features"
        self._split = split if fits else None
        self._layers = find_layers(predictor) if fits and ahead == "layers" else None
        self.ahead: Ahead = "layers" if self._layers is not None else "embeddings" if fits else "features"
        self._schema = _schema(predictor, self._columns)
        self._secret = secrets.token_bytes(16)
        self._lock, self._writing = threading.Lock(), threading.Lock()
        self._hits = self._misses = 0
        self.replace(rows if rows is not None else self._schema.empty_table())

    # ---------------------------------------------------------------------------------------------- changes

    def replace(self, rows: Any) -> None:
        """Hold these rows and no others, from one moment to the next.

        Raises:
            DataError: As at the beginning; then what was held stays.
        """
        with self._writing:
            batch = record(rows, self._columns)
            # A column of nothing but nulls says nothing of what may come.
            known = pa.schema([self._schema.field(f.name) if pa.types.is_null(f.type) else f for f in batch.schema])
            made = self._made(_cast(batch, known))
            index = Clock()
            index.put(made.prints, np.arange(len(made.items)))
            store = _Store(made)
            with self._lock:
                self._store, self._index, self._held = store, index, store.held()
                self._schema, self._since = known, self._now()
        self._count(made)

    def upsert(self, rows: Any) -> int:
        """Add items, or put them in the place of those with the same keys. Values take the types of the first rows.

        Args:
            rows: As at the beginning, with all columns that are `kept`.

        Returns:
            How many rows.

        Raises:
            DataError: As at the beginning; then nothing is changed.
        """
        return self.prepared(rows)()

    def prepared(self, rows: Any) -> Callable[[], int]:
        """As `upsert`, in two steps: what is returned changes the catalogue, and cannot fail.

        Raises:
            DataError: As in `upsert`.
        """
        batch = record(rows, self._columns)
        self.predictor.limits.check(batch)
        made = self._made(_cast(batch, self._schema))

        def change() -> int:
            with self._writing:
                first, count = len(self._store.rows), len(made.items)
                self._store.extend(made)
                with self._lock:
                    self._index.put(made.prints, np.arange(first, first + count))
                    self._held = self._store.held()
                self._tidy()
            self._count(made)
            return count

        return change

    def remove(self, keys: Any) -> int:
        """Forget items.

        Args:
            keys: A list or an Arrow array.

        Returns:
            How many of them were there.

        Raises:
            DataError: A key is none; names the row.
        """
        prints = self._prints(keys)
        with self._writing:
            with self._lock:
                gone: int = self._index.erase(prints)
            self._tidy()
        return gone

    def check_keys(self, keys: Any) -> None:
        """Look whether these can be keys.

        Raises:
            DataError: One cannot; names the row.
        """
        self._prints(keys)

    # ---------------------------------------------------------------------------------------------- answers

    def keys_in(self, items: Any) -> Keys | None:
        """The candidates of a request, where they come by their keys; None where they come with their columns.

        They come by key as a list or array of keys, or as rows that hold the key and nothing that is `kept` besides.
        """
        if isinstance(items, Keys):
            return items
        if isinstance(items, JsonRows):
            if not self.is_named(items.names):
                return None
            items = items.plain
        if isinstance(items, list | tuple):
            if not items or not isinstance(items[0], Mapping):
                return Keys(items)
            if self.is_named(items[0]):
                return Keys([row.get(self.key) if isinstance(row, Mapping) else None for row in items], items)
            return None
        if isinstance(items, pa.Array | pa.ChunkedArray) or (isinstance(items, np.ndarray) and items.ndim == 1):
            return Keys(_array(items))
        names = names_of(items)
        if names is None or not self.is_named(names):
            return None
        column = items.column(self.key) if isinstance(items, pa.RecordBatch | pa.Table) else items[self.key]
        return Keys(column if isinstance(column, list) else _array(column), items)

    def is_named(self, names: Collection[str]) -> bool:
        """Whether rows with columns of these names name items by their keys: they hold nothing else that is `kept`."""
        return self.key in names and not any(name in self._others for name in names)

    def pick(self, keys: Keys, asked: pa.RecordBatch | None = None) -> Picked:
        """Candidates.

        Args:
            keys: Which.
            asked: The columns that come with the request, where there are such.

        Raises:
            DataError: A key is none, or there is no such item; names the row.
        """
        held, places = self._find(keys, counted=True)
        return Picked(held, places, asked, self._layers)

    def columns_of(self, keys: Keys) -> pa.RecordBatch:
        """The columns of candidates, those that come with the request among them, where the catalogue keeps columns.

        Raises:
            DataError: As in `pick`.
        """
        held, places = self._find(keys, counted=False)
        assert held.columns is not None, "the catalogue was made without `columns`"
        kept = record(held.columns.take(pa.array(places)), self.kept).columns if self.kept else []
        asked = record(keys.given, list(self.asked)).columns if self.asked else []
        return pa.RecordBatch.from_arrays([*kept, *asked], [*self.kept, *self.asked])

    def __len__(self) -> int:
        with self._lock:
            return len(self._index)

    @property
    def stats(self) -> CacheStats:
        """Its size, its age since it was filled whole, and how often it was asked."""
        with self._lock:
            nbytes = self._store.nbytes + self._index.nbytes
            return CacheStats(len(self._index), nbytes, self._now() - self._since, self._hits, self._misses)

    # ------------------------------------------------------------------------------------------------ parts

    def _find(self, keys: Keys, *, counted: bool) -> tuple[_Held, Array]:
        """What is held now, and where the candidates stand there."""
        prints = self._prints(keys.keys)
        with self._lock:
            places, held = self._index.find(prints), self._held
            known = int(np.count_nonzero(places >= 0))
            if counted:
                self._hits += known
                self._misses += len(places) - known
        if known < len(places):
            row = int(np.argmax(places < 0))
            told = str(_plain(keys.keys[row]))[:100]
            raise DataError(f"the catalogue has no item '{told}'", column=self.key, row=row)
        return held, places

    def _made(self, batch: pa.RecordBatch) -> _Made:
        keys = batch.column(self.key)
        prints = self._prints(keys)
        if _may_repeat(prints):
            _, first = np.unique(prints, axis=0, return_index=True)
            again = np.setdiff1d(np.arange(len(prints)), first)
            if len(again):
                told = str(keys[int(again[0])].as_py())[:100]
                raise DataError(f"the item '{told}' is there twice", column=self.key, row=int(again[0]))
        items = compute(self._stages, batch, self._threads, self.predictor.bad_values)
        missing, unknown = self._observer_of_kept.count([batch.select(self.kept)], [items.table])
        bad, items.table.bad = [one.column for one in items.table.bad], []  # told here, not with each request
        ahead = None if self._split is None else self._split.of_items(items.table)
        if ahead is not None and self._layers is not None:
            ahead = self._layers.of_items(ahead)
        columns = batch.select(self.kept) if self._keeps_columns else None
        return _Made(prints, items, ahead, columns, missing, unknown, bad)

    def _count(self, made: _Made) -> None:
        self.predictor._counters.answered({}, made.missing, made.unknown, made.bad)

    def _tidy(self) -> None:
        """Give back the room of rows that do not count, once it is more than half."""
        total, live = len(self._store.rows), len(self._index)
        if total <= 2 * live + WASTE:
            return
        with self._lock:
            places = self._index.numbers()
        held = self._held
        ahead = None if held.ahead is None else {key: take_rows(array, places) for key, array in held.ahead.items()}
        columns = None if held.columns is None else held.columns.take(pa.array(places))
        store = _Store(_Held(held.items.take(places), ahead, columns))
        with self._lock:
            self._index.renumber()
            self._store, self._held = store, store.held()

    def _prints(self, keys: Any) -> Array:
        try:
            prints: Array = key_prints(keys if isinstance(keys, list | tuple) else _array(keys), self._secret)
        except ValueError as error:
            told = str(error)
            if not told.isdigit():
                raise DataError(f"cannot be keys of items: {told}", column=self.key) from None
            text = "the key of an item must be a whole number or a text that is not empty"
            raise DataError(text, column=self.key, row=int(told)) from None
        return prints


def names_of(rows: Any) -> list[str] | None:
    """The names of the columns of some rows; None where they cannot be told."""
    if isinstance(rows, pa.RecordBatch | pa.Table):
        return list(rows.schema.names)
    if isinstance(rows, Mapping):
        return [str(name) for name in rows]
    if isinstance(rows, JsonRows):
        return rows.names
    if isinstance(rows, list | tuple):
        return list(dict.fromkeys(str(name) for row in rows if isinstance(row, Mapping) for name in row))
    return [str(name) for name in rows.columns] if hasattr(rows, "columns") else None


def gives(names: Container[str], column: str) -> bool:
    """Whether columns of these names hold a column, or the objects that it is a field of."""
    return column in names or column.partition("__")[0] in names


def _schema(predictor: Predictor, columns: Sequence[str]) -> pa.Schema:
    """The types that the columns had when the model was trained; texts where it knows none."""
    known = WarmupRows.load(predictor.bundle.folder(FOLDER)).rows.schema
    return pa.schema([known.field(name) if name in known.names else pa.field(name, pa.string()) for name in columns])


def _cast(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    if batch.schema == schema:
        return batch
    arrays = [_cast_column(column, field) for field, column in zip(schema, batch.columns, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _cast_column(column: pa.Array, field: pa.Field) -> pa.Array:
    if column.type == field.type:
        return column
    try:
        return column.cast(field.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        told, row = str(error).splitlines()[0][:200], _first_that_fails(column, field.type)
        raise DataError(f"must be {field.type}, as in the other items: {told}", column=field.name, row=row) from None


def _first_that_fails(column: pa.Array, kind: pa.DataType) -> int:
    """The first value that cannot be cast, found by halves."""
    first, last = 0, len(column)
    while last - first > 1:
        middle = (first + last) // 2
        try:
            column.slice(first, middle - first).cast(kind)
            first = middle
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            last = middle
    return first


def _may_repeat(prints: Array) -> bool:
    """Whether two may be equal: their first halves are, which can be told sooner."""
    return len(np.unique(prints[:, 0])) < len(prints)


def _array(values: Any) -> pa.Array:
    try:
        array = values if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise DataError(f"cannot be keys of items: {str(error).splitlines()[0][:200]}") from None
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


def _plain(value: Any) -> Any:
    return value.as_py() if isinstance(value, pa.Scalar) else value
