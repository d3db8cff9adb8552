import pytest
import torch
from torch import nn

from easyrec.config.train import SGD, Adagrad, Adam, AdamW
from easyrec.train.optimizers import DenseUpdates

CASES = {
    "adam": (Adam(betas=(0.8, 0.99), eps=1e-6), lambda p: torch.optim.Adam(p, 0.01, (0.8, 0.99), 1e-6)),
    "adamw": (AdamW(weight_decay=0.1), lambda p: torch.optim.AdamW(p, 0.01, weight_decay=0.1)),
    "adagrad": (
        Adagrad(initial_accumulator=0.1),
        lambda p: torch.optim.Adagrad(p, 0.01, initial_accumulator_value=0.1),
    ),
    "sgd": (SGD(momentum=0.9), lambda p: torch.optim.SGD(p, 0.01, momentum=0.9)),
}


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 1))


def gradients(model, seed):
    torch.manual_seed(seed)
    model(torch.randn(8, 4)).square().mean().backward()


@pytest.mark.parametrize("name", CASES)
def test_equals_the_unfused_optimizer(name):
    config, make = CASES[name]
    ours, theirs = network(), network()
    updates, oracle = DenseUpdates(ours, config), make(theirs.parameters())
    for seed in range(5):
        gradients(ours, seed)
        updates.step(0.01)
        gradients(theirs, seed)
        oracle.step()
        oracle.zero_grad()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_continues_from_its_state_bit_for_bit(name):
    config, _ = CASES[name]
    first, second = network(), network()
    one, two = DenseUpdates(first, config), DenseUpdates(second, config)
    for seed in range(3):
        gradients(first, seed)
        one.step(0.01)
    second.load_state_dict(first.state_dict())
    two.load_state({key: tensor.clone() for key, tensor in one.state().items()})
    for model, updates in ((first, one), (second, two)):
        gradients(model, 7)
        updates.step(0.02)
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)


def test_the_rate_of_each_step_counts():
    model = network()
    updates = DenseUpdates(model, SGD())
    before = model[0].weight.detach().clone()
    gradients(model, 1)
    moved = model[0].weight.grad.clone()
    updates.step(0.5)
    torch.testing.assert_close(model[0].weight.detach(), before - 0.5 * moved)


def test_gradients_are_forgotten_after_a_step():
    model = network()
    updates = DenseUpdates(model, Adam())
    gradients(model, 1)
    updates.step(0.01)
    assert all(p.grad is None for p in model.parameters())


def test_the_regularizer_is_half_the_squared_norm_of_all_parameters():
    ours, theirs = network(), network()
    updates = DenseUpdates(ours, SGD(), regularizer=0.3)
    gradients(ours, 1)
    found = updates.gradients()
    torch.manual_seed(1)
    loss = theirs(torch.randn(8, 4)).square().mean()
    loss = loss + 0.3 / 2 * sum(p.square().sum() for p in theirs.parameters())
    loss.backward()
    for a, b in zip(found, theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b.grad)


def test_a_model_without_parameters_is_fine():
    updates = DenseUpdates(nn.Sequential(), Adam())
    assert updates.gradients() == []
    updates.step(0.1)
    updates.load_state(updates.state())


def test_parameters_without_a_gradient_stay():
    model = network()
    model[0].bias.requires_grad_(False)
    updates = DenseUpdates(model, Adam(), regularizer=0.1)
    before = model[0].bias.clone()
    model[2](torch.randn(4, 3)).sum().backward()
    assert len(updates.gradients()) == 2
    updates.step(0.1)
    assert torch.equal(model[0].bias, before)
