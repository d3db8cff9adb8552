"""The engine behind HTTP: lists, events, traces, experiments; and that a request always answers."""

import asyncio
import contextlib
import json
import os
import threading
import time
from dataclasses import replace
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from easyrec.errors import DataError
from feature_generator import plugins
from feature_generator.config import members
from serving.engine import recall
from serving.engine.ask import Question
from serving.engine.merge import Candidates
from serving.engine.recall import Found, Recall, RecallConfig

NUM, NOON = 120, 1_767_268_800_000  # as conftest has them
POPULAR = {"type": "popular", "by": "sales", "count": 60}


def ids(answer):
    return [item["item_id"] for item in answer["items"]]


async def ask(client, **body):
    reply = await client.post("/recommend", json={"user_id": "u1", "time": NOON, **body})
    assert reply.status_code == 200, reply.text
    return reply.json()


class Config(RecallConfig):
    """Config of `waits`."""

    type: Literal["waits"] = "waits"


class Waits(Recall):
    """Answers when it is told to; never before."""

    go = threading.Event()
    begun: list[float] = []

    def recall(self, ask, count):
        Waits.begun.append(time.monotonic())
        Waits.go.wait()
        return Found(self.rows.find([1100]))


@pytest.fixture
def waiting():
    """The source `waits`, plugged in."""
    import sys
    from pathlib import Path

    module = sys.modules[__name__]
    plugins.files[recall.PACKAGE, "waits"] = plugins.PluggedFile(Path(__file__), recall.PACKAGE, "waits", module, "")
    members.cache_clear()
    Waits.go.clear()
    Waits.begun.clear()
    yield Waits
    Waits.go.set()
    del plugins.files[recall.PACKAGE, "waits"]
    members.cache_clear()


def test_a_list_and_what_is_told_of_it(with_engine, shop):
    async def work(client):
        answer = await ask(client, request_id="r-1", size=3)
        assert answer | {"ms": 0} == {
            "request_id": "r-1",
            "scene": "feed",
            "items": [
                {
                    "item_id": 1000 + n,
                    "position": n,
                    "score": answer["items"][n]["score"],
                    "sources": ["popular"],
                    "reason": "popular now",
                }
                for n in range(3)
            ],
            "experiments": {},
            "degraded": [],
            "ms": 0,
        }
        assert len(ids(await ask(client))) == 10
        assert ids(await ask(client, page=1, size=3)) == [1003, 1004, 1005]
        paths = (await client.get("/openapi.json")).json()["paths"]
        assert {"/recommend", "/events", "/trace", "/health", "/models/{name}/reload"} <= paths.keys()
        assert (await client.get("/health")).json() == {"ready": True, "scenes": ["feed"], "items": 120}
        text = (await client.get("/metrics")).text
        assert 'easyrec_engine_lists_total{scene="feed",whole="yes"} 3' in text
        assert 'easyrec_engine_items_total{scene="feed",stage="recall.popular",way="out"} 180' in text

    with_engine(work, record={"path": str(shop / "logs"), "file_s": 3600})
    (file,) = (shop / "logs").glob("exposures-*.jsonl")
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert len(lines) == 16
    assert lines[0] == {
        "event_id": "r-1/1000",
        "request_id": "r-1",
        "scene": "feed",
        "user_id": "u1",
        "item_id": 1000,
        "time": NOON,
        "position": 0,
        "score": lines[0]["score"],
        "sources": ["popular"],
        "experiments": {},
        "propensity": 1.0,
        "features": {},
    }


