"""The statistics against scipy's, against integrals, and against formulas of other shape."""

import math

import numpy as np
import pytest
from scipy import integrate, stats

from serving.ab.measure import compare, measure
from serving.ab.statistics import (
    always_valid_p,
    always_valid_reach,
    benjamini_hochberg,
    chi_square_tail,
    detectable,
    holm,
    mismatch_p,
    mixture_ratio,
    two_sided,
    wilson,
)


@pytest.mark.parametrize("freedom", [1, 2, 3, 9, 100, 9999])
def test_chi_square_tails_are_scipys(freedom):
    for value in [0.0, 1e-6, 0.3, freedom * 0.7, freedom, freedom * 1.2, freedom + 40 * math.sqrt(freedom)]:
        assert chi_square_tail(value, freedom) == pytest.approx(stats.chi2.sf(value, freedom), rel=1e-8, abs=1e-300)


def test_the_split_is_tested_by_pearson():
    assert mismatch_p([510, 490, 1000], [1, 1, 2]) == pytest.approx(
        stats.chisquare([510, 490, 1000], [500, 500, 1000]).pvalue
    )
    assert mismatch_p([10], [1]) == 1.0
    assert mismatch_p([0, 0], [1, 1]) == 1.0


def test_normal_tails_and_wilson_intervals_are_scipys():
    for z in (0.0, 0.5, -1.96, 6.0, 30.0):
        assert two_sided(z) == pytest.approx(2 * stats.norm.sf(abs(z)), rel=1e-12)
    for count, total in [(0, 10), (3, 10), (10, 10), (37, 1000)]:
        known = stats.binomtest(count, total).proportion_ci(0.95, method="wilson")
        assert wilson(count, total, 0.025) == pytest.approx((known.low, known.high), abs=1e-12)


def test_corrections_are_those_of_others():
    ps = [0.01, 0.02, 0.03, 0.04, 0.5, 0.001]
    assert benjamini_hochberg(ps) == pytest.approx(stats.false_discovery_control(ps, method="bh"))
    # by hand: 0.001 * 6, 0.01 * 5, 0.02 * 4, then never smaller than the one before
    assert holm(ps) == pytest.approx([0.05, 0.08, 0.09, 0.09, 0.5, 0.006])
    assert holm([]) == benjamini_hochberg([]) == []


@pytest.mark.parametrize(("difference", "variance", "scale"), [(0.1, 0.01, 0.2), (0.0, 2.0, 1.0), (-3.0, 0.5, 0.1)])
def test_the_mixtures_ratio_is_its_integral(difference, variance, scale):
    def integrand(effect):
        likelihood = stats.norm.pdf(difference, effect, math.sqrt(variance))
        return likelihood / stats.norm.pdf(difference, 0, math.sqrt(variance)) * stats.norm.pdf(effect, 0, scale)

    value, _ = integrate.quad(integrand, -12 * scale, 12 * scale, points=[difference], limit=200)
    assert math.exp(mixture_ratio(difference, variance, scale)) == pytest.approx(value, rel=1e-6)


def test_the_interval_for_any_time_ends_where_its_p_is_alpha():
    for variance, scale in [(0.01, 0.02), (1.0, 5.0)]:
        reach = always_valid_reach(variance, scale, 0.05)
        assert always_valid_p(reach, variance, scale) == pytest.approx(0.05)
        assert reach > 1.96 * math.sqrt(variance)


def users(random, n=4000, effect=0.0):
    activity = random.pareto(2.0, n) + 0.5
    arms = random.integers(0, 2, n)
    before = random.poisson(activity * 3).astype(float)
    after = random.poisson(activity * 3 * (1 + effect * arms)).astype(float)
    return arms, before, after


def test_a_mean_is_compared_as_by_welch():
    arms, _, after = users(np.random.default_rng(1))
    a, b = measure(arms, 2, after)
    effect = compare(b, a)
    known = stats.ttest_ind(after[arms == 1], after[arms == 0], equal_var=False)
    assert effect.difference / math.sqrt(effect.variance) == pytest.approx(known.statistic)
    assert effect.p == pytest.approx(2 * stats.norm.sf(abs(known.statistic)))
    assert a.mean == pytest.approx(after[arms == 0].mean())
    assert effect.high - effect.low == pytest.approx(2 * stats.norm.ppf(0.975) * math.sqrt(effect.variance))


