"""Samplers draw what they say: by chi-square, and the log of what is expected by counting."""

import numpy as np
import pytest
from scipy.stats import chisquare

from easyrec.data.samplers import build
from easyrec.data.samplers._shares import Shares
from feature_generator.config import member, members

FAMILY = "easyrec.data.samplers"
COUNTS = np.array([40.0, 1, 7, 0, 12, 25, 3, 12])
OWN = np.array([5, 0, 0, 4, 0, 7])


def sampler(name, logq=True, **keys):
    return build(member(FAMILY, name).Config(type=name, logq=logq, **keys), COUNTS)


def shares(name):
    weights = np.ones(8) if name == "uniform" else np.maximum(COUNTS, 1) ** 0.75
    return weights / weights.sum()


def drawn_singly(made, random, draws=20_000):
    """How often each item is drawn, one draw at a time."""
    return np.bincount([made.draw(OWN, random).items[0] for _ in range(draws)], minlength=8)


@pytest.mark.parametrize("name", ["uniform", "popularity"])
def test_items_are_drawn_in_their_shares(name):
    found = drawn_singly(sampler(name, negatives=1), np.random.default_rng(1))
    assert chisquare(found, 20_000 * shares(name)).pvalue > 0.01


def test_a_power_of_0_is_uniform_and_of_1_the_counts():
    for alpha, weights in ((0.0, np.ones(8)), (1.0, np.maximum(COUNTS, 1))):
        found = drawn_singly(sampler("popularity", negatives=1, alpha=alpha), np.random.default_rng(2))
        assert chisquare(found, 20_000 * weights / weights.sum()).pvalue > 0.01


@pytest.mark.parametrize("weights", [[1.0], [0.0, 2.0, 0.0], [1.0] * 1000, np.arange(500) ** 2.0])
def test_shares_of_any_form_are_drawn(weights):
    made = Shares(np.array(weights))
    drawn = np.bincount(made.draw(200_000, np.random.default_rng(3)), minlength=len(weights))
    some = np.array(weights) > 0
    assert not drawn[~some].any()
    if some.sum() > 1:
        assert chisquare(drawn[some], 200_000 * made.shares[some]).pvalue > 0.001


@pytest.mark.family(FAMILY)
@pytest.mark.parametrize("name", members(FAMILY))
def test_the_same_chance_draws_the_same(name):
    keys = {"negatives": 3} if name in ("uniform", "popularity", "mixed") else {}
    first, again, other = (sampler(name, **keys).draw(OWN, np.random.default_rng(seed)) for seed in (4, 4, 5))
    np.testing.assert_array_equal(first.items, again.items)
    if keys:
        assert not np.array_equal(first.items, other.items)


@pytest.mark.family(FAMILY)
@pytest.mark.parametrize("name", members(FAMILY))
def test_candidates_are_items_and_hold_the_own_ones_where_they_say_so(name):
    draw = sampler(name).draw(OWN, np.random.default_rng(6))
    assert ((draw.items >= 0) & (draw.items < 8)).all()
    assert (np.diff(draw.items) > 0).all()
    assert not draw.inside or set(OWN) <= set(draw.items)
    for logs, items in ((draw.log_q, draw.items), (draw.own_log_q, np.unique(OWN))):
        assert logs is None or (logs.dtype, len(logs)) == (np.float32, len(items))
    assert (draw.own_log_q is not None) == (draw.log_q is not None and not draw.inside)


@pytest.mark.parametrize("name", ["in_batch", "mixed", "popularity"])
def test_log_q_is_how_often_an_item_is_expected(name):
    """Batches of rows in the shares of the counts; how often each item is a candidate is counted."""
    made, random = sampler(name, **({} if name == "in_batch" else {"negatives": 5})), np.random.default_rng(7)
    rows, batches, seen, logs = COUNTS / COUNTS.sum(), 20_000, np.zeros(8), np.full(8, np.nan)
    for own in random.choice(8, (batches, 6), p=rows):
        draw = made.draw(own, random)
        np.add.at(seen, draw.items, 1)
        logs[draw.items] = draw.log_q
    met = seen > 0
    np.testing.assert_allclose(np.exp(logs[met]), seen[met] / batches, rtol=0.08, atol=2e-3)


def test_without_logq_nothing_is_corrected():
    for name in ("in_batch", "mixed", "popularity"):
        assert sampler(name, logq=False).draw(OWN, np.random.default_rng(8)).log_q is None
