"""A server that is asked by ids takes the columns from a feature store."""

import numpy as np
import pyarrow as pa
import pytest
import yaml

from easyrec.store.definitions import load_store
from easyrec.store.writer import Writer
from serving import Predictor
from serving.server.replay import replay
from serving.server.request_log import read_log

SCENE = {"scene": "home"}
PRICES = {"i1": 3.5, "i2": 19.0, "i3": 0.5}
ITEM = {"cate": "toy", "tags": ["t1"], "score": 0.25}


@pytest.fixture
def stored(tmp_path):
    """A `store.yaml` with users and items, the latter's prices alone."""
    fields = [{"name": "level", "type": "int64"}]
    fields += [{"name": f"click_seq__{name}", "type": "array<string>"} for name in ("item_id", "cate")]
    defined = {
        "project": "toy",
        "online": {"type": "sqlite", "path": str(tmp_path / "online.db")},
        "entities": [{"name": "user", "join_id": "user_id"}, {"name": "item", "join_id": "item_id"}],
        "views": [
            {"name": "users", "entity": "user", "fields": fields},
            {"name": "prices", "entity": "item", "fields": [{"name": "price", "type": "double"}]},
        ],
        "models": [{"name": "ctr", "features": [{"view": "users"}, {"view": "prices"}]}],
        "read": {"memory": {"item": {"type": "snapshot", "poll": "50ms"}, "user": {"type": "cache", "age": "1ms"}}},
    }
    (tmp_path / "store.yaml").write_text(yaml.safe_dump(defined))
    config = load_store(tmp_path / "store.yaml")
    store = config.online.open("toy")
    writer = Writer(config, store)
    seq = pa.array([["i2", "i3"]], pa.list_(pa.string()))
    users = {"user_id": ["u1"], "level": [3], "click_seq__item_id": seq, "click_seq__cate": seq}
    writer.publish("users", [pa.record_batch(users)])
    writer.publish("prices", [pa.record_batch({"item_id": list(PRICES), "price": list(PRICES.values())})])
    yield {"store": str(tmp_path / "store.yaml"), "model": "ctr", "deadline_ms": 2000}
    store.close()


@pytest.fixture
def model(toys, stored):
    return {"name": "m", "bundle": str(toys("din").bundle), "features": stored}


def known(toys, names, prices=PRICES):
    user = {"user_id": "u1", "level": 3, "click_seq__item_id": ["i2", "i3"], "click_seq__cate": ["i2", "i3"]}
    items = [{"item_id": name, "price": prices[name], **ITEM} for name in names]
    return Predictor.load(toys("din").bundle).predict(user, items, SCENE)["click"]


def same(found, wanted):
    np.testing.assert_array_equal(np.array(found, np.float32), wanted)


def test_ids_are_scored_and_counted_by_every_endpoint(with_app, model, toys, tmp_path):
    asked = {"user": {"user_id": "u1"}, "items": [{"item_id": n, **ITEM} for n in PRICES], "context": SCENE}
    tensors = {
        "user_id": ("BYTES", ["u1"]),
        "item_id": ("BYTES", list(PRICES)),
        "scene": ("BYTES", ["home"]),
        "cate": ("BYTES", ["toy"] * 3),
        "score": ("FP32", [0.25] * 3),
    }
    inputs = [{"name": n, "datatype": kind, "shape": [len(v)], "data": v} for n, (kind, v) in tensors.items()]
    inputs.append({"name": "tags", "datatype": "BYTES", "shape": [3, 1], "data": [["t1"]] * 3})

    async def work(client):
        scores = (await client.post("/predict", json=asked)).json()["scores"]["click"]
        best = (await client.post("/predict", json={**asked, "top_k": 1})).json()
        told = (await client.post("/predict", json={**asked, "explain": True})).json()
        wrong = await client.post("/predict", json={**asked, "user": {"user_idd": "u1"}})
        lacking = await client.post("/predict", json={**asked, "user": {}})
        infer = await client.post("/v2/models/m/infer", json={"inputs": inputs})
        return scores, best, told, wrong, lacking, infer, (await client.get("/metrics")).text

    scores, best, told, wrong, lacking, infer, text = with_app(work, models=[model])
    wanted = known(toys, PRICES)
    same(scores, wanted)
    assert best["positions"] == [int(np.argmax(wanted))]
    assert told["explained"]["times_ms"]["store"] >= 0
    assert (wrong.status_code, wrong.json()["reason"]) == (400, "unknown_column")
    assert (lacking.status_code, lacking.json()["column"]) == (400, "user_id")
    same(infer.json()["outputs"][0]["data"], wanted)
    assert 'easyrec_store_rows_total{model="m",view="prices",result="hits"} 12' in text
    assert 'easyrec_store_rows_total{model="m",view="users",result="hits"} 4' in text
    assert 'easyrec_store_read_seconds_count{model="m",entity="item"} 4' in text
    assert 'easyrec_store_memory_rows{project="toy",entity="item"} 3' in text
    assert 'easyrec_stage_seconds_count{model="m",stage="store"}' in text


