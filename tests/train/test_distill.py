"""A model that is taught: what teachers say, how it is read, and what is learned of it."""

import json
import os
import signal

import numpy as np
import pyarrow as pa
import pytest
import torch

import easyrec
from easyrec.config.distill import LIST, WEIGHT, taught
from easyrec.data import open_sources
from easyrec.errors import ConfigError, DataError
from easyrec.train.interrupt import Interrupted
from easyrec.train.snapshot import read_folder
from easyrec.train.taught import teach
from easyrec.train.teachers import values_of
from easyrec.train.trainer import Trainer

MODEL = {"type": "dnn", "embedding_dim": 2, "hidden": [4], "tasks": [{"name": "ctr", "label": "click"}]}


@pytest.fixture(scope="module")
def teacher(toy_experiment, data, tmp_path_factory):
    """The folder of a trained run, with its bundle."""
    path = tmp_path_factory.mktemp("teacher") / "run"
    tasks = [{"name": "ctr", "label": "click"}, {"name": "cvr", "label": "buy", "mask": "click == 1"}]
    return Trainer(toy_experiment(model__tasks=tasks, train__epochs=1), path, data=data, bar=False).fit().path


@pytest.fixture
def student(toy_experiment):
    """`student(teachers, **settings)`: an experiment that is taught."""

    def experiment(*teachers, losses=("kd",), **settings):
        alpha = settings.pop("alpha", 0.5)
        more = {key: settings.pop(key) for key in ("candidates", "cache") if key in settings}
        listed = [{"path": str(one)} if not isinstance(one, dict) else one for one in teachers]
        section = {"teachers": listed, "losses": list(losses), "alpha": alpha, **more}
        return toy_experiment(model=MODEL, distill=section, **settings)

    return experiment


def said(experiment, data, folder, part="train"):
    """What the teachers say of all rows of a part, in order."""
    column = taught("ctr")
    found = teach(experiment, open_sources(experiment, data), folder, [part])
    found.prepare(bar=False)
    source = getattr(found.sources, part).source
    parts = [pa.Table.from_batches(source.read(unit, [column])) for unit in source.units()]
    return pa.concat_tables(parts)[column]


def predicted(run, rows):
    frame = easyrec.predict(run, rows)
    p = frame["ctr"].to_numpy().astype(np.float64)
    return np.log(p / (1 - p))


@pytest.mark.parametrize("what", ["", "bundle"], ids=["run", "bundle"])
def test_a_teacher_says_what_its_model_predicts(what, teacher, student, data, tmp_path):
    found = said(student(teacher / what), data, tmp_path)
    np.testing.assert_allclose(values_of(found), predicted(teacher, data["train"]), atol=1e-4)


def test_of_several_teachers_the_weighted_mean_counts_and_null_says_nothing(teacher, student, data, tmp_path):
    score = np.random.default_rng(0).random(1000)
    score[::3] = np.nan
    rows = {**data, "train": data["train"].assign(score=score)}
    experiment = student({"path": str(teacher), "weight": 3.0}, {"column": "score"})
    own = predicted(teacher, data["train"])
    with np.errstate(invalid="ignore"):
        mixed = (3 * own + np.log(score / (1 - score))) / 4
    wanted = np.where(np.isnan(score), own, mixed)
    np.testing.assert_allclose(values_of(said(experiment, rows, tmp_path)), wanted, atol=1e-4)


def test_rows_without_a_teacher_learn_from_their_labels(student, data, toy, tmp_path):
    rows = {**data, "train": data["train"].assign(score=np.full(1000, np.nan, np.float32))}
    trained = Trainer(student({"column": "score"}), tmp_path / "a", data=rows, bar=False, export=False)
    trained.fit()
    told = trained.folder.records("progress.jsonl")[-1]["losses"]
    assert told["distill/kd/ctr"] == 0.0
    assert told["ctr"] > 0.1


def test_a_score_that_is_no_probability_is_told_with_its_row(student, data, tmp_path):
    score = np.full(1000, 0.5)
    score[17] = 1.5
    rows = {**data, "train": data["train"].assign(score=score)}
    with pytest.raises(DataError, match=r"(?s)score.*must be a probability from 0 to 1, or null .*1\.5") as caught:
        easyrec.train(student({"column": "score"}), data=rows, run_dir=tmp_path / "run", progress=False)
    assert caught.value.row == 17
    spared = student({"column": "score"}, data__bad_rows="skip")
    assert torch.isnan(values_of(said(spared, rows, tmp_path))).tolist() == [n == 17 for n in range(1000)]


