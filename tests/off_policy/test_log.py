"""Logs of an engine, read and weighed."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from easyrec.cli import main
from easyrec.errors import DataError
from easyrec.off_policy.log import against, read_log
from easyrec.simulate import Simulation, load_simulate
from easyrec.simulate.events import request_ids
from easyrec.simulate.policy import RandomPolicy
from easyrec.simulate.recorder import Recorder


def line(request, item, position, propensity=0.5, **more):
    return {
        "event_id": f"{request}/{item}", "request_id": request, "scene": "feed", "user_id": "u1", "item_id": item,
        "time": 5, "position": position, "propensity": propensity, "features": {"age": 3, "tags": ["a"]}, **more,
    }  # fmt: skip


def write(folder, exposures, events):
    folder.mkdir(exist_ok=True)
    for kind, lines in (("exposures", exposures), ("events", events)):
        (folder / f"{kind}-1.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lines))


def click(request, item, kind="click", number=1, value=1.0):
    name = f"{request}/{item}/{kind}/{number}"
    return {"event_id": name, "type": kind, "request_id": request, "user_id": "u1", "item_id": item, "value": value}


@pytest.fixture
def logs(tmp_path):
    exposures = [line("a", 7, 0), line("a", 8, 1, 0.25), line("b", 8, 0), line("c", 9, 0, scene="cart")]
    events = [click("a", 8), click("a", 8), click("b", 8, "buy", value=3.0), click("b", 8), click("z", 1)]
    write(tmp_path / "logs", exposures, events)
    return tmp_path / "logs"


def test_clicks_come_to_what_was_shown_once_each(logs):
    shown = read_log(logs)
    assert shown.requests.to_pylist() == ["a", "b", "c"]
    assert shown.reward.tolist() == [[0, 1], [1, 0], [0, 0]]
    assert shown.there.tolist() == [[True, True], [True, False], [True, False]]
    assert shown.propensity[0].tolist() == [0.5, 0.25]
    assert shown.unmatched == 1
    assert read_log(logs, rewards={"click": 1, "buy": 10}, values=True).reward[1, 0] == 31
    assert read_log(logs, scene="cart").requests.to_pylist() == ["c"]


def test_scores_are_a_policy_that_shows_the_best_first(logs):
    scores = pa.table({"request_id": ["a"] * 3 + ["b"], "item_id": [7, 8, 9, 8], "score": [3.0, 1.0, 2.0, 0.0]})
    logged, silent = against(read_log(logs), scores)
    assert silent == 1
    assert logged.target.tolist() == [[1, 0], [1, 0]]  # 9 would stand second for a
    logged, _ = against(read_log(logs), scores.append_column("predicted", pa.array([0.2, 0.4, 0.6, 0.8])))
    assert logged.expected is not None
    assert logged.expected.shape == (2, 2)


def test_probabilities_are_taken_as_they_are(logs):
    policy = pa.table({"request_id": ["a", "b"], "item_id": ["8", "8"], "probability": [0.75, 0.1]})
    logged, _ = against(read_log(logs), policy)
    assert logged.target.tolist() == [[0, 0.75], [0.1, 0]]


def test_events_without_an_id_count_each(tmp_path):
    events = [{key: value for key, value in click("a", 8).items() if key != "event_id"} for _ in range(3)]
    write(tmp_path / "logs", [line("a", 7, 0), line("a", 8, 1)], [*events, click("a", 7), click("a", 7)])
    assert read_log(tmp_path / "logs").reward.tolist() == [[1, 3]]


def test_a_model_has_the_scale_of_the_lists_that_the_policy_speaks_of(tmp_path):
    exposures = [line(name, 7, place) for name in "abcd" for place in (0,)] + [line("a", 8, 1)]
    write(tmp_path / "logs", exposures, [click("a", 7), click("c", 7), click("d", 7), click("a", 8)])
    rows = {"request_id": ["a", "a", "b"], "item_id": [7, 9, 7], "score": [2.0, 1.0, 1.0], "predicted": [0.2, 0.9, 0.2]}
    logged, silent = against(read_log(tmp_path / "logs"), pa.table(rows))
    assert silent == 2
    np.testing.assert_allclose(logged.predicted, [[0.5, 0], [0.5, 0]])  # one click of two, where 0.4 were predicted
    np.testing.assert_allclose(logged.expected, [[0.5, 0], [0.5, 0]])  # of the second place the model knows nothing


def test_predictions_that_are_no_numbers_are_told(logs):
    policy = {"request_id": ["a", "b"], "item_id": ["8", "8"], "probability": [0.75, 0.1], "predicted": [0.5, None]}
    with pytest.raises(DataError, match="finite"):
        against(read_log(logs), pa.table({**policy, "expected": [0.1, 0.1]}))
    with pytest.raises(DataError, match="finite"):
        against(read_log(logs), pa.table({**policy, "predicted": [0.5, 0.5], "expected": [0.1, float("nan")]}))


def test_what_is_missing_is_told(logs, tmp_path):
    with pytest.raises(DataError, match="did you mean 'cart'"):
        read_log(logs, scene="card")
    with pytest.raises(DataError, match=r"no event is of type 'clik'.*did you mean 'click'"):
        read_log(logs, rewards={"clik": 1})
    with pytest.raises(DataError, match=r"holds no exposures-\*.jsonl"):
        read_log(tmp_path)
    with pytest.raises(DataError, match="need the columns request_id, item_id"):
        against(read_log(logs), pa.table({"request_id": ["a"]}))
    with pytest.raises(DataError, match="says nothing of any request"):
        against(read_log(logs), pa.table({"request_id": ["x"], "item_id": [1], "score": [1.0]}))
    write(tmp_path / "bare", [{k: v for k, v in line("a", 1, 0).items() if k != "propensity"}], [click("a", 1)])
    with pytest.raises(DataError, match="must say how likely it was"):
        read_log(tmp_path / "bare")


def test_a_log_of_the_simulator_tells_what_another_order_is_worth(tmp_path, capsys):
    config = load_simulate({"world": {"users": 300, "items": 20, "ctr": 0.15, "fatigue": 0}, "drive": {"size": 3}})
    simulation = Simulation(config)
    world = simulation.world
    recorder = Recorder(world, tmp_path / "logs", "log")
    policy = RandomPolicy(world)
    simulation.run_day(0, policy, requests=4000, recorder=recorder)
    simulation.finish(policy, recorder)
    recorder.close()
    best = np.argsort(-world.items.quality, kind="stable")
    requests = world.requests(0, 4000)
    truth = world.truth(requests, np.tile(best[:3], (4000, 1))).mean()
    names = request_ids("log", requests.number)
    scores = {
        "request_id": np.repeat(names, 20),
        "item_id": np.tile(np.arange(20), 4000),
        "score": np.tile(world.items.quality, 4000),
    }
    pq.write_table(pa.table(scores), tmp_path / "scores.parquet")
    words = ["--log", str(tmp_path / "logs"), "--policy", str(tmp_path / "scores.parquet")]
    assert main(["engine", "off-policy", *words, "--json"]) == 0
    (told,) = json.loads(capsys.readouterr().out)
    assert told["left_out"] == 0
    assert [one["estimator"] for one in told["estimates"]] == ["ips", "snips"]
    for one in told["estimates"]:
        assert one["low"] <= truth <= one["high"]
        assert one["value"] > one["logged"]
        assert one["effective_rows"] == pytest.approx(4000 / 20, rel=0.2)
    assert main(["engine", "off-policy", *words]) == 0
    assert "effective lists" in capsys.readouterr().out
    assert main(["engine", "off-policy", *words, "--level", "2"]) == 2