def test_events_reach_recall_and_filters_at_once_and_count_once(with_engine, shop):
    near = {"type": "item_to_item", "name": "near", "path": str(shop / "near.parquet"), "weight": 100}
    events = [
        {"event_id": "e1", "type": "click", "user_id": "u1", "item_id": 1050, "time": NOON - 1000, "request_id": "r"}
    ]
    events.append({"event_id": "e2", "type": "view", "user_id": "u1", "item_id": 1070, "time": NOON})

    async def work(client):
        assert "near" not in str(await ask(client))
        first = (await client.post("/events", json={"events": events})).json()
        again = (await client.post("/events", json={"events": events})).json()
        assert (first, again) == ({"taken": 2, "known": 0}, {"taken": 0, "known": 2})
        answer = await ask(client, size=4)
        assert ids(answer)[:2] == [1049, 1051]
        assert answer["items"][0]["reason"] == "because you clicked thing 50"
        assert 1050 not in ids(await ask(client, size=50))

    with_engine(work, [near, POPULAR], {"filters": ["seen"]}, record={"path": str(shop / "logs"), "file_s": 3600})
    (file,) = (shop / "logs").glob("events-*.jsonl")
    assert [json.loads(line)["event_id"] for line in file.read_text().splitlines()] == ["e1", "e2"]

    async def later(client):  # a process that starts reads the log again
        answer = await ask(client, size=4)
        assert ids(answer)[:2] == [1049, 1051]
        assert (await client.post("/events", json={"events": events})).json()["known"] == 2

    with_engine(later, [near, POPULAR], {"filters": ["seen"]}, record={"path": str(shop / "logs"), "file_s": 3600})


@pytest.mark.parametrize(
    ("path", "body", "status", "told"),
    [
        ("/recommend", {}, 400, "'user_id' must be"),
        ("/recommend", {"user_id": "u", "sise": 3}, 400, "did you mean 'size'"),
        ("/recommend", {"user_id": "u", "size": 0}, 400, "'size' must be a whole number from 1 to 500"),
        ("/recommend", {"user_id": "u", "size": True}, 400, "'size'"),
        ("/recommend", {"user_id": "u" * 300}, 400, "256"),
        ("/recommend", {"user_id": 1.5}, 400, "'user_id'"),
        ("/recommend", {"user_id": "u", "user": [1]}, 400, "'user' must be an object"),
        ("/recommend", {"user_id": "u", "scene": "fed"}, 404, "did you mean 'feed'"),
        ("/recommend", [], 400, "must be an object"),
        ("/events", {"events": {}}, 400, "must be a list"),
        (
            "/events",
            {"events": [{"event_id": "e", "type": "clik", "user_id": 1, "item_id": 2}]},
            400,
            "did you mean 'click'",
        ),
        ("/events", {"events": [{"type": "click", "user_id": 1, "item_id": 2}]}, 400, "events[0]: 'event_id'"),
        ("/events", {"events": [{"event_id": "e", "type": "click", "user_id": 1, "item_id": None}]}, 400, "'item_id'"),
        (
            "/events",
            {"events": [{"event_id": "e", "type": "click", "user_id": 1, "item_id": 2, "time": "x"}]},
            400,
            "'time'",
        ),
    ],
)
def test_what_cannot_be_read_is_refused(with_engine, path, body, status, told):
    async def work(client):
        reply = await client.post(path, json=body)
        assert reply.status_code == status
        assert told in reply.json()["error"]

    with_engine(work)


def test_a_source_that_hangs_is_left_out_and_not_asked_for_ever(with_engine, waiting):
    scene = {"deadline_ms": 2000}
    slow = {"type": "waits", "deadline_ms": 30, "threads": 2}

    async def work(client):
        for _ in range(20):
            answer = await ask(client)
            assert ids(answer) == list(range(1000, 1010))
            assert answer["degraded"] in (["recall.waits: deadline"], ["recall.waits: not asked"])
        assert len(waiting.begun) <= 3  # its two threads, and no more than one that tried again
        names = [thread.name for thread in threading.enumerate()]
        assert sum(name.startswith("waits") for name in names) <= 2
        text = (await client.get("/metrics")).text
        assert 'easyrec_engine_degraded_total{scene="feed",stage="recall.waits",why="not asked"}' in text
        waiting.go.set()
        for _ in range(300):  # it answers again: the breaker lets one try, then all
            answer = await ask(client)
            if not answer["degraded"]:
                break
            await asyncio.sleep(0.02)
        assert 1100 in ids(answer)

    with_engine(work, [POPULAR, slow], scene)


def _ends(self, ask, count):
    raise SystemExit(3)


