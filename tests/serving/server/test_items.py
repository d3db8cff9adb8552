"""Items by key over the application: catalogues from files and from requests, the best candidates, and why."""

import asyncio
import gc
import os
import time
import weakref

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from easyrec.errors import DataError
from serving import Catalogue, Predictor
from serving.catalogue import Keys
from serving.server.config import CatalogueConfig, LimitsConfig, load_server_config
from serving.server.items import Items
from serving.server.models import Loaded
from serving.server.replay import replay
from serving.server.request_log import read_log

USER = {
    "user_id": "u1",
    "level": 2,
    "click_seq": [{"item_id": "i1", "cate": "toy"}, {"item_id": "i2", "cate": "car"}, {"item_id": "i3", "cate": "toy"}],
}
CONTEXT = {"scene": "home"}
COLUMNS = ["item_id", "cate", "tags", "price", "score"]
NEW = {"item_id": "new", "cate": "toy", "tags": ["t1", "t2"], "price": 3.5, "score": 0.25}
TOKEN, ADMIN = "a token of the tests", "an admin's token of the tests"
AUTH = {"tokens": [TOKEN], "admin": [ADMIN]}
AS_ADMIN = {"authorization": f"Bearer {ADMIN}"}
AS_USER = {"authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def catalogue(toy_rows, tmp_path):
    """Items i0 .. i49 in a file."""
    rows = toy_rows(50, seed=9).select(COLUMNS)
    rows = rows.set_column(0, "item_id", pa.array([f"i{n}" for n in range(50)]))
    path = tmp_path / "items.parquet"
    pq.write_table(pa.Table.from_batches([rows]), path)
    return path, rows


def model(toys, path, **more):
    source = {"path": str(path)}
    return {
        "name": "toy",
        "bundle": str(toys("deepfm").bundle),
        "catalogue": {"source": source, "key": "item_id"},
        **more,
    }


def asked(items, **more):
    return {"user": USER, "items": items, "context": CONTEXT, **more}


def test_items_by_key_are_scored_as_by_their_columns(with_app, toys, catalogue):
    path, rows = catalogue
    keys, places = ["i7", "i1", "i7"], pa.array([7, 1, 7])
    expected = Predictor.load(toys("deepfm").bundle).predict(USER, rows.take(places), CONTEXT)["click"]

    async def work(client):
        for items in (keys, [{"item_id": key} for key in keys], {"item_id": keys}, rows.take(places).to_pylist()):
            answer = (await client.post("/predict", json=asked(items))).json()
            assert np.array_equal(np.array(answer["scores"]["click"], np.float32), expected), items
        text = (await client.get("/metrics")).text
        version = answer["version"]
        assert f'easyrec_cache_rows{{model="toy",version="{version}",cache="catalogue"}} 50' in text
        assert 'easyrec_cache_hits_total{model="toy",cache="catalogue"} 9' in text
        assert 'easyrec_cache_hits_total{model="toy",cache="users"} 3' in text
        assert 'easyrec_cache_misses_total{model="toy",cache="users"} 1' in text
        assert "easyrec_cache_age_seconds{" in text

    with_app(work, models=[model(toys, path, user_cache={"key": "user_id", "age_s": 3600})])


def tensor(name, datatype, values, shape=None):
    return {"name": name, "datatype": datatype, "shape": shape or [len(values)], "data": values}


def test_tensors_may_name_items_too(with_app, toys, catalogue):
    path, rows = catalogue
    expected = Predictor.load(toys("deepfm").bundle).predict(USER, rows.take(pa.array([7, 1])), CONTEXT)["click"]
    steps = [[step[key] for step in USER["click_seq"]] for key in ("item_id", "cate")]
    once = [
        tensor("user_id", "BYTES", ["u1"]),
        tensor("level", "INT64", [2]),
        tensor("click_seq__item_id", "BYTES", steps[0], [1, 3]),
        tensor("click_seq__cate", "BYTES", steps[1], [1, 3]),
        tensor("scene", "BYTES", ["home"]),
    ]

    async def work(client):
        async def ask(*tensors):
            return await client.post("/v2/models/toy/infer", json={"inputs": list(tensors)})

        answer = (await ask(*once, tensor("item_id", "BYTES", ["i7", "i1"]))).json()
        assert np.array_equal(np.array(answer["outputs"][0]["data"], np.float32), expected)
        for tensors, told in (
            ([*once[1:], tensor("item_id", "BYTES", ["i7"])], "'user_id': the column is missing"),
            ([*once, tensor("item_id", "BYTES", ["i7"]), tensor("colour", "BYTES", ["red"])], "is read by no feature"),
            ([*once, tensor("item_id", "BYTES", ["i7", "i99"])], "the catalogue has no item 'i99'"),
            ([*once, tensor("item_id", "BYTES", ["i7"]), tensor("cate", "BYTES", ["toy"])], "the column is missing"),
        ):
            answer = await ask(*tensors)
            assert answer.status_code == 400
            assert told in answer.json()["error"]

    with_app(work, models=[model(toys, path)])


@pytest.mark.parametrize(
    ("body", "status", "told", "column"),
    [
        (asked(["i1", "i99"]), 400, "the catalogue has no item 'i99'", "item_id"),
        (asked(["i1", None]), 400, "whole number or a text", "item_id"),
        (asked([{"item_id": "i1", "colour": "red"}]), 400, "is read by no feature", "colour"),
        (asked(["i1"], top_k=0), 400, "must be a whole number above 0", "top_k"),
        (asked(["i1"], top_k=1, task="buy"), 400, "there is no task 'buy'", "task"),
        (asked(["i1"], task="click"), 400, "says by what 'top_k' are the best", "task"),
        (asked(["i1"], explain=1), 400, "must be true or false", "explain"),
        (asked(["i1", "i1"]), 400, "twice", "item_id"),
    ],
    ids=["unknown", "null", "column", "top_k", "task", "task-alone", "explain", "unique"],
)
def test_questions_that_cannot_be_answered_say_why(with_app, toys, catalogue, body, status, told, column):
    async def work(client):
        answer = await client.post("/predict", json=body)
        assert answer.status_code == status
        assert told in answer.json()["error"]
        assert answer.json()["column"] == column

    with_app(work, models=[model(toys, catalogue[0], unique="item_id")])


def test_by_key_is_in_batches_in_the_request_log_and_in_drift_too(with_app, toys, catalogue, tmp_path, caplog):
    path, rows = catalogue
    bodies = [asked([f"i{n}", f"i{n + 9}"]) | {"user": {**USER, "user_id": f"u{n}"}} for n in range(6)]
    bodies.append(asked(rows.slice(3, 2).to_pylist()))  # one of the batch brings its items' columns

    async def work(client):
        answers = await asyncio.gather(*(client.post("/predict", json=body) for body in bodies))
        return [answer.json()["scores"]["click"] for answer in answers], (await client.get("/metrics")).text

    with caplog.at_level("ERROR"):
        answers, metrics = with_app(
            work,
            models=[model(toys, path, batching={"max_rows": 64, "max_wait_ms": 50})],
            request_log={"path": str(tmp_path / "log"), "sample": 1.0},
            drift={"sample": 1.0},
        )
    assert not caplog.records
    assert "easyrec_batch_rows_count" in metrics
    assert next(x for x in metrics.splitlines() if x.startswith("easyrec_batch_rows_sum")).endswith(" 14")
    with Predictor.load(toys("deepfm").bundle) as predictor:
        for n, scores in enumerate(answers[:6]):
            items = rows.take(pa.array([n, n + 9]))
            expected = predictor.predict(bodies[n]["user"], items, CONTEXT)["click"]
            np.testing.assert_allclose(np.float32(scores), expected, rtol=0, atol=1e-5)
    kept = [row for _, row in read_log(tmp_path / "log")]
    assert sorted(row.column("user:user_id")[0].as_py() for row in kept) == ["u0", "u1", "u1", "u2", "u3", "u4", "u5"]
    found = replay(tmp_path / "log", toys("deepfm").bundle)
    assert (found.requests, found.same, found.items) == (7, 7, 14)


def test_what_was_changed_is_what_a_log_keeps(toys, catalogue):
    _, rows = catalogue
    with Predictor.load(toys("deepfm").bundle) as predictor:
        held = Catalogue(predictor, rows, key="item_id", columns=True)
        held.upsert([NEW | {"item_id": "i3"}, NEW])
        held.remove(["i4"])
        found = held.columns_of(Keys(["new", "i5", "i3"])).to_pylist()
        assert found == [NEW, rows.slice(5, 1).to_pylist()[0], NEW | {"item_id": "i3"}]
        held.remove([f"i{n}" for n in range(50) if n != 7])
        for n in range(3000):  # until the room of what is gone is given back
            held.upsert([NEW | {"item_id": f"n{n % 3}", "price": float(n)}])
        assert [row["price"] for row in held.columns_of(Keys(["n2", "n0"])).to_pylist()] == [2999.0, 2997.0]
        assert held.columns_of(Keys(["i7"])).to_pylist() == rows.slice(7, 1).to_pylist()
        with pytest.raises(DataError, match="no item 'i4'"):
            held.columns_of(Keys(["i4"]))


def test_top_k_gives_the_best_with_their_keys_and_places(with_app, toys, catalogue):
    path, rows = catalogue
    keys = [f"i{n}" for n in (5, 3, 30, 12, 44)]

    async def work(client):
        scores = np.array((await client.post("/predict", json=asked(keys))).json()["scores"]["click"], np.float32)
        order = np.argsort(-scores, kind="stable")[:3]
        best = (await client.post("/predict", json=asked(keys, top_k=3))).json()
        assert best["positions"] == order.tolist()
        assert best["keys"] == [keys[n] for n in order]
        assert best["task"] == "click"
        assert np.array_equal(np.array(best["scores"]["click"], np.float32), scores[order])
        whole = [rows.slice(n, 1).to_pylist()[0] for n in (5, 3, 30, 12, 44)]
        by_columns = (await client.post("/predict", json=asked(whole, top_k=3, task="click"))).json()
        assert by_columns["positions"] == best["positions"]
        assert "keys" not in by_columns

    with_app(work, models=[model(toys, path)])


def test_explain_tells_features_defaults_and_times(with_app, toys, catalogue):
    path, _ = catalogue

    async def work(client):
        plain = (await client.post("/predict", json=asked([NEW]))).json()
        told = (await client.post("/predict", json=asked([{**NEW, "cate": "car", "price": None}], explain=True))).json()
        explained = told["explained"]
        assert plain["scores"] != told["scores"]
        assert {"items", "user", "features", "lookup", "program"} <= explained["times_ms"].keys()
        assert explained["unknown"] == {"cate": 1, "click_seq__cate": 1}
        assert explained["missing"] == {"price": 1}
        assert [(d["column"], d["rows"], list(d["features"])) for d in explained["defaults"]] == [
            ("price", [0], ["price"])
        ]
        assert len(explained["features"]["click_seq__item_id"][0]) == 3
        by_key = (await client.post("/predict", json=asked(["i1", "i2"], explain=True))).json()
        assert len(by_key["explained"]["features"]["item_id"]) == 2

    with_app(work, models=[model(toys, path)])


def test_an_admin_changes_items_and_the_next_answer_knows(with_app, toys, catalogue):
    path, _ = catalogue
    expected = Predictor.load(toys("deepfm").bundle).predict(USER, [NEW], CONTEXT)["click"]

    async def work(client):
        async def change(status=200, headers=AS_ADMIN, **body):
            answer = await client.post("/models/toy/items", json=body, headers=headers)
            assert answer.status_code == status, answer.text
            return answer.json()

        assert await change(upsert=[NEW]) == {"model": "toy", "upserted": 1, "removed": 0, "items": 51}
        answer = (await client.post("/predict", json=asked(["new"]), headers=AS_USER)).json()
        assert np.array_equal(np.array(answer["scores"]["click"], np.float32), expected)
        assert await change(upsert=[NEW], remove=["i1", "i2", "gone"]) == {
            "model": "toy", "upserted": 1, "removed": 2, "items": 49,
        }  # fmt: skip
        assert (await client.post("/predict", json=asked(["i1"]), headers=AS_USER)).status_code == 400
        bad = await change(400, upsert=[{**NEW, "item_id": "i5"}, {**NEW, "price": "cheap"}], remove=["i3"])
        assert bad["column"] == "price"
        assert (await client.post("/predict", json=asked(["i3"]), headers=AS_USER)).status_code == 200
        assert (await change(400, upsert=[NEW], remove=[None]))["row"] == 0
        assert (await change(400, upsert={}))["column"] == "upsert"
        assert (await change(400, remove=3))["column"] == "remove"
        assert (await change(400, update=[]))["column"] == "update"
        await change(403, AS_USER, remove=["i3"])
        answer = await client.post("/models/toy/reload", headers=AS_ADMIN)
        assert answer.status_code == 200

    with_app(work, models=[model(toys, path)], auth=AUTH)


@pytest.mark.parametrize(
    ("item", "reason", "column"),
    [
        ({k: v for k, v in NEW.items() if k != "price"}, "missing_column", "price"),
        (NEW | {"prize": 1}, "unknown_column", "prize"),
        (NEW | {"level": 1}, "unknown_column", "level"),
        (NEW | {"price": "cheap"}, "data", "price"),
    ],
    ids=["lacks-one", "unknown", "of-the-user", "no-number"],
)
def test_an_item_that_is_not_whole_is_refused_and_named(with_app, toys, catalogue, item, reason, column):
    async def work(client):
        changed = await client.post(
            "/models/toy/items", json={"upsert": [NEW, item | {"item_id": "i1"}]}, headers=AS_ADMIN
        )
        asked_new = await client.post("/predict", json=asked(["new"]), headers=AS_USER)
        return changed, asked_new

    changed, asked_new = with_app(work, models=[model(toys, catalogue[0])], auth=AUTH)
    told = changed.json()
    assert (changed.status_code, told["reason"], told["column"], told["row"]) == (400, reason, column, 1)
    assert asked_new.status_code == 400  # nothing was changed


def test_a_model_without_a_catalogue_says_so(with_app, toys):
    async def work(client):
        answer = await client.post("/models/toy/items", json={"remove": ["i1"]}, headers=AS_ADMIN)
        assert (answer.status_code, answer.json()["reason"]) == (409, "no_catalogue")

    with_app(work, models=[{"name": "toy", "bundle": str(toys("deepfm").bundle)}], auth=AUTH)


@pytest.fixture
def predictor(toys):
    return Predictor.load(toys("deepfm").bundle, verify=False)


def items(path, tmp_path, **more):
    return Items(CatalogueConfig(source={"path": str(path)}, key="item_id", **more), tmp_path / "items.jsonl")


def score(predictor, catalogue, key):
    predictor.catalogue = catalogue
    return predictor.predict(USER, [key], CONTEXT)["click"].tolist()


def test_processes_follow_each_other_and_what_is_loaded_later_too(predictor, catalogue, tmp_path):
    path, _ = catalogue
    one, other = items(path, tmp_path), items(path, tmp_path)
    held, others = [one.catalogue(predictor)], [other.catalogue(predictor)]
    before, unchanged = (score(predictor, others[0], key) for key in ("i1", "i2"))
    one.change(held, [{**NEW, "item_id": "i1"}, NEW], ["i2"])
    assert score(predictor, others[0], "i1") == before
    other.watch(others)
    assert score(predictor, others[0], "i1") == score(predictor, held[0], "i1") != before
    other.change(others, [], ["new"])
    other.change(others, [{**NEW, "item_id": "i2"}], [])
    one.watch(held)
    later = items(path, tmp_path).catalogue(predictor)  # of a process that was started again
    for each in (held[0], others[0], later):
        assert len(each) == 50
        assert score(predictor, each, "i1") == score(predictor, held[0], "i1")
        assert score(predictor, each, "i2") == score(predictor, held[0], "i2") != unchanged
    assert one.watch(held) == ""


def test_a_file_that_is_written_anew_is_read_and_later_changes_stay(predictor, catalogue, tmp_path, toy_rows):
    path, _ = catalogue
    one = items(path, tmp_path, refresh_s=0.001)
    held = [one.catalogue(predictor)]
    one.change(held, [{**NEW, "item_id": "early"}], [])
    other = toy_rows(5, seed=1).select(COLUMNS).set_column(0, "item_id", pa.array([f"j{n}" for n in range(5)]))
    pq.write_table(pa.Table.from_batches([other]), path)
    stamp = time.time() + 5  # what is pushed from now on is older than the file, until then
    os.utime(path, (stamp, stamp))
    assert one.watch(held) == "read"
    assert len(held[0]) == 5
    with pytest.raises(DataError, match="no item 'early'"):
        score(predictor, held[0], "early")
    os.utime(path, (stamp - 60, stamp - 60))
    assert one.watch(held) == "read"
    assert score(predictor, held[0], "early")
    path.write_bytes(b"no parquet")
    assert one.watch(held) == "refused"
    assert len(held[0]) == 6


@pytest.mark.parametrize("kind", ["csv", "arrow", "json", "parquet"])
def test_items_are_read_of_any_of_the_formats(predictor, tmp_path, kind):
    table = pa.table(
        {"item_id": ["a", "b"], "cate": ["toy", "car"], "tags": ["t1", ""], "price": [1.5, 2.5], "score": [0.5, 1.0]}
    )
    folder = tmp_path / "folder"
    folder.mkdir()
    if kind == "csv":
        pyarrow.csv.write_csv(table, folder / "a.csv")
    elif kind == "arrow":
        pyarrow.feather.write_feather(table, folder / "a.arrow")
    elif kind == "json":
        lines = [str(row).replace("'", '"') for row in table.to_pylist()]
        (folder / "a.jsonl").write_text("\n".join(lines))
    else:
        pq.write_table(table, folder / "a.parquet")
    config = CatalogueConfig(source={"path": str(folder), "format": kind}, key="item_id")
    made = Items(config, tmp_path / "journal.jsonl").catalogue(predictor)
    expected = Predictor.predict(predictor, USER, table, CONTEXT)["click"].tolist()
    assert [*score(predictor, made, "a"), *score(predictor, made, "b")] == pytest.approx(expected, abs=1e-6)


def test_a_source_that_is_not_there_is_named(predictor, tmp_path):
    with pytest.raises(DataError, match=r"nothing\.parquet"):
        items(tmp_path / "nothing.parquet", tmp_path).catalogue(predictor)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="the folder holds no parquet file"):
        items(tmp_path / "empty", tmp_path).catalogue(predictor)


