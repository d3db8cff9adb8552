import json

import numpy as np
import pytest
import torch
from torch import nn

from easyrec.batch import Embedded
from easyrec.config import TaskConfig
from easyrec.config import train as config
from easyrec.errors import ConfigError
from easyrec.train.weighting import build
from easyrec.train.weighting.mgda import shortest

KINDS = ["uncertainty", "gradnorm", "pcgrad", "mgda"]
CHOSEN = {
    "fixed": config.Fixed(),
    "uncertainty": config.Uncertainty(),
    "gradnorm": config.GradNorm(alpha=0.5, lr=0.1),
    "pcgrad": config.PCGrad(),
    "mgda": config.MGDA(),
}
TASKS = [TaskConfig(name="a", label="a"), TaskConfig(name="b", label="b", type="regression")]


class Toy(nn.Module):
    """A shared matrix over what is looked up, and a vector per task."""

    def __init__(self, tasks=2):
        super().__init__()
        self.shared = nn.Parameter(torch.randn(4, 3))
        self.alone = nn.ParameterList(nn.Parameter(torch.randn(4)) for _ in range(tasks))

    def losses(self, x):
        hidden = torch.tanh(x @ self.shared.T)
        return [((hidden @ w) - t).square().mean() for t, w in enumerate(self.alone)]


def stage(kind, tasks=TASKS, seed=0):
    """A weighting, its model, a looked-up tensor and the losses."""
    torch.manual_seed(seed)
    model = Toy(len(tasks))
    table = torch.randn(6, 3, requires_grad=True)
    x = table * 1.0  # what a lookup gives: no leaf
    losses = dict(zip([t.name for t in tasks], model.losses(x), strict=True))
    return build(CHOSEN[kind], tasks, model), model, table, x, losses


def gradient(loss, model, x):
    """Of shared parameters and what is looked up, in one vector."""
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, [model.shared, x], retain_graph=True)]).double()


def step(weighting, x, losses, extras):
    loss = weighting.total(losses, extras)
    weighting.backward(loss, losses, extras, Embedded({"emb:deep": x}, {}))
    return loss


def reached(model, table):
    return torch.cat([model.shared.grad.flatten(), table.grad.flatten()]).double()


def test_fixed_losses_are_added_up():
    weighting, model, table, x, losses = stage("fixed")
    expected = sum(gradient(loss, model, x) for loss in losses.values())
    extra = {"extra": model.shared.square().sum()}
    loss = step(weighting, x, losses, extra)
    torch.testing.assert_close(loss, losses["a"] + losses["b"] + extra["extra"])
    expected[:12] += 2 * model.shared.detach().flatten()
    torch.testing.assert_close(reached(model, table), expected, rtol=1e-5, atol=1e-6)
    assert weighting.weights() == {}


def test_uncertainty_is_the_formula_and_learns_its_noise():
    weighting, model, table, x, losses = stage("uncertainty")
    with torch.no_grad():
        weighting.log_variances.copy_(torch.tensor([0.5, -1.0]))
    wa, wb = float(np.exp(-0.5)), 0.5 * float(np.exp(1.0))
    expected = wa * gradient(losses["a"], model, x) + wb * gradient(losses["b"], model, x)
    loss = step(weighting, x, losses, {})
    assert float(loss.detach()) == pytest.approx(
        float((wa * losses["a"] + wb * losses["b"]).detach()) + (0.5 - 1.0) / 2
    )
    torch.testing.assert_close(reached(model, table), expected, rtol=1e-5, atol=1e-6)
    by_hand = torch.stack([0.5 - wa * losses["a"], 0.5 - wb * losses["b"]]).detach()
    torch.testing.assert_close(weighting.log_variances.grad, by_hand)
    assert weighting.weights() == pytest.approx({"a": wa, "b": wb})


def project(gradients, orders):
    """Algorithm 1, on the vectors themselves."""
    total = torch.zeros_like(gradients[0])
    for i, order in enumerate(orders):
        g = gradients[i].clone()
        for j in order:
            if j != i and g @ gradients[j] < 0:
                g -= (g @ gradients[j]) / (gradients[j] @ gradients[j]) * gradients[j]
        total += g
    return total


