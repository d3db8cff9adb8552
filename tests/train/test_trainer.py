import json
import math

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss, roc_auc_score

from easyrec.errors import ConfigError, DataError, RunError
from easyrec.train.ema import EMA
from easyrec.train.restore import restore
from easyrec.train.run import Run
from easyrec.train.snapshot import read_folder
from serving import Predictor

FUNNEL = [
    {"name": "ctr", "label": "click"},
    {"name": "cvr", "label": "buy", "mask": "click == 1", "weight": 0},
    {"name": "ctcvr", "label": "buy"},
]


def lines(path, name="metrics.jsonl"):
    return [json.loads(line) for line in (path / name).read_text().splitlines()]


def final(path):
    """The newest checkpoint."""
    folders = sorted((path / "checkpoints").iterdir(), key=lambda p: int(p.name.removeprefix("step-")))
    return read_folder(folders[-1])


def test_learns(toy):
    run = toy.trainer(train__epochs=3).fit()
    records = lines(run.path)
    assert [r["step"] for r in records] == [16, 32, 48]
    losses = [r["train"]["loss"] for r in records]
    assert losses[0] > losses[1] > losses[2]
    assert run.metrics["test"]["auc"] > 0.7
    assert run.metrics["best_step"] in (16, 32, 48)
    assert run.metrics["seconds"] > 0


def test_final_metrics_are_those_of_the_predictions(toy, data):
    trainer = toy.trainer()
    run = trainer.fit()
    scores = np.concatenate([trainer.scorer.predict(batch)["click"] for batch in trainer.test])
    labels = data["test"]["click"].to_numpy()
    assert run.metrics["test"]["auc"] == pytest.approx(roc_auc_score(labels, scores), abs=1e-9)
    assert run.metrics["test"]["logloss"] == pytest.approx(log_loss(labels, scores.astype(float)), abs=1e-6)


def test_same_seed_same_numbers_other_seed_others(toy):
    runs = [toy.trainer(run=f"r{i}", train__seed=seed).fit() for i, seed in enumerate((7, 7, 8))]
    texts = [(run.path / "metrics.jsonl").read_text() for run in runs]
    assert texts[0] == texts[1] != texts[2]
    one, two = final(runs[0].path), final(runs[1].path)
    for name, array in one.arrays.items():
        assert np.array_equal(array, two.arrays[name]), name
    for name, tensor in one.tensors["dense"].items():
        assert torch.equal(tensor, two.tensors["dense"][name]), name


def test_the_folder_holds_what_it_promises(toy):
    run = toy.trainer(export=True).fit()
    assert {p.name for p in run.path.iterdir()} == {
        ".lock", "config.yaml", "metrics.jsonl", "progress.jsonl", "metrics.json", "report.json", "report.html",
        "checkpoints", "tensorboard", "bundle",
    }  # fmt: skip
    assert set(json.loads((run.path / "metrics.json").read_text())) == {"valid", "test", "best_step", "seconds"}
    assert run.bundle == run.path / "bundle"
    assert run.report == run.path / "report.html"
    details = json.loads((run.path / "report.json").read_text())
    assert set(details["curves"]["test"]["click"]) == {"roc", "reliability", "histogram"}
    assert [f["name"] for f in details["features"]] == ["user_id", "item_id", "price"]
    assert details["timings"]["training"] > 0
    assert Run.load(run.path) == run


def test_the_table_at_the_end(toy):
    rows = toy.trainer().fit().summary()
    assert rows[0] == ("metric", "valid", "test")
    assert [row[0] for row in rows[1:]] == ["auc", "logloss"]
    assert all(0 < float(cell) < 1 for row in rows[1:] for cell in row[1:])


def test_an_existing_run_is_refused_before_anything_is_read(toy):
    toy.trainer(train__steps=1).fit()
    with pytest.raises(RunError, match="--resume"):
        toy.trainer(data={"train": None})


