"""Canaries: versions that get few requests, and none any more once they answer unlike the main version, or fail.

Scores of both are kept as uniform samples of the same period. Each process judges what it answered itself; an order tells the others.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import numpy as np

from easyrec.export.profile import count_numbers, edges_of, psi
from serving.server.columns import Scores
from serving.server.http import Refused
from serving.server.models import Loaded, Model, Models, Version

SIZE = 4096
"""Scores that are kept of a version and task."""
WAITING = 4096
"""Answers that may wait to be counted; of more of them, older ones are left out."""
NOTHING = nullcontext()
SIGMAS = 3.0
"""Standard errors that a share of errors must lie beyond what is allowed."""
PERIODS = 20
"""After as many times `min_requests` a period ends: what a canary did long ago is no excuse."""


class Sample:
    """A uniform sample of values that come one after another.

    Args:
        random: What chooses.

    Source:
        Vitter, "Random Sampling with a Reservoir", 1985, algorithm R.
    """

    def __init__(self, random: np.random.Generator) -> None:
        self._random, self._kept, self.seen = random, np.zeros(SIZE, np.float32), 0

    def add(self, values: np.ndarray) -> None:
        """Take values in."""
        room = values[: max(0, SIZE - self.seen)]
        self._kept[self.seen : self.seen + len(room)] = room
        rest = values[len(room) :]
        # The value that is the k-th of all stays with probability SIZE / k, in a place of chance.
        places = self._random.integers(0, np.arange(self.seen + len(room), self.seen + len(values)) + 1)
        inside = places < SIZE
        self._kept[places[inside]] = rest[inside]
        self.seen += len(values)

    @property
    def values(self) -> np.ndarray:
        """What is kept."""
        return self._kept[: min(self.seen, SIZE)]


class Side:
    """What a version did in a period.

    Attributes:
        requests: How many it was asked.
        errors: How many it failed to answer.
        samples: Scores by task.
    """

    def __init__(self) -> None:
        self.requests = self.errors = 0
        self.samples: dict[str, Sample] = {}

    @property
    def rate(self) -> float:
        """Errors a request."""
        return self.errors / max(1, self.requests)


class Trial:
    """A canary beside the main version of its model.

    Attributes:
        sides: What each did, by the start of its bundle's digest.
    """

    def __init__(self, canary: Version, main: Version) -> None:
        self.canary, self.main = canary, main
        self._random = np.random.default_rng()
        self.sides: dict[str, Side] = {}

    def note(self, loaded: Loaded, scores: Scores | None) -> None:
        """Count an answer, or that there was none."""
        both = self._both()
        if set(both) != set(self.sides):  # one of them has another bundle: another period
            self.sides = {name: Side() for name in both}
        side = self.sides.get(loaded.version)
        if side is None:
            return
        side.requests += 1
        if scores is None:
            side.errors += 1
            return
        for task, values in scores.items():
            if values.ndim == 1:
                side.samples.setdefault(task, Sample(self._random)).add(values)

    def verdict(self) -> str:
        """Why the canary must go; empty where it may stay."""
        config, both = self.canary.config.canary, self._both()
        if config is None or len(both) < 2 or set(both) != set(self.sides):
            return ""
        canary, main = (self.sides[name] for name in both)
        if min(canary.requests, main.requests) < config.min_requests:
            return ""
        if canary.rate - main.rate > config.max_errors + _chance(canary, main):
            return f"{canary.rate:.1%} of its requests failed, of the main version's {main.rate:.1%}"
        for task in main.samples.keys() & canary.samples.keys():
            index = apart(main.samples[task].values, canary.samples[task].values)
            if index > config.max_psi:
                return f"scores of '{task}' are not those of the main version: psi {index:.3f}"
        if canary.requests >= PERIODS * config.min_requests:
            self.sides = {}
        return ""

    def _both(self) -> list[str]:
        """The bundles of canary and main version now; fewer where one is not there, is out, or both have the same."""
        found = [v.current.version for v in (self.canary, self.main) if v.current is not None and not v.out]
        return list(dict.fromkeys(found))


class Trials:
    """All canaries of a process.

    Args:
        models: What is served.
    """

    def __init__(self, models: Models) -> None:
        self._trials = {m.name: [Trial(v, m.main) for v in m.versions if v.config.canary is not None] for m in models}
        self._waiting: deque[tuple[str, Loaded, Scores | None]] = deque(maxlen=WAITING)

    def answered(self, model: Model, loaded: Loaded, scores: Scores | None) -> None:
        """Take note of an answer by weight, or with None of an error instead; it is counted later."""
        if self._trials[model.name]:
            self._waiting.append((model.name, loaded, scores))

    def watching(self, model: Model, loaded: Loaded, *, named: bool) -> AbstractContextManager[None]:
        """Take note where the block fails; not where a client chose the version, or was too late."""
        return NOTHING if named or not self._trials[model.name] else self._watching(model, loaded)

    @contextmanager
    def _watching(self, model: Model, loaded: Loaded) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            if not (isinstance(error, Refused) and error.status == 504):
                self.answered(model, loaded, None)
            raise

    def verdicts(self) -> Iterator[tuple[str, Version, str]]:
        """Count what waits; then models and canaries that must go, and why."""
        for _ in range(len(self._waiting)):
            name, loaded, scores = self._waiting.popleft()
            for trial in self._trials[name]:
                trial.note(loaded, scores)
        for name, trials in self._trials.items():
            for trial in trials:
                why = trial.verdict()
                if why:
                    trial.sides = {}
                    yield name, trial.canary, why


def _chance(one: Side, other: Side) -> float:
    """How far two shares of errors lie apart by chance, where clients send both the same: three standard errors."""
    pooled = (one.errors + other.errors) / (one.requests + other.requests)
    return float(SIGMAS * np.sqrt(pooled * (1.0 - pooled) * (1.0 / one.requests + 1.0 / other.requests)))


def apart(main: np.ndarray, canary: np.ndarray) -> float:
    """Population stability index between two samples of scores, by tenths of the first one."""
    edges = edges_of(main)
    return psi(count_numbers(main, edges), count_numbers(canary, edges))
