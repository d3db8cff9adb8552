import pytest
import torch
from pydantic import ValidationError

from easyrec.modules.mlp import MLP, MLPConfig, in_float32, linear


def test_layers_stand_in_the_published_order():
    config = MLPConfig(hidden=[4, 3], activation="prelu", dropout=0.2, batch_norm=True, layer_norm=True)
    names = [type(layer).__name__ for layer in MLP(5, config)]
    assert names == ["Linear", "BatchNorm", "LayerNorm", "PReLU", "Dropout"] * 2


def test_equals_the_formula():
    mlp, x = MLP(5, MLPConfig(hidden=[4, 3])), torch.randn(6, 5)
    for layer in mlp:
        x_before = x
        x = x @ layer.weight.T + layer.bias if isinstance(layer, torch.nn.Linear) else x.clamp_min(0)
    assert x_before.shape == (6, 3)
    assert mlp.out == 3
    torch.manual_seed(0)
    inputs = torch.randn(6, 5)
    expected = inputs
    for layer in mlp:
        expected = expected @ layer.weight.T + layer.bias if hasattr(layer, "weight") else expected.clamp_min(0)
    torch.testing.assert_close(mlp(inputs), expected)


def test_weights_start_with_glorots_variance_and_biases_at_zero():
    layer = linear(600, 400)
    assert layer.weight.std().item() == pytest.approx((2 / 1000) ** 0.5, rel=0.02)
    assert not layer.bias.any()


def test_an_mlp_has_a_layer():
    with pytest.raises(ValidationError):
        MLPConfig(hidden=[])


def test_logits_keep_float32_under_autocast():
    layer, x = linear(64, 1), torch.randn(100, 64)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(in_float32(layer, x), layer.float()(x).float()) is False
        output = in_float32(layer, x)
    torch.testing.assert_close(output, layer(x))
