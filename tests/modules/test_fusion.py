import pytest
import torch

from easyrec.modules.fusion import BilinearFusion


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_equals_the_sum_over_parts_and_pairs_of_units(heads):
    torch.manual_seed(0)
    fusion, x, y = BilinearFusion(8, 4, heads), torch.randn(5, 8), torch.randn(5, 4)
    wide, narrow = 8 // heads, 4 // heads
    for row in range(5):
        expected = sum(
            fusion.weight[h, i, j] * x[row, h * wide + i] * y[row, h * narrow + j]
            for h in range(heads)
            for i in range(wide)
            for j in range(narrow)
        )
        torch.testing.assert_close(fusion(x, y)[row, 0], expected, rtol=1e-4, atol=1e-5)


def test_the_sum_is_float32_under_autocast():
    fusion = BilinearFusion(64, 32, 2)
    x, y = torch.randn(3, 64), torch.randn(3, 32)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = fusion(x.bfloat16(), y.bfloat16())
    assert rounded.dtype == torch.float32
    torch.testing.assert_close(rounded, fusion(x, y), rtol=0.05, atol=0.1)