@pytest.mark.parametrize("number", [2, 4])
def test_pcgrad_projects_conflicts_away(number):
    tasks, conflicts = [TaskConfig(name=f"t{i}", label="a") for i in range(number)], 0
    for seed in range(8):
        weighting, model, table, x, losses = stage("pcgrad", tasks, seed)
        gradients = [gradient(loss, model, x) for loss in losses.values()]
        conflicts += any(a @ b < 0 for a in gradients for b in gradients)
        torch.manual_seed(7)
        orders = [torch.randperm(number).tolist() for _ in range(number)]
        torch.manual_seed(7)
        step(weighting, x, losses, {})
        torch.testing.assert_close(reached(model, table), project(gradients, orders), rtol=1e-4, atol=1e-5)
    assert conflicts > 2


def test_own_parameters_follow_their_own_loss():
    for kind in ("pcgrad", "mgda"):
        weighting, model, _, x, losses = stage(kind, seed=3)
        own = [torch.autograd.grad(losses[n], w, retain_graph=True)[0] for n, w in zip("ab", model.alone, strict=True)]
        step(weighting, x, losses, {})
        for w, expected in zip(model.alone, own, strict=True):
            torch.testing.assert_close(w.grad, expected)


def test_losses_of_the_models_own_are_not_weighed():
    for kind in ("gradnorm", "pcgrad", "mgda"):
        grads = []
        for with_extra in (False, True):
            weighting, _, table, x, losses = stage(kind, seed=5)
            step(weighting, x, losses, {"extra": (x * 3).sum()} if with_extra else {})
            grads.append(table.grad)
        torch.testing.assert_close(grads[1] - grads[0], torch.full((6, 3), 3.0))


@pytest.mark.parametrize(
    ("one", "two", "expected"),
    [
        ((1.0, 0.0), (0.0, 1.0), (0.5, 0.5)),
        ((1.0, 0.0), (2.0, 1.0), (1.0, 0.0)),  # the shorter one is the shortest mixture
        ((3.0, 0.0), (1.0, 0.0), (0.0, 1.0)),
        ((1.0, 0.0), (-1.0, 0.0), (0.5, 0.5)),
        ((2.0, 0.0), (0.0, 1.0), (0.2, 0.8)),
    ],
)
def test_mgda_of_two_tasks_is_the_closed_form(one, two, expected):
    """a = ((g2 - g1) . g2) / |g1 - g2|^2, cut to [0, 1]."""
    g1, g2 = torch.tensor(one).double(), torch.tensor(two).double()
    a = float(((g2 - g1) @ g2 / (g1 - g2).square().sum()).clamp(0, 1))
    assert (a, 1 - a) == pytest.approx(expected)
    gradients = torch.stack([g1, g2])
    torch.testing.assert_close(shortest(gradients @ gradients.T), torch.tensor(expected).double(), rtol=1e-6, atol=1e-6)


def test_mgda_of_many_tasks_is_near_the_best_of_a_grid():
    torch.manual_seed(1)
    gradients = torch.randn(3, 10).double() + 0.5
    products = gradients @ gradients.T
    a = shortest(products)
    assert float(a.sum()) == pytest.approx(1)
    assert (a >= 0).all()
    grid = np.linspace(0, 1, 101)
    best = min(
        float(v @ products @ v)
        for p in grid
        for q in grid
        if p + q <= 1
        for v in [torch.tensor([p, q, 1 - p - q]).double()]
    )
    assert float(a @ products @ a) <= best + 1e-3


def test_mgda_moves_along_the_mixture():
    weighting, model, table, x, losses = stage("mgda", seed=2)
    g1, g2 = (gradient(loss, model, x) for loss in losses.values())
    a = float(((g2 - g1) @ g2 / (g1 - g2).square().sum()).clamp(0, 1))
    step(weighting, x, losses, {})
    torch.testing.assert_close(reached(model, table), a * g1 + (1 - a) * g2, rtol=1e-3, atol=1e-4)
    assert weighting.weights() == pytest.approx({"a": a, "b": 1 - a}, abs=1e-3)


