import math

import pytest
import torch

from easyrec.config import TaskConfig
from easyrec.models import build
from easyrec.models._funnel import both
from easyrec.models.esmm import Config
from easyrec.train.objective import Objective

CTR = TaskConfig(name="ctr", label="click")
CVR = TaskConfig(name="cvr", label="buy", mask="click == 1", weight=0)
CTCVR = TaskConfig(name="ctcvr", label="buy")


def test_both_is_the_product_of_the_probabilities():
    a, b = torch.randn(100, dtype=torch.float64) * 3, torch.randn(100, dtype=torch.float64) * 3
    product = torch.sigmoid(a) * torch.sigmoid(b)
    torch.testing.assert_close(both(a, b), torch.log(product / (1 - product)))


def test_both_is_finite_where_probabilities_are_not_told_from_0_and_1():
    a, b = torch.tensor([40.0, -80.0, 60.0, -200.0]), torch.tensor([40.0, -80.0, -60.0, 200.0])
    expected = torch.tensor([40 - math.log(2), -160.0, -60.0, -200.0])
    torch.testing.assert_close(both(a, b), expected)


def test_the_loss_is_that_of_clicks_and_of_buys_over_all_rows(case):
    made = case("esmm", tower=[4])
    model, x = build(made.config, made.plan, [CTR, CVR, CTCVR]), made.inputs(4)
    click, buy = torch.tensor([1.0, 0, 1, 0]), torch.tensor([1.0, 0, 0, 0])
    logits = model(x)
    flat = torch.cat([x.tensors["emb:deep"], x.tensors["dense:deep"]], 1)
    chances = []
    for tower, vector in zip(model.towers.mlps, model.logits.vectors, strict=True):
        hidden = (flat @ tower[0].weight.T + tower[0].bias).clamp_min(0)
        chances.append(torch.sigmoid((hidden @ vector.weight.T + vector.bias)[:, 0]))
    p, q = chances[0], chances[0] * chances[1]
    by_hand = -(p[0].log() + (1 - p[1]).log() + p[2].log() + (1 - p[3]).log()) / 4
    by_hand = by_hand - (q[0].log() + (1 - q[1]).log() + (1 - q[2]).log() + (1 - q[3]).log()) / 4
    loss = Objective([CTR, CVR, CTCVR])(logits, {"click": click, "buy": buy}, None)
    torch.testing.assert_close(loss, by_hand, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(torch.sigmoid(logits["cvr"]), chances[1], rtol=1e-5, atol=1e-6)


def test_roles_may_be_named_in_any_order():
    named = Config(click="ctr", conversion="cvr")
    assert vars(named.roles([CTCVR, CVR, CTR])) == {"click": "ctr", "conversion": "cvr", "both": "ctcvr"}
    assert list(named.unfit([CTCVR, CVR, CTR])) == []
    assert vars(Config().roles([CTR, CVR, CTCVR])) == {"click": "ctr", "conversion": "cvr", "both": "ctcvr"}


@pytest.mark.parametrize(
    ("keys", "tasks", "where", "message"),
    [
        ({}, [CTR, CTCVR], "model.tasks", "there are 2; e.g."),
        ({"click": "ctrr"}, [CTR, CVR, CTCVR], "model.click", "no task is called 'ctrr'; did you mean 'ctr'?"),
        ({"click": "ctr", "both": "ctr"}, [CTR, CVR, CTCVR], "model", "but these are: ctr, ctr"),
        (
            {},
            [CTR, CVR.model_copy(update={"weight": 0.5, "model_fields_set": {"weight"}}), CTCVR],
            "model.tasks.1.weight",
            "set its weight to 0",
        ),
        ({}, [CTR, TaskConfig(name="cvr", label="buy", weight=0), CTCVR], "model.tasks.1", 'mask: "click == 1"'),
        (
            {},
            [CTR, CVR, TaskConfig(name="ctcvr", label="buy", mask="click == 1")],
            "model.tasks.2.mask",
            "take the mask away",
        ),
        ({}, [CTR, CVR, TaskConfig(name="ctcvr", label="click")], "model.tasks.2.label", "make it 'buy'"),
        (
            {},
            [TaskConfig(name="ctr", label="click", type="regression"), CVR, CTCVR],
            "model.tasks.0.type",
            "make it binary",
        ),
        ({}, [TaskConfig(name="ctr", label="click", loss="focal"), CVR, CTCVR], "model.tasks.0.loss", "the loss bce"),
    ],
    ids=["two", "unknown", "same", "weight", "no-mask", "mask", "label", "regression", "loss"],
)
def test_other_tasks_are_refused_with_the_remedy(keys, tasks, where, message):
    (problem,) = Config(**keys).unfit(tasks)
    assert problem.where == where
    assert message in problem.message
