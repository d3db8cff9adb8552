"""Estimates from a log, against what can be worked out by hand and by drawing many logs."""

from itertools import product

import numpy as np
import pytest

from easyrec.errors import DataError
from easyrec.off_policy import Logged, Weights, doubly_robust, ips, snips


def bandit(rows, random, logging=(0.7, 0.2, 0.1), target=(0.1, 0.3, 0.6), rates=(0.2, 0.5, 0.4)):
    """One decision of three, whose rewards are known."""
    logging, target, rates = (np.array(one) for one in (logging, target, rates))
    chosen = random.choice(3, rows, p=logging)
    reward = (random.random(rows) < rates[chosen]).astype(float)
    model = rates + np.array([0.05, -0.1, 0.02])  # a model that is a little wrong
    logged = Logged(reward, logging[chosen], target[chosen], None, model[chosen], np.full(rows, float(target @ model)))
    return logged, float(target @ rates)


def test_four_rows_by_hand():
    logged = Logged(
        np.array([1.0, 0.0, 1.0, 1.0]),
        np.array([0.5, 0.5, 0.25, 0.25]),
        np.array([0.25, 0.25, 0.5, 0.0]),
        None,
        np.array([0.5, 0.5, 0.5, 0.5]),
        np.array([0.6, 0.6, 0.6, 0.6]),
    )
    weights = [0.5, 0.5, 2.0, 0.0]
    assert ips(logged).value == pytest.approx((0.5 + 2.0) / 4)
    assert snips(logged).value == pytest.approx((0.5 + 2.0) / 3)
    assert doubly_robust(logged).value == pytest.approx(0.6 + (0.25 - 0.25 + 1.0) / 4)
    assert ips(logged, clip=1.0).value == pytest.approx((0.5 + 1.0) / 4)
    assert ips(logged, clip=1.0).clipped == 0.25
    found = ips(logged, interval="normal")
    terms = np.array([0.5, 0.0, 2.0, 0.0])
    assert found.std_error == pytest.approx(terms.std(ddof=1) / 2)
    assert found.high - found.value == pytest.approx(1.959964 * found.std_error)
    assert found.effective_rows == pytest.approx(sum(weights) ** 2 / sum(w * w for w in weights))
    assert found.logged == 0.75


@pytest.mark.parametrize("estimator", [ips, snips, doubly_robust])
def test_the_truth_lies_in_its_interval_as_often_as_it_says(estimator):
    random, inside, off = np.random.default_rng(5), 0, []
    for _ in range(400):
        logged, truth = bandit(600, random)
        found = estimator(logged)
        inside += found.low <= truth <= found.high
        off.append((found.value - truth) / found.std_error)
    assert 0.93 <= inside / 400 <= 0.98
    assert abs(np.mean(off)) < 0.15
    assert np.std(off) == pytest.approx(1.0, abs=0.12)


def test_a_model_makes_doubly_robust_estimates_less_spread():
    logged, _ = bandit(20_000, np.random.default_rng(1), rates=(0.05, 0.95, 0.5))
    assert doubly_robust(logged).std_error < 0.9 * ips(logged).std_error


def test_intervals_of_a_bootstrap_are_near_those_of_the_formula():
    logged, _ = bandit(3000, np.random.default_rng(2))
    formula, drawn = ips(logged), ips(logged, interval="bootstrap", resample=2000)
    assert drawn.low == pytest.approx(formula.low, abs=0.1 * (formula.high - formula.low))
    assert drawn.high == pytest.approx(formula.high, abs=0.1 * (formula.high - formula.low))
    assert ips(logged, interval="bootstrap") == ips(logged, interval="bootstrap")


def slates(random, rows):
    """Two positions of two items without repetition; what stands second is liked more behind item 0."""
    first = (random.random(rows) < 0.3).astype(int)  # item 1 stands first in three of ten
    items = np.stack([first, 1 - first], axis=1)
    rate = np.where(items == 0, 0.3, 0.5)
    rate[:, 1] += 0.3 * (items[:, 0] == 0)
    reward = (random.random((rows, 2)) < rate).astype(float)
    propensity = np.stack([np.where(first == 1, 0.3, 0.7), np.ones(rows)], axis=1)
    target = np.stack([np.where(first == 1, 0.8, 0.2), np.ones(rows)], axis=1)
    truth = 0.8 * (0.5 + 0.3) + 0.2 * (0.3 + 0.8)
    return Logged(reward, propensity, target), truth


