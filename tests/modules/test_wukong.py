import pytest
import torch

from easyrec.modules.wukong import WukongConfig, WukongLayer


def normalised(x, norm):
    mean, var = x.mean(-1, keepdim=True), x.var(-1, unbiased=False, keepdim=True)
    return (x - mean) / torch.sqrt(var + 1e-5) * norm.weight + norm.bias


@pytest.mark.parametrize("fields", [7, 5], ids=["projected", "kept"])
def test_a_layer_is_a_machine_beside_a_linear_map(fields):
    """Row by row, with the matrix of all dot products that the layer never makes."""
    torch.manual_seed(0)
    config = WukongConfig(fm_fields=3, linear_fields=2, rank=4, fm_hidden=[6])
    layer = WukongLayer(fields, 8, config)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    x = torch.randn(5, fields, 8)
    y, linear, *residual = torch.split(layer.maps.weight, layer.sizes)
    for row, found in zip(x, layer(x), strict=True):
        products = normalised(((row @ row.T) @ y.T).flatten(), layer.norm)
        hidden = (layer.mlp[0].weight @ products + layer.mlp[0].bias).clamp_min(0)
        crossed = (layer.last.weight @ hidden + layer.last.bias).view(3, 8)
        below = residual[0] @ row if residual else row
        expected = normalised(torch.cat([crossed, linear @ row]) + below, layer.add)
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
