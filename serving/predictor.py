"""`Predictor`: a bundle that answers."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, overload

import numpy as np
import pyarrow as pa
from typing_extensions import Self

from easyrec.embedding.reader import TableReader
from easyrec.errors import BundleError, DataError, RunError
from easyrec.export.bundle import Bundle
from easyrec.export.manifest import Manifest
from easyrec.export.scoring import Scoring
from easyrec.export.trust import Trust
from easyrec.export.warmup import FOLDER, WarmupRows
from easyrec.processors import num_processors
from feature_generator import Table
from feature_generator.columns import BadValue
from feature_generator.config import Document, validate
from feature_generator.incoming import missing, record
from feature_generator.json_rows import JsonRows
from feature_generator.native import FlatBatch
from feature_generator.request import Request
from serving import runtimes
from serving.catalogue import Catalogue, Keys, gives
from serving.course import Course
from serving.explained import Explained, explained
from serving.features import StoreFeatures
from serving.generator import read_generator
from serving.gpu.config import DeviceConfig
from serving.item_cache import ItemCache
from serving.limits import Limits
from serving.observed import Observer
from serving.proof import prove
from serving.session_group import SessionGroup
from serving.split import SplitScorer
from serving.staged import Stages
from serving.stats import Counters, Stats
from serving.top import Top, top
from serving.user_cache import UserCache

if TYPE_CHECKING:
    from serving.gpu.scorer import DeviceScorer, DeviceSplit, DeviceStats

Scores: TypeAlias = dict[str, np.ndarray]
"""By task: (K,) float32, (K, num_classes) for multi-class tasks."""
_Parts: TypeAlias = "tuple[TableReader, runtimes.Runtime, SplitScorer | DeviceSplit | None]"


class Predictor:
    """Scores candidates as the trained model does. Any number of threads may use one at a time.

    The number of threads inside torch is the caller's affair; 1 (`torch.set_num_threads(1)`) serves best.

    Args:
        bundle: What to serve.
        runtime: Name of the runtime; default: what the manifest says, or where that cannot be used, its next fastest.
        trust_native: Load machine code that the bundle holds, where its runtime is such: it does what its writer wants.
            That of a bundle that a trusted key signed is loaded in any case.
        limits: Bounds on a request.
        bad_values: What a value that breaks a rule (no number, NaN, wrong length) does: `fail`, or `default`.
        missing_columns: What a column does that no row of the request has: `fail`, or `default`.
        sessions: Requests that are scored at a time: so many threads `predict_async` has, and so many runners a runtime
            that needs one for each; they share weights and tables. Default: as many as there are processors.
        device: Where the programs run: `cpu`, `cuda`, `cuda:<number>`, `auto`, or what `serving.gpu.config` has more.

    Attributes:
        catalogue: Items that requests may name by their keys; None: they come with their columns.
        user_cache: Keeps what is computed once a request; None: it is computed for each.
        item_cache: Keeps features of items that came with their columns; None: they are computed for each request.
        store: Fills requests up from a feature store; None: they hold all columns.

    Raises:
        BundleError: A part of the bundle cannot be read.
        ConfigError: There is no such device.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        runtime: str | None = None,
        trust_native: bool = False,
        limits: Limits | None = None,
        bad_values: Literal["fail", "default"] = "fail",
        missing_columns: Literal["fail", "default"] = "fail",
        sessions: int | None = None,
        device: str | Mapping[str, Any] | DeviceConfig = "cpu",
    ) -> None:
        self.bundle, self.limits = bundle, limits or Limits()
        self.bad_values, self.missing_columns = bad_values, missing_columns
        manifest = bundle.manifest
        self.generator = read_generator(bundle)
        if self.generator.fingerprint != manifest.fingerprint:
            raise BundleError(f"{bundle.path}: the generator is not the one that the manifest describes")
        tables = TableReader.open(bundle.folder("tables"), verify=False, checksums=bundle.checksums("tables"))
        trusted = trust_native or bundle.signed_by is not None
        self.runtime, dense = runtimes.choose(bundle, runtime, trust_native=trusted, sessions=sessions)
        apart = manifest.split if manifest.requests_of(self.runtime) else None
        split = None if apart is None else SplitScorer(bundle, apart, tables, self.runtime, sessions)
        self._device = _on_device(bundle, device, tables, dense, split)
        self._parts: _Parts | None = (tables, dense, split)
        if self._device is not None:
            self._parts = (tables, self._device.program, self._device.split)
        self._scoring = Scoring(manifest.scoring)
        self._replayed = 0  # ids outside their table, in the warm-up rows
        self._observer, self._counters = Observer(self.generator), Counters()
        self._shapes = {o.name: tuple(o.shape) for o in manifest.signature.outputs}
        self._sides = {
            side: [name for name, own in self.generator.inputs.items() if own == side]
            for side in ("user", "item", "context")
        }
        self.catalogue: Catalogue | None = None
        self.user_cache: UserCache | None = None
        self.item_cache: ItemCache | None = None
        self.store: StoreFeatures | None = None
        self._group = SessionGroup(sessions or num_processors())

    @classmethod
    def load(
        cls, directory: str | os.PathLike[str], *, verify: bool = True, trust: Trust | None = None, **options: Any
    ) -> Self:
        """The predictor of a bundle, proven: checksums compared, warm-up rows replayed.

        Args:
            directory: The bundle.
            verify: Compare checksums and replay the warm-up rows; without it nothing is proven.
            trust: Whose bundles are taken.
            options: As the class takes them.

        Raises:
            BundleError: The bundle is damaged or too new, none whom you trust signed it, or its features or scores are
                not those of training.
        """
        predictor = cls(Bundle.open(directory, verify=verify, trust=trust), **options)
        if verify:
            prove(predictor)
        predictor._settle(verify=verify)
        predictor._replayed = predictor._out_of_range()
        return predictor

    @property
    def manifest(self) -> Manifest:
        """What the bundle says of itself."""
        return self.bundle.manifest

    @property
    def stats(self) -> Stats:
        """What was counted since loading; the replay of the warm-up rows is not."""
        return self._counters.snapshot(self._out_of_range() - self._replayed if self._parts is not None else 0)

    @property
    def device_stats(self) -> DeviceStats | None:
        """What runs where; None where all runs on the processor."""
        return None if self._device is None else self._device.stats

    # ---------------------------------------------------------------------------------------------- answers

    @overload
    def predict(
        self,
        user: Any,
        items: Any,
        context: Any = None,
        *,
        deadline_ms: float | None = None,
        explain: Literal[False] = False,
    ) -> Scores: ...

    @overload
    def predict(
        self, user: Any, items: Any, context: Any = None, *, deadline_ms: float | None = None, explain: Literal[True]
    ) -> Explained: ...

    def predict(
        self, user: Any, items: Any, context: Any = None, *, deadline_ms: float | None = None, explain: bool = False
    ) -> Scores | Explained:
        """Score K candidates for one user.

        Args:
            user: Its columns, as a mapping; None where no feature reads the user.
            items: The candidates: a list of mappings, a record batch, a data frame or a dict of arrays; where there is a
                `catalogue`, also a list of keys, or rows of the key and of what the catalogue does not hold; with
                a `store` a list of ids, or rows of the id and of what is not to come from the store.
            context: Columns of the request, as a mapping; None where no feature reads a context.
            deadline_ms: Milliseconds after which it is given up, between two stages; None: never.
            explain: Tell also how the scores came about.

        Returns:
            By task, in the order of `items`.

        Raises:
            DataError: A column is missing or a value is unreadable, bad or too large, or an item is unknown; names it.
            DeadlineError: The deadline passed.
        """
        course = Course(deadline_ms)
        user, items, context = self._filled(user, items, context, course)
        if explain:
            return explained(self, self._stages, user, items, context, course)
        caches = (self.catalogue, self.user_cache, self.item_cache)
        if deadline_ms is not None or any(cache is not None for cache in caches):
            return self._stages.answer(user, items, context, course).scores
        split = self._open()[2]
        try:
            batches, count = self._batches(user, items, context)
            request, items_of = self._asked(batches, count)
            tiled = split is None or split.tiled
            table = request.score_items(items_of, tile=tiled)
        except DataError:
            self._counters.refused()
            raise
        given = [batch for batch in batches.values() if batch is not None]
        if split is None or not count:
            scores = self._score(table)
        else:
            scores = self._scoring(self._said_apart(split, request.user, table))
        bad = table.bad if tiled else [*request.user.bad, *table.bad]
        self._count({"requests": 1, "items": count}, given, [request.user, table], bad)
        return scores

    async def predict_async(
        self, user: Any, items: Any, context: Any = None, *, deadline_ms: float | None = None
    ) -> Scores:
        """As `predict`, awaited: in one of as many threads as there are `sessions`. Waiting counts towards the deadline.

        Raises:
            DataError: As there.
            DeadlineError: The deadline passed; what had not begun is never begun.
        """
        self._open()
        course = Course(deadline_ms)
        if deadline_ms is None:
            return await self._group.run(lambda: self.predict(user, items, context), course)

        def answer() -> Scores:
            return self._stages.answer(*self._filled(user, items, context, course), course).scores

        return await self._group.run(answer, course)

    def top_k(
        self,
        user: Any,
        items: Any,
        k: int,
        context: Any = None,
        *,
        task: str | None = None,
        deadline_ms: float | None = None,
    ) -> Top:
        """The best of the candidates. Of equal scores the one that stands first in `items` comes first.

        Args:
            user: As in `predict`.
            items: As in `predict`.
            k: How many at most.
            context: As in `predict`.
            task: By which task; it may be left out where there is one.
            deadline_ms: As in `predict`.

        Raises:
            DataError: As in `predict`, or there is no such task.
            DeadlineError: The deadline passed.
        """
        scores = self.predict(user, items, context, deadline_ms=deadline_ms)
        named = self.keys_in(items)
        return top(scores, k, task, None if named is None else named.plain())

    def features(self, user: Any, items: Any, context: Any = None) -> Table:
        """What the model would be given for a request: to look at, or to compare with what training saw.

        Args:
            user: As in `predict`.
            items: As in `predict`; K candidates.
            context: As in `predict`.

        Returns:
            A table of K rows, the request's own features repeated.

        Raises:
            DataError: As in `predict`.
        """
        user, items, context = self._filled(user, items, context, Course())
        if self.catalogue is not None:
            return self._stages.features(user, items, context)
        return self._request(*self._batches(user, items, context))

    def _batches(self, user: Any, items: Any, context: Any) -> tuple[dict[str, pa.RecordBatch | None], int]:
        batches = {
            "user": self._one_row(user, "user"),
            "item": self._candidates(items),
            "context": self._one_row(context, "context"),
        }
        return batches, len(items) if batches["item"] is None else batches["item"].num_rows

    def predict_batch(self, rows: Any) -> Scores:
        """Score rows that hold all columns, of users, items and contexts side by side.

        Args:
            rows: A record batch, pa.Table, data frame, dict of arrays or list of mappings.

        Raises:
            DataError: A column is missing, or a value is unreadable, bad or too large; names it.
        """
        try:
            batch = rows if isinstance(rows, pa.RecordBatch) else record(rows, list(self.generator.inputs))
            self.limits.check_count(batch.num_rows)
            self.limits.check(batch)
            table = self._transform(batch)
        except DataError:
            self._counters.refused()
            raise
        scores = self._score(table)
        used = batch.select([n for n in self.generator.inputs if n in batch.schema.names])
        self._count({"batches": 1, "rows": batch.num_rows}, [used], [table], table.bad)
        return scores

    def predict_together(self, requests: Sequence[tuple[Any, Any, Any]]) -> list[Scores]:
        """Score several requests as rows of one batch: small ones take less time so. Scores may differ in their last bits.

        Args:
            requests: User, items and context of each, as in `predict`.

        Raises:
            DataError: As in `predict`, of any of them.
        """
        return self._stages.together([self._filled(*request, Course()) for request in requests])

    def keys_in(self, items: Any) -> Keys | None:
        """The candidates of a request, where they come by their keys or ids; None where they come with their columns."""
        keys = None if self.catalogue is None else self.catalogue.keys_in(items)
        return self.store.item_keys(items) if keys is None and self.store is not None else keys

    def inputs(self, rows: Any) -> dict[str, np.ndarray]:
        """What `program` would be given for rows, as `predict_batch` takes them.

        Raises:
            DataError: As there.
        """
        return self._looked_up(self._open()[0], self._transform(record(rows, list(self.generator.inputs))))

    def program(self, inputs: Mapping[str, np.ndarray]) -> Scores:
        """What the bundle answers for inputs, which need not be those of rows."""
        return self._scoring(self._open()[1](inputs))

    def close(self) -> None:
        """Let go of tables and runtime; calls that run go on to their end, further ones are refused."""
        self._parts = self._device = None
        self._group.close()

    def forget(self) -> None:
        """Close it, and let go of what knows it in turn, so that its memory is free at once. Nobody may call it any more."""
        self.close()
        self.catalogue = self.user_cache = self.item_cache = self.store = None
        self.__dict__.pop("_stages", None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ------------------------------------------------------------------------------------------------ parts

    @cached_property
    def _stages(self) -> Stages:
        return Stages(self)

    def _filled(self, user: Any, items: Any, context: Any, course: Course) -> tuple[Any, Any, Any]:
        """A request with what the feature store has of it."""
        if self.store is None:
            return user, items, context
        try:
            filled = self.store.filled(user, items, context, course.left_s)
        except DataError:
            self._counters.refused()
            raise
        course.passed("store")
        return filled

    def _one_row(self, data: Any, side: str) -> pa.RecordBatch | None:
        """The user or the context as a batch of one row."""
        columns = self._sides[side]
        if not columns:
            return None
        if data is None:
            raise DataError(f"the request has no {side}, but features read it", column=columns[0])
        return self._batch([data] if isinstance(data, Mapping) else data, columns)

    def _candidates(self, items: Any) -> pa.RecordBatch | None:
        if isinstance(items, Sequence):
            self.limits.check_count(len(items))
        columns = self._sides["item"]
        return self._batch(items, columns) if columns else None

    def _batch(self, data: Any, columns: list[str]) -> pa.RecordBatch | FlatBatch:
        if type(data) is FlatBatch:
            self.limits.check_flat(data)
            return data
        if isinstance(data, list | tuple | JsonRows) and data:
            given = [dict.fromkeys(data.names)] if isinstance(data, JsonRows) else data
            first = given[0] if isinstance(given[0], Mapping) else {}
            absent = [n for n in columns if n not in first and not any(_gives(row, n) for row in given)]
            if absent and self.missing_columns == "fail":
                raise missing(absent[0], sorted({str(name) for row in given for name in row}))
        batch = record(data, columns)
        self.limits.check_count(batch.num_rows)
        self.limits.check(batch)
        return batch

    def _request(self, batches: Mapping[str, pa.RecordBatch | None], count: int) -> Table:
        request, items = self._asked(batches, count)
        return request.score_items(items, tile=True)

    def _asked(self, batches: Mapping[str, pa.RecordBatch | None], count: int) -> tuple[Request, Any]:
        """A request, and its candidates."""
        items = batches["item"]
        request = self.generator.request(batches["user"], batches["context"], bad_rows=self.bad_values)
        return request, items if items is not None else [{}] * count

    def _predictions_apart(self, batches: Mapping[str, pa.RecordBatch | None], count: int) -> Scores | None:
        """What the program for requests says, before calibration; None where there is none."""
        split = self._open()[2]
        if split is None:
            return None
        request, items = self._asked(batches, count)
        return self._said_apart(split, request.user, request.score_items(items, tile=split.tiled))

    def _said_apart(self, split: SplitScorer | DeviceSplit, once: Table, each: Table) -> Scores:
        try:
            return split(once, each)
        except (LookupError, AssertionError) as error:
            raise BundleError(f"{self.bundle.path}: its tables are not those of its generator: {error}") from error

    def _transform(self, rows: pa.RecordBatch) -> Table:
        return self.generator.transform(rows, bad_rows=self.bad_values)

    def _score(self, table: Table) -> Scores:
        if not table.num_rows:
            return {name: np.zeros((0, *shape), np.float32) for name, shape in self._shapes.items()}
        return self._scoring(self._predictions(table))

    def _predictions(self, table: Table) -> Scores:
        """What the program says, before calibration."""
        tables, dense, _ = self._open()
        device = self._device
        return dense(self._looked_up(tables, table)) if device is None else device.rows(table)

    def _looked_up(self, tables: TableReader, table: Table) -> dict[str, np.ndarray]:
        """What the program is given."""
        try:
            return tables.lookup(table)
        except (LookupError, AssertionError) as error:
            raise BundleError(f"{self.bundle.path}: its tables are not those of its generator: {error}") from error

    def _out_of_range(self) -> int:
        """How many ids lay outside their table."""
        tables, _, split = self._open()
        return sum(reader.out_of_range for reader in (tables, split, self._device) if reader is not None)

    def _settle(self, *, verify: bool) -> None:
        """Choose what a device does, and what the processor does, which is proven too."""
        if self._device is None:
            return
        if verify:
            with self._device.on_processor():
                prove(self)
        rows = WarmupRows.load(self.bundle.folder(FOLDER)).rows

        def repeated(count: int) -> pa.RecordBatch:
            return rows.take(pa.array(np.arange(count) % rows.num_rows))

        def asked(count: int) -> tuple[Table, Table]:
            one, some = rows.slice(0, 1), repeated(count)
            batches = {
                side: (some if side == "item" else one).select(n) if n else None for side, n in self._sides.items()
            }
            request, items = self._asked(batches, count)
            split = self._open()[2]
            return request.user, request.score_items(items, tile=split is None or split.tiled)

        self._device.settle(lambda count: self._transform(repeated(count)), asked)

    @property
    def tolerance(self) -> float:
        """How far a score of a warm-up row may lie from the trained one."""
        entry, device = self.manifest.runtimes[self.runtime], self._device
        own = None if device is None else device.tolerance
        return entry.tolerance.get(entry.precision, 0.0) if own is None else own

    def _open(self) -> _Parts:
        """Tables, program, and what scores requests.

        Raises:
            RunError: They were let go of.
        """
        if self._parts is None:
            raise RunError("the predictor was closed")
        return self._parts

    def _count(
        self, totals: Mapping[str, int], batches: list[pa.RecordBatch], tables: list[Table], bad: list[BadValue]
    ) -> None:
        self._counters.answered(totals, *self._observer.count(batches, tables), [one.column for one in bad])


def _on_device(
    bundle: Bundle,
    device: str | Mapping[str, Any] | DeviceConfig,
    tables: TableReader,
    dense: runtimes.Runtime,
    split: SplitScorer | None,
) -> DeviceScorer | None:
    """What scores on a device beside the processor; None where there is none to be used."""
    config = (
        device
        if isinstance(device, DeviceConfig)
        else validate(DeviceConfig, Document.of({"name": device} if isinstance(device, str) else dict(device)))
    )
    if config.name == "cpu":
        return None
    from serving.gpu.scorer import open_scorer  # noqa: PLC0415 (imports torch)

    return open_scorer(bundle, config, tables, dense, split)


def _gives(row: Any, name: str) -> bool:
    """Whether a row has the column, or the list of objects that holds it; other rows are refused later."""
    return not isinstance(row, Mapping) or gives(row, name)
