import torch

from easyrec.config import TaskConfig
from easyrec.models import build

TASKS = [TaskConfig(name="click", label="click"), TaskConfig(name="buy", label="buy")]


def layer(linear, x):
    return (x @ linear.weight.T + linear.bias).clamp_min(0)


def test_logits_equal_the_parts_in_their_order(case):
    groups = {"deep": ["user", "item", "price"], "domain": ["cate"]}
    made = case("m2m", groups=groups, experts=3, expert=[5], scenario=[3], task_dim=2, attention_dim=4)
    model, x = build(made.config, made.plan, TASKS), made.inputs(5)
    flat = torch.cat([x.tensors["emb:deep"], x.tensors["dense:deep"]], 1)
    s = layer(model.scenario[0], x.tensors["emb:domain"])
    stack = model.experts.linears[0]
    experts = torch.stack([(flat @ stack.weight[e].T + stack.bias[e]).clamp_min(0) for e in range(3)], 1)
    h = model.meta(model.attention(experts, model.vectors, s), s)
    for index, logit in enumerate(model(x).values()):
        vector = model.logits.vectors[index]
        torch.testing.assert_close(logit, (h[:, index] @ vector.weight.T + vector.bias)[:, 0], rtol=1e-4, atol=1e-5)


def test_another_scenario_gives_other_logits(case):
    made = case("m2m", groups={"deep": ["user", "item"], "domain": ["cate"]})
    model, x = build(made.config, made.plan, TASKS).eval(), made.inputs(5)
    before = model(x)["click"]
    x.tensors["emb:domain"] = x.tensors["emb:domain"].flip(0)
    assert not torch.allclose(model(x)["click"], before)
