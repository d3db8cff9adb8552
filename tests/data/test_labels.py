import decimal

import numpy as np
import pyarrow as pa
import pytest

from easyrec.data.labels import read_label, read_weight


def batch(values, kind=None):
    array = values if isinstance(values, pa.Array) else pa.array(values, kind)
    return pa.RecordBatch.from_arrays([array], ["y"])


@pytest.mark.parametrize(
    "values",
    [
        pa.array([0, 1, 1], pa.int8()),
        pa.array([0, 1, 1], pa.uint64()),
        pa.array([0.0, 1.0, 1.0], pa.float64()),
        pa.array([False, True, True]),
        pa.array(["0", "1", "1.0"]),
        pa.array(["0", "1", "1"], pa.large_string()),
        pa.array(["0", "1", "1"]).dictionary_encode(),
        pa.array([decimal.Decimal(0), decimal.Decimal(1), decimal.Decimal(1)]),
        pa.array([9, 0, 1, 1])[1:],
    ],
    ids=["int8", "uint64", "float", "bool", "text", "large-text", "dictionary", "decimal", "sliced"],
)
def test_labels_of_all_types_become_numbers(values):
    labels, wrong = read_label(batch(values), "y", 2)
    assert labels.dtype == np.float32
    assert labels.tolist() == [0, 1, 1]
    assert wrong is None


@pytest.mark.parametrize(
    ("values", "classes", "rows", "sentence"),
    [
        ([0, 2, 1, -1], 2, [1, 3], "must be 0 or 1, but is 2"),
        ([0.0, 0.5], 2, [1], "must be 0 or 1, but is 0.5"),
        ([1, None], 2, [1], "must be 0 or 1, but is null"),
        ([1.0, float("nan")], 2, [1], "must be 0 or 1, but is nan"),
        (["1", "yes"], 2, [1], "must be 0 or 1, but is 'yes'"),
        ([[1], [0]], 2, [0, 1], r"must be 0 or 1, but is [1]"),
        ([0, 2, 3], 3, [2], "must be a whole number from 0 to 2, but is 3"),
        ([0.0, 1.5], 3, [1], "must be a whole number from 0 to 2, but is 1.5"),
        ([0.5, float("inf")], None, [1], "must be a finite number, but is inf"),
        ([0.0, 2.5, -0.5], 0, [2], "must be a finite number, at least 0, but is -0.5"),
    ],
    ids=["two", "half", "null", "nan", "word", "list", "class-3", "class-1.5", "regression-inf", "amount"],
)
def test_unusable_labels_are_told_by_row_and_value(values, classes, rows, sentence):
    _, wrong = read_label(batch(values), "y", classes)
    assert wrong.rows.tolist() == rows
    assert wrong.tell(rows[0]) == sentence
    assert sentence.startswith(wrong.reason)


def test_weights_are_finite_and_not_negative():
    weights, wrong = read_weight(batch([0.0, 2.5, -1.0, None, float("inf")]), "y")
    assert weights[:2].tolist() == [0, 2.5]
    assert wrong.rows.tolist() == [2, 3, 4]