def test_a_source_of_anybodys_may_give_whatever_it_likes(with_engine, waiting, monkeypatch):
    first = [1000, 1001, 1002]
    odd = [None, Found([1, 2]), Found(np.array([1.0])), Found(np.array([NUM])), Found(np.array([1, 2]), np.ones(1))]

    async def work(client):
        # of what it names, the catalogue lacks an item: the others count
        monkeypatch.setattr(Waits, "recall", lambda self, ask, count: Found(self.rows.find([1100, 77, 1101])))
        answer = await ask(client)
        assert {1100, 1101} < set(ids(answer))
        assert answer["degraded"] == []
        client.service.engine.plan("feed").sources[0].lane.breaker.failures = 100
        for given in odd:
            monkeypatch.setattr(Waits, "recall", lambda *_, given=given: given)
            answer = await ask(client)
            assert ids(answer)[:3] == first
            assert answer["degraded"] == ["recall.waits: error"]
        monkeypatch.setattr(Waits, "recall", _ends)
        assert ids(await ask(client))[:3] == first

    waiting.go.set()
    with_engine(work, [{"type": "waits", "deadline_ms": 1000, "threads": 8}, POPULAR])


def test_what_a_stage_of_anybodys_does_costs_neither_a_list_nor_an_event(with_engine, monkeypatch, tmp_path):
    def fails(*_):
        raise RuntimeError("boom")

    async def work(client):
        (stage,) = client.service.engine.plan("feed").reranks
        for name in ("shown", "happened"):
            monkeypatch.setattr(stage, name, fails)
        first = ids(await ask(client))
        assert len(first) == 10
        events = [{"event_id": "e", "type": "click", "user_id": "u1", "item_id": 1000}]
        assert (await client.post("/events", json={"events": events})).json() == {"taken": 1, "known": 0}
        for given in (None, Candidates(np.arange(3), np.zeros(3, np.int64), np.zeros(2))):
            monkeypatch.setattr(stage, "rerank", lambda *_, given=given: given)
            answer = await ask(client)
            assert (ids(answer)[0], answer["degraded"]) == (1000, ["rerank.linucb: error"])

        def spoils(_, given, __):
            given.rows[:] = given.rows[::-1].copy()
            given.scores[:] = 0.0
            raise RuntimeError("boom")

        def strange(_, given, __):
            return replace(given, rows=given.rows + 100_000)

        def twice(_, given, __):
            return given.take(np.zeros(len(given), np.int64))

        for rerank in (spoils, strange, twice):
            monkeypatch.setattr(stage, "rerank", rerank)
            answer = await ask(client)
            assert (ids(answer), answer["degraded"]) == (first, ["rerank.linucb: error"])
        client.service.engine.record.close()
        (written,) = (tmp_path / "logs").glob("events-*.jsonl")
        assert json.loads(written.read_bytes())["event_id"] == "e"

    scene = {"rerank": [{"type": "linucb", "features": ["score"]}]}
    with_engine(work, scene=scene, record={"path": str(tmp_path / "logs")})


def test_a_stage_that_hangs_costs_no_more_than_the_deadline(with_engine, waiting, monkeypatch):
    async def work(client):
        await ask(client)
        plan = client.service.engine.plan("")
        rule = plan.filters[0]
        monkeypatch.setattr(rule, "keeps", lambda ask, items: None if ask.hurried else Waits.go.wait())
        begun = time.monotonic()
        answer = await ask(client)
        assert time.monotonic() - begun < 5.0
        assert len(ids(answer)) == 10
        assert answer["degraded"][-1] == "request: deadline"
        answer = await ask(client)  # its thread still hangs, and nobody may wait
        assert len(ids(answer)) == 10
        assert answer["degraded"] == ["queue: full"]
        monkeypatch.undo()
        waiting.go.set()

    scene = {"filters": [{"type": "rule", "keep": "stock > user.least"}], "deadline_ms": 300}
    with_engine(work, scene=scene, threads=1, limits={"queue": 0})


def test_lists_are_full_though_all_was_seen(with_engine):
    async def work(client):
        met = [await ask(client, size=30) for _ in range(5)]
        assert [len(ids(one)) for one in met] == [30] * 5
        first = [item for one in met[:3] for item in ids(one)]
        assert len(set(first)) == 90  # 108 may be shown
        assert "filters: items that were seen fill the list" in met[3]["degraded"] + met[4]["degraded"]
        assert all(item % 10 != 9 for one in met for item in ids(one))  # out of stock, whatever was seen

    with_engine(work, scene={"filters": ["seen", {"type": "rule", "keep": "stock > 0"}]})


