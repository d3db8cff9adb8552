import pytest
import torch

from easyrec.config import TaskConfig
from easyrec.models import build
from easyrec.models.dbmtl import Config

TASKS = [TaskConfig(name=name, label=name) for name in ("buy", "click", "cart")]


def layer(linear, x):
    return (x @ linear.weight.T + linear.bias).clamp_min(0)


@pytest.mark.parametrize("experts", [0, 3], ids=["no-experts", "experts"])
def test_a_task_reads_the_towers_that_it_depends_on(case, experts):
    keys = {"bottom": [6], "tower": [4], "towers": {"cart": [3]}, "relation": [2], "experts": experts, "expert": [5]}
    made = case("dbmtl", relations={"buy": ["cart", "click"], "cart": ["click"]}, **keys)
    model, x = build(made.config, made.plan, TASKS), made.inputs(5)
    shared = layer(model.bottom[0], torch.cat([x.tensors["emb:deep"], x.tensors["dense:deep"]], 1))
    reads = [shared] * 3
    if experts:
        stack, scores = model.experts.linears[0], model.gate.scores
        outputs = [(shared @ stack.weight[e].T + stack.bias[e]).clamp_min(0) for e in range(experts)]
        shares = [torch.softmax(shared @ scores.weight[t].T + scores.bias[t], 1) for t in range(3)]
        reads = [sum(share[:, e, None] * outputs[e] for e in range(experts)) for share in shares]
    buy, click, cart = (layer(mlp[0], r) for mlp, r in zip(model.towers.mlps, reads, strict=True))
    cart = layer(model.relations["cart"][0], torch.cat([cart, click], 1))
    buy = layer(model.relations["buy"][0], torch.cat([buy, cart, click], 1))
    logits = model(x)
    assert list(logits) == ["buy", "click", "cart"]
    for h, vector, logit in zip((buy, click, cart), model.logits.vectors, logits.values(), strict=True):
        torch.testing.assert_close(logit, (h @ vector.weight.T + vector.bias)[:, 0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("relations", "where", "message"),
    [
        ({"bui": ["click"]}, "model.relations.bui", "no task is called 'bui'; did you mean 'buy'?"),
        ({"buy": ["cart", "clack"]}, "model.relations.buy.1", "did you mean 'click'?"),
        ({"buy": ["buy"]}, "model.relations", "through each other: buy"),
        ({"buy": ["click"], "click": ["cart"], "cart": ["buy"]}, "model.relations", "buy, click, cart"),
    ],
    ids=["unknown", "unknown-other", "itself", "circle"],
)
def test_impossible_relations_are_told(relations, where, message):
    (problem,) = Config(relations=relations).unfit(TASKS)
    assert problem.where == where
    assert message in problem.message
