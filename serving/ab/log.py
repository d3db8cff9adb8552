"""What exposure and event logs say of the units of an experiment: sums by unit and by time, made by duckdb."""

# ruff: noqa: S608 (statements are made of quoted names, quoted texts and numbers)

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from easyrec.errors import ConfigError, DataError, nearest
from easyrec.store.duck import connection, quoted, text, told
from serving.ab.config import Experiment, Layer
from serving.ab.metric_config import MetricConfig

HOUR, DAY = 3_600_000, 86_400_000
LOOKS = 40
"""About how many times a test is looked at in hindsight."""
_STEPS = (HOUR, 6 * HOUR, DAY, 7 * DAY, 30 * DAY)
EXPOSURES = ("event_id", "request_id", "scene", "item_id")
EVENTS = ("event_id", "type", "request_id", "item_id")


@dataclass(frozen=True)
class Sums:
    """Counts and summed values of something by unit and look, in the order of looks."""

    units: NDArray[np.int64]
    looks: NDArray[np.int64]
    counts: NDArray[np.float64]
    values: NDArray[np.float64]

    def until(self, look: int, num_units: int, kind: str) -> NDArray[np.float64]:
        """What each unit has up to a look and within it: `count`, `value`, or `any`."""
        end = int(np.searchsorted(self.looks, look, side="right"))
        held = self.values if kind == "value" else self.counts
        made = np.bincount(self.units[:end], held[:end], minlength=num_units).astype(np.float64)
        return (made > 0).astype(np.float64) if kind == "any" else made


@dataclass
class Units:
    """The units of an experiment.

    Attributes:
        ids: Their ids, sorted.
        arms: Each one's variant by number.
        first: The look in which each was first seen.
        sums: By what is counted and by which of a unit's events count.
        before: The same of the time before the experiment: one look.
        segments: By name: each unit's value, as it was when the unit was first seen.
        ends: Milliseconds since 1970 at which the looks end.
        start: When the experiment started.
        crossed: Units that were seen in more than one variant: left out.
        strange: Units whose variant the file does not know: left out.
        listed: Units on white lists: left out.
    """

    ids: pa.Array
    arms: NDArray[np.int64]
    first: NDArray[np.int64]
    start: float
    ends: list[float]
    sums: dict[tuple[str, bool], Sums] = field(default_factory=dict)
    before: dict[str, Sums] = field(default_factory=dict)
    segments: dict[str, NDArray[np.object_]] = field(default_factory=dict)
    crossed: int = 0
    strange: int = 0
    listed: int = 0


