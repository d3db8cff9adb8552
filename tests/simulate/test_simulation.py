"""Days of a world, in this process and over HTTP."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise

import numpy as np
import pyarrow.parquet as pq
import pytest

from easyrec.cli import main
from easyrec.config import load_experiment
from easyrec.errors import ConfigError, RunError
from easyrec.simulate import Simulation, load_simulate
from easyrec.simulate.config import PolicyConfig
from easyrec.simulate.policy import LoggedPolicy, build_policy
from easyrec.simulate.run import simulate
from easyrec.simulate.simulation import batches
from easyrec.simulate.world import Requests
from serving.engine.config import load_engine_config

CONFIG = {
    "name": "tiny",
    "world": {"users": 150, "items": 100, "days": 3, "new_items_per_day": 4, "ctr": 0.1, "conversion": 0.5},
    "drive": {"requests_per_day": 150, "size": 5},
    "bootstrap": {"days": 2, "requests_per_day": 200},
}
YAML = "".join(f"{key}: {json.dumps(value)}\n" for key, value in CONFIG.items())


class Engine(BaseHTTPRequestHandler):
    """An engine over HTTP that shows the same items to everybody, and keeps what it is told."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.answer({"ready": True})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.headers.get("Authorization") != "Bearer secret-token":
            self.answer({"error": "who are you?"}, 401)
        elif self.path == "/events":
            self.server.events += body["events"]
            self.answer({})
        else:
            self.server.asked.append(body)
            if len(self.server.asked) == 3:
                self.answer({"error": "busy"}, 503)
                return
            items = [{"item_id": item} for item in range(body["size"])]
            self.answer({"items": items, "degraded": ["recall.x: deadline"] if len(self.server.asked) == 4 else []})

    def answer(self, data, status=200):
        text = json.dumps(data).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *args):
        pass


@pytest.fixture
def engine():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Engine)
    server.events, server.asked = [], []
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def driven(server, **drive):
    url = f"http://127.0.0.1:{server.server_address[1]}"
    return load_simulate({**CONFIG, "drive": {**CONFIG["drive"], "url": url, "token": "secret-token", **drive}})


def test_an_engine_is_asked_told_and_measured(engine, tmp_path):
    items = tmp_path / "items.parquet"
    days = simulate(driven(engine, items=str(items)), tmp_path / "run")
    assert [day["errors"] for day in days] == [1, 0, 0]
    assert [day["degraded"] for day in days] == [1, 0, 0]
    assert days[0]["faults"] == ['503 {"error": "busy"}']
    assert pq.read_table(items).num_rows == 112
    asked, told = engine.asked, engine.events
    assert len(asked) == 450
    assert {body["size"] for body in asked} == {5}
    assert set(asked[0]) == {"user_id", "size", "user", "context", "request_id", "time", "seed"}
    assert len({body["request_id"] for body in asked}) == 450
    assert sum(day["clicks"] + day["buys"] for day in days) == len(told) == len({one["event_id"] for one in told})
    assert {one["type"] for one in told} == {"click", "buy"}
    shown = {body["request_id"]: body for body in asked}
    for one in told:
        assert shown[one["request_id"]]["user_id"] == one["user_id"]
        assert one["time"] > shown[one["request_id"]]["time"]
    assert any(a["time"] > b["time"] for a, b in pairwise(told))  # some are told late