@pytest.mark.slow
def test_all_processes_of_a_server_know_a_change(serving, toys, catalogue, until):
    path, _ = catalogue
    server = serving(models=[model(toys, path)], processes=2, auth=AUTH)
    body = {"upsert": [NEW]}
    assert httpx.post(f"{server.url}/models/toy/items", json=body, headers=AS_ADMIN).json()["items"] == 51

    def known():
        answers = [httpx.post(f"{server.url}/predict", json=asked(["new"]), headers=AS_USER) for _ in range(8)]
        return all(answer.status_code == 200 for answer in answers)

    until(known)
    until(lambda: 'cache="catalogue"} 102' in httpx.get(f"{server.url}/metrics").text)  # of two processes


def test_tensors_have_nothing_to_cache():
    from easyrec.errors import ConfigError

    with pytest.raises(ConfigError, match="nothing is computed that a cache could keep"):
        load_server_config(
            {"models": [{"name": "m", "bundle": "b", "inputs": "tensors", "catalogue": {"key": "item_id"}}]}
        )


def test_a_bundle_that_was_replaced_gives_its_memory_back_at_once(toys, catalogue, tmp_path):
    path, _ = catalogue
    config = load_server_config({"models": [model(toys, path)]}).models[0]
    loaded = Loaded(
        toys("deepfm").bundle, config, LimitsConfig(), items=Items(config.catalogue, tmp_path / "items.jsonl")
    )
    held = loaded.predictor
    with loaded.leased():
        held.predict(user=USER, items=Keys(["i1", "i2"]), context=CONTEXT)
    watched = weakref.ref(held.catalogue)
    del held
    gc.collect()
    gc.disable()  # what waits for the collector stays for many swaps
    try:
        loaded.retire()
        assert watched() is None
    finally:
        gc.enable()
