"""Training sets: to each row of a spine the features as they were known at its time.

Of a view a row counts at time t where its event time and its created time are not after t; of those of a key the one with
the latest event time is taken, of several the one created last, of these the last in the table. It is null where that row
is older than the view's ttl. Rows of the spine are never dropped nor repeated. Sequences are of events before t.

A view is joined in two steps: keys and times alone say which of its rows each row of the spine gets, and then those rows
are fetched into a table in the order of the spine. So only one view is held at a time, and no wide row is sorted by key.
"""

# ruff: noqa: S608 (statements are made of quoted names and of numbers)

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import pyarrow as pa

from easyrec.errors import DataError, StoreError, nearest
from easyrec.store.codec import arrow_type, read_type
from easyrec.store.definitions import LabelTable, StoreConfig, View
from easyrec.store.duck import (
    answered,
    cast,
    check_ids,
    check_times,
    connection,
    micros,
    moment,
    quoted,
    require,
    text,
    told,
    type_of,
    types_of,
    watched,
)
from easyrec.store.offline import Wanted
from easyrec.store.offline.parquet import Config as Parquet
from easyrec.store.replay import MOMENT, replayed
from feature_generator import offline
from feature_generator.feed import BatchFeed
from feature_generator.generator import BadRows
from feature_generator.whole_file import whole_file

if TYPE_CHECKING:
    from feature_generator import FeatureGenerator

Spine: TypeAlias = "pa.Table | str | Path | LabelTable"
"""Rows with ids and times: a table, parquet files, or a label table of the definitions."""
Progress: TypeAlias = Callable[[int, float], None]
"""Told the rows that are done, and the share of all."""
ROW, KEY, WHEN, CREATED = "__row", "__key", "__when", "__created"
SEEN, RANK, ORDER = "__seen", "__rank", "__order"
GROUP_ROWS = 1 << 17


@dataclass(frozen=True)
class TrainingSet:
    """What was made.

    Attributes:
        rows: As many as the spine has.
        columns: Of the spine, then the features.
        seconds: What it took.
        found: For how many rows each view had one that was not too old.
        table: The rows; None where they were written into a file.
    """

    rows: int
    columns: list[str]
    seconds: float
    found: Mapping[str, int]
    table: pa.Table | None


@dataclass(frozen=True)
class Encoding:
    """How rows are run through a generator before they are written.

    Attributes:
        generator: In `raw` mode.
        reserve: Columns that are passed through beside its outputs, such as labels.
        bad_rows: As in `FeatureGenerator.transform`.
    """

    generator: FeatureGenerator
    reserve: tuple[str, ...] = ()
    bad_rows: BadRows = "fail"


def training_set(
    config: StoreConfig,
    model: str,
    spine: Spine,
    output: str | Path | None = None,
    *,
    event_time: str | None = None,
    encoding: Encoding | None = None,
    overwrite: bool = True,
    threads: int | None = None,
    memory: str | None = None,
    progress: Progress | None = None,
) -> TrainingSet:
    """Join the features of a model to a spine, each as it was known at the row's time.

    Args:
        config: What is defined; views say where their rows lie (`source`).
        model: Whose features.
        spine: Rows with the join ids and a time. All columns of a table or of files are kept.
        output: Parquet file to write; it is there whole or not at all. None: the rows are returned.
        event_time: The spine's column of times; default: that of the label table, else `event_time`.
        encoding: Write the outputs of a generator over the joined rows in their place.
        overwrite: Replace the file if it is there.
        threads: Of duckdb; default: all processors.
        memory: Bound of duckdb, such as `4GB`; what does not fit goes to disk.
        progress: Told how far it is.

    Raises:
        DataError: The spine or a view lacks a column, or a time of the spine is null.
        MissingExtra: duckdb is not installed.
        OutputError: The file is there already, or the disk refuses.
        StoreError: There is no such model, a view has no source, or a column of the spine is called like a feature.
    """
    begun = time.perf_counter()
    with answered(), Joiner(config, model, spine, event_time, threads, memory) as joiner, joiner.watched(progress):
        rows = joiner.join()
        table = None
        if output is None:
            table = joiner.table()
        else:
            joiner.write(Path(output), encoding, overwrite=overwrite)
        return TrainingSet(rows, joiner.columns, time.perf_counter() - begun, joiner.found, table)