@pytest.mark.parametrize("normalize", ["norm", "loss", "loss_norm"])
def test_mgda_seeks_the_mixture_of_gradients_of_like_size(normalize):
    weighting, model, _, x, losses = stage("mgda", seed=2)
    weighting.normalize = normalize
    gradients = [gradient(loss, model, x) for loss in losses.values()]
    scales = [
        (float(g.norm()) if "norm" in normalize else 1.0) * (float(loss.detach()) if "loss" in normalize else 1.0)
        for g, loss in zip(gradients, losses.values(), strict=True)
    ]
    g1, g2 = (g / s for g, s in zip(gradients, scales, strict=True))
    a = float(((g2 - g1) @ g2 / (g1 - g2).square().sum()).clamp(0, 1))
    step(weighting, x, losses, {})
    assert weighting.weights()["a"] == pytest.approx(a, abs=1e-3)


def test_gradnorm_equals_adam_on_its_loss():
    """Three steps beside a plain computation: autograd through the gradient loss, torch's Adam, renormalised."""
    weighting, model, table, _, _ = stage("gradnorm", seed=4)
    w = torch.ones(2, dtype=torch.float64, requires_grad=True)
    adam, first = torch.optim.Adam([w], lr=0.1), None
    for _ in range(3):
        table.grad = None
        x = table * 1.0
        losses = dict(zip("ab", model.losses(x), strict=True))
        values = torch.stack(list(losses.values())).detach().double()
        first = values if first is None else first
        gradients = [gradient(loss, model, x) for loss in losses.values()]
        expected = sum(float(f) * g for f, g in zip(w.detach(), gradients, strict=True))
        norms = torch.stack([g.norm() for g in gradients])
        ratio = values / first
        pace = (ratio / ratio.mean()) ** 0.5
        weighted = w * norms
        adam.zero_grad()
        (weighted - (weighted.mean() * pace).detach()).abs().sum().backward()
        step(weighting, x, losses, {})
        torch.testing.assert_close(reached(model, table), expected, rtol=1e-4, atol=1e-5)
        adam.step()
        with torch.no_grad():
            w.mul_(2 / w.sum())
            model.shared -= 0.1 * model.shared.grad
        torch.testing.assert_close(weighting.w, w.detach())
    assert not torch.allclose(weighting.w, torch.ones(2).double())


@pytest.mark.parametrize("normalize", ["none", "norm", "loss", "loss_norm"])
def test_mgda_leaves_a_task_without_rows_out(normalize):
    """Its gradient of 0 would be the shortest mixture, and no task would take a step."""
    _, model, _, _, _ = stage("mgda")
    weighting = build(config.MGDA(normalize=normalize), TASKS, model)
    products, ones = torch.tensor([[4.0, 0.0], [0.0, 0.0]]).double(), [1.0, 1.0]
    together, alone = weighting.factors(products, torch.tensor([0.7, 0.0]).double())
    assert (together.tolist(), alone.tolist()) == ([1.0, 0.0], ones)
    together, _ = weighting.factors(products * 0, torch.zeros(2).double())
    assert together.tolist() == [0.0, 0.0]


def test_gradnorm_bears_a_task_without_rows_in_its_first_batch():
    weighting, model, _, x, losses = stage("gradnorm")
    losses["b"] = losses["b"] * 0
    step(weighting, x, losses, {})
    assert weighting.w.isfinite().all()
    assert float(weighting.first[1]) == 0
    _, _, _, x, losses = stage("gradnorm")
    step(weighting, x, dict(zip("ab", model.losses(x), strict=True)), {})
    assert float(weighting.first[1]) > 0


# --------------------------------------------------------------------------------------------- training

TWO = [{"name": "click", "label": "click"}, {"name": "buy", "label": "buy"}]
MODEL = {"type": "mmoe", "embedding_dim": 8, "experts": 2, "expert": [8], "tower": [4], "tasks": TWO}


