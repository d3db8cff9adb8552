"""The same rows in every form of data give the same features."""

from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from feature_generator import DataError, FeatureGenerator
from feature_generator.incoming import record
from feature_generator.native import distinct_keys, read_lists, read_rows

FEATURES = [
    {"type": "id", "name": "a", "expression": "user:a", "hash_bucket_size": 100},
    {"type": "raw", "name": "x", "expression": "user:x"},
    {"type": "id", "name": "w", "expression": "user:w", "weighted": True, "hash_bucket_size": 100},
    {
        "type": "sequence",
        "name": "s",
        "features": [
            {"type": "id", "name": "i", "expression": "item:i", "num_buckets": 10},
            {"type": "raw", "name": "p", "expression": "item:p"},
        ],
    },
]
ROWS = [
    {"a": 1, "x": 0.5, "w": {"k": 2.0}, "s": [{"i": 1, "p": 0.5}, {"i": 2, "p": 1.5}]},
    {"a": None, "x": None, "w": {}, "s": []},
    {"a": 3, "x": -1.5, "w": None, "s": None},
]
ARRAYS = {
    "a": pa.array([1, None, 3]),
    "x": pa.array([0.5, None, -1.5]),
    "w": pa.array([[("k", 2.0)], [], None], pa.map_(pa.string(), pa.float64())),
    "s__i": pa.array([[1, 2], [], None]),
    "s__p": pa.array([[0.5, 1.5], [], None]),
}
OBJECTS = pa.array([row["s"] for row in ROWS], pa.list_(pa.struct([("i", pa.int64()), ("p", pa.float64())])))


@pytest.fixture(scope="module")
def generator():
    return FeatureGenerator.load({"features": FEATURES})


@pytest.fixture(scope="module")
def expected(generator):
    return generator.transform(pa.RecordBatch.from_pydict(ARRAYS))


plain = {name: array for name, array in ARRAYS.items() if not name.startswith("s__")}
FORMS = {
    "rows": ROWS,
    "arrays": ARRAYS,
    "lists": {name: array.to_pylist() for name, array in ARRAYS.items()},
    "table": pa.table(ARRAYS),
    "chunked": pa.concat_tables([pa.table(ARRAYS).slice(0, 1), pa.table(ARRAYS).slice(1)]),
    "sliced": pa.RecordBatch.from_pydict({n: pa.concat_arrays([a, a]) for n, a in ARRAYS.items()}).slice(3, 3),
    "pandas": pd.DataFrame({name: array.to_pylist() for name, array in ARRAYS.items()}),
    "text": {**plain, "a": ["1", "", "3"], "x": ["0.5", None, "-1.5"], "w": ["k:2.0", "", None], "s__i": ["1;2", "", None], "s__p": ["0.5;1.5", "", None]},
    "objects": pa.RecordBatch.from_pydict({**plain, "s": OBJECTS}),
    "sliced-objects": pa.RecordBatch.from_pydict({n: pa.concat_arrays([a, a]) for n, a in {**plain, "s": OBJECTS}.items()}).slice(3, 3),
    "fixed-size-lists": {**ARRAYS, "s__i": pa.array([[1, 2], None, None], pa.list_(pa.int32(), 2)), "s__p": pa.array([[0.5, 1.5], None, None], pa.list_(pa.float32(), 2))},
    "decimals": {**ARRAYS, "x": pa.array([0.5, None, -1.5]).cast(pa.decimal128(5, 2))},
    "dictionary": {**ARRAYS, "a": pa.array(["1", None, "3"]).dictionary_encode()},
}  # fmt: skip


@pytest.mark.parametrize("data", FORMS.values(), ids=FORMS)
def test_every_form_gives_the_same_features(data, generator, expected, kit):
    kit.equal(generator.transform(data), expected)


def test_nan_is_missing_in_pandas_and_a_bad_number_elsewhere(generator, expected, kit):
    values = {name: array.to_pylist() for name, array in ARRAYS.items()} | {"x": np.array([0.5, np.nan, -1.5])}
    kit.equal(generator.transform(pd.DataFrame(values)), expected)
    with pytest.raises(DataError, match="row 1, column 'x': nan is not a finite number"):
        generator.transform(values)


@pytest.mark.parametrize(
    "one",
    [pa.array([7]), pa.array(["7"], pa.string_view()), pa.array([["7"]], pa.list_(pa.string_view()))],
    ids=lambda array: str(array.type),
)
def test_a_column_of_one_row_stands_for_every_row(one, generator, expected):
    table = generator.transform(ARRAYS | {"a": one})
    assert table["a"].values.tolist() == [table["a"].values[0]] * 3