def test_a_failing_filter_lets_nothing_through_that_it_might_forbid(with_engine, monkeypatch):
    async def work(client):
        rule = client.service.engine.plan("").filters[0]
        monkeypatch.setattr(rule, "keeps", lambda ask, items: 1 / 0)
        answer = await ask(client)
        assert ids(answer) == []
        assert "filters.rule: error" in answer["degraded"]

    with_engine(work, scene={"filters": [{"type": "rule", "keep": "stock > user.least"}]})


def test_a_source_that_cannot_be_made_is_left_out_until_it_can(with_engine, shop, monkeypatch):
    from serving.engine import plan

    async def work(client):
        answer = await ask(client)
        assert answer["degraded"] == ["recall.near: not ready"]
        assert len(ids(answer)) == 10
        (shop / "later.parquet").write_bytes((shop / "near.parquet").read_bytes())
        monkeypatch.setattr(plan, "AGAIN_S", 0.0)
        client.service.engine.watch()
        assert (await ask(client))["degraded"] == []

    with_engine(work, [POPULAR, {"type": "item_to_item", "name": "near", "path": str(shop / "later.parquet")}])


def test_the_catalogue_is_read_again_and_counts_go_on(with_engine, shop):
    async def work(client):
        engine = client.service.engine
        await ask(client, size=3)
        await client.post("/events", json={"events": [{"event_id": "e", "type": "buy", "user_id": 2, "item_id": 1119}]})
        table = pq.read_table(shop / "items.parquet")
        rest = table.slice(5)
        more = pa.Table.from_pylist([{**rest.to_pylist()[0], "item_id": 5000, "sales": 1e6}], rest.schema)
        pq.write_table(pa.concat_tables([more, rest]), shop / "items.parquet")
        os.utime(shop / "items.parquet", ns=(time.time_ns(), time.time_ns()))
        engine.watch()
        assert ids(await ask(client, size=2)) == [5000, 1005]
        assert engine.world.live.taken[engine.plan("").rows.find([1119])[0]] == 1.0
        (shop / "items.parquet").write_bytes(b"damaged")
        engine.shelf._looked = -1e9
        engine.watch()
        assert ids(await ask(client, size=2)) == [5000, 1005]

    with_engine(
        work,
        catalogue={
            "source": {"path": str(shop / "items.parquet")},
            "key": "item_id",
            "title": "title",
            "refresh_s": 1e-9,
        },
    )


EXPERIMENTS = {
    "layers": [
        {
            "name": "ranking",
            "experiments": [
                {
                    "name": "short",
                    "variants": [
                        {"name": "control", "white_list": ["u1"]},
                        {
                            "name": "treatment",
                            "white_list": ["u2"],
                            "parameters": {"size": 3, "recall.popular.count": 2},
                        },
                    ],
                }
            ],
        }
    ]
}


def test_an_experiment_changes_the_scene_of_its_users_alone(with_engine):
    async def work(client):
        control, treatment = await ask(client, user_id="u1"), await ask(client, user_id="u2")
        assert (len(ids(control)), len(ids(treatment))) == (10, 3)
        assert control["experiments"] == {"ranking": "short/control"}
        assert treatment["experiments"] == {"ranking": "short/treatment"}
        client.service.engine.experiments.stop("short")
        assert len(ids(await ask(client, user_id="u2"))) == 10

    with_engine(work, experiments=EXPERIMENTS)


def test_a_variant_that_cannot_be_over_the_catalogue_costs_its_users_the_variant_alone(with_engine):
    (layer,) = EXPERIMENTS["layers"]
    wrong = {
        "name": "treatment",
        "weight": 99,
        "white_list": ["warm", "u2"],
        "parameters": {"filters.r.keep": "no > 0"},
    }
    rule = {"type": "rule", "name": "r", "keep": "stock > 0"}
    made = []

    async def work(client):
        engine = client.service.engine
        assert client.service.ready
        made.append(engine.plan("feed"))
        over = engine.checked
        engine.checked = lambda *given: made.append(given) or over(*given)
        for user in ("u2", "u2", "u2"):
            answer = await ask(client, user_id=user)
            assert len(ids(answer)) == 10
            assert "experiments: parameters" in answer["degraded"]
        assert len(made) == 1, "it was tried when the engine began, and is not tried by each request"
        asked = {"user_id": "u1", "parameters": {"filters.r.keep": "nothing > 0"}}
        reply = await client.post("/trace", json=asked, headers={"authorization": "Bearer a token of the tests"})
        assert reply.status_code == 400
        assert "unknown variable 'nothing'" in reply.json()["error"]

    experiment = {**layer["experiments"][0], "variants": [{"name": "control"}, wrong]}
    with_engine(
        work,
        scene={"filters": [rule]},
        experiments={"layers": [{**layer, "experiments": [experiment]}]},
        auth={"admin": ["a token of the tests"]},
    )


