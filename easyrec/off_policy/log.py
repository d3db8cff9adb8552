"""The log of an engine, and what another policy would have shown in its place."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj
import pyarrow.parquet as pq

from easyrec.errors import DataError, nearest
from easyrec.off_policy.weights import Floats, Logged

MOST_POSITIONS = 1000
_NEEDED = {"request_id": pa.string(), "position": pa.int64(), "propensity": pa.float64()}
_BLOCK = 16 << 20


@dataclass(frozen=True)
class Shown:
    """What an engine showed, by request and position.

    Attributes:
        requests: (n,) their ids.
        item: (n, k) ids as text, empty where a list is short.
        propensity: (n, k)
        reward: (n, k)
        there: (n, k)
        user: (n,) numbers that tell users apart.
        unmatched: Events that followed nothing that was shown.
    """

    requests: pa.Array
    item: np.ndarray
    propensity: Floats
    reward: Floats
    there: npt.NDArray[np.bool_]
    user: npt.NDArray[np.int64]
    unmatched: int


def read_log(
    folder: str | Path, *, rewards: dict[str, float] | None = None, values: bool = False, scene: str | None = None
) -> Shown:
    """Read `exposures-*.jsonl` and `events-*.jsonl`.

    Args:
        folder: Where they are.
        rewards: What events of each type are worth; default: a click 1.
        values: An event is worth its own `value` as many times.
        scene: Exposures of this scene alone.

    Raises:
        DataError: There is no log, or it lacks what is needed.
    """
    place = Path(folder)
    exposures = _read(place, "exposures", ("request_id", "user_id", "item_id", "position", "propensity", "scene"))
    if exposures is None:
        raise DataError(f"{place} holds no exposures-*.jsonl")
    if scene is not None:
        known = pc.unique(exposures["scene"]).to_pylist()
        if scene not in known:
            told = f"nothing was shown in scene '{scene}'{nearest(scene, [str(one) for one in known])}"
            raise DataError(told, column="scene")
        exposures = exposures.filter(pc.equal(exposures["scene"], scene))
    if exposures["propensity"].null_count:
        raise DataError("is missing in some lines: what was shown must say how likely it was", column="propensity")
    position = exposures["position"].to_numpy()
    if position.min() < 0 or position.max() >= MOST_POSITIONS:
        raise DataError(f"must be from 0 to {MOST_POSITIONS - 1}", column="position")
    coded = exposures["request_id"].combine_chunks().dictionary_encode()
    row, shape = coded.indices.to_numpy(), (len(coded.dictionary), int(position.max()) + 1)
    item = np.full(shape, "", dtype=object)
    item[row, position] = exposures["item_id"].to_numpy(zero_copy_only=False)
    propensity, there = np.ones(shape), np.zeros(shape, dtype=bool)
    propensity[row, position] = exposures["propensity"].to_numpy()
    there[row, position] = True
    user = np.zeros(shape[0], dtype=np.int64)
    user[row] = exposures["user_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    reward = np.zeros(shape)
    unmatched = _add_rewards(place, exposures, (row, position), reward, rewards or {"click": 1.0}, values)
    return Shown(coded.dictionary, item, propensity, reward, there, user, unmatched)


def _add_rewards(
    folder: Path,
    exposures: pa.Table,
    places: tuple[np.ndarray, np.ndarray],
    reward: Floats,
    rewards: dict[str, float],
    values: bool,
) -> int:
    """Add what followed; an event counts once. Gives the number of events that followed nothing."""
    events = _read(folder, "events", ("event_id", "request_id", "item_id", "type", "value"))
    if events is None:
        raise DataError(f"{folder} holds no events-*.jsonl")
    known = [str(one) for one in pc.unique(events["type"]).to_pylist()]
    strange = [name for name in rewards if name not in known]
    if strange:
        told = f"no event is of type '{strange[0]}'{nearest(strange[0], known)}; there are: {', '.join(known)}"
        raise DataError(told, column="type")
    events = events.filter(pc.is_in(events["type"], value_set=pa.array(list(rewards))))
    ids = events["event_id"].combine_chunks().dictionary_encode().indices
    named = np.flatnonzero(pc.is_valid(ids).to_numpy(zero_copy_only=False))
    first = named[np.unique(ids.take(pa.array(named)).to_numpy(), return_index=True)[1]]
    nameless = np.flatnonzero(
        pc.is_null(ids).to_numpy(zero_copy_only=False)
    )  # nobody can say which of these are the same
    events = events.take(pa.array(np.sort(np.concatenate([first, nameless]))))
    found = pc.index_in(_keys(events), value_set=_keys(exposures)).to_numpy(zero_copy_only=False)
    matched = ~np.isnan(found.astype(np.float64))
    worth = np.array([rewards[name] for name in events["type"].to_pylist()], dtype=np.float64)
    if values:
        worth = worth * events["value"].fill_null(1.0).to_numpy()
    at = found[matched].astype(np.int64)
    np.add.at(reward, (places[0][at], places[1][at]), worth[matched])
    return int((~matched).sum())


def against(shown: Shown, policy: str | Path | pa.Table) -> tuple[Logged, int]:
    """A log beside what another policy would have done.

    Args:
        shown: The log.
        policy: Rows of a request and an item, as parquet, with

            - `probability`: the chance that the policy shows the item at the position at which the log has it, for what was
              shown. What has no row has the chance 0. Or
            - `score`: of all candidates of a request; the policy shows the best, in order, so that an item's chance is 1 at
              its rank and 0 elsewhere;
            - with `predicted`, the reward that a model expects of the item where it is looked at, for doubly robust
              estimates: of all candidates where there are scores; with `probability`, `expected` must say what it expects of
              the whole list of the policy.

    Returns:
        The log with weights, and how many of its lists the policy says nothing of; these are left out.

    Raises:
        DataError: The rows lack what is needed.
    """
    table = policy if isinstance(policy, pa.Table) else pq.read_table(policy)
    names = set(table.column_names)
    lacking = {"request_id", "item_id"} - names
    if lacking or not names & {"probability", "score"}:
        wanted = "request_id, item_id, and probability or score"
        raise DataError(f"the policy's rows need the columns {wanted}; they have: {', '.join(sorted(names))}")
    if "probability" not in names and "predicted" in names and table["predicted"].null_count:
        raise DataError("is missing in some rows", column="predicted")
    request = pc.index_in(table["request_id"].cast(pa.string()), value_set=shown.requests)
    known = pc.is_valid(request)
    table, row = table.filter(known), request.filter(known).to_numpy().astype(np.int64)
    item = np.asarray(table["item_id"].cast(pa.string()).to_pylist(), dtype=object)
    spoken = np.bincount(row, minlength=len(shown.requests)) > 0
    if not spoken.any():
        raise DataError("the policy says nothing of any request of the log", column="request_id")
    size = shown.there.shape[1]
    flat = np.repeat(np.arange(len(shown.requests)), size)[shown.there.ravel()]
    found = _index(flat, shown.item[shown.there], row, item)
    target = np.zeros(shown.there.shape)
    predicted: Floats | None = None
    expected: Floats | None = None
    if "probability" in names:
        values = table["probability"].to_numpy()
        target[shown.there] = np.where(found >= 0, values[np.maximum(found, 0)], 0.0)
        if {"predicted", "expected"} <= names:
            predicted = np.zeros(shown.there.shape)
            predicted[shown.there] = np.where(found >= 0, table["predicted"].to_numpy()[np.maximum(found, 0)], 0.0)
            expected = np.zeros(len(shown.requests))
            expected[row] = table["expected"].to_numpy()
    else:
        rank = _ranks(row, table["score"].to_numpy())
        position = np.broadcast_to(np.arange(size), shown.there.shape)[shown.there]
        target[shown.there] = (found >= 0) & (rank[np.maximum(found, 0)] == position)
        if "predicted" in names:
            predicted, expected = _predicted(shown, row, rank, table["predicted"].to_numpy(), found)
    keep = spoken
    return (
        Logged(
            shown.reward[keep],
            shown.propensity[keep],
            target[keep],
            shown.there[keep],
            None if predicted is None else predicted[keep],
            None if expected is None else expected[keep],
            shown.user[keep],
        ),
        int((~keep).sum()),
    )


def _predicted(
    shown: Shown, row: np.ndarray, rank: np.ndarray, values: Floats, found: np.ndarray
) -> tuple[Floats, Floats]:
    """What is expected of what was shown, and of what the policy would show, position by position.

    A model tells of an item where it is looked at; positions are looked at less and less, so each has a factor that makes the
    predictions of what the log has there as large as its rewards.
    """
    there, size = shown.there, shown.there.shape[1]
    of_log, of_policy = np.zeros(there.shape), np.zeros(there.shape)
    of_log[there] = np.where(found >= 0, values[np.maximum(found, 0)], 0.0)
    top = rank < size
    of_policy[row[top], rank[top]] = values[top]
    spoken = np.bincount(row, minlength=len(there)) > 0
    total, brought = of_log.sum(axis=0), np.where(there, shown.reward, 0.0)[spoken].sum(axis=0)
    # Where the model expects nothing of what the log has, there is no scale: it says nothing of that position.
    factor = np.where(total * brought > 0, brought / np.where(total == 0, 1.0, total), 0.0)
    return of_log * factor, of_policy * factor


def _ranks(row: np.ndarray, score: Floats) -> np.ndarray:
    """Rank of each row among those of its request, from 0, by falling score; of equal ones the first leads."""
    order = np.lexsort((-score, row))
    first = np.searchsorted(row[order], row[order], side="left")
    rank = np.empty(len(row), dtype=np.int64)
    rank[order] = np.arange(len(row)) - first
    return rank


def _index(row: np.ndarray, item: np.ndarray, of_row: np.ndarray, of_item: np.ndarray) -> np.ndarray:
    """Which of some pairs each pair is; -1: none."""
    found = pc.index_in(_paired(row, item), value_set=_paired(of_row, of_item))
    index: np.ndarray = found.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    return index


def _paired(row: np.ndarray, item: np.ndarray) -> pa.Array:
    texts = pa.array(item, pa.string())
    return pc.binary_join_element_wise(pa.array(row).cast(pa.string()), texts, "\x1f")


def _keys(table: pa.Table) -> pa.Array:
    joined = pc.binary_join_element_wise(table["request_id"], table["item_id"], "\x1f")
    return joined.combine_chunks() if isinstance(joined, pa.ChunkedArray) else joined


def _read(folder: Path, kind: str, columns: Sequence[str]) -> pa.Table | None:
    """The lines of all files of a kind; ids become texts, columns that lines lack are null."""
    paths = sorted(folder.glob(f"{kind}-*.jsonl"))
    tables = []
    for path in paths:
        if not path.stat().st_size:
            continue
        fields = _fields(path, columns)
        options = pj.ParseOptions(explicit_schema=pa.schema(fields), unexpected_field_behavior="ignore")
        try:
            table = pj.read_json(path, read_options=pj.ReadOptions(block_size=_BLOCK), parse_options=options)
        except pa.ArrowInvalid as error:
            raise DataError(f"{path}: {error}") from error
        tables.append(pa.table({n: table[n].cast(t) for n, t in _types(columns).items()}))
    return pa.concat_tables(tables) if tables else None


def _types(columns: Sequence[str]) -> dict[str, pa.DataType]:
    return {name: _NEEDED.get(name, pa.float64() if name == "value" else pa.string()) for name in columns}


def _fields(path: Path, columns: Sequence[str]) -> list[pa.Field]:
    """How a file writes its columns: ids are texts in some logs, whole numbers in others."""
    with path.open(encoding="utf-8") as file:
        try:
            first = json.loads(file.readline())
        except ValueError as error:
            raise DataError(f"{path}: its first line is no JSON: {error}") from error
    types = _types(columns)
    return [
        pa.field(name, pa.int64() if isinstance(first.get(name), int) and kind == pa.string() else kind)
        for name, kind in types.items()
    ]
