"""Losses over sessions against loops over sessions and pairs, in value and in gradient."""

import math
import time

import pytest
import torch

from easyrec.config import TaskConfig
from easyrec.losses import build
from easyrec.losses._sessions import Sessions, pairs


def made(kind="binary", **keys):
    return build(TaskConfig(name="y", label="y", type=kind, loss=keys))


def batch(n=40, kind="binary", outputs=1, seed=0):
    torch.manual_seed(seed)
    logits = torch.randn(n) if outputs == 1 else torch.randn(n, outputs)
    labels = torch.randint(0, 2 if kind == "binary" else 5, (n,)).float()
    codes = torch.randint(0, 9, (n,)) * 1_000_003 - 5
    codes[0] = 77  # a session of one row
    return logits.requires_grad_(), labels, codes


def sessions_of(codes):
    return [[i for i in range(len(codes)) if codes[i] == code] for code in sorted(set(codes.tolist()))]


def ordered(labels, codes):
    return [(i, j) for rows in sessions_of(codes) for i in rows for j in rows if labels[i] > labels[j]]


def mean(values):
    return sum(values) / len(values)


def logistic(z, y, codes, margin, temperature):
    return mean([torch.log(1 + torch.exp(-((z[i] - z[j]) - margin) / temperature)) for i, j in ordered(y, codes)])


def hinge(z, y, codes, margin, temperature):
    return mean([torch.relu(margin - (z[i] - z[j]) / temperature) for i, j in ordered(y, codes)])


def focal(z, y, codes, gamma, temperature):
    q = [torch.sigmoid((z[i] - z[j]) / temperature) for i, j in ordered(y, codes)]
    return mean([-((1 - p) ** gamma) * torch.log(p) for p in q])


def bpr(z, y, codes):
    rows = {}
    for i, j in ordered(y, codes):
        rows.setdefault(i, []).append(-torch.log(torch.sigmoid(z[i] - z[j])))
    return mean([mean(found) for found in rows.values()])


def softmax(z, y, codes, temperature):
    found = []
    for rows in sessions_of(codes):
        p = torch.softmax(z[rows] / temperature, dim=0)
        found += [-torch.log(p[k]) for k, i in enumerate(rows) if y[i] == 1]
    return mean(found)


def listwise(z, y, codes, temperature):
    found = []
    for rows in sessions_of(codes):
        q = torch.softmax(y[rows].double() / temperature, dim=0)
        found.append(-(q * torch.log(torch.softmax(z[rows], dim=0))).sum())
    return mean(found)


def contrastive(z, y, codes, temperature):
    found = []
    for rows in sessions_of(codes):
        negative = [torch.exp(z[j] / temperature) for j in rows if y[j] == 0]
        for i in rows:
            if y[i] == 1 and negative:
                own = torch.exp(z[i] / temperature)
                found.append(-torch.log(own / (own + sum(negative))))
    return mean(found)


def jrc(z, y, codes, alpha):
    found = []
    for rows in sessions_of(codes):
        for i in rows:
            own = torch.exp(z[i, int(y[i])])
            calibrated = own / torch.exp(z[i]).sum()
            ranked = own / sum(torch.exp(z[j, int(y[i])]) for j in rows)
            found.append(-alpha * torch.log(calibrated) - (1 - alpha) * torch.log(ranked))
    return mean(found)


FORMULAS = [
    ("pairwise_logistic", logistic, {"margin": 0.3, "temperature": 0.7}),
    ("pairwise_hinge", hinge, {"margin": 0.9, "temperature": 1.3}),
    ("pairwise_focal", focal, {"gamma": 1.5, "temperature": 0.8}),
    ("bpr", bpr, {}),
    ("softmax", softmax, {"temperature": 0.6}),
    ("listwise", listwise, {"temperature": 0.5}),
    ("contrastive", contrastive, {"temperature": 0.4}),
    ("jrc", jrc, {"alpha": 0.3}),
]
GRADED = [f for f in FORMULAS if f[0] not in ("softmax", "contrastive", "jrc")]
CASES = [(*f, "binary") for f in FORMULAS] + [(*f, "regression") for f in GRADED]


