import pytest
import torch

from easyrec.modules.self_product import SelfProduct


@pytest.mark.parametrize("values", ["weights", "products"])
def test_equals_the_sum_over_pairs(values):
    torch.manual_seed(0)
    layer, fields = SelfProduct(3, 4, values), torch.randn(5, 3, 4)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter)
    key, kept = layer.maps.weight.chunk(2)
    found = layer(fields)
    for n in range(3):
        expected = fields[:, n] @ kept.T
        for m in range(3):
            score = (fields[:, n] * (fields[:, m] @ key.T)).sum(1, keepdim=True)
            expected = expected + score * (fields[:, n] * fields[:, m] if values == "products" else layer.weights[n, m])
        torch.testing.assert_close(found[:, n], expected, rtol=1e-4, atol=1e-4)
