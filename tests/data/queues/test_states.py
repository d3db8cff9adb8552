"""Every queue does what a slow, obvious one in memory does, whatever is asked of it in whatever order."""

import itertools
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from easyrec.data.queues import Idle
from easyrec.errors import LeaseLost

SLICES = ("a", "b", "c", "d")
ATTEMPTS = 2
NUMBER = itertools.count()


class Obvious:
    """A queue as one would write it without thinking of processes."""

    def __init__(self):
        self.now = 0
        self.slices = [{"name": name, "state": "waiting", "attempts": 0, "lease": None} for name in SLICES]

    def lease(self, number, seconds):
        for slice in self.slices:
            if self.silent(slice) and slice["attempts"] >= ATTEMPTS:
                slice.update(state="failed", lease=None)
        free = [slice for slice in self.slices if slice["state"] == "waiting" or self.silent(slice)]
        if free:
            slice = min(free, key=lambda s: (s["attempts"], s["name"]))
            attempts = slice["attempts"] + 1
            slice.update(state="leased", lease=number, heard=self.now, seconds=seconds, attempts=attempts)
            return slice["name"], attempts
        return Idle.DONE if all(s["state"] in ("done", "failed") for s in self.slices) else Idle.WAIT

    def silent(self, slice):
        return slice["state"] == "leased" and self.now - slice["heard"] >= slice["seconds"]

    def held(self, number, states=("leased",)):
        return next((s for s in self.slices if s["lease"] == number and s["state"] in states), None)

    def renew(self, number):
        slice = self.held(number)
        if slice:
            slice["heard"] = self.now
        return slice is not None

    def complete(self, number):
        slice = self.held(number, ("leased", "done"))
        if slice:
            slice["state"] = "done"
        return slice is not None

    def fail(self, number):
        slice = self.held(number)
        if slice:
            slice.update(state="failed" if slice["attempts"] >= ATTEMPTS else "waiting", lease=None)
        return slice is not None

    def release(self, number):
        slice = self.held(number)
        if slice:
            slice.update(state="waiting", attempts=slice["attempts"] - 1, lease=None)
        return slice is not None

    def again(self, names):
        for slice in self.slices:
            if slice["name"] in names and slice["state"] in ("done", "failed"):
                slice.update(state="waiting", attempts=0, lease=None)


def machine(make_case):
    class Machine(RuleBasedStateMachine):
        leases = Bundle("leases")
        views = st.integers(0, 1)

        @initialize()
        def begin(self):
            self.case = make_case()
            self.views_of = [self.case.open(), self.case.open()]
            for view in self.views_of:
                view.create("job", list(SLICES), ATTEMPTS)
            self.model, self.count = Obvious(), 0

        # Sums of these times never come near the lengths of leases, so real seconds that pass change nothing.
        @rule(target=leases, view=views, seconds=st.sampled_from([1000, 2000]))
        def lease(self, view, seconds):
            self.count += 1
            found, expected = self.views_of[view].lease("w", seconds), self.model.lease(self.count, seconds)
            if isinstance(expected, Idle):
                assert found is expected
                return multiple()
            assert (found.slice, found.attempt) == expected
            return self.count, found

        @rule(view=views, lease=leases, call=st.sampled_from(["renew", "complete", "fail", "release"]))
        def say(self, view, lease, call):
            number, ours = lease
            more = {"complete": (number,), "fail": (f"reason {number}",)}.get(call, ())
            try:
                getattr(self.views_of[view], call)(ours, *more)
                held = True
            except LeaseLost:
                held = False
            assert held == getattr(self.model, call)(number)

        @rule(names=st.sets(st.sampled_from(SLICES)), view=views)
        def again(self, names, view):
            self.views_of[view].again(sorted(names))
            self.model.again(names)

        @rule(seconds=st.sampled_from([600, 1100]))
        def wait(self, seconds):
            self.case.advance(seconds)
            self.model.now += seconds

        @invariant()
        def same(self):
            for view in self.views_of:
                found = [(entry.slice, entry.state, entry.attempts) for entry in view.status().entries]
                assert found == [(s["name"], s["state"], s["attempts"]) for s in self.model.slices]

        def teardown(self):
            if hasattr(self, "case"):
                self.case.close()
                shutil.rmtree(self.case.folder, ignore_errors=True)

    return Machine


@pytest.mark.parametrize("kind", ["files", "sqlite", "redis"])
def test_a_queue_does_what_an_obvious_one_does(cases, kind):
    memory = Path("/dev/shm")  # a thousand little transactions, each of which waits for the disk

    def make_case():
        folder = tempfile.mkdtemp(prefix=f"queue{next(NUMBER)}-", dir=memory if memory.is_dir() else None)
        return cases(kind, Path(folder))

    run_state_machine_as_test(
        machine(make_case), settings=settings(max_examples=25, stateful_step_count=25, deadline=None)
    )
