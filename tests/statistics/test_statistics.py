"""Every statistic equals its formula, worked by loops over small interactions, with any number of threads."""

from itertools import combinations
from math import log, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from easyrec.statistics import build
from easyrec.statistics._statistic import Histories, Known, Links, Scores, Taken
from feature_generator.config import member, members

FAMILY = "easyrec.statistics"
GROUPS = {"user": ["user_id"], "item": ["item_id"]}
COUNTED = [name for name in members(FAMILY) if name != "item2vec"]


def statistic(name, threads=1, seed=0, **keys):
    return build(member(FAMILY, name).Config(groups=GROUPS, **keys), threads, seed)


def taken(lists, items):
    offsets = np.cumsum([0] + [len(one) for one in lists])
    return Taken(np.array([i for one in lists for i in one], np.int32), offsets.astype(np.int64), items)


def matrix(links):
    """S as (N, N)."""
    if links.items is None:
        return links.values
    size = len(links.offsets) - 1
    found = np.zeros((size, size), np.float32)
    for i in range(size):
        part = slice(links.offsets[i], links.offsets[i + 1])
        assert len(set(links.items[part].tolist())) == part.stop - part.start
        assert links.values[part].tolist() == sorted(links.values[part].tolist(), reverse=True)
        found[i, links.items[part]] = links.values[part]
    return found


def pruned(whole, keep):
    """Of each row the largest values, of equal ones those that come first, 0 elsewhere."""
    found = np.zeros_like(whole)
    for i, row in enumerate(whole):
        best = [j for j in sorted(range(len(row)), key=lambda j: (-row[j], j)) if j != i and row[j] > 0][:keep]
        found[i, best] = row[best]
    return found


histories = st.integers(1, 7).flatmap(
    lambda n: st.tuples(st.just(n), st.lists(st.lists(st.integers(0, n - 1), max_size=8), max_size=9))
)


@given(histories)
@settings(max_examples=60)
def test_popularity_counts(case):
    size, lists = case
    links, bias = statistic("popularity").fit(taken(lists, size))
    assert bias.tolist() == [sum(one.count(i) for one in lists) for i in range(size)]
    assert not matrix(links).any()


@given(histories, st.booleans(), st.booleans(), st.sampled_from([0.0, 2.5]), st.integers(1, 8))
@settings(max_examples=150)
def test_item_cf_is_the_cosine_of_columns(case, frequency, normalized, shrinkage, keep):
    size, lists = case
    keys = {"inverse_user_frequency": frequency, "normalized": normalized, "shrinkage": shrinkage, "neighbours": keep}
    found = statistic("item_cf", **keys).fit(taken(lists, size))[0]
    sets = [set(one) for one in lists]
    weights = [1 / log(1 + max(len(one), 1)) if frequency else 1.0 for one in sets]
    expected = np.zeros((size, size))
    for i in range(size):
        for j in range(size):
            both = sum(w for w, one in zip(weights, sets, strict=True) if i in one and j in one)
            norms = [sum(w for w, one in zip(weights, sets, strict=True) if n in one) for n in (i, j)]
            expected[i, j] = both / (sqrt(norms[0]) * sqrt(norms[1]) + shrinkage) if both and i != j else 0.0
    kept = pruned(expected.round(12), min(keep, max(size - 1, 1)))
    if normalized:
        kept = kept / np.where(kept.sum(1, keepdims=True) > 0, kept.sum(1, keepdims=True), 1)
    np.testing.assert_allclose(np.sort(matrix(found), 1), np.sort(kept, 1), rtol=1e-5, atol=1e-7)
    if keep >= size:
        np.testing.assert_allclose(matrix(found), kept, rtol=1e-5, atol=1e-7)


