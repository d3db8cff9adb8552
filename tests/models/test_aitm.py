import pytest
import torch

from easyrec.config import TaskConfig
from easyrec.models import build
from easyrec.models.aitm import Config

TASKS = [TaskConfig(name=name, label=name) for name in ("click", "cart", "buy")]


def affine(layer, x):
    return x @ layer.weight.T + layer.bias


def test_a_chain_of_transfers_equals_the_formula(case):
    made = case("aitm", tower=[5], towers={"buy": [6]}, transfer_dim=4)
    model, x = build(made.config, made.plan, TASKS), made.inputs(5)
    flat = torch.cat([x.tensors["emb:deep"], x.tensors["dense:deep"]], 1)
    q = [affine(mlp[0], flat).clamp_min(0) for mlp in model.towers.mlps]
    z = [q[0]]
    for index, step in enumerate(model.transfers):
        rows = []
        for row in range(5):
            u = [affine(step.passed, z[-1][row]).clamp_min(0), affine(step.own, q[index + 1][row])]
            scores = torch.stack([affine(step.key, v) @ affine(step.query, v) / 4**0.5 for v in u])
            shares = torch.softmax(scores, 0)
            rows.append(sum(a * affine(step.value, v) for a, v in zip(shares, u, strict=True)))
        z.append(torch.stack(rows))
    for h, vector, logit in zip(z, model.logits.vectors, model(x).values(), strict=True):
        torch.testing.assert_close(logit, affine(vector, h)[:, 0], rtol=1e-4, atol=1e-5)


def test_the_calibrator_counts_a_later_event_that_is_more_probable(case):
    made = case("aitm", calibrator=0.5)
    model = build(made.config, made.plan, TASKS)
    chances = {"click": [0.5, 0.2], "cart": [0.4, 0.5], "buy": [0.6, 0.1]}
    outputs = {name: torch.logit(torch.tensor(p)) for name, p in chances.items()}
    (loss,) = model.auxiliary(outputs, {}, None).values()
    assert float(loss) == pytest.approx(0.5 * (0.2 + 0.3) / 2)
    (loss,) = model.auxiliary(outputs, {}, torch.tensor([3.0, 1.0])).values()
    assert float(loss) == pytest.approx(0.5 * (3 * 0.2 + 0.3) / 4)


@pytest.mark.parametrize(
    ("tasks", "where", "message"),
    [
        (TASKS[:1], "model.tasks", "needs two tasks or more, e.g.\ntasks: [{name: click"),
        (
            [TASKS[0], TaskConfig(name="price", label="price", type="regression")],
            "model.tasks.1.type",
            "make it binary",
        ),
        (
            [TASKS[0], TaskConfig(name="buy", label="buy", mask="click == 1")],
            "model.tasks.1.mask",
            "take the mask away",
        ),
    ],
    ids=["one", "regression", "mask"],
)
def test_other_tasks_are_refused_with_the_remedy(tasks, where, message):
    (problem,) = Config().unfit(tasks)
    assert problem.where == where
    assert message in problem.message