@pytest.mark.parametrize(
    ("more", "place", "near"),
    [
        ({"scene": {"filters": [{"type": "rule", "name": "r", "only": {"cat": ["c1"]}}]}}, "filters . r", "'cate'"),
        ({"scene": {"rerank": [{"type": "mmr", "by": "brnd"}]}}, "scene 'feed' . rerank . mmr", "'brand'"),
        ({"recall": [{"type": "popular", "by": "sale"}]}, "scene 'feed' . recall . popular", "'sales'"),
        ({"history": {"type": "memory", "columns": {"liked": "cat"}}}, "history . columns . liked", "'cate'"),
    ],
)
def test_a_column_that_the_catalogue_lacks_is_told_with_who_asks_for_it(engine_of, more, place, near):
    with pytest.raises(DataError) as caught:
        engine_of(**more)
    assert f"did you mean {near}" in str(caught.value)
    assert place in str(caught.value)


def test_a_catalogue_that_is_missing_is_told_before_the_models_that_need_it(tmp_path):
    from easyrec.commands._engine import opened
    from serving.engine.config import load_engine_config

    config = {
        "catalogue": {"source": {"path": str(tmp_path / "itemz.parquet")}, "key": "item_id"},
        "models": [{"name": "ranker", "bundle": str(tmp_path / "none")}],
        "scenes": [{"name": "feed", "recall": [{"type": "popular"}]}],
    }
    with pytest.raises(DataError, match=r"itemz\.parquet"), opened(load_engine_config(config)):
        pass


def test_a_source_without_its_vectors_is_told_of(engine_of, shop):
    near = {"type": "vector", "model": "tower", "items": str(shop / "nothing")}
    engine = engine_of([near, POPULAR], models=[{"name": "tower", "bundle": str(shop / "none")}])
    assert "recall.vector: vectors" in engine.recommend(Question("feed", "u1", time=NOON)).degraded


def test_a_catalogue_is_taken_though_a_variant_cannot_be_over_it(with_engine, shop):
    (layer,) = EXPERIMENTS["layers"]
    variant = {"name": "treatment", "white_list": ["u2"], "parameters": {"filters.r.keep": "price >= 0"}}
    rule = {"type": "rule", "name": "r", "keep": "stock > 0"}

    async def work(client):
        engine = client.service.engine
        assert not (await ask(client, user_id="u2"))["degraded"]
        pq.write_table(pq.read_table(shop / "items.parquet").drop(["price"]).slice(0, 100), shop / "items.parquet")
        engine.watch()
        assert len(engine.plan("feed").rows) == 100
        assert "experiments: parameters" in (await ask(client, user_id="u2"))["degraded"]

    experiment = {**layer["experiments"][0], "variants": [{"name": "control"}, variant]}
    catalogue = {"source": {"path": str(shop / "items.parquet")}, "key": "item_id", "refresh_s": 1e-9}
    with_engine(
        work,
        scene={"filters": [rule]},
        catalogue=catalogue,
        experiments={"layers": [{**layer, "experiments": [experiment]}]},
    )


def test_a_guardrail_hears_of_requests_that_end_in_an_error(with_engine, monkeypatch):
    (layer,) = EXPERIMENTS["layers"]
    guarded = {**layer["experiments"][0], "guardrails": [{"metric": "error_rate", "max": 0.5}]}

    async def work(client):
        engine = client.service.engine
        monkeypatch.setattr(engine, "run", lambda plan, ask: 1 / 0)
        with contextlib.suppress(ZeroDivisionError):
            assert (await client.post("/recommend", json={"user_id": "u1"})).status_code == 500
        seen = engine.experiments.guard._of("short/control").recent
        assert (seen["requests"], seen["failed"]) == (1, 1)

    with_engine(work, experiments={"layers": [{**layer, "experiments": [guarded]}]})


