"""The command measures the index of embedded items, writes what it found, and applies what it suggests."""

import json
import re

import numpy as np
import pandas as pd
import pytest

import easyrec
from easyrec.cli import main
from easyrec.errors import ConfigError, RunError
from easyrec.report.index_page import index_page
from easyrec.retrieval.indexes import Index

ITEMS = pd.DataFrame({"item_id": np.arange(3000), "cate": np.arange(3000) % 5})
CONFIG = {
    "name": "<match>",
    "data": {"sampler": {"type": "in_batch"}, "batch_size": 64},
    "features": [
        {"type": "id", "name": "user_id", "expression": "user:user_id", "num_buckets": 80},
        {"type": "id", "name": "item_id", "expression": "item:item_id", "num_buckets": 3000},
    ],
    "model": {"type": "dssm", "embedding_dim": 8, "hidden": [16], "output_dim": 16},
    "train": {"epochs": 1, "threads": 1},
}
CONFIG["model"]["groups"] = {"user": ["user_id"], "item": ["item_id"]}
USERS = pd.DataFrame({"user_id": np.arange(80)})


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    random, folder = np.random.default_rng(1), tmp_path_factory.mktemp("match") / "run"
    taken = pd.DataFrame({"user_id": random.integers(0, 80, 300), "item_id": random.integers(0, 3000, 300)})
    data = {"train": taken, "items": ITEMS}
    return easyrec.train(CONFIG, data=data, run_dir=folder, export=False, progress=False)


@pytest.fixture
def items(run, tmp_path):
    index = {"type": "hnsw", "neighbors": 4, "ef_search": 500}
    return easyrec.embed(run.path, ITEMS, tmp_path / "items", index=index, attributes=["cate"])


def test_every_setting_is_measured_and_the_cheapest_applied(run, items):
    more = [{"type": "ivf", "lists": 16}, "flat"]
    options = {"k": 20, "recall": 0.9, "items": items, "seconds": 0.02, "queries": 50}
    found = easyrec.choose_index(run.path, USERS, indexes=more, **options)
    names = ["hnsw neighbors=4", "ivf lists=16", "flat"]
    assert list(dict.fromkeys(point["name"] for point in found["points"])) == names
    assert found["queries"] == 50
    best = found["suggested"]
    assert best["processor_ms"] == min(p["processor_ms"] for p in found["points"] if p["recall"] >= 0.9)
    assert Index.load(items / "index").config.ef_search == 500
    assert json.loads((items / "tuning" / "tuning.json").read_text())["suggested"] == best
    page = (items / "tuning" / "report.html").read_text()
    assert page.count("<svg") == 2
    assert page.count("<tr>") == len(found["points"]) + 1 + len(found["environment"])
    assert "<match>" not in page

    found = easyrec.choose_index(run.path, USERS, indexes=more[:1], apply=True, **options)
    applied = Index.load(items / "index")
    assert applied.config.model_dump() == found["suggested"]["config"]
    assert len(applied) == 3000
    ids, _ = applied.search(np.ones((1, 16), np.float32), 10, filter={"cate": 2})
    assert (ids % 5 == 2).all()
    assert len(easyrec.retrieve(run.path, USERS, k=5, items=items)) == 80


def test_the_command_tells_what_is_wrong_before_it_prints_anything(run, capsys):
    assert main(["index", "-c", str(run.path), "--recall", "1.5"]) == 2
    assert not capsys.readouterr().out


def test_the_command_prints_every_setting(run, items, tmp_path, capsys):
    USERS.to_parquet(tmp_path / "users.parquet")
    where = ["-c", str(run.path), "--items", str(items), "--users", str(tmp_path / "users.parquet")]
    assert main(["index", *where, "-k", "5", "--seconds", "0.01", "--recall", "0.5", "--apply"]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"^index +setting +recall@5 +p50 ms +p95 ms +processor ms +bytes per item$", shown, re.M)
    effort = Index.load(items / "index").config.ef_search
    assert f"the cheapest that reaches 0.5: hnsw neighbors=4, ef_search {effort}\napplied\n" in shown
    assert shown.rstrip().endswith(str(items / "tuning" / "report.html"))


def test_where_none_is_good_enough_nothing_is_suggested(run, items):
    short = {"type": "ivf_pq", "lists": 4, "bytes": 1}
    easyrec.embed(run.path, ITEMS, items, index=short, attributes=["cate"])
    found = easyrec.choose_index(run.path, USERS, k=5, recall=1.0, items=items, seconds=0.01, apply=True)
    assert found["suggested"] is None
    assert Index.load(items / "index").config.type == "ivf_pq"
    assert 'class="value"' not in index_page(found)


def test_what_cannot_be_measured_is_told(run, items, tmp_path):
    with pytest.raises(ConfigError) as told:
        easyrec.choose_index(run.path, USERS, k=0, recall=1.5, seconds=0, items=items)
    assert str(told.value).count("must be above 0") == 3
    with pytest.raises(RunError, match="holds no vectors of items"):
        easyrec.choose_index(run.path, USERS, items=tmp_path / "none")
    with pytest.raises(ConfigError, match="unknown type 'hnws'"):
        easyrec.choose_index(run.path, USERS, indexes=["hnws"], items=items)
