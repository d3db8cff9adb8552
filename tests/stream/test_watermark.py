"""How far event time has come, and which ids were met."""

import numpy as np
import pyarrow as pa
import pytest

from easyrec.stream.seen import Seen
from easyrec.stream.state.sqlite import SqliteState
from easyrec.stream.watermark import BEGIN, Watermarks


def test_an_event_is_late_by_those_before_it_in_its_partition():
    marks = Watermarks(10, 60.0)
    assert marks.late("a", np.array([100, 90, 89, 120, 105]), 0.0).tolist() == [False, False, True, False, True]
    assert marks.late("b", np.array([50]), 0.0).tolist() == [False]
    assert marks.late("a", np.array([109, 110]), 0.0).tolist() == [True, False]


@pytest.mark.parametrize("cut", range(6))
def test_it_does_not_matter_where_batches_end(cut):
    times = np.array([100, 90, 89, 120, 105])
    marks = Watermarks(10, 60.0)
    found = [*marks.late("a", times[:cut], 0.0), *marks.late("a", times[cut:], 0.0)]
    assert found == [False, False, True, False, True]


def test_the_slowest_partition_holds_up_the_others_until_it_is_idle():
    marks = Watermarks(10, 60.0)
    assert marks.current(["a", "b"], 0.0) == BEGIN
    marks.late("a", np.array([1000]), 1.0)
    assert marks.current(["a", "b"], 1.0) == BEGIN
    marks.late("b", np.array([500]), 2.0)
    assert marks.current(["a", "b"], 2.0) == 490
    marks.late("a", np.array([2000]), 50.0)
    assert marks.current(["a", "b"], 61.0) == 490
    assert marks.current(["a", "b"], 63.0) == 1990
    assert marks.current(["a", "b"], 500.0) == 1990  # all of them are idle: it does not go back


def test_watermarks_go_on_from_an_earlier_run():
    marks = Watermarks(10, 60.0, {"a": 1000})
    assert marks.current(["a"], 0.0) == 990
    assert marks.late("a", np.array([989]), 0.0).tolist() == [True]


@pytest.fixture
def state(tmp_path):
    made = SqliteState(tmp_path / "s.db")
    yield made
    made.close()


def test_ids_are_known_again_after_a_restart(state):
    rng = np.random.default_rng(0)
    seen, known, hour = Seen(state, 3_600), set(), 0
    for number in range(30):
        if number % 7 == 6:
            seen = Seen(state, 3_600)
        ids = rng.integers(0, 3000, 200).tolist()
        times = np.full(200, hour)
        again = seen.again(pa.array(ids), times)
        for one, found in zip(ids, again, strict=True):
            assert found == (one in known)
            known.add(one)
        state.commit([seen.changes()])
        hour += 100


def test_what_is_older_than_the_horizon_is_forgotten_in_the_state_too(state):
    seen = Seen(state, 800)
    assert seen.again(pa.array(["a", "b"]), np.array([0, 900])).tolist() == [False, False]
    state.commit([seen.changes()])
    seen.forget(1000)
    state.commit([seen.changes()])
    seen = Seen(state, 800)
    assert seen.again(pa.array(["a", "b"]), np.array([1000, 1000])).tolist() == [False, True]


def test_texts_and_numbers_are_the_same_ids(state):
    seen = Seen(state, 800)
    seen.again(pa.array([7]), np.array([0]))
    assert seen.again(pa.array(["7", None, None]), np.array([0, 0, 0])).tolist() == [True, False, False]
