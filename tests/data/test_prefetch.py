import subprocess
import sys
import threading

import pytest

from easyrec.data.prefetch import Prefetch


def threads():
    return [thread for thread in threading.enumerate() if thread.name == "easyrec-loader"]


@pytest.mark.parametrize("size", [1, 3, 100])
def test_items_come_in_order(size):
    ahead = Prefetch(iter(range(50)), size)
    assert list(ahead) == list(range(50))
    ahead.close()
    assert not threads()


def test_no_more_than_size_items_wait():
    made, go = [], threading.Event()

    def items():
        for i in range(100):
            made.append(i)
            if i == 3:
                go.set()
            yield i

    ahead = Prefetch(items(), 3)
    assert go.wait(10)  # three wait, the fourth is in the thread's hand
    assert next(ahead) == 0
    ahead.close()
    assert len(made) <= 5


def test_a_look_at_the_next_item_takes_nothing():
    go = threading.Event()

    def items():
        yield 0
        go.wait(10)
        yield 1

    ahead = Prefetch(items(), 3)
    assert next(ahead) == 0
    assert ahead.peek() is None  # not made yet
    go.set()
    while ahead.peek() is None:
        pass
    assert (ahead.peek(), ahead.peek(), list(ahead)) == (1, 1, [1])
    ahead.close()


def test_an_error_is_raised_before_items_that_still_wait():
    failed = threading.Event()

    def items():
        try:
            yield 1
            yield 2
            raise ValueError("row 3")
        finally:
            failed.set()

    ahead = Prefetch(items(), 10)
    assert failed.wait(10)
    ahead._thread.join(10)
    with pytest.raises(ValueError, match="row 3"):
        next(ahead)
    ahead.close()
    assert not threads()


def test_closing_ends_a_thread_that_waits_for_room_and_closes_its_iterator():
    closed, full = threading.Event(), threading.Event()

    def items():
        try:
            yield 0
            full.set()
            while True:
                yield 1
        finally:
            closed.set()

    ahead = Prefetch(items(), 1)
    assert full.wait(10)
    ahead.close()
    assert closed.is_set()
    assert not threads()
    assert list(ahead) == []


def test_garbage_ends_its_thread():
    ahead = Prefetch(iter(int, 1), 1)
    thread = ahead._thread
    del ahead
    thread.join(10)
    assert not thread.is_alive()


def test_a_program_that_ends_amid_an_iteration_ends_cleanly():
    code = (
        "from easyrec.data.prefetch import Prefetch\n"
        "import pyarrow.compute as pc, pyarrow as pa\n"
        "def items():\n"
        "    while True: yield pc.sum(pa.array(range(1000)))\n"
        "ahead = Prefetch(items(), 2)\n"
        "next(ahead)\n"
        "print('done')\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, "done\n", "")
