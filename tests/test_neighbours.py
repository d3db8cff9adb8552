"""Workers of one machine read one another's memory; here they are threads, or processes that end."""

import os
import socket
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from easyrec.neighbours import Neighbours, meet
from easyrec.workers import WorkerLost, Workers

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory without a name is Linux's")


class Hall:
    """Where threads meet: what each tells, all hear."""

    def __init__(self, size):
        self.told, self.barrier = [""] * size, threading.Barrier(size, timeout=20)

    def telling(self, rank):
        def tell(text):
            self.told[rank] = text
            self.barrier.wait()
            heard = list(self.told)
            self.barrier.wait()
            return heard

        return tell


def together(size, work):
    """What each of so many workers makes of `work(rank, neighbours)`."""
    hall = Hall(size)

    def one(rank):
        near = meet(rank, size, 20.0, hall.telling(rank))
        try:
            return work(rank, near)
        finally:
            near.leave()

    with ThreadPoolExecutor(size) as pool:
        return list(pool.map(one, range(size)))


@pytest.mark.parametrize("size", [2, 3, 5])
def test_each_gets_what_the_others_have_for_it(size):
    def pieces(step, giver, taker):
        random = np.random.default_rng([step, giver, taker])
        return [random.integers(0, 9, random.integers(0, 40 << 2 * step)) for _ in range(random.integers(0, 4))]

    def work(rank, near):
        for step in range(8):  # ever larger ones: at last some do not fit the first memory
            came = near.swap([pieces(step, rank, taker) for taker in range(size)])
            for giver, told in enumerate(came):
                expected = np.concatenate([np.zeros(0, np.int64), *pieces(step, giver, rank)])
                assert np.array_equal(told.view(np.int64), expected)
        return True

    assert all(together(size, work))


def joined(rank, size, near):
    """A worker among neighbours."""
    workers = Workers(rank, size)
    workers._near = near
    return workers


@pytest.mark.parametrize("size", [2, 3, 4])
@pytest.mark.parametrize("numbers", [5, 50_001], ids=["few", "many"])
def test_sums_are_those_of_all_and_the_same_everywhere(size, numbers):
    def parts(rank):
        generator = torch.Generator().manual_seed(rank)
        wide = torch.randn(numbers, 3, generator=generator)
        return [wide, torch.randn(2, generator=generator, dtype=torch.float64), wide.clone()[:, 1], torch.tensor(2.5)]

    def work(rank, near):
        mine = parts(rank)
        joined(rank, size, near).add_up(*mine)
        return mine

    every = together(size, work)
    for place in range(4):
        expected = sum(parts(rank)[place].double() for rank in range(size))
        for found in every:
            torch.testing.assert_close(found[place].double(), expected, rtol=1e-5, atol=1e-5)
            assert torch.equal(found[place], every[0][place])


def test_tensors_of_all_are_stacked():
    def work(rank, near):
        return joined(rank, 3, near).stacked(torch.full((2, 3), float(rank)).T)

    for found in together(3, work):
        assert torch.equal(found, torch.arange(3.0)[:, None, None].expand(3, 3, 2))


def test_a_worker_that_ends_is_noticed_by_those_who_wait():
    def work(rank, near):
        if rank == 1:
            near.leave()
            return None
        with pytest.raises(WorkerLost, match=r"worker 1 has ended|Broken pipe|reset"):
            joined(rank, 3, near).sum([1.0])
        near.leave()
        return True

    assert together(3, work)[0]


def test_a_process_that_is_killed_is_noticed():
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    child = os.fork()
    if not child:
        ours.close()
        os.kill(os.getpid(), 9)
    theirs.close()
    os.waitpid(child, 0)
    with pytest.raises(OSError, match=r"has ended|pipe|reset"):
        Neighbours(0, {1: ours}).shared([np.zeros(3)])
    ours.close()


def test_a_worker_that_does_not_answer_is_lost_in_time():
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(0.05)
    workers = joined(0, 2, Neighbours(0, {1: ours}))
    with pytest.raises(WorkerLost, match="timed out"):
        workers.sum([1.0])
    ours.close()
    theirs.close()


def test_whoever_cannot_be_reached_has_all_meet_otherwise():
    hall = Hall(2)
    tell = hall.telling(0)

    def elsewhere(text):  # as from a machine whose files are not here
        return tell("/nowhere/door" if text.startswith("/") else text)

    with ThreadPoolExecutor(2) as pool:
        found = [pool.submit(meet, 0, 2, 20.0, elsewhere), pool.submit(meet, 1, 2, 20.0, hall.telling(1))]
        assert [each.result() for each in found] == [None, None]
