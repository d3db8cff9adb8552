import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from easyrec.batch import Batch
from easyrec.check import build
from easyrec.config.init_from import InitFrom
from easyrec.errors import CheckpointError, ConfigError
from easyrec.train.ahead import look_ahead
from easyrec.train.init_from import init_from
from easyrec.train.snapshot import read_folder


def taken_from(path, trainer, **options):
    start = InitFrom(path=str(path), **options)
    return init_from(start, trainer.model, trainer.collection, trainer.experiment.generator)


def test_what_has_equal_name_and_shape_is_taken_over(toy, caplog):
    toy.trainer(run="old", train__epochs=1).fit()
    old = toy.trainer(run="old", resume=True, train__epochs=1)
    old.fit()
    new = toy.trainer(run="new", model__hidden=[16, 4], train__init_from=str(toy.path / "old"))
    taken = taken_from(toy.path / "old", new)
    for name in ("user_id", "item_id"):
        assert np.array_equal(new.collection.weights[name], old.collection.weights[name])
    assert torch.equal(new.model.deep[0].weight, old.model.deep[0].weight)
    assert new.model.deep[3].weight.shape == (4, 16)
    assert any("deep.3.weight ([8, 16] there, [4, 16] here)" in line for line in taken.left)
    assert "taken over: " in str(taken)


def test_training_starts_from_there_and_says_so(toy, caplog):
    first = toy.trainer(run="old", train__epochs=2).fit()
    still = {"type": "sgd", "lr": 1e-12}
    with caplog.at_level("INFO", "easyrec.train"):
        second = toy.trainer(
            run="new",
            train__epochs=1,
            train__init_from=str(toy.path / "old"),
            train__dense_optimizer=still,
            train__sparse_optimizer=still,
        ).fit()
    assert second.metrics["test"]["auc"] == pytest.approx(first.metrics["test"]["auc"], abs=1e-4)
    assert any("taken over" in message for message in caplog.messages)


def test_a_checkpoints_own_folder_will_do(toy):
    run = toy.trainer(run="old", train__epochs=1).fit()
    new = toy.trainer(run="new")
    taken = taken_from(run.path / "checkpoints" / "step-16", new)
    assert not taken.left
    assert not taken.unused


def test_averages_are_taken_where_there_are_any(toy):
    old = toy.trainer(run="old", train__ema={"decay": 0.5}, train__epochs=1)
    old.fit()
    new = toy.trainer(run="new")
    taken_from(toy.path / "old", new)
    assert torch.equal(new.model.deep[0].weight, old.ema.state()["deep.0.weight"])


def test_nothing_that_fits_is_an_error(toy):
    toy.trainer(run="old", train__epochs=1).fit()
    new = toy.trainer(run="new")
    with pytest.raises(CheckpointError, match="nothing in"):
        taken_from(toy.path / "old", new, skip=["*"])


STARTS = (
    ({"path": "odl"}, "odl is not there; did you mean 'old'?"),
    ({"path": "old/tensorboard"}, "old/tensorboard is no run, checkpoint or bundle"),
    ({"path": "old", "rename": {"user": "x"}}, "'user' is no parameter or table of old; did you mean 'user_id'?"),
    ({"path": "old", "skip": ["deep.9*"]}, "'deep.9*' is no parameter or table of this model"),
    ({"path": "new/checkpoints/step-16"}, "is in the folder of this run, which begins empty"),
)


def test_a_start_that_cannot_be_is_told_before_the_folder_is_touched(toy, monkeypatch):
    monkeypatch.chdir(toy.path)
    toy.trainer(run="old", train__epochs=1).fit()
    shutil.copytree("old", "new")
    before = sorted(str(path) for path in Path("new").rglob("*"))
    for start, message in STARTS:
        with pytest.raises(ConfigError) as error:
            toy.trainer(run="new", overwrite=True, train__init_from=start)
        assert message in str(error.value)
        assert error.value.problems[0].where.startswith("train . init_from")
        assert sorted(str(path) for path in Path("new").rglob("*")) == before
    for start, message in STARTS[:-1]:
        experiment = toy.experiment(train__init_from=start)
        built = build(experiment)
        with pytest.raises(ConfigError) as error:
            look_ahead(experiment, built.plan, built.model)
        assert message in str(error.value)


def test_tables_that_take_more_memory_than_there_is_are_doubted_ahead(toy):
    users = {**toy.config["features"][0], "num_buckets": 2**31 - 1}
    for storage, told in ((None, "of memory are free; train.storage bounds what they take"), ({"memory_mb": 8300}, "")):
        experiment = toy.experiment(
            features=[users, *toy.config["features"][1:]], train=toy.config["train"] | {"storage": storage}
        )
        built = build(experiment)
        assert look_ahead(experiment, built.plan, built.model).endswith(told)
        assert bool(look_ahead(experiment, built.plan, built.model)) == bool(told)


