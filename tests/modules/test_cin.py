import pytest
import torch
from pydantic import ValidationError

from easyrec.modules.cin import CIN, CINConfig


def explicit(cin, fields):
    """The maps of every layer by the sum over all pairs of fields, dimension by dimension; then their sums."""
    x, sums = fields, []
    for layer, passed in zip(cin.layers, cin.passed, strict=True):
        pairs = torch.stack(
            [fields[:, i] * x[:, j] for i in range(fields.shape[1]) for j in range(x.shape[1])], dim=1
        )  # (B, F * before, D)
        maps = torch.stack(
            [
                sum(w * pairs[:, p] for p, w in enumerate(row)) + b
                for row, b in zip(layer.weight, layer.bias, strict=True)
            ],
            dim=1,
        )
        sums.append((maps[:, passed:] if cin.split else maps).sum(2))
        x = maps[:, :passed]
    return torch.cat(sums, dim=1)


@pytest.mark.parametrize("units", [[3], [4, 3], [4, 2, 3]], ids=str)
@pytest.mark.parametrize("split", [False, True], ids=["all", "halves"])
def test_equals_the_sum_over_pairs(units, split):
    torch.manual_seed(0)
    cin, fields = CIN(4, CINConfig(cin_units=units, split_half=split)), torch.randn(5, 4, 3)
    for parameter in cin.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    output = cin(fields)
    assert output.shape == (5, cin.out)
    torch.testing.assert_close(output, explicit(cin, fields), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("split", [False, True], ids=["all", "halves"])
def test_gradients_equal_those_of_the_sum_over_pairs(split):
    torch.manual_seed(0)
    cin = CIN(3, CINConfig(cin_units=[4, 2, 2], split_half=split)).double()
    fields = torch.randn(4, 3, 5, dtype=torch.float64, requires_grad=True)
    inputs = [fields, *cin.parameters()]
    scale = torch.randn(4, cin.out, dtype=torch.float64)
    got = torch.autograd.grad((cin(fields) * scale).sum(), inputs)
    wanted = torch.autograd.grad((explicit(cin, fields) * scale).sum(), inputs)
    for a, b in zip(got, wanted, strict=True):
        torch.testing.assert_close(a, b)


def test_layer_l_makes_crosses_of_degree_l_plus_one():
    cin = CIN(3, CINConfig(cin_units=[2, 2])).double()
    fields = torch.rand(2, 3, 4, dtype=torch.float64)
    # A polynomial of degree 3 in t: the fourth difference of its values at 5 points is 0, the third is not.
    values = torch.stack([cin(t * fields)[:, 2:] for t in range(5)])
    assert values.diff(4, dim=0).abs().max() < 1e-8
    assert values.diff(3, dim=0).abs().max() > 1e-3


def test_halves_of_odd_layers_are_refused():
    with pytest.raises(ValidationError, match="one is 5"):
        CINConfig(cin_units=[5, 4], split_half=True)
    CINConfig(cin_units=[4, 5], split_half=True)
