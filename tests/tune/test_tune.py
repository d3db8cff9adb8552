"""A search from its spaces to the config of the best trial, in one process."""

import csv
import json
import os
import shutil
import signal
from pathlib import Path

import pytest
import yaml

import easyrec
from easyrec.config import load_experiment
from easyrec.errors import ConfigError, RunError, TuneError
from easyrec.train.interrupt import Interrupted
from easyrec.tune import work as worker
from easyrec.tune.search import load_search
from easyrec.tune.study import Study
from easyrec.tune.trial import Trial


@pytest.fixture
def search(config, data, tmp_path):
    """`(**settings)`: searches the toy config in `tmp_path / "study"`."""

    def run(folder="study", **settings):
        given = {k.replace("__", "."): v for k, v in settings.items()}
        return easyrec.tune(config, data=data, run_dir=tmp_path / folder, overrides=given, progress=False)

    return run


@pytest.fixture(scope="module")
def begun_once(written, data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("begun") / "study"
    settings = {"tune.budget.trials": 1}
    easyrec.tune(written, data=data, run_dir=folder, overrides=settings, progress=False)
    return folder


@pytest.fixture
def begun(begun_once, tmp_path):
    """`(name)`: a folder with a study of the toy config that has had its first trial."""
    return lambda name="study": Path(shutil.copytree(begun_once, tmp_path / name))


def table(folder):
    with (Path(folder) / "trials.csv").open() as file:
        return list(csv.DictReader(file))


def test_the_best_config_is_plain_and_trains_to_the_value_that_was_told(search, data, tmp_path):
    found = search(tune__cache=False, tune__budget__trials=2)
    assert max(row.outcome["auc"] for row in found.rows) == found.outcome["auc"]
    experiment = load_experiment(found.config)
    assert experiment.train.sparse_optimizer.lr == found.values["train.sparse_optimizer.lr"]
    assert experiment.sections.tune is None
    run = easyrec.train(found.config, data=data, run_dir=tmp_path / "run", progress=False, export=False)
    assert run.metrics["valid"]["auc"] == pytest.approx(found.outcome["auc"], abs=1e-9)


def test_a_search_that_goes_on_draws_what_one_draws_that_never_stopped(search, begun):
    begun("short")
    assert len(search("short").rows) == 3
    whole = search("long")
    assert [r["train.sparse_optimizer.lr"] for r in table(whole.path.parent / "short")] == [
        r["train.sparse_optimizer.lr"] for r in table(whole.path)
    ]


@pytest.mark.slow
def test_other_seeds_draw_other_points(search):
    first, second = search("a", tune__budget__trials=1), search("b", tune__budget__trials=1, tune__seed=1)
    assert first.values != second.values


def test_a_study_of_another_config_is_refused_and_told_what_differs(search, begun):
    begun()
    with pytest.raises(TuneError, match=r"holds a study of another config, which differs in: model\.embedding_dim"):
        search(model__embedding_dim=8)


def test_features_are_made_once_and_trials_give_what_they_give_without(search):
    with_cache, without = (search(name, tune__cache=name == "a", tune__budget__trials=1) for name in "ab")
    assert (with_cache.path / "features" / "train.parquet").exists()
    assert not (without.path / "features").exists()
    assert [r.outcome for r in with_cache.rows] == [pytest.approx(r.outcome, abs=1e-6) for r in without.rows]
    told = yaml.safe_load((with_cache.path / "trials" / "00000" / "config.yaml").read_text())
    assert "fg" not in told["data"]


def test_a_grid_has_every_point_once_and_then_is_over(search):
    space = {"choice": [0.01, 0.1]}
    settings = {"tune__sampler": "grid", "tune__budget": {}, "train__sparse_optimizer__lr": space}
    found = search(model__embedding_dim={"int": [2, 4], "step": 2}, **settings)
    points = {(r.values["model.embedding_dim"], r.values["train.sparse_optimizer.lr"]) for r in found.rows}
    assert len(found.rows) == len(points) == 4


@pytest.mark.parametrize("sampler", ["random", pytest.param("tpe", marks=pytest.mark.slow)])
def test_no_point_of_a_finite_space_is_tried_twice(search, sampler):
    found = search(
        tune__sampler=sampler, tune__budget__trials=9, train__sparse_optimizer__lr={"choice": [0.01, 0.1, 0.2]}
    )
    assert sorted(r.values["train.sparse_optimizer.lr"] for r in found.rows) == ["0.01", "0.1", "0.2"]


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["gp", "cmaes"])
def test_every_sampler_searches(search, sampler):
    if sampler == "cmaes":
        pytest.importorskip("cmaes", reason="needs the extra 'tune'")
    found = search(tune__sampler={"type": sampler, "startup": 1}, model__embedding_dim={"int": [2, 4]})
    assert len(found.rows) == 3


