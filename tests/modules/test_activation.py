from typing import get_args

import pytest
import torch

from easyrec.modules.activation import Activation, BatchNorm, Dice, activation
from easyrec.workers import Workers


@pytest.mark.parametrize("name", get_args(Activation))
@pytest.mark.parametrize("training", [True, False])
def test_any_number_of_rows(name, training):
    layer = activation(name, 3).train(training)
    for rows in (0, 1, 5):
        output = layer(torch.randn(rows, 3))
        assert output.shape == (rows, 3)
        assert output.isfinite().all()


def test_dice_follows_the_paper():
    x = torch.randn(50, 2) * torch.tensor([1.0, 4.0]) + 3
    dice = Dice(2).train()
    torch.nn.init.normal_(dice.alpha)
    p = torch.sigmoid((x - x.mean(0)) / torch.sqrt(x.var(0, unbiased=False) + 1e-8))
    torch.testing.assert_close(dice(x), p * x + (1 - p) * dice.alpha * x)


def test_dice_is_prelu_like_around_the_running_mean_in_evaluation():
    dice = Dice(1).train()
    for _ in range(200):
        dice(torch.randn(100, 1) + 2)
    high, low = dice.eval()(torch.tensor([[22.0], [-18.0]]))
    assert high.item() == pytest.approx(22.0, rel=1e-4)
    assert low.item() == pytest.approx(0.0, abs=1e-4)


def test_the_batch_norm_of_all_workers_is_that_of_torch():
    norm, torchs = BatchNorm(4), torch.nn.BatchNorm1d(4)
    norm.workers = Workers()
    torch.nn.init.uniform_(norm.weight)
    torch.nn.init.uniform_(norm.bias)
    torchs.load_state_dict(norm.state_dict())
    for rows in (2, 7):
        x = torch.randn(rows, 4) * 3 + 100
        ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
        weights = torch.randn(rows, 4)
        for module, inputs in ((norm, ours), (torchs, theirs)):
            (module(inputs) * weights).sum().backward()
        torch.testing.assert_close(norm(ours), torchs(theirs), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(norm.weight.grad, torchs.weight.grad, rtol=1e-4, atol=1e-4)
    for name, value in torchs.state_dict().items():
        torch.testing.assert_close(norm.state_dict()[name], value)


def test_a_training_batch_of_one_row_is_normalised_as_in_evaluation():
    norm = BatchNorm(2)
    norm.running_mean += 1.0
    x = torch.tensor([[3.0, 5.0]])
    before = norm.running_mean.clone()
    torch.testing.assert_close(norm.train()(x), norm.eval()(x))
    assert torch.equal(norm.running_mean, before)


def test_batch_norm_of_several_rows_is_torchs():
    ours, theirs, x = BatchNorm(3).train(), torch.nn.BatchNorm1d(3).train(), torch.randn(8, 3)
    assert torch.equal(ours(x), theirs(x))
    assert torch.equal(ours.running_var, theirs.running_var)
