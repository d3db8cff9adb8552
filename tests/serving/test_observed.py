import pyarrow as pa
import pytest

from feature_generator import FeatureGenerator
from serving.observed import Observer

GENERATOR = FeatureGenerator.load(
    {
        "features": [
            {"type": "id", "name": "level", "expression": "item:level", "num_buckets": 5},
            {"type": "id", "name": "clipped", "expression": "item:clipped", "num_buckets": 5, "out_of_range": "clip"},
            {"type": "id", "name": "weighted", "expression": "item:weighted", "num_buckets": 5, "weighted": True},
            {"type": "id", "name": "cate", "expression": "item:cate", "vocab_list": ["a", "b"]},
            {"type": "id", "name": "kind", "expression": "item:kind", "vocab_list": ["a", "b"], "default_bucketize_value": 0},
        ]
    }
)  # fmt: skip
KNOWN = {"level": [1], "clipped": [1], "weighted": ["1:1"], "cate": ["a"], "kind": ["b"]}


def unknown(columns):
    batch = pa.RecordBatch.from_pydict(columns)
    return Observer(GENERATOR).count([batch], [GENERATOR.transform(batch, bad_rows="default")])[1]


def missing(batch):
    known = pa.RecordBatch.from_pydict(KNOWN)
    return Observer(GENERATOR).count([batch], [GENERATOR.transform(known, bad_rows="default")])[0]


@pytest.mark.parametrize(
    ("column", "values", "expected"),
    [
        ("level", pa.array([0, 4, 5, -1, None]), {"level": 2}),
        ("level", pa.array(["0", "4", "5", "-1", "", None]), {"level": 2}),
        ("level", pa.array([[0, 7], [8], [], None]), {"level": 2}),
        ("level", pa.array(["1\x1d9", "9"]), {"level": 2}),
        ("weighted", pa.array([[(1, 1.0), (9, 1.0)]], pa.map_(pa.int64(), pa.float64())), {"weighted": 1}),
        ("weighted", pa.array(["1:1\x1d9:1"]), {"weighted": 1}),
        ("clipped", pa.array([9, 4]), {"clipped": 1}),
        ("cate", pa.array(["a", "c", "d", None, ""]), {"cate": 2}),
        ("kind", pa.array(["b", "c"]), {"kind": 1}),
        ("kind", pa.array(["a"]), {"kind": 1}),
    ],
    ids=[
        "integers",
        "texts",
        "lists",
        "multi-value",
        "map",
        "weights",
        "clipped",
        "vocabulary",
        "with-its-own-id",
        "a-word-of-that-id",
    ],
)
def test_values_outside_are_counted(column, values, expected):
    columns = {name: value * len(values) for name, value in KNOWN.items()}
    assert unknown({**columns, column: values}) == expected


def test_known_values_are_not_counted():
    assert unknown(KNOWN) == {}


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.binary()])
def test_nulls_and_empty_texts_are_missing(kind):
    texts = pa.array(["a", "", None, "b", ""]).cast(kind)
    numbers = pa.array([1, None, 2, 3, 4])
    batch = pa.record_batch({"text": texts, "number": numbers, "full": pa.array(list("abcde"))})
    assert missing(batch) == {"text": 3, "number": 1}
    assert missing(batch.slice(3, 2)) == {"text": 1}
    assert missing(batch.slice(4, 1)) == {"text": 1}
    assert missing(batch.slice(0, 1)) == {}


def test_what_lies_behind_a_null_is_not_looked_at():
    """Arrow lets a null hide any text: here 'b' behind the second value."""
    offsets = pa.array([0, 1, 2], pa.int32()).buffers()[1]
    hidden = pa.StringArray.from_buffers(2, offsets, pa.py_buffer(b"ab"), pa.py_buffer(b"\x01"))
    assert missing(pa.record_batch({"x": hidden})) == {"x": 1}


def test_numbers_that_an_operator_makes_are_not_looked_for_in_its_columns():
    bounded = {"num_buckets": 5, "default_value": "0"}
    features = [
        {"type": "lookup", "name": "l", "map": "user:map", "key": "item:key", **bounded},
        {"type": "match", "name": "m", "nested_map": "user:maps", "pkey": "item:key", "skey": "ALL", **bounded},
        {"type": "bool_mask", "name": "b", "expression": ["item:many", "item:mask"], **bounded},
        {"type": "combine", "name": "c", "expression": "item:many", "combiner": "count", **bounded},
        {"type": "slice", "name": "s", "expression": "item:many", "end": 1, **bounded},
        {"type": "id", "name": "i", "expression": "feature:c", **bounded},
        {"type": "id", "name": "k", "expression": "const:9", **bounded},
    ]
    generator = FeatureGenerator.load({"features": features})
    batch = pa.RecordBatch.from_pydict(
        {"map": ["a:1"], "maps": ["a^b:1"], "key": ["a"], "many": [[1, 99]], "mask": [[True, False]]}
    )
    assert Observer(generator).count([batch], [generator.transform(batch)])[1] == {}


def test_words_that_an_operator_finds_are_counted_where_the_vocabulary_lacks_them():
    feature = {"type": "lookup", "name": "l", "map": "user:map", "key": "item:key", "vocab_list": ["x"]}
    generator = FeatureGenerator.load({"features": [feature]})
    batch = pa.RecordBatch.from_pydict({"map": ["a:x\x1db:y", "a:x"], "key": ["b", "a"]})
    assert Observer(generator).count([batch], [generator.transform(batch)])[1] == {"l": 1}
