"""`predict` by an engine: the scores of one process, bit for bit, as every batch is one that it would make."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from easyrec.config import load_experiment
from easyrec.data.engines import engine_config
from easyrec.data.feed import source_of
from easyrec.errors import ConfigError, DataError, RunError
from easyrec.train import api
from easyrec.train.predict_spread import Trained, predict_spread
from easyrec.train.restore import restore

CONFIG = engine_config({"type": "ray", "slice_rows": 130})  # only its slices are read here
SMALL = {"data.eval_batch_size": 64}


@pytest.fixture
def trained(toy, monkeypatch):
    monkeypatch.chdir(toy.path)
    toy.trainer(train__epochs=1).fit()
    return toy.path / "run"


@pytest.fixture
def rows(toy, data):
    """600 rows in 12 row groups, whose ends are no ends of batches."""
    path = toy.path / "rows.parquet"
    pq.write_table(pa.Table.from_pandas(data["test"], preserve_index=False), path, row_group_size=50)
    return str(path)


def spread(engine, run, rows, overrides, folder="scores"):
    experiment = load_experiment(run, overrides)
    given = rows if rows in ("valid", "test") else source_of(rows, [])
    trained = Trained.of(experiment, run, None)
    with_folder = run.parent / folder
    return predict_spread(experiment, restore(experiment, run), trained, given, with_folder, CONFIG, engine)


def parts(folder):
    return pa.concat_tables([pq.read_table(path) for path in sorted(folder.glob("*.parquet"))])


def test_scores_are_those_of_one_process_to_the_last_bit(trained, rows, toy, processes):
    report, done = spread(processes, trained, rows, SMALL)
    api.predict(trained, rows, toy.path / "whole.parquet", overrides=SMALL)
    assert parts(toy.path / "scores").equals(pq.read_table(toy.path / "whole.parquet"))
    assert [pq.read_metadata(path).num_rows for path in sorted((toy.path / "scores").glob("*.parquet"))] == [
        128,
        128,
        128,
        128,
        88,
    ]
    assert (report.read, report.kept, report.num_bad, done.rows, done.slices) == (600, 600, 0, 600, 5)


def test_a_part_of_the_config_is_of_the_version_that_was_opened_first(trained, toy, data, processes):
    deltalake = pytest.importorskip("deltalake", reason="needs the extra 'delta'")
    log, rows = str(toy.path / "log"), pa.Table.from_pandas(data["test"], preserve_index=False)
    deltalake.write_deltalake(log, rows)

    class Writing(type(processes)):
        def __init__(self):
            self.shown = processes.shown

        def run(self, *arguments):
            deltalake.write_deltalake(log, rows, mode="append")
            return processes.run(*arguments)

    report, _ = spread(Writing(), trained, "test", {"data.test": {"type": "delta", "path": log}})
    assert report.read == 600


def test_rows_of_a_split_and_bad_rows_are_left_out_by_all_workers(trained, toy, data, processes):
    bad = data["test"].assign(day=np.arange(600) % 3, price=data["test"]["price"].astype(str))
    bad.loc[[100, 101, 302], "price"] = "cheap"
    bad.to_parquet(toy.path / "days.parquet", row_group_size=50)
    split = {"by": "column", "column": "day", "train": [0], "valid": [1], "test": [2]}
    overrides = {"data.train": {"type": "parquet", "path": str(toy.path / "days.parquet")}, "data.split": split}
    overrides |= {"data.bad_rows": "skip"}
    report, _ = spread(processes, trained, "test", overrides)
    whole, found = api.predict(trained, overrides=overrides), parts(toy.path / "scores").to_pandas()
    assert found["row"].tolist() == whole["row"].tolist()
    assert len(found) == 198  # of 200 rows of day 2, two of the bad ones
    np.testing.assert_allclose(found["click"], whole["click"], rtol=1e-5)
    assert (report.read, report.kept, report.num_bad) == (200, 198, 2)


def test_a_bad_row_is_named_as_one_process_names_it(trained, toy, data, processes):
    bad = data["test"].assign(price=data["test"]["price"].astype(str))
    bad.loc[250, "price"] = "cheap"
    path = str(toy.path / "bad.parquet")
    bad.to_parquet(path, row_group_size=50)
    with pytest.raises(DataError) as expected:
        api.predict(trained, path)
    with pytest.raises(DataError) as error:
        spread(processes, trained, path, SMALL)
    assert str(error.value) == str(expected.value)


@pytest.mark.slow
def test_a_config_elsewhere_with_a_vocabulary_beside_it_reaches_the_workers(toy, rows, processes, monkeypatch):
    monkeypatch.chdir(toy.path)
    (toy.path / "vocabulary").mkdir()
    (toy.path / "vocabulary" / "items.txt").write_text("".join(f"{item}\n" for item in range(30)))
    features = [dict(feature) for feature in toy.config["features"]]
    del features[1]["num_buckets"]
    features[1] |= {"vocab_file": "vocabulary/items.txt", "default_bucketize_value": 0}
    toy.trainer(features=features, train__epochs=1).fit()
    report, _ = spread(processes, toy.path / "run", rows, SMALL)
    whole = api.predict(toy.path / "run", rows, overrides=SMALL)
    assert parts(toy.path / "scores").to_pandas().equals(whole)
    assert report.kept == 600


@pytest.mark.parametrize(
    ("given", "options", "told"),
    [
        ("rows", {"output": None}, "with an engine it is a folder: name one"),
        ("rows", {"output": "scores.csv"}, "with an engine it is a folder"),
        ("rows", {"queue": "work"}, "leave the queue away"),
        ("frame", {}, "rows in memory cannot be given to an engine's workers: write them as parquet"),
    ],
)
def test_what_an_engine_cannot_do_is_told_before_it_starts(trained, rows, data, given, options, told):
    options = {"output": "scores", "engine": "ray", **options}
    with pytest.raises(ConfigError, match=told):
        api.predict(trained, data["test"] if given == "frame" else rows, **options)


def test_scores_of_other_weights_are_other_work(trained, rows, toy, processes):
    spread(processes, trained, rows, SMALL)
    (toy.path / "scores" / "_SUCCESS").unlink()
    toy.trainer(run="more", train__epochs=2).fit()
    with pytest.raises(RunError, match=r"other work \(model differ\)"):
        spread(processes, toy.path / "more", rows, SMALL)
    assert isinstance(pd.read_parquet(toy.path / "scores"), pd.DataFrame)
