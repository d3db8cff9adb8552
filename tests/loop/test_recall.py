"""What recall reads: tables counted anew, and vectors that change with their towers and with the catalogue."""

import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parent))
from world import ITEMS, USERS, World, loop

from easyrec.export.bundle import digest_of
from easyrec.loop.config import load_loop
from easyrec.loop.worker import ModelWorker, join, step
from easyrec.retrieval.items import Items

pytestmark = pytest.mark.slow


def catalogue(path, items):
    pq.write_table(pa.table({"item_id": pa.array(range(items), pa.int64())}), path)


def towers(folder):
    return {
        "name": "towers",
        "data": {
            "labels": [],
            "batch_size": 64,
            "items": {"type": "parquet", "path": str(folder / "items.parquet")},
            "sampler": {"type": "in_batch"},
        },
        "features": [
            {"type": "id", "name": "user_id", "expression": "user:user_id", "num_buckets": USERS},
            {"type": "id", "name": "item_id", "expression": "item:item_id", "num_buckets": 1000},
        ],
        "model": {
            "type": "dssm",
            "embedding_dim": 8,
            "groups": {"user": ["user_id"], "item": ["item_id"]},
            "hidden": [8],
        },
        "eval": {"retrieval": {}},
        "export": {"warmup_rows": 8},
    }


def test_towers_and_vectors_change_at_one_stroke_and_new_items_get_vectors(tmp_path):
    world = World(tmp_path / "logs")
    ranker = load_loop(loop(tmp_path))
    catalogue(tmp_path / "items.parquet", ITEMS)
    (tmp_path / "towers.yaml").write_text(yaml.safe_dump(towers(tmp_path)))
    content = {
        "experiment": str(tmp_path / "towers.yaml"),
        "state": str(tmp_path / "towers"),
        "samples": str(tmp_path / "samples"),
        "train": {"every": "5m", "min_rows": 100, "where": "positive", "label": "click"},
        "gate": {"metric": "recall@10"},
        "publish": {"to": str(tmp_path / "served"), "delta": False},
        "vectors": {"index": "flat", "every": 0.001},
    }
    config = load_loop(content)
    world.pass_time(300)
    join(ranker, until_end=True)
    worker = ModelWorker(config)
    worker.begin()
    assert worker.once()
    current = tmp_path / "served" / "current"
    first = Items(current / "vectors", None)
    assert len(first.ids) == ITEMS
    assert worker.versions.read(1, "gate")["value"] > 0
    rows = pq.read_table(worker.versions.at(1) / "rows.parquet")
    assert set(rows["click"].to_pylist()) == {1}
    assert not worker.once()
    catalogue(tmp_path / "items.parquet", ITEMS + 5)
    before = digest_of(current / "user")
    assert worker.once()
    assert len(Items(current / "vectors", None).ids) == ITEMS + 5
    assert digest_of(current / "user") == before
    assert current.readlink().name == "000001.1"
    world.pass_time(300)
    join(ranker, until_end=True)
    assert worker.once()
    assert current.readlink().name == "000002"
    assert digest_of(current / "user") != before
    assert len(Items(current / "vectors", None).ids) == ITEMS + 5
    assert Items(current / "vectors", None).model != first.model
    assert worker.publisher.roll_back() == (2, 1)
    assert digest_of(current / "user") == before
    assert worker.vectors.refresh()  # the catalogue is the one of the vectors that were swapped in, which went
    assert len(Items(current / "vectors", None).ids) == ITEMS + 5
    assert digest_of(current / "user") == before
    assert not worker.vectors.refresh()


def test_tables_are_counted_anew_when_enough_time_has_passed(tmp_path):
    world = World(tmp_path / "logs")
    catalogue(tmp_path / "items.parquet", ITEMS)
    features = towers(tmp_path)["features"]
    counted = {"features": features, "data": {"items": {"type": "parquet", "path": str(tmp_path / "items.parquet")}}}
    groups = {"user": ["user_id"], "item": ["item_id"]}
    for name in ("item_cf", "popularity"):
        content = {"name": name, "model": {"type": name, "groups": groups}, **counted}
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(content))
    tables = [
        {
            "name": name,
            "experiment": str(tmp_path / f"{name}.yaml"),
            "to": str(tmp_path / f"{name}.parquet"),
            "every": "8m",
        }
        for name in ("item_cf", "popularity")
    ]
    config = load_loop(loop(tmp_path, tables=tables))
    world.pass_time(300)
    join(config, until_end=True)
    assert step(config, "tables") == "tables were counted anew"
    assert step(config, "tables") == "no table is due"
    samples = pq.read_table(tmp_path / "samples", partitioning=None).filter(pa.compute.field("click") == 1)
    counts = {one: samples["item_id"].to_pylist().count(one) for one in set(samples["item_id"].to_pylist())}
    popular = pq.read_table(tmp_path / "popularity.parquet").to_pylist()
    assert {row["item_id"]: row["score"] for row in popular} == counts
    assert [row["score"] for row in popular] == sorted(counts.values(), reverse=True)
    near = pq.read_table(tmp_path / "item_cf.parquet")
    assert set(near.column_names) == {"item", "neighbour", "score"}
    assert near.num_rows > ITEMS
    world.pass_time(300, minutes=20)
    join(config, until_end=True)
    assert step(config, "tables") == "tables were counted anew"
