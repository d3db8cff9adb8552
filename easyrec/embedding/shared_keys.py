"""The keys of dynamic tables that several workers hold: each those whose hash says so. Knows no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, replace

import numpy as np

from easyrec.embedding.keys import KeyCounts, KeyMap, as_one, free_rows
from easyrec.embedding.spec import KeySpec
from easyrec.errors import ConfigError, Problem

PER_KEY = ("keys", "rows", "counts", "steps")
"""The parts of a map's state that have one value for each key."""

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def holders(keys: np.ndarray, size: int) -> np.ndarray:
    """(n,) which of so many workers holds each key."""
    mixed = keys.view(np.uint64) * _GOLDEN  # keys may be consecutive numbers
    return ((mixed >> np.uint64(32)) % np.uint64(size)).astype(np.int64)


def share_of(spec: KeySpec, rank: int, size: int) -> KeySpec:
    """The rules by which a worker keeps its keys: rows, and ids that are counted, are dealt out.

    A sketch is whole with everyone: what two of them have counted can then be told together.

    Raises:
        ConfigError: There are fewer rows than workers.
    """
    counted = spec.size if spec.counting == "exact" else size
    if min(spec.capacity, counted) < size:
        what = f"capacity {spec.capacity:,}" if spec.capacity < size else f"admission.size {spec.size:,}"
        text = f"the dynamic table '{spec.name}' has {what}, and {size} workers share it\nmake it larger"
        raise ConfigError([Problem(text, f"features.{spec.name}")])
    mine = len(range(rank, spec.size, size)) if spec.counting == "exact" else spec.size
    return replace(spec, capacity=len(range(rank, spec.capacity, size)), size=mine)


def joined(every: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The state of whole keys from that of each worker's: its row r is row r * workers + rank of the whole.

    Sketches stay side by side, so that as many workers as before go on to the bit.
    """
    size = len(every)
    rows = [np.where(p["rows"] < 0, p["rows"], p["rows"] * size + rank) for rank, p in enumerate(every)]
    whole = {part: np.concatenate([p[part] for p in every]) for part in (*PER_KEY, "sketch", "marks")}
    whole["rows"] = np.concatenate(rows).astype(np.int32)
    order = np.lexsort((whole["keys"], whole["rows"], whole["rows"] < 0))  # as one process tells it
    whole |= {part: whole[part][order] for part in PER_KEY}
    return {**whole, "told": np.sum([p["told"] for p in every], axis=0), "before": every[0]["before"]}


def parted(
    keys: KeyMap, whole: Mapping[str, np.ndarray], rank: int, size: int
) -> tuple[KeyMap, np.ndarray, np.ndarray]:
    """A worker's map with its part of whole keys, which any number of workers told.

    Where it has no room for all of them, those go that its rules would evict.

    Args:
        keys: A map of the worker's rules.
        whole: What `joined` or one process told.
        rank: The worker.
        size: How many there are.

    Returns:
        The map, (n,) its rows, and the rows of the whole that these were.

    Raises:
        CheckpointError: They are those of other keys.
    """
    spec, mine = keys.spec, holders(np.ascontiguousarray(whole["keys"]), size) == rank
    held, waiting = np.flatnonzero(mine & (whole["rows"] >= 0)), np.flatnonzero(mine & (whole["rows"] < 0))
    kept = np.sort(_first(held, _worth(spec, whole, held), whole, spec.capacity))
    waiting = _first(waiting, whole["counts"][waiting].astype(np.float64), whole, spec.size)
    there = whole["rows"][kept].astype(np.int64)
    stays = there % size == rank
    here = there // size
    here[~stays] = free_rows(spec.capacity, here[stays])[: int((~stays).sum())]
    told = KeyCounts(*whole["told"].tolist()) if rank == 0 else KeyCounts()
    told.evicted += len(held) - len(kept)
    both = np.concatenate([kept, waiting])
    state = {part: whole[part][both] for part in ("keys", "counts", "steps")}
    state["rows"] = np.concatenate([here, np.full(len(waiting), -1)]).astype(np.int32)
    state |= {"told": np.array(astuple(told), np.int64), "before": whole["before"], **_counting(whole, rank, size)}
    return keys.restored(state), here, there


def _counting(whole: Mapping[str, np.ndarray], rank: int, size: int) -> dict[str, np.ndarray]:
    """A worker's sketch and marks: its own, where as many told them, or those of all."""
    if len(whole["marks"]) == 2 * size:
        return {part: whole[part].reshape(size, -1)[rank] for part in ("sketch", "marks")}
    one = as_one(whole)
    additions, swept = one["marks"].tolist()
    return {"sketch": one["sketch"], "marks": np.array([(additions + size - 1 - rank) // size, swept], np.int64)}


def _worth(spec: KeySpec, whole: Mapping[str, np.ndarray], places: np.ndarray) -> np.ndarray:
    """(n,) what the rules of eviction go by, of some keys."""
    counts: np.ndarray = whole["counts"][places].astype(np.float64)
    steps: np.ndarray = whole["steps"][places].astype(np.float64)
    if spec.eviction == "lru":
        return steps
    return counts if spec.eviction == "lfu" else counts * np.exp2((steps - steps.max(initial=0.0)) / spec.half_life)


def _first(places: np.ndarray, worth: np.ndarray, whole: Mapping[str, np.ndarray], room: int) -> np.ndarray:
    """The places of the keys that are worth most, as many as there is room for."""
    return places if len(places) <= room else places[np.lexsort((whole["keys"][places], -worth))[:room]]
