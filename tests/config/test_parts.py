import pytest

from easyrec.config.evaluation import EvalConfig
from easyrec.config.parts import unmet
from easyrec.config.train import TrainConfig

PLATEAU = {"schedule": {"type": "plateau"}}


@pytest.mark.parametrize(
    ("train", "evaluation", "where"),
    [
        ({"early_stop": {"metric": "auc"}}, {}, "train.early_stop"),
        ({"dense_optimizer": {"type": "adam", **PLATEAU}}, {}, "train.dense_optimizer.schedule"),
        ({"sparse_optimizer": {"type": "lazy_adam", **PLATEAU}}, {}, "train.sparse_optimizer.schedule"),
        ({}, {"calibration": {"method": "platt"}}, "eval.calibration"),
    ],
    ids=["early-stop", "dense-plateau", "sparse-plateau", "calibration"],
)
def test_what_only_valid_gives_needs_valid(train, evaluation, where):
    sections = TrainConfig.model_validate(train), EvalConfig.model_validate(evaluation)
    assert [p.where for p in unmet(*sections, valid=False, counted=True, steps=True)] == [where]
    assert unmet(*sections, valid=True, counted=False, steps=False) == []


@pytest.mark.parametrize(
    ("train", "where"),
    [
        ({"epochs": 1.5}, "train.epochs"),
        ({"evaluate_every": {"epochs": 0.5}}, "train.evaluate_every"),
        ({"checkpoint": {"every": {"epochs": 0.1}}}, "train.checkpoint.every"),
        ({"dense_optimizer": {"type": "adam", "schedule": {"type": "cosine"}}}, "train.dense_optimizer.schedule"),
    ],
    ids=["epochs", "evaluation", "checkpoint", "cosine"],
)
def test_what_depends_on_the_number_of_rows_needs_rows_that_are_counted(train, where):
    config = TrainConfig.model_validate(train)
    assert [p.where for p in unmet(config, EvalConfig(), valid=False, counted=False, steps=False)] == [where]
    assert unmet(config, EvalConfig(), valid=False, counted=True, steps=True) == []


def test_all_that_is_unmet_is_told_at_once():
    train = TrainConfig.model_validate({"epochs": 0.5, "early_stop": {"metric": "auc"}})
    assert (
        len(unmet(train, EvalConfig.model_validate({"calibration": {}}), valid=False, counted=False, steps=False)) == 3
    )


def test_rows_without_an_end_are_told_of_as_such_alone():
    train = TrainConfig.model_validate({"epochs": 0.5, "evaluate_every": {"epochs": 0.5}})
    found = unmet(train, EvalConfig(), valid=True, counted=False, steps=False, endless=True)
    assert [p.where for p in found] == ["train.epochs", "train.evaluate_every", "train.checkpoint.every"]
    assert all("the rows have no end" in p.message for p in found)
