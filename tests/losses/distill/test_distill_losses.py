"""Losses of what a teacher says, each against sums written out row by row."""

import math
from itertools import combinations

import pytest
import torch

from easyrec.config import TaskConfig
from easyrec.losses.distill import build
from feature_generator.config import member, members

BINARY = TaskConfig(name="y", label="y")
CLASSES = TaskConfig(name="y", label="y", type="multiclass", num_classes=3)
VALUE = TaskConfig(name="y", label="y", type="regression")
SCORES = ("kd", "pairwise", "listwise")


def loss(type, task=BINARY, /, **keys):
    return build(member("easyrec.losses.distill", type).Config(type=type, **keys), task)


def kl(p, q):
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def softmax(values):
    total = sum(map(math.exp, values))
    return [math.exp(v) / total for v in values]


def drawn(n=12, seed=0):
    torch.manual_seed(seed)
    return torch.randn(n, requires_grad=True), torch.randn(n), torch.rand(n), torch.randint(0, 3, (n,)) * 5


def test_kd_is_the_divergence_of_softened_probabilities():
    z, t, w, _ = drawn()
    each = [
        4 * kl(*([sigmoid(x / 2), sigmoid(-x / 2)] for x in (b, a)))
        for a, b in zip(z.tolist(), t.tolist(), strict=True)
    ]
    wanted = sum(a * b for a, b in zip(each, w.tolist(), strict=True)) / float(w.sum())
    assert loss("kd", temperature=2.0)(z, t, w).item() == pytest.approx(wanted, rel=1e-5)


def test_kd_of_classes_and_of_values():
    torch.manual_seed(1)
    z, t = torch.randn(4, 3), torch.randn(4, 3).log_softmax(1)
    wanted = sum(kl(softmax(b), softmax(a)) for a, b in zip(z.tolist(), t.tolist(), strict=True)) / 4
    assert loss("kd", CLASSES)(z, t).item() == pytest.approx(wanted, rel=1e-5)
    assert loss("kd", VALUE)(torch.tensor([1.0, 2.0]), torch.tensor([0.0, 4.0])).item() == pytest.approx(2.5)


def test_pairwise_is_over_all_pairs_of_a_list():
    z, t, _, codes = drawn()
    each = []
    for i, j in combinations(range(12), 2):
        if codes[i] == codes[j]:
            d, m = (t[i] - t[j]).item() / 2, (z[i] - z[j]).item() / 2
            each.append(4 * kl([sigmoid(d), sigmoid(-d)], [sigmoid(m), sigmoid(-m)]))
    assert loss("pairwise", by="q", temperature=2.0)(z, t, None, codes).item() == pytest.approx(
        sum(each) / len(each), rel=1e-4
    )


def test_listwise_is_the_divergence_over_each_list():
    z, t, _, codes = drawn()
    each = [4 * kl(*(softmax((x[codes == c] / 2).tolist()) for x in (t, z))) for c in codes.unique()]
    assert loss("listwise", by="q", temperature=2.0)(z, t, None, codes).item() == pytest.approx(
        sum(each) / len(each), rel=1e-4
    )


@pytest.mark.parametrize("type", SCORES)
def test_a_row_of_weight_0_is_not_there_and_one_of_weight_2_is_there_twice(type):
    z, t, _, codes = drawn()
    weights = torch.tensor([0.0, 1.0, 2.0] * 4)
    copies = torch.arange(12).repeat_interleave(weights.long())
    given = loss(type)(z, t, weights, codes)
    torch.testing.assert_close(given, loss(type)(z[copies], t[copies], None, codes[copies]))


@pytest.mark.parametrize("type", SCORES)
def test_who_says_the_same_has_nothing_to_learn(type):
    z, _, w, codes = drawn()
    value = loss(type)(z, z.detach(), w, codes)
    assert value.item() == pytest.approx(0.0, abs=1e-6)
    (gradient,) = torch.autograd.grad(value, z)
    assert float(gradient.abs().max()) < 1e-6
    for n in (0, 1):  # no rows, a row alone
        rest = loss(type)(z[:n], z[:n].detach() * 1.0, None, codes[:n])
        assert rest.isfinite()


@pytest.mark.parametrize("type", SCORES)
def test_extreme_scores_are_finite(type):
    z = torch.tensor([1e4, -1e4, 0.0, 50.0], requires_grad=True)
    value = loss(type)(z, torch.tensor([-1e4, 1e4, 3.0, -16.0]))
    (gradient,) = torch.autograd.grad(value, z)
    assert value.isfinite()
    assert gradient.isfinite().all()


def test_match_projects_and_compares():
    made = loss("match", None, student="a", teacher="b")
    made.fit(3, 2)
    torch.manual_seed(2)
    mine, theirs, w = torch.randn(5, 3), torch.randn(5, 2), torch.rand(5)
    guess = mine @ made.projection.weight.T + made.projection.bias
    wanted = (((guess - theirs) ** 2).mean(1) * w).sum() / w.sum()
    torch.testing.assert_close(made(mine, theirs, w), wanted)
    turned = loss("match", None, student="a", teacher="b", normalize=True)
    turned.projection = made.projection
    torch.testing.assert_close(turned(mine, guess * 7), torch.tensor(0.0), atol=1e-6, rtol=0)


def test_attention_compares_the_newest_steps_of_each_row():
    torch.manual_seed(3)
    here, there = torch.tensor([3, 0, 1, 4]), torch.tensor([2, 2, 1, 4])
    mine, theirs = torch.randn(8), torch.randn(9)
    # rows 0 (the newest two of three) and 3 have two steps or more in common
    first = kl(softmax(theirs[0:2].tolist()), softmax(mine[1:3].tolist()))
    last = kl(softmax(theirs[5:9].tolist()), softmax(mine[4:8].tolist()))
    made = loss("attention", None, student="a", teacher="b")
    assert made(mine, theirs, None, (here, there)).item() == pytest.approx((first + last) / 2, rel=1e-5)
    weights = torch.tensor([3.0, 1, 1, 1])
    assert made(mine, theirs, weights, (here, there)).item() == pytest.approx((3 * first + last) / 4, rel=1e-5)


def test_every_member_is_tested_here():
    assert set(members("easyrec.losses.distill")) == {*SCORES, "match", "attention"}
