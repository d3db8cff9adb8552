"""The same rows in every form of data give the same features."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from feature_generator import DataError, FeatureGenerator
from feature_generator.incoming import record

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
        ([1], "a row must be a mapping"),
        ("rows", "cannot read a str"),
        (
            {"age": pa.array([b"ab"], pa.binary(2)), "b": [{"x": 1}]},
            "a map is read by a weighted feature, or one that looks",
        ),
    ],
    ids=["dict", "table", "pandas", "lengths", "object", "row", "str", "record"],
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
