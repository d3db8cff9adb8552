import numpy as np
import pytest
import torch

from easyrec.errors import CheckpointError
from easyrec.train.init_from import init_from


def test_what_has_equal_name_and_shape_is_taken_over(toy, caplog):
    toy.trainer(run="old", train__epochs=1).fit()
    old = toy.trainer(run="old", resume=True, train__epochs=1)
    old.fit()
    new = toy.trainer(run="new", model__hidden=[16, 4], train__init_from=str(toy.path / "old"))
    taken = init_from(toy.path / "old", new.model, new.collection.weights)
    for name in ("user_id", "item_id"):
        assert np.array_equal(new.collection.weights[name], old.collection.weights[name])
    assert torch.equal(new.model.deep[0].weight, old.model.deep[0].weight)
    assert new.model.deep[3].weight.shape == (4, 16)
    assert any("deep.3.weight ([8, 16] there, [4, 16] here)" in line for line in taken.left)
    assert "taken over: " in str(taken)


def test_training_starts_from_there_and_says_so(toy, caplog):
    first = toy.trainer(run="old", train__epochs=2).fit()
    still = {"type": "sgd", "lr": 1e-12}
    with caplog.at_level("INFO", "easyrec.train"):
        second = toy.trainer(
            run="new",
            train__epochs=1,
            train__init_from=str(toy.path / "old"),
            train__dense_optimizer=still,
            train__sparse_optimizer=still,
        ).fit()
    assert second.metrics["test"]["auc"] == pytest.approx(first.metrics["test"]["auc"], abs=1e-4)
    assert any("taken over" in message for message in caplog.messages)


def test_a_checkpoints_own_folder_will_do(toy):
    run = toy.trainer(run="old", train__epochs=1).fit()
    new = toy.trainer(run="new")
    taken = init_from(run.path / "checkpoints" / "step-16", new.model, new.collection.weights)
    assert not taken.left
    assert not taken.unused


def test_averages_are_taken_where_there_are_any(toy):
    old = toy.trainer(run="old", train__ema={"decay": 0.5}, train__epochs=1)
    old.fit()
    new = toy.trainer(run="new")
    init_from(toy.path / "old", new.model, new.collection.weights)
    assert torch.equal(new.model.deep[0].weight, old.ema.state()["deep.0.weight"])


def test_nothing_that_fits_is_an_error(toy):
    toy.trainer(run="old", train__epochs=1).fit()
    new = toy.trainer(run="new")
    with pytest.raises(CheckpointError, match="nothing in"):
        init_from(toy.path / "old", torch.nn.Linear(3, 1), {})
    with pytest.raises(CheckpointError, match="no checkpoint"):
        init_from(toy.path / "absent", new.model, new.collection.weights)
