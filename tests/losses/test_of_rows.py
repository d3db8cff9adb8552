"""Losses of rows, values and gradients, against plain formulas in float64."""

import math

import pytest
import torch
from scipy import stats

from easyrec.config import TaskConfig
from easyrec.losses import build


def made(kind, **keys):
    classes = {"num_classes": keys.pop("num_classes")} if "num_classes" in keys else {}
    return build(TaskConfig(name="y", label="y", type=kind, loss=keys, **classes))


def focal(z, y, gamma, alpha=0.5):
    p = 1 / (1 + torch.exp(-z))
    return -alpha * y * (1 - p) ** gamma * torch.log(p) - (1 - alpha) * (1 - y) * p**gamma * torch.log(1 - p)


def huber(z, y, delta):
    error = (z - y).abs()
    return torch.where(error <= delta, error**2 / 2, delta * (error - delta / 2))


def ordinal(z, y):
    found = []
    for row, label in zip(z, y, strict=True):
        above = [torch.ones((), dtype=z.dtype)]  # P(y > -1), P(y > 0) ...
        level = row[0]
        for k in range(len(row)):
            level = level if k == 0 else level - torch.log(1 + torch.exp(row[k]))
            above.append(1 / (1 + torch.exp(-level)))
        above.append(torch.zeros((), dtype=z.dtype))
        found.append(-torch.log(above[int(label)] - above[int(label) + 1]))
    return torch.stack(found)


def ziln(z, y):
    p, mu, sigma = 1 / (1 + torch.exp(-z[:, 0])), z[:, 1], torch.log(1 + torch.exp(z[:, 2]))
    positive = torch.where(y > 0, y, 1.0)
    normal = torch.distributions.Normal(mu, sigma).log_prob(torch.log(positive)) - torch.log(positive)
    return torch.where(y > 0, -torch.log(p) - normal, -torch.log(1 - p))


def bce(z, y, smoothing=0.0):
    p, y = 1 / (1 + torch.exp(-z)), y * (1 - smoothing) + smoothing / 2
    return -y * torch.log(p) - (1 - y) * torch.log(1 - p)


def cross_entropy(z, y, smoothing=0.0):
    p = torch.exp(z) / torch.exp(z).sum(dim=1, keepdim=True)
    own = -torch.log(p[torch.arange(len(y)), y.long()])
    return (1 - smoothing) * own - smoothing * torch.log(p).mean(dim=1)


CASES = [
    ("binary", {"type": "bce"}, bce),
    ("binary", {"type": "bce", "label_smoothing": 0.2}, lambda z, y: bce(z, y, 0.2)),
    ("multiclass", {"type": "cross_entropy", "num_classes": 4}, cross_entropy),
    (
        "multiclass",
        {"type": "cross_entropy", "num_classes": 4, "label_smoothing": 0.2},
        lambda z, y: cross_entropy(z, y, 0.2),
    ),
    ("binary", {"type": "focal", "gamma": 1.7, "alpha": 0.25}, lambda z, y: focal(z, y, 1.7, 0.25)),
    ("binary", {"type": "focal", "gamma": 0.5}, lambda z, y: 2 * focal(z, y, 0.5)),
    ("regression", {"type": "mae"}, lambda z, y: torch.where(z > y, z - y, y - z)),
    ("regression", {"type": "mse"}, lambda z, y: (z - y) ** 2),
    ("regression", {"type": "huber", "delta": 0.7}, lambda z, y: huber(z, y, 0.7)),
    ("ziln", {"type": "ziln"}, ziln),
    ("ordinal", {"type": "ordinal", "num_classes": 5}, ordinal),
    ("ordinal", {"type": "ordinal", "num_classes": 2}, lambda z, y: ordinal(z[:, None], y)),
]


