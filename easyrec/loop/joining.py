"""From logs to samples: the sample joiner over what an engine records, and how far it has come."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from easyrec.config import Experiment, load_experiment
from easyrec.errors import BundleError, ConfigError, DataError, Problem
from easyrec.export.bundle import MANIFEST, Bundle
from easyrec.loop.config import EVENT, OWN, LoopConfig
from easyrec.loop.versions import read_manifest, write_manifest
from easyrec.store.samples import SampleConfig
from easyrec.store.streams import KEYS
from easyrec.stream.joining import Joining
from easyrec.stream.sources.record import RecordEvents
from feature_generator.config import Document, validate

JOINED = "_joined.json"
"""In the folder of the samples: how many steps of the joiner are whole, and how far the logs were read."""
SNIFFED = 2000
"""Lines of the log that types are taken from, where no model tells them."""
SCALARS = {"int64", "int32", "double", "float", "string", "bool"}


class LogJoiner:
    """Joins the logs of a loop. One process at a time does so: the state is held by it.

    Args:
        loop: The loop.
        until_end: Whether to end where the logs end now.

    Raises:
        ConfigError: A column has no type.
        DataError: There is no log yet whose lines could tell types.
        StoreError: Another process joins, or the state is of another definition.
    """

    def __init__(self, loop: LoopConfig, *, until_end: bool = False) -> None:
        self.loop = loop
        loop.folder.mkdir(parents=True, exist_ok=True)
        self.config = sample_config(loop, columns_of(loop))
        self.joining = Joining(self.config, until_end=until_end, folder=loop.folder)
        self._told, self._at, self._seconds = -1, 0.0, 0.0
        self.tell()

    def step(self) -> int:
        """Take the next events, and give how many were read."""
        begun = time.monotonic()
        read = self.joining.step()
        self._seconds = time.monotonic() - begun
        assert self.loop.join is not None
        if time.monotonic() - self._at >= self.loop.join.every:
            self.tell()
        return read

    def run(self, stop: Callable[[], bool] = lambda: False) -> None:
        """Join until the logs end, or until it is asked to stop."""
        while not stop() and not self.joining.ended:
            self.step()
        self.tell()

    def tell(self) -> None:
        """Say how far it is; steps before `steps` are whole, and may be learned."""
        joining = self.joining
        joiner = joining.joiner
        self._at = time.monotonic()
        newest = {kind.name: max(kind.watermarks.newest.values(), default=None) for kind in joining.kinds}
        backlog = sum(k.source.backlog_bytes() for k in joining.kinds if isinstance(k.source, RecordEvents))
        write_manifest(
            Path(self.loop.samples) / JOINED,
            {
                "steps": joiner.steps,
                "watermark": joiner.watermark,
                "newest": newest,
                "waiting": joining.waiting,
                "counts": dict(joining.counts),
                "offsets": {kind.name: kind.offsets for kind in joining.kinds},
                "backlog_bytes": backlog,
                "seconds": round(self._seconds, 4),
                "at": time.time(),
            },
        )

    def close(self) -> None:
        """Let go of all that is open; what waits is gone on with later."""
        self.joining.close()


def sample_config(loop: LoopConfig, columns: Mapping[str, str]) -> SampleConfig:
    """What the sample joiner is told.

    Args:
        loop: The loop.
        columns: Types of the columns of exposures.

    Raises:
        ConfigError: It does not fit together.
    """
    join, logs = loop.join, loop.logs
    assert join is not None
    assert logs is not None
    shared: dict[str, Any] = {
        "event_time": "time",
        "time_unit": "ms",
        "id": "event_id",
        "lateness": join.lateness,
        "skew": join.skew,
        "idle": join.idle,
        "malformed": join.malformed,
        "batch_rows": join.batch_rows,
        "batch_seconds": 0.2,
    }
    if join.malformed == "dead_letters":
        shared["dead_letters"] = str(loop.folder / "dead_letters.jsonl")
    event = {name: columns.get(name, kind) if name in KEYS_OF else kind for name, kind in EVENT.items()}
    exposures = {"type": "record", "path": logs.exposures, "prefix": "exposures", "inner": "features"}
    events = {"type": "record", "path": logs.events or logs.exposures, "prefix": "events"}
    labels = [
        {
            **shared,
            "name": label.name,
            "window": label.window,
            "source": events,
            "columns": event,
            "where": {
                "type": label.type or label.name,
                **{name: one.model_dump(by_alias=True, exclude_none=True) for name, one in label.where.items()},
            },
            **({} if label.of is None else {"of": label.of}),
            **({} if label.keys is None else {"keys": label.keys}),
        }
        for label in join.labels
    ]
    told: dict[str, Any] = {
        "name": "samples",
        "keys": join.keys,
        "exposures": {**shared, "source": exposures, "columns": dict(columns)},
        "labels": labels,
        "late": join.late,
        "output": {"type": "parquet", "path": loop.samples, "partition": join.partition},
    }
    if join.wait is not None:
        told["wait"] = join.wait
    return validate(SampleConfig, Document.of(told))


KEYS_OF = ("request_id", "user_id", "item_id")
"""Columns of events that have the types of those of exposures."""


def columns_of(loop: LoopConfig) -> dict[str, str]:
    """Types of the columns of exposures, as they were told first: by the config, by the model, by the log's first lines.

    Raises:
        ConfigError: A column has no type anywhere.
        DataError: There are no lines yet that could tell.
    """
    join, kept = loop.join, loop.folder / "columns.json"
    assert join is not None
    found = read_manifest(kept)
    if found is not None and all(found["columns"].get(name) == kind for name, kind in join.columns.items()):
        return dict(found["columns"])
    experiment = load_experiment(loop.experiment)
    trained = types_of_start(loop)
    wanted = [*OWN, *(name for name in read_columns(experiment) if name not in {label.name for label in join.labels})]
    columns = {name: kind for name, kind in {**trained, **join.columns}.items() if name in {*wanted, *join.columns}}
    fixed = {"time": "int64", "event_id": "string", "request_id": "string", "scene": "string", "position": "int32"}
    columns = {**{name: kind for name, kind in OWN.items() if name in ("score", "propensity")}, **fixed, **columns}
    unknown = [name for name in dict.fromkeys(wanted) if name not in columns]
    if unknown:
        told = _sniffed(loop, unknown)
        lacking = [name for name in unknown if name not in told and name not in OWN]
        if lacking:
            text = "no exposure of the log has a value here; name its type, such as int64, double, string, array<int64>"
            raise ConfigError([Problem(text, f"join.columns.{name}") for name in lacking])
        columns |= {name: told.get(name, OWN.get(name, "string")) for name in unknown}
    columns["time"] = "int64"
    for name in ("request_id", "user_id", "item_id", "event_id"):
        if columns[name] not in KEYS:
            raise ConfigError([Problem(f"is a key, so it is {', '.join(KEYS)}", f"join.columns.{name}")])
    write_manifest(kept, {"columns": columns})
    return columns


def read_columns(experiment: Experiment) -> list[str]:
    """Raw columns that training reads of a row, labels aside."""
    data = experiment.data
    named = [*data.reserved, data.sample_weight, data.event_time]
    return list(dict.fromkeys([*experiment.generator.inputs, *(name for name in named if name is not None)]))


def types_of_start(loop: LoopConfig) -> dict[str, str]:
    """Types of the columns of the model that the loop starts from, when it was trained."""
    if loop.start is None:
        return {}
    bundle = Path(loop.start) / "bundle"
    found: dict[str, str] = {}
    for folder in (bundle, bundle / "user", bundle / "item"):
        if not (folder / MANIFEST).exists():
            continue
        try:
            inputs = Bundle.open(folder, verify=False).manifest.signature.inputs
        except BundleError:
            continue  # it is told where it is published
        for column in inputs:
            kind = store_type(column.type)
            if kind is not None:
                found[column.name] = kind
    return found


def store_type(arrow: str) -> str | None:
    """How the store calls a type that Arrow calls so; None where JSON lines have none such."""
    listed = re.fullmatch(r"(?:large_)?list<\w+: (.+?)(?: not null)?>", arrow)
    if listed is not None:
        inner = store_type(listed[1])
        return None if inner is None else f"array<{inner}>"
    name = {"large_string": "string", "int8": "int64", "int16": "int64", "uint32": "int64", "float64": "double"}
    plain = name.get(arrow, arrow)
    return plain if plain in SCALARS else None


def _sniffed(loop: LoopConfig, names: list[str]) -> dict[str, str]:
    """Types of the values that the first lines of the log have.

    Raises:
        DataError: There is no line.
    """
    kinds: dict[str, set[str]] = {name: set() for name in names}
    lines = 0
    for line in islice(_lines(loop), SNIFFED):
        try:
            row = json.loads(line)
            inner = row.get("features") or {}
        except (ValueError, AttributeError):
            continue  # the joiner tells of it
        lines += 1
        for name in names:
            value = row.get(name, inner.get(name) if isinstance(inner, dict) else None)
            kind = _kind(value)
            if kind is not None:
                kinds[name].add(kind)
    if not lines:
        assert loop.logs is not None
        raise DataError("there are no exposures yet whose columns could be looked at", file=loop.logs.exposures)
    return {name: _widest(found) for name, found in kinds.items() if found}


def _lines(loop: LoopConfig) -> Iterator[bytes]:
    assert loop.logs is not None
    for path in sorted(Path(loop.logs.exposures).glob("exposures-*.jsonl")):
        with path.open("rb") as file:
            yield from file


def _kind(value: Any) -> str | None:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int64"
    if isinstance(value, float):
        return "double"
    if isinstance(value, list):
        inner = {kind for kind in map(_kind, value) if kind is not None}
        return f"array<{_widest(inner)}>" if inner else None
    return "string" if isinstance(value, str) else None


def _widest(kinds: set[str]) -> str:
    """The type that all values have."""
    if len(kinds) == 1:
        return next(iter(kinds))
    if kinds <= {"int64", "double"}:
        return "double"
    inner = {kind[6:-1] for kind in kinds if kind.startswith("array<")}
    return f"array<{_widest(inner)}>" if inner and all(kind.startswith("array<") for kind in kinds) else "string"
