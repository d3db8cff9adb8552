import pytest
import torch

from easyrec.modules.cross import Cross, CrossConfig, GatedCross, VectorCross


def explicit(cross, x0, row):
    """The layers for one row, as vectors and matrices."""
    x = x0[row]
    for layer in cross.layers:
        if isinstance(layer, torch.nn.Linear):
            f = layer.weight @ x + layer.bias
        elif isinstance(layer, torch.nn.Sequential):
            f = layer[1].weight @ (layer[0].weight @ x) + layer[1].bias
        else:
            experts, rank = layer.shape
            gate = torch.exp(layer.gate.weight @ x + layer.gate.bias)
            f = layer.up.bias.clone()
            for e in range(experts):
                part = slice(e * rank, (e + 1) * rank)
                inner = torch.tanh(layer.inner[e] @ torch.tanh(layer.down.weight[part] @ x))
                f = f + gate[e] / gate.sum() * (layer.up.weight[:, part] @ inner)
        x = x0[row] * f + x
    return x


@pytest.mark.parametrize("keys", [{}, {"low_rank": 2}, {"low_rank": 3, "experts": 4}], ids=["full", "low", "mixture"])
@pytest.mark.parametrize("layers", [1, 3])
def test_equals_the_explicit_matrix_form(keys, layers):
    torch.manual_seed(0)
    cross, x = Cross(6, CrossConfig(cross_layers=layers, **keys)), torch.randn(5, 6)
    for parameter in cross.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    for row in range(5):
        torch.testing.assert_close(cross(x)[row], explicit(cross, x, row), rtol=1e-4, atol=1e-5)


def test_layer_l_makes_crosses_of_degree_l_plus_one():
    cross = Cross(3, CrossConfig(cross_layers=4))
    x = torch.rand(2, 3, dtype=torch.float64)
    cross.double()
    # A polynomial of degree 5 in t: the sixth difference of its values at 7 points is 0, the fifth is not.
    values = torch.stack([cross(t * x) for t in range(7)])
    assert values.diff(6, dim=0).abs().max() < 1e-8
    assert values.diff(5, dim=0).abs().max() > 1e-3


@pytest.mark.parametrize("layers", [1, 2, 5])
@pytest.mark.parametrize("rows", [0, 1, 5])
def test_vector_layers_equal_the_recursion(layers, rows):
    torch.manual_seed(0)
    cross, x0 = VectorCross(6, layers).double(), torch.randn(rows, 6, dtype=torch.float64)
    torch.nn.init.normal_(cross.bias)
    x = x0
    for weight, bias in zip(cross.weights.weight, cross.bias, strict=True):
        x = x0 * (x @ weight)[:, None] + bias + x
    torch.testing.assert_close(cross(x0), x)


def test_gated_layers_keep_of_each_cross_what_the_gate_lets_through():
    torch.manual_seed(0)
    cross, x = GatedCross(6, 3), torch.randn(5, 6)
    for parameter in cross.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    expected = x
    for layer, bias in zip(cross.weights, cross.bias, strict=True):
        of_cross, of_gate = layer.weight[:6], layer.weight[6:]
        gate = 1 / (1 + torch.exp(-(expected @ of_gate.T)))
        expected = x * (expected @ of_cross.T + bias) * gate + expected
    torch.testing.assert_close(cross(x), expected, rtol=1e-4, atol=1e-5)
