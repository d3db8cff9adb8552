"""`easyrec store serve`: columns by ids over HTTP and gRPC, in processes of its own."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from shutil import which

import httpx
import pyarrow as pa
import pytest

from easyrec.cli import main
from easyrec.errors import ConfigError
from easyrec.store.definitions import load_store
from easyrec.store.writer import Writer
from serving.store.config import load_store_server

TOKEN = "a token of the tests"
DEFINED = {
    "project": "shop",
    "entities": [{"name": "user", "join_id": "user_id"}, {"name": "item", "join_id": "item_id"}],
    "views": [
        {
            "name": "users",
            "entity": "user",
            "event_time": "ts",
            "fields": [
                {"name": "age", "type": "int64", "default": 18},
                {"name": "since", "type": "timestamp"},
                {"name": "tags", "type": "array<string>"},
            ],
        },
        {
            "name": "items",
            "entity": "item",
            "fields": [
                {"name": "price", "type": "float", "default": 1.5},
                {"name": "taste", "type": "vector<2>"},
                {"name": "words", "type": "map<string, int64>"},
            ],
        },
    ],
    "models": [{"name": "ctr", "features": [{"view": "users"}, {"view": "items"}]}],
}
NOW = 1_700_000_000


def publish(config):
    config = load_store(config)
    store = config.online.open(config.project)
    writer = Writer(config, store)
    times = pa.array([NOW * 1_000_000] * 2, pa.timestamp("us", "UTC"))
    users = {"user_id": [1, 2], "age": [30, None], "since": times, "tags": [["a"], []], "ts": times}
    writer.publish("users", [pa.record_batch(users)])
    words = pa.array([[("x", 1)], []], pa.map_(pa.string(), pa.int64()))
    taste = pa.array([[1.0, 2.0], None], pa.list_(pa.float32(), 2))
    rows = {"item_id": ["a", "b"], "price": pa.array([0.1, 2.0], pa.float32()), "taste": taste, "words": words}
    writer.publish("items", [pa.record_batch(rows)])
    return store, writer


@contextlib.contextmanager
def started(running, folder, config, **env):
    """A server that was started, and a client of it; it drains in the end."""
    serve = {"port": 0, **config.get("serve", {})}
    server = running(folder, config | {"serve": serve}, "store", "serve", **env)
    try:
        url = f"http://127.0.0.1:{server.event('listening')['port']}"
        server.event("ready", serve.get("processes", 1))
        with httpx.Client(base_url=url, timeout=30) as client:
            yield server, client
    finally:
        assert server.stop() == 0


@pytest.fixture(scope="module")
def client(running, tmp_path_factory):
    """A server over SQLite with items in memory, and a token."""
    folder = tmp_path_factory.mktemp("store")
    memory = {"item": {"type": "snapshot", "poll": "50ms"}, "user": {"type": "cache", "age": "1ms"}}
    serve = {"auth": {"tokens": ["${TOKEN}"]}, "limits": {"items": 100, "body_bytes": 10_000}}
    config = DEFINED | {"online": {"type": "sqlite", "path": str(folder / "online.db")}}
    store, writer = publish(config)
    with started(running, folder, config | {"read": {"memory": memory}, "serve": serve}, TOKEN=TOKEN) as (_, client):
        client.headers["authorization"] = f"Bearer {TOKEN}"
        client.writer = writer
        yield client
    store.close()


ASKED = {"model": "ctr", "ids": {"user_id": [2, 1, 3], "item_id": ["b", "a"]}}


def test_columns_come_as_json(client):
    answer = client.post("/read", json=ASKED).json()
    since = "2023-11-14T22:13:20+00:00"
    assert answer == {
        "model": "ctr",
        "columns": {
            "user_id": {
                "user_id": [2, 1, 3],
                "age": [None, 30, None],
                "since": [since, since, None],
                "tags": [[], ["a"], None],
            },
            "item_id": {
                "item_id": ["b", "a"],
                "price": [2.0, 0.1],
                "taste": [None, [1.0, 2.0]],
                "words": [[], [["x", 1]]],
            },
        },
        "defaulted": [],
    }
    assert client.post("/models/ctr/read", json={"ids": ASKED["ids"]}).json() == answer
    assert client.post("/read", json={"ids": ASKED["ids"], "deadline_ms": 5000}).json() == answer


def test_columns_come_as_arrow_streams_one_behind_another(client):
    answer = client.post("/read", json=ASKED, headers={"accept": "application/vnd.apache.arrow.stream"})
    assert answer.headers["content-type"] == "application/vnd.apache.arrow.stream"
    source, found = pa.BufferReader(answer.content), []
    for _ in ASKED["ids"]:
        with pa.ipc.open_stream(source) as stream:
            found.append(stream.read_all())
    assert [table.schema.metadata[b"join_id"] for table in found] == [b"user_id", b"item_id"]
    assert found[0].select(["user_id", "age"]).to_pydict() == {"user_id": [2, 1, 3], "age": [None, 30, None]}
    assert found[1].schema.field("taste").type == pa.list_(pa.float32(), 2)


def test_what_is_written_is_seen_within_the_polling_interval(client):
    client.writer.write("items", pa.record_batch({"item_id": ["new"], "price": pa.array([9.0], pa.float32()), "taste": pa.nulls(1, pa.list_(pa.float32(), 2)), "words": pa.nulls(1, pa.map_(pa.string(), pa.int64()))}))  # fmt: skip
    end = time.monotonic() + 20
    while client.post("/read", json={"ids": {"item_id": ["new"]}}).json()["columns"]["item_id"]["price"] != [9.0]:
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("body", "status", "reason", "text"),
    [
        ({"ids": {}}, 400, "ids", "names nothing"),
        ({"ids": {"user_id": [1], "x": [1]}}, 400, "data", "reads nothing by this id"),
        ({"ids": {"user_id": [1, None]}}, 400, "data", "null or empty"),
        ({"ids": {"user_id": [1, "a"]}}, 400, "data", "cannot be read"),
        ({"ids": {"user_id": [1.5]}}, 400, "data", "texts or whole numbers"),
        ({"ids": {"user_id": 1}}, 400, "json", "a list of ids by join id"),
        ({"ids": {"user_id": [1] * 101}}, 400, "items", "101 ids, but at most 100"),
        ({"ids": {"user_id": [1]}, "model": "cvr"}, 404, "unknown_model", "no model 'cvr'"),
        ({"ids": {"user_id": [1]}, "models": "ctr"}, 400, "unknown_key", "known: model"),
        ({"ids": {"user_id": [1]}, "deadline_ms": -1}, 400, "json", "above 0"),
        ({"ids": {"user_id": ["x" * 20_000]}}, 413, "body_bytes", "10,000 bytes"),
        ([], 400, "json", "must be an object"),
    ],
    ids=["none", "join", "null", "mixed", "float", "no list", "many", "model", "key", "deadline", "large", "list"],
)
def test_what_cannot_be_answered_is_told(client, body, status, reason, text):
    answer = client.post("/read", json=body)
    assert (answer.status_code, answer.json()["reason"]) == (status, reason)
    assert text in answer.json()["error"]


def test_a_token_is_needed_for_all_but_health_and_metrics(client):
    for path, status in (
        ("/health/live", 200),
        ("/health/ready", 200),
        ("/metrics", 200),
        ("/stats", 401),
        ("/models", 401),
    ):
        assert client.get(path, headers={"authorization": "Bearer nobody's, but long enough"}).status_code == status
    assert client.post("/read", json=ASKED, headers={"authorization": ""}).status_code == 401


def test_models_metrics_and_stats_tell_what_there_is(client):
    found = client.get("/models").json()
    assert found["models"]["ctr"]["item_id"]["taste"] == "vector<2>"
    before = client.get("/stats").json()["models"]["ctr"]["users"]
    client.post("/read", json=ASKED)
    stats = client.get("/stats").json()
    users = stats["models"]["ctr"]["users"]
    assert users["hits"] - before["hits"] == 2
    assert users["misses"] - before["misses"] == 1
    assert users["generation"] == 1
    assert users["newest"] == NOW
    assert users["age_s"] > 1e6
    assert 0 < users["p50_ms"] <= users["p95_ms"] <= users["p99_ms"]
    assert stats["memory"]["item"]["rows"] >= 2
    assert stats["memory"]["item"]["lag_s"] < 20
    text = client.get("/metrics").text
    assert 'easyrec_store_rows_total{model="ctr",view="users",result="hits"}' in text
    assert 'easyrec_store_event_age_seconds{model="ctr",view="users"}' in text
    assert 'easyrec_store_poll_lag_seconds{project="shop",entity="item"}' in text
    count = next(line for line in text.splitlines() if line.startswith("easyrec_store_read_seconds_count{model=\"ctr\",entity=\"user\"}"))  # fmt: skip
    last = next(line for line in text.splitlines() if line.startswith("easyrec_store_read_seconds_bucket{model=\"ctr\",entity=\"user\",le=\"+Inf\"}"))  # fmt: skip
    assert count.split()[1] == last.split()[1]


def test_the_command_line_shows_what_a_server_counted(client, tmp_path, monkeypatch, capsys):
    client.post("/read", json=ASKED)
    monkeypatch.setenv("STORE_TOKEN", TOKEN)
    shown = ["store", "show", "-c", "none.yaml", "--stats", str(client.base_url)]
    assert main([*shown, "--token", "STORE_TOKEN"]) == 0
    told = capsys.readouterr().out
    assert "model 'ctr', " in told
    assert "'item': " in told
    assert "s behind at most" in told
    assert main(shown) == 1
    assert "401" in capsys.readouterr().err
    assert main([*shown[:-1], "file:///etc/hostname"]) == 1
    assert "takes an address of http or https" in capsys.readouterr().err


@pytest.mark.slow
def test_a_redis_that_stops_is_answered_with_defaults_and_the_server_drains(running, tmp_path):
    pytest.importorskip("redis")
    if which("redis-server") is None:
        pytest.skip("needs redis-server")
    path = tmp_path / "r.sock"
    command = ["redis-server", "--port", "0", "--unixsocket", path, "--save", "", "--appendonly", "no"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=tmp_path) as redis:
        with socket.socket(socket.AF_UNIX) as probe:
            end = time.monotonic() + 20
            while probe.connect_ex(str(path)):
                assert time.monotonic() < end
                time.sleep(0.01)
        config = DEFINED | {"online": {"type": "redis", "url": f"unix://{path}", "timeout_seconds": 2}}
        publish(config)[0].close()
        read = {"deadline_ms": 50, "breaker": {"failures": 2, "pause": "10s"}}
        with started(running, tmp_path, config | {"read": read, "serve": {"processes": 2}}) as (server, client):
            assert client.post("/read", json={**ASKED, "deadline_ms": 10_000}).json()["defaulted"] == []
            os.kill(redis.pid, signal.SIGSTOP)
            times = []
            for _ in range(10):
                begun = time.monotonic()
                answer = client.post("/read", json=ASKED).json()
                times.append(time.monotonic() - begun)
                assert answer["defaulted"] == ["item_id", "user_id"]
                assert answer["columns"]["user_id"]["age"] == [18, 18, 18]
                assert answer["columns"]["item_id"]["price"] == [1.5, 1.5]
            assert max(times) < 1.0
            assert 'easyrec_store_breaker_open{project="shop"} 1' in client.get("/metrics").text
            os.kill(redis.pid, signal.SIGCONT)
        assert server.events("draining")
        redis.terminate()


def test_the_same_over_grpc(running, tmp_path):
    grpc = pytest.importorskip("grpc")
    from serving.store.grpc_server import messages

    made = messages()
    config = DEFINED | {"online": {"type": "sqlite", "path": str(tmp_path / "online.db")}}
    publish(config)[0].close()
    serve = {"grpc": {"port": 0}, "auth": {"tokens": [TOKEN]}, "limits": {"items": 10}}
    with started(running, tmp_path, config | {"serve": serve}) as (server, _):
        port = server.event("listening for gRPC")["port"]
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:

            def call(name, message, token=TOKEN):
                method = channel.unary_unary(
                    f"/easyrec.FeatureStore/{name}",
                    request_serializer=made[f"{name}Request"].SerializeToString,
                    response_deserializer=made[f"{name}Response"].FromString,
                )
                return method(message, metadata=[("authorization", f"Bearer {token}")], timeout=20)

            assert call("Ready", made["ReadyRequest"](), "nobody").ready
            ids = [made["Ids"](join_id="user_id", numbers=[2, 1]), made["Ids"](join_id="item_id", texts=["a"])]
            answer = call("Read", made["ReadRequest"](model="ctr", ids=ids, deadline_ms=5000))
            found = {one.join_id: pa.ipc.open_stream(one.arrow).read_all().to_pydict() for one in answer.columns}
            assert found["user_id"]["age"] == [None, 30]
            assert found["item_id"]["item_id"] == ["a"]
            assert found["item_id"]["price"] == pytest.approx([0.1])
            many = [made["Ids"](join_id="user_id", numbers=range(11))]
            twice = [ids[0], ids[0]]
            for asked, token, code in (
                (made["ReadRequest"](ids=many), TOKEN, "INVALID_ARGUMENT"),
                (made["ReadRequest"](ids=twice), TOKEN, "INVALID_ARGUMENT"),
                (made["ReadRequest"](model="cvr", ids=ids), TOKEN, "NOT_FOUND"),
                (made["ReadRequest"](ids=ids), "another token of somebody", "UNAUTHENTICATED"),
            ):
                with pytest.raises(grpc.RpcError) as told:
                    call("Read", asked, token)
                assert told.value.code().name == code


def test_errors_in_the_config_never_show_a_token():
    config = DEFINED | {"serve": {"auth": {"tokens": ["short"], "admin": [TOKEN, TOKEN]}}}
    with pytest.raises(ConfigError, match=r"serve \. auth") as told:
        load_store_server(config)
    assert "short" not in str(told.value)
    assert TOKEN not in str(told.value)
    with pytest.raises(ConfigError, match="needs 'models'"):
        load_store_server(DEFINED | {"models": []})
    assert load_store(config).serve is not None  # other commands do not look at it
