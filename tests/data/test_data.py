import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from easyrec.config import load_experiment
from easyrec.data import make_loader, open_sources
from easyrec.errors import ConfigError, DataError


def experiment(**data):
    return load_experiment(
        {
            "data": {"labels": ["click"], **data},
            "features": [{"type": "id", "name": "item", "num_buckets": 1000}, {"type": "raw", "name": "price"}],
            "model": {"type": "lr"},
            "train": {"seed": 7},
            "eval": {"metrics": ["auc", {"type": "gauc", "by": "user"}], "slices": ["country"]},
        }
    )


def frame(rows=1000):
    return pd.DataFrame(
        {
            "item": np.arange(rows) % 1000,
            "price": np.arange(rows) / 2,
            "click": np.arange(rows) % 3 == 0,
            "user": np.arange(rows) % 7,
            "country": ["US", "DE"] * (rows // 2),
            "day": np.arange(rows) // 100,
            "part": np.where(np.arange(rows) < 800, "train", np.where(np.arange(rows) < 900, "valid", "test")),
        }
    )


def items(part, loader_experiment, training=False):
    loader = make_loader(loader_experiment, part, training=training)
    return [i for batch in loader for i in batch.sparse["item"].values.tolist()]


def test_frames_stand_in_for_sources():
    sources = open_sources(experiment(), {"train": frame(), "valid": frame(100)})
    assert sources.test is None
    assert items(sources.train, experiment()) == list(range(1000))
    assert len(items(sources.valid, experiment())) == 100


def test_a_mapping_with_a_type_stands_for_a_source(tmp_path):
    pq.write_table(pa.Table.from_pandas(frame()), tmp_path / "a.parquet")
    sources = open_sources(experiment(), {"train": {"type": "parquet", "path": str(tmp_path)}})
    assert sources.train.source.num_rows == 1000


def test_an_unknown_part_is_refused():
    with pytest.raises(ConfigError, match="no part 'validation'; did you mean 'valid'"):
        open_sources(experiment(), {"validation": frame()})


@pytest.mark.parametrize(
    "split",
    [{"by": "column", "column": "part"}, {"by": "time", "column": "day", "valid_from": 8, "test_from": 9}],
    ids=["column", "time"],
)
def test_one_source_is_split_in_three(split):
    config = experiment(split=split)
    sources = open_sources(config, {"train": frame()})
    assert sources.train.source is sources.test.source
    assert sorted(items(sources.train, config, training=True)) == list(range(800))
    assert items(sources.valid, config) == list(range(800, 900))
    assert items(sources.test, config) == list(range(900, 1000))


def test_a_split_by_time_may_have_no_test():
    sources = open_sources(experiment(split={"by": "time", "column": "day", "valid_from": 8}), {"train": frame()})
    assert sources.test is None


def test_a_split_by_an_absent_column_is_refused():
    with pytest.raises(ConfigError, match="no column 'dya'; did you mean 'day'"):
        open_sources(experiment(split={"by": "column", "column": "dya"}), {"train": frame()})


def test_a_split_and_a_second_source_are_refused():
    config = experiment(split={"by": "column", "column": "part"})
    with pytest.raises(ConfigError, match="no other source"):
        open_sources(config, {"train": frame(), "valid": frame()})


def test_training_and_evaluation_read_what_they_need():
    config = experiment(batch_size=64, reserved=["day"])
    part = open_sources(config, {"train": frame()}).train
    training = make_loader(config, part, training=True)
    assert training.columns == ["item", "price", "click"]
    first = next(iter(training))
    assert (first.size, first.reserved) == (64, None)
    training.close()
    evaluation = make_loader(config, part, training=False)
    first = next(iter(evaluation))
    assert (first.size, first.reserved.column_names) == (256, ["day", "country", "user"])
    evaluation.close()
    assert make_loader(config, part, training=False, labels=False, reserved=[]).columns == ["item", "price"]


def test_labels_of_binary_tasks_are_checked():
    data = frame().assign(click=np.arange(1000))
    with pytest.raises(DataError, match="train, row 2, column 'click': must be 0 or 1, but is 2"):
        list(make_loader(experiment(), open_sources(experiment(), {"train": data}).train, training=False))


def test_missing_columns_are_told_before_anything_is_read():
    with pytest.raises(ConfigError, match="no column 'price'"):
        make_loader(
            experiment(), open_sources(experiment(), {"train": frame().drop(columns="price")}).train, training=True
        )


def test_importing_the_room_loads_no_torch():
    code = "import sys, easyrec.data; assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0
