"""Training sets by Spark, for what outgrows a machine: the rows of `point_in_time.py`, by the same rule.

Of a view and the spine one frame is made, sorted by key and time; what a row of the spine sees is the last row of the
view before it. So a view costs one exchange of rows by key, and nothing is joined.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from easyrec.errors import DataError, EngineError, StoreError, nearest
from easyrec.store.codec import FIRST_S, LAST_S, other_unit
from easyrec.store.definitions import LabelTable, StoreConfig, View
from easyrec.store.offline.parquet import Config as Parquet
from easyrec.store.point_in_time import TrainingSet, features_of, wanted_of
from easyrec.store.training_parts import Unit

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

WHEN, KEY, SEEN, RANK, SIDE = "__when", "__key", "__seen", "__rank", "__spine"
NUMBERS = {"int32": "int", "int64": "bigint", "float": "float", "double": "double"}
"""Types of fields that are numbers, as Spark calls them."""
PATTERNS: Mapping[str, str] = {"hour": "yyyyMMddHH", "day": "yyyyMMdd", "month": "yyyyMM"}


def training_set_by_spark(
    spark: SparkSession,
    config: StoreConfig,
    model: str,
    spine: str | Path | LabelTable,
    output: str | Path,
    *,
    event_time: str | None = None,
    unit: Unit | None = None,
    column: str = "ds",
) -> TrainingSet:
    """Join the features of a model to a spine as `training_set` does; rows come in no order.

    Args:
        spark: A session; times are read in UTC.
        config: What is defined.
        model: Whose features.
        spine: Parquet files, or a label table of the definitions.
        output: Folder to write, which must not be there; any storage that Spark knows.
        event_time: The spine's column of times; default: that of the label table, else `event_time`.
        unit: Write folders by the hour, day or month of the spine; None: one folder.
        column: What these folders call the time.

    Raises:
        DataError: The spine or a view lacks a column, or a time of the spine is null.
        EngineError: Spark gave up.
        StoreError: There is no such model, a view has no source, or a column of the spine is called like a feature.
    """
    from pyspark.errors import PySparkException  # noqa: PLC0415 (an extra)

    begun = time.perf_counter()
    try:
        made = _Join(spark, config, model, spine, event_time)
        found = made.write(str(output), unit, column)
    except PySparkException as error:
        raise EngineError(f"spark gave up: {str(error).strip().splitlines()[0][:300]}") from error
    return TrainingSet(made.rows, made.columns, time.perf_counter() - begun, found, None)


class _Join:
    """A spine, and what is joined to it.

    Attributes:
        rows: Of the spine.
        columns: Of the spine, then the features.
    """

    def __init__(
        self, spark: SparkSession, config: StoreConfig, model: str, spine: str | Path | LabelTable, given: str | None
    ) -> None:
        from pyspark.sql import functions as F  # noqa: PLC0415 (an extra)

        self._spark, self._config = spark, config
        self._features = features_of(config, model)
        frame = self._spine(spine)
        self._own = frame.columns
        self._when = given or (spine.event_time if isinstance(spine, LabelTable) else "event_time")
        _require(self._own, [self._when], "the spine has")
        if both := [name for name in self._own if name in self._features]:
            raise StoreError(
                f"column '{both[0]}' of the spine is called like a feature of the model: give one another name"
            )
        self.columns = [*self._own, *self._features]
        self._frame = frame.withColumn(WHEN, _micros(frame, self._when))
        low, high, self.rows, times = self._frame.agg(
            F.min(WHEN), F.max(WHEN), F.count(F.lit(1)), F.count(WHEN)
        ).collect()[0]
        if times != self.rows:
            raise DataError(f"{self.rows - times:,} of {self.rows:,} rows have no time", column=self._when)
        for value in (low, high):
            if value is not None and not FIRST_S <= value // 1_000_000 <= LAST_S:
                outside = f"{value // 1_000_000} seconds since 1970 lie outside of the years 1 to 9999"
                raise DataError(f"the spine: {outside}{other_unit(value // 1_000_000)}", column=self._when)
        for view in {view.name: view for view, _ in self._features.values()}.values():
            fields = {name: field for name, (of, field) in self._features.items() if of.name == view.name}
            self._frame = self._joined(view, fields, (low or 0, high or 0))

    def write(self, output: str, unit: Unit | None, column: str) -> dict[str, int]:
        """Write the rows; gives for how many rows each view had one.

        Raises:
            StoreError: There is something already, or rows are missing in the end.
        """
        from pyspark.errors import AnalysisException  # noqa: PLC0415 (an extra)
        from pyspark.sql import functions as F  # noqa: PLC0415

        views = list(dict.fromkeys(view.name for view, _ in self._features.values()))
        frame = self._frame.select(*map(_c, self.columns), *(_c(f"__of_{name}") for name in views), _c(WHEN))
        if unit is not None:
            if column in self.columns:
                raise StoreError(
                    f"a column of the training set is called '{column}' already: give the folders another name"
                )
            frame = frame.withColumn(column, F.date_format(F.timestamp_micros(_c(WHEN)), PATTERNS[unit]))
        # counted where they are written: the work is done once
        told: Any = self._observed(frame, views)
        frame = told[0].drop(WHEN, *(f"__of_{name}" for name in views))
        writer = frame.write.mode("errorifexists").option("compression", "zstd")
        try:
            (writer.partitionBy(column) if unit is not None else writer).parquet(output)
        except AnalysisException as error:
            if "PATH_ALREADY_EXISTS" not in str(error):
                raise
            raise StoreError(f"{output} is there already: take another folder, or remove it") from None
        counts = told[1].get
        if counts["rows"] != self.rows:
            told_of = f"the training set has {counts['rows']:,} rows, but the spine {self.rows:,}"
            raise StoreError(f"{told_of}: this is a fault of the program")
        return {name: int(counts[f"of {name}"]) for name in views}

    @staticmethod
    def _observed(frame: DataFrame, views: Sequence[str]) -> tuple[DataFrame, Any]:
        from pyspark.sql import Observation  # noqa: PLC0415 (an extra)
        from pyspark.sql import functions as F  # noqa: PLC0415

        seen = Observation("training set")
        counts = [F.count(_c(f"__of_{name}")).alias(f"of {name}") for name in views]
        return frame.observe(seen, F.count(F.lit(1)).alias("rows"), *counts), seen

    def _spine(self, spine: str | Path | LabelTable) -> DataFrame:
        if isinstance(spine, LabelTable):
            frame = spine.source.frame(self._spark)
            _require(frame.columns, spine.columns, f"label table '{spine.name}' has")
            return frame.select(*map(_c, spine.columns))
        found: DataFrame = Parquet(path=str(spine)).frame(self._spark)
        return found

    def _joined(self, view: View, fields: Mapping[str, str], spine: tuple[int, int]) -> DataFrame:
        """The frame, with the fields of a view and the column `__of_<view>`, which is null where there is no row."""
        from pyspark.sql import Window  # noqa: PLC0415 (an extra)
        from pyspark.sql import functions as F  # noqa: PLC0415

        join_id = self._config.entity(view.entity).join_id
        if join_id not in self._own:
            told = f"view '{view.name}' is joined by it{nearest(join_id, self._own)}"
            raise DataError(f"{told}; the spine has: {', '.join(self._own[:20])}", column=join_id)
        rows = self._rows(view, join_id, list(fields.values()), spine)
        same = dict(rows.dtypes)[KEY] == dict(self._frame.dtypes)[join_id]
        key = _c(join_id) if same else _c(join_id).cast("string")
        rows = rows if same else rows.withColumn(KEY, _c(KEY).cast("string"))
        packed = rows.select(
            KEY, SEEN, F.lit(0).alias(SIDE), F.struct(RANK, *map(_c, dict.fromkeys(fields.values()))).alias("__row")
        )
        spine_rows = self._frame.withColumns({KEY: key, SEEN: _c(WHEN), SIDE: F.lit(1)})
        both = spine_rows.unionByName(packed, allowMissingColumns=True)
        # of the rows that are known the greatest one; at one time rows of the view come before those of the spine
        known = Window.partitionBy(KEY).orderBy(F.struct(SEEN, SIDE)).rowsBetween(Window.unboundedPreceding, 0)
        both = both.withColumn("__last", F.max_by("__row", F.col("__row").getField(RANK)).over(known))
        age = _c(WHEN) - F.col("__last").getField(RANK).getField("e")
        alive = F.col("__last").isNotNull() & _c(KEY).isNotNull()
        if view.ttl is not None:
            alive &= age <= view.ttl_micros
        last = F.when(alive, F.col("__last"))
        kinds = dict(rows.dtypes)
        made = {
            name: _typed(last.getField(field), kinds[field], view.held.get(field, "")) for name, field in fields.items()
        }
        made[f"__of_{view.name}"] = last.getField(RANK).getField("f")
        return both.filter(_c(SIDE) == 1).withColumns(made).drop(KEY, SEEN, SIDE, "__row", "__last")

    def _rows(self, view: View, join_id: str, fields: Sequence[str], spine: tuple[int, int]) -> DataFrame:
        """The rows of a view that can be seen: key, since when they are known, rank and fields."""
        from pyspark.sql import functions as F  # noqa: PLC0415 (an extra)

        if view.source is None:
            raise StoreError(f"view '{view.name}' says not where its rows lie: give it a source")
        wanted = wanted_of(view, join_id, fields, spine)
        frame = view.source.frame(self._spark, wanted)
        _require(frame.columns, wanted.columns or (), f"the rows of view '{view.name}' have")
        place = _place(frame)
        event = _micros(frame, view.event_time) if view.event_time is not None else F.lit(0).cast("long")
        created = _micros(frame, view.created_time) if view.created_time is not None else event
        columns = dict.fromkeys(fields)
        frame = frame.select(
            _c(join_id).alias(KEY),
            *map(_c, columns),
            F.greatest(event, created).alias(SEEN),
            F.struct(event.alias("e"), created.alias("c"), place[0].alias("f"), place[1].alias("r")).alias(RANK),
            event.alias("__event"),
            created.alias("__created"),
        )
        frame = frame.filter(_c(KEY).isNotNull() & _c("__event").isNotNull() & _c("__created").isNotNull())
        if view.event_time is None:
            return frame.withColumn(SEEN, F.lit(-(1 << 62)))
        frame = frame.filter(_c(SEEN) <= spine[1])
        if view.ttl is not None:
            frame = frame.filter(_c("__event") >= spine[0] - view.ttl_micros)
        return frame


def _place(frame: DataFrame) -> tuple[Column, Column]:
    """File and number of a row, by which the last one in the table is known; of other tables as Spark reads them."""
    from pyspark.errors import AnalysisException  # noqa: PLC0415 (an extra)
    from pyspark.sql import functions as F  # noqa: PLC0415

    found = F.col("_metadata.file_path"), F.col("_metadata.row_index")
    try:
        frame.select(*found)
    except AnalysisException:
        return F.lit(""), F.monotonically_increasing_id()
    return found


def _micros(frame: DataFrame, name: str) -> Column:
    """A time in microseconds since 1970; whole numbers are seconds."""
    from pyspark.sql import functions as F  # noqa: PLC0415 (an extra)

    kind = dict(frame.dtypes)[name]
    if kind in ("timestamp", "timestamp_ntz", "date"):
        return F.unix_micros(_c(name).cast("timestamp"))
    if kind in ("bigint", "int"):
        return _c(name).cast("long") * 1_000_000
    raise DataError(f"holds {kind}, but a time is a timestamp, a date, or whole seconds", column=name)


def _typed(column: Column, found: str, kind: str) -> Column:
    """Numbers as the type of their field, as where they are served; other values stay what they are."""
    wanted, whole = NUMBERS.get(kind), ("tinyint", "smallint", "int", "bigint")
    fits = found in whole or (wanted in ("float", "double") and found.startswith(("float", "double", "decimal")))
    return column.cast(wanted) if wanted is not None and found != wanted and fits else column


def _require(columns: Sequence[str], names: Sequence[str], whose: str) -> None:
    for name in names:
        if name not in columns:
            told = f"{whose} no such column{nearest(name, columns)}\nknown: {', '.join(columns[:20])}"
            raise DataError(told, column=name)


def _c(name: str) -> Column:
    """A column by its name, whatever it holds."""
    from pyspark.sql import functions as F  # noqa: PLC0415 (an extra)

    return F.col("`" + name.replace("`", "``") + "`")