def test_bad_data_leaves_a_run_to_be_overwritten_untouched(toy, data):
    run = toy.trainer(train__steps=1).fit()
    with pytest.raises(ConfigError, match="item_id"):
        toy.trainer(overwrite=True, data={"train": data["train"].drop(columns="item_id")})
    assert (run.path / "metrics.json").exists()


def test_overwrite_starts_anew(toy):
    toy.trainer(train__epochs=3).fit()
    run = toy.trainer(train__epochs=1, overwrite=True).fit()
    assert [r["step"] for r in lines(run.path)] == [16]


# ------------------------------------------------------------------------------------------ how long


@pytest.mark.parametrize(
    ("settings", "steps"),
    [
        ({"train__epochs": None, "train__steps": 5}, 5),
        ({"train__epochs": 2, "train__steps": 20}, 20),
        ({"train__epochs": 1, "train__steps": 200}, 16),
        ({"train__epochs": None}, 16),
        ({"train__epochs": 0.5}, 8),
        ({"train__epochs": 2.25}, 36),
    ],
    ids=["steps", "steps-first", "epochs-first", "one-epoch-by-default", "half", "two-and-a-quarter"],
)
def test_ends_after_epochs_or_steps(toy, settings, steps):
    trainer = toy.trainer(**settings)
    trainer.fit()
    assert trainer.step == steps


def test_a_last_batch_of_one_row_joins_the_one_before(toy, data):
    settings = {"data__batch_size": 111, "model__batch_norm": True, "train__epochs": 2}  # 1000 = 9 * 111 + 1
    trainer = toy.trainer(**settings)
    trainer.fit()
    assert trainer.step == 18
    assert trainer.samples == 2000


def test_parts_of_an_epoch_need_a_known_number_of_rows(toy):
    with pytest.raises(ConfigError, match="whole epochs"):
        toy.trainer(train__epochs=0.5, data__bad_rows="skip")


def test_no_rows_is_an_error(toy, data):
    with pytest.raises(DataError, match="no rows to learn from"):
        toy.trainer(data={"train": data["train"].iloc[:0]}).fit()


def test_training_needs_rows(toy):
    with pytest.raises(ConfigError, match="needs a source"):
        toy.trainer(data={})


def test_without_valid_the_last_state_counts(toy, data):
    run = toy.trainer(data={"train": data["train"], "test": data["test"]}).fit()
    assert run.metrics["best_step"] == 32
    assert set(run.metrics) == {"test", "best_step", "seconds"}


# ---------------------------------------------------------------------------------- evaluation, stopping


@pytest.mark.parametrize(
    ("every", "expected"),
    [({"steps": 5}, [5, 10, 15, 20, 25, 30, 32]), ({"epochs": 0.5}, [8, 16, 24, 32]), ({"epochs": 2}, [32])],
    ids=["steps", "half-epochs", "epochs"],
)
def test_evaluates_by_the_rhythm_and_at_the_end(toy, every, expected):
    run = toy.trainer(train__evaluate_every=every).fit()
    assert [r["step"] for r in lines(run.path)] == expected


def test_evaluates_by_seconds(toy):
    run = toy.trainer(train__evaluate_every={"seconds": 1e-9}).fit()
    assert [r["step"] for r in lines(run.path)] == list(range(1, 33))


def test_stops_early_and_returns_to_the_best(toy):
    settings = {"train__epochs": 200, "train__early_stop": {"metric": "logloss", "patience": 2}}
    trainer = toy.trainer(**settings, train__dense_optimizer={"type": "adam", "lr": 0.05})
    run = trainer.fit()
    records = lines(run.path)
    losses = [r["valid"]["logloss"] for r in records]
    best = int(np.argmin(losses))
    assert len(losses) == best + 3
    assert [r["best"] for r in records] == [losses[i] == min(losses[: i + 1]) for i in range(len(losses))]
    assert run.metrics["best_step"] == records[best]["step"]
    assert run.metrics["valid"]["logloss"] == losses[best]


