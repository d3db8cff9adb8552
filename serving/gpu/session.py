"""Sessions: a stream with static buffers and captured graphs each, so that as many requests are answered at a time."""

from __future__ import annotations

import queue
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from serving.gpu.feed import ROWS, Feed, Key, Part, Sizes, torch_type

ALIGNED = 256
"""Bytes at whose multiples arrays begin in a buffer."""
KEPT = 64
"""Graphs that a session keeps; the one that was not used for longest goes."""
SEEN = 1024
"""Sizes without a graph that a session remembers."""
_CAPTURING = threading.Lock()

Compute: TypeAlias = Callable[[Mapping[str, Tensor], Sizes], Mapping[str, Tensor]]
"""Makes outputs of the padded parts of a feed."""


@dataclass(frozen=True)
class Job:
    """What a session is to do.

    Attributes:
        program: Name of the program.
        feed: What it is given.
        sizes: What that is padded to.
        compute: The program over the padded feed, on the device.
        sights: How often its sizes must come until they get a graph; 0: they never do.
    """

    program: str
    feed: Feed
    sizes: Sizes
    compute: Compute
    sights: int


class _Buffer:
    """Arrays one after another, as numpy sees them on the processor, and as torch sees them on the device."""

    def __init__(self, shapes: Mapping[str, tuple[tuple[int, ...], np.dtype]], device: torch.device) -> None:
        places, size = {}, 0
        for name, (shape, dtype) in shapes.items():
            count = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
            places[name] = size, count
            size += -(-count // ALIGNED) * ALIGNED
        self.here = torch.empty(size, dtype=torch.uint8, pin_memory=device.type == "cuda")
        self.there = self.here if device.type == "cpu" else torch.empty(size, dtype=torch.uint8, device=device)
        bytes_here = self.here.numpy()
        self.arrays: dict[str, np.ndarray] = {}
        self.tensors: dict[str, Tensor] = {}
        for name, (shape, dtype) in shapes.items():
            first, count = places[name]
            self.arrays[name] = bytes_here[first : first + count].view(dtype).reshape(shape)
            kind = torch_type(self.arrays[name])
            self.tensors[name] = self.there[first : first + count].view(kind).view(shape)

    def send(self) -> None:
        """To the device, all at once."""
        if self.there is not self.here:
            self.there.copy_(self.here, non_blocking=True)

    def fetch(self) -> None:
        """To the processor, all at once."""
        if self.there is not self.here:
            self.here.copy_(self.there, non_blocking=True)


class _Work:
    """A job's work over static buffers, to be done again for other jobs of the same key."""

    def __init__(self, job: Job, session: Session) -> None:
        self.job, self.session = job, session
        parts = job.feed.parts
        self.given = _Buffer({n: (p.shape(job.sizes), p.array.dtype) for n, p in parts.items()}, session.device)
        self.made: _Buffer | None = None
        self.graph: Any = None

    def compute(self) -> None:
        """Make the outputs of what was given."""
        outputs = self.job.compute(self.given.tensors, self.job.sizes)
        if self.made is None:
            shapes = {name: (tuple(t.shape), np.dtype(np.float32)) for name, t in outputs.items()}
            self.made = _Buffer(shapes, self.session.device)
        for name, tensor in outputs.items():
            self.made.tensors[name].copy_(tensor)

    def capture(self) -> None:
        """Have a graph do the work from now on.

        Raises:
            RuntimeError: The device does not capture it.
        """
        self.compute()  # libraries make their workspaces, which a graph cannot
        if self.session.device.type != "cuda":
            self.graph = self.compute
            return
        graph = torch.cuda.CUDAGraph()
        with _CAPTURING:  # not by `torch.cuda.graph`, which has the whole device wait and gives all spare memory back
            self.session.wait()
            graph.capture_begin(pool=self.session.pool, capture_error_mode="thread_local")
            whole = False
            try:
                self.compute()
                whole = True
            finally:
                with nullcontext() if whole else suppress(RuntimeError):  # why it failed was raised before
                    graph.capture_end()
        self.graph = graph.replay

    def answer(self, job: Job) -> dict[str, np.ndarray]:
        """What a job of this key is answered."""
        parts: Mapping[str, Part] = job.feed.parts
        for name, part in parts.items():
            part.fill(self.given.arrays[name], job.feed.actual, job.sizes)
        self.given.send()
        if self.graph is not None:
            self.graph()
        else:
            self.compute()
        assert self.made is not None
        self.made.fetch()
        self.session.wait()
        rows = job.feed.actual.get(ROWS, 0)
        return {n: (a[:rows] if len(a) == job.sizes.get(ROWS) else a).copy() for n, a in self.made.arrays.items()}


class Session:
    """One stream of a device. Answers one job at a time.

    Args:
        device: Where.

    Attributes:
        works: What has a graph, by program and key.
        refused: Why the work of a program is not captured, by its name.
        counts: Jobs by how they were done, `graph` or `eager`.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.works: OrderedDict[tuple[str, Key], _Work] = OrderedDict()
        self.refused: dict[str, str] = {}
        self.counts: Counter[str] = Counter()
        self._seen: OrderedDict[tuple[str, Key], int] = OrderedDict()
        self.stream: Any = None
        self.pool: Any = None
        if device.type == "cuda":
            with torch.cuda.device(device):
                self.pool = torch.cuda.graph_pool_handle()
                self.stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
                self._done: Any = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]

    def wait(self) -> None:
        """Until the stream has done all."""
        if self.stream is not None:
            self._done.record(self.stream)
            self._done.synchronize()

    def run(self, job: Job, *, at_once: bool = False) -> dict[str, np.ndarray]:
        """Answer a job; sizes that come again get a graph.

        Args:
            job: The job.
            at_once: Capture a graph though its sizes were never seen.
        """
        with torch.cuda.stream(self.stream) if self.stream is not None else nullcontext(), torch.no_grad():
            work = self._work(job, at_once=at_once)
            self.counts["eager" if work.graph is None else "graph"] += 1
            return work.answer(job)

    def _work(self, job: Job, *, at_once: bool) -> _Work:
        if not job.sights or job.program in self.refused:
            return _Work(job, self)
        key = job.program, job.feed.key(job.sizes)
        if key in self.works:
            self.works.move_to_end(key)
            return self.works[key]
        if not at_once and not self._seen_often(key, job.sights):
            return _Work(job, self)
        work = _Work(job, self)
        try:
            for name, part in job.feed.parts.items():
                part.fill(work.given.arrays[name], job.feed.actual, job.sizes)
            work.given.send()
            work.capture()
        except torch.OutOfMemoryError:
            return _Work(job, self)  # other sizes may still fit
        except RuntimeError as error:
            self.refused[job.program] = str(error).partition("\n")[0]
            return _Work(job, self)
        self.works[key] = work
        if len(self.works) > KEPT:
            self.works.popitem(last=False)
        return work

    def _seen_often(self, key: tuple[str, Key], sights: int) -> bool:
        """Whether a key came so many times, this one among them."""
        count = self._seen.pop(key, 0) + 1
        if count >= sights:
            return True
        self._seen[key] = count
        if len(self._seen) > SEEN:
            self._seen.popitem(last=False)
        return False


class SessionGroup:
    """Sessions of a device, each taken by one request at a time. Safe to use from several threads.

    Args:
        device: Where.
        count: How many.
    """

    def __init__(self, device: torch.device, count: int) -> None:
        self.sessions = [Session(device) for _ in range(count)]
        self._free: queue.LifoQueue[Session] = queue.LifoQueue()  # who worked last has the graphs of what is usual
        for session in self.sessions:
            self._free.put(session)

    @contextmanager
    def taken(self) -> Iterator[Session]:
        """A session that nobody else has until the block ends."""
        session = self._free.get()
        try:
            yield session
        finally:
            self._free.put(session)

    def run(self, job: Job) -> dict[str, np.ndarray]:
        """Answer a job by the first session that is free."""
        with self.taken() as session:
            return session.run(job)

    def warm(self, job: Job) -> None:
        """Capture the work of a job in every session. None of them may be in use."""
        for session in self.sessions:
            session.run(job, at_once=True)

    @property
    def counts(self) -> Counter[str]:
        """Jobs by how they were done."""
        return sum((session.counts for session in self.sessions), Counter())

    def forget_counts(self) -> None:
        """Count from now on."""
        for session in self.sessions:
            session.counts.clear()

    @property
    def graphs(self) -> int:
        """How many are captured."""
        return sum(len(session.works) for session in self.sessions)

    @property
    def refused(self) -> dict[str, str]:
        """Why programs are not captured that should be."""
        return {name: why for session in self.sessions for name, why in session.refused.items()}
