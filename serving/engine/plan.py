"""`Plan`: a scene compiled over a catalogue, and the way of a request through its stages."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from easyrec.errors import DataError, DeadlineError
from feature_generator.errors import FeatureGeneratorError, Problem
from serving.engine import filters, recall, rerank
from serving.engine.ask import Ask
from serving.engine.config import SceneConfig
from serving.engine.lanes import Lane, Pending
from serving.engine.listed import Listed, reasons_of
from serving.engine.merge import Candidates, best_with_quotas, merge, scratch
from serving.engine.recall import NOTHING, Found, Recall
from serving.engine.rows import Ints, Mask, Rows
from serving.engine.scoring import Scorer
from serving.engine.world import World
from serving.server.events import tell
from serving.server.http import Refused

if TYPE_CHECKING:
    from serving.engine.trace import Trace

RESERVE_S = 0.003
"""Of a request's time that is left for putting the answer together."""
SHARE = 0.3
"""Of a scene's time that a source has by default."""
AGAIN_S = 10.0
"""After which a source is made again that could not be."""
MARGIN = 10
"""Items beyond a list's size that stages of re-ranking order too, for those that come after them."""


@dataclass
class _Source:
    """A source as a plan holds it; `recall` is None where it could not be made."""

    config: recall.RecallConfig
    number: int
    recall: Recall | None
    tried: float
    lane: Lane | None


