"""Models that search a tree of items: trained, measured, asked for items, and bundled."""

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
from serving import Predictor
from serving.tree_retriever import TreeRetriever

ITEMS = 20
CONFIG = {
    "name": "searched",
    "data": {"sampler": {"type": "tree", "negatives": [1, 3, 6]}, "batch_size": 64, "shuffle": {"buffer_rows": 5000}},
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
        "type": "tdm",
        "node_dim": 16,
        "hidden": [32, 16],
        "history": 4,
        "beam": 10,
        "attention": {"hidden": [16], "activation": "prelu", "positions": 4},
        "tree": {"path": "tree.parquet", "branching": 3, "items": ITEMS},
        "groups": {"user": {"sequences": [{"sequence": "past"}]}, "item": ["item_id"]},
    },
    "train": {"epochs": 12, "threads": 1, "dense_optimizer": {"type": "adam", "lr": 0.01}},
    "eval": {
        "retrieval": {"metrics": [{"type": "ndcg", "k": 5}, {"type": "recall", "k": 5}, {"type": "coverage", "k": 1}]}
    },
}


def catalogue():
    """The items, in an order of their own."""
    return pd.DataFrame({"item_id": np.random.default_rng(5).permutation(ITEMS)})


def chains(rows, seed, *, asked):
    """Walks whose next step is three further on, mostly."""
    random = np.random.default_rng(seed)
    steps = np.where(random.random((rows, 9)) < 0.9, 3, 7).cumsum(1) + random.integers(0, ITEMS, (rows, 1))
    past = [(walk % ITEMS)[: random.integers(1, 9)].tolist() for walk in steps]
    found = {"past__item_id": past}
    if asked:
        found["item_id"] = [(walk[-1] + 3) % ITEMS for walk in past]
    return pd.DataFrame(found)


def write_tree(path, leaves=None, ids=None, branching=3):
    """A tree whose leaves hold the items in the order of their ids."""
    ids = np.arange(ITEMS) if ids is None else ids
    leaves = np.arange(ITEMS) if leaves is None else leaves
    table = pa.table({"item_id": ids, "leaf": leaves})
    pq.write_table(table.replace_schema_metadata({"easyrec.branching": str(branching)}), path)


@pytest.fixture
def parts(tmp_path):
    """Files of a catalogue and its tree, and a config that names them."""
    write_tree(tmp_path / "tree.parquet")
    frames = {"train": chains(600, 1, asked=False), "valid": chains(200, 2, asked=True), "items": catalogue()}
    for name, frame in frames.items():
        frame.to_parquet(tmp_path / f"{name}.parquet")
    named = {f"data.{name}": {"type": "parquet", "path": str(tmp_path / f"{name}.parquet")} for name in frames}
    return {**named, "model.tree.path": str(tmp_path / "tree.parquet")}


def test_a_sequence_is_continued_and_its_items_are_found(parts, tmp_path):
    run = easyrec.train(CONFIG, overrides=parts, run_dir=tmp_path / "run", progress=False)
    assert run.metrics["valid"]["recall@5"] > 0.9
    assert run.metrics["valid"]["ndcg@5"] > 0.8
    assert run.metrics["valid"]["coverage@1"] == 1.0
    assert easyrec.evaluate(tmp_path / "run").metrics["valid"] == run.metrics["valid"]
    users = pd.DataFrame({"past__item_id": [[1, 4, 7], [2], [], [3, 9, 2, 8, 1, 4, 7]]})
    found = easyrec.retrieve(tmp_path / "run", users, k=5)
    assert [items[0] for items in found["items"][:2]] == [10, 5]
    assert [len(items) for items in found["items"]] == [5, 5, 5, 5]
    assert all((np.diff(scores) <= 0).all() for scores in found["scores"])
    spared = easyrec.retrieve(tmp_path / "run", users, k=ITEMS, exclude="past__item_id")
    assert [len(items) for items in spared["items"]] == [ITEMS - 3, ITEMS - 1, ITEMS, ITEMS - 7]
    assert not {1, 4, 7} & set(spared["items"][0])
    check_bundle(run, users, found, spared)
    with pytest.raises(ConfigError, match="'tdm' searches a tree of items and has no vectors"):
        easyrec.embed(tmp_path / "run")
    with pytest.raises(ConfigError, match=r"it finds those of data\.items"):
        easyrec.retrieve(tmp_path / "run", users, items=tmp_path)