def test_of_a_column_that_some_items_hold_the_others_come_from_the_store(with_app, model, toys):
    given = [
        {"item_id": "i1", **ITEM, "price": 9.0},
        {"item_id": "i2", **ITEM, "price": None},
        {"item_id": "i3", **ITEM},
    ]

    async def work(client):
        answer = await client.post("/predict", json={"user": {"user_id": "u1"}, "items": given, "context": SCENE})
        return answer.json()["scores"]["click"]

    found = with_app(work, models=[model])
    same(found, known(toys, PRICES, {"i1": 9.0, "i2": None, "i3": PRICES["i3"]}))


def test_items_may_be_nothing_but_ids_where_the_store_has_all_their_columns(with_app, toys, stored, tmp_path):
    defined = yaml.safe_load((tmp_path / "store.yaml").read_text())
    fields = [{"name": n, "type": t} for n, t in (("cate", "string"), ("tags", "array<string>"), ("score", "float"))]
    defined["views"].append({"name": "rest", "entity": "item", "fields": fields})
    defined["models"][0]["features"].append({"view": "rest"})
    (tmp_path / "store.yaml").write_text(yaml.safe_dump(defined))
    config = load_store(tmp_path / "store.yaml")
    rows = {
        "item_id": list(PRICES),
        "cate": ["toy"] * 3,
        "tags": [["t1"]] * 3,
        "score": pa.array([0.25] * 3, pa.float32()),
    }
    Writer(config, config.online.open("toy")).publish("rest", [pa.record_batch(rows)])

    async def work(client):
        asked = {"user": {"user_id": "u1"}, "items": ["i3", "i1"], "context": SCENE}
        best = await client.post("/predict", json={**asked, "top_k": 2})
        twice = await client.post("/predict", json={**asked, "items": ["i3", "i3"]})
        return (await client.post("/predict", json=asked)).json(), best.json(), twice

    bundle = {"name": "m", "bundle": str(toys("din").bundle), "features": stored, "unique": "item_id"}
    scored, best, twice = with_app(work, models=[bundle])
    wanted = known(toys, ["i3", "i1"])
    same(scored["scores"]["click"], wanted)
    assert sorted(best["keys"]) == ["i1", "i3"]
    assert (twice.status_code, twice.json()["reason"]) == (400, "duplicate_item")


def test_small_requests_of_ids_are_scored_together(with_app, model, toys):
    import asyncio

    async def work(client):
        asked = {"user": {"user_id": "u1"}, "context": SCENE}
        bodies = [{**asked, "items": [{"item_id": name, **ITEM}]} for name in PRICES]
        answers = await asyncio.gather(*(client.post("/predict", json=body) for body in bodies))
        return [answer.json()["scores"]["click"] for answer in answers]

    found = with_app(work, models=[{**model, "batching": {"max_wait_ms": 50}}])
    np.testing.assert_allclose(np.concatenate(found), known(toys, PRICES), atol=1e-5)


def test_the_request_log_holds_the_columns_that_were_served(with_app, model, toys, tmp_path):
    async def work(client):
        asked = {"user": {"user_id": "u1"}, "items": [{"item_id": n, **ITEM} for n in PRICES], "context": SCENE}
        return (await client.post("/predict", json=asked)).status_code

    log = {"path": str(tmp_path / "log"), "sample": 1.0}
    assert with_app(work, models=[model], request_log=log) == 200
    ((_, row),) = read_log(tmp_path / "log")
    assert row.column("item:price")[0].as_py() == list(PRICES.values())
    assert row.column("user:level")[0].as_py() == 3
    found = replay(tmp_path / "log", toys("din").bundle)
    assert (found.requests, found.same) == (1, 1)


def test_a_store_config_that_cannot_be_is_told_before_anything_is_served(toys, stored, tmp_path):
    from easyrec.errors import ConfigError
    from serving.server.config import load_server_config
    from serving.server.run import serve

    bundle = {"name": "m", "bundle": str(toys("din").bundle)}
    for features, message in (
        ({"store": str(tmp_path / "none.yaml"), "model": "ctr"}, "none.yaml"),
        ({**stored, "model": "cvr"}, "unknown model 'cvr'"),
    ):
        with pytest.raises(ConfigError, match=message):
            serve(load_server_config({"models": [{**bundle, "features": features}]}))