class Plan:
    """A scene over a catalogue. Requests of many threads go through it; what it is made of changes in one thread.

    Args:
        scene: The scene.
        world: What all requests share.
        rows: The catalogue.
        strict: Whether a source that cannot be made is an error; else it is left out, and tried again.

    Raises:
        DataError: A stage cannot be made over this catalogue.
    """

    def __init__(self, scene: SceneConfig, world: World, rows: Rows, *, strict: bool = False) -> None:
        self.scene, self.world, self.rows = scene, world, rows
        self.filters = []
        for config in scene.filters:
            with _asked_by(scene, "filters", config.called):
                self.filters.append(filters.build(config, world, rows))
        self._versions = tuple(one.version for one in self.filters)
        self.allowed = self._mask()
        self._filtered_by = (*(one.model_dump_json() for one in scene.filters), self._versions)
        self.sources: list[_Source] = []
        for number, asked in enumerate(scene.sources()):
            lane = world.shared(("lane", scene.name, asked.called), Lane, asked.called, asked.threads)
            source = _Source(asked, number, None, 0.0, lane if asked.aside else None)
            self.sources.append(source)
            if asked.count:
                with _asked_by(scene, "recall", asked.called):
                    self._make(source, strict=strict)
        self.numbers = {source.config.called: source.number for source in self.sources}
        self._templates = [
            s.config.reason or (s.recall.why if s.recall is not None else Recall.why) for s in self.sources
        ]
        self._sets: dict[int, list[str]] = {}
        self.prerank = None if scene.prerank is None else Scorer(scene.prerank, world, rows, "prerank")
        self.rank = None if scene.rank is None else Scorer(scene.rank, world, rows, "rank")
        self.reranks = []
        for config in scene.rerank:
            with _asked_by(scene, "rerank", config.called):
                self.reranks.append(rerank.build(config, world, rows, self.numbers))
        self._seen = any("shown" in getattr(config, "what", ()) for config in scene.filters)

    # -------------------------------------------------------------------------------------------- upkeep

    def _mask(self) -> Mask:
        allowed = np.ones(len(self.rows), bool)
        for one in self.filters:
            mask = one.everywhere()
            if mask is not None:
                allowed &= mask
        return allowed

    def _make(self, source: _Source, *, strict: bool = False) -> None:
        source.tried = time.monotonic()
        try:
            source.recall = recall.build(source.config, self.world, self.rows, self.allowed, self._filtered_by)
        except Exception as error:
            if strict:
                raise
            scene, name = self.scene.name, source.config.called
            odd = None if isinstance(error, FeatureGeneratorError | OSError) else error
            tell(
                logging.ERROR,
                "a source of candidates cannot be made yet",
                odd,
                scene=scene,
                source=name,
                why=str(error),
            )

    def refresh(self) -> bool:
        """Follow what has changed; whether the plan has to be made anew for that."""
        for one in self.filters:
            one.refresh()
        if self._versions != tuple(one.version for one in self.filters):
            return True
        for source in self.sources:
            if source.recall is not None:
                self._refresh(source.recall, source.config.called)
            elif source.config.count and time.monotonic() - source.tried > AGAIN_S:
                self._make(source)
                if source.recall is not None:
                    self._templates[source.number] = source.config.reason or source.recall.why
        for scorer in (self.prerank, self.rank):
            if scorer is not None:
                self._refresh(scorer, scorer.stage)
        for stage in self.reranks:
            self._refresh(stage, f"rerank.{stage.config.called}")
        return False

    def _refresh(self, stage: Any, name: str) -> None:
        try:
            stage.refresh()
        except Exception as error:  # noqa: BLE001 (the process edge: what it had goes on)
            tell(logging.ERROR, "a stage could not be refreshed", error, scene=self.scene.name, stage=name)

    def names_of_bits(self, bits: int) -> list[str]:
        """Names of sources."""
        found = self._sets.get(bits)
        if found is None:
            found = [source.config.called for source in self.sources if bits >> source.number & 1]
            if len(self._sets) < 10_000:
                self._sets[bits] = found
        return found

    # -------------------------------------------------------------------------------------------- requests

    def run(self, ask: Ask, trace: Trace | None = None) -> Listed:
        """A list for a request; whatever fails or takes too long is left out.

        Args:
            ask: The request.
            trace: Takes what each stage did.
        """
        scene, marks = self.scene, _Marks()
        found = self._recall(ask, marks)
        weights = [source.config.weight for source in self.sources]
        every = sum(len(one.rows) for one in found)
        candidates = merge(found, list(self.numbers), weights, scene.merge.quotas, scene.merge.count, len(self.rows))
        marks.passed("merge", every, len(candidates))
        if trace is not None:
            trace.recalled(found, candidates)
        ask.best = candidates.rows
        candidates = self._filtered(ask, candidates, marks, trace)
        ask.best = candidates.rows
        size = ask.question.size or scene.size
        page = ask.question.page
        wanted = size if self._seen else size * (page + 1)  # what was shown on earlier pages is filtered out already
        if self.prerank is not None and scene.prerank is not None:
            quotas = {self.numbers[name]: quota for name, quota in scene.prerank.quotas.items()}
            before = len(candidates)
            candidates = self._scored(ask, self.prerank, candidates)
            keep = best_with_quotas(candidates.scores, candidates.sources, quotas, scene.prerank.count)
            candidates = candidates.take(keep)
            marks.passed("prerank", before, len(candidates))
            if trace is not None:
                trace.stage("prerank", candidates)
            ask.best = candidates.rows
        if self.rank is not None:
            before = len(candidates)
            candidates = self._scored(ask, self.rank, candidates)
            candidates = candidates.take(np.argsort(-np.nan_to_num(candidates.scores, nan=-np.inf), kind="stable"))
            marks.passed("rank", before, len(candidates))
            if trace is not None:
                trace.stage("rank", candidates)
            ask.best = candidates.rows
        for stage in self.reranks:
            name = stage.config.called
            try:
                # A copy: a stage of anybody's may change what it is given, and fail then.
                candidates = _whole(stage.rerank(ask, candidates.copy(), wanted + MARGIN), candidates, len(self.rows))
            except Exception as error:  # noqa: BLE001 (a request always answers: the order stays as it was)
                _failed(ask, f"rerank.{name}", error)
            marks.passed(f"rerank.{name}", len(candidates), len(candidates))
            if trace is not None:
                trace.stage(f"rerank.{name}", candidates)
        candidates = self._filled(ask, candidates.take(np.arange(min(wanted, len(candidates)))), wanted)
        start = wanted - size
        candidates = candidates.take(np.arange(min(start, len(candidates)), len(candidates)))
        reasons = reasons_of(candidates.rows, found, self._templates, self.rows, self.world.config.catalogue.title)
        reasons = [reason or "popular now" for reason in reasons]
        marks.passed("answer", wanted, len(candidates))
        listed = Listed(ask, self, candidates, reasons, marks.times, marks.counts, tuple(ask.degraded), page * size)
        if trace is not None:
            trace.ended(listed)
        return listed

    def fall_back(self, ask: Ask, why: str) -> Listed:
        """A list without any stage that takes time: what the stages had come to, filled with what is popular."""
        ask.hurried = True
        degraded = [*ask.degraded, why]
        size = ask.question.size or self.scene.size
        known = ask.best is not None and ask.rows is self.rows  # else its numbers are those of another catalogue
        best = ask.best if known and ask.best is not None else np.zeros(0, np.int64)
        rows = best[:size]
        zeros = np.zeros(len(rows), np.int64)
        candidates = Candidates(rows, zeros, zeros.astype(np.float64))
        candidates = self._filled(ask, candidates, size, known=True)
        return Listed(
            ask,
            self,
            candidates,
            ["popular now"] * len(candidates),
            {},
            {},
            tuple(degraded),
            ask.question.page * size,
        )

    def _recall(self, ask: Ask, marks: _Marks) -> list[Found]:
        """What the sources give; those that may have to wait run in threads meanwhile."""
        begun = time.perf_counter()
        pending: list[tuple[_Source, Pending[Found] | None, float]] = []
        found = [NOTHING] * len(self.sources)
        for source in self.sources:
            if source.lane is not None and source.recall is not None and source.config.count:
                ms = source.config.deadline_ms or SHARE * self.scene.deadline_ms
                until = min(begun + ms / 1000.0, ask.deadline - RESERVE_S)
                made, count = source.recall, source.config.count
                work = source.lane.begin(lambda made=made, count=count: made.recall(ask, count))  # type: ignore[misc]
                pending.append((source, work, until))
            elif source.recall is None and source.config.count:
                ask.degraded.append(f"recall.{source.config.called}: not ready")
        for source in self.sources:
            if source.lane is None and source.recall is not None and source.config.count:
                began = time.perf_counter()
                try:
                    found[source.number] = _sound(source.recall.recall(ask, source.config.count), len(self.rows))
                except Exception as error:  # noqa: BLE001 (a request always answers: the other sources are there)
                    _failed(ask, f"recall.{source.config.called}", error)
                marks.source(source.config.called, time.perf_counter() - began, len(found[source.number].rows))
        for source, work, until in pending:
            name = source.config.called
            assert source.lane is not None
            if work is None:
                ask.degraded.append(f"recall.{name}: not asked")
                continue
            try:
                found[source.number] = _sound(work.wait(until), len(self.rows))
                source.lane.breaker.succeeded()
            except TimeoutError:
                source.lane.breaker.failed()
                ask.degraded.append(f"recall.{name}: deadline")
            except Exception as error:  # noqa: BLE001 (as above)
                source.lane.breaker.failed()
                _failed(ask, f"recall.{name}", error)
            marks.source(name, work.seconds, len(found[source.number].rows))
        marks.passed("recall", 0, sum(len(one.rows) for one in found))
        return found

    def _filtered(self, ask: Ask, candidates: Candidates, marks: _Marks, trace: Trace | None) -> Candidates:
        before = len(candidates)
        kept = self.allowed[candidates.rows]
        if trace is not None:
            for one in self.filters:
                mask = one.everywhere()
                if mask is not None:
                    trace.filtered(one.config.called, candidates.rows[~mask[candidates.rows]])
        for one in self.filters:
            mask = self._keeps(one, ask, candidates.rows)
            if mask is not None:
                if trace is not None:
                    trace.filtered(one.config.called, candidates.rows[~mask])
                kept = kept & mask
        candidates = candidates.take(kept)
        marks.passed("filters", before, len(candidates))
        return candidates

    def _keeps(self, one: filters.Filter, ask: Ask, items: Ints) -> Mask | None:
        """What a filter keeps; where it fails nothing passes, unless it may be given up."""
        try:
            mask = one.keeps(ask, items)
            if mask is not None and len(mask) != len(items):
                raise ValueError(f"{len(mask)} of {len(items)} items were told of")
            return mask
        except Exception as error:  # noqa: BLE001 (a request always answers, with what is allowed for certain)
            _failed(ask, f"filters.{one.config.called}", error)
            return None if one.config.soft else np.zeros(len(items), bool)

    def _scored(self, ask: Ask, scorer: Scorer, candidates: Candidates) -> Candidates:
        """The candidates with scores of a model; as they were where it fails or takes too long."""
        now = time.perf_counter()
        until = ask.deadline - RESERVE_S
        if scorer.config.deadline_ms is not None:
            until = min(until, now + scorer.config.deadline_ms / 1000.0)
        if until <= now:
            ask.degraded.append(f"{scorer.stage}: deadline")
            return candidates
        if not len(candidates):
            return candidates
        try:
            scores, tasks = scorer.score(ask, candidates.rows, until)
        except Exception as error:  # noqa: BLE001 (a request always answers: the order stays as it was)
            _failed(ask, scorer.stage, error)
            return candidates
        kept = {f"{scorer.stage}.{name}": values for name, values in tasks.items()}
        return Candidates(
            candidates.rows,
            candidates.sources,
            scores,
            candidates.tasks | kept,
            candidates.propensity,
            candidates.notes,
        )

    def raw(self, ask: Ask, items: Ints) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """What the ranking model read: columns of the user and the context, and those of each item."""
        config = self.scene.rank or self.scene.prerank
        if config is None:
            return {}, [{}] * len(items)
        loaded = self.world.models.get(config.model).main.current
        if loaded is None:
            return {}, [{}] * len(items)
        sides: dict[str, list[str]] = {"user": [], "item": [], "context": []}
        for name, side in loaded.columns.items():
            sides[side].append(name)
        once: dict[str, Any] = {}
        for side in ("user", "context"):
            if sides[side]:
                once |= ask.batch(side, sides[side]).to_pylist()[0]
        held = [n for n in sides["item"] if n in self.rows.table.column_names and n not in config.columns]
        constants = {name: value for name, value in config.columns.items() if name in sides["item"]}
        each = self.rows.batch(items, held).to_pylist() if held else [{} for _ in items]
        return once, [row | constants for row in each]

    # ------------------------------------------------------------------------------------------- fallback

    def _filled(self, ask: Ask, candidates: Candidates, size: int, *, known: bool = False) -> Candidates:
        """At least `size` candidates where the catalogue has as many: popular ones behind those that there are.

        Args:
            ask: The request.
            candidates: What there is.
            size: How many are wanted.
            known: Whether only what is known of the user already may be looked at.
        """
        lacking = size - len(candidates)
        if lacking <= 0:
            return candidates
        number, order = self._order()
        order = order[: 20 * size + 1000]
        order = order[~np.isin(order, candidates.rows)]
        hard, soft = np.ones(len(order), bool), np.ones(len(order), bool)
        for one in self.filters:
            if known and one.config.soft and not ask.knows_past:
                continue
            mask = self._keeps(one, ask, order)
            if mask is not None and one.config.soft:
                soft &= mask
            elif mask is not None:
                hard &= mask
        more = order[hard & soft][:lacking]
        if len(more) < lacking:
            rest = order[hard & ~soft][: lacking - len(more)]
            if len(rest):
                ask.degraded.append("filters: items that were seen fill the list")
            more = np.concatenate([more, rest])
        bits = 0 if number is None else 1 << number
        low = float(np.nanmin(candidates.scores)) if len(candidates) else 0.0
        added = len(more)
        return Candidates(
            np.concatenate([candidates.rows, more]),
            np.concatenate([candidates.sources, np.full(added, bits, np.int64)]),
            np.concatenate([candidates.scores, np.full(added, min(0.0, low))]),
            {
                name: np.concatenate([values, np.full((added, *values.shape[1:]), np.nan, values.dtype)])
                for name, values in candidates.tasks.items()
            },
            None if candidates.propensity is None else np.concatenate([candidates.propensity, np.ones(added)]),
            {name: np.concatenate([v, np.zeros(added, v.dtype)]) for name, v in candidates.notes.items()},
        )

    def _order(self) -> tuple[int | None, Ints]:
        """The source that fills lists, and all it has; the catalogue in its order where there is none."""
        name = self.scene.falls_back_on
        source = None if name is None else self.sources[self.numbers[name]]
        if source is not None and source.recall is not None:
            rows = source.recall.everything()
            if len(rows):
                return source.number, rows
        return None, np.flatnonzero(self.allowed)


