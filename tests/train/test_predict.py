import gzip
import json

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from easyrec.errors import CheckpointError, ConfigError, DataError, RunError
from easyrec.train import api

TASKS = [{"name": "ctr", "label": "click"}, {"name": "cvr", "label": "buy", "mask": "click == 1"}]


@pytest.fixture
def trained(toy):
    """A finished run and its trainer."""
    trainer = toy.trainer(train__epochs=1)
    trainer.fit()
    return trainer


@pytest.fixture
def scores(trained):
    return np.concatenate([trained.scorer.predict(batch)["click"] for batch in trained.test])


@pytest.mark.parametrize("kind", ["parquet", "csv", "csv.gz", "jsonl", "folder", "frame"])
def test_every_kind_of_input_gives_the_trainers_scores(toy, trained, scores, data, kind):
    rows, path = data["test"].drop(columns=["click", "buy", "weight"]), toy.path / f"in.{kind}"
    if kind == "parquet":
        rows.to_parquet(path)
    elif kind == "csv":
        rows.to_csv(path, index=False, float_format="%.9g")
    elif kind == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows.to_dict("records")))
    elif kind == "folder":
        path.mkdir()
        (path / "_SUCCESS").write_text("")
        rows.to_csv(path / "part-0.csv", index=False, float_format="%.9g")
    elif kind == "csv.gz":
        with gzip.open(path, "wt") as file:
            rows.to_csv(file, index=False, float_format="%.9g")
    out = toy.path / "deep" / "out.parquet"
    given = rows if kind == "frame" else path
    assert api.predict(trained.experiment, given, out, run_dir=toy.path / "run") == out
    found = pq.read_table(out).to_pandas()
    assert list(found.columns) == ["row", "click"]
    assert found["row"].tolist() == list(range(len(rows)))
    assert found["click"].dtype == np.float32
    assert np.array_equal(found["click"], scores)


def test_a_csv_holds_the_same_scores(toy, trained, scores, data):
    api.predict(trained.experiment, data["test"], toy.path / "out.csv", run_dir=toy.path / "run")
    found = pd.read_csv(toy.path / "out.csv")
    np.testing.assert_array_equal(found["click"].to_numpy(np.float32), scores)


def test_without_output_it_gives_a_frame(toy, trained, scores, data):
    found = api.predict(trained.experiment, data["test"], run_dir=toy.path / "run")
    assert isinstance(found, pd.DataFrame)
    assert np.array_equal(found["click"], scores)


def test_large_ids_survive_beside_missing_ones(toy, trained, data):
    ids = [2**60 + 1, None, *range(len(data["test"]) - 2)]
    found = api.predict(toy.path / "run", data["test"].assign(row=pd.array(ids, dtype="Int64")))
    assert found["row"].tolist() == ids


def test_the_folder_of_a_run_is_enough(toy, trained, scores, data):
    assert np.array_equal(api.predict(toy.path / "run", data["test"])["click"], scores)


def test_small_batches_give_the_same(toy, trained, scores, data):
    found = api.predict(toy.path / "run", data["test"], overrides={"data.eval_batch_size": 7})
    np.testing.assert_allclose(found["click"], scores, rtol=1e-5)


def test_no_rows_give_an_empty_file_with_its_columns(toy, trained, data):
    out = toy.path / "out.parquet"
    api.predict(toy.path / "run", data["test"].iloc[:0], out)
    assert pq.read_table(out).schema.names == ["row", "click"]
    assert pq.read_table(out).num_rows == 0


def test_one_column_per_task(toy, data):
    trainer = toy.trainer(model__tasks=TASKS, train__epochs=1)
    trainer.fit()
    found = api.predict(toy.path / "run", data["test"])
    assert list(found.columns) == ["row", "ctr", "cvr"]
    assert found["cvr"].between(0, 1).all()


def test_classes_come_as_lists(toy, data):
    tasks = [{"name": "kind", "label": "click", "type": "multiclass", "num_classes": 3}]
    toy.trainer(model__tasks=tasks, train__epochs=1).fit()
    found = api.predict(toy.path / "run", data["test"])
    assert np.allclose([sum(row) for row in found["kind"]], 1.0, atol=1e-6)
    assert {len(row) for row in found["kind"]} == {3}
    with pytest.raises(RunError, match="csv holds no lists, such as those of kind: take parquet"):
        api.predict(toy.path / "run", data["test"], toy.path / "out.csv")
    assert not list(toy.path.glob("*out.csv*"))


def test_a_reserved_column_called_like_a_task_is_refused(toy, trained, data):
    with pytest.raises(ConfigError, match="'click' is the name of a task too"):
        api.predict(toy.path / "run", data["test"], overrides={"data.reserved": ["click"]})


def test_a_missing_column_leaves_no_file(toy, trained, data):
    out = toy.path / "out.parquet"
    with pytest.raises(ConfigError, match="price"):
        api.predict(toy.path / "run", data["test"].drop(columns="price"), out)
    assert not out.exists()


def test_a_bad_row_leaves_the_former_file(toy, trained, data):
    out = toy.path / "out.parquet"
    out.write_text("former")
    bad = data["test"].copy()
    bad["price"] = bad["price"].astype(object)
    bad.loc[599, "price"] = "cheap"
    bad["price"] = bad["price"].astype(str)
    with pytest.raises(DataError, match="price"):
        api.predict(toy.path / "run", bad, out, overrides={"data.eval_batch_size": 64})
    assert out.read_text() == "former"
    assert [p.name for p in toy.path.iterdir() if "writing" in p.name] == []


def test_a_folder_that_cannot_be_written_to_is_an_error(toy, trained, data):
    (toy.path / "file").write_text("")
    with pytest.raises(RunError, match="cannot write"):
        api.predict(toy.path / "run", data["test"], toy.path / "file" / "out.parquet")


def test_another_checkpoint_can_be_named(toy, data):
    trainer = toy.trainer(train__epochs=3)
    trainer.fit()
    frames = [
        api.predict(toy.path / "run", data["test"], checkpoint=folder)["click"].to_numpy()
        for folder in sorted((toy.path / "run" / "checkpoints").iterdir())
    ]
    assert not np.array_equal(frames[0], frames[-1])


def test_other_features_than_the_trained_ones_are_refused(toy, trained, data):
    with pytest.raises(CheckpointError, match="other features"):
        api.predict(toy.path / "run", data["test"], overrides={"features[user_id].num_buckets": 50})


def test_a_run_that_is_not_there_is_an_error(toy, data):
    with pytest.raises(RunError, match="train first"):
        api.predict(toy.experiment(), data["test"], run_dir=toy.path / "absent")


def test_evaluate_measures_the_best_checkpoint_again(toy, data):
    run = toy.trainer().fit()
    found = api.evaluate(toy.path / "run", data={"valid": data["valid"], "test": data["test"]})
    assert found.metrics == {part: run.metrics[part] for part in ("valid", "test")}
    assert found.summary()[0] == ("metric", "valid", "test")


def test_evaluate_can_measure_something_else(toy, trained, data):
    found = api.evaluate(toy.path / "run", data={"test": data["test"]}, overrides={"eval.slices": ["item_id"]})
    assert set(found.metrics) == {"test"}
    assert "auc[item_id=3]" in found.metrics["test"]


def test_evaluate_needs_rows(toy, trained):
    with pytest.raises(ConfigError, match="neither"):
        api.evaluate(toy.path / "run")
