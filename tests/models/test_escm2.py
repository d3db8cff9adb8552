import math

import pytest
import torch

from easyrec.config import TaskConfig
from easyrec.models import build
from easyrec.models.escm2 import IMPUTED

CTR = TaskConfig(name="ctr", label="click")
CVR = TaskConfig(name="cvr", label="buy", mask="click == 1", weight=0)
CTCVR = TaskConfig(name="ctcvr", label="buy")
LABELS = {"click": torch.tensor([1.0, 0, 1, 1, 0]), "buy": torch.tensor([1.0, 0, 0, 1, 0])}


def sigmoid(z):
    return 1 / (1 + math.exp(-z))


def entropy(z, y):
    return -y * math.log(sigmoid(z)) - (1 - y) * math.log(1 - sigmoid(z))


@pytest.mark.parametrize("risk", ["ips", "dr"])
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
def test_the_risk_equals_a_loop_over_rows(case, risk, weighted):
    made = case("escm2", risk=risk, risk_weight=0.5, min_propensity=0.3, tower=[4])
    model, x = build(made.config, made.plan, [CTR, CVR, CTCVR]).train(), made.inputs(5)
    outputs = {name: logit.detach() for name, logit in model(x).items()}
    weights = torch.tensor([1.0, 2, 0.5, 3, 1]) if weighted else None
    total, size = 0.0, 0.0
    for row in range(5):
        w = float(weights[row]) if weighted else 1.0
        clicked, bought = float(LABELS["click"][row]), float(LABELS["buy"][row])
        propensity = max(sigmoid(float(outputs["ctr"][row])), 0.3)
        error = entropy(float(outputs["cvr"][row]), bought)
        if risk == "ips":
            value = clicked * error / propensity
        else:
            assumed = entropy(float(outputs["cvr"][row]), sigmoid(float(outputs[IMPUTED][row])))
            value = assumed + clicked * (error - assumed) / propensity + clicked * (error - assumed) ** 2 / propensity
        total, size = total + w * value, size + w
    (found,) = model.auxiliary(outputs, LABELS, weights).values()
    assert float(found) == pytest.approx(0.5 * total / size, rel=1e-5)


def gradients(model, outputs, names):
    wanted = [outputs[name] for name in names]
    (risk,) = model.auxiliary(outputs, LABELS, None).values()
    return torch.autograd.grad(risk, wanted, allow_unused=True)


@pytest.mark.parametrize("risk", ["ips", "dr"])
def test_propensities_are_not_moved(case, risk):
    made = case("escm2", risk=risk)
    model = build(made.config, made.plan, [CTR, CVR, CTCVR]).train()
    click, conversion = gradients(model, model(made.inputs(5)), ["ctr", "cvr"])
    assert click is None
    assert conversion.abs().sum() > 0


def test_a_doubly_robust_conversion_is_drawn_to_the_corrected_label(case):
    """d/dz = s(z) - r - o (y - r) / p over rows: the imputed label r, corrected where a click tells the true one."""
    made = case("escm2", risk="dr", risk_weight=1.0, min_propensity=0.01)
    model = build(made.config, made.plan, [CTR, CVR, CTCVR]).train()
    outputs = model(made.inputs(5))
    conversion, _ = gradients(model, outputs, ["cvr", IMPUTED])
    p, s, r = (torch.sigmoid(outputs[name].detach()) for name in ("ctr", "cvr", IMPUTED))
    expected = (s - r - LABELS["click"] * (LABELS["buy"] - r) / p) / 5
    torch.testing.assert_close(conversion, expected, rtol=1e-4, atol=1e-6)


def test_the_imputation_is_no_output_of_the_finished_model(case):
    made = case("escm2")
    model = build(made.config, made.plan, [CTR, CVR, CTCVR]).eval()
    assert list(model(made.inputs(2))) == ["ctr", "cvr", "ctcvr"]
