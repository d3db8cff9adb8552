"""What was served against what training sets hold of the same moments: feature by feature, with causes where they can be told."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from easyrec.errors import DataError, StoreError
from easyrec.store.compare import edits, same, smape
from easyrec.store.definitions import ModelFeatures, Selection, StoreConfig, View
from easyrec.store.point_in_time import training_set
from easyrec.store.read_log import digest
from easyrec.store.served import Served, served

LOOKED_AT = 1000
"""Rows with a difference whose causes are looked for, unless somebody asks for more."""
SHOWN = 3
"""Differences of a feature that are shown."""
LAGS = {"1 s": 1, "1 m": 60, "10 m": 600, "1 h": 3600, "6 h": 21_600, "1 d": 86_400, "7 d": 604_800}
TIME = "__time"
AGE = "age: older than the ttl"
LATE = "created time: served before the table says that it was known"
MISSING = "missing: the store had no row, or not yet"
VERSION = "version: other definitions held"
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Difference:
    """A value that was served, and what a training set holds.

    Attributes:
        key: Whose.
        time: When it was read, seconds since 1970.
        served: What was served.
        replayed: What a training set holds.
        cause: Why, as far as it can be told.
    """

    key: str
    time: float
    served: Any
    replayed: Any
    cause: str


@dataclass
class Compared:
    """A feature.

    Attributes:
        name: As the model knows it.
        view: Where it comes from.
        values: How many were compared.
        mismatch: Both are there, and differ.
        missing: Not served, but in a training set.
        extra: Served, but in no training set.
        smape: Mean of ``2 |a - b| / (|a| + |b|)`` of numbers that are in both.
        edit_distance: Of sequences that differ, how many items on average have to be inserted, removed or replaced.
        explained: Differences whose causes were looked for.
        causes: How many of these have which cause.
        examples: Some differences.
    """

    name: str
    view: str
    values: int
    mismatch: int = 0
    missing: int = 0
    extra: int = 0
    smape: float | None = None
    edit_distance: float | None = None
    explained: int = 0
    causes: dict[str, int] = field(default_factory=dict)
    examples: list[Difference] = field(default_factory=list)

    @property
    def different(self) -> int:
        """Values that are not the same."""
        return self.mismatch + self.missing + self.extra


@dataclass(frozen=True)
class Verified:
    """What was found.

    Attributes:
        model: Whose features.
        rows: Rows that were compared: ids at a moment.
        features: The features of the log.
        absent: Features of the model that the log does not hold.
        seconds: What it took.
    """

    model: str
    rows: int
    features: list[Compared]
    absent: list[str]
    seconds: float

    @property
    def share(self) -> float:
        """Share of the values that are not the same."""
        values = sum(one.values for one in self.features)
        return sum(one.different for one in self.features) / values if values else 0.0

    @property
    def expired(self) -> int:
        """Values that were served though they were older than their ttl, of those whose causes were looked for."""
        return sum(one.causes.get(AGE, 0) for one in self.features)


def verify(
    config: StoreConfig,
    model: str,
    log: str | Path,
    *,
    time_column: str | None = None,
    most: int | None = None,
    looked_at: int = LOOKED_AT,
    threads: int | None = None,
    memory: str | None = None,
) -> Verified:
    """Compare what a log says was served with what training sets hold of the same moments.

    Args:
        config: What is defined; views say where their rows lie.
        model: Whose features.
        log: A file of a log of reads or of requests, or its folder.
        time_column: Column of a request that says when its features were read; default: when it was logged.
        most: Rows of an entity that are compared; default: all.
        looked_at: Rows with a difference of which the cause is looked for.
        threads: Of duckdb; default: all processors.
        memory: Bound of duckdb, such as `4GB`.

    Raises:
        DataError: The log, or a table, lacks what is needed.
        MissingExtra: duckdb is not installed.
        StoreError: There is no such model, or a view has no source.
    """
    begun = time.perf_counter()
    try:
        columns = config.columns(config.model(model))
    except ValueError as error:
        raise StoreError(str(error)) from None
    options = {"threads": threads, "memory": memory}
    rows, features = 0, []
    for found in served(config, model, Path(log), time_column):
        kept = found if most is None else _first(found, most)
        rows += len(kept.keys)
        features += _compared(
            config, {n: columns[n] for n in kept.features.column_names}, kept, digest(config, model), looked_at, options
        )
    names = {one.name for one in features}
    absent = [name for name in columns if name not in names]
    return Verified(model, rows, features, absent, time.perf_counter() - begun)


def _first(found: Served, most: int) -> Served:
    keys, features = found.keys.slice(0, most), found.features.slice(0, most).combine_chunks()
    return Served(found.join_id, keys, found.times[:most], features, found.definitions)


def _compared(
    config: StoreConfig,
    columns: Mapping[str, tuple[View, str]],
    found: Served,
    definitions: str,
    looked_at: int,
    options: Mapping[str, Any],
) -> list[Compared]:
    replayed = _replayed(config, columns, found.join_id, found.keys, found.times, options)
    made: list[Compared] = []
    pairs: dict[str, tuple[pa.Array, pa.Array, np.ndarray]] = {}
    for name, (view, _) in columns.items():
        ours = _whole(replayed[name])
        theirs = _as(_whole(found.features[name]), ours.type, name)
        if view.events is not None and theirs.null_count:  # an empty sequence may be told so
            theirs = pa.ListArray.from_arrays(theirs.offsets, theirs.values)
        equal = same(theirs, ours)
        gone, none = _bools(theirs.is_null()), _bools(ours.is_null())
        one = Compared(name, view.name, len(equal), smape=smape(theirs, ours))
        one.missing = int((~equal & gone).sum())
        one.extra = int((~equal & none).sum())
        one.mismatch = int((~equal).sum()) - one.missing - one.extra
        made.append(one)
        if one.different:
            pairs[name] = (theirs, ours, ~equal)
    if pairs:
        places = _spread([differs for *_, differs in pairs.values()], looked_at)
        variants = list(_variants(config, columns, found, places, options))
        changed = bool(found.definitions) and definitions not in found.definitions
        for one in made:
            if one.name in pairs:
                _explain(one, *pairs[one.name], found, places, variants, changed=changed)
    return made


def _spread(differs: Sequence[np.ndarray], most: int) -> np.ndarray:
    """Places of rows that differ, ascending: of each feature as many, from the first to the last, and no more than `most`."""
    all_ = np.flatnonzero(np.logical_or.reduce(differs))
    if len(all_) <= most:
        return all_
    share = max(1, most // len(differs))
    chosen = np.unique(np.concatenate([_even(np.flatnonzero(one), share) for one in differs]))
    if len(chosen) > most:  # there are more features than rows to look at
        return _even(chosen, most)
    left = np.setdiff1d(all_, chosen, assume_unique=True)
    return np.union1d(chosen, _even(left, most - len(chosen)))


def _even(places: np.ndarray, most: int) -> np.ndarray:
    """At most so many of some places, evenly spread."""
    if len(places) <= most:
        return places
    even: np.ndarray = places[np.linspace(0, len(places) - 1, most).round().astype(np.int64)]
    return even


def _explain(
    one: Compared,
    theirs: pa.Array,
    ours: pa.Array,
    differs: np.ndarray,
    found: Served,
    places: np.ndarray,
    variants: list[tuple[str, pa.Table]],
    *,
    changed: bool,
) -> None:
    """Tell the causes of a feature's differences, the first variant of the replay that gives what was served."""
    causes = np.full(len(places), UNKNOWN, object)
    told = theirs.take(pa.array(places))
    empty = _bools(told.is_null())
    if pa.types.is_list(told.type):
        empty |= _bools(pc.fill_null(pc.equal(pc.list_value_length(told), 0), True))
    open_ = differs[places].copy()
    for cause, table in variants:
        # That a store was not yet filled, or never, looks the same.
        alike = open_ & ~(empty & (cause not in (AGE, LATE))) & same(told, _whole(table[one.name]))
        causes[alike] = cause
        open_ &= ~alike
    causes[open_ & empty] = MISSING
    if changed:
        causes[open_ & ~empty] = VERSION
    own = np.flatnonzero(differs[places])
    one.explained = len(own)
    names, counts = np.unique(causes[own].astype(str), return_counts=True)
    one.causes = dict(sorted(zip(names.tolist(), counts.tolist(), strict=True), key=lambda pair: -pair[1]))
    for place in own[:SHOWN]:
        row = int(places[place])
        when = float(found.times[row]) / 1e6
        values = (theirs[row].as_py(), ours[row].as_py())
        one.examples.append(Difference(str(found.keys[row].as_py()), when, *values, str(causes[place])))
    if pa.types.is_list(ours.type):
        rows = [int(places[place]) for place in own]
        distances = [edits(theirs[row].as_py() or [], ours[row].as_py() or []) for row in rows]
        one.edit_distance = float(np.mean(distances))


