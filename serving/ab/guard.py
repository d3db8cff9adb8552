"""Guardrails at run time: each process counts what it serves, and stops the experiments whose bounds are broken."""

from __future__ import annotations

import bisect
import hashlib
import json
import logging
import math
import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from easyrec.errors import DataError, EasyRecError, RunError
from serving.ab.buckets import hash_one, prefix
from serving.ab.config import Experiment, ExperimentsConfig
from serving.ab.guardrail_config import OF_TIME, Guardrail
from serving.ab.state import State
from serving.ab.statistics import always_valid_p, wilson

GROUPS = 128
"""Units are counted in groups: what differs between the groups says how sure a rate is, however much a unit does."""
EDGES = tuple(0.1 * 1.04**step for step in range(361))
"""Milliseconds between the classes of times: 4 % apart, from 0.1 ms to above two minutes."""
FILES = 1000
"""Processes whose counts are kept, the newest ones."""
_LOG = logging.getLogger("serving.ab")
_SALT = prefix("guardrails")
_REQUESTS = ("requests", "failed", "degraded", "empty")


class Counts:
    """What was seen of a variant.

    Attributes:
        groups: By what was counted (`requests`, `failed`, ..., `exposures`, `event:click`), by group of units, since
            the experiment runs.
        recent: Requests of the last minutes by what became of them.
        times: How many of them were answered within each class of times.
        total_ms: The sum of their times.
    """

    def __init__(self) -> None:
        self.groups: dict[str, NDArray[np.float64]] = {}
        self.recent = dict.fromkeys(_REQUESTS, 0.0)
        self.times = np.zeros(len(EDGES) + 1)
        self.total_ms = 0.0

    def group(self, name: str) -> NDArray[np.float64]:
        """The groups' counts of something."""
        if name not in self.groups:
            self.groups[name] = np.zeros(GROUPS)
        return self.groups[name]

    def add(self, other: Counts, *, recent: bool = True) -> None:
        """Take in what another process saw."""
        for name, counts in other.groups.items():
            self.groups[name] = self.group(name) + counts
        if recent:
            for name, count in other.recent.items():
                self.recent[name] += count
            self.times = self.times + other.times
            self.total_ms += other.total_ms

    def forget_recent(self) -> Counts:
        """Begin the last minutes anew; gives what they were."""
        before = Counts()
        before.recent, before.times, before.total_ms = self.recent, self.times, self.total_ms
        self.recent, self.times, self.total_ms = dict.fromkeys(_REQUESTS, 0.0), np.zeros(len(EDGES) + 1), 0.0
        return before

    def told(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "groups": {name: counts.tolist() for name, counts in self.groups.items()},
            "recent": self.recent,
            "times": {str(at): self.times[at] for at in np.flatnonzero(self.times)},
            "total_ms": self.total_ms,
        }

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Counts:
        """From JSON.

        Raises:
            ValueError: It is none of ours; also as another error of its shape.
        """
        made = cls()
        for name, counts in told["groups"].items():
            made.groups[name] = np.array(counts, np.float64)
            if made.groups[name].shape != (GROUPS,) or not np.isfinite(made.groups[name]).all():
                raise ValueError(f"'{name}' has no {GROUPS} counts")
        made.recent |= {name: float(told["recent"][name]) for name in _REQUESTS}
        for at, count in told["times"].items():
            made.times[int(at)] = count
        made.total_ms = float(told["total_ms"])
        return made


