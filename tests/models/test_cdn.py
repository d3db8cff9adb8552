import pytest
import torch

from easyrec.config import TaskConfig
from easyrec.errors import ConfigError
from easyrec.models import build

GROUPS = {"user": ["user"], "memory": ["item"], "content": ["cate", "size"], "frequency": ["price", "size"]}
RARE = {"feature": "price", "power": 0.5, "weight": 2.0, "share": 0.25}


def made(case, tasks, **keys):
    torch.manual_seed(0)
    found = case("cdn", groups=GROUPS, dim=3, memory_experts=2, expert=[5], user=[4], **keys)
    return found, build(found.config, found.plan, tasks)


def vectors(x, layers, last, start=0):
    """The output of each expert, one by one."""
    found = []
    for e in range(layers.number):
        hidden = (x @ layers.linears[0].weight[e].T + layers.linears[0].bias[e]).clamp_min(0)
        found.append(hidden @ last.weight[start + e].T + last.bias[start + e])
    return found


def sides(model, x):
    """The vectors of the user's branches, and of the item."""
    t = x.tensors
    content = torch.cat([t["emb:content"], t["dense:content"]], 1)
    experts = vectors(t["emb:memory"], model.memory, model.vectors)
    experts += vectors(content, model.content, model.vectors, 2)
    scores = t["dense:frequency"] @ model.gate.scores.weight[0].T + model.gate.scores.bias[0]
    shares = torch.exp(scores) / torch.exp(scores).sum(1, keepdim=True)
    item = sum(shares[:, e : e + 1] * expert for e, expert in enumerate(experts))
    return vectors(t["emb:user"], model.user, model.users), item


def test_experts_of_the_item_are_mixed_by_its_frequency(case, task):
    found, model = made(case, [task])
    x = found.inputs(5)
    (user,), item = sides(model, x)
    expected = (user * item) @ model.head.vector.weight[0] + model.head.bias
    torch.testing.assert_close(model(x)["logit"], expected, rtol=1e-4, atol=1e-5)
    assert model.auxiliary(model(x), {"click": torch.ones(5)}, None) == {}


def test_the_second_branch_learns_rows_of_rare_items_above_all(case, task):
    found, model = made(case, [task], rebalance=RARE)
    x = found.inputs(5)
    (main, tail), item = sides(model, x)
    w, b = model.head.vector.weight[0], model.head.bias
    outputs = model(x)
    torch.testing.assert_close(outputs["logit"], ((0.75 * main + 0.25 * tail) * item) @ w + b, rtol=1e-4, atol=1e-5)
    labels, weights = torch.tensor([1.0, 0, 1, 1, 0]), torch.tensor([1.0, 2, 0, 1, 1])
    probability = torch.sigmoid((tail * item) @ w + b)
    loss = -(labels * probability.log() + (1 - labels) * (1 - probability).log())
    counted = weights * torch.exp(-0.5 * x.tensors["dense:frequency"][:, 0])
    expected = 2.0 * (loss * counted).sum() / counted.sum()
    torch.testing.assert_close(model.auxiliary(outputs, {"click": labels}, weights)["rebalance"], expected)
    assert list(model.eval()(x)) == ["logit"]


def test_masks_and_weights_of_tasks_hold_for_the_branch(case):
    tasks = [TaskConfig(name="ctr", label="click"), TaskConfig(name="cvr", label="buy", mask="click == 1", weight=0.5)]
    found, model = made(case, tasks, rebalance=RARE)
    x, labels = found.inputs(5), {"click": torch.tensor([1.0, 0, 1, 0, 0]), "buy": torch.tensor([1.0, 1, 0, 0, 1])}
    outputs = model(x)
    both = model.auxiliary(outputs, labels, None)["rebalance"]
    rows = torch.tensor([0, 2])
    part = {name: value[rows] for name, value in outputs.items()}
    label = {name: value[rows] for name, value in labels.items()}
    ctr, cvr = model.losses
    expected = 2.0 * (
        ctr(outputs["tail/ctr"], labels["click"], outputs["rarity"])
        + 0.5 * cvr(part["tail/cvr"], label["buy"], part["rarity"])
    )
    torch.testing.assert_close(both, expected)
    both.backward()
    assert (model.users.weight.grad[1] != 0).any()
    assert not model.users.weight.grad[0].any()


@pytest.mark.parametrize("feature", ["prize", "size", "user"])
def test_the_frequency_must_be_one_number_of_its_group(case, task, feature):
    with pytest.raises(ConfigError) as caught:
        made(case, [task], rebalance={"feature": feature})
    ((problem),) = caught.value.problems
    assert problem.where == "model.rebalance.feature"
    assert f"'{feature}' is no single number among the dense inputs of 'frequency'" in problem.message
