import pytest
import torch

from easyrec.config import TaskConfig
from easyrec.models import build
from easyrec.models.home import Config

TASKS = [TaskConfig(name=name, label=name) for name in ("view", "like", "finish", "share")]
CATEGORIES = {"watch": ["view", "finish"], "act": ["like", "share"]}


def affine(linears, index, x):
    return x @ linears.weight[index].T + linears.bias[index]


def experts_of(level, inputs):
    """Each expert of a level alone, by what it reads."""
    found = []
    for e, x in enumerate(inputs):
        gated = x * 2 * torch.sigmoid(affine(level.up, e, affine(level.down, e, x)))
        found.append(affine(level.experts.linears[0], e, gated).clamp_min(0))
    return found


def read(level, reader, about, experts, allowed, own):
    scores, selves = affine(level.gate, reader, about), affine(level.self_gate, reader, about)
    shares = torch.softmax(scores[:, allowed], 1)
    mine = torch.sigmoid(selves[:, own]) if len(own) == 1 else torch.softmax(selves[:, own], 1)
    mixed = sum(shares[:, i, None] * experts[e] for i, e in enumerate(allowed))
    return mixed + sum(mine[:, i, None] * experts[e] for i, e in enumerate(own))


@pytest.mark.parametrize("each", [1, 2], ids=["one-expert", "two-experts"])
def test_two_levels_equal_loops_over_who_may_read_whom(case, each):
    expert = {"hidden": [5], "activation": "relu", "batch_norm": False}
    made = case("home", categories=CATEGORIES, experts=each, expert=expert, fea_gate=2, tower=[])
    model, x = build(made.config, made.plan, TASKS), made.inputs(5)
    flat = torch.cat([x.tensors["emb:deep"], x.tensors["dense:deep"]], 1)

    def of(owner):  # numbers of an owner's experts
        return list(range(owner * each, (owner + 1) * each))

    first = experts_of(model.meta, [flat] * (3 * each))  # watch, act, all
    z = [read(model.meta, c, flat, first, of(c) + of(2), of(c)) for c in (0, 1)]
    z.append(read(model.meta, 2, flat, first, of(0) + of(1) + of(2), of(2)))
    category = [0, 1, 0, 1]
    sources = [0, 1, 2, *category]  # of the experts of watch, act, all, and of each task
    second = experts_of(model.level, [z[source] for source in sources for _ in range(each)])
    for t, logit in enumerate(model(x).values()):
        about = torch.cat([z[category[t]], z[2]], 1)
        h = read(model.level, t, about, second, of(category[t]) + of(2) + of(3 + t), of(3 + t))
        torch.testing.assert_close(logit, affine_last(model, t, h), rtol=1e-4, atol=1e-5)


def affine_last(model, t, h):
    vector = model.logits.vectors[t]
    return (h @ vector.weight.T + vector.bias)[:, 0]


def test_tasks_that_no_category_names_are_one_more():
    assert Config(categories={"watch": ["view"]}).categories_of(["view", "like", "share"]) == [0, 1, 1]
    assert Config().categories_of(["view", "like"]) == [0, 0]


@pytest.mark.parametrize(
    ("categories", "where", "message"),
    [
        ({"watch": ["vew"]}, "model.categories.watch.0", "no task is called 'vew'; did you mean 'view'?"),
        ({"watch": ["view"], "act": ["like", "view"]}, "model.categories.act.1", "'view' is given twice"),
    ],
    ids=["unknown", "twice"],
)
def test_impossible_categories_are_told(categories, where, message):
    (problem,) = Config(categories=categories).unfit(TASKS)
    assert problem.where == where
    assert message in problem.message