def test_what_an_engine_shows_wrongly_is_a_fault(engine, tmp_path, monkeypatch):
    def twice(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer({"items": [{"item_id": 1}, {"item_id": 1}]})

    monkeypatch.setattr(Engine, "do_POST", twice)
    days = simulate(driven(engine), tmp_path, days=1)
    assert days[0]["errors"] == days[0]["requests"]
    assert days[0]["expected_ctr"] == 0.0


def test_no_engine_is_told_at_once(tmp_path):
    with pytest.raises(RunError, match=r"no engine at http://127\.0\.0\.1:9"):
        simulate(load_simulate({**CONFIG, "drive": {"url": "http://127.0.0.1:9", "size": 5}}), tmp_path)


@pytest.mark.parametrize("policy", [{"type": "oracle", "explore": 0.0}, {"type": "segments"}], ids=lambda p: p["type"])
def test_a_simulation_goes_on_where_it_was_stopped(tmp_path, policy):
    config, policy = load_simulate(CONFIG), PolicyConfig(**policy)
    whole = simulate(config, tmp_path / "whole", policy=policy)
    simulate(config, tmp_path / "parts", policy=policy, days=1)
    parts = simulate(config, tmp_path / "parts", policy=policy, resume=True)

    def plain(days):
        return [{key: value for key, value in day.items() if key != "seconds"} for day in days]

    assert plain(parts) == plain(whole)
    # As if it had been killed when the last day's figures were to be written.
    lines = (tmp_path / "parts" / "metrics.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "parts" / "metrics.jsonl").write_text("".join(lines[:-1]))
    assert plain(simulate(config, tmp_path / "parts", policy=policy, resume=True)) == plain(whole)
    assert len((tmp_path / "parts" / "metrics.jsonl").read_text().splitlines()) == 3
    assert "<svg" in (tmp_path / "parts" / "report.html").read_text()
    with pytest.raises(RunError, match="--resume goes on"):
        simulate(config, tmp_path / "parts", policy=policy)
    other = load_simulate({**CONFIG, "world": {**CONFIG["world"], "seed": 8}})
    with pytest.raises(RunError, match="of another world"):
        simulate(other, tmp_path / "parts", policy=policy, resume=True)


def test_better_policies_have_less_regret_and_the_oracle_none():
    regret = {}
    for kind in ("random", "segments", "oracle"):
        simulation = Simulation(load_simulate(CONFIG))
        config = PolicyConfig(type=kind, explore=0.0 if kind == "oracle" else 0.1, pool=20)
        policy = build_policy(simulation.world, config, simulation.history)
        regret[kind] = [simulation.run_day(day, policy, requests=600)["regret"] for day in range(3)][-1]
    assert regret["oracle"] < 1e-6
    assert regret["segments"] < regret["random"] - 0.1


@pytest.mark.parametrize("whole", [False, True])
def test_a_policy_shows_things_as_often_as_it_says(whole):
    world = Simulation(load_simulate(CONFIG)).world
    policy = build_policy(world, PolicyConfig(type="popular", explore=0.3, pool=8, whole=whole))
    number = 30_000
    time = np.full(number, world.clock.start)
    answers = policy.recommend(Requests(np.arange(number), np.zeros(number, np.int64), time), 5)
    assert all(len(set(row)) == 5 for row in answers.items[:500].tolist())
    for position in range(5):
        items, places, counts = np.unique(answers.items[:, position], return_index=True, return_counts=True)
        said = answers.propensity[places, position]
        assert len(items) == (13 if whole else 9)
        assert (np.abs(counts / number - said) < 4.5 * np.sqrt(said * (1 - said) / number)).all()


def test_the_best_lists_of_a_part_tell_of_all():
    config = load_simulate({**CONFIG, "world": {**CONFIG["world"], "fatigue": 0}})
    part = load_simulate({**CONFIG, "world": {**CONFIG["world"], "fatigue": 0}, "drive": {"size": 5, "oracle": 0.3}})
    rows = []
    for one in (config, part):
        simulation = Simulation(one)
        policy = build_policy(simulation.world, PolicyConfig(type="random"))
        rows.append(simulation.run_day(0, policy, requests=800))
    assert rows[0]["expected_ctr"] == rows[1]["expected_ctr"]
    assert rows[0]["regret"] == pytest.approx(rows[1]["regret"], abs=0.03)
    assert rows[0]["oracle_ctr"] == pytest.approx(rows[1]["oracle_ctr"], rel=0.05)
    assert rows[0]["oracle_ctr"] != rows[1]["oracle_ctr"]


def test_a_user_asks_once_in_a_batch():
    requests = Requests(np.arange(6), np.array([1, 2, 1, 3, 4, 5]), np.arange(6))
    assert [(part.start, part.stop) for part in batches(requests, 3)] == [(0, 2), (2, 5), (5, 6)]


def test_logged_lists_are_shown_again():
    world = Simulation(load_simulate(CONFIG)).world
    answers = LoggedPolicy({7: np.array([3, 1])}).recommend(Requests(*np.array([[7, 8], [0, 1], [0, 0]])), 3)
    assert answers.items.tolist() == [[3, 1, -1], [-1, -1, -1]]
    assert answers.failed.tolist() == [False, True]
    assert len(world.users) == 150


def test_nothing_grows_into_a_world_and_a_first_log(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "simulate.yaml").write_text(YAML)
    assert main(["simulate", "bootstrap", "-c", "simulate.yaml", "--output", "shop"]) == 0
    assert "next: cd shop" in capsys.readouterr().out
    shop = tmp_path / "shop"
    lines = [json.loads(one) for one in (shop / "logs" / "exposures-first.jsonl").read_text().splitlines()]
    events = [json.loads(one) for one in (shop / "logs" / "events-first.jsonl").read_text().splitlines()]
    assert len(lines) == 2 * 200 * 5
    train, valid = pq.read_table(shop / "train.parquet"), pq.read_table(shop / "valid.parquet")
    assert train.num_rows == valid.num_rows == 1000
    clicks = sum(one["type"] == "click" for one in events)
    assert sum(train["click"].to_pylist()) + sum(valid["click"].to_pylist()) == clicks > 0
    assert set(lines[0]["features"]) | {"user_id", "item_id"} <= set(train.column_names)
    told = sorted((one["time"], one["user_id"], one["item_id"]) for one in events if one["type"] == "click")
    for row in [row for row in valid.to_pylist() if row["clicked_item"]][:200]:
        earlier = {item for time, user, item in told if user == row["user_id"] and time <= row["time"]}
        assert set(row["clicked_item"]) <= earlier
    assert main(["simulate", "bootstrap", "-c", "simulate.yaml", "--output", "shop"]) == 1
    assert main(["simulate", "-c", "shop/simulate.yaml", "--policy", "segments", "--days", "1", "--run-dir", "r"]) == 0
    monkeypatch.chdir(shop)
    assert [load_experiment(name).name for name in ("experiment.yaml", "towers.yaml")] == ["ranker", "towers"]
    assert load_engine_config("engine.yaml").scenes[0].size == 5
    assert load_simulate("simulate.yaml").world == load_simulate(CONFIG).world


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"world": {"userz": 3}}, "did you mean 'users'"),
        ({"world": {"days": 3, "shift": {"day": 3}}}, "must lie before the last day, 2"),
        ({"world": {"items": 5}, "drive": {"size": 8}}, "is more than the world's 5 items"),
        ({"world": {"users": 10_000_000}}, "less than or equal to 2000000"),
        ({"drive": {"url": "engine:80"}}, "url"),
        ({"bootstrap": {"policy": {"type": "orcle"}}}, "orcle"),
    ],
)
def test_a_wrong_simulation_is_told_with_its_place(change, told):
    with pytest.raises(ConfigError, match=told):
        load_simulate(change)
