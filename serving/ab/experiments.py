"""Who is in which variant."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pyarrow as pa

from easyrec.errors import ConfigError, DataError, nearest
from feature_generator.config import Document, read_yaml
from serving.ab.assignment import Assignment
from serving.ab.buckets import bucket
from serving.ab.columns import assign_columns
from serving.ab.config import ExperimentsConfig, load_experiments
from serving.ab.guard import Guard
from serving.ab.plan import KEPT, Part, Plan
from serving.ab.state import State, Stopped

_LOG = logging.getLogger("serving.ab")
_NOTHING: Mapping[str, Any] = MappingProxyType({})


class Experiments:
    """Assigns units to variants. Threads may share it.

    Args:
        config: What `load_experiments` gives.
        folder: Where what is stopped at run time is written; None: this process alone knows.
        now: Seconds since 1970.
    """

    def __init__(
        self, config: ExperimentsConfig, folder: Path | None = None, now: Callable[[], float] = time.time
    ) -> None:
        self.config, self._now = config, now
        self.state = State(folder, now)
        self._lock = threading.Lock()
        self._look_at = 0.0
        self._plan = Plan(config, frozenset(self.state.stopped()))
        self.guard = Guard(config, self.state, self.stop, self.refresh, now)

    @classmethod
    def load(
        cls,
        source: str | os.PathLike[str] | Mapping[str, Any] | Document,
        overrides: Sequence[str] | None = None,
        *,
        file: str | os.PathLike[str] = "",
        now: Callable[[], float] = time.time,
    ) -> Experiments:
        """The experiments of a file, of its content, or of a part of a larger file.

        Args:
            source: The file, its content, or a part of a larger file.
            overrides: `key=value`, as `-o` gives them.
            file: Where a content came from: what is stopped at run time is written beside it.
            now: Seconds since 1970.

        Raises:
            ConfigError: Everything wrong with it, with lines.
            DataError: The file of what was stopped is damaged.
        """
        document = read_yaml(source) if isinstance(source, str | os.PathLike) else Document.of(source)
        config = load_experiments(document, overrides)
        return cls(config, state_folder(config, document.file or os.fspath(file)), now)

    def assign(
        self,
        unit: str,
        attributes: Mapping[str, Any] = _NOTHING,
        *,
        scene: str | None = None,
        time_ms: float | None = None,
    ) -> Assignment:
        """The variants of a unit; the same for the same arguments, in every process.

        Args:
            unit: Its id.
            attributes: What conditions read.
            scene: The scene that is asked; experiments of other scenes do not count, without one those of no scene do.
            time_ms: When, in milliseconds since 1970; default: now.
        """
        plan = self._current()
        data = unit.encode("utf-8", "surrogatepass")
        part = plan.only
        if plan.listed or part is None:
            part = plan.listed.get(unit) or part or plan.slots[bucket(plan.salt, data)]
        entries: list[str] = []
        arms = []
        for layer in part.layers if part is not None else ():
            found = layer.forced.get(unit) if layer.forced else None
            running = found[0] if found else layer.slots[bucket(layer.salt, data)]
            if running is None or (running.scenes is not None and scene not in running.scenes):
                continue
            if running.timed and not self._within(running.start, running.end, time_ms):
                continue
            if found:
                arm = found[1]
            else:
                drawn = running.arm_of(data)
                if drawn is None or (running.conditional and not running.takes(attributes)):
                    continue
                arm = drawn
            entries.append(arm.entry)
            arms.append((layer.name, arm))
        key = tuple(entries)
        merged = plan.merged.get(key)
        if merged is None:
            parameters = {path: value for _, arm in arms for path, value in arm.parameters.items()}
            merged = MappingProxyType({name: arm.name for name, arm in arms}), MappingProxyType(parameters)
            if len(plan.merged) >= KEPT:
                plan.merged.clear()
            plan.merged[key] = merged
        return Assignment(unit, key, *merged)

    def assign_many(
        self,
        units: Iterable[Any],
        attributes: Mapping[str, Any] = _NOTHING,
        *,
        scene: str | None = None,
        time_ms: float | None = None,
    ) -> pa.Table:
        """The variants of many units: a column a layer, `experiment/variant`, null where a unit is in none.

        Args:
            units: Their ids.
            attributes: What conditions read: a column for each.
            scene: The scene that is asked.
            time_ms: When; default: now.
        """
        at = self._now() * 1000.0 if time_ms is None else time_ms
        return assign_columns(self._current(), self.config, units, attributes, scene, at)

    def served(
        self,
        assignment: Assignment,
        *,
        ms: float,
        failed: bool = False,
        degraded: bool = False,
        exposures: int = 0,
    ) -> None:
        """Tell guardrails of a request. From the first one on they are judged in a thread of this process.

        Args:
            assignment: The request's.
            ms: Its time.
            failed: It ended in an error.
            degraded: A stage was left out.
            exposures: Items that were shown.
        """
        self.guard.served(assignment.unit, assignment.variants, ms, failed, degraded, exposures)

    def happened(self, unit: str, variants: Mapping[str, str], event: str) -> None:
        """Tell guardrails of an event.

        Args:
            unit: Whose.
            variants: Those of the exposure that it follows, as they were logged; or of the unit's assignment.
            event: Its type.
        """
        self.guard.happened(unit, variants, event)

    def close(self) -> None:
        """End the thread that judges guardrails."""
        self.guard.close()

    def stop(self, name: str, by: str = "", why: str = "") -> bool:
        """Stop an experiment in all processes that share the state.

        Args:
            name: The experiment.
            by: Who stops it.
            why: The reason.

        Returns:
            Whether it was running.

        Raises:
            ConfigError: There is no such experiment.
            RunError: The state cannot be written.
        """
        self._known(name)
        changed = self.state.stop(name, by, why)
        self.refresh()
        return changed

    def start(self, name: str, by: str = "", why: str = "") -> bool:
        """Let an experiment that was stopped at run time go on.

        Returns:
            Whether it was stopped.

        Raises:
            ConfigError: There is no such experiment, or the file itself says that it is stopped.
            RunError: The state cannot be written.
        """
        if self._known(name) == "stopped":
            raise ConfigError(f"the file says that '{name}' is stopped: say 'state: running' there")
        changed = self.state.start(name, by, why)
        self.refresh()
        return changed

    @property
    def stopped(self) -> Mapping[str, Stopped]:
        """What was stopped at run time."""
        return self.state.stopped()

    def refresh(self) -> None:
        """See at once what other processes have stopped; a damaged state changes nothing, and is told in the log."""
        with self._lock:
            self._look_at = self._now() + self.config.watch_s
            try:
                stopped = frozenset(self.state.stopped())
            except DataError as error:
                _LOG.error("%s; what ran goes on", error)
                stopped = self._plan.stopped | frozenset(self.state.held)
            if stopped != self._plan.stopped:
                self._plan = Plan(self.config, stopped)

    def parts(self) -> list[Part]:
        """What runs now, by domain and layer."""
        return self._current().parts

    def _current(self) -> Plan:
        if self.state.folder is not None and self._now() >= self._look_at:
            self.refresh()
        return self._plan

    def _within(self, start: float | None, end: float | None, time_ms: float | None) -> bool:
        at = self._now() if time_ms is None else time_ms / 1000.0
        return (start is None or at >= start) and (end is None or at < end)

    def _known(self, name: str) -> str:
        known = self.config.experiments
        if name not in known:
            raise ConfigError(f"there is no experiment '{name}'{nearest(name, known)}; known: {', '.join(known)}")
        return known[name][1].state


def state_folder(config: ExperimentsConfig, file: str) -> Path | None:
    """Where what is stopped at run time is written: beside the file; None where there is none.

    Args:
        config: The experiments.
        file: Their file; empty where they came from none.
    """
    if config.state is None and not file:
        return None
    return Path(file).parent / (config.state or "ab_state")