class Joiner:
    """Joins the features of a model to rows of a spine, all at once or one span of time after another.

    Args:
        config: What is defined.
        model: Whose features.
        spine: The rows.
        event_time: The spine's column of times; None as in `training_set`.
        threads: Of duckdb.
        memory: Bound of duckdb.

    Attributes:
        columns: Of the spine, then the features.
        found: For how many rows each view had one, of all rows that were joined.
    """

    def __init__(
        self,
        config: StoreConfig,
        model: str,
        spine: Spine,
        event_time: str | None = None,
        threads: int | None = None,
        memory: str | None = None,
    ) -> None:
        self._config = config
        self._features = features_of(config, model)
        self._when = event_time or (spine.event_time if isinstance(spine, LabelTable) else "event_time")
        self.db = connection(threads, memory)
        try:
            names = self._given(spine)
            self._views = {view.name: view for view, _ in self._features.values()}
            self.columns = [*names, *self._features]
            self._select = ", ".join(f"s.{quoted(name)}" for name in names)
            self.found = Counter[str]()
            self._rows = self._done = 0
        except BaseException:
            self.db.close()
            raise

    def __enter__(self) -> Joiner:
        return self

    def __exit__(self, *_: object) -> None:
        self.db.close()

    def spans(self, unit: str) -> list[tuple[int, int, int]]:
        """(first microsecond, first one after it, rows) of each hour, day, month of the spine that has rows.

        Raises:
            DataError: A time of the spine is null.
        """
        when = f"make_timestamp({micros(self._when, self._types[self._when])})"
        start = f"date_trunc({text(unit)}, {when})"
        found = self.db.execute(
            f"SELECT epoch_us({start}), epoch_us({start} + INTERVAL 1 {unit}), count(*) FROM given GROUP BY ALL ORDER BY 1"
        ).fetchall()
        self._refuse(sum(rows for low, _, rows in found if low is None), sum(rows for *_, rows in found))
        return [(int(low), int(high), int(rows)) for low, high, rows in found]

    def join(self, span: tuple[int, int] | None = None) -> int:
        """Join the rows of a span of time; gives how many there are.

        Args:
            span: First microsecond, and the first one after it; None: all rows.

        Raises:
            DataError: As in `training_set`.
            StoreError: As in `training_set`.
        """
        kind = self._types[self._when]
        bounds = ""
        if span is not None:
            # whole seconds and days are bounded by their own kind: a span never ends inside one
            low, high = (moment(kind, micros) for micros in span)
            bounds = f" WHERE {quoted(self._when)} >= {low} AND {quoted(self._when)} < {high}"
        self.db.execute(
            f"CREATE OR REPLACE TEMP TABLE spine AS SELECT *, {micros(self._when, kind)} AS {WHEN} FROM given{bounds}"
        )
        low, high, self._rows, nulls = self.db.execute(
            f"SELECT min({WHEN}), max({WHEN}), count(*), count(*) FILTER ({WHEN} IS NULL) FROM spine"
        ).fetchall()[0]
        self._refuse(nulls, self._rows)
        for place, view in enumerate(self._views.values()):
            self._done = place
            fields = {name: field for name, (of, field) in self._features.items() if of.name == view.name}
            self._join(view, f"v{place}", fields, (low or 0, high or 0))
        self._done = len(self._views)
        return self._rows

    def table(self) -> pa.Table:
        """The joined rows."""
        return self.db.sql(self._joined()).to_arrow_table()

    def write(self, output: Path, encoding: Encoding | None = None, *, overwrite: bool = True) -> None:
        """Write the joined rows into a file, whole or not at all; `encoding` as in `training_set`."""
        if encoding is not None:
            made = offline.run(
                encoding.generator,
                BatchFeed(self._batches()),
                output,
                reserve=encoding.reserve,
                bad_rows=encoding.bad_rows,
                overwrite=overwrite,
            )
            self._check(made.rows_in)
            return
        with whole_file(output, overwrite) as partial:
            done = self.db.execute(
                f"COPY ({self._joined()}) TO {text(str(partial))} (FORMAT parquet, COMPRESSION zstd, USE_TMP_FILE false)"
            ).fetchall()[0]
            self._check(int(done[0]))

    def _batches(self) -> Iterator[pa.RecordBatch]:
        """The joined rows; of none one batch, which tells the columns."""
        reader = self.db.sql(self._joined()).to_arrow_reader(GROUP_ROWS)
        if not self._rows:
            yield pa.RecordBatch.from_pylist([], reader.schema)
        yield from reader

    def watched(self, progress: Progress | None) -> contextlib.AbstractContextManager[None]:
        """Tell now and then how far the rows that are joined are."""
        steps = len(self._views) + 1
        return watched(self.db, progress and (lambda share: progress(self._rows, (self._done + share) / steps)))

    def _joined(self) -> str:
        """The query of the joined rows: tables of one length, side by side."""
        names = [f"v{place}" for place in range(len(self._views))]
        for name in names:
            self._check(int(self.db.execute(f"SELECT count(*) FROM {name}").fetchall()[0][0]))
        place = {view: f"v{index}" for index, view in enumerate(self._views)}
        chosen = ", ".join(
            f"{place[view.name]}.{quoted(name)} AS {quoted(name)}" for name, (view, _) in self._features.items()
        )
        beside = "".join(f" POSITIONAL JOIN {name}" for name in names)
        return f"SELECT {self._select}, {chosen} FROM spine s{beside}"

    def _check(self, made: int) -> None:
        if made != self._rows:
            told = f"the training set has {made:,} rows, but the spine {self._rows:,}"
            raise StoreError(f"{told}: this is a fault of the program")

    def _refuse(self, nulls: int, rows: int) -> None:
        if nulls:
            raise DataError(f"{nulls:,} of {rows:,} rows have no time", column=self._when)

    def _given(self, spine: Spine) -> list[str]:
        """Name the spine `given`; give its columns."""
        if isinstance(spine, LabelTable):
            spine.source.scan(self.db, "all given", Wanted(spine.columns, spine.event_time))
            require(types_of(self.db, "all given"), spine.columns, f"label table '{spine.name}' has")
            kept = ", ".join(map(quoted, spine.columns))
            self.db.execute(f'CREATE OR REPLACE TEMP VIEW given AS SELECT {kept} FROM "all given"')
        elif isinstance(spine, (str, Path)):
            Parquet(path=str(spine)).scan(self.db, "given")
        else:
            self.db.register("given", spine)
        self._types = types_of(self.db, "given")
        require(self._types, [self._when], "the spine has")
        both = [name for name in self._types if name in self._features]
        if both:
            raise StoreError(
                f"column '{both[0]}' of the spine is called like a feature of the model: give one another name"
            )
        for view, _ in self._features.values():
            join_id = self._config.entity(view.entity).join_id
            if join_id not in self._types:
                told = f"view '{view.name}' is joined by it{nearest(join_id, self._types)}"
                raise DataError(f"{told}; the spine has: {', '.join(list(self._types)[:20])}", column=join_id)
            check_ids(join_id, self._types[join_id], "the spine")
        check_times(self.db, "given", self._when, self._types[self._when], "the spine")
        return list(self._types)

    def _join(self, view: View, name: str, fields: Mapping[str, str], spine: tuple[int, int]) -> None:
        """Make the table `name`: for each row of the spine, in their order, the fields of a view."""
        join_id = self._config.entity(view.entity).join_id
        if view.events is not None:
            self._replay(view, name, join_id, fields, spine)
            return
        rows = f"rows of {view.name}"
        types = scanned(self.db, view, rows, wanted_of(view, join_id, list(fields.values()), spine))
        check_ids(join_id, types[join_id], f"view '{view.name}'")
        key, own = f"s.{quoted(join_id)}", quoted(join_id)
        if self._types[join_id] != types[join_id]:
            key, own = f"CAST({key} AS VARCHAR)", f"CAST({own} AS VARCHAR)"
        counted = _counted(view, types, spine)
        head, tail = f"SELECT {own} AS {KEY}, row_number() OVER () AS {ROW}", f" FROM {quoted(rows)}{counted}"
        if view.event_time is None:
            self._find_last(key, head + tail)
        else:
            times = [f"{micros(view.event_time, types[view.event_time])} AS {WHEN}"]
            if view.created_time is not None:
                times.append(f"{micros(view.created_time, types[view.created_time])} AS {CREATED}")
            self._find_known(view, key, f"{head}, {', '.join(times)}{tail}")
        self.found[view.name] += self.db.execute(f"SELECT count({ROW}) FROM found").fetchall()[0][0]
        held = {field: type_of(arrow_type(read_type(view.held[field]))) for field in fields.values()}
        chosen = ", ".join(
            f"{cast(f'v.{quoted(field)}', types[field], held[field], field)} AS {quoted(called)}"
            for called, field in fields.items()
        )
        kept = ", ".join(quoted(field) for field in dict.fromkeys(fields.values()))
        fetched = f"SELECT row_number() OVER () AS {ROW}, {kept} FROM {quoted(rows)}{counted}"
        with told(f"view '{view.name}': a value does not fit the type of its field", _path(view)):
            self.db.execute(
                f"CREATE OR REPLACE TEMP TABLE {name} AS SELECT {chosen} FROM found f LEFT JOIN ({fetched}) v "
                f"ON f.{ROW} = v.{ROW} ORDER BY f.place"
            )
        self.db.execute("DROP TABLE found")

    def _replay(self, view: View, name: str, join_id: str, fields: Mapping[str, str], spine: tuple[int, int]) -> None:
        """Make the table `name`: for each row of the spine, in their order, sequences of a view."""
        assert view.events is not None
        assert view.event_time is not None
        ages = [sequence.ttl or view.ttl for sequence in view.events.sequences]
        oldest = None if None in ages else round(max(age for age in ages if age is not None) * 1e6)
        rows, into = f"rows of {view.name}", f"sequences of {view.name}"
        types = scanned(self.db, view, rows, wanted_of(view, join_id, list(view.held), spine, oldest))
        event, known = view.event_time, view.created_time or view.event_time
        kept = ", ".join(map(quoted, view.held))
        key = f"CAST({quoted(join_id)} AS VARCHAR)"
        events = (
            f"SELECT {key} AS {KEY}, {micros(event, types[event])} AS {WHEN}, {micros(known, types[known])} AS __known, "
            f"row_number() OVER () AS __place, {kept} FROM {quoted(rows)}{_counted(view, types, spine, oldest)}"
        )
        moments = f"SELECT {key} AS {KEY}, {WHEN}, rowid AS {ROW} FROM spine"
        columns = list(dict.fromkeys(fields.values()))
        replayed(self.db, view, into, columns, events, moments)
        some = " OR ".join(f"len({quoted(field)}) > 0" for field in columns)
        self.found[view.name] += self.db.execute(f"SELECT count(*) FILTER ({some}) FROM {quoted(into)}").fetchall()[0][
            0
        ]
        chosen = ", ".join(f"coalesce(v.{quoted(field)}, []) AS {quoted(called)}" for called, field in fields.items())
        self.db.execute(
            f"CREATE OR REPLACE TEMP TABLE {name} AS SELECT {chosen} FROM spine s "
            f"LEFT JOIN {quoted(into)} v ON s.rowid = v.{MOMENT} ORDER BY s.rowid"
        )
        self.db.execute(f"DROP TABLE {quoted(into)}")

    def _find_last(self, key: str, numbered: str) -> None:
        """Make the table `found`: the number of the last row of each key, by the place of a row of the spine."""
        last = f"SELECT {KEY}, max({ROW}) AS {ROW} FROM ({numbered}) GROUP BY {KEY}"
        self.db.execute(
            f"CREATE OR REPLACE TEMP TABLE found AS SELECT s.rowid AS place, v.{ROW} "
            f"FROM spine s LEFT JOIN ({last}) v ON {key} = v.{KEY}"
        )

    def _find_known(self, view: View, key: str, numbered: str) -> None:
        """Make the table `found`: the number of the row that is known, null where it is too old."""
        rows = f"SELECT *, {WHEN} AS {SEEN}, {ROW} AS {RANK} FROM ({numbered})"
        if view.created_time is not None:
            rows = _as_known(numbered)
        self.db.execute(f"CREATE OR REPLACE TEMP TABLE known AS {rows}")
        number, first, last, *whole = self.db.execute(
            f"SELECT max({RANK}) + 1, min({SEEN}), max({SEEN}), bool_and({SEEN} % 1000000 = 0), "
            f"bool_and({SEEN} % 1000 = 0) FROM known"
        ).fetchall()[0]
        unit = 1_000_000 if whole[0] else 1_000 if whole[1] else 1
        # (time, rank) as one number, which is sorted twice as fast where it fits into 64 bits
        first, last, number = first or 0, last or 0, number or 1
        wide = "HUGEINT" if ((last - first) // unit + 1) * number > 1 << 62 else "BIGINT"
        order = f"(({SEEN} - {first}) // {unit})::{wide} * {number} + {RANK}"
        until = f"((least(s.{WHEN}, {last}) - {first}) // {unit})::{wide} * {number} + {number - 1}"
        until = f"CASE WHEN s.{WHEN} < {first} THEN -1 ELSE {until} END"
        row = f"v.{ROW}" if view.ttl is None else f"CASE WHEN s.{WHEN} - v.{WHEN} <= {view.ttl_micros} THEN v.{ROW} END"
        self.db.execute(
            f"CREATE OR REPLACE TEMP TABLE found AS SELECT s.place, {row} AS {ROW} "
            f"FROM (SELECT s.rowid AS place, {WHEN}, {key} AS {KEY}, {until} AS until FROM spine s) s "
            f"ASOF LEFT JOIN (SELECT {KEY}, {ROW}, {WHEN}, {order} AS {ORDER} FROM known) v "
            f"ON s.{KEY} = v.{KEY} AND s.until >= v.{ORDER}"
        )
        self.db.execute("DROP TABLE known")


def features_of(config: StoreConfig, model: str) -> dict[str, tuple[View, str]]:
    """View and field of each column that a model reads.

    Raises:
        StoreError: There is no such model.
    """
    try:
        return config.columns(config.model(model))
    except ValueError as error:
        raise StoreError(str(error)) from None


def wanted_of(
    view: View, join_id: str, fields: Sequence[str], spine: tuple[int, int], oldest: int | None = None
) -> Wanted:
    """What of a view can be seen by rows of a spine between two times; `oldest` as in `_counted`."""
    columns = dict.fromkeys([join_id, *fields, *filter(None, [view.event_time, view.created_time])])
    oldest = oldest if view.ttl is None or view.events is not None else view.ttl_micros
    low = None if oldest is None else spine[0] - oldest
    return Wanted(list(columns), view.event_time, low, spine[1])


def scanned(db: Any, view: View, name: str, wanted: Wanted) -> dict[str, str]:
    """Make a view of duckdb over the rows of a view; gives the types of its columns.

    Raises:
        DataError: There is nothing to read, or a column is missing.
        StoreError: The view does not say where its rows lie.
    """
    if view.source is None:
        raise StoreError(f"view '{view.name}' says not where its rows lie: give it a source")
    try:
        view.source.scan(db, name, wanted)
    except DataError as error:
        hint = f"; `easyrec store build` makes the rows of view '{view.name}'" if view.transform is not None else ""
        raise DataError(f"{error.reason}{hint}", file=error.file) from None
    types = types_of(db, name)
    try:
        require(types, wanted.columns or (), f"the rows of view '{view.name}' have")
    except DataError as error:
        raise DataError(error.reason, column=error.column, file=_path(view)) from None
    for when in filter(None, (view.event_time, view.created_time)):
        check_times(db, name, when, types[when], f"view '{view.name}'")
    return types


def _path(view: View) -> str:
    """Where the rows of a view lie, as errors name it."""
    return str(getattr(view.source, "path", "") or getattr(view.source, "table", ""))


def _counted(view: View, types: Mapping[str, str], spine: tuple[int, int], oldest: int | None = None) -> str:
    """The clause that leaves out rows which no row of the spine can see.

    Args:
        view: Whose rows.
        types: Of their columns.
        spine: First and last time, microseconds.
        oldest: Microseconds that events count; None: for ever. Rows of other views have their ttl.
    """
    bounds = [
        f"{quoted(name)} <= {moment(types[name], spine[1])}"
        for name in (view.event_time, view.created_time)
        if name is not None
    ]
    oldest = oldest if view.ttl is None or view.events is not None else view.ttl_micros
    if view.event_time is not None and oldest is not None:
        bounds.append(f"{quoted(view.event_time)} >= {moment(types[view.event_time], spine[0] - oldest)}")
    return f" WHERE {' AND '.join(bounds)}" if bounds else ""


def _as_known(rows: str) -> str:
    """Of the rows of a key, in the order in which they became known, those that are the latest when they become it.

    Of several rows of one event time that order is the one of their created times too, so the event time tells.
    """
    seen = f"greatest({WHEN}, {CREATED})"
    window = f"(PARTITION BY {KEY} ORDER BY {seen}, {WHEN}, {CREATED}, {ROW} ROWS UNBOUNDED PRECEDING)"
    return (
        f"SELECT {KEY}, {ROW}, {WHEN}, {seen} AS {SEEN}, row_number() OVER {window} AS {RANK} "
        f"FROM ({rows}) QUALIFY max({WHEN}) OVER {window} = {WHEN}"
    )