def check_bundle(run, users, found, spared):
    """The bundle finds what the run finds, without its data, and scores an item as it was found."""
    with TreeRetriever.load(run.bundle) as retriever:
        for row, one in enumerate(retriever.retrieve(users, 5)):
            assert one.items == list(found["items"][row])
            np.testing.assert_allclose(one.scores, 1 / (1 + np.exp(-np.array(found["scores"][row]))), rtol=1e-4)
        first = retriever.retrieve(users.iloc[:1], ITEMS, without=[1, 4, 7])[0]
        scores = 1 / (1 + np.exp(-np.array(spared["scores"][0])))
        np.testing.assert_allclose(first.scores, scores, rtol=1e-4)
        told = dict(zip(spared["items"][0], scores, strict=True))  # last places are less apart than sums are rounded
        np.testing.assert_allclose(first.scores, [told[item] for item in first.items], rtol=1e-4)
        assert set(first.items) == set(told)
        assert retriever.retrieve(users[:0], 3) == []
        narrow = retriever.retrieve(users, 1, beam=1)
        assert [len(one.items) for one in narrow] == [1, 1, 1, 1]
        read = retriever._inputs(users)  # of the seven items the four newest, whose model reads no more
        assert np.diff(read["offsets:user/past"]).tolist() == [3, 1, 0, 4]
        assert len(retriever.retrieve(users.iloc[:1], 10**12)[0].items) == ITEMS
        known = retriever.ids.to_pylist()
        left = retriever.retrieve(users, 3, beam=3, without=known[:14])
        assert [len(one.items) for one in left] == [3, 3, 3, 3]
        assert not {item for one in left for item in one.items} & set(known[:14])
        for wrong in ({"k": 0}, {"k": -3}, {"k": 3, "beam": 0}):
            with pytest.raises(RunError, match="must be at least 1"):
                retriever.retrieve(users, **wrong)
        with pytest.raises(DataError, match="without: ids of items are int64"):
            retriever.retrieve(users, 3, without=["a"])
    with Predictor.load(run.bundle) as predictor:
        asked = predictor.predict({"past__item_id": [1, 4, 7]}, [{"item_id": item} for item in first.items])
    np.testing.assert_allclose(next(iter(asked.values())), first.scores, rtol=1e-4)
    again = easyrec.export(run.path, output=run.path / "again")
    assert [one.items for one in TreeRetriever.load(again.bundle).retrieve(users, 5)] == [
        list(items) for items in found["items"]
    ]
    for part in ("train", "items"):
        (run.path.parent / f"{part}.parquet").unlink()
    again = easyrec.export(run.path, output=run.path / "third")
    assert [one.items for one in TreeRetriever.load(again.bundle).retrieve(users, 5)] == [
        list(items) for items in found["items"]
    ]


def swapped(leaves, first, second):
    leaves = leaves.copy()
    leaves[first] = leaves[second]
    return leaves


ALL = np.arange(ITEMS)


@pytest.mark.parametrize(
    ("tree", "error", "text"),
    [
        ({"branching": 2}, ConfigError, "is 3, but the tree in .*tree.parquet was made with 2: set it to 2"),
        ({"leaves": ALL[:-1], "ids": ALL[:-1]}, ConfigError, "is 20, but the tree in .* has 19 items: set it to 19"),
        ({"leaves": swapped(ALL, 4, 7)}, DataError, "the leaf 7 holds the items '4' and '7'"),
        ({"leaves": swapped(ALL, 4, 7) + 1}, DataError, "leaves from 0 to 19, one for each item, but here is 20"),
        ({"leaves": pa.array([None, *ALL[1:]])}, DataError, "the item '0' has no leaf"),
        ({"ids": swapped(ALL, 4, 7)}, DataError, "the item '7' is there twice"),
        ({"ids": ALL + 5}, DataError, "(?s)5 of 20 items have no leaf in .*such as .*easyrec tree"),
        ({"ids": pa.array([f"i{n}" for n in ALL])}, DataError, "20 of 20 items have no leaf"),
    ],
    ids=["branching", "items", "two-items", "no-leaf", "null", "two-leaves", "other-catalogue", "other-ids"],
)
def test_another_tree_than_that_of_the_items_is_refused(parts, tmp_path, tree, error, text):
    write_tree(tmp_path / "tree.parquet", **tree)
    with pytest.raises(error, match=text):
        Trainer(load_experiment(CONFIG, parts), tmp_path / "run", bar=False)


def test_a_tree_of_more_items_is_that_of_another_catalogue(parts, tmp_path):
    catalogue()[:-2].to_parquet(tmp_path / "items.parquet")
    with pytest.raises(DataError, match=r"2 of 20 leaves of .* hold items that are not here, such as '") as error:
        Trainer(load_experiment(CONFIG, parts), tmp_path / "run", bar=False)
    assert "the tree of another catalogue\nmake a tree of all items: easyrec tree" in str(error.value)