class Guard:
    """Counts requests and events of the experiments that have guardrails, and judges them now and then.

    Args:
        config: The experiments.
        state: Where they are stopped.
        stop: Stops an experiment: name, by whom, why.
        refresh: Lets what is stopped be seen at once.
        now: Seconds since 1970.
    """

    def __init__(
        self,
        config: ExperimentsConfig,
        state: State,
        stop: Callable[[str, str, str], bool],
        refresh: Callable[[], None],
        now: Callable[[], float] = time.time,
    ) -> None:
        self._guarded = {name: one for name, (_, one) in config.experiments.items() if one.guardrails}
        self._state, self._stop, self._refresh, self._now = state, stop, refresh, now
        self._window = config.guardrail_window_s
        self._every = config.guardrail_every_s
        self._prints = {name: _print(one) for name, one in self._guarded.items()}
        self._counts: dict[str, Counts] = {}
        self._before: dict[str, Counts] = {}
        self._turned = now()
        self._since: dict[str, float] = {}
        self._warned: set[tuple[str, str]] = set()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()
        self._file = f"{os.getpid()}-{time.time_ns()}.json"

    def served(
        self, unit: str, variants: Mapping[str, str], ms: float, failed: bool, degraded: bool, exposures: int
    ) -> None:
        """Count a request; see `Experiments.served`."""
        names = [name for name in variants.values() if name.partition("/")[0] in self._guarded]
        if not names:
            return
        group = hash_one(_SALT, unit.encode("utf-8", "surrogatepass")) % GROUPS
        at = bisect.bisect_right(EDGES, ms)
        happened = {"requests": 1, "failed": failed, "degraded": degraded, "empty": exposures == 0 and not failed}
        with self._lock:
            for name in names:
                counts = self._of(name)
                for what, count in happened.items():
                    if count:
                        counts.group(what)[group] += count
                        counts.recent[what] += count
                counts.group("exposures")[group] += exposures
                counts.times[at] += 1
                counts.total_ms += ms
        self._begin()

    def happened(self, unit: str, variants: Mapping[str, str], event: str) -> None:
        """Count an event; see `Experiments.happened`."""
        names = [name for name in variants.values() if name.partition("/")[0] in self._guarded]
        if not names:
            return
        group = hash_one(_SALT, unit.encode("utf-8", "surrogatepass")) % GROUPS
        with self._lock:
            for name in names:
                self._of(name).group(f"event:{event}")[group] += 1

    def judge(self) -> list[tuple[str, str]]:
        """Share what was counted with other processes, and stop experiments whose bounds are broken.

        Returns:
            The experiments that were stopped now, and why.
        """
        if not self._guarded:
            return []
        try:
            known: Mapping[str, float] = self._state.started()
        except DataError as error:  # a damaged state: what is counted is judged all the same
            _LOG.error("%s", error)
            known = {}
        with self._lock:
            self._renew(known)
            if self._now() - self._turned >= self._window / 2:
                self._before = {name: counts.forget_recent() for name, counts in self._counts.items()}
                self._turned = self._now()
            own = {name: Counts() for name in self._counts}
            for name, counts in own.items():
                counts.add(self._counts[name])
                if name in self._before:
                    counts.add(self._before[name])
        if self._state.folder is not None:
            try:
                self._write(self._state.folder / "counts", own)
                self._read(self._state.folder / "counts", own)
            except OSError as error:  # a full disk: what this process counted is judged all the same
                _LOG.error("counts cannot be shared: %s", error)
        done = []
        for name, one in list(self._state.held.items()):  # the disk may take it now
            if self._ends(name, one.why):
                _LOG.warning("experiment '%s' is stopped in all processes: %s", name, one.why)
        try:
            stopped = self._state.stopped()
        except DataError:
            stopped = self._state.held
        for name, experiment in self._guarded.items():
            if name in stopped or experiment.state == "stopped":
                continue
            for guardrail in experiment.guardrails:
                why = broken(experiment, guardrail, own)
                if why and guardrail.action == "warn":
                    if (name, guardrail.metric) not in self._warned:
                        self._warned.add((name, guardrail.metric))
                        _LOG.warning("experiment '%s': %s", name, why)
                        try:
                            self._state.warn(name, "guardrail", why)
                        except RunError as error:
                            _LOG.error("%s", error)
                elif why:
                    if self._ends(name, why):
                        _LOG.warning("experiment '%s' is stopped: %s", name, why)
                        done.append((name, why))
                    break
        return done

    def _ends(self, name: str, why: str) -> bool:
        """Stop an experiment in all processes, or where that cannot be written, in this one.

        Returns:
            Whether it ran.
        """
        try:
            return self._stop(name, "guardrail", why)
        except (RunError, DataError) as error:
            known = name in self._state.held
            if not known:
                _LOG.error("experiment '%s' is stopped in this process alone: %s", name, error)
                self._state.hold(name, "guardrail", why)
                self._refresh()
            return not known

    def close(self) -> None:
        """End the thread that judges."""
        self._ended.set()
        thread = self._thread
        if thread is not None:
            thread.join(timeout=10.0)

    def _begin(self) -> None:
        """Judge in a thread of its own from the first request on: a process that forked before has it too."""
        if self._thread is None and self._every > 0:
            with self._lock:
                if self._thread is None and not self._ended.is_set():
                    self._thread = threading.Thread(target=self._run, name="guardrails", daemon=True)
                    self._thread.start()

    def _run(self) -> None:
        while not self._ended.wait(self._every):
            try:
                self.judge()
            except Exception as error:  # noqa: BLE001, PERF203 (the process edge: the next try may do better)
                known = isinstance(error, EasyRecError | DataError | OSError)
                _LOG.error("guardrails cannot be judged: %s", error, exc_info=None if known else error)

    def _of(self, name: str) -> Counts:
        if name not in self._counts:
            self._counts[name] = Counts()
        return self._counts[name]

    def _renew(self, started: Mapping[str, float]) -> None:
        """Forget what was before an experiment was started again."""
        for experiment, at in started.items():
            if self._since.get(experiment, 0.0) < at:
                self._since[experiment] = at
                for held in (self._counts, self._before):
                    for name in [n for n in held if n.partition("/")[0] == experiment]:
                        del held[name]

    def _write(self, folder: Path, own: Mapping[str, Counts]) -> None:
        told = {
            "prints": self._prints,
            "since": self._since,
            "counts": {name: counts.told() for name, counts in own.items()},
        }
        folder.mkdir(parents=True, exist_ok=True)
        partial = folder / f".{self._file}"
        partial.write_text(json.dumps(told), encoding="utf-8")
        partial.replace(folder / self._file)  # whole or not at all; a power cut may cost it

    def _read(self, folder: Path, own: dict[str, Counts]) -> None:
        """Add what other processes counted of the same experiments."""
        found = []
        for path in folder.glob("*.json"):
            try:
                found.append((path.stat().st_mtime, path))
            except FileNotFoundError:  # noqa: PERF203 (another process removes old ones too)
                continue
        found.sort(reverse=True)
        for _, path in found[FILES:]:
            path.unlink(missing_ok=True)
        for changed, path in found[:FILES]:
            if path.name == self._file:
                continue
            try:
                told = json.loads(path.read_text(encoding="utf-8"))
                for name, counts in told["counts"].items():
                    experiment = name.partition("/")[0]
                    same = told["prints"].get(experiment) == self._prints.get(experiment, "")
                    if same and told["since"].get(experiment, 0.0) == self._since.get(experiment, 0.0):
                        here = own.setdefault(name, Counts())
                        here.add(Counts.of(counts), recent=self._now() - changed < self._window)
            except FileNotFoundError:
                continue
            except (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError) as error:
                _LOG.warning("%s holds no counts: %s", path, error)


