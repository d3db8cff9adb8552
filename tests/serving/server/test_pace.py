"""Short work is done in the event loop, as long as requests come one by one."""

import asyncio
import threading
import time

import pytest

from serving.server.admission import Admission
from serving.server.http import Refused
from serving.server.pace import APART_S, SHORT_S, Pace


def spin(seconds):
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass
    return threading.current_thread()


def in_turn(*steps, threads=2):
    """Where the work of each step was done: (seconds of work, kind, client)."""

    async def run():
        admission = Admission(threads, 1)
        admission.open = True
        found = []
        for seconds, kind, client in steps:
            thread, _ = await admission.run(lambda s=seconds: spin(s), time.perf_counter() + 5, kind, client)
            found.append("loop" if thread is threading.main_thread() else "thread")
        admission.pool.shutdown()
        return found

    return asyncio.run(run())


def test_only_what_was_short_before_is_done_in_the_loop():
    assert in_turn((0, "k", 1), (0, "k", 1), (0, "other", 1), (0, "other", 1)) == ["thread", "loop", "thread", "loop"]


def test_long_work_has_a_thread_until_it_was_short_for_a_while():
    long = SHORT_S * 3
    assert in_turn((long, "k", 1), (0, "k", 1), (0, "k", 1)) == ["thread"] * 3
    assert in_turn((long, "k", 1), *[(0, "k", 1)] * 60)[-1] == "loop"


def test_work_without_a_kind_or_a_client_always_has_a_thread():
    assert in_turn((0, None, 1), (0, None, 1), (0, "k", None), (0, "k", None)) == ["thread"] * 4


def test_another_client_right_after_has_a_thread_where_there_are_several():
    steps = [(0, "k", 1), (0, "k", 1), (0, "k", 2)]
    assert in_turn(*steps, threads=1)[-1] == "loop"
    pace = Pace(2)
    pace.measured("k", lambda: None)()
    pace.ended(1)
    assert pace.is_short("k", 1)
    assert not pace.is_short("k", 2)
    time.sleep(2 * APART_S)
    assert pace.is_short("k", 2)


def test_failures_are_not_remembered_and_the_place_is_free_again():
    def fail():
        raise ValueError("no")

    async def run():
        admission = Admission(1, 1)
        admission.open = True
        await admission.run(lambda: None, time.perf_counter() + 5, "k", 1)
        with pytest.raises(ValueError, match="no"):
            await admission.run(fail, time.perf_counter() + 5, "k", 1)
        with pytest.raises(Refused, match="being scored"):
            await admission.run(lambda: spin(0.002), time.perf_counter(), "k", 1)
        assert admission.running == 0
        admission.pool.shutdown()

    asyncio.run(run())