def test_a_hopeless_trial_is_ended_at_an_evaluation(search):
    settings = {"tune__pruner": {"type": "median", "startup": 1}, "train__epochs": 4}
    found = search(
        tune__sampler="grid",
        tune__budget={},
        train__sparse_optimizer__lr={"choice": [0.05, 1e-6, 1e-7, 1e-8]},
        **settings,
    )
    by_state = {row.state: row for row in found.rows}
    assert set(by_state) >= {"complete", "pruned"}
    assert len(by_state["pruned"].curve) < 4
    assert all(len(row.curve) == 4 for row in found.rows if row.state == "complete")


def test_several_objectives_leave_those_that_no_other_beats(search):
    found = search(
        tune__objectives=["auc", "parameters"],
        tune__sampler="grid",
        tune__budget={},
        train__sparse_optimizer__lr=0.1,
        model__embedding_dim={"choice": [2, 4, 8]},
    )
    sizes = {row.values["model.embedding_dim"]: row.outcome["parameters"] for row in found.rows}
    # a first-order weight and a vector for each of 70 ids, and a bias
    assert sizes == {str(dim): 70 * (dim + 1) + 1 for dim in (2, 4, 8)}
    for row in found.best:
        beaten = [o for o in found.rows if o.outcome["auc"] > row.outcome["auc"]]
        assert all(o.outcome["parameters"] > row.outcome["parameters"] for o in beaten)
    assert min(found.rows, key=lambda r: r.outcome["parameters"]).number in [row.number for row in found.best]


@pytest.mark.slow
def test_costs_are_those_of_the_bundle_that_a_trial_leaves(search):
    found = search(tune__objectives=["auc", "latency_ms", "bundle_mb"], tune__budget__trials=1)
    bundle = found.path / "trials" / "00000" / "bundle"
    size = sum(file.stat().st_size for file in bundle.rglob("*") if file.is_file())
    assert found.outcome["bundle_mb"] == pytest.approx(size / 1e6)
    assert 0 < found.outcome["latency_ms"] < 1000
    assert not (found.path / "features").exists()


@pytest.mark.slow
def test_a_statistic_is_searched(config, data, tmp_path):
    config["data"] = {"item_id": "item_id"}
    config["model"] = {"type": "ease", "l2": {"log": [1, 1000]}, "groups": {"user": ["user_id"], "item": ["item_id"]}}
    config["train"] = {}
    rows = {**data, "items": {"item_id": list(range(30))}}
    found = easyrec.tune(config, data=rows, run_dir=tmp_path / "s", progress=False)
    assert len(found.best) == 1
    assert found.outcome["recall@10"] == max(row.outcome["recall@10"] for row in found.rows)


def test_a_trial_that_diverges_fails_alone(search):
    found = search(
        tune__sampler="grid",
        tune__budget={},
        model={"type": "deepfm", "embedding_dim": 4, "hidden": [8]},
        train__sparse_optimizer__lr=0.01,
        train__dense_optimizer={"type": "sgd", "lr": {"choice": [0.01, 1e30]}},
    )
    failed = next(row for row in found.rows if row.values["train.dense_optimizer.lr"] == "1e+30")
    assert failed.state == "failed"
    assert "training diverged" in failed.reason
    assert found.values["train.dense_optimizer.lr"] == "0.01"