def _variants(
    config: StoreConfig,
    columns: Mapping[str, tuple[View, str]],
    found: Served,
    places: np.ndarray,
    options: Mapping[str, Any],
) -> Iterator[tuple[str, pa.Table]]:
    """What training sets would hold of some rows if it were otherwise, with what that would say."""
    keys, times = found.keys.take(pa.array(places)), found.times[places]
    join_id = found.join_id
    views = {view.name: view for view, _ in columns.values()}
    if any(view.ttl is not None for view in views.values()):
        yield AGE, _replayed(_without(config, views, "ttl"), columns, join_id, keys, times, options)
    if any(view.created_time is not None for view in views.values()):
        yield LATE, _replayed(_without(config, views, "created_time"), columns, join_id, keys, times, options)
    shifts = [-seconds for seconds in LAGS.values()] + list(LAGS.values())
    shifted = np.concatenate([times + seconds * 1_000_000 for seconds in shifts])
    stacked = _replayed(config, columns, join_id, pa.concat_arrays([keys] * len(shifts)), shifted, options)
    told = [f"lag: as it was up to {text} before" for text in LAGS]
    told += [f"ahead: as the table has it up to {text} later" for text in LAGS]
    for place, cause in enumerate(told):
        yield cause, stacked.slice(place * len(places), len(places))


