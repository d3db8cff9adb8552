import pytest
import torch
import torch.nn.functional as F

from easyrec.modules.cgc import CGC, CGCConfig
from easyrec.modules.experts import Experts, Gate, Linears, mix
from easyrec.modules.mlp import LayersConfig


def plain(experts, e, x):
    """Expert e alone, layer by layer, of relu layers."""
    for linears in experts.linears:
        x = (x @ linears.weight[e].T + linears.bias[e]).clamp_min(0)
    return x


def started(experts):
    for linears in experts.linears:
        torch.nn.init.normal_(linears.bias)
    return experts


@pytest.mark.parametrize("own", [False, True], ids=["one-input", "an-input-each"])
@pytest.mark.parametrize("rows", [0, 1, 7])
def test_experts_equal_a_loop(own, rows):
    experts = started(Experts(3, 5, LayersConfig(hidden=[6, 4])))
    x = torch.randn(rows, 3, 5) if own else torch.randn(rows, 5)
    expected = torch.stack([plain(experts, e, x[:, e] if own else x) for e in range(3)], 1)
    torch.testing.assert_close(experts(x), expected)
    assert experts.out == 4


def test_gates_scale_the_input_of_every_layer():
    experts = started(Experts(2, 5, LayersConfig(hidden=[6, 4])))
    x, gates = torch.randn(7, 5), [torch.rand(7, 2, 5), torch.rand(7, 2, 6)]
    rows = []
    for e in range(2):
        h = x
        for linears, gate in zip(experts.linears, gates, strict=True):
            h = ((h * gate[:, e]) @ linears.weight[e].T + linears.bias[e]).clamp_min(0)
        rows.append(h)
    torch.testing.assert_close(experts(x, gates), torch.stack(rows, 1))


@pytest.mark.parametrize("norm", ["layer_norm", "batch_norm"])
def test_norms_are_of_each_expert(norm):
    experts = started(Experts(3, 5, LayersConfig(hidden=[4], activation="prelu", **{norm: True}))).train()
    x, linears = torch.randn(20, 5), experts.linears[0]
    for e, got in enumerate(experts(x).unbind(1)):
        h = x @ linears.weight[e].T + linears.bias[e]
        h = F.layer_norm(h, (4,)) if norm == "layer_norm" else F.batch_norm(h, None, None, training=True)
        torch.testing.assert_close(got, torch.where(h > 0, h, 0.25 * h), rtol=1e-4, atol=1e-5)


def test_without_layers_experts_pass_the_input_on():
    x = torch.randn(7, 5)
    torch.testing.assert_close(Experts(2, 5, LayersConfig(hidden=[]))(x), torch.stack([x, x], 1))


def test_every_expert_starts_as_a_layer_of_its_own():
    torch.manual_seed(0)
    weight = Linears(40, 30, 20).weight
    assert weight.std(dim=(1, 2)).sub((2 / 50) ** 0.5).abs().max() < 0.03


def test_a_gate_shares_out_and_mix_adds_up():
    gate, x, experts = Gate(2, 5, 3), torch.randn(7, 5), torch.randn(7, 3, 4)
    for t in range(2):
        shares = torch.softmax(x @ gate.scores.weight[t].T, 1)
        expected = sum(shares[:, e, None] * experts[:, e] for e in range(3))
        torch.testing.assert_close(mix(gate(x), experts)[:, t], expected)


@pytest.mark.parametrize("first", [True, False], ids=["first-level", "later-level"])
@pytest.mark.parametrize("last", [True, False], ids=["last-level", "earlier-level"])
def test_a_level_of_ple_equals_a_loop(first, last):
    config = CGCConfig(task_experts=2, shared_experts=3, expert=[4])
    level = CGC(2, 5, config, last=last)
    started(level.experts)
    x = torch.randn(7, 5) if first else torch.randn(7, 3, 5)
    reads = [x, x, x] if first else list(x.unbind(1))  # task 0, task 1, shared
    owners = [0, 0, 1, 1, 2, 2, 2]
    experts = [plain(level.experts, e, reads[owner]) for e, owner in enumerate(owners)]
    expected = []
    for task in range(2):
        chosen = [f for f, owner in zip(experts, owners, strict=True) if owner in (task, 2)]
        shares = torch.softmax(reads[task] @ level.gate.scores.weight[task].T, 1)
        expected.append(sum(shares[:, i, None] * f for i, f in enumerate(chosen)))
    if not last:
        shares = torch.softmax(reads[2] @ level.shared.scores.weight[0].T, 1)
        expected.append(sum(shares[:, i, None] * f for i, f in enumerate(experts)))
    torch.testing.assert_close(level(x), torch.stack(expected, 1))
