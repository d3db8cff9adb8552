"""Workers of one machine, who read one another's memory: what one tells is written once, and no network copies it."""

from __future__ import annotations

import mmap
import os
import socket
import struct
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

_WORD = struct.Struct("<QQ")  # which message it is, and its bytes
_LINE = 64  # bytes: every piece starts at a cache line
_ROOM = 1 << 20  # bytes of memory at first


class Neighbours:
    """All workers of a job, where they are on one machine.

    Each writes what it tells into memory of its own, which the others read, and sends them a word that it is there.
    Whoever waits sleeps, and a socket whose other end has gone says so at once. Two pieces of memory take turns: a
    worker writes into one again when all have sent the word that follows, and so have read what was there.

    All workers must make the same calls in the same order. What they give holds until the next call.

    Args:
        rank: Number of this one, from 0.
        links: By the rank of each other one, the socket to it.
    """

    def __init__(self, rank: int, links: dict[int, socket.socket]) -> None:
        self.rank, self.size, self._links = rank, 1 + len(links), links
        self._mine: list[np.ndarray] = [np.zeros(0, np.uint8)] * 2
        self._theirs = [dict[int, np.ndarray]() for _ in self._mine]
        self._told = 0

    def swap(self, pieces: Sequence[Sequence[np.ndarray]]) -> list[np.ndarray]:
        """Give each worker some arrays.

        Args:
            pieces: By worker, what it gets.

        Returns:
            By worker the bytes that it has for this one.

        Raises:
            OSError: Another worker has ended, or does not answer.
        """
        turn, head = self._told % 2, 16 * self.size  # bytes that say where each one's piece begins and ends
        sizes = [sum(part.nbytes for part in parts) for parts in pieces]
        bounds = np.cumsum([_lines(head), *map(_lines, sizes)])
        fresh = self._room(turn, int(bounds[-1]))
        memory = self._mine[turn]
        memory[:head].view(np.int64)[...] = np.stack([bounds[:-1], bounds[:-1] + sizes], axis=1).ravel()
        for at, parts in zip(bounds.tolist(), pieces, strict=False):
            _write(memory, at, parts)
        return [of[slice(*of[16 * self.rank :][:16].view(np.int64))] for of in self._exchanged(turn, fresh)]

    def shared(self, parts: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Tell all workers some arrays.

        Returns:
            By worker the memory that begins with the bytes of its arrays, one after another.

        Raises:
            OSError: Another worker has ended, or does not answer.
        """
        turn = self._told % 2
        fresh = self._room(turn, sum(part.nbytes for part in parts))
        _write(self._mine[turn], 0, parts)
        return self._exchanged(turn, fresh)

    def leave(self) -> None:
        """Part from the others, who are told so by their sockets."""
        for link in self._links.values():
            link.close()

    def _room(self, turn: int, size: int) -> int | None:
        """Have room for so many bytes; a file to tell the others of where it is new."""
        if len(self._mine[turn]) >= max(size, 1):
            return None
        file = os.memfd_create("easyrec")
        os.ftruncate(file, max(_ROOM, size + size // 2))
        self._mine[turn] = _mapped(file)
        return file

    def _exchanged(self, turn: int, fresh: int | None) -> list[np.ndarray]:
        """Send the word, and wait for those of the others: the memory of each."""
        word = _WORD.pack(self._told, len(self._mine[turn]))
        try:
            for link in self._links.values():
                if fresh is None:
                    link.send(word)
                else:
                    socket.send_fds(link, [word], [fresh])
        finally:
            if fresh is not None:
                os.close(fresh)
        for other, link in self._links.items():
            came, files, _, _ = socket.recv_fds(link, _WORD.size, 1)
            for file in files:
                self._theirs[turn][other] = _mapped(file)
                os.close(file)
            if not came:
                raise ConnectionResetError(f"worker {other} has ended")
            number, size = _WORD.unpack(came)
            assert (number, size) == (self._told, len(self._theirs[turn][other])), "workers make the same calls"
        self._told += 1
        return [self._theirs[turn].get(rank, self._mine[turn]) for rank in range(self.size)]


def meet(rank: int, size: int, timeout: float, tell: Callable[[str], list[str]]) -> Neighbours | None:
    """Meet the other workers, where all are on one machine, which is tried out; None where they are not.

    Args:
        rank: Number of this one.
        size: How many there are.
        timeout: Seconds after which a worker that does not answer is lost.
        tell: Tells all workers a text: by worker, what each says.

    Raises:
        OSError: Another worker has ended, or does not answer.
    """
    links: dict[int, socket.socket] = {}
    with ExitStack() as stack:
        address = ""
        if hasattr(os, "memfd_create") and hasattr(socket, "SOCK_SEQPACKET"):
            # A path may be too long for a socket, a disk know none, or a system refuse the memory.
            with suppress(OSError):
                folder = stack.enter_context(TemporaryDirectory(prefix="easyrec-"))  # which is closed to other users
                path, door = str(Path(folder) / "door"), stack.enter_context(_link(timeout))
                door.bind(path)
                door.listen(size)
                os.close(os.memfd_create("easyrec"))
                address = path
        addresses = tell(address)
        reached = all(addresses)
        for other in range(rank) if reached else ():
            links[other] = _link(timeout)
            try:
                links[other].connect(addresses[other])
                links[other].send(_WORD.pack(rank, 0))
            except OSError:  # on another machine
                reached = False
                break
        if not all(tell("reached" if reached else "")):
            for link in links.values():
                link.close()
            return None
        for _ in range(rank + 1, size):
            link, _ = door.accept()
            link.settimeout(timeout)
            came = link.recv(_WORD.size)
            if not came:
                raise ConnectionResetError("a worker has ended")
            links[_WORD.unpack(came)[0]] = link
    return Neighbours(rank, dict(sorted(links.items())))


def _link(timeout: float) -> socket.socket:
    link = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    link.settimeout(timeout)
    return link


def _mapped(file: int) -> np.ndarray:
    """The bytes of a file in memory."""
    return np.frombuffer(mmap.mmap(file, 0), np.uint8)


def _write(memory: np.ndarray, at: int, parts: Sequence[np.ndarray]) -> None:
    for part in parts:
        if part.nbytes:
            memory[at : at + part.nbytes].view(part.dtype).reshape(part.shape)[...] = part
        at += part.nbytes


def _lines(size: int) -> int:
    """Bytes rounded up to whole cache lines."""
    return -(-size // _LINE) * _LINE
