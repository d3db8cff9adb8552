"""Threads of sources that may never end."""

import gc
import threading
import time
import weakref

import pytest

from serving.engine.lanes import Lane


class Large:
    """What a request had in its hands."""


def test_a_thread_that_waits_holds_nothing_of_the_last_request():
    lane, large = Lane("test"), Large()
    seen = weakref.ref(large)
    pending = lane.begin(lambda large=large: large is not None)
    assert pending.wait(time.perf_counter() + 10)
    del large, pending
    end = time.monotonic() + 10
    while seen() is not None:
        assert time.monotonic() < end
        gc.collect()
        time.sleep(0.01)
    lane.close()


def test_no_more_is_begun_than_threads_may_take_on_and_what_came_too_late_is_not_begun():
    lane, free, ran = Lane("test", threads=2), threading.Event(), []
    stuck = [lane.begin(free.wait) for _ in range(2)]
    late = [lane.begin(lambda: ran.append(1)) for _ in range(2)]
    assert lane.begin(free.wait) is None
    for pending in late:
        with pytest.raises(TimeoutError):
            pending.wait(time.perf_counter() + 0.01)
    free.set()
    assert [pending.wait(time.perf_counter() + 10) for pending in stuck] == [True, True]
    end = time.monotonic() + 10
    while (last := lane.begin(lambda: 5)) is None:
        assert time.monotonic() < end
        time.sleep(0.01)
    assert last.wait(time.perf_counter() + 10) == 5
    assert ran == []
    lane.close()
