import torch

from easyrec.config import TaskConfig
from easyrec.models import build

TASKS = [TaskConfig(name="click", label="click"), TaskConfig(name="buy", label="buy")]


def test_each_task_mixes_the_experts_by_its_gate(case):
    made = case("mmoe", experts=3, expert=[5], tower=[4])
    model, x = build(made.config, made.plan, TASKS), made.inputs(5)
    flat = torch.cat([x.tensors["emb:deep"], x.tensors["dense:deep"]], 1)
    layer = model.experts.linears[0]
    experts = [(flat @ layer.weight[e].T + layer.bias[e]).clamp_min(0) for e in range(3)]
    for index, logit in enumerate(model(x).values()):
        shares = torch.softmax(flat @ model.gate.scores.weight[index].T + model.gate.scores.bias[index], 1)
        mixed = sum(shares[:, e, None] * expert for e, expert in enumerate(experts))
        tower, vector = model.towers.mlps[index][0], model.logits.vectors[index]
        hidden = (mixed @ tower.weight.T + tower.bias).clamp_min(0)
        torch.testing.assert_close(logit, (hidden @ vector.weight.T + vector.bias)[:, 0], rtol=1e-4, atol=1e-5)
