"""Losses over a position's candidates equal the formulas, worked out candidate by candidate."""

import math

import pytest
import torch

from easyrec.losses.sampled import build
from feature_generator.config import member, members

FAMILY = "easyrec.losses.sampled"
LOGITS = [[0.5, -1.0, 2.0], [0.1, 0.7, -math.inf], [-0.3, 0.2, 0.4]]
COLUMNS = [0, 1, 2]
ITEMS = 9


def s(z):
    return 1 / (1 + math.exp(-z))


def rests(row, own):
    return [z for column, z in enumerate(row) if column != own and z > -math.inf]


def beta(row):
    share = len(row) / (ITEMS - 1)
    return share * (0.75 * (1 - 1 / share) + 1 / share)


def circle(z, row, m, g):
    own = max(0, 1 + m - z) * (z - 1 + m)
    return math.log(1 + sum(math.exp(g * (max(0, r + m) * (r - m) - own)) for r in row))


FORMULAS = {
    "softmax": lambda z, row: -math.log(math.exp(z) / (math.exp(z) + sum(math.exp(r) for r in row))),
    "bce": lambda z, row: -math.log(s(z)) - sum(math.log(1 - s(r)) for r in row),
    "gbce": lambda z, row: -beta(row) * math.log(s(z)) - sum(math.log(1 - s(r)) for r in row),
    "bpr": lambda z, row: sum(-math.log(s(z - r)) for r in row) / len(row),
    "hinge": lambda z, row: sum(max(0, 1 - z + r) for r in row) / len(row),
    "circle": lambda z, row: circle(z, row, 0.25, 32.0),
    "multi_similarity": lambda z, row: (
        math.log(1 + math.exp(-2 * (z - 1))) / 2
        + math.log(1 + sum(math.exp(50 * (r - 1)) for r in row if r > z - 0.1)) / 50
    ),
}
GENTLE = {
    "hinge": {"margin": 4.0},
    "circle": {"margin": 4.0, "gamma": 0.05},
    "multi_similarity": {"beta": 2.0, "mining": None},
}
"""Keys with which no candidate is so easy that it counts for nothing."""


def built(name, **keys):
    return build(member(FAMILY, name).Config(type=name, **keys), ITEMS)


def test_gbce_tells_by_the_mean_over_its_candidates_what_a_number_of_negatives_costs():
    own, row = 0.3, [-1.0, 2.0, 0.4, -0.2]
    logits = torch.tensor([[own, *row, -math.inf]])
    found = built("gbce", negatives=2)(logits, torch.tensor([0]))
    mean = sum(-math.log(1 - s(r)) for r in row) / len(row)
    assert found.item() == pytest.approx(-beta(row[:2]) * math.log(s(own)) + 2 * mean)
    drawn = [built("gbce")(torch.tensor([[own, a, b]]), torch.tensor([0])).item() for a in row for b in row]
    assert found.item() == pytest.approx(sum(drawn) / len(drawn))  # its expectation over draws of two


def test_a_bias_moves_every_score():
    logits, columns = torch.tensor(LOGITS), torch.tensor(COLUMNS)
    assert built("gbce", bias=-2.0)(logits, columns).item() == pytest.approx(
        built("gbce")(logits - 2.0, columns).item()
    )


def test_every_loss_has_a_formula():
    assert sorted(FORMULAS) == list(members(FAMILY))


@pytest.mark.family(FAMILY)
@pytest.mark.parametrize("name", members(FAMILY))
@pytest.mark.parametrize("weights", [None, [1.0, 0.5, 2.0]], ids=["alike", "weighted"])
def test_a_loss_equals_its_formula(name, weights):
    values = [FORMULAS[name](row[own], rests(row, own)) for row, own in zip(LOGITS, COLUMNS, strict=True)]
    shares = weights or [1.0] * 3
    expected = sum(v * w for v, w in zip(values, shares, strict=True)) / sum(shares)
    given = None if weights is None else torch.tensor(weights)
    found = built(name)(torch.tensor(LOGITS), torch.tensor(COLUMNS), given)
    torch.testing.assert_close(found, torch.tensor(expected), rtol=1e-5, atol=1e-6)


@pytest.mark.family(FAMILY)
@pytest.mark.parametrize("name", members(FAMILY))
def test_the_own_item_is_pulled_and_the_others_pushed_unless_spared(name):
    logits = torch.tensor(LOGITS, requires_grad=True)
    built(name, **GENTLE.get(name, {}))(logits, torch.tensor(COLUMNS)).backward()
    for row, own in enumerate(COLUMNS):
        for column in range(3):
            gradient = logits.grad[row, column]
            if column == own:
                assert gradient < 0
            elif LOGITS[row][column] == -math.inf:
                assert gradient == 0
            else:
                assert gradient > 0


@pytest.mark.family(FAMILY)
@pytest.mark.parametrize("name", members(FAMILY))
def test_no_positions_cost_nothing(name):
    loss = built(name)(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64))
    assert loss.item() == 0.0


def test_the_mean_of_many_negatives_weighs_as_much_as_one():
    one = built("bce")(torch.tensor([[0.5, -1.0]]), torch.tensor([0]))
    many = built("bce", average=True)(torch.tensor([[0.5, -1.0, -1.0, -1.0]]), torch.tensor([0]))
    torch.testing.assert_close(one, many)


@pytest.mark.parametrize("name", ["circle", "multi_similarity"])
def test_the_weights_of_metric_learning_are_constants(name):
    """The gradient is that of the formula with its weights and its choice of candidates held."""
    z, r = 0.6, 0.55
    logits = torch.tensor([[z, r]], dtype=torch.float64, requires_grad=True)
    loss = built(name).of_positions(logits, torch.tensor([0]))
    loss.sum().backward()
    if name == "circle":
        a_y, a_c = 1.25 - z, r + 0.25
        held = s(32 * (a_c * (r - 0.25) - a_y * (z - 0.75)))
        expected = [-32 * a_y * held, 32 * a_c * held]
    else:
        expected = [-s(-2 * (z - 1)), s(50 * (r - 1))]
    assert logits.grad[0].tolist() == pytest.approx(expected)


def test_mining_leaves_out_candidates_that_are_far_behind():
    near, far = torch.tensor([[0.6, 0.55]]), torch.tensor([[0.6, 0.55, 0.4]])
    column = torch.tensor([0])
    torch.testing.assert_close(built("multi_similarity")(far, column), built("multi_similarity")(near, column))
    every = [built("multi_similarity", mining=None, beta=2.0)(logits, column) for logits in (near, far)]
    assert every[1] > every[0] + 0.01


@pytest.mark.family(FAMILY)
@pytest.mark.parametrize("name", members(FAMILY))
def test_another_device_gives_the_same_loss(name, other_device):
    told = [
        built(name).to(device)(torch.tensor(LOGITS).to(device), torch.tensor(COLUMNS).to(device)).item()
        for device in (torch.device("cpu"), other_device)
    ]
    assert told[1] == pytest.approx(told[0], rel=1e-5)
