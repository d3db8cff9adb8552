"""The workers of a distributed job: who they are, and what they tell one another. Numbers and text, never pickles."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed
from typing_extensions import Self

from easyrec.errors import RunError

_FAILED = "easyrec/failed"


class WorkerLost(RunError):  # noqa: N818 (it says what became of the worker)
    """Another worker has ended, or does not answer."""


class Silent(RunError):  # noqa: N818 (it says what is to be said)
    """This worker ends because of what another one tells about: nothing is printed."""

    def __init__(self, exit_code: int = 1) -> None:
        super().__init__("")
        self.exit_code = exit_code


class Workers:
    """The workers of a job, seen by one of them; by itself: a job of one, which tells nobody anything.

    All workers must make the same calls in the same order. Each raises `WorkerLost` where another one has ended.

    Args:
        rank: Number of this one, from 0.
        size: How many there are.
        local: Number of this one among those of its machine.
    """

    def __init__(self, rank: int = 0, size: int = 1, local: int = 0) -> None:
        self.rank, self.size, self.local = rank, size, local
        self._group: distributed.ProcessGroup | None = None
        self._dense: distributed.ProcessGroup | None = None
        self._store: distributed.distributed_c10d.Store | None = None

    @property
    def first(self) -> bool:
        """Whether this is the one that writes and speaks."""
        return self.rank == 0

    @property
    def several(self) -> bool:
        """Whether there are others."""
        return self.size > 1

    # ------------------------------------------------------------------------------------- coming and going

    def join(self, timeout: float, backend: str = "gloo") -> None:
        """Meet the others.

        Args:
            timeout: Seconds after which a worker that does not answer is lost.
            backend: What adds up dense gradients; tables go by gloo.

        Raises:
            WorkerLost: Some did not come.
        """
        if not self.several or self._group is not None:
            return
        patience = timedelta(seconds=timeout)
        with self._asking():
            if not distributed.is_initialized():
                distributed.init_process_group("gloo", timeout=patience)
            self._group = distributed.new_group(backend="gloo", timeout=patience)
            self._dense = distributed.new_group(backend=backend, timeout=patience) if backend != "gloo" else self._group
            self._store = distributed.distributed_c10d._get_default_store()

    @contextmanager
    def speaking_once(self) -> Iterator[Self]:
        """Where all workers fail, one of them says why; the others end in silence. At the end they part.

        Raises:
            Silent: Another worker tells of what went wrong.
        """
        try:
            yield self
        except Exception as error:
            if self.several and not self._speaks():
                raise Silent(getattr(error, "exit_code", 1)) from error
            raise
        finally:
            self.leave()

    def leave(self) -> None:
        """Part from the others; what comes now is done alone."""
        if self._group is not None:
            self._group = self._dense = self._store = None
            distributed.destroy_process_group()

    def _speaks(self) -> bool:
        """Whether this worker is the one that tells why the job ends: the first that asks."""
        if self._store is None:
            return self.first
        try:
            return int(self._store.add(_FAILED, 1)) == 1
        except RuntimeError:  # who kept the store has gone already
            return self.first

    # ---------------------------------------------------------------------------------------------- numbers

    def sum(self, values: Sequence[float]) -> list[float]:
        """The sums of some numbers over all workers, equal on each."""
        if not self.several:
            return list(values)
        told = torch.tensor(values, dtype=torch.float64)
        self.add_up(told)
        result: list[float] = told.tolist()
        return result

    def agreed(self, value: bool) -> bool:
        """What the first worker says."""
        return self.sum([float(value and self.first)])[0] > 0 if self.several else value

    def add_up(self, tensor: Tensor) -> None:
        """Add up a tensor of all workers, in place."""
        if self.several:
            with self._asking():
                distributed.all_reduce(tensor, group=self._dense if tensor.is_cuda else self._group)

    def swap(self, send: Tensor, give: Sequence[int], take: Sequence[int]) -> Tensor:
        """Send each worker its piece of a flat tensor, and receive theirs.

        Args:
            send: The pieces one after another, in the order of workers.
            give: Length of each.
            take: Length of what each worker sends.
        """
        received = send.new_empty(sum(take))
        with self._asking():
            distributed.all_to_all_single(received, send, list(take), list(give), group=self._group)
        return received

    def stacked(self, tensor: Tensor) -> Tensor:
        """(workers, ...): a tensor of the same shape of each, on each."""
        if not self.several:
            return tensor[None]
        every = [torch.empty_like(tensor, memory_format=torch.contiguous_format) for _ in range(self.size)]
        with self._asking():
            group = self._dense if tensor.is_cuda else self._group
            distributed.all_gather(every, tensor.contiguous(), group=group)
        return torch.stack(every)

    # ------------------------------------------------------------------------------------------------- texts

    def bytes(self, mine: bytes) -> list[bytes]:
        """What each worker says, on each."""
        if not self.several:
            return [mine]
        sizes = self.stacked(torch.tensor([len(mine)]))[:, 0].tolist()
        padded = np.zeros(max(1, *sizes), np.uint8)
        padded[: len(mine)] = np.frombuffer(mine, np.uint8)
        every = self.stacked(torch.from_numpy(padded)).numpy()
        return [every[rank, :size].tobytes() for rank, size in enumerate(sizes)]

    def texts(self, mine: str) -> list[str]:
        """The same of text."""
        return [data.decode() for data in self.bytes(mine.encode())]

    def told(self, value: Any) -> Any:
        """A JSON value of the first worker, on each."""
        if not self.several:
            return value
        return json.loads(self.texts(json.dumps(value) if self.first else "")[0])

    def collected(self, array: np.ndarray) -> list[np.ndarray] | None:
        """An array of each worker, of any length, on the first one; None on the others."""
        shapes = json.loads("[" + ",".join(self.texts(json.dumps(array.shape))) + "]")
        if not self.first:
            if array.size:
                with self._asking():
                    distributed.send(
                        torch.from_numpy(np.require(array, requirements=["C", "W"])), group=self._group, group_dst=0
                    )
            return None
        found = [array]
        for rank, shape in enumerate(shapes[1:], 1):
            part = torch.from_numpy(np.empty(shape, array.dtype))
            if part.numel():
                with self._asking():
                    distributed.recv(part, group=self._group, group_src=rank)
            found.append(part.numpy())
        return found

    @contextmanager
    def _asking(self) -> Iterator[None]:
        try:
            yield
        except (RuntimeError, TimeoutError) as error:
            raise WorkerLost(str(error).partition(". This is typically")[0]) from error