def test_another_file_and_none_are_refused(parts, tmp_path):
    for path, text in (
        (tmp_path / "items.parquet", "is no tree: it has the columns item_id"),
        ("no.parquet", "easyrec tree"),
    ):
        with pytest.raises(ConfigError, match=text):
            Trainer(load_experiment(CONFIG, {**parts, "model.tree.path": str(path)}), tmp_path / "run", bar=False)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"data.sampler": {"type": "in_batch"}}, r"(?s)learns which nodes of its tree .*set sampler: {type: tree}"),
        ({"data.sampler": None, "data.labels": ["click"]}, "set sampler: {type: tree}"),
        ({"data.sampler": None}, "^.*: 1 problem\n(?s:.*)set sampler: {type: tree}"),
        ({"data.sampler.negatives": 0}, "^.*: 1 problem\n(?s:.*)must be greater than 0, but is 0"),
        ({"data.sampler.negatives": []}, "^.*: 1 problem\n(?s:.*)must have at least 1 item, but has 0"),
        ({"data.sampler.negatives": [1, 2, 3, 4]}, "names 4 levels, but the tree has 3"),
        ({"data.sampler.known": "past__item_id"}, "leave 'known' out"),
        ({"model.groups.user.sequences": []}, "'tdm' needs a sequence in the group 'user'"),
        ({"model.groups.item": []}, "one child of .past. shares the embedding_name of the feature in .item."),
    ],
)
def test_what_cannot_work_is_refused(changes, text):
    with pytest.raises(ConfigError, match=text):
        load_experiment(CONFIG, changes)


def test_other_models_take_no_nodes():
    groups = {"user": {"sequences": [{"sequence": "past"}]}, "item": ["item_id"]}
    model = {"type": "sasrec", "embedding_dim": 4, "groups": groups}
    with pytest.raises(ConfigError, match="'tree' draws nodes of a tree, and 'sasrec' searches none"):
        load_experiment({**CONFIG, "model": model})


@pytest.mark.slow
def test_it_learns_and_searches_on_another_device(parts, tmp_path, there):
    run = there(load_experiment(CONFIG, parts), tmp_path / "run", bar=False).fit()
    assert run.metrics["valid"]["recall@5"] > 0.9
    assert easyrec.evaluate(run.path).metrics["valid"] == pytest.approx(run.metrics["valid"], abs=0.02)


def test_a_resumed_run_ends_like_one_that_never_stopped(parts, tmp_path):
    """Steps and nodes are drawn at random, and drawn alike."""
    settings = {**parts, "model.prefixes": 2, "model.dropout": 0.1, "train.epochs": 2}
    whole = easyrec.train(CONFIG, overrides=settings, run_dir=tmp_path / "whole", progress=False)
    easyrec.train(CONFIG, overrides={**settings, "train.epochs": 1}, run_dir=tmp_path / "two", progress=False)
    resumed = easyrec.train(CONFIG, overrides=settings, run_dir=tmp_path / "two", progress=False, resume=True)
    assert resumed.metrics["valid"] == whole.metrics["valid"]


def test_a_run_does_not_begin_from_the_tree_of_other_items(parts, tmp_path):
    run = easyrec.train(CONFIG, overrides={**parts, "train.epochs": 1}, run_dir=tmp_path / "run", progress=False)
    settings = {**parts, "train.init_from": str(run.path), "train.epochs": 1}
    easyrec.train(CONFIG, overrides=settings, run_dir=tmp_path / "same", progress=False, export=False)
    catalogue().replace({"item_id": {7: 27}}).to_parquet(tmp_path / "items.parquet")
    write_tree(tmp_path / "tree.parquet", ids=np.where(np.arange(ITEMS) == 7, 27, np.arange(ITEMS)))
    chains(5, 3, asked=False).assign(past__item_id=[[1, 2, 3]] * 5).to_parquet(tmp_path / "train.parquet")
    with pytest.raises(ConfigError, match="knows 2 of 21 items by other paths in the tree"):
        easyrec.train(CONFIG, overrides=settings, run_dir=tmp_path / "other", progress=False)


