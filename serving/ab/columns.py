"""Who is in which variant, for columns of units: what `Experiments.assign` says of each of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from feature_generator.native import Expression
from serving.ab.buckets import BUCKETS, hashes, texts
from serving.ab.config import ExperimentsConfig
from serving.ab.plan import HALF, Place, Plan, Running, _number, _plain


def assign_columns(
    plan: Plan,
    config: ExperimentsConfig,
    units: Iterable[Any],
    attributes: Mapping[str, Any],
    scene: str | None,
    time_ms: float,
) -> pa.Table:
    """A column a layer of the file; see `Experiments.assign_many`."""
    column = texts(units)
    domain = _domains(plan, column)
    found: dict[str, pa.Array] = {layer.name: pa.nulls(len(column), pa.string()) for _, layer in config.places()}
    for number, part in enumerate(plan.parts):
        rows = np.flatnonzero(domain == number)
        for layer in part.layers:
            names = [arm.name for running in layer.experiments for arm in running.arms]
            chosen = np.full(len(column), -1, np.int32)
            chosen[rows] = _layer(layer, column.take(rows), rows, attributes, scene, time_ms)
            codes = pa.array(chosen, pa.int32(), mask=chosen < 0)
            found[layer.name] = pa.array(names, pa.string()).take(codes)
    return pa.table(found)


def _domains(plan: Plan, column: pa.LargeStringArray) -> NDArray[np.int32]:
    """Each unit's domain by number; -1: none."""
    numbers = {id(part): number for number, part in enumerate(plan.parts)}
    if plan.only is not None:
        result = np.full(len(column), numbers[id(plan.only)], np.int32)
    else:
        slots = np.array([-1 if part is None else numbers[id(part)] for part in plan.slots], np.int32)
        result = slots[(hashes(plan.salt, column) % np.uint64(BUCKETS)).astype(np.int64)]
    for unit, rows in _listed(column, plan.listed).items():
        result[rows] = numbers[id(plan.listed[unit])]
    return result


def _layer(
    layer: Place,
    column: pa.LargeStringArray,
    rows: NDArray[np.int64],
    attributes: Mapping[str, Any],
    scene: str | None,
    time_ms: float,
) -> NDArray[np.int32]:
    """Each unit's variant by number, counted over the layer's experiments; -1: none."""
    firsts = np.cumsum([0, *(len(running.arms) for running in layer.experiments)])
    first = {id(running): int(at) for running, at in zip(layer.experiments, firsts, strict=False)}
    result = np.full(len(column), -1, np.int32)
    numbers = {id(running): number for number, running in enumerate(layer.experiments)}
    slots = np.array([-1 if one is None else numbers[id(one)] for one in layer.slots], np.int32)
    owner = slots[(hashes(layer.salt, column) % np.uint64(BUCKETS)).astype(np.int64)]
    for number, running in enumerate(layer.experiments):
        here = np.flatnonzero(owner == number)
        if not len(here) or not _open(running, scene, time_ms):
            continue
        drawn = hashes(running.salt, column.take(here))
        inside = drawn % np.uint64(HALF) % np.uint64(BUCKETS) < running.limit
        if running.conditional:
            inside &= _takes(running, attributes, rows[here])
        arm = np.searchsorted(running.edges, (drawn >> np.uint64(32)) % np.uint64(BUCKETS), side="right")
        result[here[inside]] = first[id(running)] + arm[inside]
    for unit, places in _listed(column, layer.forced).items():
        running, forced = layer.forced[unit]
        result[places] = first[id(running)] + running.arms.index(forced) if _open(running, scene, time_ms) else -1
    return result


def _open(running: Running, scene: str | None, time_ms: float) -> bool:
    if running.scenes is not None and scene not in running.scenes:
        return False
    at = time_ms / 1000.0
    return (running.start is None or at >= running.start) and (running.end is None or at < running.end)


def _takes(running: Running, attributes: Mapping[str, Any], rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whose attributes are those of units that take part."""
    result = np.ones(len(rows), bool)
    for name, allowed in running.allowed.items():
        if name not in attributes:
            return np.zeros(len(rows), bool)
        values, codes = _distinct(attributes[name], rows)
        fits = np.array([_fits(value, allowed) for value in values] + [False])
        result &= fits[codes]
    if running.program is None:
        return result
    columns = []
    for name in running.program.names:
        if name not in attributes:
            return np.zeros(len(rows), bool)
        values, codes = _distinct(attributes[name], rows)
        columns.append(np.array([(_number(value) or [np.nan])[0] for value in values] + [np.nan])[codes])
    there = np.flatnonzero(result & ~np.any(np.isnan(columns), axis=0)) if columns else np.flatnonzero(result)
    inputs = [(np.ascontiguousarray(one[there]), None, None) for one in columns]
    values_ = Expression(running.program.native()).run_single(inputs, len(there))
    result[:] = False
    result[there] = (values_ != 0) & np.isfinite(values_)
    return result


def _fits(value: Any, allowed: frozenset[str]) -> bool:
    if isinstance(value, list | tuple):
        return any(_plain(one) in allowed for one in value)
    return value is not None and _plain(value) in allowed


def _distinct(column: Any, rows: NDArray[np.int64]) -> tuple[list[Any], NDArray[np.int64]]:
    """The distinct values of some rows, and which of them each row has; the last one, that is none, where it is null."""
    held = column if isinstance(column, pa.Array | pa.ChunkedArray) else pa.array(column)
    held = held.combine_chunks() if isinstance(held, pa.ChunkedArray) else held
    held = held.take(pa.array(rows))
    if pa.types.is_nested(held.type):
        return held.to_pylist(), np.arange(len(held))
    coded = held.dictionary_encode()
    values = coded.dictionary.to_pylist()
    return values, coded.indices.fill_null(len(values)).to_numpy(zero_copy_only=False)


def _listed(column: pa.LargeStringArray, listed: Mapping[str, Any]) -> dict[str, NDArray[np.int64]]:
    """Rows of the units that are on white lists."""
    if not listed:
        return {}
    known = pa.array(list(listed), pa.large_string())
    rows = np.flatnonzero(pc.is_in(column, value_set=known).to_numpy(zero_copy_only=False))
    found: dict[str, list[int]] = {}
    for row, unit in zip(rows, column.take(pa.array(rows)).to_pylist(), strict=True):
        found.setdefault(unit, []).append(int(row))
    return {unit: np.array(places) for unit, places in found.items()}
