"""Guardrails: what stops an experiment, what does not, and who hears of it."""

import json
import math
import multiprocessing

import numpy as np
import pytest

from easyrec.errors import ConfigError, DataError, RunError
from serving.ab import Experiments
from serving.ab.guard import _time


class Clock:
    def __init__(self):
        self.at = 1_772_323_200.0

    def __call__(self):
        return self.at


def load(tmp_path, *guardrails, clock=None, **keys):
    variants = [{"name": "a"}, {"name": "b", "parameters": {"size": 5}}]
    experiment = {"name": "deep", "variants": variants, "guardrails": list(guardrails), **keys}
    file = tmp_path / "experiments.yaml"
    layers = [{"name": "ranking", "experiments": [experiment]}]
    file.write_text(json.dumps({"guardrail_every_s": 0, "layers": layers}))
    return Experiments.load(file, now=clock or Clock())


def serve(experiments, requests, wrong=lambda name, random: {}, seed=0, **same):
    random = np.random.default_rng(seed)
    for number in range(requests):
        found = experiments.assign(f"u{seed}-{number % 997}")
        told = {"ms": float(random.gamma(4, 5)), "exposures": 10, **same}
        told |= wrong(found.variants["ranking"], random)
        experiments.served(found, **told)


def test_errors_above_the_bound_stop_it_and_everybody_is_told_who_and_why(tmp_path):
    clock = Clock()
    experiments = load(tmp_path, {"metric": "error_rate", "max": 0.02, "min_requests": 200}, clock=clock)
    beside = load(tmp_path, {"metric": "error_rate", "max": 0.02}, clock=clock)
    serve(experiments, 300, lambda name, _: {"failed": name == "deep/b"})
    assert experiments.guard.judge() == []  # each variant has fewer than 200 requests
    serve(experiments, 300, lambda name, _: {"failed": name == "deep/b"})
    ((name, why),) = experiments.guard.judge()
    assert name == "deep"
    assert "error_rate of 'b' is 1 over" in why
    assert experiments.assign("u1").variants == {}
    clock.at += 2.0
    assert beside.assign("u1").variants == {}  # another process sees it
    assert beside.stopped["deep"].by == "guardrail"
    ((line),) = beside.state.log()
    assert (line["what"], line["experiment"], line["by"], line["why"]) == ("stop", "deep", "guardrail", why)


def test_errors_of_the_control_or_below_the_bound_stop_nothing(tmp_path):
    experiments = load(tmp_path, {"metric": "error_rate", "max": 0.05})
    serve(experiments, 4000, lambda name, random: {"failed": name == "deep/a" or random.random() < 0.03})
    assert experiments.guard.judge() == []


def test_only_the_last_minutes_count_for_errors(tmp_path):
    clock = Clock()
    experiments = load(tmp_path, {"metric": "error_rate", "max": 0.02, "min_requests": 5000}, clock=clock)
    serve(experiments, 3000, lambda name, random: {"failed": random.random() < 0.3}, seed=1)
    for _ in range(2):
        clock.at += 301  # half of the window
        assert experiments.guard.judge() == []
    serve(experiments, 12_000, seed=2)
    assert experiments.guard.judge() == []
    serve(experiments, 1000, lambda name, random: {"failed": random.random() < 0.5}, seed=3)
    assert len(experiments.guard.judge()) == 1


def test_a_slow_variant_is_stopped_by_its_p99(tmp_path):
    slow = {"metric": "latency_p99", "max": 100}
    calm = load(tmp_path, slow)
    serve(calm, 2000)
    assert calm.guard.judge() == []
    serve(calm, 2000, lambda name, random: {"ms": 300.0} if name == "deep/b" and random.random() < 0.06 else {}, seed=1)
    ((_, why),) = calm.guard.judge()
    assert "latency_p99 of 'b' is" in why
    assert "above 100 ms" in why


def test_a_variant_slower_than_the_control_is_stopped(tmp_path):
    experiments = load(tmp_path, {"metric": "latency_p95", "max_rise": 0.5})
    serve(experiments, 3000, lambda name, _: {"ms": 90.0} if name == "deep/b" else {"ms": 40.0})
    ((_, why),) = experiments.guard.judge()
    assert why.startswith("latency_p95 of 'b' is 9")


def test_quantiles_of_times_are_within_four_per_cent(tmp_path):
    experiments = load(tmp_path, {"metric": "latency_p99", "max": 1e6})
    times = np.random.default_rng(0).lognormal(3, 1, 5000)
    for number, ms in enumerate(times):
        experiments.served(experiments.assign("u1")._replace(unit=f"u{number}"), ms=float(ms))
    (seen,) = experiments.guard._counts.values()
    for metric, share in (("latency_p50", 50), ("latency_p95", 95), ("latency_p99", 99)):
        assert _time(metric, seen) == pytest.approx(np.percentile(times, share), rel=0.045)
    assert _time("latency_mean", seen) == pytest.approx(times.mean())


