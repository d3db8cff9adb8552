"""Sources become one list: in turn by weight, each item once, quotas kept."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.engine.merge import best_with_quotas, merge
from serving.engine.recall import Found

N = 50
LISTS = st.lists(st.lists(st.integers(0, N - 1), unique=True, max_size=20), min_size=1, max_size=4)


def merged(lists, weights, quotas, count):
    names = [f"s{n}" for n in range(len(lists))]
    found = [Found(np.array(one, np.int64)) for one in lists]
    return merge(found, names, weights, quotas, count, N)


@settings(deadline=None, max_examples=40)
@given(LISTS, st.integers(1, 40), st.data())
def test_merge_is_what_a_plain_loop_does(lists, count, data):
    weights = data.draw(st.lists(st.sampled_from([0.5, 1.0, 2.0]), min_size=len(lists), max_size=len(lists)))
    quota = data.draw(st.integers(0, min(count, 5)))
    keyed = sorted(
        ((rank + 0.5) / weights[s], s, rank, item) for s, one in enumerate(lists) for rank, item in enumerate(one)
    )
    order = list(dict.fromkeys(item for _, _, _, item in keyed))
    must = set(lists[0][:quota])
    kept, others = [], count - len(must)
    for item in order:
        if len(order) <= count or item in must:
            kept.append(item)
        elif others > 0:
            kept.append(item)
            others -= 1
    got = merged(lists, weights, {"s0": quota}, count)
    assert got.rows.tolist() == kept
    for item, bits in zip(got.rows.tolist(), got.sources.tolist(), strict=True):
        assert bits == sum(1 << s for s, one in enumerate(lists) if item in one)
    assert len(got) <= count


def test_twice_the_weight_gives_twice_as_many():
    got = merged([list(range(20)), list(range(20, 40))], [2.0, 1.0], {}, 12)
    assert sum(item < 20 for item in got.rows.tolist()) == 8


@pytest.mark.parametrize("count", [1, 3, 10])
def test_quotas_of_scores(count):
    scores = np.array([0.1, 0.9, np.nan, 0.5, 0.3])
    sources = np.array([1, 2, 2, 2, 1])
    got = best_with_quotas(scores, sources, {0: 1}, count).tolist()
    assert len(got) == min(count, 5)
    assert 4 in got  # the best of source 0
    assert got == [place for place in (1, 3, 4, 0, 2) if place in got]