def broken(experiment: Experiment, guardrail: Guardrail, counts: Mapping[str, Counts]) -> str:
    """Why a guardrail stops an experiment; empty where it does not."""
    control = counts.get(f"{experiment.name}/{experiment.baseline}", Counts())
    for variant in experiment.variants:
        if variant.name == experiment.baseline and len(experiment.variants) > 1:
            continue
        why = _variant(guardrail, counts.get(f"{experiment.name}/{variant.name}", Counts()), control)
        if why:
            return f"{guardrail.metric} of '{variant.name}' {why}"
    return ""


def _variant(guardrail: Guardrail, seen: Counts, control: Counts) -> str:
    least = guardrail.min_requests
    if guardrail.metric in OF_TIME:
        return _of_time(guardrail, seen, control)
    above, below = _parts(guardrail.metric)
    if below == "requests" and seen.recent["requests"] >= least:
        count, total = seen.recent[above], seen.recent["requests"]
        low, high = wilson(count, total, guardrail.alpha)
        if guardrail.max is not None and low > guardrail.max:
            return f"is {count / total:.4g} over {total:,.0f} requests, above {guardrail.max:g}"
        if guardrail.min is not None and high < guardrail.min:
            return f"is {count / total:.4g} over {total:,.0f} requests, below {guardrail.min:g}"
    if seen.group("requests").sum() < least:
        return ""
    rate, variance = _rate(seen, above, below)
    if below != "requests":
        reach = math.sqrt(variance) * 3.0
        if guardrail.max is not None and rate - reach > guardrail.max:
            return f"is {rate:.4g}, above {guardrail.max:g}"
        if guardrail.min is not None and rate + reach < guardrail.min:
            return f"is {rate:.4g}, below {guardrail.min:g}"
    if not guardrail.relative or control.group("requests").sum() < least:
        return ""
    base, spread = _rate(control, above, below)
    if base <= 0.0 or variance + spread <= 0.0:
        return ""
    lift = rate / base - 1.0
    for bound, sign in ((guardrail.max_drop, -1.0), (guardrail.max_rise, 1.0)):
        if bound is not None and lift * sign > bound:
            p = always_valid_p(rate - base, variance + spread, bound * base) / 2
            if p < guardrail.alpha:
                word = "below" if sign < 0 else "above"
                return f"is {rate:.4g}, {abs(lift):.1%} {word} the control's {base:.4g} (p {p:.2g} at any time)"
    return ""


