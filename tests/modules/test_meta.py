import torch
import torch.nn.functional as F

from easyrec.modules.meta import MetaAttention, MetaLinear, MetaTower


def made(layer, s):
    """Weight (width, units) and bias that a scenario makes, one by one."""
    width, units = layer.shape
    flat = layer.weight.weight @ s + layer.weight.bias
    return flat.view(width, units), layer.bias.weight @ s + layer.bias.bias


def test_a_scenario_makes_the_weights():
    layer, x, s = MetaLinear(3, 5, 4), torch.randn(6, 2, 5), torch.randn(6, 3)
    expected = []
    for row, scenario in zip(x, s, strict=True):
        weight, bias = made(layer, scenario)
        expected.append(torch.stack([h @ weight + bias for h in row]))
    torch.testing.assert_close(layer(x, s), torch.stack(expected), rtol=1e-4, atol=1e-5)


def test_meta_attention_equals_loops_over_tasks_and_experts():
    attention, tasks = MetaAttention(3, 5, 2, 4), torch.randn(2, 2)
    experts, s = torch.randn(6, 3, 5), torch.randn(6, 3)
    got = attention(experts, tasks, s)
    for row in range(6):
        (we, be), (wt, bt) = made(attention.of_experts, s[row]), made(attention.of_tasks, s[row])
        weight, bias = torch.cat([we, wt]), be + bt
        for t in range(2):
            inner = [F.leaky_relu(torch.cat([f, tasks[t]]) @ weight + bias) for f in experts[row]]
            shares = torch.softmax(torch.stack([attention.score.weight[0] @ h for h in inner]), 0)
            expected = sum(a * f for a, f in zip(shares, experts[row], strict=True))
            torch.testing.assert_close(got[row, t], expected, rtol=1e-4, atol=1e-5)


def test_a_meta_tower_adds_its_input():
    tower, x, s = MetaTower(3, 5, 2), torch.randn(6, 2, 5), torch.randn(6, 3)
    h = x
    for layer in tower.layers:
        h = F.leaky_relu(layer(h, s) + h)
    torch.testing.assert_close(tower(x, s), h)
