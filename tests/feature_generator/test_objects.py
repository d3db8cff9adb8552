"""Text, lists of text, maps, structs and objects of JSON are the same map, wherever in a column they stand."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_generator import DataError, FeatureGenerator
from feature_generator.incoming import record

KEYS = ["a", "b", "abcdefgh", "abcdefg", "7", "中"]
NUMBERS = st.one_of(st.integers(-(2**62), 2**62), st.floats(-1e6, 1e6).map(lambda x: round(x, 3) + 0.0))
WORDS = st.sampled_from(["x", "y z", "0.5", "-3", "long enough to be no short text"])
FEATURES = [
    {"type": "lookup", "name": "number", "map": "user:m", "key": "item:k"},
    {"type": "lookup", "name": "word", "map": "user:m", "key": "item:k", "need_key": True, "hash_bucket_size": 2**40},
    {"type": "kv_dot_product", "name": "dot", "query": "user:m", "document": "user:m"},
    {"type": "id", "name": "weighted", "expression": "user:m", "weighted": True, "hash_bucket_size": 2**40},
]


def text_of(value):
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def forms(rows):
    """The same maps in every form."""
    pairs = [[f"{key}:{text_of(value)}" for key, value in row.items()] for row in rows]
    texts = [[(key, text_of(value)) for key, value in row.items()] for row in rows]
    lists = pa.array(pairs, pa.list_(pa.string()))
    yield "text", pa.array(["\x1d".join(row) for row in pairs], pa.string())
    yield "lists", lists
    yield "dictionary-of-lists", pa.DictionaryArray.from_arrays(pa.array(range(len(rows)), pa.int32()), lists)
    yield "maps", pa.array(texts, pa.map_(pa.string(), pa.string()))
    fields = pa.struct([(key, pa.string()) for key in KEYS])
    structs = pa.array([dict(row) for row in texts], fields)
    yield "structs", structs
    yield "sliced-structs", pa.concat_arrays([pa.array([{"a": "9"}], fields), structs])[1:]
    yield "json", rows
    yield "json-texts", [dict(row) for row in texts]
    yield "pandas", pd.Series(rows, dtype=object)


def maps(values):
    """Maps whose keys stand in the order of a struct's fields."""
    row = st.dictionaries(st.sampled_from(KEYS), values, max_size=4)
    return row.map(lambda made: {key: made[key] for key in KEYS if key in made})


MAPS = st.lists(maps(NUMBERS), min_size=1, max_size=6)


@given(rows=MAPS, key=st.sampled_from(KEYS))
def test_numbers_behind_keys_are_the_same_in_every_form(kit, rows, key):
    generator = FeatureGenerator.load({"features": FEATURES})
    expected = None
    for _, column in forms(rows):
        data = {"m": column, "k": [key] * len(rows)}
        if isinstance(column, pd.Series):
            data = pd.DataFrame(data)
        elif isinstance(column, list):
            data = [{"m": row, "k": key} for row in column]
        table = generator.transform(data, bad_rows="default")
        expected = expected or table
        kit.equal(table, expected)
        assert not table.bad


@given(
    rows=st.lists(maps(WORDS | NUMBERS), min_size=1, max_size=6),
    key=st.sampled_from(KEYS),
)
def test_words_behind_keys_are_the_same_in_every_form(kit, rows, key):
    generator = FeatureGenerator.load({"features": [FEATURES[1]]})
    tables = [generator.transform({"m": column, "k": [key]}) for name, column in forms(rows) if name != "pandas"]
    for table in tables:
        kit.equal(table, tables[0])


@given(
    rows=st.lists(
        st.dictionaries(
            st.sampled_from(KEYS),
            st.dictionaries(st.sampled_from(KEYS), st.integers(0, 9), min_size=1, max_size=3),
            max_size=3,
        ),
        min_size=1,
        max_size=4,
    ),
    pkey=st.sampled_from(KEYS),
    skey=st.sampled_from(KEYS),
)
def test_maps_of_maps_are_the_same_in_every_form(kit, rows, pkey, skey):
    feature = {"type": "match", "name": "f", "nested_map": "user:m", "pkey": "item:p", "skey": "item:s"}
    generator = FeatureGenerator.load({"features": [feature]})
    texts = ["|".join(f"{p}^" + ",".join(f"{s}:{v}" for s, v in m.items()) for p, m in row.items()) for row in rows]
    inner = pa.struct([(key, pa.int64()) for key in KEYS])
    columns = [
        pa.array(texts, pa.string()),
        pa.array([[(p, list(m.items())) for p, m in row.items()] for row in rows], pa.map_(pa.string(), pa.map_(pa.string(), pa.int64()))),
        pa.array(rows, pa.struct([(key, inner) for key in KEYS])),
        pa.array([list(row.items()) for row in rows], pa.map_(pa.string(), inner)),
        rows,
    ]  # fmt: skip
    tables = [generator.transform({"m": column, "p": [pkey], "s": [skey]}) for column in columns]
    for table in tables:
        kit.equal(table, tables[0])


