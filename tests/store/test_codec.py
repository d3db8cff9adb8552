"""Rows come back as they were packed, whatever their types; what is damaged is told, never read."""

import datetime
import struct

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from easyrec.store import native
from easyrec.store.codec import arrow_type, micros, pack
from feature_generator.errors import DataError

UTC = datetime.timezone.utc
TIMES = st.datetimes(datetime.datetime(1900, 1, 1), datetime.datetime(2200, 1, 1)).map(lambda t: t.replace(tzinfo=UTC))
SCALARS = {
    "bool": st.booleans(),
    "int32": st.integers(-(2**31), 2**31 - 1),
    "int64": st.integers(-(2**63), 2**63 - 1),
    "float": st.floats(width=32, allow_nan=False),
    "double": st.floats(allow_nan=False),
    "string": st.text(max_size=5),
    "timestamp": TIMES,
}


def values(kind):
    if kind in SCALARS:
        return SCALARS[kind]
    name, _, held = kind.removesuffix(">").partition("<")
    if name == "vector":
        return st.lists(SCALARS["float"], min_size=int(held), max_size=int(held))
    if name == "array":
        return st.lists(st.none() | values(held), max_size=4)
    key, _, value = held.partition(",")
    return st.dictionaries(SCALARS[key], st.none() | SCALARS[value], max_size=4).map(lambda d: list(d.items()))


KINDS = st.sampled_from(
    [
        *SCALARS,
        *(f"array<{kind}>" for kind in SCALARS),
        "array<array<float>>",
        "array<array<string>>",
        "map<string,float>",
        "map<int64,string>",
        "map<int32,bool>",
        "vector<1>",
        "vector<3>",
    ]
)


@st.composite
def tables(draw):
    types = {f"f{i}": kind for i, kind in enumerate(draw(st.lists(KINDS, min_size=1, max_size=20)))}
    row = st.fixed_dictionaries({name: st.none() | values(kind) for name, kind in types.items()})
    rows = draw(st.lists(row, max_size=4))
    schema = pa.schema([(name, arrow_type(kind)) for name, kind in types.items()])
    return types, pa.RecordBatch.from_pylist(rows, schema=schema)


def read(types, records, *, places=None, schemas=None, now=0, ttl=0, generations=(1,)):
    schemas = schemas or [(1, list(types.values()), places or list(range(len(types))))]
    reader = native.Reader(
        list(types), list(types.values()), [(0, list(generations), ttl, schemas, list(range(len(types))))]
    )
    made, counts = reader.read(records, now)
    batch = pa.record_batch(made)
    batch.validate(full=True)
    return batch, counts.tolist()[0]


def records(rows, generation=1):
    return native.splice([None] * len(rows), 0, generation, rows, [])


@given(tables())
def test_rows_come_back_as_they_were(table):
    types, batch = table
    found, counts = read(types, [*records(pack(batch, types, 1)), None])
    assert found.schema.equals(batch.schema)
    assert found.slice(0, batch.num_rows).to_pylist() == batch.to_pylist()
    assert found.slice(batch.num_rows).to_pylist() == [dict.fromkeys(types)]
    assert counts == [batch.num_rows, 1, 0]


@given(tables(), st.data())
def test_slices_of_columns_are_packed_as_their_own_rows(table, data):
    types, batch = table
    start = data.draw(st.integers(0, batch.num_rows))
    assert pack(batch.slice(start), types, 1) == pack(batch, types, 1)[start:]


@given(tables(), st.data())
def test_damaged_bytes_are_told_or_read_as_other_values_but_never_beyond_their_end(table, data):
    types, batch = table
    for record in records(pack(batch, types, 1)):
        broken = bytearray(record)
        for _ in range(3):
            broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.integers(0, 255))
        broken = bytes(broken[: data.draw(st.integers(0, len(broken)))])
        try:
            made, _ = native.Reader(
                list(types),
                list(types.values()),
                [(0, [1], 0, [(1, list(types.values()), list(range(len(types))))], list(range(len(types))))],
            ).read([broken], 0)
            pa.record_batch(made).validate()
        except ValueError as error:
            assert "damaged" in str(error) or "schema" in str(error)  # noqa: PT017 (both ways are fine)


def test_a_row_is_as_the_header_describes_it():
    batch = pa.record_batch({"a": pa.array([7], pa.int32()), "s": ["hé"], "n": pa.array([None], pa.float64())})
    (row,) = pack(batch, {"a": "int32", "s": "string", "n": "double"}, 5)
    text = "hé".encode()
    assert row == struct.pack("<HqBiId", 5, -(2**63), 0b100, 7, len(text), 0.0) + text
    (record,) = native.splice([None], 3, 9, [row], [])
    assert record == struct.pack("<BBHII", 0xE5, 1, 3, 9, len(row)) + row
    assert native.parts(record) == [(3, 9, row)]