def test_data_that_lack_a_column_end_the_search_at_once(config, tmp_path):
    frame = {"user_id": [1, 2], "click": [0, 1]}
    with pytest.raises(ConfigError, match="item_id"):
        easyrec.tune(
            config, data={"train": frame, "valid": frame}, run_dir=tmp_path / "s", overrides=["tune.cache=false"]
        )


@pytest.mark.parametrize("cache", [True, False])
def test_a_column_that_the_data_lack_is_told_by_the_config_alone(files, cache):
    file = files(data__labels=["clik"], tune__cache=cache)
    with pytest.raises(ConfigError, match="has no column 'clik'; did you mean 'click'") as caught:
        easyrec.tune(file, run_dir=file.parent / "s")
    (problem,) = caught.value.problems
    assert (problem.file, problem.where) == (str(file), "data . train")
    if cache:  # and the folder is left to the config that is right
        assert not (file.parent / "s").exists()
    else:
        reasons = [row["reason"] for row in table(file.parent / "s")]
        assert reasons == ["data . train: the data has no column 'clik'; did you mean 'click'?"]


def test_an_earlier_study_that_comes_too_late_is_told(search, begun, caplog):
    begun()
    search(tune__warm_start=["runs/earlier-tune"], tune__budget__trials=1)
    assert "tune.warm_start: runs/earlier-tune: an earlier study helps one that begins only" in caplog.text


def test_a_trial_whose_time_is_up_counts_by_its_best_evaluation(config, data, tmp_path):
    found = load_search(config, given=list(data))
    ticks = iter(range(1_000_000))
    trial = Trial(
        lambda more: found.experiment({}, {"train.epochs": 50, **more}),
        lambda more: found.experiment({}, more),
        tmp_path / "trial",
        found.objectives,
        data=data,
        seconds=35,
        clock=lambda: float(next(ticks)),
    )
    assert 0.3 < trial.run()["auc"] < 1
    assert (trial.cut, trial.evaluations) == ("cut after 35 seconds", 3)  # an epoch has ten steps


@pytest.mark.slow
def test_the_mean_over_seeds_counts(search, data, tmp_path):
    found = search(tune__seeds=2, tune__budget__trials=1, tune__cache=False)
    each = [
        easyrec.train(
            found.config,
            data=data,
            overrides={"train.seed": seed},
            run_dir=tmp_path / f"s{seed}",
            progress=False,
            export=False,
        )
        for seed in (2026, 2027)
    ]
    assert found.outcome["auc"] == pytest.approx(sum(run.metrics["valid"]["auc"] for run in each) / 2, abs=1e-9)


def test_an_earlier_study_gives_the_first_point(search, begun):
    earlier = begun("earlier")
    found = search("later", tune__warm_start=[str(earlier)], tune__budget__trials=2, tune__seed=5)
    name = "train.sparse_optimizer.lr"
    assert f"{found.rows[0].values[name]}" == table(earlier)[0][name]
    assert len(found.rows) == 2


@pytest.mark.slow
def test_an_earlier_study_of_another_space_is_refused(search, tmp_path):
    search("earlier", tune__budget__trials=1)
    with pytest.raises(TuneError, match="has a point of this space"):
        search("later", tune__warm_start=[str(tmp_path / "earlier")], model__embedding_dim={"choice": [2, 4]})


