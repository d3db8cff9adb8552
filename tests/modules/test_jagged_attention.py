import math

import pytest
import torch

from easyrec.modules import alike as alike_rows
from easyrec.modules import jagged_attention
from easyrec.modules.alike import alike
from easyrec.modules.jagged_attention import attend

CASES = {
    "none": [],
    "empty-rows": [0, 0],
    "one": [1],
    "equal": [4, 4, 4],
    "short": [3, 0, 5, 1],
    "of-all-lengths": [40, 1, 0, 39, 7, 8, 31, 2, 40, 16, 12],
}


def inputs(lengths, heads=2, dim=3):
    drawn = torch.Generator().manual_seed(len(lengths))
    offsets = torch.tensor([0, *torch.tensor(lengths, dtype=torch.int64).cumsum(0).tolist()])
    return torch.randn(sum(lengths), 3, heads, dim, generator=drawn, requires_grad=True), offsets


def looped(projected, offsets, causal):
    """Step by step: each row, head and query by itself."""
    result = []
    for start, stop in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
        for step in range(start, stop):
            end = step + 1 if causal else stop
            heads = []
            for head in range(projected.shape[2]):
                q, k, v = projected[step, 0, head], projected[start:end, 1, head], projected[start:end, 2, head]
                heads.append(torch.softmax(k @ q / math.sqrt(projected.shape[3]), 0) @ v)
            result.append(torch.stack(heads))
    return torch.stack(result) if result else projected[:, 0]


@pytest.mark.parametrize("lengths", CASES.values(), ids=CASES)
@pytest.mark.parametrize("form", ["in-groups", "as-exported"])
@pytest.mark.parametrize("causal", [False, True], ids=["all", "causal"])
def test_equals_a_loop_over_steps_with_gradients(lengths, form, causal, monkeypatch):
    monkeypatch.setattr(alike_rows, "ROWS", 4)
    projected, offsets = inputs(lengths)
    expected = looped(projected, offsets, causal)
    function = attend if form == "in-groups" else jagged_attention._captured
    found = function(projected, offsets, causal=causal)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
    if len(projected):
        weights = torch.randn_like(expected)
        grads = [torch.autograd.grad((out * weights).sum(), projected)[0] for out in (found, expected)]
        torch.testing.assert_close(*grads, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("device", "most", "padded"), [("cpu", 20, 1.12), ("meta", 8, 1.5)], ids=["cpu", "other"])
def test_groups_hold_every_row_once_and_differ_little(device, most, padded):
    lengths = sorted(torch.randint(0, 300, (500,), generator=torch.Generator().manual_seed(0)).tolist(), reverse=True)
    groups = list(alike(lengths, torch.device(device)))
    assert [first for first, *_ in groups[1:]] == [last for _, last, _ in groups[:-1]]
    assert (groups[0][0], groups[-1][1]) == (0, 500)
    assert sum(steps for *_, steps in groups) == sum(lengths)
    padding = sum((last - first) * lengths[first] for first, last, _ in groups) / sum(lengths)
    assert padding < padded
    assert len(groups) < most
