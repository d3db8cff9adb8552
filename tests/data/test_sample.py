import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from easyrec.data import Part, sample
from easyrec.data.sources.csv import Config as Csv
from easyrec.data.sources.frame import FrameSource
from easyrec.data.sources.parquet import Config as Parquet
from easyrec.data.split import Predicate
from easyrec.errors import ConfigError
from feature_generator import FeatureGenerator

GENERATOR = FeatureGenerator.load(
    {
        "features": [
            {"type": "id", "name": "city", "vocab_list": ["Rome", "Oslo"]},
            {"type": "id", "name": "code", "num_buckets": 4},
            {"type": "id", "name": "tags", "hash_bucket_size": 100},
            {"type": "raw", "name": "price"},
        ]
    }
)

FRAME = pd.DataFrame(
    {
        "city": ["Rome", "Oslo", "Paris", None] * 25,
        "code": [0, 1, 9, 3] * 25,
        "tags": [["a", "b"], [], None, ["a"]] * 25,
        "price": ["1", "x", None, "2"] * 25,
        "click": [1, 0, 0, 2] * 25,
    }
)


def test_a_sample_shows_what_the_rows_hold():
    found = sample(FrameSource(FRAME), 100, GENERATOR, {"click": 2})
    assert (found.rows, found.total) == (100, 100)
    assert found.columns["city"].missing == 0.25
    assert found.columns["city"].example == "Rome"
    assert found.columns["code"].type == "int64"
    assert found.features["city"].unknown == pytest.approx(1 / 3)
    assert found.features["city"].empty == 0.25
    assert found.features["code"].unknown == 0.25
    assert found.features["tags"].empty == 0.5
    assert found.features["tags"].distinct == 2
    assert found.features["tags"].unknown is None
    assert found.labels["click"].mean == pytest.approx(1 / 3)
    assert found.labels["click"].unusable == 0.25
    assert found.labels["click"].wrong == "must be 0 or 1, but is 2"
    assert found.labels["click"].values == {"0": 50, "1": 25}
    assert found.bad == {("price", "a value is not a number"): 25}


def test_a_sample_tells_of_lines_that_the_policy_left_out(tmp_path):
    (tmp_path / "a.csv").write_text("a,b\n1,2\n3\n4\n5,6,7\n")
    found = sample(Csv(path=str(tmp_path / "a.csv")).open("skip"), 80)
    assert found.rows == 1
    assert found.bad == {("", "too few values"): 2, ("", "too many values"): 1}


def test_a_sample_is_spread_over_the_source(tmp_path):
    pq.write_table(pa.table({"x": np.arange(10_000)}), tmp_path / "a.parquet", row_group_size=100)
    found = sample(Parquet(path=str(tmp_path)).open(), 80)
    assert (found.rows, found.total) == (80, 10_000)
    assert list(found.columns) == ["x"]


def test_a_sample_of_a_part_holds_its_rows_alone(tmp_path):
    pq.write_table(pa.table({"x": np.arange(1000)}), tmp_path / "a.parquet", row_group_size=10)
    source = Parquet(path=str(tmp_path)).open()

    def late(batch):
        return pa.array(batch.column("x").to_numpy() >= 990)

    found = sample(Part(source, Predicate("x", late)), 80)
    assert (found.rows, found.columns["x"].example) == (10, "990")


def test_no_rows_are_no_problem():
    found = sample(FrameSource(FRAME[:0]), 100, GENERATOR, {"click": 2})
    assert (found.rows, found.features, found.labels) == (0, {}, {})
    assert set(found.columns) == {"city", "code", "tags", "price", "click"}


def test_an_absent_column_is_a_config_error():
    with pytest.raises(ConfigError, match="no column 'code'"):
        sample(FrameSource(FRAME.drop(columns="code")), 100, GENERATOR)
