"""Several processes behind one port: accepts connections, hands each to the process with the fewest, restarts the dead.

A process that accepts on its own takes what comes while it is idle, so that few long-lived connections end up in one
process; here they are spread evenly, and what a killed process leaves behind is its own connections alone.
"""

from __future__ import annotations

import json
import logging
import selectors
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel

from serving.server.config import Listening
from serving.server.events import tell
from serving.server.metrics import Board
from serving.server.worker import CLOSED, LISTENING, READY

FIRST_PAUSE_S, LAST_PAUSE_S = 0.5, 30.0
"""Before a process that died soon after its start is started again; doubles."""
STEADY_S = 10.0
"""A process that lived as long did not die of its start."""
TICK_S = 0.2


@dataclass
class Worker:
    """A process, and what is known of it."""

    process: subprocess.Popen[bytes]
    control: socket.socket
    since: float = field(default_factory=time.monotonic)
    connections: int = 0
    listening: bool = False
    ready: bool = False


class Supervisor:
    """Starts the processes of a server and shares connections out.

    Args:
        config: The server's.
        listener: The socket that listens.
        state: The folder that the processes share.
        plugins: Files and packages with more members of families.
        operators: Libraries with operators of custom features.
        module: What a process runs.
        whole: What that is told to do; default: the config.
    """

    def __init__(
        self,
        config: Listening,
        listener: socket.socket,
        state: Path,
        plugins: list[str],
        operators: list[str],
        module: str = "serving.server.worker",
        whole: BaseModel | None = None,
    ) -> None:
        self.config, self.listener, self.state, self.module = config, listener, state, module
        told = (whole or config).model_dump(mode="json")
        order = {"config": told, "state": str(state), "plugins": plugins, "operators": operators}
        self._order = json.dumps(order)
        self._board, self._restarts, self._failures = Board(state / "metrics"), 0, 0
        self._workers: list[Worker] = []
        self._next_start = 0.0
        self._selector = selectors.DefaultSelector()
        self._stopping = False

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT, then let the processes drain."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        self.listener.setblocking(False)
        self._selector.register(self.listener, selectors.EVENT_READ)
        while not self._stopping:
            self._start_missing()
            for key, _ in self._selector.select(TICK_S):
                if key.fileobj is self.listener:
                    self._accept()
                else:
                    self._hear(key.data)
        self._finish()

    def _stop(self, *_: object) -> None:
        self._stopping = True

    # ------------------------------------------------------------------------------------------- processes

    def _start_missing(self) -> None:
        while len(self._workers) < self.config.processes and time.monotonic() >= self._next_start:
            ours, theirs = socket.socketpair()
            process = subprocess.Popen(  # noqa: S603 (this Python, a module of ours)
                [sys.executable, "-m", self.module, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )
            theirs.close()
            ours.sendall(self._order.encode() + b"\n")
            ours.setblocking(False)
            worker = Worker(process, ours)
            self._workers.append(worker)
            self._selector.register(ours, selectors.EVENT_READ, worker)

    def _hear(self, worker: Worker) -> None:
        try:
            words = worker.control.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            words = b""
        if not words:
            self._lost(worker)
            return
        worker.connections -= words.count(CLOSED)
        worker.listening = worker.listening or LISTENING in words
        worker.ready = worker.ready or READY in words

    def _lost(self, worker: Worker) -> None:
        """A process has died: start another one, at once where it had lived for long."""
        self._selector.unregister(worker.control)
        worker.control.close()
        worker.process.kill()
        code = worker.process.wait()
        self._workers.remove(worker)
        lived = time.monotonic() - worker.since
        self._failures = 0 if lived > STEADY_S else self._failures + 1
        pause = min(LAST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** (self._failures - 1)) if self._failures else 0.0
        self._next_start = time.monotonic() + pause
        self._restarts += 1
        counted = [["easyrec_worker_restarts_total", [], self._restarts]]
        self._board.tell({"counters": counted, "gauges": [], "histograms": []})
        tell(
            logging.ERROR,
            "a process died",
            worker=worker.process.pid,
            code=code,
            lived_s=round(lived, 1),
            pause_s=pause,
        )

    # ----------------------------------------------------------------------------------------- connections

    def _accept(self) -> None:
        """Hand over what waits; where no process listens yet, it goes on waiting."""
        while any(worker.listening for worker in self._workers):
            try:
                connection, _ = self.listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:  # e.g. too many open files
                tell(logging.ERROR, "no connection can be accepted", why=error.strerror)
                time.sleep(TICK_S)
                return
            with connection:
                self._hand(connection)
        time.sleep(0.01)

    def _hand(self, connection: socket.socket) -> None:
        listening = [worker for worker in self._workers if worker.listening]
        for worker in sorted(listening, key=lambda w: (not w.ready, w.connections)):
            try:
                socket.send_fds(worker.control, [b"c"], [connection.fileno()])
            except OSError:  # it has died, or does not listen
                continue
            worker.connections += 1
            return

    # ------------------------------------------------------------------------------------------------- end

    def _finish(self) -> None:
        self._selector.unregister(self.listener)
        self.listener.close()
        for worker in self._workers:
            worker.process.send_signal(signal.SIGTERM)
        end = time.monotonic() + self.config.drain_s + 5.0
        for worker in self._workers:
            try:
                worker.process.wait(max(0.1, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                tell(logging.ERROR, "a process did not end", worker=worker.process.pid)
                worker.process.kill()
                worker.process.wait()
            worker.control.close()
        tell(logging.INFO, "stopped")
