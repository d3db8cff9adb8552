"""Rows read out of JSON text are the rows that a general parser and `record` make of it."""

import json

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from feature_generator import DataError
from feature_generator.incoming import record
from feature_generator.json_rows import JsonRows

ints = st.integers(-(2**63), 2**63 - 1)
numbers = st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(max_size=6)
KINDS = [ints, numbers, texts, st.booleans(), st.none(), st.lists(ints, max_size=3), st.lists(texts, max_size=3)]
KINDS += [st.integers(-99, 99) | numbers, st.lists(st.lists(numbers, max_size=2), max_size=2), st.just({"k": 1})]


@st.composite
def tables(draw):
    """Rows whose columns mostly have a type."""
    columns = draw(st.dictionaries(st.text(max_size=3), st.sampled_from(KINDS), min_size=1, max_size=5))
    optional = {name: kind | st.none() for name, kind in columns.items()}
    return draw(st.lists(st.fixed_dictionaries({}, optional=optional), min_size=1, max_size=6))


def lifted(rows, ascii_only=True, **beside):
    return JsonRows.lift(json.dumps({**beside, "items": rows, "last": 1}, ensure_ascii=ascii_only).encode(), "items")


@given(tables(), st.booleans())
@example([{"a": 1, "b": "x"}, {"b": 'é\n\\"/\U0001f600', "a": 2.5}, {}], False)
@example([{"a": 2**53 - 1}, {"a": 0.5}], True)
def test_columns_are_those_of_the_parsed_rows(rows, ascii_only):
    found = lifted(rows, ascii_only, user={"a": [{"items": []}], "b": 'x"],{'})
    if found is None:
        return
    read, rest = found
    assert json.loads(rest) == {"user": {"a": [{"items": []}], "b": 'x"],{'}, "items": None, "last": 1}
    assert (read.plain, len(read), list(read)) == (rows, len(rows), rows)
    names = list(dict.fromkeys(name for row in rows for name in row))
    assert read.names == names
    for wanted in (names, [*names[::-1], "absent"]):
        if wanted:
            assert record(read, wanted).equals(record(rows, wanted))


def test_what_requests_hold_is_read():
    rows = [
        {"id": f"i{n}", "price": n / 7, "tags": ["a", "é"], "vector": [0.5, 1.0], "new": n == 1, "brand": None}
        for n in range(3)
    ]
    read, _ = lifted(rows)
    kinds = [pa.string(), pa.float64(), pa.list_(pa.string()), pa.list_(pa.float64()), pa.bool_(), pa.null()]
    assert [str(kind) for kind in read.batch.schema.types] == [str(kind) for kind in kinds]
    assert read.batch.to_pylist() == rows


NOT_READ = [
    "[]",
    "[1]",
    '[{"a": {"k": 1}}]',
    '[{"a": [{"k": 1}]}]',
    '[{"a": 1, "a": 1}]',
    '[{"a": 1}, {"a": "x"}]',
    '[{"a": 9223372036854775807}, {"a": 0.5}]',
    '[{"a": 9223372036854775808}]',
    '[{"a": -0}]',
    '[{"a": 01}]',
    '[{"a": 1.}]',
    '[{"a": .5}]',
    '[{"a": +1}]',
    '[{"a": 1e}]',
    '[{"a": 1e999}]',
    '[{"a": NaN}]',
    '[{"a": nul}]',
    '[{"a": "\\ud800"}]',
    '[{"a": "\\ud800\\u0041"}]',
    '[{"a": "\\x"}]',
    '[{"a": "\n"}]',
    '[{"a": 1},]',
    '[{"a": 1,}]',
    '[{"a" 1}]',
    "[{'a': 1}]",
    '[{"a": 1}',
    '[{"a": "x',
    '[{"\\u0061": 1}]',
    '[{"a": [[[[[[[[[1]]]]]]]]]}]',
]


@pytest.mark.parametrize("text", NOT_READ)
def test_what_a_general_parser_has_to_judge_is_left_to_it(text):
    assert JsonRows.lift(b'{"items": ' + text.encode() + b"}", "items") is None


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"other": [{"a": 1}]}', b'["items", [{"a": 1}]]', b'{"a": {"items": [{"b": 1}]}}']
)
def test_a_list_that_stands_elsewhere_is_not_taken(body):
    assert JsonRows.lift(body, "items") is None


@pytest.mark.parametrize("text", [b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf5\x80\x80\x80"])
def test_bytes_that_are_no_utf8_are_left(text):
    assert JsonRows.lift(b'{"items": [{"a": "' + text + b'"}]}', "items") is None
    assert JsonRows.lift(b'{"items": [{"' + text + b'": 1}]}', "items") is None


@given(st.data())
def test_a_byte_that_changes_is_read_as_a_parser_reads_it(data):
    body = json.dumps({"items": [{"a": 1, "b": "xy", "c": [0.25, 3]}, {"a": -2, "b": "z", "c": []}]}).encode()
    at = data.draw(st.integers(0, len(body) - 1))
    byte = data.draw(st.sampled_from(b'{}[]",:0123456789-+.eEtfn\\/ \x00\x1f\x7f\x80\xff'))
    changed = body[:at] + bytes([byte]) + body[at + 1 :]
    found = JsonRows.lift(changed, "items")
    if found is None:
        return
    try:
        rest = json.loads(found[1])
    except ValueError:
        return  # a fault elsewhere, which whoever parses the rest tells
    assert rest["items"] is None
    assert found[0].batch.to_pylist() == [
        {name: row.get(name) for name in found[0].names} for row in json.loads(changed)["items"]
    ]


def test_a_sequence_in_the_place_of_its_fields_is_told_as_ever():
    read, _ = lifted([{"s": [1, 2]}, {"s": None}])
    with pytest.raises(DataError, match="must be a list of objects"):
        record(read, ["s__i"])
    read, _ = lifted([{"s": None}])
    assert record(read, ["s__i"]).column(0).null_count == 1