@pytest.mark.parametrize(("estimator", "scheme"), list(product([ips, snips], ["cascade", "list"])))
def test_what_hangs_on_the_items_above_is_told_by_cascades_and_lists(estimator, scheme):
    logged, truth = slates(np.random.default_rng(3), 40_000)
    found = estimator(logged, scheme=scheme)
    assert found.low <= truth <= found.high
    alone = ips(logged, scheme="item")  # which takes the second position for the same under both
    assert not alone.low <= truth <= alone.high


def test_weights_of_lists_by_hand():
    logged = Logged(
        np.zeros((2, 3)),
        np.full((2, 3), 0.5),
        np.array([[1.0, 0.5, 0.25], [0.5, 1.0, 9.0]]) * [[1], [0.1]],
        np.array([[True, True, True], [True, True, False]]),
    )
    assert Weights.of(logged).values.tolist() == pytest.approx(np.array([[2, 1, 0.5], [0.1, 0.2, 0]]))
    assert Weights.of(logged, "cascade").values.tolist() == pytest.approx(np.array([[2, 2, 1], [0.1, 0.02, 0]]))
    assert Weights.of(logged, "list").values.tolist() == pytest.approx(np.array([[1, 1, 1], [0.02, 0.02, 0]]))


def test_short_lists_count_as_they_are():
    random, rows = np.random.default_rng(4), 50_000
    there = np.stack([np.ones(rows, bool), random.random(rows) < 0.6], axis=1)
    chosen = random.random((rows, 2)) < 0.25
    reward = np.where(chosen, 0.8, 0.4) * there
    logged = Logged(reward, np.where(chosen, 0.25, 0.75), np.where(chosen, 0.5, 0.5), there)
    for found in (ips(logged), snips(logged)):
        assert found.low <= 0.6 + 0.6 * 0.6 <= found.high
        assert found.value == pytest.approx(0.96, abs=0.02)


def test_rows_of_one_user_are_worth_less_than_those_of_many():
    random = np.random.default_rng(6)
    user = np.repeat(np.arange(200), 50)
    liking = random.random(200)[user]
    reward = (random.random(10_000) < liking).astype(float)
    same = np.full(10_000, 0.5)
    assert ips(Logged(reward, same, same, groups=user)).std_error > 3 * ips(Logged(reward, same, same)).std_error


def test_doubts_are_told():
    random = np.random.default_rng(7)
    rows = 2000
    reward = random.random(rows)

    def doubts(propensity, target, **options):
        return " ".join(ips(Logged(reward, np.asarray(propensity), np.asarray(target)), **options).warnings)

    half = np.full(rows, 0.5)
    assert doubts(half, half) == ""
    assert "nothing in the log was random" in doubts(np.ones(rows), np.ones(rows))
    rare = np.zeros(rows)
    rare[:20] = 1.0
    assert "worth 20.0 lists" in doubts(np.where(rare, 0.01, 0.99), rare)
    assert "where they should have one of 1" in doubts(half, half / 4 * random.integers(0, 2, rows) * 2)
    heavy = np.full(rows, 0.5)
    heavy[0] = 0.001
    assert "a single list has" in doubts(heavy, half)
    assert "were cut" in doubts(np.where(random.random(rows) < 0.1, 0.05, 0.5), half, clip=2.0)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"propensity": np.array([0.0, 0.5])}, "above 0 and at most 1"),
        ({"propensity": np.array([1.5, 0.5])}, "above 0 and at most 1"),
        ({"target": np.array([-0.1, 0.5])}, "from 0 to 1"),
        ({"reward": np.array([np.nan, 0.5])}, "no finite numbers"),
        ({"target": np.array([0.1, 0.5, 0.5])}, "shape"),
        ({"groups": np.array([1])}, "one per list"),
        ({"there": np.array([False, False])}, "shows nothing"),
    ],
)
def test_a_log_that_cannot_be_is_refused(change, told):
    good = {"reward": np.zeros(2), "propensity": np.full(2, 0.5), "target": np.full(2, 0.5)}
    with pytest.raises(DataError, match=told):
        Logged(**{**good, **change})


def test_without_a_model_there_is_no_doubly_robust_estimate():
    with pytest.raises(DataError, match="`predicted` and `expected`"):
        doubly_robust(Logged(np.zeros(2), np.full(2, 0.5), np.full(2, 0.5)))
