import pytest
import torch
from pydantic import ValidationError

from easyrec.config import TaskConfig
from easyrec.models import build

TASKS = [TaskConfig(name="click", label="click"), TaskConfig(name="buy", label="buy")]


def test_two_levels_equal_loops_over_experts(case):
    made = case("ple", levels=2, task_experts=2, shared_experts=1, expert=[5], tower=[4])
    model, x = build(made.config, made.plan, TASKS), made.inputs(5)
    flat = torch.cat([x.tensors["emb:deep"], x.tensors["dense:deep"]], 1)
    owners = [0, 0, 1, 1, 2]  # 2: shared
    reads = [flat, flat, flat]
    for number, level in enumerate(model.levels):
        layer = level.experts.linears[0]
        experts = [(reads[owner] @ layer.weight[e].T + layer.bias[e]).clamp_min(0) for e, owner in enumerate(owners)]
        following = []
        for reader in range(3 - number):
            gate = level.shared.scores if reader == 2 else level.gate.scores
            row = 0 if reader == 2 else reader
            shares = torch.softmax(reads[reader] @ gate.weight[row].T + gate.bias[row], 1)
            chosen = [f for f, owner in zip(experts, owners, strict=True) if reader == 2 or owner in (reader, 2)]
            following.append(sum(shares[:, i, None] * f for i, f in enumerate(chosen)))
        reads = following
    for index, logit in enumerate(model(x).values()):
        tower, vector = model.towers.mlps[index][0], model.logits.vectors[index]
        hidden = (reads[index] @ tower.weight.T + tower.bias).clamp_min(0)
        torch.testing.assert_close(logit, (hidden @ vector.weight.T + vector.bias)[:, 0], rtol=1e-4, atol=1e-5)


def test_levels_may_differ(case):
    made = case("ple", levels=[{"expert": [6], "task_experts": 1}, {"shared_experts": 3}], expert=[5], tower=[4])
    model = build(made.config, made.plan, TASKS).eval()
    first, second = (level.experts for level in model.levels)
    assert (first.number, first.out) == (1 + 1 + 2, 6)
    assert (second.number, second.out, second.widths[0]) == (2 + 2 + 3, 5, 6)
    assert list(model(made.inputs(2))) == ["click", "buy"]


@pytest.mark.parametrize("levels", [0, [], "two"])
def test_levels_are_a_number_or_a_list(case, levels):
    with pytest.raises(ValidationError):
        case("ple", levels=levels)