@given(histories, st.sampled_from([0.0, 1.0, 3.0]), st.sampled_from([0.0, 0.5, 1.0]))
@settings(max_examples=150)
def test_swing_adds_up_pairs_of_users(case, alpha, beta):
    size, lists = case
    found = statistic("swing", alpha=alpha, beta=beta).fit(taken(lists, size))[0]
    sets = [set(one) for one in lists]
    expected = np.zeros((size, size))
    for i in range(size):
        for j in range(size):
            common = [one for one in sets if i in one and j in one and i != j]
            expected[i, j] = sum((len(u) * len(v)) ** -beta / (alpha + len(u & v)) for u, v in combinations(common, 2))
    np.testing.assert_allclose(matrix(found), expected, rtol=1e-5)


def test_normalized_rows_add_up_to_one():
    lists = [[0, 1, 2], [1, 2, 3], [0, 1, 3], [2, 3], [4]]
    plain, scaled = (matrix(statistic("swing", normalized=n).fit(taken(lists, 5))[0]) for n in (False, True))
    np.testing.assert_allclose(scaled.sum(1), [1, 1, 1, 1, 0], rtol=1e-6)
    np.testing.assert_allclose(scaled * plain.sum(1, keepdims=True), plain, rtol=1e-6)


def test_swing_looks_at_a_sample_of_the_users_of_an_item_by_the_seed():
    random = np.random.default_rng(1)
    lists = [random.choice(8, 5, replace=False).tolist() for _ in range(40)]
    whole, same = (matrix(statistic("swing", max_users=m).fit(taken(lists, 8))[0]) for m in (40, 700))
    np.testing.assert_array_equal(whole, same)
    some = [matrix(statistic("swing", seed=seed, max_users=5).fit(taken(lists, 8))[0]) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(some[0], some[1])
    assert (some[0] != some[2]).any()
    assert (some[0] <= whole + 1e-6).all()
    assert some[0].sum() < whole.sum() / 4


@given(histories, st.sampled_from([0.5, 10.0]))
@settings(max_examples=60)
def test_ease_is_a_ridge_regression_of_each_item_on_the_others(case, l2):
    size, lists = case
    found = matrix(statistic("ease", l2=l2).fit(taken(lists, size))[0])
    x = np.array([[float(i in one) for i in range(size)] for one in lists]).reshape(len(lists), size)
    for j in range(size):
        others = [i for i in range(size) if i != j]
        a = x[:, others]
        weights = np.linalg.solve(a.T @ a + l2 * np.eye(len(others)), a.T @ x[:, j])
        np.testing.assert_allclose(found[others, j], weights, atol=1e-6)
        assert found[j, j] == 0


def test_pruned_ease_keeps_the_largest_weights_whatever_their_sign():
    random = np.random.default_rng(2)
    data = taken([random.choice(9, 4, replace=False).tolist() for _ in range(30)], 9)
    whole, some = (matrix(statistic("ease", neighbours=n).fit(data)[0]) for n in (None, 3))
    for row, kept in zip(whole, some, strict=True):
        best = np.argsort(-np.abs(row), kind="stable")[:3]
        assert set(np.flatnonzero(kept)) == set(best)
        np.testing.assert_array_equal(kept[best], row[best])


@pytest.mark.family(FAMILY)
@pytest.mark.parametrize("name", COUNTED)
def test_threads_do_not_change_the_numbers(name):
    random = np.random.default_rng(3)
    data = taken([random.zipf(1.5, 30).clip(max=60) - 1 for _ in range(200)], 60)
    found = [statistic(name, threads).fit(data) for threads in (1, 2, 5)]
    for links, bias in found[1:]:
        np.testing.assert_array_equal(bias, found[0][1])
        np.testing.assert_array_equal(matrix(links), matrix(found[0][0]))


@pytest.mark.family(FAMILY)
@pytest.mark.parametrize("name", COUNTED)
def test_nothing_taken_and_a_single_item_are_no_trouble(name):
    for lists, size in (([], 3), ([[]], 1), ([[0], [0, 0]], 1)):
        links, bias = statistic(name).fit(taken(lists, size))
        assert matrix(links).shape == (size, size)
        assert bias.shape == (size,)
        assert np.isfinite(matrix(links)).all()


@given(histories, st.sampled_from([1.0, 0.5]), st.booleans(), st.booleans(), st.integers(1, 3))
@settings(max_examples=100)
def test_scores_add_up_what_follows_from_the_history(case, recency, repeats, dense, threads):
    size, lists = case
    random = np.random.default_rng(size)
    whole = random.integers(-3, 4, (size, size)).astype(np.float32)
    links = Links(whole) if dense else Links.largest(whole, max(size - 1, 0))
    if not dense:
        np.fill_diagonal(whole, 0)
    bias = random.integers(0, 3, size).astype(np.float32)
    steps = [[step - 1 for step in one] for one in lists]  # -1 is no item
    flat = np.array([s for one in steps for s in one], np.int64)
    asked = Histories.of(flat, np.cumsum([0] + [len(one) for one in steps]), recency)
    found = Scores(links, bias, repeats=repeats, threads=threads)(asked)
    for row, one in zip(found, steps, strict=True):
        newest = list(dict.fromkeys(s for s in reversed(one) if s >= 0))
        expected = bias + sum((whole[i] * recency**age for age, i in enumerate(newest)), np.zeros(size, np.float32))
        if not repeats:
            expected[newest] = -np.inf
        np.testing.assert_allclose(row, expected, rtol=1e-6)


@given(histories, st.integers(0, 3), st.integers(0, 4))
@settings(max_examples=60)
def test_a_part_of_the_histories_is_that_of_its_users(case, start, length):
    _, lists = case
    flat = np.array([s for one in lists for s in one], np.int64)
    offsets = np.cumsum([0] + [len(one) for one in lists])
    start = min(start, len(lists))
    part = Histories.of(flat, offsets)[start : start + length]
    alone = lists[start : start + length]
    other = Histories.of(
        np.array([s for one in alone for s in one], np.int64), np.cumsum([0] + [len(one) for one in alone])
    )
    for name in ("items", "weights", "offsets"):
        np.testing.assert_array_equal(getattr(part, name), getattr(other, name))


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9)), max_size=20), st.lists(st.integers(-1, 8), max_size=5))
@settings(max_examples=60)
def test_users_known_by_id_have_their_rows_in_order(rows, asked):
    users, items = (np.array([row[n] for row in rows], np.int64) for n in (0, 1))
    found, offsets = Known.of(users, items, 10).find(np.array(asked, np.int64))
    for number, user in enumerate(asked):
        assert found[offsets[number] : offsets[number + 1]].tolist() == [i for u, i in rows if u == user]


def test_a_user_without_a_history_is_given_what_is_popular():
    lists = [[0, 1], [1, 2], [1, 3], [3, 4], [4]]
    for name in ("item_cf", "swing", "ease"):
        links, bias = statistic(name).fit(taken(lists, 6))
        (row,) = Scores(links, bias)(Histories.of(np.zeros(0, np.int64), np.zeros(2, np.int64)))
        assert np.argsort(-row, kind="stable").tolist() == [1, 3, 4, 0, 2, 5]
        assert row.max() < 1e-5 * max(np.abs(links.values).max(initial=0), 1)


def test_the_kernels_refuse_what_does_not_fit():
    links = Links(np.zeros(2, np.float32), np.array([0, 3], np.int32), np.array([0, 1, 2], np.int64))
    with pytest.raises(ValueError, match="not within the matrix"):
        Scores(links, np.zeros(2, np.float32))
    scores = Scores(Links.none(2), np.zeros(2, np.float32))
    with pytest.raises(ValueError, match="not within the matrix"):
        scores(Histories(np.array([2], np.int32), np.ones(1, np.float32), np.array([0, 1], np.int64)))