@pytest.mark.parametrize(
    ("kind", "keys", "formula"), CASES, ids=[f"{k['type']}-{i}" for i, (_, k, _) in enumerate(CASES)]
)
def test_value_and_gradient_equal_a_plain_formula(kind, keys, formula):
    loss = made(kind, **keys)
    torch.manual_seed(0)
    n, outputs = 50, loss.task.num_outputs
    logits = (torch.randn(n) if outputs == 1 else torch.randn(n, outputs)).requires_grad_()
    labels = torch.randint(0, loss.task.num_classes or 2, (n,)).float()
    labels = labels * (1 + torch.rand(n)) if kind in ("regression", "ziln") else labels
    weights = torch.rand(n)
    value = loss(logits, labels, weights)
    plain = logits.detach().double().requires_grad_()
    expected = (formula(plain, labels.double()) * weights).sum() / weights.double().sum()
    torch.testing.assert_close(value.double(), expected.detach(), rtol=1e-5, atol=1e-6)
    one, two = torch.autograd.grad(value, logits)[0], torch.autograd.grad(expected, plain)[0]
    torch.testing.assert_close(one.double(), two, rtol=1e-4, atol=1e-7)


def test_focal_without_gamma_is_cross_entropy():
    torch.manual_seed(0)
    logits, labels = torch.randn(20), torch.randint(0, 2, (20,)).float()
    expected = made("binary", type="bce")(logits, labels)
    torch.testing.assert_close(made("binary", type="focal", gamma=0.0)(logits, labels), expected)


def test_focal_worked_by_hand():
    logit = torch.tensor([math.log(3)])  # p = 3/4
    assert made("binary", type="focal")(logit, torch.ones(1)).item() == pytest.approx(-(0.25**2) * math.log(0.75))
    assert made("binary", type="focal")(logit, torch.zeros(1)).item() == pytest.approx(-(0.75**2) * math.log(0.25))


def test_ziln_is_the_likelihood_that_scipy_knows_and_predicts_its_mean():
    logits = torch.tensor([[0.4, 1.2, 0.3]])
    sigma, p = math.log1p(math.exp(0.3)), 1 / (1 + math.exp(-0.4))
    density = stats.lognorm(s=sigma, scale=math.exp(1.2))
    loss = made("ziln", type="ziln")
    assert loss(logits, torch.tensor([2.5])).item() == pytest.approx(-math.log(p * density.pdf(2.5)), rel=1e-6)
    assert loss(logits, torch.tensor([0.0])).item() == pytest.approx(-math.log(1 - p), rel=1e-6)
    assert loss.predict(logits).item() == pytest.approx(p * density.mean(), rel=1e-6)


def test_ziln_takes_the_smallest_and_the_largest_labels():
    loss, logits = made("ziln", type="ziln"), torch.zeros(4, 3, requires_grad=True)
    value = loss(logits, torch.tensor([0.0, 1e-38, 1e-45, 3e38]))
    value.backward()
    assert value.isfinite()
    assert logits.grad.isfinite().all()
    assert loss.predict(torch.tensor([[50.0, 300.0, 300.0]])).isfinite().all()


def test_ordinal_levels_are_worked_by_hand():
    fall = math.log(math.expm1(math.log(9)))  # softplus of it is log 9
    probabilities = made("ordinal", type="ordinal", num_classes=3).predict(torch.tensor([[math.log(3), fall]]))
    assert probabilities.squeeze().tolist() == pytest.approx([1 / 4, 3 / 4 - 1 / 4, 1 / 4])  # a_1 = log(1/3)


def test_f1_weighs_negatives_as_the_paper_says():
    torch.manual_seed(0)
    logits, labels = torch.randn(30, requires_grad=True), (torch.rand(30) < 0.3).float()
    p = torch.sigmoid(logits.detach().double())
    tp, tn = p[labels == 1].sum(), (1 - p[labels == 0]).sum()
    v = tp / (4 * labels.sum() + (30 - labels.sum()) - tn)
    plain = logits.detach().double().requires_grad_()
    s = torch.sigmoid(plain)
    expected = (-labels * torch.log(s) - (1 - labels) * v * torch.log(1 - s)).mean()
    value = made("binary", type="f1", beta=2.0)(logits, labels)
    torch.testing.assert_close(value.double(), expected.detach(), rtol=1e-5, atol=1e-6)
    one, two = torch.autograd.grad(value, logits)[0], torch.autograd.grad(expected, plain)[0]
    torch.testing.assert_close(one.double(), two, rtol=1e-4, atol=1e-7)


def test_mae_starts_at_the_weighted_median():
    loss = made("regression", type="mae")
    assert loss.start(torch.tensor([5.0, 1.0, 9.0])).item() == 5.0
    assert loss.start(torch.tensor([5.0, 1.0, 9.0]), torch.tensor([1.0, 5.0, 1.0])).item() == 1.0
