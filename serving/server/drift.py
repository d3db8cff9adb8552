"""How far scores and features are from those of training: decayed histograms, the index that compares them, and alarms.

Each process counts a sample of what it answers, and leaves its counts for the others like all its numbers; one process, that with the lowest
number, tells.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from easyrec.export.profile import Histogram, Profile
from easyrec.histograms import psi
from serving.server.columns import Question, Scores
from serving.server.config import DriftConfig
from serving.server.events import tell
from serving.server.metrics import Metrics
from serving.server.models import Loaded, Model, Models

CALMED = 0.8
"""Share of the threshold below which an alarm is over, so that it does not come and go."""


class Watched:
    """Decayed counts of one bundle's scores and features.

    Attributes:
        profile: What they are compared with.
        counts: Rows in each bin, the histograms of the profile one after another.
        requests: How many they are of.
        at: When they were that much, in seconds since 1970.
    """

    def __init__(self, profile: Profile, now: float) -> None:
        self.profile, self.at, self.requests = profile, now, 0.0
        self.ends = np.cumsum([len(one.counts) for one in profile.histograms], dtype=np.int64)
        self.counts = np.zeros(int(self.ends[-1]) if len(self.ends) else 0)

    def add(self, found: np.ndarray, factor: float, now: float) -> None:
        """Take a request in, and let older ones count for less by a factor."""
        self.counts = self.counts * factor + found
        self.requests, self.at = self.requests * factor + 1.0, now

    def counted(self, loaded: Loaded, question: Question, scores: Scores) -> np.ndarray:
        """Rows of an answer in each bin."""
        table = None
        if question.user_form:
            table = loaded.predictor.features(question.user, question.items, question.context)
        first = None if table is None else table.slice(0, 1)
        found = np.zeros(len(self.counts))
        for one, end in zip(self.profile.histograms, self.ends.tolist(), strict=True):
            rows = first if one.side == "user" else table
            if one.what != "feature":
                column: Any = scores.get(one.name)
            else:
                column = rows[one.name] if rows is not None and one.name in rows else None
            if column is not None:
                found[end - len(one.counts) : end] = one.count(column)
        return found

    def histograms(self, counts: np.ndarray) -> Iterator[tuple[Histogram, np.ndarray]]:
        """Each histogram of training with that of now."""
        return zip(self.profile.histograms, np.split(counts, self.ends[:-1]), strict=False)


class Drift:
    """The counts of a process. Safe to use from several threads.

    Args:
        config: How much is counted, and when it is too far off.
        metrics: Where the index goes.
        clock: Seconds since 1970.
    """

    def __init__(self, config: DriftConfig, metrics: Metrics, clock: Callable[[], float] = time.time) -> None:
        self._config, self._metrics, self._clock = config, metrics, clock
        self._lock = threading.Lock()
        self._watched: dict[tuple[str, str], Watched | None] = {}
        self._raised: set[tuple[str, str, str, str]] = set()

    def add(self, model: Model, loaded: Loaded, question: Question, scores: Scores) -> None:
        """Count an answer. The bundle must be open."""
        key = (model.name, loaded.version)
        with self._lock:
            known, watched = key in self._watched, self._watched.get(key)
        if not known:
            profile = Profile.of(loaded.predictor.bundle)
            watched = None if profile is None else Watched(profile, self._clock())
            with self._lock:
                self._watched[key] = watched
        if watched is None or not any(len(values) for values in scores.values()):
            return
        found = watched.counted(loaded, question, scores)
        with self._lock:
            now = self._clock()
            watched.add(found, self._faded(now - watched.at), now)

    def state(self) -> list[list[Any]]:
        """What this process counted, for the others."""
        with self._lock:
            return [
                [*key, one.at, one.requests, one.counts.round(3).tolist()]
                for key, one in self._watched.items()
                if one is not None
            ]

    def judge(self, models: Models, others: Iterable[Mapping[str, Any]]) -> None:
        """Compare what all processes counted with training, set the gauges, and tell where it is too far off.

        Args:
            models: What is served now.
            others: What the other processes left.
        """
        states = [state for state in others if "drift" in state]
        mine = all(state["process"] > os.getpid() for state in states if state["alive"])
        now = self._clock()
        current = {(m.name, v.current.version) for m in models for v in m.versions if v.current is not None}
        with self._lock:
            self._watched = {key: one for key, one in self._watched.items() if key in current}
            watched = {key: one for key, one in self._watched.items() if one is not None}
        self._raised = {alarm for alarm in self._raised if alarm[:2] in current}
        self._metrics.clear("easyrec_drift_psi")
        rows = [entry for state in ({"drift": self.state()}, *states) for entry in state["drift"]]
        for key, one in watched.items():
            total, requests = np.zeros(len(one.counts)), 0.0
            for model, version, at, number, counts in rows:
                if (model, version) == key and len(counts) == len(total):
                    factor = self._faded(now - at)
                    total, requests = total + np.asarray(counts) * factor, requests + number * factor
            if requests >= self._config.min_requests:
                self._compare(key, one.histograms(total), tells=mine)

    def _compare(self, key: tuple[str, str], pairs: Iterable[tuple[Histogram, np.ndarray]], *, tells: bool) -> None:
        config = self._config
        for one, counts in pairs:
            if counts.sum() < config.min_rows:
                continue
            reference = np.array(one.counts)
            index = psi(reference, counts)
            labels = {"model": key[0], "what": one.what, "name": one.name, "version": key[1]}
            self._metrics.set("easyrec_drift_psi", index, **labels)
            alarm = (*key, one.what, one.name)
            enough = reference.sum() >= config.min_rows
            if enough and index >= config.threshold and alarm not in self._raised:
                self._raised.add(alarm)
                level, event = logging.WARNING, "drift: not as in training"
            elif alarm in self._raised and index < config.threshold * CALMED:
                self._raised.discard(alarm)
                level, event = logging.INFO, "drift is over"
            else:
                continue
            if tells:
                told: dict[str, Any] = {**labels, "psi": round(index, 4), "threshold": config.threshold}
                tell(level, event, **told, rows=int(counts.sum()))

    def _faded(self, seconds: float) -> float:
        """What a row counts after some time."""
        return float(0.5 ** (max(0.0, seconds) / self._config.half_life_s))