def test_a_field_that_was_added_is_null_in_older_rows_and_one_that_went_is_passed_over():
    old = pack(pa.record_batch({"a": [1], "gone": ["x"]}), {"a": "int64", "gone": "string"}, 1)
    new = pack(pa.record_batch({"b": ["y"], "a": [2]}), {"b": "string", "a": "int64"}, 2)
    schemas = [(1, ["int64", "string"], [0, -1]), (2, ["string", "int64"], [1, 0])]
    found, _ = read({"a": "int64", "b": "string"}, records(old + new), schemas=schemas)
    assert found.to_pylist() == [{"a": 1, "b": None}, {"a": 2, "b": "y"}]


@pytest.mark.parametrize(
    ("age", "there"), [(0, True), (10, True), (11, False), (-5, True)], ids=["new", "at-ttl", "past-ttl", "future"]
)
def test_a_row_is_good_for_its_ttl(age, there):
    batch = pa.record_batch({"a": [1], "ts": pa.array([1000], pa.timestamp("us"))})
    found, counts = read(
        {"a": "int64"}, records(pack(batch, {"a": "int64"}, 1, micros(batch, "ts"))), now=1000 + age, ttl=10
    )
    assert found.to_pylist() == [{"a": 1 if there else None}]
    assert counts == ([1, 0, 0] if there else [0, 0, 1])


@pytest.mark.parametrize(
    ("column", "kind", "reason"),
    [
        (pa.array(["x"]), "int64", "holds string, which is no int64"),
        (pa.array([[1.0, 2.0]]), "vector<3>", "which is no vector<3>|2 numbers, not 3"),
        (pa.array([2**40]), "int32", "which is no int32"),
    ],
    ids=["text-as-number", "short-vector", "too-large"],
)
def test_values_of_another_type_are_refused(column, kind, reason):
    with pytest.raises(DataError, match=reason):
        pack(pa.record_batch({"a": column}), {"a": kind}, 1)


@pytest.mark.parametrize(
    "text",
    ["int", "array<>", "array<array<array<int64>>>", "map<string>", "map<float,int64>", "vector<0>", "vector<x>", ""],
)
def test_types_that_are_none_are_refused(text):
    with pytest.raises(ValueError, match=r"type|keys|dimension"):
        arrow_type(text)


class TestRecords:
    def test_the_newest_generation_that_counts_is_read(self):
        record = None
        for generation, row in ((1, b"one"), (2, b"two"), (4, b"four")):
            (record,) = native.splice([record], 0, generation, [row], [(0, [1, 2, 3, 4])])
        assert native.newest([record], 0, [1, 4]) == [b"four"]

    def test_what_a_stopped_writer_left_counts_never(self):
        (record,) = native.splice([None], 0, 1, [b"old"], [])
        (record,) = native.splice([record], 0, 2, [b"left behind"], [(0, [1])])
        (record,) = native.splice([record], 0, 3, [b"new"], [(0, [1])])
        assert native.newest([record], 0, [1]) == [b"old"]
        assert native.newest([record], 0, [1, 3]) == [b"new"]
        assert [part[1] for part in native.parts(record)] == [1, 3]

    def test_other_views_stay_as_they_are(self):
        (record,) = native.splice([None], 7, 5, [b"mine"], [])
        (record,) = native.splice([record], 8, 1, [b"other"], [])
        assert native.newest([record], 7, [5]) == [b"mine"]

    def test_a_row_that_is_older_than_the_one_of_its_generation_changes_nothing(self):
        new, old = struct.pack("<Hq", 1, 200), struct.pack("<Hq", 1, 100)
        (record,) = native.splice([None], 0, 1, [new], [])
        assert native.splice([record], 0, 1, [old], []) == [record]

    def test_a_deleted_key_is_not_there_and_does_not_rise_from_an_older_generation(self):
        (record,) = native.splice([None], 0, 1, [b"old"], [])
        (record,) = native.splice([record], 0, 2, [b""], [(0, [1])])
        assert native.newest([record], 0, [1, 2]) == [None]
        (kept,) = native.sweep([record], [(0, [1, 2]), (0, [1])])
        assert native.newest([kept], 0, [1, 2]) == [None]
        assert native.newest([kept], 0, [1]) == [b"old"]
        assert native.sweep([record], [(0, [1, 2])]) == [b""]
