"""Rows that a model made up teach; nothing is measured by them."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import easyrec
from easyrec.errors import DataError

ROWS = 64
WRONG = "column 'synthetic'.*a model made this row up"


def log(synthetic=None):
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"user_id": random.integers(0, 9, ROWS), "item_id": random.integers(0, 9, ROWS)})
    frame["click"] = random.integers(0, 2, ROWS)
    return frame if synthetic is None else frame.assign(synthetic=synthetic)


@pytest.fixture
def train(tmp_path):
    def run(**data):
        config = {
            "name": "toy",
            "data": {"labels": ["click"], "batch_size": 32, **({} if len(data) > 1 else {"split": {"by": "row"}})},
            "features": [
                {"type": "id", "name": name, "num_buckets": 9, "embedding_dim": 4} for name in ("user_id", "item_id")
            ],
            "model": {"type": "dnn", "hidden": [4]},
            "train": {"epochs": 1, "threads": 1},
        }
        return easyrec.train(config, data=data, run_dir=tmp_path / "run", export=False, progress=False, overwrite=True)

    return run


def one_row(value=True):
    return pd.array([False] * (ROWS - 1) + [value], dtype="boolean")


def test_they_are_trained_on(train):
    assert train(train=log(one_row()), valid=log(one_row(False)), test=log()).metrics["valid"]


@pytest.mark.parametrize("part", ["valid", "test"])
def test_no_part_is_measured_by_them(train, part):
    data = {"train": log(), "valid": log(), "test": log(), part: log(one_row())}
    with pytest.raises(DataError, match=WRONG):
        train(**data)


def test_a_run_is_not_measured_by_them_later(train, tmp_path):
    train(train=log(), valid=log())
    assert easyrec.evaluate(tmp_path / "run", data={"valid": log(one_row(False))})
    for part in ("valid", "test"):
        with pytest.raises(DataError, match=WRONG):
            easyrec.evaluate(tmp_path / "run", data={part: log(one_row())})


@pytest.mark.parametrize("values", [[1] * ROWS, ["leather"] * ROWS, pa.nulls(ROWS).to_pylist(), one_row(None)])
def test_columns_of_that_name_that_say_nothing_of_it_are_not_asked(train, values):
    assert train(train=log(), valid=log(values)).metrics["valid"]