class _Marks:
    """Times and counts by stage."""

    def __init__(self) -> None:
        self._last = time.perf_counter()
        self.times: dict[str, float] = {}
        self.counts: dict[str, tuple[int, int]] = {}

    def passed(self, stage: str, before: int, after: int) -> None:
        """A stage has ended."""
        now = time.perf_counter()
        self.times[stage], self._last = now - self._last, now
        self.counts[stage] = (before, after)

    def source(self, name: str, seconds: float, count: int) -> None:
        """A source has answered."""
        self.times[f"recall.{name}"] = seconds
        self.counts[f"recall.{name}"] = (0, count)


def _sound(found: Found, items: int) -> Found:
    """What a source of anybody's gave, without items that the catalogue lacks: `Rows.find` tells -1 of these.

    Raises:
        TypeError: It is no `Found` of whole numbers.
        ValueError: Its arrays are not of one length, or it has numbers of no items.
    """
    rows = found.rows if isinstance(found, Found) else None
    if not isinstance(rows, np.ndarray) or rows.dtype.kind != "i":
        raise TypeError("a source must give `Found`, with an array of whole numbers of items")
    beside = (found.scores, found.because, found.groups)
    if any(one is not None and len(one) != len(rows) for one in beside):
        raise ValueError("what a source gives must be arrays of one length")
    if not len(rows) or (rows.min() >= 0 and rows.max() < items):
        return found
    if rows.min() < -1 or rows.max() >= items:
        raise ValueError(f"a source gave numbers of items that there are not: {items} there are")
    known = rows >= 0
    scores = None if found.scores is None else found.scores[known]
    because = None if found.because is None else found.because[known]
    groups = None if found.groups is None else found.groups[known]
    return Found(rows[known], scores, because, groups, found.names)


