import datetime
import logging

import numpy as np
import pyarrow as pa
import pytest

from easyrec.config.data import Leakage
from easyrec.data import Demand, Loader
from easyrec.data.leakage import find_leaks
from easyrec.data.sources.frame import FrameSource
from easyrec.errors import ConfigError, DataError
from feature_generator import FeatureGenerator

CONFIG = Leakage(time="t", sequences=["s"])


def leaks(times, steps, kind=None):
    batch = pa.RecordBatch.from_arrays([pa.array(times), pa.array(steps, kind)], ["t", "s"])
    return [row for wrong in find_leaks(batch, CONFIG) for row in wrong.rows.tolist()]


@pytest.mark.parametrize(
    "kind",
    [pa.list_(pa.int64()), pa.list_(pa.float32()), pa.large_list(pa.int32())],
    ids=["int", "float", "large-list"],
)
def test_a_step_at_or_after_the_exposure_is_a_leak(kind):
    assert leaks([10, 10, 10, 10], [[1, 9], [1, 10], [11, 2], []], kind) == [1, 2]


def test_nulls_prove_nothing():
    assert leaks([10, None, 10], [None, [5], [None, 10]]) == [2]


def test_texts_and_moments_are_compared_too():
    assert leaks([10, 10, 10, 10], ["1;9", "9;10", "", None]) == [1]
    day = datetime.datetime(2024, 5, 1)
    assert leaks([day], [[day - datetime.timedelta(1)]]) == []
    assert leaks([day], [[day]]) == [0]


def test_rows_are_counted_in_a_sliced_batch():
    batch = pa.RecordBatch.from_arrays([pa.array([10] * 5), pa.array([[99], [1], [2], [30], [4]])], ["t", "s"])
    (wrong,) = find_leaks(batch.slice(1), CONFIG)
    assert wrong.rows.tolist() == [2]
    assert wrong.tell(2) == "has a step at 30, which is not before its exposure at 10 (column 't')"


def test_a_column_without_times_is_a_config_error():
    with pytest.raises(ConfigError, match="needs a list of times"):
        leaks([1], [1.0])
    with pytest.raises(ConfigError, match="cannot be compared"):
        leaks(["noon"], [[1.0]])


def make_loader(action, **demand):
    generator = FeatureGenerator.load({"features": [{"type": "raw", "name": "x"}]})
    steps = [[i - 1] for i in range(1000)]
    for row in (700, 800):
        steps[row] = [row]
    source = FrameSource({"x": np.arange(1000.0), "y": np.ones(1000), "t": np.arange(1000), "s": steps}, "train")
    leakage = Leakage(time="t", sequences=["s"], action=action)
    return Loader(source, generator, Demand({"y": 2}, leakage=leakage, **demand), batch_size=100)


@pytest.mark.parametrize("policy", ["fail", "skip", "default"])
def test_a_leak_fails_whatever_the_policy_for_bad_rows(policy):
    with pytest.raises(DataError, match="train, row 700, column 's': has a step at 700"):
        list(make_loader("fail", bad_rows=policy))


def test_a_leak_warns_once_and_is_counted(caplog):
    loader = make_loader("warn")
    with caplog.at_level(logging.WARNING, "easyrec"):
        assert sum(batch.size for batch in loader) == 1000
    assert len(caplog.records) == 1
    assert "row 700" in caplog.text
    assert list(loader.report.bad.values()) == [2]
