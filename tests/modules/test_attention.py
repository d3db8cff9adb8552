import math

import pytest
import torch

from easyrec.modules.attention import attention_mix, attention_weights


def whole(maps, values, residual, fields, heads, centred):
    """Softmax attention and its mix, by einsum in float64."""
    query, key = (t.unflatten(1, (heads, -1)).unflatten(0, (-1, fields)) for t in maps.chunk(2, 1))
    if centred:
        query = query - query.mean(1, keepdim=True)
    scores = torch.einsum("bihd,bjhd->bhij", query, key) / math.sqrt(query.shape[3])
    weights = torch.exp(scores) / torch.exp(scores).sum(3, keepdim=True)
    units = maps.shape[1] // 2
    parts = [t.unflatten(1, (heads, -1)).unflatten(0, (-1, fields)) for t in values.split(units, 1)]
    mixed = torch.einsum("bhij,bjhd->bihd", weights, parts[0]).flatten(2).flatten(0, 1)
    mixed = mixed + values[:, units:] if len(parts) > 1 else mixed
    return weights, mixed if residual is None else mixed + residual


CASES = [(5, 3, 2, 4), (200, 10, 4, 32), (70, 17, 1, 5), (130, 33, 3, 20), (1, 1, 1, 1), (0, 3, 2, 4)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
@pytest.mark.parametrize("centred", [False, True], ids=["", "centred"])
@pytest.mark.parametrize("added", ["none", "mapped", "residual"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_kernels_and_their_gradients_equal_the_formula(case, added, centred, dtype):
    rows, fields, heads, dim = case
    torch.manual_seed(0)
    units = heads * dim
    maps, values = torch.randn(rows * fields, 2 * units), torch.randn(rows * fields, units * (1 + (added == "mapped")))
    inputs = [maps, values, *([torch.randn(rows * fields, units)] if added == "residual" else [])]
    inputs = [t.to(dtype).requires_grad_() for t in inputs]
    exact = [t.detach().double().requires_grad_() for t in inputs]
    scale = torch.randn(rows * fields, units)
    weights = attention_weights(inputs[0], fields, heads, scale=True, centred=centred)
    mixed = attention_mix(weights, inputs[1], units, *inputs[2:])
    assert mixed.dtype == dtype
    wanted, expected = whole(exact[0], exact[1], exact[2] if added == "residual" else None, fields, heads, centred)
    got = torch.autograd.grad((mixed.double() * scale).sum(), inputs)
    true = torch.autograd.grad((expected * scale).sum(), exact)
    near = {"rtol": 1e-4, "atol": 1e-5} if dtype == torch.float32 else {"rtol": 0.02, "atol": 0.05}
    torch.testing.assert_close(weights.double(), wanted, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(mixed.double(), expected, **near)
    for a, b in zip(got, true, strict=True):
        torch.testing.assert_close(a.double(), b, **near)


def test_training_and_evaluation_give_the_same():
    torch.manual_seed(0)
    maps, values = torch.randn(60, 16), torch.randn(60, 8)
    plain = attention_mix(attention_weights(maps, 3, 2, scale=False), values, 8)
    maps.requires_grad_()
    values.requires_grad_()
    trained = attention_mix(attention_weights(maps, 3, 2, scale=False), values, 8)
    torch.testing.assert_close(trained, plain, rtol=1e-5, atol=1e-6)


def test_threads_share_the_rows(monkeypatch):
    torch.manual_seed(0)
    maps, values = torch.randn(3000, 16, requires_grad=True), torch.randn(3000, 8, requires_grad=True)
    results = []
    for threads in (1, 3):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        mixed = attention_mix(attention_weights(maps, 3, 2, scale=True), values, 8)
        results.append([mixed, *torch.autograd.grad(mixed.sum(), [maps, values])])
    for one, three in zip(*results, strict=True):
        assert torch.equal(one, three)


def test_large_scores_are_no_overflow_and_nan_stays_nan():
    maps = torch.tensor([[300.0, 300.0], [-300.0, -300.0], [0.0, 0.0]], requires_grad=True)
    weights = attention_weights(maps, 3, 1, scale=False)
    torch.testing.assert_close(weights[0, 0], torch.tensor([[1.0, 0, 0], [0, 1, 0], [1 / 3] * 3]))
    maps = torch.tensor([[float("nan"), 1.0], [1.0, 1.0]], requires_grad=True)
    assert attention_weights(maps, 2, 1, scale=False)[0, 0, 0].isnan().all()
