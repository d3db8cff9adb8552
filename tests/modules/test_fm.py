from itertools import combinations

import pytest
import torch

from easyrec.modules.fm import FM, BiInteraction


def pairs(fields):
    zero = 0 * fields.sum((1, 2))[:, None]
    return sum(((fields[:, i] * fields[:, j]).sum(1, True) for i, j in combinations(range(fields.shape[1]), 2)), zero)


SHAPES = [(3, 4, 5), (2, 39, 16), (5, 1, 8), (0, 3, 4), (1, 2, 1), (2, 3, 63), (2, 3, 64), (2, 3, 130)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_equals_the_sum_over_pairs(shape):
    fields = torch.randn(shape, dtype=torch.float64)
    torch.testing.assert_close(FM()(fields.float()), pairs(fields).float(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_gradient_equals_that_of_the_sum_over_pairs(shape):
    fields, scale = torch.randn(shape), torch.randn(shape[0], 1)
    first, second = fields.clone().requires_grad_(), fields.clone().requires_grad_()
    FM()(first).backward(scale)
    (pairs(second) * scale).sum().backward()
    torch.testing.assert_close(first.grad, second.grad, rtol=1e-4, atol=1e-4)


def test_a_view_of_a_wider_tensor():
    wide = torch.randn(6, 30, requires_grad=True)
    fields = wide[:, 3:23].unflatten(1, (4, 5))
    output = FM()(fields)
    torch.testing.assert_close(output, pairs(fields.detach()), rtol=1e-4, atol=1e-4)
    output.sum().backward()
    assert wide.grad[:, :3].abs().sum() == wide.grad[:, 23:].abs().sum() == 0


def test_other_dtypes_take_the_plain_form():
    fields = torch.randn(3, 4, 5, dtype=torch.float64)
    torch.testing.assert_close(FM()(fields), pairs(fields).double())


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_bi_interaction_equals_the_sum_of_products_of_pairs(shape):
    fields = torch.randn(shape, dtype=torch.float64)
    expected = fields.new_zeros(shape[0], shape[2])
    for i, j in combinations(range(shape[1]), 2):
        expected = expected + fields[:, i] * fields[:, j]
    torch.testing.assert_close(BiInteraction()(fields), expected)
