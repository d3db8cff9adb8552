"""`Run`: tables of texts, one after another, as tables of vectors."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from typing_extensions import Self

from easyrec.durable import write_text
from easyrec.errors import ConfigError, DataError, ModelError
from easyrec.llm.client import Usage
from easyrec.llm.client.asked import key_of
from easyrec.llm.events import plain
from easyrec.llm.items import ROWS, batches_of
from easyrec.llm.templates import columns_of, filled
from easyrec.llm.tools._embed.history import Histories
from easyrec.llm.tools._embed.into_store import StoreView
from easyrec.llm.tools._embed.kept import Kept
from easyrec.llm.tools._embed.near import Statistic
from easyrec.llm.tools._embed.output import Output, Vectors, check_ids
from easyrec.llm.tools._embed.reduction import TINY, Moments, Reduction
from easyrec.llm.tools._embed.spending import Spending
from easyrec.llm.tools.embed import HISTORY, Config, Embedded, Progress, Reduce, TableConfig

if TYPE_CHECKING:
    from easyrec.llm.config import LlmConfig

Made = tuple[dict[str, pa.Array], np.ndarray]
"""Columns and vectors of some rows."""


@dataclass
class _Counts:
    """What was met in the first pass over a table."""

    rows: int = 0
    empty: int = 0
    cut: int = 0


@dataclass
class _Texts:
    """Some rows that have texts."""

    columns: dict[str, pa.Array]
    texts: list[str]


@dataclass
class _Job:
    """A table that is being embedded."""

    table: TableConfig
    where: str
    view: StoreView | None
    counts: _Counts = field(default_factory=_Counts)
    width: int = 0
    reduction: Reduction | None = None


class Run:
    """Embeds tables. Use it as `with`.

    Args:
        config: Says what embeds.
        own: Its section.
        anew: Learn reductions again.
        progress: Is told what is done.
    """

    def __init__(self, config: LlmConfig, own: Config, *, anew: bool = False, progress: Progress | None = None) -> None:
        self._config, self._own, self._anew, self._progress = config, own, anew, progress
        self._opened: Kept | None = None

    @property
    def _kept(self) -> Kept:
        """The embedder, from the first text on."""
        if self._opened is None:
            self._opened = Kept(self._config.embeds(), self._own.cache)
        return self._opened

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._opened is not None:
            self._opened.close()

    def embedded(self, table: TableConfig) -> Embedded:
        """Embed a table, and write its report."""
        begun = time.perf_counter()
        view = None if table.store is None else StoreView(table.store, table)
        job = _Job(table, f"embed.tables[{table.name}]", view)
        if table.path is not None:
            ids = [plain(batch[table.id]) for batch in batches_of(Path(table.path), [table.id], job.where)]
            check_ids(pa.concat_arrays(ids) if ids else pa.array([], pa.int64()), table.path, table.id)
        if table.text is None:
            self._write(job, self._means(job), self._source(table).about["model"])
            return self._told(job, self._source(table).about["model"], 0, None, None, begun)
        if view is not None and table.reduce is not None and (table.reduce.pca or table.reduce.truncate):
            view.fits(table.reduce.pca or table.reduce.truncate or 0)
        kept, given = self._kept, self._kept.given
        had = kept.spent or Usage()
        spending = None if kept.spent is None else Spending(Path(f"{table.output}.spending.jsonl"))
        done = False
        try:
            with _noting(spending, lambda: since(kept.spent or Usage(), had), self._shown(table)) as note:
                self._fit(job, note)
                self._write(job, self._reduced(job, note), None)
            assert job.reduction is not None
            job.reduction.save(_reduction_of(table))
            spent = None if spending is None else since(kept.spent or Usage(), had)
            before = None if spending is None else spending.before
            told = self._told(job, _model(job.reduction), kept.given - given, spent, before, begun)
            done = True
        finally:
            if spending is not None:
                spending.close(reported=done)
        return told

    def _shown(self, table: TableConfig) -> Callable[[int], object]:
        told = self._progress
        return (lambda _: None) if told is None else (lambda done: told(table.name, done))

    # ------------------------------------------------------------------------------------------- texts

    def _rows(self, job: _Job, histories: Histories | None) -> Iterator[pa.RecordBatch]:
        """The rows of a table, or the users of its events, in pieces."""
        table = job.table
        if table.path is not None:
            yield from batches_of(Path(table.path), table.columns, job.where)
            return
        users = None if histories is None else histories.users
        for start in range(0, 0 if users is None else len(users), ROWS):
            yield pa.record_batch({table.id: users.slice(start, ROWS)})  # type: ignore[union-attr]  # then none are asked for

    def _texts(self, job: _Job, counts: _Counts | None = None) -> Iterator[_Texts]:
        """The rows that have texts, in pieces; what is met is counted."""
        table, counts = job.table, counts or _Counts()
        assert table.text is not None
        named = columns_of(table.text)
        histories, told = None, pa.array([], pa.large_string())
        if table.history is not None:
            items = self._own.table(table.history.items)
            pieces = list(self._texts(_Job(items, f"embed.tables[{items.name}]", None)))
            ids = pa.concat_arrays([piece.columns[items.id] for piece in pieces] or [pa.array([], pa.int64())])
            told = pa.array([text for piece in pieces for text in piece.texts], pa.large_string())
            histories = Histories(table.history, ids, f"{job.where}.history")
        for batch in self._rows(job, histories):
            values = {name: batch[name].to_pylist() for name in named if name != HISTORY}
            if histories is not None and table.history is not None:
                offsets, numbers = histories.of(plain(batch[table.id]))
                told_ = told.take(pa.array(numbers)).cast(pa.string())
                lists = pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), told_)
                values[HISTORY] = pc.binary_join(lists, table.history.joined).to_pylist()
                has = np.diff(offsets) > 0
            else:
                has = np.ones(batch.num_rows, bool)
            texts = [
                filled(table.text, dict(zip(values, row, strict=True))) for row in zip(*values.values(), strict=True)
            ]
            texts = texts if values else [table.text] * batch.num_rows
            counts.cut += sum(len(text) > table.longest for text in texts)
            texts = [text[: table.longest].strip() for text in texts]
            there = np.array([bool(text) for text in texts], bool) & has
            counts.rows += batch.num_rows
            counts.empty += int((~there).sum())
            yield _Texts(
                _columns(table, batch, there), [text for text, is_there in zip(texts, there, strict=True) if is_there]
            )

    # ------------------------------------------------------------------------------------------ vectors

    def _fit(self, job: _Job, note: Callable[[int], object]) -> None:
        """Have the reduction: the one that is there, else it is learned in a pass over all texts."""
        table, kept, told = job.table, self._kept, _settings(job.table)
        path = _reduction_of(self._own.table(table.reduced_as) if table.reduced_as else table)
        if table.reduced_as is not None:
            if not path.exists():
                raise ConfigError(f"{job.where}: table '{table.reduced_as}' was not embedded yet: {path} is not there")
            job.reduction = Reduction.load(path)
            if job.reduction.model != kept.model:
                raise ConfigError(
                    f"{job.where}: another embedder made the vectors of table '{table.reduced_as}': embed it first"
                )
        elif path.exists() and not self._anew:
            job.reduction = Reduction.load(path)
            if (job.reduction.model, job.reduction.told) != (kept.model, told):
                what = "another embedder" if job.reduction.model != kept.model else f"{job.reduction.told}"
                raise ConfigError(
                    f"{job.where}: {path} is of {what}, and vectors of both cannot be compared; "
                    "`--anew` learns it again, and every vector gets another place"
                )
        elif told["pca"] is not None:
            moments = None
            for some in self._texts(job, job.counts):
                vectors = self._vectors(job, some, note)
                if len(vectors):
                    moments = moments or Moments(vectors.shape[1])
                    moments.add(vectors)
            if moments is None:
                raise DataError("no row has a text", file=table.path or table.output)
            job.reduction = Reduction.fitted(kept.model, told, moments)
        if job.view is not None and job.reduction is not None:
            job.view.fits(job.reduction.dim)

    def _reduced(self, job: _Job, note: Callable[[int], object]) -> Iterator[Made]:
        """The pass that gives vectors as they are written."""
        again = job.counts.rows > 0
        for some in self._texts(job, _Counts() if again else job.counts):
            vectors = self._vectors(job, some, (lambda _: None) if again else note)
            if not len(vectors):
                continue
            if job.reduction is None:
                told = _settings(job.table)
                if told["truncate"] is not None and told["truncate"] > vectors.shape[1]:
                    raise DataError(
                        f"truncate: {told['truncate']}, but the embedder's vectors have {vectors.shape[1]} numbers"
                    )
                job.reduction = Reduction(self._kept.model, vectors.shape[1], told)
                if job.view is not None:
                    job.view.fits(job.reduction.dim)
            if vectors.shape[1] != job.reduction.width:
                raise ModelError(f"the embedder gave {vectors.shape[1]} numbers, but {job.reduction.width} before")
            yield some.columns, job.reduction(vectors)
        if job.reduction is None:
            raise DataError("no row has a text", file=job.table.path or job.table.output)

    def _vectors(self, job: _Job, some: _Texts, note: Callable[[int], object]) -> np.ndarray:
        vectors = self._kept.vectors(some.texts, job.table.side, note)
        job.width = vectors.shape[1] or job.width
        return vectors

    def _source(self, table: TableConfig) -> Vectors:
        """The vectors that those of a table are means of."""
        assert table.history is not None
        return Vectors(Path(self._own.table(table.history.items).output))

    def _means(self, job: _Job) -> Iterator[Made]:
        """The means of vectors of what users took."""
        table, source = job.table, self._source(job.table)
        assert table.history is not None
        vectors = source.whole()
        job.width = source.dim
        histories = Histories(table.history, source.ids(), f"{job.where}.history")
        normalise = _settings(table)["normalise"]
        for batch in self._rows(job, histories):
            offsets, numbers = histories.of(plain(batch[table.id]))
            has = np.diff(offsets) > 0
            job.counts.rows += batch.num_rows
            job.counts.empty += int((~has).sum())
            if not has.any():
                continue
            sums = np.add.reduceat(vectors[numbers], offsets[:-1][has], axis=0)
            made = sums / np.diff(offsets)[has][:, None]
            if normalise:
                made = made / np.maximum(np.linalg.norm(made, axis=1, keepdims=True), TINY)
            yield _columns(table, batch, has), made.astype(np.float32)
        if job.counts.rows == job.counts.empty:
            raise DataError("no user took a known item", file=table.history.path)

    # ------------------------------------------------------------------------------------------- writing

    def _write(self, job: _Job, made: Iterator[Made], model: str | None) -> None:
        """Write a table of vectors, with what is told of the nearest."""
        table, path = job.table, Path(job.table.output)
        about = {
            "id": table.id,
            "table": table.name,
            "text": table.text,
            "side": table.side,
            "config": self._digest(table),
        }
        first = next(made)  # there is one, and the model is known from then on
        about["model"] = model or _model(job.reduction)
        plainly = path.with_name(f".{path.name}.vectors.parquet") if table.near else path
        with Output(plainly, table.numbers, about) as output:
            output.add(*first)
            for columns, vectors in made:
                output.add(columns, vectors)
        if not table.near:
            return
        try:
            source = Vectors(plainly)
            vectors, ids = source.whole(), source.ids()
            columns = {}
            for one in table.near:
                columns.update(Statistic(one, ids, vectors, f"{job.where}.near[{one.name}]").columns(vectors))
            with Output(path, table.numbers, about) as output:
                start = 0
                for batch in source.batches():
                    some = pa.table(batch)
                    for name, column in columns.items():
                        some = some.append_column(name, column.slice(start, batch.num_rows))
                    output.write(some)
                    start += batch.num_rows
        finally:
            plainly.unlink(missing_ok=True)

    def _told(
        self, job: _Job, model: str, given: int, spent: Usage | None, before: Usage | None, begun: float
    ) -> Embedded:
        """The report, on disk too; then vectors are published."""
        table, counts = job.table, job.counts
        source = Vectors(Path(table.output))
        cost = 0.0 if spent is None or before is None else self._kept.cost(spent + before)
        explained = None if job.reduction is None else job.reduction.explained

        def made(published: int | None) -> Embedded:
            known = 0 if table.text is None else counts.rows - counts.empty - given
            figures = (counts.rows, counts.empty, counts.cut, given, known, job.width, source.dim, explained)
            paid = (spent, before, cost)
            seconds = round(time.perf_counter() - begun, 3)
            found = Embedded(table.name, table.output, *figures, *paid, model, published, seconds)
            report = {**found.as_json(), "config": self._digest(table)}
            write_text(Path(f"{table.output}.report.json"), json.dumps(report, indent=1) + "\n")
            return found

        found = made(None)
        if job.view is None:
            return found
        job.view.fits(source.dim)
        return made(job.view.publish(source))

    def _digest(self, table: TableConfig) -> str:
        """Of all that says what a table's vectors are."""
        return key_of(table.model_dump(mode="json"), None if table.text is None else self._kept.model)


def _columns(table: TableConfig, batch: pa.RecordBatch, there: np.ndarray) -> dict[str, pa.Array]:
    """The id and what is kept, of rows that are there."""
    mask = pa.array(there)
    return {name: plain(batch[name]).filter(mask) for name in dict.fromkeys([table.id, *table.keep])}


def _settings(table: TableConfig) -> dict[str, Any]:
    return (table.reduce or Reduce()).model_dump()


def _reduction_of(table: TableConfig) -> Path:
    return Path(f"{table.output}.reduction.npz")


def _model(reduction: Reduction | None) -> str:
    """Tells vectors apart that cannot be compared."""
    assert reduction is not None
    return reduction.digest


def since(now: Usage, then: Usage) -> Usage:
    """What was used up between two moments."""
    return Usage(**{one.name: getattr(now, one.name) - getattr(then, one.name) for one in fields(Usage)})


@contextmanager
def _noting(
    spending: Spending | None, paid: Callable[[], Usage], shown: Callable[[int], object]
) -> Iterator[Callable[[int], object]]:
    """Keep what is paid as it is paid, and also where work ends with an error."""

    def note(done: int) -> None:
        if spending is not None:
            spending.note(paid())
        shown(done)

    try:
        yield note
    finally:
        note(0)
