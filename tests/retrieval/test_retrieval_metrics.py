"""Retrieval metrics equal values worked by hand, and merge."""

import math

import numpy as np
import pytest

from easyrec.retrieval.metrics import Drawn, Found, build
from feature_generator.config import member, members

FAMILY = "easyrec.retrieval.metrics"
COUNTS = np.array([8.0, 4, 2, 2, 0, 0])
ITEMS = np.array([[0, 1, 2], [1, 0, 5], [3, 2, -1], [0, 4, 1]])
WANTED = [[0, 4], [2], [-1, 3], []]  # ranks from 0; -1: not in the catalogue
OFFSETS = np.cumsum([0] + [len(w) for w in WANTED])
RANKS = np.array([rank for ranks in WANTED for rank in ranks])
FEW = Drawn(100, "uniform", 0)
FOUND = Found(ITEMS, RANKS, OFFSETS, {FEW: np.array([1, 5, 1, -1, 0])})  # among a few items others are found
EXPECTED = {
    "recall": (1 / 2 + 0 + 0) / 3,
    "hit_rate": 1 / 3,
    "ndcg": (1 / (1 + 1 / math.log2(3))) / 3,
    "mrr": 1 / 3,
    "coverage": 5 / 6,
    "popularity": np.mean([8, 4, 4, 8, 2, 2, 8, 0]) / (16 / 6),
    "sampled_recall": (1 / 2 + 1 + 1 / 2) / 3,
    "sampled_hit_rate": 1.0,
    "sampled_ndcg": (1 / math.log2(3) / (1 + 1 / math.log2(3)) + 1 / math.log2(3) + 1 / (1 + 1 / math.log2(3))) / 3,
    "novelty": np.mean([-math.log2(n / 18) for n in (8, 4, 4, 8, 2, 2, 8, 1)]),
}


def metric(name, k=2):
    return build(member(FAMILY, name).Config(type=name, k=k), 6, COUNTS)


def part(start, stop):
    low, high = OFFSETS[start], OFFSETS[stop]
    drawn = {FEW: FOUND.drawn[FEW][low:high]}
    return Found(ITEMS[start:stop], FOUND.ranks[low:high], OFFSETS[start : stop + 1] - low, drawn)


@pytest.mark.family(FAMILY)
@pytest.mark.parametrize("name", members(FAMILY))
def test_a_metric_equals_the_value_worked_by_hand(name):
    made = metric(name)
    made.update(FOUND)
    assert made.compute() == pytest.approx(EXPECTED[name])
    assert made.config.key == (f"{name}@2/100" if name.startswith("sampled") else f"{name}@2")


@pytest.mark.family(FAMILY)
@pytest.mark.parametrize("name", members(FAMILY))
def test_parts_merge_into_the_whole(name):
    whole, first, second = metric(name), metric(name), metric(name)
    whole.update(FOUND)
    first.update(part(0, 2))
    second.update(part(2, 4))
    first.merge(second)
    assert first.compute() == pytest.approx(whole.compute())


@pytest.mark.family(FAMILY)
@pytest.mark.parametrize("name", members(FAMILY))
def test_nothing_is_known_of_no_users(name):
    assert math.isnan(metric(name).compute())


def test_some_of_the_users_are_taken_with_what_they_want():
    some = FOUND.of(np.array([0, 2, 3]))
    assert some.items.tolist() == ITEMS[[0, 2, 3]].tolist()
    assert (some.ranks.tolist(), some.offsets.tolist()) == ([0, 4, -1, 3], [0, 2, 4, 4])
    assert some.drawn[FEW].tolist() == [1, 5, -1, 0]
    assert FOUND.of(np.array([1])).drawn[FEW].tolist() == [1]


def test_the_ideal_of_ndcg_is_cut_at_k():
    made = metric("ndcg", k=1)
    made.update(Found(np.array([[0, 1]]), np.array([0, 1]), np.array([0, 2])))
    assert made.compute() == 1.0


def test_a_metric_among_few_items_says_so():
    config = member(FAMILY, "sampled_recall").Config(k=10, negatives=99, by="popularity", seed=3)
    assert config.key == "sampled_recall@10/99/popularity"
    assert config.counted
    with pytest.raises(ValueError, match="all of 5 negatives and what is wanted are among the first 10"):
        member(FAMILY, "sampled_ndcg").Config(negatives=5)