def test_the_variance_of_a_ratio_is_that_of_the_jackknife():
    random = np.random.default_rng(2)
    arms, _, shown = users(random, 1500)
    clicked = random.binomial(shown.astype(int), 0.2).astype(float)
    for at, arm in enumerate(measure(arms, 2, clicked, shown)):
        x, y = clicked[arms == at], shown[arms == at]
        left = (x.sum() - x) / (y.sum() - y)
        assert arm.mean == pytest.approx(x.sum() / y.sum())
        assert arm.variance == pytest.approx((len(x) - 1) / len(x) * ((left - arm.mean) ** 2).sum())


def test_the_lifts_interval_is_that_of_the_bootstrap():
    random = np.random.default_rng(3)
    arms, _, after = users(random, 1500, effect=0.1)
    effect = compare(*reversed(measure(arms, 2, after)))
    a, b = after[arms == 0], after[arms == 1]
    drawn = [random.choice(b, len(b)).mean() / random.choice(a, len(a)).mean() - 1 for _ in range(2000)]
    assert (effect.lift_high - effect.lift_low) / 2 / 1.96 == pytest.approx(np.std(drawn), rel=0.08)


def test_cuped_is_the_regression_on_what_was_before():
    arms, before, after = users(np.random.default_rng(4), effect=0.05)
    a, b = measure(arms, 2, after, covariates=before[:, None])
    design = np.stack([arms == 0, arms == 1, before - before.mean()], axis=1).astype(float)
    known = np.linalg.lstsq(design, after, rcond=None)[0]
    assert b.mean - a.mean == pytest.approx(known[1] - known[0])
    pull = np.einsum("np,pq,nq->n", design, np.linalg.inv(design.T @ design), design)
    rest = after - design @ known
    for at, arm in enumerate((a, b)):
        n = (arms == at).sum()
        hc2 = (rest[arms == at] ** 2 / (1 - pull[arms == at])).sum() / n**2
        assert arm.variance == pytest.approx(hc2, rel=2 / n)
    assert a.plain_mean == pytest.approx(after[arms == 0].mean())


def test_cuped_keeps_the_share_of_the_variance_that_theory_says():
    random = np.random.default_rng(5)
    for correlation in (0.0, 0.5, 0.9):
        before = random.normal(size=200_000)
        after = correlation * before + math.sqrt(1 - correlation**2) * random.normal(size=200_000)
        (arm,) = measure(np.zeros(200_000, int), 1, after, covariates=before[:, None])
        assert arm.variance / arm.plain == pytest.approx(1 - correlation**2, abs=0.01)


def test_covariates_that_say_nothing_change_nothing():
    arms, before, after = users(np.random.default_rng(6))
    plain = measure(arms, 2, after)
    constant = measure(arms, 2, after, covariates=np.ones((len(arms), 2)))
    doubled = measure(arms, 2, after, covariates=np.stack([before, 2 * before, before * 0], axis=1))
    single = measure(arms, 2, after, covariates=before[:, None])
    for at in range(2):
        assert constant[at].mean == pytest.approx(plain[at].mean)
        assert doubled[at].mean == pytest.approx(single[at].mean)
        assert doubled[at].variance == pytest.approx(single[at].variance)


def test_what_is_detectable_is_found_that_often():
    random = np.random.default_rng(7)
    effect = detectable(4.0, 0.05, 0.8)
    found = np.abs(random.normal(effect, 2.0, 100_000)) > 1.96 * 2.0
    assert found.mean() == pytest.approx(0.8, abs=0.005)


@pytest.mark.parametrize("below", [None, np.zeros(5)], ids=["means", "ratio-of-nothing"])
def test_variants_without_units_or_numbers_are_no_numbers_but_no_errors(below):
    arms = np.array([0, 0, 0, 1, 1])
    found = measure(arms, 3, np.zeros(5), below, np.zeros((5, 1)))
    assert [one.units for one in found] == [3, 2, 0]
    assert math.isnan(found[2].mean)
    effect = compare(found[1], found[0])
    assert effect.p == 1.0
    assert math.isnan(effect.lift)