def test_a_run_that_goes_on_looks_for_no_other(toy):
    toy.trainer(run="old", train__epochs=1).fit()
    start = {"train__init_from": str(toy.path / "old")}
    toy.trainer(run="new", train__epochs=1, **start).fit()
    shutil.rmtree(toy.path / "old")
    assert toy.trainer(run="new", resume=True, train__epochs=2, **start).fit().metrics["valid"]


def test_names_are_mapped_and_skipped(toy):
    old = toy.trainer(run="old", train__epochs=1)
    old.fit()
    features = [{**f, "embedding_name": "person"} if f["name"] == "user_id" else f for f in toy.config["features"]]
    new = toy.trainer(run="new", features=features)
    before = new.collection.weights["item_id"].copy()
    told = taken_from(toy.path / "old", new, rename={"user_id": "person"}, skip=["item_id*", "deep.3.*"])
    for suffix in ("", ":first"):
        np.testing.assert_array_equal(
            new.collection.weights[f"person{suffix}"], old.collection.weights[f"user_id{suffix}"]
        )
    np.testing.assert_array_equal(new.collection.weights["item_id"], before)
    assert "item_id (skipped)" in told.left
    assert "deep.3.weight (skipped)" in told.left
    assert not told.unused


def test_the_rest_of_a_name_goes_along(toy):
    toy.trainer(run="old", train__epochs=1).fit()
    new = toy.trainer(run="new")
    told = taken_from(toy.path / "old", new, rename={"deep.*": "tower.*"})
    assert "deep.0.weight (not there)" in told.left
    assert "tower.0.weight" in told.unused


def test_a_bundle_will_do(toy):
    old = toy.trainer(run="old", train__epochs=1, export=True)
    run = old.fit()
    new = toy.trainer(run="new")
    told = taken_from(run.path / "bundle", new)
    assert not told.left
    assert not told.unused
    assert torch.equal(new.model.deep[0].weight, old.model.deep[0].weight)
    np.testing.assert_array_equal(new.collection.weights["user_id"], old.collection.weights["user_id"])


def test_what_is_frozen_stays(toy):
    trainer = toy.trainer(train__freeze=["deep.0.*", "user_id"], train__net_regularizer=0.1)
    before = {name: p.clone() for name, p in trainer.model.named_parameters()}
    tables = {name: table.copy() for name, table in trainer.collection.weights.items()}
    trainer.fit()
    still = [name for name, p in trainer.model.named_parameters() if torch.equal(p, before[name])]
    assert still == ["deep.0.weight", "deep.0.bias"]
    np.testing.assert_array_equal(trainer.collection.weights["user_id"], tables["user_id"])
    assert (trainer.collection.weights["item_id"] != tables["item_id"]).any()
    with pytest.raises(ConfigError, match=r"'head.x' is no parameter or table"):
        toy.trainer(run="other", train__freeze=["head.x"])
    with pytest.raises(ConfigError, match="'user_id' is dynamic"):
        toy.trainer(run="other", features=toy.dynamic, train__freeze=["user_id"])


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ({"freeze": ["itm_id"]}, "'itm_id' is no parameter or table; did you mean 'item_id'?"),
        ({"freeze": ["user_id"]}, "'user_id' is dynamic"),
        ({"storage": {"memory_mb": 1, "disk": "file"}}, "must be a folder, but file is a file"),
        ({"storage": {"memory_mb": 1}}, "maps of the ids of dynamic tables (9 MB), tables that must be in memory"),
    ],
    ids=["freeze", "freeze-dynamic", "file", "memory"],
)
def test_what_would_end_training_is_told_ahead(toy, monkeypatch, train, message):
    monkeypatch.chdir(toy.path)
    Path("file").write_text("")
    users = {**toy.dynamic[0], "dynamic": {"capacity": 100_000}}
    experiment = toy.experiment(train=toy.config["train"] | train, features=[users, *toy.dynamic[1:]])
    built = build(experiment)
    with pytest.raises(ConfigError) as error:
        look_ahead(experiment, built.plan, built.model)
    assert message in str(error.value)
    assert error.value.problems[0].where.startswith("train . ")


WORDS = {"num_buckets": 40}
LISTED = {"vocab_list": [str(i) for i in range(0, 40, 2)], "default_bucketize_value": 0}
HASHED = {"hash_bucket_size": 2**12}
DYNAMIC = {"dynamic": {"capacity": 60}}


