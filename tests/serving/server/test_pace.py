"""Short work is done in the event loop, one piece after another."""

import asyncio
import sys
import threading
import time

import pytest

from serving.server.admission import Admission
from serving.server.http import Refused
from serving.server.pace import SHORT_S, Pace, Stopwatch


def spin(seconds):
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass
    return threading.current_thread()


def in_turn(*steps, threads=2):
    """Where the work of each step was done: (seconds of work, kind)."""

    async def run():
        admission = Admission(threads, 1)
        admission.open = True
        found = []
        for seconds, kind in steps:
            thread, _ = await admission.run(lambda s=seconds: spin(s), time.perf_counter() + 5, kind)
            found.append("loop" if thread is threading.main_thread() else "thread")
        admission.pool.shutdown()
        return found

    return asyncio.run(run())


def test_only_what_was_short_before_is_done_in_the_loop():
    assert in_turn((0, "k"), (0, "k"), (0, "other"), (0, "other")) == ["thread", "loop", "thread", "loop"]


class Paced:
    """Work of one kind that takes as long as it says."""

    def __init__(self):
        self.spent = 0.0
        self.pace = Pace(lambda: self)

    def seconds(self):
        return self.spent

    def after(self, *seconds):
        """Whether the kind is short once it took so long."""
        for self.spent in seconds:
            self.pace.measured("k", lambda: None)()
        return self.pace.is_short("k")


def test_long_work_has_a_thread_until_it_was_short_for_a_while():
    paced = Paced()
    assert not paced.after(SHORT_S * 3)
    assert not paced.after(0, 0)
    assert paced.after(*[0] * 60)


def test_one_long_pause_does_not_make_work_long():
    paced = Paced()
    assert paced.after(0, SHORT_S * 3)
    assert not paced.after(*[SHORT_S * 3] * 2)


def test_work_without_a_kind_always_has_a_thread():
    assert in_turn((0, None), (0, None)) == ["thread"] * 2


def test_the_loop_reads_what_has_come_between_two_pieces_of_work():
    """Requests that come together wait where they are counted: those behind the queue's end are told at once."""

    async def run():
        admission, order = Admission(2, 2), []
        admission.open = True
        await admission.run(lambda: None, time.perf_counter() + 5, "k")

        async def one(name):
            await admission.run(lambda: order.append(name), time.perf_counter() + 5, "k")

        first = [asyncio.ensure_future(one(name)) for name in "abc"]
        await asyncio.sleep(0)
        assert (order, admission.running, admission.waiting) == (["a"], 1, 2)
        with pytest.raises(Refused) as refused:
            admission.check()
        assert refused.value.status == 429
        asyncio.get_running_loop().call_soon(order.append, "read")
        await asyncio.gather(*first)
        assert order == ["a", "read", "b", "c"]
        assert await admission.drained(1)
        admission.pool.shutdown()

    asyncio.run(run())


def test_failures_are_not_remembered_and_the_place_is_free_again():
    def fail():
        raise ValueError("no")

    async def run():
        admission = Admission(1, 1)
        admission.open = True
        await admission.run(lambda: None, time.perf_counter() + 5, "k")
        with pytest.raises(ValueError, match="no"):
            await admission.run(fail, time.perf_counter() + 5, "k")
        with pytest.raises(Refused, match="being scored"):
            await admission.run(lambda: spin(0.002), time.perf_counter() + 0.001, "k")
        assert await admission.drained(1)
        admission.pool.shutdown()

    asyncio.run(run())


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells how often a thread has waited")
def test_time_of_other_processes_is_not_counted_and_waiting_is():
    watch = Stopwatch()
    begun, spent = time.perf_counter(), time.thread_time()
    while time.perf_counter() < begun + 0.05:
        pass
    assert watch.seconds() <= time.thread_time() - spent + 0.001
    watch = Stopwatch()
    time.sleep(0.05)
    assert watch.seconds() >= 0.05