def test_plateau_reacts_to_the_same_metric(toy):
    schedule = {"type": "plateau", "factor": 0.5, "patience": 1}
    run = toy.trainer(
        train__epochs=12,
        train__early_stop={"metric": "logloss", "patience": 5},
        train__dense_optimizer={"type": "adam", "lr": 0.05, "schedule": schedule},
        train__log_every=16,
    ).fit()
    bad = 0
    rates = {r["step"]: r["lr"]["dense"] for r in lines(run.path, "progress.jsonl")}
    for record in lines(run.path):
        assert rates[record["step"]] == pytest.approx(0.05 * 0.5**bad)  # logged before the evaluation of that step
        bad += not record["best"]
    assert bad


def test_early_stop_needs_valid(toy, data):
    with pytest.raises(ConfigError, match=r"data\.valid"):
        toy.trainer(train__early_stop={"metric": "auc"}, data={"train": data["train"]})


def test_calibration_needs_valid(toy, data):
    with pytest.raises(ConfigError, match="calibration"):
        toy.trainer(eval__calibration={"method": "platt"}, data={"train": data["train"]})
    with pytest.raises(DataError, match="no rows to fit"):
        toy.trainer(
            eval__calibration={"method": "platt"},
            train__steps=1,
            data={"train": data["train"], "valid": data["valid"].iloc[:0]},
        ).fit()


def test_an_unknown_metric_is_named_with_the_known_ones(toy):
    with pytest.raises(ConfigError, match=r"did you mean 'auc'[\s\S]*evaluated: auc, logloss"):
        toy.experiment(train__early_stop={"metric": "acu"})


def test_keeps_the_newest_and_the_best(toy):
    settings = {"train__epochs": 6, "train__checkpoint": {"every": {"steps": 4}, "keep": 2}}
    run = toy.trainer(**settings, train__dense_optimizer={"type": "adam", "lr": 0.05}).fit()
    steps = {int(p.name.removeprefix("step-")) for p in (run.path / "checkpoints").iterdir()}
    assert {92, 96} <= steps <= {92, 96, run.metrics["best_step"], *[r["step"] for r in lines(run.path) if r["best"]]}
    assert run.metrics["best_step"] in steps


# ------------------------------------------------------------------------------------------- one step


def test_schedules_give_each_optimizer_its_rate(toy):
    run = toy.trainer(
        train__log_every=1,
        train__dense_optimizer={"type": "adam", "lr": 0.1, "schedule": {"type": "cosine", "steps": 20}},
        train__sparse_optimizer={"type": "sgd", "lr": 0.5, "schedule": {"type": "constant", "warmup_steps": 8}},
    ).fit()
    for record in lines(run.path, "progress.jsonl"):
        step = record["step"]  # updates done: the logged rates are those of the next one
        assert record["lr"]["dense"] == pytest.approx(0.05 * (1 + math.cos(math.pi * min(step / 20, 1))))
        assert record["lr"]["sparse"] == pytest.approx(0.5 * min((step + 1) / 8, 1))


def test_a_rate_of_almost_nothing_moves_almost_nothing(toy):
    tiny = {"lr": 1e-12}
    trainer = toy.trainer(
        train__dense_optimizer={"type": "sgd", **tiny}, train__sparse_optimizer={"type": "sgd", **tiny}
    )
    before = {name: w.copy() for name, w in trainer.collection.weights.items()}
    dense = [p.detach().clone() for p in trainer.model.parameters()]
    trainer.fit()
    for name, w in trainer.collection.weights.items():
        np.testing.assert_allclose(w, before[name], atol=1e-9)
    for p, q in zip(trainer.model.parameters(), dense, strict=True):
        torch.testing.assert_close(p.detach(), q, atol=1e-7, rtol=0)


