"""Canaries: versions that get few requests, and none any more once they answer unlike the main version, or fail.

Scores of both are kept as uniform samples of the same period. Each process leaves what it counted for the others; one of them, that with
the lowest number, judges the sum, and an order tells the others.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np

from easyrec.export.profile import top_classes
from easyrec.histograms import count_numbers, edges_of, psi
from serving.server.columns import Scores
from serving.server.http import Refused
from serving.server.models import Loaded, Model, Models, Version

SIZE = 4096
"""Scores that are kept of a version and task."""
POSTED = 1024
"""Of these, so many are left for other processes."""
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
        samples: Scores, by what they are of.
    """

    def __init__(self) -> None:
        self.requests = self.errors = 0
        self.samples: dict[str, Sample] = {}

    def state(self) -> dict[str, Any]:
        """It for other processes."""
        samples = {name: [one.seen, spread(one.values, POSTED).tolist()] for name, one in self.samples.items()}
        return {"requests": self.requests, "errors": self.errors, "samples": samples}


class Total:
    """What a version did in all processes.

    Args:
        side: In this one.
        others: In others, as they left it.
    """

    def __init__(self, side: Side, others: Sequence[Mapping[str, Any]]) -> None:
        self.requests: int = side.requests + sum(other["requests"] for other in others)
        self.errors: int = side.errors + sum(other["errors"] for other in others)
        held = {name: [(one.seen, one.values)] for name, one in side.samples.items()}
        for other in others:
            for name, (seen, values) in other["samples"].items():
                held.setdefault(name, []).append((seen, np.array(values, np.float32)))
        self.samples = {name: together(parts) for name, parts in held.items()}

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
        self.look()
        side = self.sides.get(loaded.version)
        if side is None:
            return
        side.requests += 1
        if scores is None:
            side.errors += 1
            return
        for task, values in scores.items():
            seen = {f"scores of '{task}'": values if values.ndim == 1 else values.max(axis=1)}
            if values.ndim == 2:
                seen[f"classes of '{task}'"] = top_classes(values).astype(np.float32)
            for name, numbers in seen.items():
                side.samples.setdefault(name, Sample(self._random)).add(numbers)

    def look(self) -> None:
        """Begin another period where one of them has another bundle."""
        both = self._both()
        if set(both) != set(self.sides):
            self.sides = {name: Side() for name in both}

    def state(self) -> dict[str, Any]:
        """Both sides, for other processes."""
        return {name: side.state() for name, side in self.sides.items()}

    def renew(self, processes: int) -> None:
        """End the period where it was long enough."""
        config, both = self.canary.config.canary, self._both()
        side = self.sides.get(both[0]) if both else None
        if config is not None and side is not None and side.requests * processes >= PERIODS * config.min_requests:
            self.sides = {}

    def verdict(self, others: Sequence[Mapping[str, Any]]) -> str:
        """Why the canary must go; empty where it may stay.

        Args:
            others: The state of this trial in other processes.
        """
        config, both = self.canary.config.canary, self._both()
        if config is None or len(both) < 2 or set(both) != set(self.sides):
            return ""
        same = [other for other in others if set(other) == set(both)]
        canary, main = (Total(self.sides[name], [other[name] for other in same]) for name in both)
        if min(canary.requests, main.requests) < config.min_requests:
            return ""
        if canary.rate - main.rate > config.max_errors + _chance(canary, main):
            return f"{canary.rate:.1%} of its requests failed, of the main version's {main.rate:.1%}"
        if min(one.requests - one.errors for one in (canary, main)) < config.min_requests:
            return ""  # of a few answers chance says more than the model
        for name in sorted(main.samples.keys() & canary.samples.keys()):
            index = apart(main.samples[name], canary.samples[name])
            if index > config.max_psi:
                return f"{name} are not those of the main version: psi {index:.3f}"
        return ""

    def _both(self) -> list[str]:
        """The bundles of canary and main version now; fewer where one is not there, is out, or both have the same."""
        found = [v.current.version for v in (self.canary, self.main) if v.current is not None and not v.out]
        return list(dict.fromkeys(found))


class Trials:
    """All canaries of a process.

    Args:
        models: What is served.

    Attributes:
        state: What this process counted, for the others: by model, each trial.
    """

    def __init__(self, models: Models) -> None:
        self.state: dict[str, list[dict[str, Any]]] = {}
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

    def __bool__(self) -> bool:
        return any(self._trials.values())

    def verdicts(self, others: Sequence[Mapping[str, Any]] = ()) -> Iterator[tuple[str, Version, str]]:
        """Count what waits; then models and canaries that must go, and why, where it is this process that says so.

        Args:
            others: What the other processes left.
        """
        for _ in range(len(self._waiting)):
            name, loaded, scores = self._waiting.popleft()
            for trial in self._trials[name]:
                trial.note(loaded, scores)
        alive = [state for state in others if state["alive"] and "canaries" in state]
        judges = all(state["process"] > os.getpid() for state in alive)
        for name, trials in self._trials.items():
            for place, trial in enumerate(trials):
                trial.look()
                beside = [state["canaries"].get(name, []) for state in alive]
                why = trial.verdict([one[place] for one in beside if place < len(one)]) if judges else ""
                if why:
                    trial.sides = {}
                    yield name, trial.canary, why
                else:
                    trial.renew(1 + len(alive))
        self.state = {name: [one.state() for one in trials] for name, trials in self._trials.items() if trials}


def _chance(one: Total, other: Total) -> float:
    """How far two shares of errors lie apart by chance, where clients send both the same: three standard errors."""
    pooled = (one.errors + other.errors) / (one.requests + other.requests)
    return float(SIGMAS * np.sqrt(pooled * (1.0 - pooled) * (1.0 / one.requests + 1.0 / other.requests)))


def spread(values: np.ndarray, most: int) -> np.ndarray:
    """At most so many of some values, evenly from the first to the last."""
    size = len(values)
    return values if size <= most else values[np.arange(most) * size // max(1, most)]


def together(samples: Sequence[tuple[int, np.ndarray]]) -> np.ndarray:
    """A uniform sample of all, of uniform samples of parts: as many of each as its share of what was seen.

    Args:
        samples: Of each part, how many values it had, and those that were kept.
    """
    used = [(seen, values) for seen, values in samples if seen and len(values)]
    if len(used) < 2:
        return used[0][1] if used else np.zeros(0, np.float32)
    rate = min(len(values) / seen for seen, values in used)
    return np.concatenate([spread(values, max(1, int(rate * seen))) for seen, values in used])


def apart(main: np.ndarray, canary: np.ndarray) -> float:
    """Population stability index between two samples of scores, by tenths of the first one."""
    edges = edges_of(main)
    return psi(count_numbers(main, edges), count_numbers(canary, edges))