@pytest.mark.parametrize(
    ("tree", "changes", "items", "told"),
    [
        ({"leaves": ALL[::-1]}, {}, ITEMS, "knows 20 of 20 items by other paths in the tree"),
        ({"branching": 4}, {"model.tree.branching": 4}, ITEMS, "knows .* of 20 items by other paths in the tree"),
        (
            {"branching": 2},
            {"model.tree.branching": 2},
            ITEMS,
            "knows items by 3 paths in the tree, and this model by 5",
        ),
        (
            {"leaves": ALL[:-2], "ids": ALL[:-2]},
            {"model.tree.items": ITEMS - 2},
            ITEMS - 2,
            "knows .* of 20 items by other paths in the tree",
        ),
    ],
    ids=["leaves", "branching", "levels", "items"],
)
def test_a_run_does_not_begin_from_another_tree(parts, tmp_path, tree, changes, items, told):
    short = {**parts, "train.epochs": 1, "data.sampler.negatives": 1}
    run = easyrec.train(CONFIG, overrides=short, run_dir=tmp_path / "run", progress=False, export=False)
    write_tree(tmp_path / "tree.parquet", **tree)
    catalogue().query(f"item_id < {items}").to_parquet(tmp_path / "items.parquet")
    settings = {**short, **changes, "train.init_from": str(run.path)}
    with pytest.raises(ConfigError, match=told) as raised:
        Trainer(load_experiment(CONFIG, settings), tmp_path / "other", bar=False).fit()
    (problem,) = raised.value.problems
    assert problem.where == "train . init_from"
    assert "name in model.tree.path the file that it was trained with" in problem.message


def test_items_that_came_later_are_not_found(parts, tmp_path, caplog):
    run = easyrec.train(CONFIG, overrides={**parts, "train.epochs": 1}, run_dir=tmp_path / "run", progress=False)
    pd.concat([catalogue()[3:], pd.DataFrame({"item_id": [30, 31]})]).to_parquet(tmp_path / "items.parquet")
    users = pd.DataFrame({"past__item_id": [[1, 2], [3]]})
    found = easyrec.retrieve(run.path, users, k=30)
    assert [sorted(items) for items in found["items"]] == 2 * [sorted(catalogue()["item_id"][3:])]
    assert "2 of 19 items have no leaf" in caplog.text
    catalogue().to_parquet(tmp_path / "items.parquet")
    before = easyrec.retrieve(run.path, users, k=30)
    for now, then in zip(found.itertuples(), before.itertuples(), strict=True):
        known = dict(zip(then.items, then.scores, strict=True))
        np.testing.assert_allclose(now.scores, [known[item] for item in now.items], rtol=1e-5)


def test_it_is_checked_and_drawn(parts, tmp_path, capsys):
    (tmp_path / "searched.yaml").write_text(load_experiment(CONFIG, parts).to_yaml())
    assert main(["check", "-c", str(tmp_path / "searched.yaml"), "--graph", str(tmp_path / "model.svg")]) == 0
    assert re.search(r"\n *item_id:codes .* 40 +3", capsys.readouterr().out)
    assert "<svg" in (tmp_path / "model.svg").read_text()


@pytest.mark.parametrize(
    ("tree", "changes", "code", "told"),
    [
        (
            {"branching": 2},
            {},
            2,
            r"line \d+  model . tree . branching\n +is 3, but the tree in .* with 2: set it to 2",
        ),
        ({}, {"model.tree.items": 30}, 2, r"line \d+  model . tree . items\n +is 30, but .*: set it to 20"),
        (
            {},
            {"model.tree.path": "no.parquet"},
            2,
            r"line \d+  model . tree . path\n +cannot read no.parquet: there is no such file\n +make",
        ),
        ({}, {"model.tree.path": "{}/items.parquet"}, 2, r"line \d+  model . tree . path\n.* is no tree"),
        ({"ids": ALL + 5}, {}, 3, r"data\.items, column 'item_id': 5 of 20 items have no leaf in .*tree.parquet"),
    ],
    ids=["branching", "items", "missing", "kind", "other-items"],
)
def test_a_check_looks_at_the_tree(parts, tmp_path, capsys, tree, changes, code, told):
    write_tree(tmp_path / "tree.parquet", **tree)
    changes = {key: value.format(tmp_path) if isinstance(value, str) else value for key, value in changes.items()}
    changes["eval.slices"] = ["country"]
    file = tmp_path / "searched.yaml"
    file.write_text(load_experiment(CONFIG, {**parts, **changes}).to_yaml())
    assert main(["check", "-c", str(file), "--config-only"]) == 0
    assert main(["check", "-c", str(file)]) == 2
    shown = capsys.readouterr().err
    assert "eval . slices[0]" in shown
    assert (re.search(told, shown) is not None) == (code == 2)
    del changes["eval.slices"]
    file.write_text(load_experiment(CONFIG, {**parts, **changes}).to_yaml())
    assert main(["check", "-c", str(file)]) == code
    assert re.search(told, capsys.readouterr().err)
