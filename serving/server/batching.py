"""Small requests that come together are scored together, as rows of one batch."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from feature_generator.errors import DataError
from feature_generator.incoming import record
from feature_generator.json_rows import JsonRows
from serving.catalogue import gives
from serving.server.admission import late
from serving.server.by_key import keys_of
from serving.server.columns import Question, Scores, ask, ask_together
from serving.server.config import Batching
from serving.server.http import Refused
from serving.server.models import Loaded

SMALL_BYTES = 65_536
"""Larger bodies are not parsed in the event loop, so they are no part of a batch."""


class Batcher:
    """Puts the requests for one model together. Called from the event loop alone.

    Args:
        config: How many rows, how long.
        work: Answers several entries at once; gives a result or an error for each.
    """

    def __init__(self, config: Batching, work: Callable[[list[Any]], Awaitable[Sequence[Any]]]) -> None:
        self.config, self._work = config, work
        self._entries: list[tuple[Any, asyncio.Future[Any]]] = []
        self._rows = 0
        self._timer: asyncio.TimerHandle | None = None
        self._running: set[asyncio.Task[None]] = set()

    async def add(self, entry: Any, rows: int, left_s: float) -> Any:
        """The result of an entry of `rows` rows.

        Raises:
            Refused: There was none within `left_s`; the others of its batch go on.
        """
        if self._rows + rows > self.config.max_rows:
            self._flush()
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        self._entries.append((entry, future))
        self._rows += rows
        if self._rows >= self.config.max_rows:
            self._flush()
        elif self._timer is None:
            self._timer = loop.call_later(self.config.max_wait_ms / 1000.0, self._flush)
        timer = loop.call_later(max(0.0, left_s), _expire, future)
        try:
            return await future
        finally:
            timer.cancel()

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._entries:
            return
        entries, self._entries, self._rows = self._entries, [], 0
        task = asyncio.ensure_future(self._answer(entries))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _answer(self, entries: list[tuple[Any, asyncio.Future[Any]]]) -> None:
        try:
            results = await self._work([entry for entry, _ in entries])
        except Exception as error:  # noqa: BLE001 (each waiting request raises it)
            results = [error] * len(entries)
        for (_, future), result in zip(entries, results, strict=True):
            if future.done():
                continue  # the client has gone
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)


def _expire(future: asyncio.Future[Any]) -> None:
    if not future.done():
        future.set_exception(late("score"))


def ask_all(loaded: Loaded, questions: Sequence[Question]) -> list[Scores | Refused]:
    """The scores of several questions, or why one of them has none.

    Questions whose columns have the same types go together; one that is refused spoils no other.
    """
    results: list[Scores | Refused | None] = [None] * len(questions)
    named = [place for place, one in enumerate(questions) if one.count and not one.explain and keys_of(loaded, one)]
    if len(named) > 1:
        with contextlib.suppress(Refused):
            for place, scores in zip(named, ask_together(loaded, [questions[p] for p in named]), strict=True):
                results[place] = scores
    groups: dict[pa.Schema, list[tuple[int, pa.RecordBatch]]] = {}
    for place, one in enumerate(questions):
        rows = side_by_side(loaded, one) if results[place] is None else None
        if rows is not None:
            groups.setdefault(rows.schema, []).append((place, rows))
    for members in groups.values():
        if len(members) < 2:
            continue
        together = pa.Table.from_batches([rows for _, rows in members]).combine_chunks().to_batches()
        try:
            scores = ask(loaded, Question(rows=together[0] if together else members[0][1]))
        except Refused:
            continue  # each is asked alone, and the one that is to blame is told
        end = 0
        for place, rows in members:
            begin, end = end, end + rows.num_rows
            results[place] = {task: values[begin:end] for task, values in scores.items()}
    return [alone(loaded, one) if found is None else found for found, one in zip(results, questions, strict=True)]


def alone(loaded: Loaded, question: Question) -> Scores | Refused:
    """The scores of one question, or why it has none."""
    try:
        return ask(loaded, question)
    except Refused as refused:
        return refused


def side_by_side(loaded: Loaded, question: Question) -> pa.RecordBatch | None:
    """A question as rows that hold all columns; None where it is better asked alone."""
    if question.rows is not None:
        return question.rows if set(question.rows.schema.names) == loaded.columns.keys() else None
    if question.inputs is not None or not question.count or question.explain or keys_of(loaded, question) is not None:
        return None
    limits = loaded.predictor.limits
    columns: dict[str, pa.Array] = {}
    try:
        for side, data in (("item", question.items), ("user", question.user), ("context", question.context)):
            names = [name for name, own in loaded.columns.items() if own == side]
            if not names:
                continue
            rows = [data] if side != "item" and isinstance(data, Mapping) else data
            if not _has_all(rows, names):
                return None
            batch = record(rows, names)
            limits.check_count(batch.num_rows)
            limits.check(batch)
            if side != "item":
                batch = batch.take(pa.array(np.zeros(question.count, np.int64)))
            elif batch.num_rows != question.count:
                return None
            columns |= dict(zip(names, batch.columns, strict=True))
    except (DataError, pa.ArrowException, ValueError, TypeError, OverflowError):
        return None
    names = list(loaded.columns)
    return pa.RecordBatch.from_arrays([columns[name] for name in names], names) if len(columns) == len(names) else None


def _has_all(rows: Any, names: list[str]) -> bool:
    given = rows.schema.names if isinstance(rows, pa.RecordBatch) else rows
    if isinstance(rows, JsonRows):
        given = rows.names
    elif isinstance(rows, list) and rows:
        given = rows[0]
    return given is not None and all(gives(given, name) for name in names)