def test_clipping_bounds_the_norm_of_everything_tables_included(toy):
    """With plain SGD the update is the gradient times the rate, so its norm shows the clipped norm."""
    bound, lr = 0.05, 1.0
    sgd = {"type": "sgd", "lr": lr}
    trainer = toy.trainer(
        train__steps=1,
        train__grad_clip=bound,
        train__dense_optimizer=sgd,
        train__sparse_optimizer=sgd,
        model__dropout=0.0,
        model__embedding_init={"type": "normal", "std": 0.5},
    )
    tables = {name: w.copy() for name, w in trainer.collection.weights.items()}
    dense = [p.detach().clone() for p in trainer.model.parameters()]
    trainer.fit()
    moved = sum(float(((w - tables[name]) ** 2).sum()) for name, w in trainer.collection.weights.items())
    assert moved > 0
    moved += sum(float((p.detach() - q).square().sum()) for p, q in zip(trainer.model.parameters(), dense, strict=True))
    assert math.sqrt(moved) == pytest.approx(bound * lr, rel=1e-3)


def test_averages_are_what_is_evaluated_and_restored(toy):
    trainer = toy.trainer(train__steps=7, train__epochs=None, train__ema={"decay": 0.5})
    oracle = EMA(trainer.model, 0.5)
    update = trainer.updates.step

    def watched(lr):
        update(lr)
        oracle.update()

    trainer.updates.step = watched
    run = trainer.fit()
    for name, average in trainer.ema.state().items():
        torch.testing.assert_close(average, oracle.state()[name], rtol=0, atol=0)
    batch = next(iter(trainer.test))
    with trainer.scorer.averaged():
        averaged = trainer.scorer.predict(batch)["click"]
    assert not np.array_equal(averaged, trainer.scorer.predict(batch)["click"])
    scorer = restore(trainer.experiment, run.path)
    with scorer.averaged():
        assert np.array_equal(scorer.predict(batch)["click"], averaged)


def test_weights_count_as_repetitions_do(toy, data):
    """A batch in which every row weighs 1 or 2 gives the step of a batch in which the latter are there twice."""
    train = data["train"].iloc[:60].assign(weight=[1.0, 2.0] * 30)
    doubled = train.loc[train.index.repeat(train["weight"].astype(int))]
    options = {"train__steps": 1, "data__shuffle": False, "model__dropout": 0.0, "data__batch_size": 100}
    one = toy.trainer(run="a", data={"train": train}, data__sample_weight="weight", **options)
    two = toy.trainer(run="b", data={"train": doubled}, **options)
    one.fit()
    two.fit()
    for p, q in zip(one.model.parameters(), two.model.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-4, atol=1e-6)


def test_bf16_learns_the_same_task_and_is_evaluated_in_fp32(toy):
    trainer = toy.trainer(train__precision="bf16", train__epochs=3)
    run = trainer.fit()
    assert run.metrics["test"]["auc"] > 0.7
    assert all(p.dtype == torch.float32 for p in trainer.model.parameters())
    assert trainer.scorer.predict(next(iter(trainer.test)))["click"].dtype == np.float32


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # torch's compiler warns of its own internals
def test_the_compiled_dense_part_learns_what_the_plain_one_does(toy, caplog):
    options = {"train__steps": 20, "model__dropout": 0.0}
    plain = toy.trainer(run="a", **options).fit()
    with caplog.at_level("INFO"):
        compiled = toy.trainer(run="b", train__compile=True, **options).fit()
    assert "compiled into 1 graph, without a break" in caplog.text
    assert compiled.metrics["test"]["auc"] == pytest.approx(plain.metrics["test"]["auc"], abs=1e-4)


def test_regularizers_shrink(toy):
    plain = toy.trainer(run="a")
    strong = toy.trainer(run="b", train__net_regularizer=1.0, train__embedding_regularizer=1.0)
    plain.fit()
    strong.fit()
    norms = [sum(float(p.detach().square().sum()) for p in t.model.parameters()) for t in (plain, strong)]
    tables = [sum(float((w**2).sum()) for w in t.collection.weights.values()) for t in (plain, strong)]
    assert norms[1] < 0.5 * norms[0]
    assert tables[1] < 0.5 * tables[0]


