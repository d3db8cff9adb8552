import pytest

from easyrec.config.evaluation import EvalConfig
from easyrec.config.model import TaskConfig
from easyrec.config.train import TrainConfig
from easyrec.config.watched import Watched, watched
from easyrec.errors import ConfigError

CLICK = TaskConfig(name="ctr", label="click")
BUY = TaskConfig(name="cvr", label="buy")
PRICE = TaskConfig(name="price", label="price", type="regression")


def found(tasks, metric=None, metrics=()):
    train = TrainConfig.model_validate({"early_stop": {"metric": metric}} if metric else {})
    return watched(tasks, EvalConfig.model_validate({"metrics": list(metrics)}), train)


def test_without_early_stop_the_first_directed_metric_of_the_first_task():
    assert found([CLICK]) == Watched("auc", higher_is_better=True)
    assert found([CLICK, BUY]) == Watched("ctr/auc", higher_is_better=True)
    assert found([PRICE]) == Watched("rmse", higher_is_better=False)
    assert found([CLICK], metrics=["calibration", "logloss"]) == Watched("logloss", higher_is_better=False)


def test_a_metric_without_a_task_is_the_first_tasks():
    assert found([CLICK, BUY], "logloss") == Watched("ctr/logloss", higher_is_better=False)
    assert found([CLICK, BUY], "cvr/auc") == Watched("cvr/auc", higher_is_better=True)


@pytest.mark.parametrize(
    ("tasks", "metric", "message"),
    [
        ([CLICK], "acu", "did you mean 'auc'"),
        ([CLICK, BUY], "cvr/acu", "evaluated: ctr/auc, ctr/logloss, cvr/auc, cvr/logloss"),
        ([PRICE], "auc", "evaluated: rmse, mae"),
        ([CLICK], "gauc", "evaluated: auc, logloss"),
    ],
)
def test_what_is_not_evaluated_cannot_be_watched(tasks, metric, message):
    with pytest.raises(ConfigError, match=message):
        found(tasks, metric)


def test_a_metric_without_direction_cannot_be_watched():
    with pytest.raises(ConfigError, match="no better direction"):
        found([CLICK], "calibration", ["auc", "calibration"])
    assert found([CLICK], metrics=["calibration"]) is None