def test_a_trace_tells_each_candidates_way(with_engine, shop):
    near = {"type": "item_to_item", "name": "near", "path": str(shop / "near.parquet")}
    admin = {"authorization": "Bearer an admin's token of the tests"}
    scene = {
        "filters": [{"type": "rule", "name": "stock", "keep": "stock > 0"}],
        "rerank": [{"type": "mmr", "by": "cate"}],
    }

    async def work(client):
        event = {"event_id": "e1", "type": "click", "user_id": "u1", "item_id": 1050, "time": NOON}
        await client.post("/events", json={"events": [event]})
        assert (await client.get("/trace?user_id=u1")).status_code == 401
        reply = await client.get(f"/trace?user_id=u1&time={NOON}&with.size=4&with.rerank.mmr.lambda=1", headers=admin)
        told = reply.json()
        assert reply.status_code == 200
        assert told["parameters"] == {"size": 4, "rerank.mmr.lambda": 1}
        assert told["stages"] == ["merge", "rerank.mmr"]
        items = {item["item_id"]: item for item in told["items"]}
        assert [item["position"] for item in told["items"][:5]] == [0, 1, 2, 3, None]
        assert items[1051]["sources"][0] == {"source": "near", "rank": 0, "score": 0.5}
        about = {"user_id": "u1", "time": NOON, "items": [1049, "1110", 7, 1051]}
        some = (await client.post("/trace", headers=admin, json=about)).json()["items"]
        ended = {item["item_id"]: item["ended"] for item in some}
        assert ended == {
            1049: "left out by stock",
            1110: "no source recalled it",
            1051: "shown",
            7: "not in the catalogue",
        }
        assert items[1020]["sources"][0]["source"] == "popular"
        assert items[1020]["ended"] == "behind the end of the list"
        assert told["candidates"] == 60
        same = await client.post(
            "/trace",
            headers=admin,
            json={"user_id": "u1", "time": NOON, "parameters": {"size": 4, "rerank.mmr.lambda": 1}},
        )
        assert [i["item_id"] for i in same.json()["items"]] == [i["item_id"] for i in told["items"]]
        power = await client.get(f"/trace?user_id=%C2%B2&time={NOON}", headers=admin)  # a digit, and no whole number
        assert power.json()["user_id"] == "²"
        wrong = await client.get("/trace?user_id=u1&with.recall.neer.count=1", headers=admin)
        assert wrong.status_code == 400
        assert "did you mean 'near'" in wrong.json()["error"]
        page = await client.get("/ui")
        assert "script-src 'sha256-" in page.headers["content-security-policy"]
        assert "easyrec_engine_lists_total" not in (await client.get("/metrics")).text  # a trace is no list

    with_engine(work, [near, POPULAR], scene, auth={"admin": ["an admin's token of the tests"]})


def test_histories_that_are_shared_hold_the_same(tmp_path):
    from serving.engine.history import build
    from serving.engine.history.memory import Config as Memory
    from serving.engine.history.sqlite import Config as SQLite

    one, two = (
        build(Memory(steps=3, shown=4, keep_s=100)),
        build(SQLite(path=str(tmp_path / "h.db"), steps=3, shown=4, keep_s=100)),
    )
    for history in (one, two):
        history.add(
            [("u", 1, 1000, 1.0), ("u", "b", 3000, 2.0), ("u", 3, 2000, 1.0), ("u", 4, 4000, 1.0), ("v", 9, 1, 1.0)]
        )
        history.show("u", ["x", "y"], 5000)
        history.show("u", ["z", 7, 8], 6000)
    expected = ([4, "b", 3], [4000, 3000, 2000], [1.0, 2.0, 1.0], [6000, 6000, 6000, 5000])
    for history in (one, two):
        past = history.past("u", 7000)
        assert (list(past.keys), list(past.times), list(past.weights), list(past.shown_times)) == expected
        assert set(past.shown[:3]) == {"z", 7, 8}
        assert not history.past("u", 300_000).keys
        history.close()


