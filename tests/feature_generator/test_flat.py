"""Batches of numbers out of bytes or lists, as Arrow sees them."""

import gc

import numpy as np
import pyarrow as pa
import pytest

from feature_generator import FeatureGenerator
from feature_generator.native import FlatLayout

FORMATS = {
    "c": "int8",
    "s": "int16",
    "i": "int32",
    "l": "int64",
    "C": "uint8",
    "S": "uint16",
    "I": "uint32",
    "L": "uint64",
}
FLOATS = {"f": "float32", "g": "float64"}


@pytest.mark.parametrize("format_", [*FORMATS, *FLOATS])
def test_numbers_come_back_as_arrow_has_them(format_):
    dtype = np.dtype((FORMATS | FLOATS)[format_])
    values = np.array([0, 1, 100, 3, 4, 5], dtype)
    layout = FlatLayout([("x", format_, -1, 1), ("lists", format_, 2, 1)], 3)
    made = layout.of_bytes(b"?" + values.tobytes(), 0)
    expected = pa.record_batch(
        {"x": values[:3], "lists": pa.array(values.reshape(3, 2).tolist(), pa.large_list(pa.from_numpy_dtype(dtype)))}
    )
    assert pa.record_batch(made).equals(expected)
    assert pa.record_batch(layout.of_lists([values[:3].tolist(), values.tolist()])).equals(expected)
    assert (len(made), made.num_rows, made.longest) == (3, 3, 2)


def test_a_source_too_short_is_refused():
    layout = FlatLayout([("x", "l", -1, 8)], 2)
    assert layout.of_bytes(bytes(24), 0) is not None
    for source, start in ((bytes(23), 0), (bytes(24), 1), (b"", 5)):
        with pytest.raises(ValueError, match="too short"):
            layout.of_bytes(source, start)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_gives_no_batch(value):
    for format_, dtype in FLOATS.items():
        layout = FlatLayout([("x", format_, -1, 0)], 2)
        assert layout.of_bytes(np.array([1.0, value], dtype).tobytes(), 0) is None
        assert layout.of_lists([[1.0, value]]) is None


@pytest.mark.parametrize(
    ("format_", "values"),
    [
        ("l", [1, 2**63]),
        ("l", [1, True]),
        ("l", [1, 2.0]),
        ("l", [1, None]),
        ("l", [1]),
        ("l", (1, 2)),
        ("L", [1, -1]),
        ("L", [1, 2**64]),
        ("c", [1, 128]),
        ("C", [1, 256]),
        ("f", [1.0, 1e39]),
        ("g", [1.0, 10**400]),
        ("g", [1.0, "2"]),
    ],
)
def test_lists_that_do_not_fit_give_no_batch(format_, values):
    assert FlatLayout([("x", format_, -1, 0)], 2).of_lists([values]) is None


@pytest.mark.parametrize(
    ("columns", "rows"),
    [([("x", "u", -1, 0)], 1), ([("x", "+l", -1, 0)], 1), ([("x", "l", -1, -1)], 1), ([("x", "l", 2**62, 0)], 2**62), ([], -1)],
)  # fmt: skip
def test_a_layout_that_no_batch_has_is_refused(columns, rows):
    with pytest.raises(ValueError, match=r"numbers|begin|long|fewer"):
        FlatLayout(columns, rows)


def test_columns_outlive_their_batch_and_no_rows_are_fine():
    column = pa.record_batch(FlatLayout([("x", "l", 2, 0)], 2).of_lists([[1, 2, 3, 4]])).column("x")
    gc.collect()
    assert column.to_pylist() == [[1, 2], [3, 4]]
    assert pa.record_batch(FlatLayout([("x", "l", 3, 0)], 0).of_bytes(b"", 0)).num_rows == 0


def test_a_generator_reads_it_as_a_record_batch():
    features = [
        {"type": "id", "name": "a", "expression": "item:a", "num_buckets": 9},
        {"type": "raw", "name": "p", "expression": "item:p"},
        {"type": "id", "name": "ab", "expression": "user:b", "hash_bucket_size": 9},
    ]
    generator = FeatureGenerator.load({"features": features})
    made = FlatLayout([("a", "l", -1, 0), ("p", "f", -1, 24)], 3).of_lists([[1, 2, 77], [0.5, 1.5, 2.5]])
    user = FlatLayout([("b", "l", -1, 0)], 1).of_lists([[5]])
    found = generator.request(user).score_items(made, tile=True)
    expected = generator.request({"b": 5}).score_items(pa.record_batch(made), tile=True)
    assert found.to_arrow().equals(expected.to_arrow())
