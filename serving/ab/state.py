"""What was stopped at run time: a file that all processes of all servers of a machine see, and a log of it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from easyrec.durable import write_text
from easyrec.errors import DataError, RunError

LARGEST = 16 << 20
"""Bytes of the largest state that is read."""


class Stopped(NamedTuple):
    """Who stopped an experiment, why, and when (seconds since 1970)."""

    by: str
    why: str
    time: float


class State:
    """The experiments that were stopped at run time.

    Args:
        folder: Where `state.json` and `log.jsonl` lie; None: this process alone knows.
        now: Seconds since 1970.
    """

    def __init__(self, folder: Path | None, now: Callable[[], float] = time.time) -> None:
        self.folder, self._now = folder, now
        self._stopped: dict[str, Stopped] = {}
        self._held: dict[str, Stopped] = {}
        self._started: dict[str, float] = {}
        self._seen: tuple[int, ...] | None = None
        self._own = threading.RLock()

    def stopped(self) -> Mapping[str, Stopped]:
        """What is stopped, as the file says it now, and what this process alone holds stopped.

        Raises:
            DataError: The file is damaged.
        """
        if self.folder is not None:
            with self._own:
                self._read(self.folder / "state.json")
        if self._held:
            with self._own:
                self._held = {
                    name: one
                    for name, one in self._held.items()
                    if name not in self._stopped and self._started.get(name, -math.inf) < one.time
                }
        return {**self._held, **self._stopped}

    def hold(self, name: str, by: str, why: str) -> None:
        """Stop an experiment in this process, whatever the disk says, until it is stopped or started for all.

        Args:
            name: The experiment.
            by: Who stops it.
            why: The reason.
        """
        with self._own:
            self._held = {**self._held, name: Stopped(by, why, self._now())}

    @property
    def held(self) -> Mapping[str, Stopped]:
        """What this process alone holds stopped."""
        return self._held

    def started(self) -> Mapping[str, float]:
        """When experiments that had been stopped were started again, as the file says it now.

        Raises:
            DataError: The file is damaged.
        """
        self.stopped()
        return self._started

    def stop(self, name: str, by: str, why: str) -> bool:
        """Stop an experiment.

        Returns:
            Whether it was not stopped before.

        Raises:
            RunError: The disk refuses.
        """
        with self._changed() as stopped:
            if name in stopped:
                return False
            stopped[name] = Stopped(by, why, self._now())
        self._log("stop", name, by, why)  # what cannot be told is stopped all the same
        return True

    def start(self, name: str, by: str, why: str) -> bool:
        """Let an experiment that was stopped go on.

        Returns:
            Whether it was stopped.

        Raises:
            RunError: The disk refuses.
        """
        with self._changed() as stopped:
            if stopped.pop(name, None) is None:
                return False
            self._started = {**self._started, name: self._now()}
            self._log("start", name, by, why)
            return True

    def warn(self, name: str, by: str, why: str) -> None:
        """Write into the log what a guardrail would not stop.

        Raises:
            RunError: The disk refuses.
        """
        with self._own:
            self._log("warn", name, by, why)

    def log(self) -> list[dict[str, Any]]:
        """What was stopped and started, oldest first."""
        path = None if self.folder is None else self.folder / "log.jsonl"
        if path is None or not path.exists():
            return []
        lines = path.read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines if line.endswith("}")]

    @contextlib.contextmanager
    def _changed(self) -> Iterator[dict[str, Stopped]]:
        """The state, to be changed by one process at a time."""
        with self._own:
            if self.folder is None:
                self._stopped = dict(self._stopped)
                yield self._stopped
                return
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                with (self.folder / ".lock").open("a") as lock:
                    fcntl.flock(lock, fcntl.LOCK_EX)
                    self._seen = None
                    self._read(self.folder / "state.json")
                    changed = dict(self._stopped)
                    yield changed
                    if changed != self._stopped:
                        told = {
                            "stopped": {name: one._asdict() for name, one in sorted(changed.items())},
                            "started": dict(sorted(self._started.items())),
                        }
                        write_text(self.folder / "state.json", json.dumps(told, indent=1) + "\n")
                        self._stopped, self._seen = changed, None
            except OSError as error:
                raise RunError(f"cannot change {self.folder}: {error.strerror or error}") from error

    def _read(self, path: Path) -> None:
        try:
            found = path.stat()
        except FileNotFoundError:
            self._stopped, self._started, self._seen = {}, {}, None
            return
        seen = (found.st_mtime_ns, found.st_ino, found.st_size)
        if seen == self._seen:
            return
        try:
            if found.st_size > LARGEST:
                raise ValueError(f"has {found.st_size:,} bytes")
            told = json.loads(path.read_text(encoding="utf-8"))
            self._stopped, self._started = (
                {
                    str(n): Stopped(str(one["by"]), str(one["why"]), float(one["time"]))
                    for n, one in told["stopped"].items()
                },
                {str(name): float(at) for name, at in told["started"].items()},
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
            raise DataError(f"is no state of experiments: {error}", file=str(path)) from None
        self._seen = seen

    def _log(self, what: str, name: str, by: str, why: str) -> None:
        if self.folder is None:
            return
        told = {"time": self._now(), "what": what, "experiment": name, "by": by, "why": why}
        line = (json.dumps(told, ensure_ascii=False) + "\n").encode()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.folder / "log.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            try:
                os.write(handle, line)  # at one stroke: lines of two processes do not mix
            finally:
                os.close(handle)
        except OSError as error:
            raise RunError(f"cannot write to {self.folder}: {error.strerror or error}") from error