@pytest.fixture
def experiment(toy, monkeypatch):
    """Settings of two tasks."""
    for key in ("hidden", "dropout"):
        monkeypatch.delitem(toy.config["model"], key)
    return {f"model__{key}": value for key, value in MODEL.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_training_learns_both_tasks_and_tells_their_losses_and_weights(toy, experiment, kind):
    run = toy.trainer(**experiment, train__task_weighting=kind, train__epochs=4).fit()
    assert run.metrics["valid"]["click/auc"] > 0.65
    assert run.metrics["valid"]["buy/auc"] > 0.6
    last = json.loads((run.path / "progress.jsonl").read_text().splitlines()[-1])
    assert list(last["losses"]) == list(last["weights"]) == ["click", "buy"]
    evaluation = json.loads((run.path / "metrics.jsonl").read_text().splitlines()[-1])
    assert list(evaluation["train"]) == ["loss", "losses", "weights"]
    assert (last["weights"] != {"click": 1.0, "buy": 1.0}) or kind == "pcgrad"  # whose tasks need not conflict


def test_fixed_weights_tell_the_losses_alone(toy, experiment):
    run = toy.trainer(**experiment).fit()
    last = json.loads((run.path / "progress.jsonl").read_text().splitlines()[-1])
    assert "weights" not in last
    assert last["loss"] == pytest.approx(sum(last["losses"].values()), rel=1e-5)


def test_a_single_task_tells_its_loss_once(toy):
    run = toy.trainer().fit()
    assert "losses" not in json.loads((run.path / "progress.jsonl").read_text().splitlines()[-1])


def test_gradients_reach_tables_as_in_one_backward_pass(toy, experiment):
    """With orthogonal tasks, that is one with a mask that leaves no row, every weighting of gradients is `fixed`."""
    tasks = [TWO[0], {**TWO[1], "mask": "buy > 1"}]
    weights = []
    for kind in ("fixed", "pcgrad"):
        trainer = toy.trainer(run=kind, **{**experiment, "model__tasks": tasks}, train__task_weighting=kind)
        trainer.fit()
        weights.append((trainer.collection.weights["user_id"].copy(), trainer.model.state_dict()))
    np.testing.assert_allclose(weights[0][0], weights[1][0], rtol=1e-3, atol=1e-5)
    for name, value in weights[0][1].items():
        torch.testing.assert_close(value, weights[1][1][name], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"train__task_weighting": "pcgrad"}, "'pcgrad' weighs the losses of several tasks, but there is one: click"),
        ({"train__task_weighting": {"type": "mgda"}, "train__compile": True}, "leave 'compile' out, or take 'fixed'"),
        ({"train__task_weighting": "pcgard"}, "did you mean 'pcgrad'?"),
    ],
    ids=["one-task", "compiled", "unknown"],
)
def test_a_weighting_that_cannot_be_is_refused_with_the_remedy(toy, chosen, message):
    with pytest.raises(ConfigError) as error:
        toy.experiment(**chosen)
    assert message in str(error.value)


def test_a_task_of_weight_0_is_none_to_weigh(toy, experiment):
    tasks = [TWO[0], {**TWO[1], "weight": 0}]
    with pytest.raises(ConfigError, match="but there is one: click"):
        toy.experiment(**{**experiment, "model__tasks": tasks}, train__task_weighting="uncertainty")


@pytest.mark.parametrize("chosen", ["uncertainty", "gradnorm", {"type": "mgda", "normalize": "loss"}], ids=str)
def test_losses_below_0_are_weighed_by_their_gradients_alone(toy, experiment, chosen):
    tasks = [TWO[0], {**TWO[1], "type": "ziln"}]
    with pytest.raises(ConfigError, match=r"'ziln' falls below\n.*take fixed, pcgrad, or mgda"):
        toy.experiment(**{**experiment, "model__tasks": tasks}, train__task_weighting=chosen)
    for fitting in ("fixed", "pcgrad", "mgda"):
        toy.experiment(**{**experiment, "model__tasks": tasks}, train__task_weighting=fitting)
