from itertools import combinations

import pytest
import torch

from easyrec.modules.bilinear import Bilinear


@pytest.mark.parametrize("inner", [False, True], ids=["products", "dots"])
@pytest.mark.parametrize(("kind", "matrices"), [("all", 1), ("each", 3), ("interaction", 6)])
def test_equals_the_loop_over_pairs(kind, matrices, inner):
    torch.manual_seed(0)
    layer, fields = Bilinear(4, 3, kind, inner=inner), torch.randn(5, 4, 3)
    assert layer.weight.shape == (matrices, 3, 3)
    output = layer(fields)
    for row in range(5):
        for pair, (i, j) in enumerate(combinations(range(4), 2)):
            matrix = layer.weight[{"all": 0, "each": i, "interaction": pair}[kind]]
            product = (fields[row, i] @ matrix) * fields[row, j]
            torch.testing.assert_close(output[row, pair], product.sum() if inner else product, rtol=1e-4, atol=1e-5)
