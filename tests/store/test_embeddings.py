"""Embedding views: vectors of one model and one dimension, read by key."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from easyrec.cli import main
from easyrec.errors import ConfigError, DataError, StoreError
from easyrec.retrieval.items import parts_of, vectors_of
from easyrec.store.definitions import load_store
from easyrec.store.reader import ModelReader
from easyrec.store.writer import Writer

VIEW = {
    "name": "vectors",
    "type": "embedding",
    "entity": "item",
    "fields": [{"name": "vector", "type": "vector<2>"}, {"name": "cate", "type": "int64"}],
}
MODEL = {"name": "ctr", "features": [{"view": "vectors"}]}


def rows(**vectors):
    return pa.record_batch({"item_id": list(vectors), "vector": list(vectors.values()), "cate": [1] * len(vectors)})


@pytest.fixture
def config(project):
    return project([VIEW], [MODEL])


def test_vectors_are_read_by_key_with_their_version(config):
    store = config.online.open(config.project)
    writer, reader = Writer(config, store), ModelReader(config, store, "ctr")
    assert reader.versions() == {"vectors": ""}
    writer.publish("vectors", [rows(a=[1.0, 2.0], b=[3.0, 4.0])], version="m1")
    found = reader.read({"item_id": ["b", "nobody"]})["item_id"]
    assert found["vector"].to_pylist() == [[3.0, 4.0], None]
    assert reader.versions() == {"vectors": "m1"}
    writer.write("vectors", rows(c=[5.0, 6.0]), version="m1")
    writer.publish("vectors", [rows(a=[9.0, 9.0])], version="m1", merge=True)
    found = reader.read({"item_id": ["a", "b", "c"]})["item_id"]["vector"].to_pylist()
    assert found == [[9.0, 9.0], [3.0, 4.0], [5.0, 6.0]]
    store.close()


def test_vectors_of_two_models_are_never_in_one_view(config):
    store = config.online.open(config.project)
    writer, reader = Writer(config, store), ModelReader(config, store, "ctr")
    writer.publish("vectors", [rows(a=[1.0, 2.0])], version="m1")
    for change in (
        lambda: writer.publish("vectors", [rows(b=[1.0, 1.0])], version="m2", merge=True),
        lambda: writer.write("vectors", rows(b=[1.0, 1.0]), version="m2"),
    ):
        with pytest.raises(StoreError, match="holds vectors of version 'm1', with which those of 'm2' cannot"):
            change()
    with pytest.raises(StoreError, match="say which model made them"):
        writer.publish("vectors", [rows(b=[1.0, 1.0])])
    writer.publish("vectors", [rows(b=[7.0, 7.0])], version="m2")
    assert reader.versions() == {"vectors": "m2"}
    assert reader.read({"item_id": ["a", "b"]})["item_id"]["vector"].to_pylist() == [None, [7.0, 7.0]]
    writer.rollback("vectors")
    assert reader.versions() == {"vectors": "m1"}
    store.close()


def test_other_dimensions_are_refused_and_nothing_is_changed(config):
    store = config.online.open(config.project)
    writer, reader = Writer(config, store), ModelReader(config, store, "ctr")
    writer.publish("vectors", [rows(a=[1.0, 2.0])], version="m1")
    with pytest.raises(DataError, match="row 1, column 'vector': has 3 numbers, not 2"):
        writer.publish("vectors", [rows(a=[8.0, 8.0], b=[1.0, 2.0, 3.0])], version="m1")
    assert reader.read({"item_id": ["a"]})["item_id"]["vector"].to_pylist() == [[1.0, 2.0]]
    store.close()


@pytest.mark.parametrize("fields", [[], [{"name": "w", "type": "vector<3>"}, {"name": "v", "type": "vector<2>"}]])
def test_an_embedding_view_has_one_vector(fields):
    view = {**VIEW, "fields": [{"name": "cate", "type": "int64"}, *fields]}
    with pytest.raises(ConfigError, match="has one of type vector<D>, but this has"):
        load_store({"project": "p", "entities": [{"name": "item", "join_id": "item_id"}], "views": [view]})


EXPERIMENT = """\
name: match
data: {sampler: {type: uniform, negatives: 8}, batch_size: 64, labels: [], train: {type: parquet, path: train.parquet},
       items: {type: parquet, path: items.parquet}}
features:
  - {type: id, name: user_id, expression: "user:user_id", num_buckets: 10}
  - {type: id, name: item_id, expression: "item:name", num_buckets: 50}
model: {type: dssm, embedding_dim: 4, hidden: [4], output_dim: 4, groups: {user: [user_id], item: [item_id]}}
train: {epochs: 1, threads: 1}
"""


@pytest.mark.slow
def test_what_embed_made_is_published(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    pq.write_table(pa.table({"name": range(50), "cate": [n % 3 for n in range(50)]}), "items.parquet")
    pq.write_table(
        pa.table({"user_id": [n % 10 for n in range(99)], "name": [n % 50 for n in range(99)]}), "train.parquet"
    )
    (tmp_path / "match.yaml").write_text(EXPERIMENT)
    view = {**VIEW, "fields": [{"name": "vector", "type": "vector<4>"}, {"name": "cate", "type": "int64"}]}
    definitions = {
        **{"project": "shop", "online": {"type": "sqlite", "path": "online.db"}, "models": [MODEL]},
        **{"entities": [{"name": "item", "join_id": "item_id"}], "views": [view]},
    }
    (tmp_path / "store.yaml").write_text(json.dumps(definitions))
    assert main(["train", "-c", "match.yaml"]) == 0
    assert main(["embed", "-c", "runs/match", "--index", "flat", "--attributes", "cate"]) == 0
    publish = ["store", "publish", "-c", "store.yaml", "vectors", "--vectors", "runs/match/items"]
    assert main(publish) == 0
    config = load_store("store.yaml")
    store = config.online.open("shop")
    reader = ModelReader(config, store, "ctr")
    made = pa.concat_tables([pq.read_table(path) for path in parts_of(tmp_path / "runs/match/items")])
    found = reader.read({"item_id": made["name"].to_pylist()})["item_id"]
    assert found["vector"].to_pylist() == vectors_of(made).tolist()
    assert found["cate"].to_pylist() == made["cate"].to_pylist()
    about = json.loads((tmp_path / "runs/match/items/items.json").read_text())
    assert reader.versions() == {"vectors": about["model"]}
    store.close()
    capsys.readouterr()
    assert main([*publish, "-o", "views[vectors].fields[vector].type=vector<8>", "-o", "online.path=other.db"]) == 3
    assert "vectors of 4 numbers, but field 'vector' is vector<8>" in capsys.readouterr().err
