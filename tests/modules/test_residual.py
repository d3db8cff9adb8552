import pytest
import torch

from easyrec.modules.residual import Residual, ResidualConfig


@pytest.mark.parametrize("rows", [0, 1, 5])
def test_equals_the_formula(rows):
    unit, x = Residual(6, 4, ResidualConfig()), torch.randn(rows, 6)
    first, _, second = unit.inner
    torch.nn.init.normal_(first.bias)
    torch.nn.init.normal_(second.bias)
    inner = (x @ first.weight.T + first.bias).clamp_min(0)
    expected = (x + inner @ second.weight.T + second.bias).clamp_min(0)
    torch.testing.assert_close(unit(x), expected)


def test_the_way_around_the_layers_is_open():
    unit, x = Residual(6, 4, ResidualConfig(activation="leaky_relu")), torch.rand(5, 6)
    torch.nn.init.zeros_(unit.inner[2].weight)
    assert torch.equal(unit(x), x)


def test_parts_stand_in_order():
    unit = Residual(6, 4, ResidualConfig(activation="prelu", batch_norm=True, dropout=0.2))
    names = [type(layer).__name__ for layer in unit.inner]
    assert names == ["Linear", "BatchNorm", "PReLU", "Linear", "BatchNorm"]
    assert [unit.inner[1].num_features, unit.inner[4].num_features, unit.dropout.probability] == [4, 6, 0.2]
