"""`StoreFeatures`: columns that a request does not hold come from a feature store, by the ids that it holds."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from typing_extensions import Self

from easyrec.errors import ConfigError, DataError, StoreError, nearest
from easyrec.store.definitions import StoreConfig, load_store
from easyrec.store.near import NearStore
from easyrec.store.read_log import ReadLog
from easyrec.store.reader import ModelReader, ReadColumns
from feature_generator.incoming import missing, record
from feature_generator.json_rows import JsonRows
from feature_generator.native import FlatBatch
from serving.catalogue import Keys, gives, names_of

if TYPE_CHECKING:
    from serving.predictor import Predictor

SIDES = ("user", "item", "context")


class FeatureSource:
    """A store that is open for a model. Predictors of several bundles of the model share it, with what it holds in memory.

    Args:
        config: The store's definitions.
        model: Name of the model's features there.
        deadline_ms: Milliseconds after which defaults are taken; None: the store is waited for.
        near: The store, where it is open already.

    Attributes:
        near: The store.

    Raises:
        ConfigError: There is no such model.
        StoreError: The store cannot be opened.
    """

    def __init__(
        self, config: StoreConfig, model: str, deadline_ms: float | None = None, near: NearStore | None = None
    ) -> None:
        self.config, self.model, self.deadline_ms = config, model, deadline_ms
        try:
            self.columns = config.columns(config.model(model))
        except ValueError as error:
            raise ConfigError(f"features.model: {error}") from None
        self.near = near or NearStore(config.online.open(config.project), config.read)
        self._lock, self._log = Lock(), ReadLog.of(config, model)
        self._readers: dict[frozenset[str], ModelReader] = {}

    @classmethod
    def open(cls, path: str | os.PathLike[str], model: str, deadline_ms: float | None = None) -> Self:
        """The source of a `store.yaml`, with its snapshots loaded.

        Raises:
            ConfigError: What the file says cannot be, or there is no such model.
            StoreError: The store cannot be reached.
        """
        made = cls(load_store(path), model, deadline_ms)
        made.near.start()
        return made

    def reader(self, columns: Collection[str]) -> ModelReader:
        """What reads some columns; the same for whoever asks for the same."""
        key = frozenset(columns)
        with self._lock:
            if key not in self._readers:
                self._readers[key] = ModelReader(self.config, self.near, self.model, log=self._log, only=key)
            return self._readers[key]

    def readers(self) -> list[ModelReader]:
        """All that read."""
        with self._lock:
            return list(self._readers.values())

    def close(self) -> None:
        """Let go of the store, and of the log of its reads."""
        if self._log is not None:
            with suppress(StoreError):  # the disk refuses: what waits is lost
                self._log.close()
        self.near.close()


@dataclass(frozen=True)
class _Side:
    """What a side of requests reads.

    Attributes:
        columns: All raw columns.
        stored: Those that the store has, by join id.
        reader: Reads these.
    """

    columns: list[str]
    stored: Mapping[str, list[str]]
    reader: ModelReader


class StoreFeatures:
    """Fills requests up. A column that comes with a request is taken from there, whatever the store holds.

    Args:
        predictor: Whose requests they are.
        source: The store.

    Attributes:
        ids: By join id, the side that holds it; it may be no column that features read.
        stored: The columns that need not come.

    Raises:
        ConfigError: The store has nothing that the predictor reads.
    """

    def __init__(self, predictor: Predictor, source: FeatureSource) -> None:
        self.source, self._predictor = source, predictor
        joins = {entity.name: entity.join_id for entity in source.config.entities}
        self._sides: dict[str, _Side] = {}
        self.ids: dict[str, str] = {}
        for side in SIDES:
            columns = predictor._sides[side]
            stored: dict[str, list[str]] = {}
            for name in columns:
                if name in source.columns:
                    stored.setdefault(joins[source.columns[name][0].entity], []).append(name)
            if stored:
                held = [name for names in stored.values() for name in names]
                self._sides[side] = _Side(columns, stored, source.reader(held))
                self.ids |= dict.fromkeys(stored, side)
        self.stored = frozenset(name for side in self._sides.values() for some in side.stored.values() for name in some)
        if not self._sides:
            read = list(predictor.generator.inputs)
            known = next(iter(source.columns), "")
            told = f"model '{source.model}' of the store has no column that features read{nearest(known, read)}"
            raise ConfigError(f"features: {told}")

    def item_keys(self, items: Any) -> Keys | None:
        """The candidates of a request that consists of their ids; None: they are rows."""
        plain = isinstance(items, list | tuple) and bool(items) and not isinstance(items[0], Mapping)
        if not plain and not isinstance(items, pa.Array) and not (isinstance(items, np.ndarray) and items.ndim == 1):
            return None
        return Keys(items if isinstance(items, list | pa.Array) else list(items))

    def filled(self, user: Any, items: Any, context: Any, left_s: float | None = None) -> tuple[Any, Any, Any]:
        """A request with the columns of the store.

        Args:
            user: As `Predictor.predict` takes it.
            items: As there, or ids.
            context: As there.
            left_s: Seconds that the request has left.

        Raises:
            DataError: An id is missing, or an id or a column is unreadable; names it.
            StoreError: There is no deadline, and the store cannot be reached.
        """
        deadline = self.source.deadline_ms
        if left_s is not None:
            deadline = min(1000.0 * left_s, deadline or np.inf) or 0.001
        data = {"user": user, "item": items, "context": context}
        catalogue = self._predictor.catalogue
        if catalogue is not None and catalogue.keys_in(items) is not None:
            del data["item"]  # the catalogue has them
        if not isinstance(items, Mapping) and hasattr(items, "__len__") and not len(items):
            data.pop("item", None)  # no candidates lack nothing
            items = []
        found = [(side, self._begun(side, some, deadline)) for side, some in data.items() if side in self._sides]
        parts = {"user": user, "item": items, "context": context} | {side: end() for side, end in found if end}
        return parts["user"], parts["item"], parts["context"]

    # ------------------------------------------------------------------------------------------------ parts

    def _begun(self, name: str, data: Any, deadline_ms: float | None) -> Callable[[], pa.RecordBatch] | None:
        """Begin to read what the rows of a side lack, and give what ends it; None: they lack nothing."""
        side, rows = self._sides[name], self._rows(name, data)
        self._predictor.limits.check_count(_count(rows))
        names = names_of(rows) or []
        lacking = {join: [c for c in some if not self._whole(rows, names, c)] for join, some in side.stored.items()}
        lacking = {join: some for join, some in lacking.items() if some}
        if not lacking:
            return None
        ids = {join: self._ids(rows, names, join, some) for join, some in lacking.items()}
        known = {join: column for join, column in ids.items() if column is not None}
        wait = side.reader.begin({j: column.drop_null() for j, column in known.items()}, deadline_ms=deadline_ms)
        return lambda: self._joined(side, rows, names, lacking, known, wait())

    def _rows(self, side: str, data: Any) -> Any:
        """The data as rows or columns."""
        if data is None:
            return [{}] if side != "item" else []
        if type(data) is FlatBatch:
            return pa.record_batch(data)
        if side == "item":
            keys = self.item_keys(data)
            joins = list(self._sides["item"].stored)
            if keys is not None and len(joins) == 1:
                return {joins[0]: keys.keys}
            if isinstance(data, JsonRows) and any(
                data.batch.column(n).null_count for n in data.names if n in self.stored
            ):
                return data.plain  # a null that came is told from none that came
            return data
        return [data] if isinstance(data, Mapping) else data

    def _whole(self, rows: Any, names: Collection[str], column: str) -> bool:
        """Whether each row has the column."""
        if not gives(names, column):
            return False
        return not isinstance(rows, list | tuple) or all(gives(row, column) for row in rows)

    def _ids(self, rows: Any, names: Collection[str], join: str, wanted: Sequence[str]) -> pa.Array | None:
        if join in names:
            column = record(rows, [join]).column(0)
            return column.cast(pa.string()) if pa.types.is_null(column.type) else column
        if self._predictor.missing_columns == "default":
            return None
        told = f"the id is missing, by which the store knows {', '.join(wanted[:5])}"
        raise DataError(told + (f" and {len(wanted) - 5} more" if len(wanted) > 5 else ""), column=join)

    def _joined(
        self,
        side: _Side,
        rows: Any,
        names: Collection[str],
        lacking: Mapping[str, list[str]],
        ids: Mapping[str, pa.Array],
        found: ReadColumns,
    ) -> pa.RecordBatch:
        """What came with the request beside what came from the store."""
        stored = {column: join for join, some in lacking.items() for column in some}
        rest = [name for name in side.columns if name not in stored]
        columns: dict[str, Any] = self._given(rows, names, rest)
        count = _count(rows)
        for name, join in stored.items():
            if join not in ids:
                columns[name] = pa.nulls(count)
                continue
            column = found[join].column(name)
            if ids[join].null_count:
                column = column.take(_places(ids[join]))
            columns[name] = _over(column, rows, name) if gives(names, name) else column
        return pa.RecordBatch.from_arrays([columns[name] for name in side.columns], side.columns)

    def _given(self, rows: Any, names: Collection[str], wanted: list[str]) -> dict[str, Any]:
        """Columns that came with the request, within its bounds."""
        predictor = self._predictor
        absent = [name for name in wanted if not gives(names, name)]
        if absent and predictor.missing_columns == "fail":
            raise missing(absent[0], sorted(names))
        present = [name for name in wanted if name not in absent]
        columns: dict[str, Any] = {name: pa.nulls(_count(rows)) for name in absent}
        if present:
            batch = pa.record_batch(predictor._batch(rows, present))
            columns |= dict(zip(batch.schema.names, batch.columns, strict=True))
        return columns


def _count(rows: Any) -> int:
    """How many rows there are."""
    if isinstance(rows, Mapping):
        return max((len(values) for values in rows.values()), default=0)
    return int(rows.num_rows) if isinstance(rows, pa.RecordBatch | pa.Table) else len(rows)


def _places(ids: pa.Array) -> pa.Array:
    """Where the row of each id stands among those of the ids that are not null."""
    valid = np.asarray(ids.is_valid())
    return pa.array(np.cumsum(valid) - 1, mask=~valid)


def _over(column: pa.Array, rows: Sequence[Mapping[str, Any]], name: str) -> pa.Array:
    """A column of the store under the values of those rows that have one."""
    has = pa.array([gives(row, name) for row in rows])
    given = record(rows, [name]).column(0)
    try:
        return pc.if_else(has, given.cast(column.type), column)
    except (pa.ArrowException, ValueError) as error:
        told = f"is {given.type} in the request, which is no {column.type} as the store has it"
        raise DataError(f"{told}: {str(error).splitlines()[0][:200]}", column=name) from None
