"""A request in stages: with items by key, a user from the cache, a deadline between stages, or everything looked at."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from easyrec.errors import BundleError, DataError
from feature_generator import Table
from feature_generator.native import plain_print, row_prints
from serving.catalogue import Catalogue, Keys, Picked
from serving.course import Course
from serving.observed import Observer
from serving.user_cache import KnownUser

if TYPE_CHECKING:
    from serving.predictor import Predictor


@dataclass
class Staged:
    """A request that was answered.

    Attributes:
        scores: By task.
        user: What the request has once.
        batches: By side, raw columns that came with it.
        table: The candidates' features; None where they were not needed.
        keys: What named the candidates, or None.
        missing: By raw column, values that were not given.
        unknown: By feature, values outside of its vocabulary or range.
    """

    scores: dict[str, np.ndarray]
    user: KnownUser
    batches: Mapping[str, pa.RecordBatch | None]
    table: Table | None
    keys: Keys | None
    missing: Mapping[str, int]
    unknown: Mapping[str, int]


@dataclass
class _Candidates:
    count: int
    batch: pa.RecordBatch | None
    rows: Any
    observer: Observer
    picked: Picked | None = None
    keys: Keys | None = None

    @property
    def features_of(self) -> Any:
        """What features are made of: rows, or items that were computed ahead."""
        return self.rows if self.picked is None else self.picked.items()


class Stages:
    """The way of a request through a predictor and its caches.

    Args:
        predictor: The predictor.
    """

    def __init__(self, predictor: Predictor) -> None:
        self._predictor, self._secret = predictor, secrets.token_bytes(16)
        nodes = predictor.generator.stages.user.program.nodes
        user = {node.name for node in nodes if node is not None}
        self._of_user = Observer(predictor.generator, only=user)
        self._of_items = Observer(predictor.generator, only=predictor.generator.outputs.keys() - user)

    def answer(self, user: Any, items: Any, context: Any, course: Course, *, whole: bool = False) -> Staged:
        """Score candidates.

        Args:
            user: As `Predictor.predict` takes it.
            items: As there, or by key where the predictor has a catalogue.
            context: As there.
            course: Takes the times, and ends it where its deadline passes.
            whole: Make the features of all candidates, those of the request beside them.

        Raises:
            DataError: As there.
            DeadlineError: The deadline passed.
        """
        predictor = self._predictor
        split = predictor._open()[2]
        try:
            candidates = self._candidates(items)
            course.passed("items")
            known, batches = self._user(user, context, course, whole)
            course.passed("user")
            table, picked = None, candidates.picked
            tiled = whole or split is None or split.tiled
            if whole or split is None or not candidates.count or picked is None or not picked.is_ahead:
                table = known.request.score_items(candidates.features_of, tile=tiled)
            course.passed("features")
        except DataError:
            predictor._counters.refused()
            raise
        if split is None or not candidates.count:
            assert table is not None
            scores = predictor._score(table)
        else:
            inputs = self._inputs(split, known, picked, table)
            course.passed("lookup")
            layers = picked.layers if picked is not None else None
            run = split.run if layers is None else layers.run
            scores = predictor._scoring(run(inputs))
        course.passed("program")
        missing, unknown = self._count(candidates, known, table, tiled=tiled)
        batches["item"] = candidates.batch
        return Staged(scores, known, batches, table, candidates.keys, missing, unknown)

    def features(self, user: Any, items: Any, context: Any) -> Table:
        """As `Predictor.features`, of candidates that may come by key. Nothing is counted.

        Raises:
            DataError: As there.
        """
        candidates = self._candidates(items)
        known, _ = self._user(user, context, Course(), whole=False)
        return known.request.score_items(candidates.features_of, tile=True)

    def together(self, asked: Sequence[tuple[Any, Any, Any]]) -> list[dict[str, np.ndarray]]:
        """Score several requests, each of user, items and context, as rows of one batch.

        Raises:
            DataError: As in `answer`, of any of them; then nothing is counted.
        """
        found = []
        for user, items, context in asked:
            candidates = self._candidates(items)
            known, _ = self._user(user, context, Course(), whole=False)
            found.append((candidates, known, known.request.score_items(candidates.features_of, tile=True)))
        scores = self._predictor._score(Table.concat([table for _, _, table in found]))
        answers, end = [], 0
        for candidates, known, table in found:
            begin, end = end, end + table.num_rows
            answers.append({task: values[begin:end] for task, values in scores.items()})
            self._count(candidates, known, table, tiled=True)
        return answers

    # ------------------------------------------------------------------------------------------------ parts

    def _candidates(self, items: Any) -> _Candidates:
        predictor, catalogue = self._predictor, self._predictor.catalogue
        keys = None if catalogue is None else catalogue.keys_in(items)
        if keys is None or catalogue is None:
            if isinstance(items, Keys):
                raise DataError("items were named by their keys, but the predictor has no catalogue")
            batch = predictor._candidates(items)
            count = len(items) if batch is None else batch.num_rows
            cache = predictor.item_cache
            rows: Any = [{}] * count if batch is None else batch
            if cache is not None and batch is not None:
                rows = cache.items(batch)
            return _Candidates(count, batch, rows, self._of_items)
        predictor.limits.check_count(len(keys))
        asked = self._asked(catalogue, keys)
        # What the catalogue holds was counted when it came in.
        return _Candidates(len(keys), asked, None, catalogue.observer, catalogue.pick(keys, asked), keys)

    def _asked(self, catalogue: Catalogue, keys: Keys) -> pa.RecordBatch | None:
        """The columns that come with a request that names its candidates."""
        if not catalogue.asked:
            return None
        if keys.given is None and len(keys):
            text = f"comes with each request, beside the key '{catalogue.key}', but only keys were given"
            raise DataError(text, column=catalogue.asked[0])
        return self._predictor._batch([] if keys.given is None else keys.given, list(catalogue.asked))

    def _user(
        self, user: Any, context: Any, course: Course, whole: bool
    ) -> tuple[KnownUser, dict[str, pa.RecordBatch | None]]:
        predictor, cache = self._predictor, self._predictor.user_cache
        batches: dict[str, pa.RecordBatch | None] = {}

        def read() -> None:
            batches["user"] = predictor._one_row(user, "user")
            batches["context"] = predictor._one_row(context, "context")

        def make() -> KnownUser:
            if not batches:
                read()
            given = [batch for batch in batches.values() if batch is not None]
            request = predictor.generator.request(batches["user"], batches["context"], bad_rows=predictor.bad_values)
            split = predictor._open()[2]
            inputs = None if split is None else split.of_user(request.user)
            counts = self._of_user.count(given, [request.user])
            return KnownUser(request, inputs, *counts, tuple(bad.column for bad in request.user.bad))

        if cache is None:
            return make(), batches
        content = plain_print((user, context), self._secret)
        if content is None:  # not as JSON gives it: it is compared as columns
            read()
            prints = [row_prints(batch, self._secret) for batch in batches.values() if batch is not None]
            content = b"".join(one.tobytes() for one in prints)
        key = _key_of(user, cache.key, batches.get("user"))
        known = cache.get(content if key is None else key, content, make, course.left_s)
        if whole and not batches:
            read()
        return known, batches

    def _inputs(self, split: Any, known: KnownUser, picked: Picked | None, table: Table | None) -> dict[str, Any]:
        try:
            of_items = picked.inputs() if picked is not None and picked.is_ahead else split.of_items(table)
            return {**(known.inputs or {}), **of_items}
        except (LookupError, AssertionError) as error:
            path = self._predictor.bundle.path
            raise BundleError(f"{path}: its tables are not those of its generator: {error}") from error

    def _count(
        self, candidates: _Candidates, known: KnownUser, table: Table | None, *, tiled: bool
    ) -> tuple[Counter[str], Counter[str]]:
        given = [] if candidates.batch is None else [candidates.batch]
        missing, unknown, bad = Counter(known.missing), Counter(known.unknown), list(known.bad)
        counts = candidates.observer.count(given, [] if table is None else [table])
        missing.update(counts[0])
        unknown.update(counts[1])
        if table is not None:
            beside = len(known.bad) if tiled else 0  # the request's own stand before those of items
            bad += [one.column for one in table.bad[beside:]]
        totals = {"requests": 1, "items": candidates.count}
        self._predictor._counters.answered(totals, missing, unknown, bad)
        return missing, unknown


def _key_of(user: Any, column: str | None, batch: pa.RecordBatch | None) -> Any:
    """A user's own key, in whatever form the user comes; None where it has none."""
    if column is None:
        return None
    if isinstance(user, Mapping):
        value = user.get(column)
        value = value[0] if isinstance(value, list | tuple | np.ndarray | pa.Array) and len(value) == 1 else value
    else:
        value = batch.column(column)[0] if batch is not None and column in batch.schema.names else None
    value = value.as_py() if isinstance(value, pa.Scalar) else value
    return str(value) if isinstance(value, str | int | np.integer) else None