class Log:
    """Exposures and events of some folders or files, JSON lines or parquet.

    Args:
        places: Folders with `exposures-*` and `events-*` files, or such files themselves.
        unit: The column that holds the unit's id.
        threads: Of duckdb; default: all processors.
        memory: Bound such as `4GB`; what does not fit goes to disk.
        features: Whether segments will be asked for that lie in what the exposures' `features` hold.
        since: Seconds since 1970: older lines are not kept; None: all are.

    Raises:
        ConfigError: There is no such place.
        DataError: There are no exposures, or a file is damaged.
        MissingExtra: duckdb is not installed.
    """

    def __init__(
        self,
        places: Iterable[str | Path],
        unit: str,
        threads: int | None = None,
        memory: str | None = None,
        *,
        features: bool = True,
        since: float | None = None,
    ) -> None:
        exposures, events = _files(places)
        if not exposures:
            raise DataError(f"no exposures-*.jsonl or exposures-*.parquet in {', '.join(map(str, places))}")
        self.unit, self._db = unit, connection(threads, memory)
        shown = {**dict.fromkeys((*EXPOSURES, unit), "VARCHAR"), "time": "BIGINT"}
        shown |= {"experiments": "MAP(VARCHAR, VARCHAR)", **({"features": "JSON"} if features else {})}
        happened = {**dict.fromkeys((*EVENTS, unit), "VARCHAR"), "time": "BIGINT", "value": "DOUBLE"}
        self._load("exposures", exposures, shown, since)
        self._load("events", events, happened, since)
        count = self._one(f"SELECT count(*) FROM exposures WHERE {quoted(unit)} IS NOT NULL")
        if not count:
            raise DataError(f"no exposure has a '{unit}'", column=unit, file=exposures[0])
        self.num_exposures = int(count)
        self.num_events = int(self._one("SELECT count(*) FROM events"))

    def experiments(self) -> list[str]:
        """The experiments that the exposures name, as `layer/experiment`, sorted."""
        statement = """
            SELECT DISTINCT entry.key || '/' || split_part(entry.value, '/', 1) AS name
            FROM (SELECT unnest(map_entries(experiments)) AS entry FROM exposures) ORDER BY name
        """
        return [name for (name,) in self._db.execute(statement).fetchall()]

    def units(
        self,
        layer: Layer,
        experiment: Experiment,
        metrics: Sequence[MetricConfig],
        segments: Sequence[str] = (),
        before_days: float = 14.0,
    ) -> Units | None:
        """The units of an experiment, with what metrics need of them; None where the log has none.

        Args:
            layer: Its layer.
            experiment: The experiment.
            metrics: What will be measured.
            segments: Columns of exposures, or of what their `features` hold.
            before_days: How long before the start units are looked at; 0: not at all.

        Raises:
            ConfigError: There is no such segment.
        """
        db, unit = self._db, quoted(self.unit)
        entry = f"experiments[{text(layer.name)}]"
        inside = f"starts_with({entry}, {text(experiment.name + '/')})"
        bounds = [f"time >= {experiment.start * 1000:.0f}"] if experiment.start is not None else []
        bounds += [f"time < {experiment.end * 1000:.0f}"] if experiment.end is not None else []
        where = " AND ".join([inside, f"{unit} IS NOT NULL", "time IS NOT NULL", *bounds])
        db.execute(f"""
            CREATE OR REPLACE TEMP TABLE shown AS
            SELECT {unit} AS unit, substr({entry}, {len(experiment.name) + 2}) AS variant, request_id, item_id, time
            FROM exposures WHERE {where}
        """)
        span = self._row("SELECT min(time), max(time) FROM shown")
        if span[0] is None:
            return None
        start = span[0] if experiment.start is None else min(round(experiment.start * 1000), span[0])
        last = self._one(f"SELECT max(time) FROM events WHERE {' AND '.join(['true', *bounds])}") or span[1]
        step, ends = _looks(start, max(span[1], last))
        names = {variant.name: at for at, variant in enumerate(experiment.variants)}
        listed = sorted({one for variant in experiment.variants for one in variant.white_list})
        db.register("listed", pa.table({"unit": pa.array(listed, pa.string())}))
        db.register("arms", pa.table({"variant": pa.array(names), "arm": pa.array(names.values(), pa.int64())}))
        db.execute("""
            CREATE OR REPLACE TEMP TABLE met AS
            SELECT unit, min(variant) AS variant, count(DISTINCT variant) AS variants, min(time) AS first,
                   unit IN (SELECT unit FROM listed) AS listed
            FROM shown GROUP BY unit
        """)
        db.execute("""
            CREATE OR REPLACE TEMP TABLE units AS
            SELECT row_number() OVER (ORDER BY unit) - 1 AS id, unit, arm, first
            FROM met JOIN arms USING (variant) WHERE variants = 1 AND NOT listed
        """)
        counts = self._row("""
            SELECT count(*) FILTER (listed), count(*) FILTER (variants > 1 AND NOT listed),
                   count(*) FILTER (variants = 1 AND NOT listed AND variant NOT IN (SELECT variant FROM arms)) FROM met
        """)
        table = db.sql("SELECT unit, arm, first FROM units ORDER BY id").to_arrow_table()
        first = (_numbers(table["first"]) - start) // step
        made = Units(_flat(table["unit"]), _numbers(table["arm"]), first, start / 1000.0, ends)
        made.listed, made.crossed, made.strange = counts
        end = f"time < {experiment.end * 1000:.0f}" if experiment.end is not None else "true"
        for of, by_exposure in _needed(metrics):
            made.sums[of, by_exposure] = self._sums(of, by_exposure, start, step, end)
        if before_days > 0:
            since = f"time >= {start - before_days * DAY:.0f} AND time < {start:.0f}"
            for of in {of for of, _ in made.sums}:
                made.before[of] = self._before(of, since)
        for name in segments:
            made.segments[name] = self._segment(name, where)
        return made

    def _sums(self, of: str, by_exposure: bool, start: float, step: float, end: str) -> Sums:
        look = f"(time - {start:.0f}) // {step:.0f}"
        if of in ("exposures", "requests"):
            counted = "count(*)" if of == "exposures" else "count(DISTINCT request_id)"
            source, value = "shown JOIN units USING (unit)", "0.0"
        elif by_exposure:
            counted, value = "count(*)", "coalesce(sum(value), 0.0)"
            # an exposure may be logged twice, by a request that was repeated: its events count once
            source = f"""
                (SELECT DISTINCT unit, request_id, item_id FROM shown) JOIN units USING (unit)
                JOIN (SELECT {quoted(self.unit)} AS who, request_id, item_id, time, value FROM events
                      WHERE type = {text(of)} AND {end}) USING (request_id, item_id)
            """
        else:
            counted, value = "count(*)", "coalesce(sum(value), 0.0)"
            source = f"""
                (SELECT {quoted(self.unit)} AS unit, time, value FROM events WHERE type = {text(of)} AND {end})
                JOIN units USING (unit)
            """
        late = "AND time >= first" if of not in ("exposures", "requests") and not by_exposure else ""
        return self._fetch(f"""
            SELECT id, greatest({look}, 0) AS look, {counted} AS counted, {value} AS value
            FROM {source} WHERE true {late} GROUP BY id, look ORDER BY look, id
        """)

    def _before(self, of: str, since: str) -> Sums:
        """Of each unit's time before the experiment, in all layers and scenes: all at look 0."""
        unit = quoted(self.unit)
        if of in ("exposures", "requests"):
            counted = "count(*)" if of == "exposures" else "count(DISTINCT request_id)"
            source, value = f"(SELECT {unit} AS unit, request_id FROM exposures WHERE {since})", "0.0"
        else:
            counted, value = "count(*)", "coalesce(sum(value), 0.0)"
            source = f"(SELECT {unit} AS unit, value FROM events WHERE type = {text(of)} AND {since})"
        return self._fetch(f"""
            SELECT id, 0 AS look, {counted} AS counted, {value} AS value
            FROM {source} JOIN units USING (unit) GROUP BY id ORDER BY id
        """)

    def _segment(self, name: str, where: str) -> NDArray[np.object_]:
        known = [column for column, *_ in self._db.execute("DESCRIBE exposures").fetchall()]
        if name in known and name not in ("features", "experiments"):
            value = f"CAST({quoted(name)} AS VARCHAR)"
        else:
            key = name.replace("\\", "\\\\").replace('"', '\\"')
            places = [f'$."{key}"', *(f'$."{side}"."{key}"' for side in ("user", "context", "item"))]
            value = "coalesce(" + ", ".join(f"json_extract_string(features, {text(one)})" for one in places) + ")"
        unit = quoted(self.unit)
        found = self._db.sql(f"""
            SELECT value FROM units LEFT JOIN
            (SELECT {unit} AS unit, arg_min({value}, time) AS value FROM exposures WHERE {where} GROUP BY ALL)
            USING (unit) ORDER BY id
        """).to_arrow_table()["value"]
        if found.null_count == len(found):
            keys = self._db.execute(
                "SELECT DISTINCT unnest(json_keys(features)) FROM (SELECT features FROM exposures LIMIT 1000)"
            ).fetchall()
            names = sorted({key for (key,) in keys} | {one for one in known if one not in ("features", "experiments")})
            raise ConfigError(f"no exposure has a '{name}'{nearest(name, names)}; known: {', '.join(names)}")
        return np.array(found.fill_null("(none)").to_pylist(), object)

    def _fetch(self, statement: str) -> Sums:
        with told("the log cannot be read"):
            table = self._db.sql(statement).to_arrow_table()
        counts, values = (_numbers(table[name]).astype(np.float64) for name in ("counted", "value"))
        return Sums(_numbers(table["id"]), _numbers(table["look"]), counts, values)

    def _load(self, name: str, files: Sequence[str], columns: Mapping[str, str], since: float | None) -> None:
        """A table of the distinct lines of some files."""
        parts = []
        lines = [file for file in files if not file.endswith(".parquet")]
        tables = [file for file in files if file.endswith(".parquet")]
        if lines:
            listed = ", ".join(map(text, lines))
            kinds = ", ".join(f"{quoted(column)}: {text(kind)}" for column, kind in columns.items())
            parts.append(f"SELECT * FROM read_json([{listed}], format = 'newline_delimited', columns = {{{kinds}}})")
        for file in tables:
            with told("cannot be read", file):
                found = self._db.execute(f"DESCRIBE SELECT * FROM read_parquet({text(file)})").fetchall()
            held = {column: kind for column, kind, *_ in found}
            picked = ", ".join(
                f"{_cast(column, kind, held.get(column))} AS {quoted(column)}" for column, kind in columns.items()
            )
            parts.append(f"SELECT {picked} FROM read_parquet({text(file)})")
        if not parts:
            shape = ", ".join(f"{quoted(column)} {kind}" for column, kind in columns.items())
            self._db.execute(f"CREATE TABLE {name} ({shape})")
            return
        with told("the log cannot be read", files[0] if len(files) == 1 else ""):
            kept = "" if since is None else f"WHERE time >= {since * 1000:.0f}"
            self._db.execute(f"CREATE TABLE {name} AS SELECT * FROM ({' UNION ALL '.join(parts)}) {kept}")
            # a line that came twice counts once; one without an id is as good as any
            repeated = self._one(f"SELECT count(event_id) - count(DISTINCT event_id) FROM {name}")
            if repeated:
                self._db.execute(f"""
                    CREATE OR REPLACE TABLE {name} AS SELECT * EXCLUDE (line) FROM
                    (SELECT *, row_number() OVER (PARTITION BY event_id ORDER BY time) AS line FROM {name})
                    WHERE line = 1 OR event_id IS NULL
                """)

    def _one(self, statement: str) -> Any:
        return self._row(statement)[0]

    def _row(self, statement: str) -> Any:
        return self._db.execute(statement).fetchall()[0]


