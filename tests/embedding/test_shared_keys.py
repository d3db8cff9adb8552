"""Keys that several workers hold, dealt out and put together again."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from easyrec.embedding.keys import KeyMap, as_one
from easyrec.embedding.shared_keys import holders, joined, parted, share_of
from easyrec.embedding.spec import KeySpec
from easyrec.errors import ConfigError

RULES = {
    "none": {},
    "exact": {"counting": "exact", "min_count": 2, "size": 12},
    "sketch": {"counting": "sketch", "min_count": 2, "size": 30},
    "chance": {"counting": "chance", "probability": 0.5},
}


def filled(spec, seed, steps):
    """A map that has met random keys."""
    random, keys = np.random.default_rng(seed), KeyMap(spec, 1)
    for step in range(steps):
        keys.admit(random.integers(0, 40, 15), step)
    return keys


def dealt(whole, spec, size):
    """The maps of all workers, and which rows they took."""
    maps = [KeyMap(share_of(spec, rank, size), 1) for rank in range(size)]
    return [parted(keys, whole, rank, size) for rank, keys in enumerate(maps)]


def known(arrays):
    """What is known of each key but where its row is."""
    parts = (arrays[name].tolist() for name in ("keys", "rows", "counts", "steps"))
    return {key: (row >= 0, count, step) for key, row, count, step in zip(*parts, strict=True)}


@pytest.mark.parametrize("size", [1, 2, 3, 8])
def test_every_key_has_one_holder_and_each_holds_about_as_many(size):
    for keys in (np.arange(8_000), np.arange(8_000) * 1024, np.random.default_rng(1).integers(0, 2**62, 8_000)):
        counts = np.bincount(holders(keys, size), minlength=size)
        assert len(counts) == size
        assert counts.min() > 0.8 * 8_000 / size


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    name=st.sampled_from(sorted(RULES)),
    eviction=st.sampled_from(["lru", "lfu"]),
    sizes=st.lists(st.integers(2, 4), min_size=1, max_size=3),
)
def test_a_state_goes_over_any_numbers_of_workers_and_back(seed, name, eviction, sizes):
    """Where no worker has more keys than it has room for."""
    spec = KeySpec("item", 200, **{**RULES[name], "size": RULES[name].get("size", 0) * 10}, eviction=eviction)
    one = filled(spec, seed, 4)
    before = whole = one.arrays()
    for size in sizes:
        parts = dealt(whole, spec, size)
        whole = joined([keys.arrays() for keys, _, _ in parts])
        for rank, (keys, here, there) in enumerate(parts):
            held, rows = keys.held()
            assert (holders(held, size) == rank).all()
            assert sorted(rows.tolist()) == sorted(here.tolist())
            assert len(set(there.tolist())) == len(there)
        again = joined([keys.arrays() for keys, _, _ in dealt(whole, spec, size)])
        for part, array in whole.items():  # of as many workers: to the bit
            np.testing.assert_array_equal(array, again[part], err_msg=part)
    back = one.restored(whole).arrays()
    assert known(back) == known(before)
    for part in ("sketch", "marks", "told", "before"):
        np.testing.assert_array_equal(back[part], before[part], err_msg=part)


@pytest.mark.parametrize("eviction", ["lru", "lfu", "score"])
def test_who_has_too_little_room_lets_those_go_that_its_rules_would(eviction):
    spec = KeySpec("item", 20, eviction=eviction, half_life=2.0 if eviction == "score" else 0.0)
    lost = 0
    for seed in range(5):
        one = filled(spec, seed, 6)
        before = known(one.arrays())
        now = max(step for _, _, step in before.values())
        for rank, (keys, _, _) in enumerate(dealt(one.arrays(), spec, 2)):
            mine = {key: value for key, value in before.items() if holders(np.array([key]), 2)[0] == rank}
            kept = known(keys.arrays())
            assert len(kept) == min(len(mine), 10)
            assert kept.items() <= mine.items()
            gone = [worth(eviction, *mine[key][1:], now) for key in mine.keys() - kept.keys()]
            assert max(gone, default=0.0) <= min(worth(eviction, *value[1:], now) for value in kept.values())
            lost += len(gone)
            assert keys.take_counts().evicted == len(gone) + (one.counts.evicted if rank == 0 else 0)
    assert lost


def worth(eviction, count, step, now):
    return {"lru": step, "lfu": count, "score": count * 0.5 ** ((now - step) / 2.0)}[eviction]


def test_sketches_of_several_count_no_key_too_low():
    """A key is counted by its holder alone, so that the largest counters know it."""
    spec, random = KeySpec("item", 50, "sketch", 1_000, size=20), np.random.default_rng(5)
    ids = random.integers(0, 30, 140)
    maps = [KeyMap(share_of(spec, rank, 2), 1) for rank in range(2)]
    for rank, keys in enumerate(maps):
        keys.admit(ids[holders(ids, 2) == rank], 0)
    whole = joined([keys.arrays() for keys in maps])
    merged = as_one(whole)
    assert merged["marks"][0] == 140
    alone = KeyMap(spec, 1)
    alone.admit(ids, 0)
    assert (merged["sketch"] <= alone.arrays()["sketch"]).all()
    lowest = KeySpec("item", 50, "sketch", 1, size=20)  # tells a count as that of the key that gets a row
    asked = KeyMap(lowest, 1).restored({**alone.arrays(), "sketch": merged["sketch"], "marks": merged["marks"]})
    for key, count in zip(*np.unique(ids, return_counts=True), strict=True):
        fresh = asked.restored(asked.arrays())
        fresh.admit(np.array([key]), 1)
        assert fresh.arrays()["counts"][0] >= count + 1


def test_fewer_rows_than_workers_are_refused():
    with pytest.raises(ConfigError, match="'item' has capacity 2, and 3 workers share it"):
        share_of(KeySpec("item", 2), 0, 3)
    with pytest.raises(ConfigError, match=r"admission\.size 1"):
        share_of(KeySpec("item", 9, "exact", 2, size=1), 0, 2)
