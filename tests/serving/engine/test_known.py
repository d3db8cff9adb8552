from collections import OrderedDict

from hypothesis import given
from hypothesis import strategies as st

from serving.engine.known import Known

IDS = st.lists(st.lists(st.integers(0, 40).map(str), max_size=12), max_size=30)


@given(IDS, st.integers(1, 9))
def test_the_last_ids_are_known_and_those_of_long_ago_are_not(batches, most):
    known, seen = Known(most), OrderedDict()
    for ids in batches:
        found = set(known.new(ids))
        for place, one in enumerate(ids):
            since = list(seen).index(one) if one in seen else None
            younger = None if since is None else len(seen) - since - 1  # entered after it
            if younger is None or younger >= 2 * most:
                assert place in found
            elif younger < most:
                assert place not in found
            if place in found:
                seen.pop(one, None)
                seen[one] = None


def test_it_is_as_large_in_the_end_as_in_the_beginning():
    known = Known(1000)
    size = [table.buffer_info() for table in known._tables]
    assert len(known.new(map(str, range(100_000)))) == 100_000
    assert sorted(table.buffer_info() for table in known._tables) == sorted(size)
    assert known.new(map(str, range(99_000, 100_000))) == []


def test_an_id_twice_in_one_batch_is_new_once():
    assert Known(10).new(["a", "b", "a"]) == [0, 1]
