"""Models that write the codes of items: trained, measured, and asked for items."""

import logging
import re

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import easyrec
from easyrec.cli import main
from easyrec.config import load_experiment
from easyrec.errors import ConfigError, DataError, RunError
from easyrec.train.trainer import Trainer

ITEMS = 20
ALL = np.arange(ITEMS)
CONFIG = {
    "name": "written",
    "data": {"sampler": {"type": "in_batch"}, "batch_size": 64, "shuffle": {"buffer_rows": 5000}},
    "features": [
        {"type": "id", "name": "item_id", "expression": "item:item_id", "num_buckets": 2 * ITEMS},
        {
            "type": "sequence",
            "name": "past",
            "sequence_length": 8,
            "features": [
                {
                    "type": "id",
                    "name": "item_id",
                    "expression": "item:item_id",
                    "num_buckets": 2 * ITEMS,
                    "embedding_name": "item_id",
                }
            ],
        },
    ],
    "model": {
        "type": "tiger",
        "width": 32,
        "layers": 1,
        "decoder_layers": 1,
        "heads": 2,
        "head_dim": None,
        "feedforward": 64,
        "dropout": 0.0,
        "beam": 10,
        "semantic_ids": {"path": "ids.parquet", "levels": 3, "codes": 5},
        "groups": {"user": {"sequences": [{"sequence": "past"}]}, "item": ["item_id"]},
    },
    "train": {"epochs": 12, "threads": 1, "dense_optimizer": {"type": "adam", "lr": 0.005}},
    "eval": {
        "retrieval": {"metrics": [{"type": "ndcg", "k": 5}, {"type": "recall", "k": 5}, {"type": "coverage", "k": 1}]}
    },
}


def catalogue():
    """The items, in an order of their own."""
    return pd.DataFrame({"item_id": np.random.default_rng(5).permutation(ITEMS)})