def test_a_signal_leaves_a_config_and_the_trial_is_tried_anew(search, config, tmp_path, monkeypatch):
    begun = []
    train = Trial._train

    def interrupted(self, experiment, *, pruning):
        begun.append(1)
        if len(begun) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return train(self, experiment, pruning=pruning)

    monkeypatch.setattr(Trial, "_train", interrupted)
    with pytest.raises(Interrupted, match=r"stopped after 1 trial, .*To go on: the same command"):
        search()
    assert load_experiment(tmp_path / "study" / "best.yaml").name == "toy"
    assert (tmp_path / "study" / "report.html").exists()
    assert [row.state for row in search().rows] == ["complete", "interrupted", "complete", "complete"]


def test_a_trial_that_was_killed_is_tried_anew_and_counts_once(search, begun, config, data, tmp_path):
    begun()
    found = load_search(config, {"tune.budget.trials": 3}, given=list(data))
    with Study(found, tmp_path / "study") as study:
        trial, values = study.ask()
    # The worker is gone, and its trial still runs.
    rows = search(tune__budget__trials=3).rows
    assert [row.state for row in rows] == ["complete", "interrupted", "complete", "complete"]
    assert rows[2].values == values
    assert rows[2].again == trial.number == 1


def test_a_trial_that_is_killed_twice_is_given_up(config, data, tmp_path):
    found = load_search(config, given=list(data))
    for _ in range(2):
        with Study(found, tmp_path) as study:
            study.ask()
        with Study(found, tmp_path) as study:
            assert len(study.sweep()) == 1
            rows = study.rows()
    assert [row.state for row in rows] == ["interrupted", "failed"]
    assert "killed twice" in rows[1].reason


def test_a_trial_that_a_person_interrupts_is_never_given_up(config, data, tmp_path):
    with Study(load_search(config, given=list(data)), tmp_path) as study:
        points = []
        for _ in range(3):
            trial, values = study.ask()
            points.append(values)
            study.release(trial)
        assert [row.state for row in study.rows()] == ["interrupted"] * 3
    assert points[0] == points[1] == points[2]


def test_before_any_evaluation_the_first_point_is_the_best(config, data, tmp_path, monkeypatch):
    def stopped(*_, **__):
        raise Interrupted("now")

    monkeypatch.setattr(worker, "_run", stopped)
    with pytest.raises(Interrupted):
        easyrec.tune(config, data=data, run_dir=tmp_path / "s", progress=False)
    assert load_experiment(tmp_path / "s" / "best.yaml").train.sparse_optimizer.lr == 0.001


def test_one_process_leads_a_study(search, begun, tmp_path):
    from easyrec.train.run_folder import RunFolder

    begun()
    with RunFolder(tmp_path / "study", resume=True), pytest.raises(RunError, match="another process"):
        search()


def test_the_environment_is_kept_as_it_is_written(files, tmp_path, monkeypatch):
    monkeypatch.setenv("TOY_FOLDER", str(tmp_path))
    file = files(data__train={"type": "parquet", "path": "${TOY_FOLDER}/train.parquet"}, tune__budget__trials=1)
    found = easyrec.tune(file, run_dir=tmp_path / "s", progress=False)
    assert "${TOY_FOLDER}/train.parquet" in found.config.read_text()
    assert "${TOY_FOLDER}/train.parquet" in (tmp_path / "s" / "config.yaml").read_text()


def test_a_missing_package_names_its_extra(config, data, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    with pytest.raises(Exception, match=r"needs the package 'optuna': pip install '.*\[tune\]'"):
        easyrec.tune(config, data=data, run_dir=tmp_path / "s", progress=False)


def test_the_command_prints_the_best_trials(files, tmp_path, capsys):
    from easyrec.cli import main

    assert main(["tune", "-c", str(files()), "--run-dir", str(tmp_path / "s"), "--no-bar"]) == 0
    told = capsys.readouterr()
    assert "s: the best" in told.out
    assert f"to train it: easyrec train -c {tmp_path / 's' / 'best.yaml'}" in told.out
    assert "1 space searched for auc, at most 3 trials" in told.err
    assert json.loads((tmp_path / "s" / "study.json").read_text()) == {"plugins": []}
