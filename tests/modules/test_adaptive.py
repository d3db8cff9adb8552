import pytest
import torch

from easyrec.modules.adaptive import AdaptiveConfig, AdaptiveLinear, AdaptiveMLP
from easyrec.modules.mlp import MLPConfig


def whole(layers):
    """The matrix that layers without biases make together."""
    product = layers[0].weight
    for layer in layers[1:]:
        product = layer.weight @ product
    return product


@pytest.mark.parametrize("keys", [{}, {"wide": 5}, {"generator": [6]}], ids=["plain", "wide", "deep"])
def test_each_row_has_a_matrix_of_its_own(keys):
    torch.manual_seed(0)
    layer = AdaptiveLinear(4, 7, 3, AdaptiveConfig(rank=2, **keys))
    torch.nn.init.normal_(layer.bias)
    x, condition = torch.randn(5, 4), torch.randn(5, 3)
    found = layer(x, condition)
    for row in range(5):
        hidden = condition[row]
        if "generator" in keys:
            hidden = (layer.generator[0].weight @ hidden + layer.generator[0].bias).clamp_min(0)
        matrix = (layer.matrix.weight @ hidden + layer.matrix.bias).view(2, 2)
        expected = whole(layer.up) @ matrix @ whole(layer.down) @ x[row] + layer.bias
        torch.testing.assert_close(found[row], expected, rtol=1e-4, atol=1e-5)


def test_a_layer_starts_near_one_that_all_rows_share():
    layer, x = AdaptiveLinear(4, 7, 3, AdaptiveConfig(rank=2)), torch.randn(5, 4)
    torch.testing.assert_close(layer(x, torch.zeros(5, 3)), x @ whole(layer.down).T @ whole(layer.up).T)


@pytest.mark.parametrize("condition", [3, None], ids=["given", "own-input"])
def test_layers_read_one_condition_or_their_own_input(condition):
    torch.manual_seed(0)
    mlp = AdaptiveMLP(4, condition, MLPConfig(hidden=[6, 5]), AdaptiveConfig(rank=2))
    x, given = torch.randn(5, 4), torch.randn(5, 3) if condition else None
    hidden = x
    for layer in (mlp.layers[0], mlp.layers[2]):
        hidden = layer(hidden, hidden if given is None else given).clamp_min(0)
    torch.testing.assert_close(mlp(x, given), hidden)
    assert mlp.out == 5
