import math

import pytest
import torch

from easyrec.config.train import GradClip
from easyrec.train.clipping import clip


@pytest.mark.parametrize("bound", [0.1, 1.0, 1e6], ids=["far-over", "over", "under"])
def test_norm_equals_torch_on_one_dense_model(bound):
    dense = [torch.randn(4, 3), torch.randn(5)]
    table = torch.randn(20, 2)
    oracle = [torch.nn.Parameter(torch.zeros_like(t)) for t in (*dense, table)]
    for parameter, gradient in zip(oracle, (*dense, table), strict=True):
        parameter.grad = gradient.clone()
    torch.nn.utils.clip_grad_norm_(oracle, bound)
    factor = clip(dense, float(table.double().square().sum()), GradClip(norm=bound))
    for ours, theirs in zip((*dense, table * factor), oracle, strict=True):
        torch.testing.assert_close(ours, theirs.grad)


def test_value_bounds_each_element_of_the_dense_gradients_alone():
    gradient = torch.tensor([-3.0, 0.2, 5.0])
    assert clip([gradient], 100.0, GradClip(value=0.5)) == 1.0
    assert gradient.tolist() == pytest.approx([-0.5, 0.2, 0.5])


def test_value_comes_before_norm():
    gradient = torch.tensor([3.0, 4.0])
    clip([gradient], 0.0, GradClip(value=1.0, norm=1.0))
    assert gradient.tolist() == pytest.approx([1 / math.sqrt(2)] * 2, rel=1e-5)


def test_tables_alone():
    assert clip([], 16.0, GradClip(norm=1.0)) == pytest.approx(0.25, rel=1e-5)


def test_a_zero_gradient_stays():
    assert clip([torch.zeros(3)], 0.0, GradClip(norm=1.0)) == 1.0
