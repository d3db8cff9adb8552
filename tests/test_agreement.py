"""Agreement: published examples, and formulas that are slow and obvious."""

from itertools import combinations, permutations

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import cohen_kappa_score

from easyrec.agreement import cohen, correlation, fleiss, krippendorff, ranked

NONE = np.nan
OBSERVERS = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, NONE, NONE, NONE],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NONE, 3],
        [NONE, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NONE],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NONE],
    ]
).T
"""Krippendorff, "Computing Krippendorff's alpha-reliability", 2011, part C."""
DIAGNOSES = np.array(
    [
        [0, 0, 0, 0, 14],
        [0, 2, 6, 4, 2],
        [0, 0, 3, 5, 6],
        [0, 3, 9, 2, 0],
        [2, 2, 8, 1, 1],
        [7, 7, 0, 0, 0],
        [3, 2, 6, 3, 0],
        [2, 5, 3, 2, 2],
        [6, 5, 2, 1, 0],
        [0, 2, 2, 3, 7],
    ]
)
"""The worked example of Fleiss' kappa that textbooks have, .210: 14 raters, 10 subjects, 5 categories."""


@pytest.mark.parametrize(("scale", "alpha"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_alpha_of_the_published_example(scale, alpha):
    found = krippendorff(OBSERVERS, scale)
    assert found.mean == pytest.approx(alpha, abs=5e-4)
    assert found.count == 11  # one unit has a single observer
    assert found.low < found.mean < found.high


def test_kappa_of_the_published_example():
    votes = np.array([np.repeat(np.arange(5), row) for row in DIAGNOSES], float)
    assert fleiss(votes).mean == pytest.approx(0.210, abs=5e-4)
    more = np.vstack([votes, np.full(14, NONE)])
    assert fleiss(more) == fleiss(votes)


def slow_alpha(ratings, scale):
    """Disagreement of all pairs within things, over that of all pairs at all."""
    units = [[v for v in row if not np.isnan(v)] for row in ratings]
    units = [unit for unit in units if len(unit) > 1]
    every = sorted(v for unit in units for v in unit)

    def apart(a, b):
        if scale == "nominal":
            return float(a != b)
        if scale == "interval":
            return (a - b) ** 2
        low, high = min(a, b), max(a, b)
        inside = sum(low <= v <= high for v in every)
        return 0.0 if a == b else (inside - (every.count(a) + every.count(b)) / 2) ** 2

    seen = sum(apart(a, b) / (len(unit) - 1) for unit in units for a, b in permutations(unit, 2)) / len(every)
    pairs = [apart(a, b) for a, b in permutations(every, 2)]
    return 1 - seen / (sum(pairs) / len(pairs))


@pytest.mark.parametrize("scale", ["nominal", "ordinal", "interval"])
def test_alpha_is_that_of_all_pairs(scale):
    random = np.random.default_rng(3)
    ratings = random.integers(1, 6, (20, 4)).astype(float)
    ratings[random.random(ratings.shape) < 0.3] = NONE
    assert krippendorff(ratings, scale).mean == pytest.approx(slow_alpha(ratings, scale))


@pytest.mark.parametrize("weights", ["none", "linear", "quadratic"])
def test_cohens_kappa_is_that_of_sklearn(weights):
    random = np.random.default_rng(5)
    a = random.integers(1, 6, 200)
    b = np.where(random.random(200) < 0.5, a, random.integers(1, 6, 200))
    theirs = cohen_kappa_score(a, b, weights=None if weights == "none" else weights)
    found = cohen(np.append(a, NONE), np.append(b, 1.0), weights=weights)
    assert found.mean == pytest.approx(theirs)
    assert found.count == 200
    # the interval is about as wide as the spread of samples that were drawn one by one
    drawn = [cohen(a[rows], b[rows], weights=weights, resamples=0).mean for rows in random.integers(0, 200, (300, 200))]
    assert found.high - found.low == pytest.approx(3.92 * np.std(drawn), rel=0.15)


def test_correlations_are_those_of_scipy():
    random = np.random.default_rng(7)
    a = random.integers(0, 9, 150).astype(float)
    b = a + random.normal(0, 4, 150).round()
    assert correlation(a, b).mean == pytest.approx(stats.pearsonr(a, b).statistic)
    found = correlation(a, b, ranks=True)
    assert found.mean == pytest.approx(stats.spearmanr(a, b).statistic)
    assert found.low < found.mean < found.high
    np.testing.assert_allclose(ranked(a), stats.rankdata(a) - 1)


def test_chance_alone_is_about_nothing_and_its_intervals_hold_that():
    random = np.random.default_rng(11)
    ratings = random.integers(1, 6, (400, 3)).astype(float)
    for found in (
        krippendorff(ratings),
        fleiss(ratings),
        *(cohen(*ratings[:, p].T) for p in combinations(range(3), 2)),
    ):
        assert abs(found.mean) < 0.1
        assert found.low < 0.02 < found.high + 0.04


@pytest.mark.parametrize("measure", [fleiss, krippendorff, lambda v: cohen(*v.T), lambda v: correlation(*v.T)])
def test_of_nothing_and_of_one_grade_there_is_no_number(measure):
    assert np.isnan(measure(np.zeros((0, 2))).mean)
    assert np.isnan(measure(np.full((5, 2), NONE)).mean)
    assert np.isnan(measure(np.ones((5, 2))).mean)


def test_full_agreement_is_one():
    votes = np.repeat([[1.0], [3.0], [2.0]], 3, axis=1)
    for found in (fleiss(votes), krippendorff(votes), cohen(*votes[:, :2].T)):
        assert found.mean == pytest.approx(1.0)
