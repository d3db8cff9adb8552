import pytest
from pydantic import ValidationError

from easyrec.config import TaskConfig

OUTPUTS = """\
loss 'jrc' reads 2 outputs of the model, but the first of the sum, 'bce', 1
sum losses that read equally many, or give this one to a task of its own"""


def task(**keys):
    return TaskConfig(**{"name": "y", "label": "y", **keys})


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"loss": "mse"}, "loss 'mse' is not for tasks of type 'binary'\nfitting: "),
        ({"loss": "bcee"}, "unknown type 'bcee'; did you mean 'bce'"),
        ({"type": "multiclass"}, "a task of type 'multiclass' needs 'num_classes'"),
        ({"type": "ordinal"}, "a task of type 'ordinal' needs 'num_classes'"),
        ({"num_classes": 3}, "a task of type 'binary' takes no 'num_classes'"),
        ({"metrics": ["rmse"]}, "metric 'rmse' is not for tasks of type 'binary'\nfitting: accuracy, auc"),
        ({"mask": "click = 1"}, "click = 1"),
        ({"name": "a b"}, "must be a plain name"),
    ],
    ids=["unfit-loss", "unknown-loss", "no-classes", "no-levels", "classes", "unfit-metric", "mask", "name"],
)
def test_what_cannot_work_is_refused(keys, message):
    with pytest.raises(ValidationError) as error:
        task(**keys)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("keys", "loss", "outputs"),
    [
        ({}, "bce", 1),
        ({"type": "regression"}, "mse", 1),
        ({"type": "multiclass", "num_classes": 5}, "cross_entropy", 5),
        ({"type": "ordinal", "num_classes": 5}, "ordinal", 4),
        ({"type": "ziln"}, "ziln", 3),
        ({"loss": "jrc"}, "jrc", 2),
    ],
    ids=["binary", "regression", "multiclass", "ordinal", "ziln", "jrc"],
)
def test_a_type_has_a_loss_and_outputs(keys, loss, outputs):
    assert (task(**keys).loss_config.type, task(**keys).num_outputs) == (loss, outputs)


def test_the_labels_of_a_task_are_its_own_and_those_of_its_mask():
    assert task(mask="click == 1 and y >= 0").labels == ("y", "click")


def test_every_loss_and_metric_that_does_not_suit_the_task_is_told_at_its_place():
    inner = {"type": "sum", "losses": [{"loss": "bce"}, {"loss": "mse"}]}
    with pytest.raises(ValidationError) as error:
        task(loss={"type": "sum", "losses": [{"loss": inner}, {"loss": "jrc"}]}, metrics=["auc", "rmse", "mae"])
    assert [(problem["loc"], problem["msg"].partition(" is not")[0]) for problem in error.value.errors()] == [
        (("loss", "losses", 0, "loss", "losses", 1, "loss"), "loss 'mse'"),
        (("loss", "losses", 1, "loss"), OUTPUTS),
        (("metrics", 1), "metric 'rmse'"),
        (("metrics", 2), "metric 'mae'"),
    ]
