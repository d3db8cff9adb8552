import torch
from torch import nn

from easyrec.train.ema import EMA


def test_equals_the_weighted_sum_of_all_past_values():
    layer = nn.Linear(3, 2)
    values = [layer.weight.detach().clone()]
    ema = EMA(layer, decay=0.8)
    for _ in range(6):
        with torch.no_grad():
            layer.weight.add_(torch.randn(2, 3))
        values.append(layer.weight.detach().clone())
        ema.update()
    # decay^n * first + sum_k (1 - decay) * decay^(n - k) * value_k
    n = len(values) - 1
    expected = 0.8**n * values[0] + sum(0.2 * 0.8 ** (n - k) * values[k] for k in range(1, n + 1))
    torch.testing.assert_close(ema.state()["weight"], expected)


def test_applied_for_a_while_and_then_exactly_as_before():
    layer = nn.Linear(3, 2)
    ema = EMA(layer, decay=0.5)
    before, pointer = layer.weight.detach().clone(), layer.weight.data_ptr()
    with torch.no_grad():
        layer.weight.add_(1.0)
    ema.update()
    with ema.applied():
        torch.testing.assert_close(layer.weight.detach(), before + 0.5)
        assert layer.weight.data_ptr() == pointer
    assert torch.equal(layer.weight.detach(), before + 1.0)
    torch.testing.assert_close(ema.state()["weight"], before + 0.5)


def test_continues_from_its_state():
    layer = nn.Linear(3, 2)
    first = EMA(layer, decay=0.9)
    with torch.no_grad():
        layer.weight.mul_(2.0)
    first.update()
    second = EMA(layer, decay=0.9)
    second.load_state({name: t.clone() for name, t in first.state().items()})
    for ema in (first, second):
        ema.update()
    assert torch.equal(first.state()["weight"], second.state()["weight"])


def test_frozen_parameters_are_left_out():
    layer = nn.Linear(3, 2)
    layer.bias.requires_grad_(False)
    assert list(EMA(layer, decay=0.9).state()) == ["weight"]
