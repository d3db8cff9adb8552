from itertools import combinations

import pytest
import torch

from easyrec.modules.pairs import FieldAwareProducts, InnerProducts, OuterProducts, Products, WeightedPairs

SHAPES = [(3, 4, 5), (5, 2, 8), (0, 3, 4), (1, 10, 1), (2, 26, 3)]


def matrix(weight, kind, dim):
    """M_ij of one pair."""
    return {
        "scalar": lambda: weight * torch.eye(dim, dtype=weight.dtype),
        "vector": lambda: torch.diag(weight),
        "matrix": lambda: weight,
    }[kind]()


@pytest.mark.parametrize("kind", ["scalar", "vector", "matrix"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_weighted_pairs_equal_the_sum_of_bilinear_forms(shape, kind):
    torch.manual_seed(0)
    pairs, fields = WeightedPairs(*shape[1:], kind).double(), torch.randn(shape, dtype=torch.float64)
    expected = torch.zeros(shape[0], 1, dtype=torch.float64)
    for row in range(shape[0]):
        for weight, (i, j) in zip(pairs.weight, combinations(range(shape[1]), 2), strict=True):
            expected[row] += fields[row, i] @ matrix(weight, kind, shape[2]) @ fields[row, j]
    torch.testing.assert_close(pairs(fields), expected)


@pytest.mark.parametrize(("kind", "count"), [("scalar", 45), ("vector", 45 * 8), ("matrix", 45 * 64)])
def test_each_pair_has_weights_of_its_own(kind, count):
    assert sum(p.numel() for p in WeightedPairs(10, 8, kind).parameters()) == count


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_products_of_all_pairs(shape):
    fields = torch.randn(shape)
    expected = torch.stack([fields[:, i] * fields[:, j] for i, j in combinations(range(shape[1]), 2)], 1)
    assert torch.equal(Products(shape[1])(fields), expected)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_inner_products_of_all_pairs(shape):
    fields = torch.randn(shape)
    expected = torch.stack([(fields[:, i] * fields[:, j]).sum(1) for i, j in combinations(range(shape[1]), 2)], 1)
    torch.testing.assert_close(InnerProducts(shape[1])(fields), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_outer_products_sum_over_all_ordered_pairs(shape):
    fields = torch.randn(shape, dtype=torch.float64)
    expected = torch.zeros(shape[0], shape[2], shape[2], dtype=torch.float64)
    for i in range(shape[1]):
        for j in range(shape[1]):
            expected += fields[:, i, :, None] * fields[:, j, None, :]
    rows, columns = torch.triu_indices(shape[2], shape[2])
    torch.testing.assert_close(OuterProducts(shape[2])(fields), expected[:, rows, columns])


def field_aware(paired):
    """<v_ij, v_ji> of i < j; field i has no embedding for itself, so those of later fields stand one place earlier."""
    count = paired.shape[1]
    return torch.stack([(paired[:, i, j - 1] * paired[:, j, i]).sum(1) for i, j in combinations(range(count), 2)], 1)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_field_aware_products_take_the_embedding_for_the_other_field(shape, training):
    rows, count, dim = shape
    paired = torch.randn(rows, count, count - 1, dim, dtype=torch.float64, requires_grad=True)
    twin = paired.detach().clone().requires_grad_()
    products, expected = FieldAwareProducts(count).train(training)(paired), field_aware(twin)
    torch.testing.assert_close(products, expected)
    gradient = torch.randn_like(expected)
    products.backward(gradient)
    expected.backward(gradient)
    torch.testing.assert_close(paired.grad, twin.grad)