def _of_time(guardrail: Guardrail, seen: Counts, control: Counts) -> str:
    total = seen.recent["requests"]
    if total < guardrail.min_requests:
        return ""
    limit = guardrail.max if guardrail.max is not None else math.inf
    if guardrail.max_rise is not None and control.recent["requests"] >= guardrail.min_requests:
        limit = min(limit, (1.0 + guardrail.max_rise) * _time(guardrail.metric, control))
    found = _time(guardrail.metric, seen)
    if guardrail.min is not None and found < guardrail.min:
        return f"is {found:.4g} ms over {total:,.0f} requests, below {guardrail.min:g} ms"
    if found <= limit or math.isinf(limit):
        return ""
    if guardrail.metric != "latency_mean":  # sure only where more are slower than the bound than may be
        share = 1.0 - float(guardrail.metric[-2:]) / 100.0
        slower = float(seen.times[bisect.bisect_left(EDGES, limit) + 1 :].sum())
        if wilson(slower, total, guardrail.alpha)[0] <= share:
            return ""
    return f"is {found:.4g} ms over {total:,.0f} requests, above {limit:.4g} ms"


def _time(metric: str, seen: Counts) -> float:
    """A mean or a quantile of the times of the last minutes, in milliseconds."""
    total = seen.recent["requests"]
    if metric == "latency_mean":
        return seen.total_ms / total
    at = int(np.searchsorted(np.cumsum(seen.times), total * float(metric[-2:]) / 100.0))
    return EDGES[min(at, len(EDGES) - 1)]


def _parts(metric: str) -> tuple[str, str]:
    """What is counted, and what it is a share of."""
    of_requests = {"error_rate": "failed", "degraded_rate": "degraded", "empty_rate": "empty"}
    if metric in of_requests:
        return of_requests[metric], "requests"
    return ("event:click" if metric == "ctr" else metric), "exposures"


def _rate(seen: Counts, above: str, below: str) -> tuple[float, float]:
    """A rate and the variance of it, by how much the groups of units differ (the delta method)."""
    counts, totals = seen.group(above), seen.group(below)
    total = float(totals.sum())
    if total <= 0.0:
        return 0.0, 0.0
    rate = float(counts.sum()) / total
    rest = counts - rate * totals
    return rate, float(rest @ rest) / (GROUPS - 1) * GROUPS / total**2


def _print(experiment: Experiment) -> str:
    """What tells an experiment from another one of its name: counts of that one are none of this one."""
    told = experiment.model_dump_json(include={"name", "variants", "salt", "where", "when", "scene"})
    return hashlib.blake2b(told.encode(), digest_size=8).hexdigest()
