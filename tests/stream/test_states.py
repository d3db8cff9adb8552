"""Every state: values by space and key, changed together, for one process."""

import pytest

from easyrec.errors import StoreError
from easyrec.stream.state import every
from feature_generator.config import member, members

KEYS = [f"k{i:04}".encode() for i in range(1500)]


@pytest.fixture(params=members("easyrec.stream.state"))
def opened(request, tmp_path):
    if request.param == "lmdb":
        pytest.importorskip("lmdb", reason="needs the extra 'lmdb'")
    made = []

    def open_(**settings):
        config = member("easyrec.stream.state", request.param).Config(**settings)
        made.append(config.open(tmp_path / "v.state"))
        return made[-1]

    open_.kind = request.param
    yield open_
    for state in made:
        state.close()


def test_values_come_back_after_it_was_closed(opened):
    state = opened()
    assert state.get("a", [b"x"]) == [None]
    state.commit([("a", KEYS, [b"v" + key for key in KEYS]), ("b", [b"x"], [b"\0\xff"])])
    state.close()
    state = opened()
    assert state.get("a", [b"k0007", b"nobody", b"k0007"]) == [b"vk0007", None, b"vk0007"]
    assert state.get("b", [b"x"]) == [b"\0\xff"]
    assert [key for key, _ in every(state, "a")] == KEYS
    assert list(every(state, "c")) == []


def test_an_empty_value_takes_a_key_away(opened):
    state = opened()
    state.commit([("a", [b"x", b"y"], [b"1", b"2"])])
    state.commit([("a", [b"x", b"nobody"], [b"", b""]), ("a", [b"z"], [b"3"])])
    assert list(every(state, "a")) == [(b"y", b"2"), (b"z", b"3")]


def test_keys_are_scanned_in_order_from_one_to_another(opened):
    state = opened()
    state.commit([("a", KEYS[::-1], KEYS[::-1]), ("a2", [b"k0001"], [b"of another space"])])
    assert [key for key, _ in state.scan("a", b"k0003", 3)] == [b"k0004", b"k0005", b"k0006"]
    assert [key for key, _ in state.scan("a", b"k0003", 9, b"k0005")] == [b"k0004"]
    assert [key for key, _ in state.scan("a", b"", 2)] == KEYS[:2]
    assert state.scan("a", KEYS[-1]) == []


def test_changes_are_made_together_or_not_at_all(opened):
    state = opened()
    state.commit([("a", [b"x"], [b"1"])])
    with pytest.raises(ValueError, match="argument 2"):
        state.commit([("a", [b"x", b"y"], [b"2", b"2"]), ("a", [b"z"], [])])
    assert list(every(state, "a")) == [(b"x", b"1")]


def test_another_one_waits_until_it_is_closed(opened):
    first = opened()
    with pytest.raises(StoreError, match="another process uses it"):
        opened()
    first.close()
    opened().commit([("a", [b"x"], [b"1"])])


def test_a_state_that_is_full_says_so(opened):
    if opened.kind != "lmdb":
        pytest.skip("a file of SQLite grows with its disk")
    state = opened(gigabytes=0.001)
    with pytest.raises(StoreError, match="is full: set 'gigabytes' higher"):
        state.commit([("a", KEYS, [b"x" * 1000] * len(KEYS))])
    assert list(every(state, "a")) == []


@pytest.mark.parametrize("size", [511, 4000])
def test_a_key_that_is_too_long_is_told(opened, size):
    state = opened()
    if opened.kind == "lmdb":
        with pytest.raises(StoreError, match="keys of at most 480 bytes"):
            state.commit([("a", [b"k" * size], [b"1"])])
    else:
        state.commit([("a", [b"k" * size], [b"1"])])
        assert state.get("a", [b"k" * size]) == [b"1"]