def test_scores_are_made_once_and_anew_for_another_teacher_or_other_rows(teacher, student, data, tmp_path):
    experiment = student(teacher, cache=str(tmp_path / "cache"))

    def made():
        said(experiment, data, tmp_path)
        return {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").glob("*/*.arrow")}

    first = made()
    assert made() == first
    said(student(teacher / "bundle", cache=str(tmp_path / "cache")), data, tmp_path)
    said(experiment, {**data, "train": data["train"].head(900)}, tmp_path)
    assert len(made()) == 3 * len(first)


def test_all_of_the_teacher_brings_the_student_nearer_to_it(teacher, student, data, tmp_path):
    want = predicted(teacher, data["test"])
    apart = {}
    for alpha in (0.0, 1.0):
        run = tmp_path / str(alpha)
        easyrec.train(
            student(teacher, alpha=alpha, train__epochs=4), data=data, run_dir=run, progress=False, export=False
        )
        apart[alpha] = np.abs(predicted(run, data["test"]) - want).mean()
    assert apart[1.0] < 0.8 * apart[0.0]


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_alpha_shares_out_what_is_learned(alpha, teacher, student, data, tmp_path):
    trainer = Trainer(student(teacher, alpha=alpha), tmp_path / "run", data=data, bar=False, export=False)
    assert (trainer.lessons is None) == (alpha == 0.0)
    if alpha:
        trainer.fit()
        told = trainer.folder.records("progress.jsonl")[-1]["losses"]
        assert told["ctr"] == 0.0
        assert told["distill/kd/ctr"] > 0.0


class Signalled(Trainer):
    """Gets a signal inside of one step."""

    def _learn(self, turn):
        super()._learn(turn)
        if self.step == 11:
            os.kill(os.getpid(), signal.SIGTERM)


def test_an_interrupted_run_goes_on_exactly(teacher, student, data, tmp_path):
    losses = [{"type": "kd", "temperature": 2}, {"type": "pairwise", "by": "user_id"}, {"type": "listwise"}]
    losses += [{"type": "match", "student": "deep", "teacher": "deep"}]
    experiment = student(teacher, losses=losses, train__evaluate_every={"steps": 7})
    options = {"data": data, "bar": False, "export": False}
    Trainer(experiment, tmp_path / "whole", **options).fit()
    with pytest.raises(Interrupted):
        Signalled(experiment, tmp_path / "cut", **options).fit()
    Trainer(experiment, tmp_path / "cut", resume=True, **options).fit()
    one, two = (
        max((tmp_path / name / "checkpoints").iterdir(), key=lambda p: int(p.name[5:])) for name in ("whole", "cut")
    )
    one, two = read_folder(one).tensors, read_folder(two).tensors
    assert set(one["lessons"]) == {"of_layers.3.projection.weight", "of_layers.3.projection.bias"}
    for part in ("dense", "lessons", "optimizer"):
        assert one[part].keys() == two[part].keys()
        assert all(torch.equal(one[part][name], two[part][name]) for name in one[part])
    assert (tmp_path / "whole/metrics.jsonl").read_bytes() == (tmp_path / "cut/metrics.jsonl").read_bytes()


def test_what_is_said_stands_beside_its_row_whatever_the_order(teacher, student, data, tmp_path):
    rows = data["train"].assign(score=1 / (1 + np.exp(-predicted(teacher, data["train"]))))
    experiment = student(teacher, data__reserved=["row"])
    trainer = Trainer(experiment, tmp_path / "run", data={**data, "train": rows}, bar=False, export=False)
    trainer.taught.prepare(bar=False)
    trainer.experiment.taught = (*trainer.experiment.taught, "row")
    loader = trainer._reader(trainer.part, training=True)
    wanted, seen = predicted(teacher, data["train"]), []
    for batch in loader:
        number = batch.reserved["row"].to_numpy()
        np.testing.assert_allclose(values_of(batch.reserved[taught("ctr")]), wanted[number], atol=1e-4)
        seen += number.tolist()
    assert sorted(seen) == list(range(1000))
    assert seen != sorted(seen)


def test_what_teachers_say_is_corrected_for_a_sample_of_negatives(teacher, student, data, tmp_path):
    experiment = student(teacher, data__negative_sampling={"keep_rate": 0.25})
    trainer = Trainer(experiment, tmp_path / "run", data=data, bar=False, export=False)
    assert trainer.lessons.shifts == {"ctr": pytest.approx(np.log(4))}  # where odds are four times those of all rows


def test_candidates_are_scored_and_their_labels_weigh_nothing(teacher, student, data, tmp_path):
    items = {"item_id": np.arange(30), "price": np.zeros(30, np.float32)}
    metrics = [{"type": "ranker_hit_rate", "k": 3, "score": taught("ctr")}, "auc"]
    candidates = {"items": 4, "evaluated": 9, "lists": 20}
    experiment = student(teacher, losses=["listwise"], candidates=candidates, eval__metrics=metrics)
    given = {**data, "items": items}
    trainer = Trainer(experiment, tmp_path / "run", data=given, bar=False, export=False)
    run = trainer.fit()
    batch = next(iter(trainer.loader))
    lists, weight = batch.reserved[LIST].to_pandas(), batch.sample_weight.numpy()
    assert lists.value_counts().iloc[1:-1].eq(5).all()
    assert np.isclose(weight.mean(), 0.2, atol=0.02)
    assert WEIGHT not in (batch.labels or {})
    plain = easyrec.evaluate(easyrec.Run.load(run.path).path, data=given).metrics  # the same lists
    assert plain["valid"] == pytest.approx(run.metrics["valid"])
    assert 0 < run.metrics["valid"]["ranker_hit_rate@3"] < 1
    of_labels = easyrec.evaluate(run.path, data=data, overrides={"eval.metrics": ["auc"], "distill": None}).metrics
    assert of_labels["valid"]["auc"] == pytest.approx(run.metrics["valid"]["auc"])


# ---------------------------------------------------------------------------------------------- what is wrong


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ({"teachers": []}, "at least 1 item"),
        ({"teachers": [{}]}, "give 'path' or 'column'"),
        ({"teachers": "runs/nowhere"}, r"distill \. teachers\[0\] \. path\s+runs/nowhere is not there"),
        (
            {"teachers": {"path": "{teacher}", "tasks": {"ctr": "cv"}}},
            r"the teacher has no task 'cv'; it has: ctr, cvr",
        ),
        ({"teachers": {"path": "{teacher}", "tasks": {"cr": "cvr"}}}, r"no task that could be taught is called 'cr'"),
        ({"teachers": {"column": "score"}}, r"(?s)distill \. teachers.*column.*has no column 'score'"),
        ({"teachers": "{teacher}", "losses": ["kt"]}, r"unknown type 'kt'\s+known: attention, kd"),
        (
            {"teachers": "{teacher}", "losses": [{"type": "match", "student": "deap", "teacher": "deep"}]},
            r"(?s)losses\[0\] \. student.*no layer 'deap'; did you mean 'deep'\?",
        ),
        (
            {"teachers": "{teacher}", "losses": [{"type": "match", "student": "deep", "teacher": "numeric"}]},
            r"(?s)losses\[0\] \. teacher.*'numeric' is not run when rows are scored",
        ),
        (
            {"teachers": {"column": "price"}, "losses": [{"type": "match", "student": "deep", "teacher": "deep"}]},
            r"(?s)losses\[0\] \. of.*teacher 0 is no trained model",
        ),
        (
            {"teachers": "{teacher}", "losses": [{"type": "listwise", "by": "request"}]},
            r"(?s)losses\[0\] \. by.*'request'",
        ),
        ({"teachers": "{teacher}", "candidates": {}}, r"(?s)data \. items.*candidates are drawn from a catalogue"),
    ],
)
def test_what_cannot_be_taught_is_told_at_its_place(section, told, teacher, toy_experiment, data, tmp_path):
    section = json.loads(json.dumps(section).replace("{teacher}", str(teacher)))
    with pytest.raises(ConfigError, match=told):
        easyrec.train(toy_experiment(model=MODEL, distill=section), data=data, run_dir=tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"model__tasks": [{"name": "n", "label": "click", "type": "ziln"}]}, "teachers are for tasks of type binary"),
        ({"data__sample_weight": "weight", "distill__candidates": {}}, "weigh their rows themselves"),
        (
            {"train__compile": True, "distill__losses": [{"type": "match", "student": "deep", "teacher": "deep"}]},
            "layers of a compiled model",
        ),
    ],
)
def test_what_a_config_alone_shows_wrong(settings, told, toy_experiment):
    with pytest.raises(ConfigError, match=told):
        toy_experiment(model={**MODEL}, **{"distill": {"teachers": "runs/x"}, **settings})
