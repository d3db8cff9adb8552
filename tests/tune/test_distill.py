"""A student, the same on labels alone, and the teacher: one call from config to report."""

import copy
import json
import os
import signal
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

import easyrec
from easyrec.errors import ConfigError, RunError
from easyrec.train.interrupt import Interrupted
from easyrec.train.trainer import Trainer

CONFIG = {
    "name": "toy",
    "data": {"labels": ["click"], "batch_size": 64},
    "features": [
        {"type": "id", "name": "user_id", "expression": "user:user_id", "num_buckets": 40},
        {"type": "id", "name": "item_id", "expression": "item:item_id", "num_buckets": 30},
    ],
    "model": {"type": "fm", "embedding_dim": 4},
    "train": {"epochs": 2, "threads": 1, "sparse_optimizer": {"type": "lazy_adam", "lr": 0.05}},
}


def rows(number, seed):
    random = np.random.default_rng(seed)
    taste, appeal = np.random.default_rng(9).normal(0, 1.2, 40), np.random.default_rng(8).normal(0, 1.2, 30)
    user, item = random.integers(0, 40, number), random.integers(0, 30, number)
    p = 1 / (1 + np.exp(0.5 - taste[user] - appeal[item]))
    click = (random.random(number) < p).astype(np.int64)
    return pd.DataFrame({"user_id": user, "item_id": item, "click": click, "p": p})


@pytest.fixture(scope="module")
def data():
    return {"train": rows(400, 1), "valid": rows(300, 2), "test": rows(300, 3)}


@pytest.fixture
def config():
    found = copy.deepcopy(CONFIG)
    found["model"] = {"type": "dnn", "embedding_dim": 2, "hidden": [4]}
    found["distill"] = {"teachers": {"column": "p"}, "alpha": 0.9}
    return found


@pytest.fixture
def distill(config, data, tmp_path):
    """`(folder, **overrides)`: distills the toy config."""

    def run(folder="d", given=data, overwrite=False, **settings):
        laid = {k.replace("__", "."): v for k, v in settings.items()}
        options = {"progress": False, "export": False, "overwrite": overwrite}
        return easyrec.distill(config, data=given, overrides=laid, run_dir=tmp_path / folder, **options)

    return run


def test_teacher_and_both_students_are_compared(distill, data, tmp_path):
    found = distill(distill__seeds=2)
    assert [one.name for one in found.contestants] == ["teacher", "student", "labels alone"]
    teacher, student, labels = found.contestants
    assert [len(one.values("test", "auc")) for one in (teacher, student, labels)] == [1, 2, 2]
    assert student.parameters == labels.parameters == 70 * 2 + (4 * 4 + 4) + 4 + 1
    assert teacher.parameters is None
    assert found.gain["test"] == pytest.approx(student.mean("test", "auc") - labels.mean("test", "auc"))
    assert found.gain["test"] > 0  # the column holds the true probabilities
    told = json.loads((found.path / "distill.json").read_text())
    assert told["gain"] == pytest.approx(found.gain)
    assert [one["seeds"] for one in told["contestants"]] == [1, 2, 2]


def test_the_teacher_is_measured_as_the_students_are(distill, data):
    from sklearn.metrics import roc_auc_score

    teacher = distill(distill__baseline=False).named("teacher")
    assert teacher.mean("test", "auc") == pytest.approx(roc_auc_score(data["test"]["click"], data["test"]["p"]))


def test_a_column_that_only_training_has_teaches_and_is_not_measured(distill, data):
    bare = {**data, "valid": data["valid"].drop(columns="p"), "test": data["test"].drop(columns="p")}
    found = distill(given=bare)
    assert found.named("teacher").metrics == {}
    assert found.gain["test"] > 0


def test_the_report_is_one_file_without_network(distill):
    text = distill(train__seed=7).report.read_text()
    tags = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attrs: tags.append((tag, dict(attrs)))
    parser.feed(text)
    assert not {"script", "img", "link"} & {tag for tag, _ in tags}
    assert not [value for _, given in tags for value in given.values() if value and "//" in value]
    for part in ("gain in auc on test", "labels alone", "Config of the student"):
        assert part in text


def test_interrupted_it_goes_on_to_what_it_would_have_been(distill, monkeypatch, tmp_path):
    whole = distill("whole")
    learn, steps = Trainer._learn, []

    def signalled(self, turn):
        learn(self, turn)
        steps.append(self.step)
        if len(steps) == 20:  # of 14 steps a training: inside the second one
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Trainer, "_learn", signalled)
    with pytest.raises(Interrupted, match=r"trained are 1 of 1 of 'student', 0 of 1 of 'labels alone'.*same command"):
        distill("cut")
    assert "student" in (tmp_path / "cut" / "report.html").read_text()
    assert distill("cut").gain == whole.gain
    assert len(steps) == 28


def test_what_is_there_is_kept_and_another_config_is_refused(distill, tmp_path):
    first = distill()
    before = (first.path / "student-0" / "metrics.json").stat().st_mtime_ns
    assert distill().gain == first.gain
    assert (first.path / "student-0" / "metrics.json").stat().st_mtime_ns == before
    with pytest.raises(RunError, match=r"distillation of another config, which differs in: model\.embedding_dim"):
        distill(model__embedding_dim=3)
    assert (
        distill(overwrite=True, model__embedding_dim=3).named("student").parameters > first.named("student").parameters
    )
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.yaml").write_text("name: mine")
    with pytest.raises(RunError, match=r"holds no distillation, but config\.yaml"):
        distill("other", overwrite=True)


def test_what_cannot_be_distilled(distill, config, tmp_path):
    with pytest.raises(ConfigError, match=r"(?s)distill \. search.*there is no space to search"):
        distill(distill__search={"parameters": 10})
    with pytest.raises(ConfigError, match="is a space of values"):
        distill(model__embedding_dim={"int": [2, 3]})
    with pytest.raises(ConfigError, match=r"distill \. teachers\[0\] \. path\s+runs/none is not there"):
        distill(distill__teachers="runs/none")
    del config["distill"]
    with pytest.raises(ConfigError, match=r"there is no teacher: add distill"):
        distill()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_student_is_searched_below_what_it_may_cost(distill, data):
    pytest.importorskip("optuna", reason="needs the extra 'tune'")
    space = {"model__embedding_dim": {"int": [1, 6]}, "tune": {"budget": {"trials": 5}}}
    found = distill(distill__search={"parameters": 250}, **space)
    assert found.named("student").parameters <= 250
    assert not list((found.path / "search").glob("trials/*/teachers"))
    from easyrec.errors import TuneError

    with pytest.raises(
        TuneError, match=r"none of 5 students costs no more than it may: parameters \d+ at least, 20 at most"
    ):
        distill("small", distill__search={"parameters": 20}, **space)