def codes():
    """The codes of the items by their id: two digits, and one that tells nothing apart but a few."""
    ids = np.arange(ITEMS)
    return np.stack([ids % 5, ids // 5 // 2, ids // 5 % 2], axis=1)


def chains(rows, seed, *, asked):
    """Walks whose next step is three further on, mostly."""
    random = np.random.default_rng(seed)
    steps = np.where(random.random((rows, 9)) < 0.9, 3, 7).cumsum(1) + random.integers(0, ITEMS, (rows, 1))
    past = [(walk % ITEMS)[: random.integers(1, 9)].tolist() for walk in steps]
    found = {"past__item_id": past}
    if asked:
        found["item_id"] = [(walk[-1] + 3) % ITEMS for walk in past]
    return pd.DataFrame(found)


def write_ids(path, found=None, ids=None):
    found = codes() if found is None else found
    lists = pa.FixedSizeListArray.from_arrays(pa.array(np.asarray(found).reshape(-1), pa.int32()), found.shape[1])
    pq.write_table(pa.table({"item_id": np.arange(len(found)) if ids is None else ids, "codes": lists}), path)


@pytest.fixture
def parts(tmp_path):
    """Files of a catalogue and its codes, and a config that names them."""
    write_ids(tmp_path / "ids.parquet")
    frames = {"train": chains(600, 1, asked=False), "valid": chains(200, 2, asked=True), "items": catalogue()}
    for name, frame in frames.items():
        frame.to_parquet(tmp_path / f"{name}.parquet")
    named = {f"data.{name}": {"type": "parquet", "path": str(tmp_path / f"{name}.parquet")} for name in frames}
    return {**named, "model.semantic_ids.path": str(tmp_path / "ids.parquet")}


def test_a_sequence_is_continued_and_its_items_are_found(parts, tmp_path, caplog):
    caplog.set_level(logging.INFO, "easyrec")
    run = easyrec.train(CONFIG, overrides=parts, run_dir=tmp_path / "run", progress=False)
    assert run.metrics["valid"]["recall@5"] > 0.9
    assert run.metrics["valid"]["ndcg@5"] > 0.8
    assert run.metrics["valid"]["coverage@1"] == 1.0
    assert run.bundle is None
    assert "it has no bundle" in caplog.text
    assert easyrec.evaluate(tmp_path / "run").metrics["valid"] == run.metrics["valid"]
    users = pd.DataFrame({"past__item_id": [[1, 4, 7], [2], []]})
    found = easyrec.retrieve(tmp_path / "run", users, k=5)
    assert [items[0] for items in found["items"][:2]] == [10, 5]
    assert [len(items) for items in found["items"]] == [5, 5, 5]
    assert all((np.diff(scores) <= 0).all() for scores in found["scores"])
    spared = easyrec.retrieve(tmp_path / "run", users, k=ITEMS, exclude="past__item_id")
    assert [len(items) for items in spared["items"]] == [ITEMS - 3, ITEMS - 1, ITEMS]
    assert not {1, 4, 7} & set(spared["items"][0])
    with pytest.raises(RunError, match="find items with the run itself: easyrec retrieve"):
        easyrec.export(tmp_path / "run")
    with pytest.raises(ConfigError, match="'tiger' writes the codes of items and has no vectors"):
        easyrec.embed(tmp_path / "run")
    with pytest.raises(ConfigError, match=r"it finds those of data\.items"):
        easyrec.retrieve(tmp_path / "run", users, items=tmp_path)


@pytest.mark.parametrize(
    ("found", "ids", "error", "text"),
    [
        (codes()[:, :2], None, ConfigError, "is 3, but items have 2 codes"),
        (codes() + np.array([0, 0, 4]), None, ConfigError, "set it to 6"),
        (codes()[:-1], None, DataError, "1 of 20 items have no codes"),
        (codes(), np.array([f"i{n}" for n in range(ITEMS)]), DataError, "20 of 20 items have no codes"),
        (codes() - [1, 0, 0], None, DataError, "-1 is no code"),
        (codes() * [1, 1, 0], None, DataError, "have the same codes: [0, 0, 0]"),
    ],
    ids=["levels", "codes", "item", "ids", "negative", "equal"],
)
def test_other_codes_than_those_of_the_items_are_refused(parts, tmp_path, found, ids, error, text):
    write_ids(tmp_path / "ids.parquet", found, ids)
    with pytest.raises(error) as raised:
        Trainer(load_experiment(CONFIG, parts), tmp_path / "run", bar=False)
    assert text in str(raised.value)


def test_another_file_and_none_are_refused(parts, tmp_path):
    for path, text in (
        (tmp_path / "items.parquet", "is no file of semantic ids"),
        ("none.parquet", "easyrec semantic-ids"),
    ):
        settings = {**parts, "model.semantic_ids.path": str(path)}
        with pytest.raises(ConfigError, match=text):
            Trainer(load_experiment(CONFIG, settings), tmp_path / "run", bar=False)


@pytest.mark.parametrize("sampler", [None, {"type": "everything"}])
def test_it_compares_with_nothing(sampler):
    with pytest.raises(ConfigError, match="compares them with no others"):
        load_experiment(CONFIG, {"data.sampler": sampler, "data.labels": ["click"]})


@pytest.mark.parametrize("kind", ["sampled_recall", "sampled_ndcg", "sampled_hit_rate"])
def test_nothing_is_ranked_among_drawn_items(kind):
    metrics = [{"type": "recall"}, {"type": kind, "negatives": 20}]
    with pytest.raises(ConfigError, match="none is ranked among drawn ones") as raised:
        load_experiment(CONFIG, {"eval.retrieval.metrics": metrics})
    (problem,) = raised.value.problems
    assert problem.where == "eval . retrieval . metrics[1]"
    assert f"take {kind.removeprefix('sampled_')}, which is of the whole catalogue" in problem.message


@pytest.mark.slow
def test_it_learns_and_searches_on_another_device(parts, tmp_path, there):
    run = there(load_experiment(CONFIG, parts), tmp_path / "run", bar=False).fit()
    assert run.metrics["valid"]["recall@5"] > 0.9
    assert easyrec.evaluate(run.path).metrics["valid"] == pytest.approx(run.metrics["valid"], abs=0.02)


def test_a_resumed_run_ends_like_one_that_never_stopped(parts, tmp_path):
    """Steps that are learned are drawn at random, and drawn alike."""
    settings = {**parts, "model.prefixes": 2, "model.dropout": 0.1, "train.epochs": 2}
    whole = easyrec.train(CONFIG, overrides=settings, run_dir=tmp_path / "whole", progress=False)
    easyrec.train(CONFIG, overrides={**settings, "train.epochs": 1}, run_dir=tmp_path / "two", progress=False)
    resumed = easyrec.train(CONFIG, overrides=settings, run_dir=tmp_path / "two", progress=False, resume=True)
    assert resumed.metrics["valid"] == whole.metrics["valid"]


def test_a_run_begins_from_one_of_the_same_codes_alone(parts, tmp_path):
    short = {**parts, "train.epochs": 1}
    run = easyrec.train(CONFIG, overrides=short, run_dir=tmp_path / "run", progress=False)

    def begun(ids, found, **changes):
        write_ids(tmp_path / "ids.parquet", found, ids)
        pd.DataFrame({"item_id": ids}).to_parquet(tmp_path / "items.parquet")
        pd.DataFrame({"past__item_id": [ids[:4].tolist()] * 8}).to_parquet(tmp_path / "train.parquet")
        settings = {**short, **changes, "train.init_from": str(run.path)}
        trainer = Trainer(load_experiment(CONFIG, settings), tmp_path / "other", bar=False, overwrite=True)
        trainer.fit()
        return trainer.collection.weights["item_id:codes"]

    later = np.concatenate([codes()[1:], [[0, 4, 0]]])
    known = begun(ALL + 1, later)
    np.testing.assert_array_equal(known[1 : ITEMS + 1], later)
    assert (known[0] == -1).all()
    swapped = codes()
    swapped[[3, 7]] = swapped[[7, 3]]
    for ids, found, changes, told in (
        (ALL, swapped, {}, "knows 2 of 20 items by other codes, and its embeddings"),
        (ALL[:5] + ITEMS, codes()[:5], {}, "has codes of none of these items"),
        (ALL[:5], codes()[:5, :2], {"model.semantic_ids.levels": 2}, "knows items by 3 codes, and this model by 2"),
    ):
        with pytest.raises(ConfigError, match=told) as raised:
            begun(ids, found, **changes)
        (problem,) = raised.value.problems
        assert problem.where == "train . init_from"
        assert "name in model.semantic_ids.path the file that it was trained with" in problem.message


def test_items_that_came_later_are_not_found(parts, tmp_path, caplog):
    run = easyrec.train(CONFIG, overrides={**parts, "train.epochs": 1}, run_dir=tmp_path / "run", progress=False)
    pd.concat([catalogue(), pd.DataFrame({"item_id": [30, 31]})]).to_parquet(tmp_path / "items.parquet")
    found = easyrec.retrieve(run.path, pd.DataFrame({"past__item_id": [[1, 2], [3]]}), k=30)
    assert [len(items) for items in found["items"]] == [ITEMS, ITEMS]
    assert "2 of 22 items have no codes" in caplog.text


def test_it_is_checked_and_drawn(parts, tmp_path, capsys):
    config = load_experiment(CONFIG, parts).to_yaml()
    (tmp_path / "written.yaml").write_text(config)
    assert main(["check", "-c", str(tmp_path / "written.yaml"), "--graph", str(tmp_path / "model.svg")]) == 0
    assert re.search(r"\n *item_id:codes .* 40 +3", capsys.readouterr().out)
    assert "<svg" in (tmp_path / "model.svg").read_text()


@pytest.mark.parametrize(
    ("found", "changes", "code", "told"),
    [
        (codes()[:, :2], {}, 2, r"line \d+  model . semantic_ids . levels\n +is 3, but items have 2 codes"),
        (codes(), {"codes": 4}, 2, r"line \d+  model . semantic_ids . codes\n +is 4, but .*: set it to 5"),
        (
            codes(),
            {"path": "no.parquet"},
            2,
            r"line \d+  model . semantic_ids . path\n +cannot read no.parquet: there is no such file",
        ),
        (codes()[:-1], {}, 3, r"data\.items, column 'item_id': 1 of 20 items have no codes in .*ids.parquet"),
    ],
    ids=["levels", "codes", "missing", "item"],
)
def test_a_check_looks_at_the_codes(parts, tmp_path, capsys, found, changes, code, told):
    write_ids(tmp_path / "ids.parquet", found)
    changes = {f"model.semantic_ids.{key}": value for key, value in changes.items()}
    (tmp_path / "written.yaml").write_text(load_experiment(CONFIG, {**parts, **changes}).to_yaml())
    assert main(["check", "-c", str(tmp_path / "written.yaml")]) == code
    assert re.search(told, capsys.readouterr().err)