def test_mixed_kinds_in_json_become_text():
    assert record([{"a": 1}, {"a": "x"}, {"a": None}, {"a": 2.5}], ["a"]).column(0).to_pylist() == [
        "1",
        "x",
        None,
        "2.5",
    ]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ({"b": [1]}, "column 'age': the column is missing"),
        (pa.table({"agee": [1]}), "did you mean 'agee'"),
        (pd.DataFrame({"b": [1]}), "column 'age': the column is missing"),
        ({"age": [1, 2], "b": [1, 2, 3]}, "differ in length: 'age' has 2, 'b' has 3"),
        ([{"age": object()}], "no common type"),
        ([{"age": [1]}, {"age": None}, {"age": "1"}], "row 2, column 'age': .* some are lists and some are not"),
        ([{"age": [1]}, {"age": [[1]]}], "row 1, column 'age': .* some are nested deeper than others"),
        ([1], "a row must be a mapping"),
        ("rows", "cannot read a str"),
        (
            {"age": pa.array([b"ab"], pa.binary(2)), "b": [{"x": 1}]},
            "a map is read by a weighted feature, or one that looks",
        ),
    ],
    ids=["dict", "table", "pandas", "lengths", "object", "list", "depth", "row", "str", "record"],
)
def test_unusable_data_is_told_in_words(data, text):
    features = [{"type": "raw", "name": n, "expression": f"user:{n}"} for n in ("age", "b")]
    with pytest.raises(DataError, match=text):
        FeatureGenerator.load({"features": features}).transform(data)


def test_an_arrow_type_without_a_reading_is_named():
    with pytest.raises(DataError, match="column 'age' has an Arrow type that no feature reads"):
        FeatureGenerator.load({"features": [{"type": "raw", "name": "age"}]}).transform(
            {"age": pa.array([None], pa.month_day_nano_interval())}
        )


# ------------------------------------------------------------------------------- what is read natively, and what is not

INTEGERS = (
    st.integers(-(2**70), 2**70)
    | st.integers(-3, 3)
    | st.sampled_from([2**53 - 1, 2**53, 2**53 + 1, 2**63 - 1, 2**63, -(2**63)])
)
FLOATS = st.floats() | st.sampled_from([0.0, -0.0, 1.5])
TEXTS = st.text(st.characters(), max_size=4) | st.sampled_from(
    ["", "\0", "a\0b", "ü", "\ud800", "1;2"]
)  # surrogates too
PLAIN = [
    INTEGERS,
    st.integers(-9, 9),
    FLOATS,
    FLOATS | st.integers(-(2**54), 2**54),
    st.booleans(),
    st.booleans() | INTEGERS,
    TEXTS,
]
ODD = (
    st.binary(max_size=2)
    | st.just(np.float32(1.5))
    | st.dictionaries(TEXTS, INTEGERS, max_size=2)
    | st.tuples(TEXTS, FLOATS)
)
ANY = st.one_of(*PLAIN, ODD)


def lists(values):
    return st.lists(st.none() | values, max_size=3)


def steps(values):
    return st.lists(
        st.fixed_dictionaries({}, optional={"i": st.none() | values, "p": FLOATS, "other": ANY}), max_size=3
    )


def maps(values):
    return st.dictionaries(TEXTS, st.none() | values, max_size=3)


# Cells of one column: mostly of a kind, as in real data.
KINDS = [
    *PLAIN,
    *map(lists, PLAIN),
    *map(steps, PLAIN),
    lists(lists(INTEGERS)),
    lists(lists(lists(TEXTS))),
    ANY,
    lists(ANY),
    steps(ANY),
]
KINDS += [*map(maps, PLAIN), maps(lists(INTEGERS)), maps(maps(FLOATS)), lists(maps(FLOATS)), maps(ANY)]
KINDS += [kind | ANY for kind in (TEXTS, lists(INTEGERS), steps(INTEGERS), maps(FLOATS))]
COLUMNS = ["a", "b", "s__i", "s__p", "t__i", "t"]
KEYS = ["a", "b", "s", "t", "s__i", "c"]


@st.composite
def some_rows(draw):
    kinds = {key: draw(st.sampled_from(KINDS)) for key in draw(st.lists(st.sampled_from(KEYS), unique=True))}
    cells = {key: st.none() | kind for key, kind in kinds.items()}
    whole = draw(st.booleans())
    row = st.fixed_dictionaries(cells if whole else {}, optional={} if whole else cells)
    return draw(st.lists(row, min_size=1, max_size=5))


def outcome(data, columns):
    """What becomes of data: types and values, or the error."""
    try:
        batch = record(data, columns)
    except (DataError, UnicodeError, pa.ArrowException, ValueError, TypeError) as error:
        return type(error), str(error)
    batch.validate(full=True)
    return batch.num_rows, str(batch.schema), repr(batch.to_pydict())


