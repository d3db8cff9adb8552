"""The process that runs a loop: it starts one that joins and one that trains, and again where one has died."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from easyrec.loop.config import LoopConfig
from easyrec.loop.status import StatusServer
from easyrec.loop.versions import held, write_manifest

logger = logging.getLogger("easyrec.loop")

FIRST_PAUSE_S, LAST_PAUSE_S = 0.5, 30.0
"""Before a process that died soon after its start is started again; doubles."""
STEADY_S = 10.0
"""A process that lived as long did not die of its start."""
TICK_S = 0.1
GRACE_S = 60.0
"""How long a process may take to end after it was told to."""


@dataclass
class Child:
    """A process of the loop, and what is known of it.

    Attributes:
        role: `join` or `model`.
        process: It; None while it is not there.
        since: When it was started.
        failures: How often it died soon after its start, in a row.
        restarts: How often it was started again.
        next: When it is started again.
        code: What it ended with last.
    """

    role: str
    process: subprocess.Popen[bytes] | None = None
    since: float = 0.0
    failures: int = 0
    restarts: int = 0
    next: float = 0.0
    code: int | None = field(default=None)


class Supervisor:
    """Runs a loop.

    Args:
        loop: The loop.
        plugins: Files and packages with more members of families.
        operators: Libraries with operators of custom features.
    """

    def __init__(self, loop: LoopConfig, plugins: Sequence[str] = (), operators: Sequence[str] = ()) -> None:
        self.loop = loop
        self.children = [Child("model")] if loop.join is None else [Child("join"), Child("model")]
        told: dict[str, Any] = {"loop": loop.model_dump(mode="json", by_alias=True, exclude_unset=True)}
        told |= {"plugins": list(plugins), "operators": list(operators)}
        self._order = json.dumps(told).encode() + b"\n"

    def run(self, stop: Callable[[], bool], until: Callable[[], bool] = lambda: False) -> None:
        """Run until it is asked to stop.

        Args:
            stop: Whether to stop.
            until: Whether all is done.

        Raises:
            RunError: The loop runs already, or the port is taken.
        """
        self.loop.folder.mkdir(parents=True, exist_ok=True)
        with held(self.loop.folder / "loop.lock", "the loop"):
            status = None if self.loop.status is None else StatusServer(self.loop)
            try:
                if status is not None:
                    logger.info("the dashboard: http://%s:%d/", status.host, status.port)
                while not stop() and not until():
                    for child in self.children:
                        self._keep(child)
                    time.sleep(TICK_S)
            finally:
                self._end()
                if status is not None:
                    status.close()

    # ------------------------------------------------------------------------------------------- inside

    def _keep(self, child: Child) -> None:
        """Start a process that is not there, unless it died a moment ago."""
        now = time.monotonic()
        if child.process is not None:
            code = child.process.poll()
            if code is None:
                return
            self._closed(child)
            child.code, child.process = code, None
            child.failures = 0 if now - child.since > STEADY_S else child.failures + 1
            pause = min(LAST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** (child.failures - 1)) if child.failures else 0.0
            child.next, child.restarts = now + pause, child.restarts + 1
            logger.log(
                logging.ERROR if code else logging.INFO,
                "%s ended with %d after %.1f s; again in %.1f s",
                child.role,
                code,
                now - child.since,
                pause,
            )
        if now < child.next:
            return
        child.process = subprocess.Popen(  # noqa: S603 (this Python, a module of ours)
            [sys.executable, "-m", "easyrec.loop.child", child.role], stdin=subprocess.PIPE
        )
        assert child.process.stdin is not None
        child.since = now
        try:
            child.process.stdin.write(self._order)
            child.process.stdin.flush()
        except BrokenPipeError:
            return  # it has died, which is seen next
        self._tell()

    def _closed(self, child: Child) -> None:
        if child.process is not None and child.process.stdin is not None:
            child.process.stdin.close()

    def _tell(self) -> None:
        """Write down which processes there are."""
        told: dict[str, Any] = {
            child.role: {
                "process": None if child.process is None else child.process.pid,
                "restarts": child.restarts,
                "code": child.code,
            }
            for child in self.children
        }
        write_manifest(
            self.loop.folder / "supervisor.json", {"process": os.getpid(), "at": time.time(), "children": told}
        )

    def _end(self) -> None:
        running = [child for child in self.children if child.process is not None]
        for child in running:
            assert child.process is not None
            child.process.send_signal(signal.SIGTERM)
        end = time.monotonic() + GRACE_S
        for child in running:
            assert child.process is not None
            try:
                child.process.wait(max(0.1, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                logger.error("%s did not end: it is killed", child.role)
                child.process.kill()
                child.process.wait()
            self._closed(child)


def order_from(pipe: int) -> bytes:
    """The first line of a pipe."""
    found = b""
    while not found.endswith(b"\n"):
        piece = os.read(pipe, 1)  # no more than the line: what comes after it is the pipe's end
        if not piece:
            break
        found += piece
    return found


def end_with_parent(pipe: int, ended: Callable[[], None]) -> None:
    """Call `ended` once nobody holds the other end of a pipe any more: a loop that was killed leaves no process behind."""

    def watch() -> None:
        while os.read(pipe, 1):
            pass
        ended()

    threading.Thread(target=watch, name="easyrec-loop-parent", daemon=True).start()