def test_a_clock_that_is_ahead_makes_no_history_be_forgotten(tmp_path):
    from serving.engine.history import build
    from serving.engine.history.sqlite import TIDY_S
    from serving.engine.history.sqlite import Config as SQLite

    history, now = build(SQLite(path=str(tmp_path / "h.db"), keep_s=100)), time.time_ns() // 1_000_000
    history.add([("u", 1, now, 1.0), ("u", 2, now - 3_600_000, 1.0)])
    history._tidied -= 2 * TIDY_S
    history.add([("v", 3, now + 10**12, 1.0)])
    kept = history._db().execute("SELECT item FROM clicks WHERE user = 'u'").fetchall()
    assert kept == [(1,)]
    history.close()


def test_a_history_that_cannot_be_read_costs_no_list(with_engine, shop):
    async def work(client):
        answer = await ask(client)
        assert len(ids(answer)) == 10
        assert answer["degraded"] == ["history: error"]

    pytest.importorskip("redis")
    redis = {"type": "redis", "url": "redis://127.0.0.1:1/0", "timeout_ms": 20}
    with_engine(work, scene={"filters": ["seen"]}, history=redis)


def test_a_feature_store_has_the_users_columns(with_engine, shop, monkeypatch):
    from easyrec.store.definitions import load_store
    from easyrec.store.online.sqlite import SqliteStore
    from easyrec.store.writer import Writer

    fields = [{"name": "age", "type": "int64"}, {"name": "took", "type": "array<int64>"}]
    store = {
        "project": "shop",
        "online": {"type": "sqlite", "path": str(shop / "online.db")},
        "entities": [{"name": "user", "join_id": "user_id"}],
        "views": [{"name": "profile", "entity": "user", "fields": fields}],
        "models": [{"name": "users", "features": [{"view": "profile"}]}],
    }
    (shop / "store.yaml").write_text(json.dumps(store))
    definitions = load_store(shop / "store.yaml")
    online = definitions.online.open("shop")
    users = {"user_id": ["old", "young"], "age": [40, 9], "took": pa.array([[1050, 1060], []], pa.list_(pa.int64()))}
    Writer(definitions, online).publish("profile", [pa.record_batch(users)])
    near = {"type": "item_to_item", "name": "near", "path": str(shop / "near.parquet"), "weight": 100}
    scene = {"filters": [{"type": "rule", "keep": "price < 3 || user.age >= 18"}]}

    async def work(client):
        assert ids(await ask(client, user_id="old", size=3))[:2] == [
            1059,
            1061,
        ]  # near what the store says it took last
        young = await ask(client, user_id="young")
        assert all((item - 1000) % 17 < 3 for item in ids(young))
        assert young["degraded"] == []
        assert len(ids(await ask(client, user_id="young", user={"age": 50}, size=50))) == 50  # the request wins
        read = SqliteStore.read

        def slow(*given):
            threading.Event().wait(0.5)
            return read(*given)

        monkeypatch.setattr(SqliteStore, "read", slow)
        late = await ask(client, user_id="old", size=5)
        assert "features: deadline" in late["degraded"]
        assert all((item - 1000) % 17 < 3 for item in ids(late))  # of age is who is known to be

    history = {"type": "store", "clicked": "took"}
    features = {"store": str(shop / "store.yaml"), "model": "users", "deadline_ms": 400}
    with_engine(work, [near, POPULAR], scene, history=history, features=features, watch_s=0)


def test_redis_holds_what_memory_does(redis_servers):
    from serving.engine.history import build
    from serving.engine.history.memory import Config as Memory
    from serving.engine.history.redis import Config as Redis

    one = build(Memory(type="memory", steps=3, shown=4, keep_s=100))
    two = build(Redis(type="redis", url=redis_servers().address, steps=3, shown=4, keep_s=100, timeout_ms=5000))
    for history in (one, two):
        history.add([("u", 1, 1000, 1.0), ("u", "b", 3000, 2.0), ("u", 4, 4000, 1.0)])
        history.show("u", ["x", "y"], 5000)
        history.show("u", ["z", 7, 8], 6000)
    assert one.past("u", 7000) == two.past("u", 7000)
    assert not two.past("u", 300_000).keys
    two.close()
