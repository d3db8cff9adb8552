"""Metrics of ranked lists, by hand and by scikit-learn list by list."""

import math

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import average_precision_score, ndcg_score

from easyrec.errors import DataError
from easyrec.metrics import build
from feature_generator.config import member

# By falling score: list a is 0 1 0 1, list b is 1 0, list c is 0.
LABELS = [1, 0, 1, 0, 0, 1, 0]
SCORES = [0.1, 0.9, 0.8, 0.5, 0.2, 0.3, 0.4]
USERS = list("aaaabbc")


def value(name, labels=LABELS, scores=SCORES, users=USERS, weights=None, **keys):
    metric = build(member("easyrec.metrics", name).Config(by="user", **keys))
    weights = None if weights is None else np.array(weights, np.float32)
    metric.update(np.array(labels, np.float32), np.array(scores, np.float32), weights, {"user": pa.array(users)})
    return metric.compute()


@pytest.mark.parametrize(
    ("name", "keys", "expected"),
    [
        ("mrr", {}, (1 / 2 + 1) / 2),
        ("mrr", {"k": 1}, (0 + 1) / 2),
        ("map", {}, ((1 / 2 + 2 / 4) / 2 + 1) / 2),
        ("map", {"k": 3}, ((1 / 2) / 2 + 1) / 2),
        ("map", {"k": 1}, (0 + 1) / 2),
        ("hit_rate", {"k": 1}, 1 / 2),
        ("hit_rate", {"k": 2}, 1.0),
        ("recall_at", {"k": 1}, (0 + 1) / 2),
        ("recall_at", {"k": 2}, (1 / 2 + 1) / 2),
        ("precision_at", {"k": 2}, (1 / 2 + 1 / 2) / 2),
        ("ndcg", {"k": 2}, (1 / math.log2(3) / (1 + 1 / math.log2(3)) + 1) / 2),
        ("ndcg", {}, ((1 / math.log2(3) + 1 / math.log2(5)) / (1 + 1 / math.log2(3)) + 1) / 2),
    ],
)
def test_worked_by_hand(name, keys, expected):
    assert value(name, **keys) == pytest.approx(expected)


def test_a_list_counts_by_the_mean_weight_of_its_rows():
    weights = [1, 3, 2, 2, 6, 6, 9]  # means 2 and 6
    assert value("mrr", weights=weights) == pytest.approx((2 * 1 / 2 + 6 * 1) / 8)


def test_gains_of_graded_labels():
    labels, scores = [3, 2, 0], [0.1, 0.9, 0.5]
    linear = (2 + 3 / math.log2(4)) / (3 + 2 / math.log2(3))
    assert value("ndcg", labels, scores, ["a"] * 3) == pytest.approx(linear)
    exponential = (3 + 7 / math.log2(4)) / (7 + 3 / math.log2(3))
    assert value("ndcg", labels, scores, ["a"] * 3, gain="exponential") == pytest.approx(exponential)
    assert value("ndcg", [-5, 2, 1], [0.9, 0.5, 0.1], ["a"] * 3) == pytest.approx(
        (2 / math.log2(3) + 1 / 2) / (2 + 1 / math.log2(3))
    )


def drawn(n=4000, seed=0):
    r = np.random.default_rng(seed)
    return r.integers(0, 4, n), r.permutation(n).astype(np.float32), r.integers(0, 300, n)


@pytest.mark.parametrize("k", [None, 1, 5])
def test_ndcg_equals_scikit_learn_list_by_list(k):
    labels, scores, users = drawn()
    found = [
        ndcg_score([labels[mine]], [scores[mine]], k=k)
        for mine in (users == user for user in range(300))
        if mine.sum() > 1 and labels[mine].any()
    ]
    alone = [u for u in range(300) if (users == u).sum() == 1 and labels[users == u].any()]
    assert not alone
    assert value("ndcg", labels, scores, users, k=k) == pytest.approx(np.mean(found))


def test_map_equals_scikit_learn_list_by_list():
    labels, scores, users = drawn()
    labels = labels > 2
    found = [
        average_precision_score(labels[mine], scores[mine])
        for mine in (users == user for user in range(300))
        if labels[mine].any()
    ]
    assert value("map", labels, scores, users) == pytest.approx(np.mean(found))


@pytest.mark.parametrize("name", ["mrr", "map", "ndcg"])
def test_ties_count_against_the_model(name):
    worst = value(name, [0, 0, 1], [3, 2, 1], ["a"] * 3)
    assert value(name, [0, 1, 0], [0.5] * 3, ["a"] * 3) == worst
    assert value(name, [1, 0, 0], [0.5] * 3, ["a"] * 3) == worst


def test_lists_without_a_positive_row_are_left_out():
    for name in ("mrr", "map", "ndcg"):
        assert np.isnan(value(name, [0, 0], [0.1, 0.2], ["a", "b"]))


def test_coverage_is_of_the_items_that_come_first():
    users, scores = list("aaabbb"), [3, 2, 1, 1, 2, 3]
    assert coverage(users, scores, ["x", "y", "z", "z", "y", "x"], 1) == pytest.approx(1 / 3)
    assert coverage(users, scores, ["x", "y", "z", "z", "y", "x"], 2) == pytest.approx(2 / 3)
    assert coverage(users, scores, ["x", "y", "z", "x", "y", "z"], 1) == pytest.approx(2 / 3)
    assert coverage(users, scores, ["x", "y", "z", None, "y", "z"], 3) == 1.0


def coverage(users, scores, items, k):
    metric = build(member("easyrec.metrics", "coverage").Config(by="user", item="item", k=k))
    columns = {"user": pa.array(users), "item": pa.array(items)}
    metric.update(np.zeros(len(users), np.float32), np.array(scores, np.float32), None, columns)
    return metric.compute()


def test_session_auc_counts_sessions_once():
    # a: of the pairs .1 < .9, .1 < .5, .8 < .9 and .8 > .5 one is in order; b: its one pair is; c has none
    assert value("session_auc") == pytest.approx((1 / 4 + 1) / 2)
    assert value("session_auc", weighting="samples") == pytest.approx((4 * 1 / 4 + 2 * 1) / 6)
    assert value("gauc") == pytest.approx((4 * 1 / 4 + 2 * 1) / 6)


def test_a_gain_beyond_all_numbers_is_refused():
    with pytest.raises(DataError, match="takes labels to 60, but one is 2000: take 'gain: linear'"):
        value("ndcg", [3, 2000], [0.1, 0.2], ["a"] * 2, gain="exponential")