def _without(config: StoreConfig, views: Mapping[str, View], key: str) -> StoreConfig:
    made = []
    for view in config.views:
        change: dict[str, Any] = {key: None} if view.name in views else {}
        if change and key == "ttl" and view.events is not None:
            sequences = [sequence.model_copy(update={"ttl": None}) for sequence in view.events.sequences]
            change["events"] = view.events.model_copy(update={"sequences": sequences})
        made.append(view.model_copy(update=change))
    return config.model_copy(update={"views": made})


def _replayed(
    config: StoreConfig,
    columns: Mapping[str, tuple[View, str]],
    join_id: str,
    keys: pa.Array,
    times: np.ndarray,
    options: Mapping[str, Any],
) -> pa.Table:
    """Some columns of a model as a training set holds them."""
    chosen: dict[str, Selection] = {}
    for name, (view, source) in columns.items():
        one = chosen.setdefault(view.name, Selection(view=view.name, fields=[source]))
        if one.fields is not None and source not in one.fields:
            one.fields.append(source)
        if name != source:
            one.alias[source] = name
    model = ModelFeatures(name="verified", features=list(chosen.values()))
    spine = pa.table({join_id: keys, TIME: pa.array(times, pa.timestamp("us", "UTC"))})
    made = training_set(config.model_copy(update={"models": [model]}), "verified", spine, event_time=TIME, **options)
    assert made.table is not None
    return made.table


def _as(column: pa.Array, kind: pa.DataType, name: str) -> pa.Array:
    if column.type == kind:
        return column
    try:
        return column.cast(kind)
    except (pa.ArrowException, ValueError) as error:
        told = str(error).splitlines()[0][:200]
        raise DataError(f"was served as {column.type}, which is no {kind}: {told}", column=name) from None


def _whole(column: pa.ChunkedArray) -> pa.Array:
    made = column.combine_chunks()
    return pa.concat_arrays(made.chunks) if isinstance(made, pa.ChunkedArray) else made


def _bools(column: pa.Array) -> np.ndarray:
    return np.asarray(column.to_numpy(zero_copy_only=False), bool)
