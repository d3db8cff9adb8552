import json
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import torch
from sklearn.metrics import log_loss, roc_auc_score

from easyrec.config import EvalConfig, TaskConfig
from easyrec.config.measured import measured
from easyrec.config.train import TrainConfig
from easyrec.errors import ConfigError
from easyrec.train.objective import Objective
from easyrec.train.recent import Recent

CLICK = TaskConfig(name="click", label="click")
STARS = TaskConfig(name="stars", label="stars", type="multiclass", num_classes=3, mask="click == 1")


def recent(tasks=(CLICK,), log_every=4, batch_size=10, **keys):
    train = TrainConfig(metrics={"metrics": ["auc", "logloss"], "decay": 0.5, "rows": 1000, **keys})
    found = measured(tasks, EvalConfig(), train)
    return Recent(train.metrics, found, Objective(tasks), log_every, batch_size)


def batch(step, rows=10, weighted=False):
    r = torch.Generator().manual_seed(step)
    labels = {
        "click": torch.randint(0, 2, (rows,), generator=r).float(),
        "stars": torch.randint(0, 3, (rows,), generator=r).float(),
    }
    return SimpleNamespace(
        size=rows,
        labels=labels,
        sample_weight=torch.rand(rows, generator=r) if weighted else None,
        reserved=pa.table({"user": [f"user {i % 3}" for i in range(rows)]}),
    )


def logits(step, rows=10):
    return torch.randn(rows, generator=torch.Generator().manual_seed(1000 + step))


def run(metrics, steps, **keys):
    """The values of each log."""
    found = []
    for step in range(steps):
        metrics.add(step, batch(step, **keys), {"logit": logits(step, keys.get("rows", 10))})
        if (step + 1) % metrics.log_every == 0:
            found.append(metrics.take())
    return found


@pytest.mark.parametrize("weighted", [False, True])
def test_rows_of_k_logs_ago_weigh_decay_to_the_k(weighted):
    found = run(recent(), 12, weighted=weighted)
    for log, values in enumerate(found):
        steps = range(4 * (log + 1))
        y = np.concatenate([batch(s).labels["click"].numpy() for s in steps])
        p = np.concatenate([torch.sigmoid(logits(s)).numpy() for s in steps]).astype(float)
        w = np.concatenate([np.full(10, 0.5 ** (log - s // 4)) for s in steps])
        if weighted:
            w = w * np.concatenate([batch(s, weighted=True).sample_weight.numpy() for s in steps])
        assert values["auc"] == pytest.approx(roc_auc_score(y, p, sample_weight=w), abs=1e-6)
        assert values["logloss"] == pytest.approx(log_loss(y, p, sample_weight=w), rel=1e-5)


def test_rows_that_weigh_less_than_a_twentieth_are_forgotten():
    metrics = recent()
    run(metrics, 40)
    assert len(metrics.logs) == 1 + 4  # the log that begins, and ages 1 to 4: 0.5 ** 4 is .0625
    alone = recent(decay=0.0)
    assert run(alone, 12)[2]["logloss"] == pytest.approx(
        log_loss(
            np.concatenate([batch(s).labels["click"].numpy() for s in range(8, 12)]),
            np.concatenate([torch.sigmoid(logits(s)).numpy() for s in range(8, 12)]).astype(float),
        ),
        rel=1e-5,
    )


@pytest.mark.parametrize(("rows", "kept"), [(1000, [0, 1, 2, 3, 4, 5, 6, 7]), (20, [3, 7]), (1, [7]), (39, [2, 5, 7])])
def test_whole_batches_are_kept_evenly_spaced(rows, kept):
    metrics = recent(log_every=8, rows=rows)
    found = []
    for step in range(8):
        before = len(metrics.logs[0])
        metrics.add(step, batch(step), {"logit": logits(step)})
        found += [step] if len(metrics.logs[0]) > before else []
    assert found == kept
    assert sum(map(len, metrics.logs[0])) <= max(rows, 1)


def test_tasks_have_their_masks_and_classes_and_metrics_their_columns():
    keys = {"metrics": ["accuracy", {"type": "gauc", "by": "user"}, {"type": "logloss", "by": "user"}]}
    metrics = recent((CLICK, STARS), **keys)
    assert metrics.columns == ("user",)
    scores = torch.randn(10, 3)
    for step in range(4):
        metrics.add(step, batch(step), {"click": logits(step), "stars": scores})
    values = metrics.take()
    clicked = [batch(s).labels["click"] == 1 for s in range(4)]
    right = torch.cat([(scores.argmax(1) == batch(s).labels["stars"])[clicked[s]] for s in range(4)])
    assert values["stars/accuracy"] == pytest.approx(right.float().mean().item())
    assert {"click/gauc", "stars/logloss[user=user 2]"} <= set(values)


@pytest.mark.parametrize("steps", [0, 2, 4, 9])
def test_a_state_continues_as_if_nothing_had_happened(steps):
    keys = {"metrics": ["accuracy", {"type": "gauc", "by": "user"}]}

    def go(metrics, first, last):
        found = []
        for step in range(first, last):
            given = {"click": logits(step), "stars": torch.randn(10, 3, generator=torch.Generator().manual_seed(step))}
            metrics.add(step, batch(step, weighted=True), given)
            found += [metrics.take()] if (step + 1) % 4 == 0 else []
        return found

    whole, resumed = recent((CLICK, STARS), **keys), recent((CLICK, STARS), **keys)
    go(whole, 0, steps)
    state = whole.state()
    resumed.load_state(state)
    assert go(resumed, steps, 16) == go(whole, steps, 16)
    assert [t.numpy().tobytes() for t in resumed.state().values()] == [
        t.numpy().tobytes() for t in whole.state().values()
    ]


def test_metrics_of_training_are_those_listed_else_those_evaluated():
    own = TaskConfig(name="click", label="click", metrics=["accuracy"])
    evaluation = EvalConfig(metrics=["logloss"], slices=["user"])
    assert measured([CLICK], evaluation, TrainConfig()) is None
    listed = measured([own], evaluation, TrainConfig(metrics=["auc"]))
    assert [m.type for m in listed.evaluation.for_tasks(listed.tasks)["click"]] == ["auc"]
    others = measured([own, CLICK.model_copy(update={"name": "b"})], evaluation, TrainConfig(metrics={}))
    chosen = others.evaluation.for_tasks(others.tasks)
    assert [[m.type for m in chosen[name]] for name in ("click", "b")] == [["accuracy"], ["logloss"]]
    assert others.columns == ()


def test_a_metric_that_fits_no_task_is_refused_at_its_place(toy):
    with pytest.raises(ConfigError, match="'rmse' fits none of the tasks") as error:
        toy.experiment(train__metrics={"metrics": ["auc", "rmse"]})
    assert "train . metrics" in str(error.value)


def test_training_writes_them_where_people_look(toy, caplog):
    caplog.set_level("INFO", "easyrec.train")
    toy.trainer(train__metrics=["auc", {"type": "gauc", "by": "user_id"}], train__epochs=4).fit()
    lines = [json.loads(line) for line in (toy.path / "run" / "progress.jsonl").read_text().splitlines()]
    assert [set(line["metrics"]) for line in lines] == [{"auc", "gauc"}] * len(lines)
    assert lines[-1]["metrics"]["auc"] > lines[0]["metrics"]["auc"] + 0.05
    assert ", auc 0." in caplog.text


def test_without_them_nothing_is_kept_and_nothing_written(toy):
    trainer = toy.trainer()
    trainer.fit()
    assert trainer.recent is None
    assert "metrics" not in (toy.path / "run" / "progress.jsonl").read_text()