@pytest.mark.parametrize("other", [WORDS, LISTED], ids=["numbers", "words"])
@pytest.mark.parametrize("back", [False, True])
def test_rows_go_between_static_and_dynamic_tables(toy, other, back):
    def features(sizing):
        rest = {k: v for k, v in toy.config["features"][0].items() if k != "num_buckets"}
        return [{**rest, **sizing}, *toy.config["features"][1:]]

    one, two = (DYNAMIC, other) if back else (other, DYNAMIC)
    old = toy.trainer(run="old", features=features(one))
    old.fit()
    new = toy.trainer(run="new", features=features(two))
    told = taken_from(toy.path / "old", new)
    assert {"user_id", "user_id:first"} <= set(told.taken)
    listed = np.arange(0, 40, 2)
    users = toy.rows(len(listed), 5).assign(user_id=listed)
    found = []
    with torch.no_grad():
        for trainer in (old, new):
            table = trainer.experiment.generator.transform(users)
            batch = Batch.of(table, outputs=trainer.experiment.generator.outputs)
            found.append(trainer.collection.lookup(batch).tensors["emb:deep"][:, :8])
    assert found[0].abs().sum() > 0
    assert torch.equal(*found)


def test_hashes_modulo_a_power_of_two_are_those_of_a_dynamic_table(toy):
    rest = {k: v for k, v in toy.config["features"][0].items() if k != "num_buckets"}
    old = toy.trainer(run="old", features=[{**rest, **DYNAMIC}, *toy.config["features"][1:]])
    old.fit()
    new = toy.trainer(run="new", features=[{**rest, **HASHED}, *toy.config["features"][1:]])
    assert "user_id" in taken_from(toy.path / "old", new).taken
    users = toy.rows(300, 5).assign(user_id=lambda frame: frame["user_id"] % 40)
    with torch.no_grad():
        for trainer in (old, new):
            table = trainer.experiment.generator.transform(users)
            batch = Batch.of(table, outputs=trainer.experiment.generator.outputs)
            trainer.found = trainer.collection.lookup(batch).tensors["emb:deep"]
    assert torch.equal(old.found, new.found)
    odd = toy.trainer(run="odd", features=[{**rest, "hash_bucket_size": 1000}, *toy.config["features"][1:]])
    assert any("powers of two can" in line for line in taken_from(toy.path / "old", odd).left)
    back = toy.trainer(run="back", features=[{**rest, **DYNAMIC}, *toy.config["features"][1:]])
    new.fit()
    assert any("hashes, which do not tell the words" in line for line in taken_from(toy.path / "new", back).left)


@pytest.mark.parametrize("dynamic", [False, True])
def test_what_optimizers_keep_goes_along_where_it_is_asked_for(toy, dynamic):
    """Two epochs are one and one more that goes on, where rows come in order and nothing depends on chance."""
    settings = {"model__dropout": 0.0, "data__shuffle": False, "train__dense_optimizer": {"type": "adam", "lr": 0.01}}
    settings |= {"train__sparse_optimizer": {"type": "lazy_adam", "lr": 0.02}}
    features = [{**f, "dynamic": {"capacity": 50}} for f in toy.dynamic[:2]] + toy.dynamic[2:]
    settings |= {"features": features} if dynamic else {}
    whole = toy.trainer(run="whole", train__epochs=2, **settings)
    whole.fit()
    toy.trainer(run="one", train__epochs=1, **settings).fit()
    start = {"path": str(toy.path / "one" / "checkpoints" / "step-16"), "optimizer": True}
    second = toy.trainer(run="two", train__epochs=1, train__init_from=start, **settings)
    second.fit()
    newest = [read_folder(toy.path / run / "checkpoints" / f"step-{n}") for run, n in (("whole", 32), ("two", 16))]
    for name, array in newest[0].arrays.items():
        if "/key_" not in name:
            np.testing.assert_array_equal(array, newest[1].arrays[name], err_msg=name)
    for part in ("dense", "optimizer"):
        for name, tensor in newest[0].tensors[part].items():
            assert torch.equal(tensor, newest[1].tensors[part][name]), name
    if dynamic:
        for part in ("keys", "rows", "counts", "steps"):
            parts = [snapshot.arrays[f"user_id/key_{part}"] for snapshot in newest]
            np.testing.assert_array_equal(*parts, err_msg=part)


def test_state_of_another_optimizer_is_refused(toy):
    run = toy.trainer(run="old", train__epochs=1, export=True).fit()
    start = {"path": str(run.path), "optimizer": True}
    with pytest.raises(ConfigError, match=r"the sparse optimizer is 'sgd' .*but there it is 'lazy_adam'"):
        toy.trainer(run="a", train__init_from=start, train__sparse_optimizer={"type": "sgd", "lr": 0.1})
    start = {"path": str(run.path / "bundle"), "optimizer": True}
    with pytest.raises(ConfigError, match="a bundle holds no state of optimizers"):
        toy.trainer(run="b", train__init_from=start)