# --------------------------------------------------------------------------------------- many tasks


TASKS = [
    {"name": "ctr", "label": "click"},
    {"name": "cvr", "label": "buy", "mask": "click == 1", "weight": 0.5},
]


def test_tasks_have_their_own_metrics_over_the_rows_that_count(toy, data):
    trainer = toy.trainer(model__tasks=TASKS, train__early_stop={"metric": "cvr/auc", "patience": 3})
    run = trainer.fit()
    assert set(run.metrics["test"]) == {"ctr/auc", "ctr/logloss", "cvr/auc", "cvr/logloss"}
    assert trainer.best.metric == "cvr/auc"
    scores = np.concatenate([trainer.scorer.predict(batch)["cvr"] for batch in trainer.test])
    clicked = data["test"]["click"].to_numpy() == 1
    expected = roc_auc_score(data["test"]["buy"].to_numpy()[clicked], scores[clicked])
    assert run.metrics["test"]["cvr/auc"] == pytest.approx(expected, abs=1e-9)


def test_a_metric_without_a_task_is_the_first_tasks(toy):
    assert toy.experiment(model__tasks=TASKS, train__early_stop={"metric": "auc"}).watched.key == "ctr/auc"


def test_a_task_without_weight_learns_nothing(toy):
    trainer = toy.trainer(model__tasks=[TASKS[0], {**TASKS[1], "weight": 0.0}], train__steps=5)
    before = trainer.model.head.vector.weight.detach().clone()
    trainer.fit()
    after = trainer.model.head.vector.weight.detach()
    assert not torch.equal(after[0], before[0])
    assert torch.equal(after[1], before[1])


def test_masked_rows_do_not_matter_for_their_task(toy, data):
    only = [{"name": "cvr", "label": "buy", "mask": "click == 1"}, {"name": "ctr", "label": "click", "weight": 0.0}]
    options = {"model__tasks": only, "data__shuffle": False, "model__dropout": 0.0, "train__epochs": 1}
    train = data["train"].iloc[:64]
    other = train.assign(buy=train["buy"].where(train["click"] == 1, 1))
    one = toy.trainer(run="a", data={"train": train}, **options)
    two = toy.trainer(run="b", data={"train": other}, **options)
    one.fit()
    two.fit()
    for p, q in zip(one.model.parameters(), two.model.parameters(), strict=True):
        assert torch.equal(p, q)


def test_scores_of_a_model_trained_on_a_share_of_the_negatives_are_of_all_rows(toy, data):
    whole = toy.rows(6000, 5)
    settings = {"data__negative_sampling": {"keep_rate": 0.25}, "train__epochs": 2, "model__type": "lr"}
    settings |= {"model__hidden": None, "model__dropout": None}
    config = {k: v for k, v in settings.items() if v is not None}
    lr = {"type": "lr", "embedding_dim": 8}
    config |= {"model": lr}
    config.pop("model__type")
    trainer = toy.trainer(data={"train": whole, "test": data["test"]}, **config)
    trainer.fit()
    scores = np.concatenate([trainer.scorer.predict(batch)["click"] for batch in trainer.test])
    rate = data["test"]["click"].mean()
    assert scores.mean() == pytest.approx(rate, abs=0.05)
    odds = scores / (1 - scores)
    trainer.scorer.link.shifts.clear()
    sampled = np.concatenate([trainer.scorer.predict(batch)["click"] for batch in trainer.test])
    np.testing.assert_allclose(sampled / (1 - sampled), 4 * odds, rtol=1e-3)


