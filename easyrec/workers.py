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
from easyrec.neighbours import Neighbours, meet

_FAILED = "easyrec/failed"
_MANY = 1 << 14
"""Numbers from which on three workers and more share the work of adding up."""


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
        self._near: Neighbours | None = None

    @property
    def first(self) -> bool:
        """Whether this is the one that writes and speaks."""
        return self.rank == 0

    @property
    def several(self) -> bool:
        """Whether there are others."""
        return self.size > 1

    # ------------------------------------------------------------------------------------- coming and going

    def join(self, timeout: float, backend: str = "gloo", transport: str = "auto") -> None:
        """Meet the others.

        Args:
            timeout: Seconds after which a worker that does not answer is lost.
            backend: What adds up gradients on GPUs.
            transport: `gloo` carries the rest; `auto`: the memory of the machine, where all are on one.

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
        if transport == "auto":
            with self._asking(near=True):
                self._near = meet(self.rank, self.size, timeout, self.texts)

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
        if self._near is not None:
            self._near.leave()
            self._near = None
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

    def add_up(self, *parts: Tensor) -> None:
        """Add up tensors of all workers, in place; what is in the memory of the processor travels together."""
        kinds: dict[Any, list[Tensor]] = {}
        for part in parts if self.several else ():
            near = self._near is not None and not part.is_cuda
            kinds.setdefault(None if near else (part.device, part.dtype), []).append(part.detach())
        for kind, whole in kinds.items():
            whole.sort(key=lambda part: -part.element_size())  # each starts at a multiple of its element
            flat = [part.contiguous().reshape(-1) for part in whole]
            with self._asking(near=kind is None):
                if kind is None:
                    self._add_up_near(flat)
                else:
                    self._add_up_far(flat)
            for part, total in zip(whole, flat, strict=True):
                if total.data_ptr() != part.data_ptr():
                    part.copy_(total.view_as(part))

    def _add_up_far(self, parts: Sequence[Tensor]) -> None:
        flat = parts[0] if len(parts) == 1 else torch.cat(list(parts))
        distributed.all_reduce(flat, group=self._dense if flat.is_cuda else self._group)
        for part, total in zip(parts, torch.split(flat, [part.numel() for part in parts]), strict=True):
            part.copy_(total)

    def _add_up_near(self, parts: Sequence[Tensor]) -> None:
        near, ranks = self._near, range(self.size)
        assert near is not None
        if self.size == 2:  # whose order does not matter
            other = near.shared([_bytes(part) for part in parts])[1 - self.rank]
            for part, theirs in zip(parts, _tensors(other, parts), strict=True):
                part.add_(theirs)
            return
        if sum(part.numel() for part in parts) < _MANY:
            _sum_into(parts, near.shared([_bytes(part) for part in parts]))
            return
        # Each adds up a share of all.
        ends = [[part.numel() * rank // self.size for rank in (*ranks, self.size)] for part in parts]
        shares = [[part[at[rank] : at[rank + 1]] for part, at in zip(parts, ends, strict=True)] for rank in ranks]
        mine = shares[self.rank]
        _sum_into(mine, near.swap([[_bytes(part) for part in share] for share in shares]))
        for share, told in zip(shares, near.shared([_bytes(part) for part in mine]), strict=True):
            for part, total in zip(share, _tensors(told, share), strict=True):
                part.copy_(total)

    def swap(
        self, pieces: Sequence[Sequence[np.ndarray]], dtype: type[np.generic], take: Sequence[int] | None = None
    ) -> list[np.ndarray]:
        """Give each worker some arrays, and take theirs: by worker a flat array, which holds until the next call.

        Args:
            pieces: By worker, what it gets; for this one, what is given back.
            dtype: Of all of them.
            take: How many numbers each one gives; None: it is asked.
        """
        if self._near is not None:
            with self._asking(near=True):
                return [told.view(dtype) for told in self._near.swap(pieces)]
        give = [sum(part.size for part in parts) for parts in pieces]
        if take is None:
            take = self._swapped(torch.tensor(give), [1] * self.size, [1] * self.size).tolist()
        sent = np.concatenate([np.zeros(0, dtype), *(part.ravel() for parts in pieces for part in parts)])
        came = self._swapped(torch.from_numpy(sent), give, take).numpy()
        return np.split(came, np.cumsum(take)[:-1])

    def _swapped(self, send: Tensor, give: Sequence[int], take: Sequence[int]) -> Tensor:
        received = send.new_empty(sum(take))
        with self._asking():
            distributed.all_to_all_single(received, send, list(take), list(give), group=self._group)
        return received

    def stacked(self, tensor: Tensor) -> Tensor:
        """(workers, ...): a tensor of the same shape of each, on each."""
        if not self.several:
            return tensor[None]
        if self._near is not None and not tensor.is_cuda:
            with self._asking(near=True):
                flat = tensor.detach().contiguous().reshape(-1)
                told = self._near.shared([_bytes(flat)])
                return torch.stack([_tensors(of, [flat])[0] for of in told]).view(self.size, *tensor.shape)
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
    def _asking(self, *, near: bool = False) -> Iterator[None]:
        """Tell of those who do not answer: sockets say so by an OSError, gloo by a RuntimeError."""
        kinds: tuple[type[Exception], ...] = (OSError,) if near else (RuntimeError, TimeoutError)
        try:
            yield
        except kinds as error:
            raise WorkerLost(str(error).partition(". This is typically")[0]) from error


def _bytes(tensor: Tensor) -> np.ndarray:
    flat: np.ndarray = tensor.view(torch.uint8).numpy()
    return flat


def _tensors(told: np.ndarray, like: Sequence[Tensor]) -> list[Tensor]:
    """The tensors of bytes, one after another."""
    ends = np.cumsum([part.numel() * part.element_size() for part in like]).tolist()
    cut = [told[at:end] for at, end in zip((0, *ends), ends, strict=False)]
    return [torch.from_numpy(of).view(part.dtype) for of, part in zip(cut, like, strict=True)]


def _sum_into(parts: Sequence[Tensor], told: Sequence[np.ndarray]) -> None:
    """Fill tensors with the sums of what all workers told, in their order."""
    for part, first, second, *others in zip(parts, *(_tensors(of, parts) for of in told), strict=True):
        torch.add(first, second, out=part)
        for other in others:
            part.add_(other)
