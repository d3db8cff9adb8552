"""Messages into columns."""

import pyarrow as pa
import pytest

from easyrec.store.codec import arrow_type
from easyrec.stream.decode import decode_json


def decoded(kind, *texts):
    rows, left_out = decode_json([text.encode() for text in texts], pa.schema([("x", arrow_type(kind))]))
    return rows.column(0).to_pylist(), [place for place, _ in left_out]


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("int64", "9007199254740993", 9007199254740993),
        ("double", "3", 3.0),
        ("bool", "true", True),
        ("string", '"ü\\n\\u00fc"', "ü\nü"),
        ("array<string>", '["a", null]', ["a", None]),
        ("vector<2>", "[1, 2.5]", [1.0, 2.5]),
        ("timestamp", '"2026-05-01T10:00:00"', "2026-05-01 10:00:00+00:00"),
        ("timestamp", '"2026-05-01T10:00:00.5Z"', "2026-05-01 10:00:00.500000+00:00"),
        ("timestamp", '"2026-05-01 12:00:00+02:00"', "2026-05-01 10:00:00+00:00"),
        ("timestamp", '"2026-05-01"', "2026-05-01 00:00:00+00:00"),
    ],
)
def test_values_of_every_type(kind, text, expected):
    (found, nothing), left_out = decoded(kind, f'{{"x": {text}}}', '{"y": 1}')
    assert (str(found) if kind == "timestamp" else found) == expected
    assert (nothing, left_out) == (None, [])


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("int64", "1.5"),
        ("int64", '"1"'),
        ("int32", "3000000000"),
        ("double", '"x"'),
        ("bool", "1"),
        ("string", "1"),
        ("vector<2>", "[1]"),
        ("timestamp", '"yesterday"'),
        ("timestamp", "5"),
        ("array<int64>", "[[1]]"),
    ],
)
def test_another_type_is_left_out_and_nothing_else(kind, text):
    found, left_out = decoded(kind, "{}", f'{{"x": {text}}}', "{}")
    assert (found, left_out) == ([None, None], [1])


def test_a_message_may_span_lines_and_must_be_one_object():
    found, left_out = decoded("int64", '{"x":\n 1}', '{"x": 1}{"x": 2}', '{"x": 1}\n{"x": 2}', "", "null", "[]", "\xff")
    assert (found, left_out) == ([1], [1, 2, 3, 4, 5, 6])
    assert decode_json([b'{"x": "\xff"}', None], pa.schema([("x", pa.string())]))[1][0][0] == 0
    assert decode_json([], pa.schema([("x", pa.string())]))[0].num_rows == 0