@pytest.mark.parametrize("kind", ["esmm", "escm2"])
def test_what_a_model_composes_of_corrected_probabilities_is_of_all_rows_too(toy, kind):
    model = {"type": kind, "embedding_dim": 8, "tower": [8], "tasks": FUNNEL}
    sampled = {"data__negative_sampling": {"keep_rate": 0.25}, "train__epochs": 3, "model": model}
    test = toy.rows(4000, 77)
    trainer = toy.trainer(data={"train": toy.rows(6000, 5), "test": test}, export=True, **sampled)
    run = trainer.fit()
    found = [trainer.scorer.predict(batch) for batch in trainer.test]
    ctr, cvr, ctcvr = (np.concatenate([scores[name] for scores in found]) for name in ("ctr", "cvr", "ctcvr"))
    np.testing.assert_allclose(ctcvr, ctr * cvr, rtol=1e-4)
    assert ctr.mean() == pytest.approx(test["click"].mean(), abs=0.05)
    assert ctcvr.mean() == pytest.approx(test["buy"].mean(), abs=0.04)
    with Predictor.load(run.bundle) as predictor:
        served = predictor.predict_batch(test.head(20))
    np.testing.assert_allclose(served["ctcvr"], ctcvr[:20], atol=1e-6)


# ---------------------------------------------------------------------------------------- calibration


@pytest.mark.parametrize("method", ["platt", "isotonic"])
def test_calibration_is_fitted_on_valid_and_kept_with_the_run(toy, method):
    trainer = toy.trainer(eval__calibration={"method": method})
    run = trainer.fit()
    assert (run.path / "calibration.json").exists()
    labels = np.concatenate([batch.labels["click"].numpy() for batch in trainer.valid])
    scores = np.concatenate([trainer.scorer.predict(batch)["click"] for batch in trainer.valid])
    assert scores.mean() == pytest.approx(labels.mean(), abs=0.01)
    scorer = restore(trainer.experiment, run.path)
    batch = next(iter(trainer.test))
    assert np.array_equal(scorer.predict(batch)["click"], trainer.scorer.predict(batch)["click"])


# --------------------------------------------------------------------------------------------- trouble


def test_a_diverging_loss_names_the_step_and_a_remedy(toy):
    huge = {"type": "sgd", "lr": 1e30}
    with pytest.raises(RunError, match=r"step \d+: the loss is (nan|inf).*learning rate"):
        toy.trainer(train__dense_optimizer=huge, train__sparse_optimizer=huge).fit()


def test_full_precision_numbers_that_overflow_name_the_feature(toy, data):
    train = data["train"].iloc[:64].assign(price=np.float32(3e38))
    with pytest.raises((DataError, RunError), match="step 1: the loss is"):
        toy.trainer(data={"train": train}, train__epochs=1).fit()


def test_a_model_that_cannot_be_exported_keeps_its_metrics_and_report(toy):
    trainer = toy.trainer(train__steps=2, export=True)
    forward = trainer.model.forward
    trainer.model.forward = lambda x: {"logit": forward(x)["logit"] * (2.0 if forward(x)["logit"].sum() > 1e9 else 1.0)}
    with pytest.raises(RunError, match="cannot be exported"):
        trainer.fit()
    assert Run.load(trainer.folder.path).metrics["test"]["auc"]
    assert (trainer.folder.path / "report.html").exists()
    assert not (trainer.folder.path / "bundle").exists()


def test_it_goes_on_without_tensorboard(toy, monkeypatch, caplog):
    import sys

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with caplog.at_level("INFO", "easyrec.train"):
        run = toy.trainer(train__steps=2).fit()
    assert [m for m in caplog.messages if "no TensorBoard curves" in m and "pip install" in m]
    assert not (run.path / "tensorboard").exists()


def test_a_label_that_nothing_predicts_is_warned_of(toy, caplog):
    toy.trainer()
    assert "the label 'buy' is predicted by no task" in caplog.text
    caplog.clear()
    tasks = [{"name": "cvr", "label": "click", "mask": "buy == 1"}]
    toy.trainer(run="other", model__tasks=tasks)
    toy.trainer(run="third", data__labels=["click"])
    assert "no task" not in caplog.text
