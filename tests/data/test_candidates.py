"""Candidates of a batch: what each position is compared with equals what sets say, position by position."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from easyrec.data.candidates import Arranger
from easyrec.data.samplers import Draw, Lists

COUNT = 9


def ragged(rows):
    return Lists(np.array([item for row in rows for item in row], np.int64), np.cumsum([0, *map(len, rows)]))


@given(st.integers(0, 2**31), st.integers(0, 4), st.booleans(), st.booleans(), st.booleans(), st.booleans())
@settings(max_examples=200, deadline=None)
def test_each_position_is_compared_with_each_item_once(seed, count, inside, corrected, named, apart):
    random = np.random.default_rng(seed)
    rows = np.sort(random.integers(0, 3, count))
    own = random.integers(0, COUNT, count)
    shared = np.unique(np.concatenate([random.integers(0, COUNT, 4), own if inside else own[:0]]))
    mine = np.unique(own)
    logs = {"log_q": -shared.astype(np.float32)} if corrected else {}
    logs |= {"own_log_q": -mine.astype(np.float32)} if corrected and not inside else {}
    draw = Draw(shared, inside=inside, **logs)
    known = [random.integers(-1, COUNT, random.integers(0, 4)).tolist() for _ in range(3)] if named else [[]] * 3
    theirs = np.array([random.permutation(COUNT)[:3] for _ in range(count)], np.int64).reshape(count, 3)
    theirs[random.random(theirs.shape) < 0.3] = -1
    arrange = Arranger(COUNT)
    given_apart, given_known = (theirs if apart else None), (ragged(known) if named else None)
    found = [arrange(own, rows, draw, given_apart, given_known) for _ in range(2)][1]  # nothing is left of the first
    first, end = found.shared
    assert found.items[first:end].tolist() == shared.tolist()
    assert found.items[found.targets].tolist() == own.tolist()
    assert (found.targets < (end if inside else first)).all()
    for p in range(count):
        spared = [] if found.spared is None else found.spared[1][found.spared[0] == p].tolist()
        met = [item for place, item in enumerate(shared.tolist()) if place not in spared]
        alone = [] if found.apart is None else [int(found.items[place]) for place in found.apart[p] if place >= 0]
        others = [item for item in met + alone if item != own[p]]
        expected = (set(shared) | (set(theirs[p]) - {-1} if apart else set())) - set(known[rows[p]]) - {own[p]}
        assert sorted(others) == sorted(expected)
        assert not inside or int(own[p]) in met
        assert set(alone) <= set(theirs[p])
        assert not apart or (set(theirs[p]) - {-1, own[p]} - set(known[rows[p]])) == set(alone)  # there for certain
    if corrected:
        expected = np.concatenate([-found.items[:end], np.zeros(len(found.items) - end)])
        np.testing.assert_array_equal(found.log_q, expected.astype(np.float32))
    else:
        assert found.log_q is None