def clicks(experiments, requests, drop, seed):
    """Users of heavy-tailed activity and tastes of their own, judged again and again."""
    random = np.random.default_rng(seed)
    taste = random.beta(2, 10, 500)
    activity = random.pareto(1.5, 500) + 0.2
    order = random.choice(500, requests, p=activity / activity.sum())
    for number, user in enumerate(order):
        unit = f"u{seed}-{user}"
        found = experiments.assign(unit)
        experiments.served(found, ms=10.0, exposures=10)
        rate = taste[user] * (1 - drop if found.variants["ranking"] == "deep/b" else 1.0)
        for _ in range(random.binomial(10, rate)):
            experiments.happened(unit, found.variants, "click")
        if number % 500 == 499 and experiments.guard.judge():
            return number
    return None


def test_a_drop_of_clicks_stops_it_and_none_does_not(tmp_path):
    bound = {"metric": "ctr", "max_drop": 0.05}
    stopped = []
    for seed in range(2):
        (tmp_path / f"{seed}").mkdir()
        stopped.append(clicks(load(tmp_path / f"{seed}", bound), 6000, 0.6, seed))
    assert all(at is not None for at in stopped)
    harmless = []
    for seed in range(3):
        (tmp_path / f"h{seed}").mkdir()
        harmless.append(clicks(load(tmp_path / f"h{seed}", bound), 3000, 0.0, 100 + seed))
    assert harmless == [None] * 3


def test_counts_of_several_processes_are_judged_together(tmp_path):
    guardrail = {"metric": "error_rate", "max": 0.02, "min_requests": 200}
    first, second = load(tmp_path, guardrail), load(tmp_path, guardrail)
    second.guard._file = "another.json"
    for seed, one in enumerate((first, second)):
        serve(one, 250, lambda name, _: {"failed": name == "deep/b"}, seed=seed)
    assert first.guard.judge() == []
    assert len(second.guard.judge()) == 1
    assert "deep" in first.stopped


def test_what_another_experiment_of_the_name_counted_is_not_taken_over(tmp_path):
    guardrail = {"metric": "error_rate", "max": 0.02, "min_requests": 200}
    former = load(tmp_path, guardrail, salt="before")
    serve(former, 350, lambda name, _: {"failed": name == "deep/b"})
    former.guard.judge()
    now = load(tmp_path, guardrail, salt="now")
    now.guard._file = "another.json"
    serve(now, 350)
    assert now.guard.judge() == []


def test_one_that_is_started_again_begins_anew(tmp_path):
    clock = Clock()
    experiments = load(tmp_path, {"metric": "error_rate", "max": 0.02}, clock=clock)
    serve(experiments, 1000, lambda name, _: {"failed": True})
    assert len(experiments.guard.judge()) == 1
    clock.at += 5
    assert experiments.start("deep", "anna", "mended")
    assert experiments.assign("u1").variants
    assert experiments.guard.judge() == []
    serve(experiments, 1000)
    assert experiments.guard.judge() == []
    assert [line["what"] for line in experiments.state.log()] == ["stop", "start"]


def test_a_guardrail_may_warn_alone(tmp_path):
    experiments = load(tmp_path, {"metric": "empty_rate", "max": 0.1, "action": "warn"})
    serve(experiments, 1000, exposures=0)
    assert experiments.guard.judge() == experiments.guard.judge() == []
    assert experiments.assign("u1").variants
    assert [line["what"] for line in experiments.state.log()] == ["warn"]


def test_a_thread_judges_by_itself(tmp_path):
    file = tmp_path / "experiments.yaml"
    experiment = {
        "name": "deep",
        "variants": [{"name": "a"}, {"name": "b"}],
        "guardrails": [{"metric": "error_rate", "max": 0.02}],
    }
    file.write_text(
        json.dumps({"guardrail_every_s": 0.05, "layers": [{"name": "ranking", "experiments": [experiment]}]})
    )
    experiments = Experiments.load(file)
    serve(experiments, 1000, failed=True)
    experiments.guard._thread.join(0.5)
    experiments.close()
    assert "deep" in experiments.stopped