@pytest.mark.parametrize(("name", "formula", "keys", "kind"), CASES, ids=lambda v: v if isinstance(v, str) else "")
@pytest.mark.parametrize("by", [True, False], ids=["by-user", "whole-batch"])
def test_value_and_gradient_equal_a_loop(name, formula, keys, kind, by):
    loss = made(kind, type=name, **({"by": "user"} if by else {}), **keys)
    logits, labels, codes = batch(kind=kind, outputs=loss.task.num_outputs)
    value = loss(logits, labels, None, {"user": codes})
    (gradient,) = torch.autograd.grad(value, logits)
    plain = logits.detach().double().requires_grad_()
    expected = formula(plain, labels, codes if by else torch.zeros_like(codes), **keys)
    (wanted,) = torch.autograd.grad(expected, plain)
    torch.testing.assert_close(value.double(), expected.detach(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(gradient.double(), wanted, rtol=1e-4, atol=1e-7)


def test_one_pair_worked_by_hand():
    logits, labels = torch.tensor([0.0, math.log(3)]), torch.tensor([1.0, 0.0])
    assert made(type="pairwise_logistic")(logits, labels).item() == pytest.approx(math.log(4))
    assert made(type="pairwise_hinge")(logits, labels).item() == pytest.approx(1 + math.log(3))
    assert made(type="pairwise_focal", gamma=1.0)(logits, labels).item() == pytest.approx(0.75 * math.log(4))
    assert made(type="softmax")(logits, labels).item() == pytest.approx(math.log(4))


def test_pairs_are_those_of_a_loop():
    for seed in range(20):
        torch.manual_seed(seed)
        labels, codes = torch.randint(0, 4, (seed,)).float(), torch.randint(0, 3, (seed,))
        found = pairs(labels, codes, 10_000)
        assert sorted(zip(*(part.tolist() for part in found), strict=True)) == sorted(ordered(labels, codes))


def test_where_there_are_too_many_pairs_some_are_drawn_evenly():
    labels = torch.cat([torch.ones(20), torch.zeros(30)])
    torch.manual_seed(1)
    better, worse = pairs(labels, None, 500)
    assert len(better) == len(worse) == 500
    assert (labels[better] > labels[worse]).all()
    torch.manual_seed(1)
    assert pairs(labels, None, 500)[0].equal(better)
    better, worse = pairs(labels, None, 599)
    counts = torch.zeros(50, 50)
    for _ in range(500):
        better, worse = pairs(labels, None, 599)
        counts.index_put_((better, worse), torch.ones(599), accumulate=True)
    drawn = counts[:20, 20:] / 500
    assert drawn.mean().item() == pytest.approx(599 / 600)
    assert (drawn - 1).abs().max() < 0.25


def test_the_loss_of_drawn_pairs_is_near_that_of_all():
    torch.manual_seed(0)
    logits, labels = torch.randn(2000), (torch.rand(2000) < 0.3).float()
    for name in ("pairwise_logistic", "bpr"):
        every = made(type=name, max_pairs=10**7)(logits, labels).item()
        assert made(type=name, max_pairs=50_000)(logits, labels).item() == pytest.approx(every, rel=0.02)


def test_large_batches_of_one_session_need_no_square_of_memory():
    torch.manual_seed(0)
    logits, labels = torch.randn(200_000, requires_grad=True), (torch.rand(200_000) < 0.3).float()
    start = time.perf_counter()
    made(type="pairwise_logistic")(logits, labels).backward()  # all pairs would be 8e9
    assert time.perf_counter() - start < 30
    assert logits.grad.any()


def test_sessions_sum_and_logsumexp():
    codes = torch.tensor([5, -3, 5, 5])
    sessions = Sessions(codes, codes)
    assert sessions.sum(torch.tensor([1.0, 2.0, 3.0, 4.0])).tolist() == [2.0, 8.0]
    scores, weights = torch.tensor([1.0, 2.0, -1e4, 1e4]), torch.tensor([1.0, 0.5, 1.0, 0.0])
    found = sessions.logsumexp(scores, weights)
    assert found.tolist() == pytest.approx([2 + math.log(0.5), 1.0])