@given(st.lists(st.none() | st.lists(maps(NUMBERS), max_size=3), min_size=1, max_size=4))  # fmt: skip
def test_the_elements_of_a_sequence_may_be_objects(kit, rows):
    child = {"type": "id", "name": "w", "expression": "item:w", "weighted": True, "hash_bucket_size": 2**40}
    generator = FeatureGenerator.load({"features": [{"type": "sequence", "name": "s", "features": [child]}]})
    fields = pa.struct([(key, pa.float64()) for key in KEYS])
    maps = [None if row is None else [[(k, float(v)) for k, v in m.items()] for m in row] for row in rows]
    expected = generator.transform({"s__w": pa.array(maps, pa.list_(pa.map_(pa.string(), pa.float64())))})
    structs = [None if row is None else [{k: float(v) for k, v in m.items()} for m in row] for row in rows]
    kit.equal(generator.transform({"s__w": pa.array(structs, pa.list_(fields))}), expected)
    kit.equal(generator.transform({"s__w": pa.array(structs, pa.large_list(fields))}), expected)
    kit.equal(generator.transform([{"s__w": row} for row in rows]), expected)
    kit.equal(generator.transform([{"s": row and [{"w": m} for m in row]} for row in rows]), expected)
    kit.equal(generator.transform(pd.DataFrame({"s": [row and [{"w": m} for m in row] for row in rows]})), expected)


def test_lists_behind_keys_are_vectors():
    feature = {"type": "lookup", "name": "f", "map": "user:m", "key": "item:k", "value_dim": 2}
    table = FeatureGenerator.load({"features": [feature]}).transform([{"m": {"a": [1, 2.5]}, "k": "a"}])
    np.testing.assert_array_equal(table["f"].values, [[1, 2.5]])


def test_a_nan_behind_a_key_is_a_bad_number_and_no_missing_one():
    generator = FeatureGenerator.load({"features": [FEATURES[0]]})
    with pytest.raises(DataError, match="row 0, column 'm': nan is not a finite number"):
        generator.transform([{"m": {"a": float("nan")}, "k": "a"}])


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ([{"m": {"a": 1}}, {"m": "b:2"}], "row 1, column 'm': .*some are objects and some are not"),
        ([{"m": {None: 1}}], "column 'm': a key of an object cannot be read: a NoneType is no plain value"),
        ([{"m": {"a": object()}}], "column 'm': the values have no common type"),
    ],
    ids=["text-beside-objects", "key", "value"],
)
def test_objects_that_are_no_maps_are_told(rows, text):
    with pytest.raises(DataError, match=text):
        record(rows, ["m"])


# ------------------------------------------------------------------------------------------------ types

VECTORS = [[[1.0, 2.0], [3.0, 4.0]], None, [], [[5.0, 6.0]]]
TYPES = {
    "fixed": pa.list_(pa.list_(pa.float32(), 2)),
    "large-fixed": pa.large_list(pa.list_(pa.float64(), 2)),
    "views": pa.list_view(pa.list_(pa.float32())),
    "inner-views": pa.list_(pa.large_list_view(pa.float32())),
    "halves": pa.list_(pa.list_(pa.float16())),
    "decimals": pa.list_(pa.list_(pa.decimal128(5, 1))),
}


@pytest.mark.parametrize("kind", TYPES.values(), ids=TYPES)
@pytest.mark.parametrize("start", [0, 1])
def test_lists_of_any_kind_are_lists(kind, start, kit):
    feature = {"type": "raw", "name": "f", "expression": "item:v", "value_dim": 2, "sequence_length": 9}
    generator = FeatureGenerator.load({"features": [feature]})
    expected = generator.transform({"v": pa.array(VECTORS[start:], pa.list_(pa.list_(pa.float32())))})
    column = (
        pa.array(VECTORS, pa.list_(pa.list_(pa.float64()))).cast(kind)[start:]
        if "decimal" in str(kind)
        else pa.array(VECTORS, kind)[start:]
    )
    kit.equal(generator.transform(pa.RecordBatch.from_pydict({"v": column})), expected)
    kit.equal(generator.transform(pa.table({"v": pa.chunked_array([column[:1], column[1:]])})), expected)
    request = generator.request()
    kit.equal(request.score_items(pa.RecordBatch.from_pydict({"v": column})), expected)
    kit.equal(request.score_items(generator.items(pa.RecordBatch.from_pydict({"v": column}))), expected)


def test_a_run_of_equal_values_is_each_of_them(kit):
    generator = FeatureGenerator.load({"features": [{"type": "id", "name": "v", "hash_bucket_size": 100}]})
    runs = pa.RunEndEncodedArray.from_arrays(pa.array([2, 3], pa.int32()), pa.array(["a", None]))
    kit.equal(generator.transform({"v": runs}), generator.transform({"v": ["a", "a", None]}))
