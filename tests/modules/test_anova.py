from itertools import combinations

import pytest
import torch

from easyrec.modules.anova import Anova
from easyrec.modules.fm import FM


@pytest.mark.parametrize("order", [2, 3, 4, 5])
@pytest.mark.parametrize("shape", [(3, 6, 4), (0, 5, 2), (1, 5, 1), (2, 2, 3)], ids=str)
def test_equals_the_sum_over_all_products_of_different_fields(shape, order):
    fields = torch.randn(shape, dtype=torch.float64)
    expected = fields.new_zeros(shape[0], 1)
    for chosen in combinations(range(shape[1]), order):
        expected = expected + fields[:, list(chosen)].prod(dim=1).sum(dim=1, keepdim=True)
    torch.testing.assert_close(Anova(order)(fields), expected)


def test_order_two_is_a_factorization_machine():
    fields = torch.randn(8, 10, 6)
    torch.testing.assert_close(Anova(2)(fields), FM()(fields), rtol=1e-4, atol=1e-4)


def test_the_gradient_is_that_of_the_sum():
    fields = torch.randn(2, 5, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(Anova(3), (fields,))
