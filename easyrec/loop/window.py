"""Which samples are learned next: each once, in the order in which they were made; the newest are held out."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from easyrec.durable import sync
from easyrec.errors import DataError, RunError
from easyrec.loop.config import LoopConfig
from easyrec.loop.joining import JOINED
from easyrec.loop.versions import Versions, read_manifest
from easyrec.store.samples import CORRECTION

ROWS, HELD, REPLAY = "rows.parquet", "held.parquet", "replay.parquet"
PART = re.compile(r"^part-[0-9a-f]+-(\d+)\.parquet$")
TIME = "time"


@dataclass(frozen=True)
class Part:
    """A file of samples.

    Attributes:
        path: Where it lies.
        step: The joiner's step that wrote it.
        rows: How many there are.
        oldest, newest: Times of the exposures, in milliseconds.
    """

    path: Path
    step: int
    rows: int
    oldest: int
    newest: int


@dataclass(frozen=True)
class Window:
    """Samples that may be learned next.

    Attributes:
        first, until: Steps of the joiner: from the first one on, before the other.
        parts: Their files.
        left: Files of versions before, whose rows are still to be learned.
        rows: How many there are in all.
        since: What was the newest time before, None where there was none.
        newest: The newest time now.
        more: Whether further samples wait behind these.
        samples: How many were taken by all versions, with these.
    """

    first: int
    until: int
    parts: Sequence[Part]
    left: Sequence[Path]
    rows: int
    since: int | None
    newest: int
    more: bool = False
    samples: int = 0


def window_of(loop: LoopConfig, versions: Versions) -> Window | None:
    """The samples that no version has learned; None where there are none.

    Raises:
        RunError: What the joiner says of them is damaged.
        DataError: A file of them is.
    """
    joined = read_manifest(Path(loop.samples) / JOINED)
    newest = versions.newest
    plan = {} if newest is None else versions.read(newest, "plan") or {}
    back = newest is not None and versions.is_rolled_back(newest)  # then there may be more than is told
    if joined is None or not (back or may_be_due(loop, joined, plan)):
        return None
    first = int(plan.get("until", 0))
    left = _left(loop, versions)
    rows, parts, until, more = sum(pq.read_metadata(path).num_rows for path in left), [], first, False
    for part in parts_from(Path(loop.samples), first, int(joined["steps"])):
        if rows >= loop.train.max_rows and part.step >= until:
            more = True
            break
        parts.append(part)
        rows += part.rows
        until = part.step + 1  # all parts of a step go together
    if not more:
        until = int(joined["steps"])
    if not rows:
        return None
    taken = int(plan.get("samples", 0)) + sum(part.rows for part in parts)
    since = plan.get("newest")
    latest = max([part.newest for part in parts], default=since if since is not None else 0)
    return Window(first, until, parts, left, rows, since, latest, more, taken)


def may_be_due(loop: LoopConfig, joined: Mapping[str, Any], plan: Mapping[str, Any]) -> bool:
    """Whether it is worth while to look at the samples: what the joiner tells may rule out that a version is due.

    Args:
        loop: The loop.
        joined: What the joiner tells.
        plan: Of the newest version; empty where there is none.
    """
    if int(joined["steps"]) <= int(plan.get("until", 0)):
        return False
    if plan.get("newest") is None:
        return True
    train = loop.train
    in_time = train.every is not None and joined["watermark"] / 1e3 - plan["newest"] >= train.every * 1e3
    enough = min(train.every_rows or train.max_rows, train.max_rows)
    return bool(in_time or samples_of(joined) - int(plan.get("samples", 0)) + plan.get("held", 0) >= enough)


def samples_of(joined: Mapping[str, Any]) -> int:
    """How many rows of samples were written."""
    counts = joined.get("counts") or {}
    return int(counts.get("samples", 0)) + int(counts.get("corrections", 0))


def is_due(loop: LoopConfig, window: Window) -> bool:
    """Whether there is enough in a window to train a version."""
    train = loop.train
    if window.rows < train.min_rows or not window.parts:
        return False
    if window.more or (train.every_rows is not None and window.rows >= train.every_rows):
        return True
    since = min(part.oldest for part in window.parts) if window.since is None else window.since
    return train.every is not None and window.newest - since >= train.every * 1e3


def parts_from(folder: Path, first: int, until: int) -> list[Part]:
    """Files of samples from a step of the joiner on, and before another one, by step."""
    found = []
    for path in folder.rglob("part-*.parquet"):
        form = PART.match(path.name)
        if form is not None and first <= int(form[1]) < until:
            found.append((int(form[1]), str(path)))
    return [_part(path, step) for step, path in sorted(found)]


@lru_cache(maxsize=65_536)
def _part(path: str, step: int) -> Part:
    try:
        meta = pq.read_metadata(path)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"is no readable parquet file: {str(error).splitlines()[0]}", file=path) from None
    place = meta.schema.to_arrow_schema().get_field_index(TIME)
    if place < 0:
        raise DataError("has no column of the exposures' times", column=TIME, file=path)
    known = [meta.row_group(index).column(place).statistics for index in range(meta.num_row_groups)]
    times = [(one.min, one.max) for one in known if one is not None and one.has_min_max]
    if len(times) < len(known):
        column = pq.read_table(path, columns=[TIME])[TIME]
        times = [(pc.min(column).as_py(), pc.max(column).as_py())]
    oldest = min((low for low, _ in times), default=0)
    return Part(Path(path), step, meta.num_rows, oldest, max((high for _, high in times), default=0))


def _left(loop: LoopConfig, versions: Versions) -> list[Path]:
    """Rows of versions before that are to be learned yet: those that the newest one was measured on, and what it lost."""
    newest = versions.newest
    if newest is None:
        return []
    found = []
    gate = versions.read(newest, "gate")
    again = loop.gate.refused == "again" and gate is not None and not gate["passed"]
    back = [one for one in versions.rollbacks if one["relearn"] and one["to"] < newest <= one["last"]]
    if back:
        first = min(one["to"] for one in back)
        learned = (n for n in versions if first < n <= newest and versions.read(n, "plan"))
        found += [versions.at(n) / ROWS for n in learned if versions.passed(n) or n == newest]
    elif again:
        found.append(versions.at(newest) / ROWS)
    return [path for path in (*found, versions.at(newest) / HELD) if path.exists()]


# ------------------------------------------------------------------------------------------------ rows


def write_window(loop: LoopConfig, window: Window, folder: Path, label: str | None) -> dict[str, Any] | None:
    """Write the rows of a window, those to learn and those to measure on.

    Args:
        loop: The loop.
        window: What is taken.
        folder: Of the version.
        label: Of which the rows to measure on must have several values, where a measure needs them.

    Returns:
        How many there are, times and digests; None where there are too few to measure on.
    """
    rows = _read([*window.left, *(part.path for part in window.parts)])
    rows = _last_of_each(rows, loop)
    if loop.train.where == "positive" and label is not None:
        rows = rows.filter(pc.greater(rows[label], 0))
    if rows.num_rows < 2:
        return None
    rows = rows.take(pc.sort_indices(rows, [(TIME, "ascending"), *_ties(rows)]))
    cut = _cut(rows[TIME].to_numpy(), loop.gate.share)
    learned, held = rows.slice(0, cut), rows.slice(cut)
    several = loop.train.where == "all" and label is not None
    if not cut or (several and pc.count_distinct(held[label]).as_py() < 2):
        return None
    told: dict[str, Any] = {"learned": learned.num_rows, "held": held.num_rows, "replayed": 0, "digests": {}}
    told["trained_until"] = int(pc.max(learned[TIME]).as_py())
    told["newest"] = max(int(pc.max(held[TIME]).as_py()), window.newest)
    made = {ROWS: learned, HELD: held}
    if loop.train.replay is not None:
        again = _replayed(loop, window, round(loop.train.replay.share * cut), label)
        if again is not None and again.num_rows:
            made[REPLAY], told["replayed"] = again, again.num_rows
    for name, table in made.items():
        told["digests"][name] = _write(folder / name, table)
    return told


def _cut(times: np.ndarray, share: float) -> int:
    """Where the newest share begins; rows of one time stay together."""
    cut = int(np.ceil(len(times) * (1.0 - share)))
    return int(np.searchsorted(times, times[min(cut, len(times) - 1)]))


def _ties(rows: pa.Table) -> Iterator[tuple[str, str]]:
    """What orders rows of one time, so that the same rows always come in the same order."""
    return ((name, "ascending") for name in ("event_id",) if name in rows.column_names)


def _read(paths: Sequence[Path]) -> pa.Table:
    try:
        return pa.concat_tables([pq.read_table(path, partitioning=None) for path in paths], promote_options="default")
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"samples cannot be read: {str(error).splitlines()[0]}") from None


def _last_of_each(rows: pa.Table, loop: LoopConfig) -> pa.Table:
    """Without the rows in whose place others have come."""
    if CORRECTION not in rows.column_names or not pc.any(rows[CORRECTION]).as_py():
        return rows
    keys = ["event_id"] if "event_id" in rows.column_names else list(loop.join.keys if loop.join else [])
    numbered = rows.select(keys).append_column("__at", pa.array(np.arange(rows.num_rows)))
    last = numbered.group_by(keys).aggregate([("__at", "max")])["__at_max"]
    return rows.take(pa.array(np.sort(last.to_numpy())))


def _replayed(loop: LoopConfig, window: Window, wanted: int, label: str | None) -> pa.Table | None:
    """Older samples, drawn at random; the same ones when it is done again."""
    replay = loop.train.replay
    assert replay is not None
    oldest = window.newest - replay.age * 1e3
    parts = [part for part in parts_from(Path(loop.samples), 0, window.first) if part.newest >= oldest]
    if not parts or not wanted:
        return None
    random = np.random.default_rng([window.first, window.until])
    total = sum(part.rows for part in parts)
    counts = random.multivariate_hypergeometric([part.rows for part in parts], min(wanted, total))
    found = []
    for part, count in zip(parts, counts, strict=True):
        if count:
            table = pq.read_table(part.path, partitioning=None)
            found.append(table.take(np.sort(random.choice(part.rows, count, replace=False))))
    rows = pa.concat_tables(found, promote_options="default")
    if loop.train.where == "positive" and label is not None:
        rows = rows.filter(pc.greater(rows[label], 0))
    return rows


def _write(path: Path, table: pa.Table) -> str:
    """Write rows, all of them or nothing; gives their digest."""
    partial = path.with_name(f".{path.name}.writing")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table.combine_chunks(), partial, compression="zstd", row_group_size=1 << 16)
        sync(partial)
        partial.replace(path)
        sync(path.parent)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise RunError(f"cannot write {path}: {error.strerror or error}") from error
    return digest(path)


def digest(path: Path) -> str:
    """Of a file."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            found.update(piece)
    return found.hexdigest()


def forget(loop: LoopConfig, versions: Versions) -> int:
    """Remove files of samples that are older than they are kept, and that a version has learned; gives how many."""
    newest = versions.newest
    plan = {} if newest is None else versions.read(newest, "plan") or {}
    if loop.keep_samples is None or plan.get("newest") is None:
        return 0
    old = [
        part
        for part in parts_from(Path(loop.samples), 0, int(plan["until"]))
        if part.newest < plan["newest"] - loop.keep_samples * 1e3
    ]
    for part in old:
        part.path.unlink(missing_ok=True)
        for folder in list(part.path.parents)[:2]:
            if folder != Path(loop.samples) and folder.is_relative_to(loop.samples) and not any(folder.iterdir()):
                folder.rmdir()
    return len(old)


def check(folder: Path, digests: Mapping[str, str]) -> None:
    """Look whether the rows of a version are those that were planned.

    Raises:
        DataError: They are not.
    """
    for name, wanted in digests.items():
        path = folder / name
        if not path.exists() or digest(path) != wanted:
            raise DataError("is not what the version's plan says: it was changed or removed", file=str(path))
