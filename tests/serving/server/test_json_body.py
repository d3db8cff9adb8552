import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.server.http import Refused
from serving.server.json_body import parse

TEXTS = st.text(st.sampled_from('ab"\\{}[]:,ü \n'), max_size=6)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


def depth(value):
    if not isinstance(value, dict | list):
        return 0
    return 1 + max(map(depth, value.values() if isinstance(value, dict) else value), default=0)


@given(VALUES, st.booleans())
def test_any_json_is_read_as_the_standard_library_reads_it(value, escaped):
    assert parse(json.dumps(value, ensure_ascii=escaped).encode(), 64) == value


@given(VALUES)
def test_depth_is_counted_whatever_texts_hold(value):
    text, levels = json.dumps(value).encode(), depth(value)
    assert parse(text, levels) == value
    if levels:
        with pytest.raises(Refused) as refused:
            parse(text, levels - 1)
        assert refused.value.reason == "json_depth"


@given(st.dictionaries(TEXTS, VALUES, min_size=1, max_size=3), VALUES)
def test_a_key_that_is_given_twice_is_found_wherever_it_stands(pairs, other):
    key = next(iter(pairs))
    text = "{" + ",".join(f"{json.dumps(k)}:{json.dumps(v)}" for k, v in [*pairs.items(), (key, other)]) + "}"
    with pytest.raises(Refused) as refused:
        parse(f"[1, {text}]".encode(), 64)
    assert refused.value.reason == "repeated_key"


@given(st.binary(max_size=60))
def test_anything_else_is_refused(body):
    try:
        json.loads(body.decode())
    except ValueError:
        with pytest.raises(Refused):
            parse(body, 64)


def test_a_million_brackets_are_measured_before_they_are_parsed():
    with pytest.raises(Refused) as refused:
        parse(b"[" * 1_000_000, 16)
    assert refused.value.reason == "json_depth"
