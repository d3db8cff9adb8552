"""`tree_boundaries` against brute force and scikit-learn."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from feature_generator.fitting.quantiles import Quantiles
from feature_generator.fitting.tree_boundaries import tree_boundaries


def edges(numbers, labels, buckets, min_rows=1):
    found = Quantiles(labelled=True)
    found.add(numbers, labels)
    return tree_boundaries(*found.table(), buckets, min_rows, bool(np.isin(labels, (0, 1)).all()))


def impurity(labels, binary):
    if not binary:
        return sum((y - sum(labels) / len(labels)) ** 2 for y in labels)
    share = sum(labels) / len(labels)
    return -len(labels) * sum(p * math.log(p) for p in (share, 1 - share) if p)


def brute_force(pairs, buckets, min_rows, binary):
    """Grow the tree leaf by leaf, trying every threshold; (edges, gains of the runners-up)."""
    leaves, found = [sorted(pairs)], []
    while len(leaves) < buckets:
        tried = []
        for leaf in leaves:
            for edge in sorted({x for x, _ in leaf})[1:]:
                parts = [[p for p in leaf if p[0] < edge], [p for p in leaf if p[0] >= edge]]
                if min(map(len, parts)) < min_rows:
                    continue
                gain = impurity([y for _, y in leaf], binary) - sum(impurity([y for _, y in p], binary) for p in parts)
                tried.append((gain, -edge, leaf, parts))
        tried.sort(key=lambda one: one[:2], reverse=True)
        if not tried or tried[0][0] <= 1e-6:
            return found
        assume(len(tried) == 1 or tried[0][0] - tried[1][0] > 1e-6)  # rounding must not decide
        _, edge, leaf, parts = tried[0]
        leaves = [one for one in leaves if one is not leaf] + parts
        found.append(-edge)
    return found


@given(
    st.lists(st.tuples(st.integers(0, 12).map(float), st.integers(0, 1)), min_size=1, max_size=40),
    st.integers(2, 6),
    st.integers(1, 5),
)
def test_a_binary_label_is_split_as_brute_force_does(pairs, buckets, min_rows):
    expected = brute_force(pairs, buckets, min_rows, True)
    numbers, labels = (np.array(column, float) for column in zip(*pairs, strict=True))
    assert edges(numbers, labels, buckets, min_rows).tolist() == sorted(expected)


@given(
    st.lists(st.tuples(st.integers(0, 12).map(float), st.floats(-5, 5)), min_size=1, max_size=30),
    st.integers(2, 6),
    st.integers(1, 5),
)
def test_a_real_label_is_split_as_brute_force_does(pairs, buckets, min_rows):
    numbers, labels = (np.array(column, float) for column in zip(*pairs, strict=True))
    binary = bool(np.isin(labels, (0, 1)).all())
    expected = brute_force(pairs, buckets, min_rows, binary)
    assert edges(numbers, labels, buckets, min_rows).tolist() == sorted(expected)


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize(("buckets", "min_rows"), [(2, 1), (8, 1), (8, 300), (32, 20)])
def test_leaves_are_those_of_scikit_learn(binary, buckets, min_rows):
    rng = np.random.default_rng(buckets + min_rows)
    numbers = rng.normal(size=5000).round(2)
    signal = np.sin(3 * numbers)
    labels = (rng.random(5000) < 0.5 + 0.4 * signal).astype(float) if binary else signal + rng.normal(size=5000)
    kind = DecisionTreeClassifier(criterion="entropy") if binary else DecisionTreeRegressor()
    tree = kind.set_params(max_leaf_nodes=buckets, min_samples_leaf=min_rows).fit(numbers[:, None], labels)
    theirs = np.sort(tree.tree_.threshold[tree.tree_.feature == 0])
    ours = edges(numbers, labels, buckets, min_rows)
    # Theirs lie between two numbers, ours on the upper one: the leaves are the same.
    np.testing.assert_array_equal(np.searchsorted(theirs, numbers), np.searchsorted(ours, numbers, side="right"))


def test_out_of_core_the_split_is_near_the_best_one():
    rng = np.random.default_rng(0)
    numbers = rng.random(200_000)
    labels = (rng.random(200_000) < np.where(numbers < 0.3, 0.1, 0.6)).astype(float)
    found = Quantiles(labelled=True, capacity=1024)
    for part in np.array_split(np.arange(200_000), 50):
        found.add(numbers[part], labels[part])
    (edge,) = tree_boundaries(*found.table(), 2, 100, True)
    assert abs((numbers < edge).mean() - 0.3) <= (found.error + 200) / 200_000


@pytest.mark.parametrize("labels", [[1, 1, 1, 1], [0, 0, 0, 0], [2.5, 2.5, 2.5, 2.5], [0.1, 0.1, 0.1, 0.1]])
def test_a_label_that_never_changes_is_not_split(labels):
    assert edges(np.arange(4.0), np.array(labels, float), 4).tolist() == []
    assert tree_boundaries(np.zeros(0), np.zeros(0, int), np.zeros((0, 2)), 4).tolist() == []
