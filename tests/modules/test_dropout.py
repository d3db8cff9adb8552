import numpy as np
import pytest
import torch

from easyrec.modules.dropout import Dropout


def expected_mask(n, seed, threshold):
    """The mask as dropout.h specifies it, in numpy."""
    with np.errstate(over="ignore"):
        counters = np.arange((n + 31) // 32 * 16, dtype=np.uint32)
        h = counters * np.uint32(0x9E3779B9) + np.uint32(seed & 0xFFFFFFFF)
        h = (h ^ (h >> np.uint32(16))) * np.uint32(0x85EBCA6B)
        h = ((h ^ (h >> np.uint32(13))) + np.uint32(seed >> 32)) * np.uint32(0xC2B2AE35)
        h ^= h >> np.uint32(16)
    blocks = h.reshape(-1, 16)
    bits = np.concatenate([blocks & np.uint32(0xFFFF), blocks >> np.uint32(16)], axis=1).reshape(-1)
    return bits[:n] >= threshold


@pytest.mark.parametrize("n", [0, 1, 31, 32, 33, 1000])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_equals_its_specification(n, dtype):
    x = torch.randn(n).to(dtype)
    torch.manual_seed(5)
    seed = int(torch.randint(2**63 - 1, ()).item())
    torch.manual_seed(5)
    output = Dropout(0.3).train()(x)
    kept = torch.from_numpy(expected_mask(n, seed, round(0.3 * 65536)))
    scale = 65536 / (65536 - round(0.3 * 65536))
    torch.testing.assert_close(output, torch.where(kept, (x.float() * scale).to(dtype), torch.zeros((), dtype=dtype)))


@pytest.mark.parametrize("probability", [0.0, 0.1, 0.5, 0.9])
def test_drops_the_stated_share_and_keeps_the_mean(probability):
    torch.manual_seed(0)
    output = Dropout(probability).train()(torch.ones(1000, 1000))
    assert (output == 0).float().mean().item() == pytest.approx(probability, abs=0.002)
    assert output.mean().item() == pytest.approx(1.0, abs=0.01)


def test_no_unit_and_no_row_is_favoured():
    torch.manual_seed(0)
    kept = (Dropout(0.5).train()(torch.ones(2048, 400)) != 0).float()
    for axis, n in ((0, 2048), (1, 400)):
        assert ((kept.mean(axis) - 0.5).abs() < 6 * (0.25 / n) ** 0.5).all()
    neighbours = ((kept[:, 1:] - 0.5) * (kept[:, :-1] - 0.5)).mean().item()
    assert abs(neighbours) < 6 * 0.25 / kept.numel() ** 0.5


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_gradient_passes_where_the_value_passed(dtype):
    x = torch.ones(7, 33, dtype=dtype, requires_grad=True)
    output = Dropout(0.4).train()(x)
    output.sum().backward()
    assert torch.equal(x.grad, output.detach())


def test_a_transposed_gradient():
    x = torch.ones(6, 35, requires_grad=True)
    output = Dropout(0.4).train()(x)
    output.backward(torch.ones(35, 6).t())
    assert torch.equal(x.grad, output.detach())


def test_same_generator_state_same_mask():
    x = torch.ones(100)
    layer = Dropout(0.5).train()
    torch.manual_seed(3)
    state = torch.get_rng_state()
    first, second = layer(x), layer(x)
    torch.set_rng_state(state)
    assert torch.equal(layer(x), first)
    assert not torch.equal(first, second)


def test_evaluation_changes_nothing():
    x = torch.randn(10)
    assert torch.equal(Dropout(0.9).eval()(x), x)


def test_a_dropped_nan_is_zero():
    x = torch.full((64,), float("nan"))
    torch.manual_seed(0)
    output = Dropout(0.5).train()(x)
    assert (output == 0).any()
    assert output.isnan().any()