def test_damaged_counts_and_states_are_told_and_stop_nothing(tmp_path, caplog):
    clock = Clock()
    experiments = load(tmp_path, {"metric": "error_rate", "max": 0.02}, clock=clock)
    counts = tmp_path / "ab_state" / "counts"
    counts.mkdir(parents=True)
    for number, text in enumerate(
        ["{", "[]", '{"counts": {"deep/b": {"groups": {"requests": [1]}}}, "prints": {}, "since": {}}']
    ):
        (counts / f"{number}.json").write_text(text)
    serve(experiments, 500)
    assert experiments.guard.judge() == []
    assert "holds no counts" in caplog.text
    before = experiments.assign("u1").variants
    (tmp_path / "ab_state" / "state.json").write_text('{"stopped": 5}')
    clock.at += 5
    assert experiments.assign("u1").variants == before
    assert "is no state of experiments" in caplog.text
    with pytest.raises(DataError, match=r"state\.json.*is no state of experiments"):
        load(tmp_path)


def test_counts_that_cannot_be_shared_are_judged_all_the_same(tmp_path, caplog):
    experiments = load(tmp_path, {"metric": "error_rate", "max": 0.02})
    (tmp_path / "ab_state").mkdir()
    (tmp_path / "ab_state" / "counts").write_text("no folder")
    serve(experiments, 1000, failed=True)
    assert [name for name, _ in experiments.guard.judge()] == ["deep"]
    assert "counts cannot be shared" in caplog.text


def stop_many(file, names):
    experiments = Experiments.load(file)
    for name in names:
        experiments.stop(name, "me", "at once")


def test_processes_that_stop_at_once_lose_nothing(tmp_path):
    names = [f"e{i}" for i in range(40)]
    experiments = [{"name": n, "share": 0.02, "variants": [{"name": "a"}]} for n in names]
    file = tmp_path / "experiments.yaml"
    file.write_text(json.dumps({"layers": [{"name": "l", "experiments": experiments}]}))
    fork = multiprocessing.get_context("fork")
    workers = [fork.Process(target=stop_many, args=(file, names[i::4])) for i in range(4)]
    for one in workers:
        one.start()
    for one in workers:
        one.join()
    found = Experiments.load(file)
    assert sorted(found.stopped) == sorted(names)
    assert sorted(line["experiment"] for line in found.state.log()) == sorted(names)


def test_only_known_experiments_stop_and_those_the_file_stops_do_not_start(tmp_path):
    experiments = load(tmp_path, state="stopped")
    with pytest.raises(ConfigError, match="did you mean 'deep'"):
        experiments.stop("deeep")
    with pytest.raises(ConfigError, match="say 'state: running' there"):
        experiments.start("deep")
    assert not experiments.assign("u1").variants
    assert math.isfinite(experiments._look_at)


@pytest.mark.parametrize("wrong", ["full", "damaged"])
def test_where_the_disk_refuses_the_process_itself_stops_it_and_tells_the_others_later(tmp_path, monkeypatch, wrong):
    clock = Clock()
    experiments = load(tmp_path, {"metric": "error_rate", "max": 0.02, "min_requests": 200}, clock=clock)
    beside = load(tmp_path, clock=clock)
    serve(experiments, 600, lambda name, _: {"failed": name == "deep/b"})
    state = tmp_path / "ab_state" / "state.json"
    state.parent.mkdir(exist_ok=True)
    with monkeypatch.context() as disk:
        if wrong == "full":

            def refuses(*_):
                raise RunError("cannot write: no space left")

            disk.setattr("serving.ab.state.write_text", refuses)
        else:
            state.write_text("{")
        ((name, why),) = experiments.guard.judge()
        assert name == "deep"
        assert experiments.assign("u1").variants == {}
        clock.at += 2.0
        assert experiments.assign("u1").variants == {}
        assert experiments.guard.judge() == []
        assert beside.assign("u1").variants != {}
    state.unlink(missing_ok=True)
    clock.at += 2.0
    assert experiments.guard.judge() == []
    clock.at += 2.0
    assert beside.stopped["deep"].why == why
    assert beside.assign("u1").variants == {}
    assert beside.start("deep", "me", "mended")
    clock.at += 2.0
    assert experiments.assign("u1").variants != {}


def test_an_experiment_that_one_process_holds_stopped_is_started_for_it_too(tmp_path):
    clock = Clock()
    experiments = load(tmp_path, {"metric": "error_rate", "max": 0.02}, clock=clock)
    experiments.stop("deep", "me", "an old phone")
    experiments.start("deep", "me", "mended")
    clock.at += 1.0
    experiments.state.hold("deep", "guardrail", "a full disk")
    experiments.refresh()
    assert experiments.assign("u1").variants == {}
    clock.at += 1.0
    beside = load(tmp_path, clock=clock)
    beside.stop("deep", "me", "once more")
    beside.start("deep", "me", "and on")
    clock.at += 2.0
    assert experiments.assign("u1").variants != {}