def _files(places: Iterable[str | Path]) -> tuple[list[str], list[str]]:
    """Files of exposures and of events; those that are still written to end in neither."""
    exposures, events = [], []
    for place in map(Path, places):
        if not place.exists():
            raise ConfigError(f"there is no log {place}")
        found = (
            [place] if place.is_file() else sorted(p for end in ("jsonl", "parquet") for p in place.glob(f"*.{end}"))
        )
        exposures += [str(path) for path in found if path.name.startswith("exposures")]
        events += [str(path) for path in found if path.name.startswith("events")]
    return exposures, events


def _cast(column: str, kind: str, held: str | None) -> str:
    """A column of a parquet file as the table has it."""
    if held is None:
        return f"CAST(NULL AS {kind})"
    if kind == "JSON":
        return f"to_json({quoted(column)})" if held not in ("VARCHAR", "JSON") else f"CAST({quoted(column)} AS JSON)"
    if column == "time" and held.startswith("TIMESTAMP"):
        return f"epoch_ms({quoted(column)})"
    if kind.startswith("MAP") and held.startswith("STRUCT"):
        return f"CAST(to_json({quoted(column)}) AS {kind})"
    return f"CAST({quoted(column)} AS {kind})"


def _looks(start: float, end: float) -> tuple[float, list[float]]:
    """How long a look is, and when each ends, in milliseconds."""
    span = max(end - start + 1, 1)
    step = next((step for step in _STEPS if span / step <= LOOKS), _STEPS[-1])
    if span < 10 * HOUR:
        step = max(int(np.ceil(span / 20)), 1)
    count = int(np.ceil(span / step))
    return step, [start + step * (at + 1) for at in range(count)]


def _needed(metrics: Sequence[MetricConfig]) -> list[tuple[str, bool]]:
    """What is counted, and whether only events that name an exposure are."""
    found: dict[tuple[str, bool], None] = {("exposures", True): None}
    for metric in metrics:
        for of in (metric.of, metric.per):
            if of != "unit":
                found[of, of in ("exposures", "requests") or metric.by_exposure] = None
    return list(found)


def _flat(column: pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _numbers(column: pa.ChunkedArray) -> NDArray[Any]:
    made: NDArray[Any] = column.to_numpy()
    return made
