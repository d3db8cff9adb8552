"""From a catalogue to a file of its tree, and what is wrong with items and configs."""

import json

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import easyrec
from easyrec.cli import main
from easyrec.errors import ConfigError, DataError, RunError


def items(rows=40):
    random = np.random.default_rng(1)
    return pd.DataFrame(
        {
            "item_id": [f"i{n}" for n in range(rows)],
            "vector": list(random.normal(size=(rows, 6))),
            "cate": random.choice(["shoes", "hats"], rows),
            "tags": [["new"]] * rows,
        }
    )


def test_a_tree_of_vectors_is_made_and_told_of(tmp_path, capsys):
    items().to_parquet(tmp_path / "items.parquet")
    where = ["--items", str(tmp_path / "items.parquet"), "--output", str(tmp_path / "tree.parquet")]
    assert main(["tree", *where, "-o", "branching=3"]) == 0
    shown = capsys.readouterr().out
    assert "40 items, 79 nodes" in shown
    assert "unexplained" in shown
    assert f"tree: {{path: {tmp_path / 'tree.parquet'}, branching: 3, items: 40}}" in shown.replace("\n", "")
    found = pq.read_table(tmp_path / "tree.parquet")
    assert found.column_names == ["item_id", "leaf"]
    assert found.schema.metadata[b"easyrec.branching"] == b"3"
    assert found.column("item_id").to_pylist() == items()["item_id"].tolist()
    assert sorted(found.column("leaf").to_pylist()) == list(range(40))
    about = json.loads((tmp_path / "tree.json").read_text())
    assert about["config"]["type"] == "kmeans"
    assert [(level["nodes"], level["least"], level["most"]) for level in about["levels"]] == [
        (3, 13, 14),
        (9, 4, 5),
        (27, 1, 2),
        (40, 1, 1),
    ]
    assert [level["unexplained"] for level in about["levels"]] == sorted(
        (level["unexplained"] for level in about["levels"]), reverse=True
    )
    assert "<svg" in (tmp_path / "tree.html").read_text()
    assert main(["tree", *where]) == 1
    assert "is there; overwrite it" in capsys.readouterr().err
    assert main(["tree", *where, "--overwrite", "-o", "type=categories", "by=[cate]"]) == 0
    assert "of one category" in capsys.readouterr().out
    leaves = pq.read_table(tmp_path / "tree.parquet").column("leaf").to_numpy()
    ordered = items()["cate"].to_numpy()[np.argsort(leaves)]
    assert (ordered[1:] != ordered[:-1]).sum() == 1


def test_a_config_is_read_from_a_file(tmp_path):
    (tmp_path / "how.yaml").write_text("type: kmeans\nbranching: 8\n")
    path = easyrec.tree(items(), tmp_path / "tree.parquet", config=tmp_path / "how.yaml", overrides={"branching": 4})
    assert json.loads(path.with_suffix(".json").read_text())["config"]["branching"] == 4


@pytest.mark.parametrize(
    ("config", "error", "text"),
    [
        ({"type": "kmean"}, ConfigError, "unknown type 'kmean'; did you mean 'kmeans'?"),
        ({"branch": 3}, ConfigError, "unknown key; did you mean 'branching'"),
        ({"branching": 1}, ConfigError, "branching"),
        ({"type": "categories"}, ConfigError, "by"),
        ({"type": "categories", "by": ["cates"]}, ConfigError, "no column 'cates'; did you mean 'cate'?"),
        ({"type": "categories", "by": ["tags"]}, DataError, "a category is one value, but this column holds list"),
    ],
)
def test_what_cannot_be_made_is_refused(config, error, text, tmp_path):
    with pytest.raises(error) as raised:
        easyrec.tree(items(), tmp_path / "tree.parquet", config=config)
    assert text in str(raised.value)


@pytest.mark.parametrize(
    ("change", "config", "error", "text"),
    [
        (lambda f: f.drop(columns="vector"), {}, ConfigError, "no column 'vector'"),
        (lambda f: pd.concat([f, f[:1]]), {}, DataError, "'i0' is there twice"),
        (lambda f: pd.concat([f, f[:1]]), {"type": "categories", "by": ["cate"]}, DataError, "'i0' is there twice"),
        (lambda f: f[:0], {"type": "categories", "by": ["cate"]}, DataError, "there are no items"),
        (lambda f: f.assign(vector=1.0), {}, DataError, "must hold lists of numbers"),
    ],
)
def test_bad_items_are_told(change, config, error, text, tmp_path):
    with pytest.raises(error) as raised:
        easyrec.tree(change(items()), tmp_path / "tree.parquet", config=config)
    assert text in str(raised.value)


def test_the_files_beside_a_tree_are_no_others(tmp_path):
    (tmp_path / "cata.json").write_text("precious")
    with pytest.raises(RunError, match=r"cata\.json: is there"):
        easyrec.tree(items(), tmp_path / "cata.parquet", config={"branching": 4})
    assert (tmp_path / "cata.json").read_text() == "precious"
    with pytest.raises(RunError, match=r"call it tree\.parquet"):
        easyrec.tree(items(), tmp_path / "tree.json", config={"branching": 4})
    with pytest.raises(RunError, match=r"call it ids\.parquet"):
        easyrec.semantic_ids(items(), tmp_path / "ids.html")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cata.json"]


def test_a_folder_of_vectors_has_no_categories_and_all_must_be_there(tmp_path):
    (tmp_path / "items.json").write_text("{}")
    with pytest.raises(RunError, match="not all items are there"):
        easyrec.tree(tmp_path, tmp_path / "tree.parquet")
    with pytest.raises(ConfigError, match=r"'categories' reads columns of the items, and .* holds vectors"):
        easyrec.tree(tmp_path, tmp_path / "tree.parquet", config={"type": "categories", "by": ["cate"]})


def test_one_item_is_a_tree_too(tmp_path):
    path = easyrec.tree(items(1), tmp_path / "tree.parquet")
    assert pq.read_table(path).column("leaf").to_pylist() == [0]