def _whole(candidates: Candidates, given: Candidates, items: int) -> Candidates:
    """What a stage of anybody's gave.

    Raises:
        TypeError: It is none.
        ValueError: Its arrays are not of one length, or it holds what the stage was not given, or something twice.
    """
    if not isinstance(candidates, Candidates):
        raise TypeError("a stage of re-ranking must give `Candidates`")
    beside = (candidates.sources, candidates.scores, candidates.propensity, *candidates.tasks.values())
    if any(one is not None and len(one) != len(candidates) for one in beside):
        raise ValueError("candidates must be arrays of one length")
    left = scratch("given", items, np.bool_)
    left[given.rows] = True
    try:
        known = len(candidates) == 0 or (int(candidates.rows.min()) >= 0 and bool(left[candidates.rows].all()))
        left[candidates.rows] = False
        once = np.count_nonzero(left[given.rows]) == len(given) - len(candidates)
    finally:
        left[given.rows] = False
    if not known or not once:
        raise ValueError("a stage of re-ranking must give each candidate back once, and no others")
    return candidates


@contextlib.contextmanager
def _asked_by(scene: SceneConfig, stage: str, name: str) -> Iterator[None]:
    """Say of data that are not as they must be which stage asks for them."""
    try:
        yield
    except DataError as error:
        raise error.asked_by(Problem("", where=f"scene '{scene.name}' . {stage} . {name}")) from None


def _failed(ask: Ask, stage: str, error: Exception) -> None:
    """Take note of a stage that is left out."""
    if isinstance(error, DeadlineError | TimeoutError) or (isinstance(error, Refused) and error.status == 504):
        ask.degraded.append(f"{stage}: deadline")
        return
    ask.degraded.append(f"{stage}: {error.reason if isinstance(error, Refused) else 'error'}")
    ask.world.failed(stage, error)