@given(some_rows(), st.lists(st.sampled_from(COLUMNS), unique=True))
@example([{"a": 1, "b": "x"}, {"b": "y", "a": 2.5}, {"a": None}], ["a", "b"])
@example([{"a": True}, {"a": 1}], ["a"])
@example([{}, {"a": {"k": 1}}, {"a": None}, {"a": {}}, {"a": {"l": None, "k": 0.5}}], ["a"])
@example([{"a": {}}, {"a": None}], ["a"])
@example([{"a": {"k": 1}}, {"a": float("nan")}, {"a": []}], ["a"])
@example([{"a": {"\ud800": 1}}], ["a"])
@example([{"a": 2**53 + 1}, {"a": 0.5}], ["a"])
@example([{"a": 0.5}, {"a": -(2**53) - 1}], ["a"])
@example([{"s": [{"i": 1}, {"p": 0.5}]}, {"s": None}, {"s": []}, {}], ["s__i", "s__p"])
@example([{"s": [{"i": 1}], "s__i": [2]}], ["s__i"])
@example([{"s": [{"i": 1}, None]}], ["s__i"])
@example([{"s": float("nan")}, {"s": [{"i": [1, 2]}]}], ["s__i"])
def test_rows_are_read_alike_by_the_native_reader_and_without_it(rows, columns):
    assert outcome(rows, columns) == outcome([MappingProxyType(row) for row in rows], columns)
    assert outcome(tuple(rows), columns) == outcome(rows, columns)


@given(some_rows(), st.lists(st.sampled_from(COLUMNS), unique=True), st.integers(0, 3))
@example([{"a": 1, "s": [{"i": 1}]}, {"a": 2, "s": []}], ["a", "s__i"], 0)
@example([{"a": 1, "b": 2}, {"a": 2, "b": 3}], ["a", "b"], 1)
@example([{"s": []}, {"s": None}], ["s__i"], 0)
@example([{"s": [{"i": 1}], "s__i": [2]}], ["s__i"], 0)
@example([{"s__i": [2], "s": [{"i": 1}]}], ["s__p", "s__i"], 0)
def test_lists_are_read_alike_by_the_native_reader_and_without_it(rows, columns, short):
    data = {key: [row.get(key) for row in rows] for key in {key: None for row in rows for key in row}}
    for key in list(data)[:1] if short else ():
        data[key] = data[key][:short]
    assert outcome(data, columns) == outcome(MappingProxyType(data), columns)


def test_plain_values_are_read_natively():
    row = {"a": 1, "b": "x", "c": 0.5, "d": True, "e": [[1], []], "s": [{"i": 1}], "n": None}
    columns = [*"abcden", "s__i", "absent"]
    assert read_rows([row, {}], columns).left == []
    assert read_lists({key: [cell] for key, cell in row.items()}, [*"abcden", "s__i"]).left == []
    assert read_rows([{"a": {}}, {"a": {"k": [1]}}], ["a"]).left == []
    assert read_rows([{"a": [{}], "b": 2**63, "c": 1}, {"c": "x"}], [*"abc"]).left == ["a", "b", "c"]
    assert read_rows([MappingProxyType(row)], columns) is None


def test_only_the_unusual_columns_are_read_without_it():
    rows = [{"a": 1, "m": {"k": {"l": 1.0}}}, {"a": 2, "m": None}]
    assert read_rows(rows, ["m", "a"]).left == ["m"]
    batch = record(rows, ["m", "a"])
    assert batch.schema.names == ["m", "a"]
    assert batch.to_pydict() == {"m": [[("k", [("l", 1.0)])], []], "a": [1, 2]}


def test_lists_inside_of_lists_end_somewhere():
    deep = 1
    for _ in range(200):
        deep = [deep]
    assert read_rows([{"a": deep}], ["a"]).left == ["a"]


def test_distinct_keys_come_in_the_order_of_the_rows():
    rows = [{"a": 1, "b": 2}, {"b": 3, "c": 4}, {}, {"".join(["a"]): 1, "d": 2}]
    assert distinct_keys(rows) == ["a", "b", "c", "d"]
    assert distinct_keys([{}, {str(k): k for k in range(500)}, {str(k): k for k in range(500, -1, -1)}]) == [
        str(k) for k in range(501)
    ]
    assert distinct_keys([{}, 1]) is None
    assert distinct_keys([{1: 2}]) is None


def resident_mb():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 >> 20


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
def test_memory_is_given_back_with_the_columns():
    rows = [{"a": "x" * 8192, "b": [1, None]}] * 1000
    kept = record(rows, ["a", "b"]).column(1)
    before = resident_mb()
    for _ in range(50):
        record(rows, ["a", "b"])
        read_rows(rows, ["a", "b"])  # nobody takes these
    assert kept.to_pylist() == [[1, None]] * 1000
    assert resident_mb() - before < 400  # freed blocks are kept for later, 256 MB of them
