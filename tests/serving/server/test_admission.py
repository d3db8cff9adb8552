import asyncio
import threading
import time

import pytest

from serving.server.admission import Admission
from serving.server.http import Refused


def soon(seconds=5.0):
    return time.perf_counter() + seconds


class Gate:
    """Work that ends when it is told to."""

    def __init__(self):
        self.open, self.begun = threading.Event(), 0

    def __call__(self):
        self.begun += 1
        assert self.open.wait(10)
        return "done"


@pytest.fixture
def run():
    """Runs a coroutine function over an admission of one thread with room for one that waits."""

    def go(work, queue=1):
        async def inside():
            admission = Admission(1, queue)
            admission.open = True
            try:
                return await asyncio.wait_for(work(admission), 20)
            finally:
                admission.pool.shutdown()

        return asyncio.run(inside())

    return go


async def begun(gate, count):
    while gate.begun < count:
        await asyncio.sleep(0.001)


def test_whoever_finds_the_queue_full_is_told_at_once(run):
    gate = Gate()

    async def work(admission):
        first = asyncio.ensure_future(admission.run(gate, soon()))
        await begun(gate, 1)
        second = asyncio.ensure_future(admission.run(gate, soon()))
        await asyncio.sleep(0)
        assert (admission.running, admission.waiting) == (1, 1)
        with pytest.raises(Refused) as refused:
            admission.check()
        third = asyncio.ensure_future(admission.run(gate, soon()))
        await asyncio.sleep(0)
        assert isinstance(third.exception(), Refused)  # it waited for nothing
        assert (refused.value.status, refused.value.retry_after) == (429, 1)
        gate.open.set()
        assert [(await one)[0] for one in (first, second)] == ["done", "done"]
        assert (admission.running, admission.waiting) == (0, 0)

    run(work)


def test_a_deadline_ends_waiting_and_frees_the_place(run):
    gate = Gate()

    async def work(admission):
        first = asyncio.ensure_future(admission.run(gate, soon()))
        await begun(gate, 1)
        with pytest.raises(Refused) as refused:
            await admission.run(gate, soon(0.02))
        assert (refused.value.status, refused.value.reason) == (504, "deadline_queue")
        assert admission.waiting == 0
        gate.open.set()
        await first
        assert gate.begun == 1  # what was given up was never begun
        assert (await admission.run(lambda: 5, soon()))[0] == 5

    run(work)


def test_a_deadline_ends_the_request_but_its_thread_stays_taken_until_it_is_done(run):
    gate = Gate()

    async def work(admission):
        with pytest.raises(Refused) as refused:
            await admission.run(gate, soon(0.02))
        assert (refused.value.status, refused.value.reason) == (504, "deadline_score")
        assert admission.running == 1
        gate.open.set()
        assert await admission.drained(5.0)
        assert admission.running == 0

    run(work)


def test_a_client_that_goes_away_gives_its_turn_to_the_next(run):
    gate = Gate()

    async def work(admission):
        first = asyncio.ensure_future(admission.run(gate, soon()))
        await begun(gate, 1)
        second, third = (asyncio.ensure_future(admission.run(gate, soon())) for _ in range(2))
        await asyncio.sleep(0)
        second.cancel()
        gate.open.set()
        assert (await first)[0] == (await third)[0] == "done"
        assert (admission.running, admission.waiting) == (0, 0)

    run(work, queue=2)


def test_an_error_of_the_work_is_the_callers(run):
    async def work(admission):
        with pytest.raises(ZeroDivisionError):
            await admission.run(lambda: 1 / 0, soon())
        assert admission.running == 0

    run(work)


def test_nothing_is_taken_while_starting_or_draining(run):
    async def work(admission):
        for why in ("starting", "draining"):
            admission.open, admission.why = False, why
            with pytest.raises(Refused) as refused:
                admission.check()
            assert (refused.value.status, refused.value.reason, refused.value.retry_after) == (503, why, 1)

    run(work)
