"""What is known of an id is gone from every store, from the states of streams, and from logs of reads."""

import json
import time
from pathlib import Path

import pyarrow as pa
import pytest

from easyrec.cli import main
from easyrec.store.definitions import load_store
from easyrec.store.forget import elsewhere, forget
from easyrec.store.near import NearStore
from easyrec.store.read_config import ReadConfig
from easyrec.store.read_log import ReadLog
from easyrec.store.reader import ModelReader
from easyrec.store.writer import Writer

NOW = 1_767_225_600
VIEWS = [
    {"name": "profile", "entity": "user", "fields": [{"name": "age", "type": "int64"}]},
    {
        **{"name": "did", "type": "sequence", "entity": "user", "event_time": "at"},
        "fields": [{"name": "item", "type": "int64"}],
        "events": {"item": "item", "sequences": [{"name": "seen", "length": 5}]},
    },
]


def test_nothing_is_left_of_an_id_in_any_generation(project):
    config = project(VIEWS, [{"name": "m", "features": [{"view": "profile"}, {"view": "did"}]}])
    store = config.online.open(config.project)
    writer = Writer(config, store, lambda: NOW)
    for age in (30, 31):
        writer.publish("profile", [pa.record_batch({"user_id": [7, 8], "age": [age, age]})])
    events = {"user_id": [7, 8], "item": [1, 2], "at": [NOW - 60, NOW - 50]}
    writer.publish("did", [pa.record_batch(events)])
    writer.write("did", pa.record_batch({**events, "item": [3, 4]}))
    memory = {"memory": {"user": {"type": "snapshot", "poll": "10ms"}}}
    with NearStore(store, ReadConfig.model_validate(memory)).start() as near:
        reader = ModelReader(config, near, "m", lambda: NOW)
        assert reader.read({"user_id": [7]})["user_id"]["age"].to_pylist() == [31]
        assert forget(config, store, "user_id", ["7", "nobody"]).records == {"user": 1}
        end = time.monotonic() + 10
        while reader.read({"user_id": [7]})["user_id"]["age"].to_pylist() != [None] and time.monotonic() < end:
            pass  # until the snapshot has polled
        found = reader.read({"user_id": [7, 8]})["user_id"]
        assert found["age"].to_pylist() == [None, 31]
        assert found["seen__item"].to_pylist() == [[], [2, 4]]
        writer.rollback("profile")
        assert [key for some in store.scan("user") for key, _ in some] == [b"8"]


STORE = """\
project: shop
online: {type: sqlite, path: online.db}
entities: [{name: user, join_id: user_id}]
views:
  - name: clicks
    type: stream
    entity: user
    stream:
      source: {type: jsonl, path: events}
      columns: {user_id: int64, ts: int64}
      event_time: ts
      state: {type: KIND}
      aggregates: [{name: n, function: count}]
models: [{name: m, features: [{view: clicks}]}]
"""


@pytest.mark.parametrize("kind", ["sqlite", "lmdb"])
def test_states_and_logs_forget_too_and_the_rest_is_named(tmp_path, monkeypatch, capsys, kind):
    if kind == "lmdb":
        pytest.importorskip("lmdb")
    pytest.importorskip("uvicorn", reason="needs the extra 'serving'")
    monkeypatch.chdir(tmp_path)
    Path("store.yaml").write_text(STORE.replace("KIND", kind))
    Path("events").mkdir()
    now = int(time.time())
    Path("events/1.jsonl").write_text(
        "".join(json.dumps({"user_id": user, "ts": now - 9}) + "\n" for user in (7, 7, 8))
    )
    run = ["stream", "run", "-c", "store.yaml", "--until", "end"]
    assert main(run) == 0
    config = load_store("store.yaml")
    log = ReadLog(config, "m", "reads", sample=1.0)
    store = config.online.open("shop")
    ModelReader(config, store, "m", log=log).read({"user_id": [7, 8]})
    log.close()
    store.close()
    capsys.readouterr()
    words = ["store", "forget", "-c", "store.yaml", "user_id=7", "--log", "reads", "--json"]
    assert main(words) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["records"], told["states"], told["log_rows"], told["undone"]) == ({"user": 1}, {"clicks": 1}, 1, {})
    assert told["elsewhere"] == {"events of view 'clicks'": "events"} == elsewhere(config, "user_id")
    Path("events/2.jsonl").write_text(json.dumps({"user_id": 7, "ts": now}) + "\n")
    assert main(run) == 0  # what comes later is counted from the begin
    capsys.readouterr()
    assert main(["store", "read", "-c", "store.yaml", "m", "user_id=7,8", "--json"]) == 0
    assert [json.loads(line)["n"] for line in capsys.readouterr().out.splitlines()] == [1, 1]


def test_a_state_in_use_is_told_and_nothing_else_is_left_out(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("store.yaml").write_text(STORE.replace("KIND", "sqlite"))
    config = load_store("store.yaml")
    state = config.view("clicks").stream.state.open(Path("clicks.state"))
    assert main(["store", "forget", "-c", "store.yaml", "user_id=7"]) == 1
    assert (
        "not done: clicks.state.db: the state clicks.state.db cannot be used: another process"
        in capsys.readouterr().out
    )
    state.close()
    assert main(["store", "forget", "-c", "store.yaml", "uesr_id=7"]) == 2
    assert "did you mean 'user_id'?" in capsys.readouterr().err
