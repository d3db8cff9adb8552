"""Full ranking equals sorting all scores of one user after another."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from easyrec.retrieval import ranking
from easyrec.retrieval.ranking import Users, rank


def ragged(lists):
    return np.array([x for one in lists for x in one], np.int64), np.cumsum([0] + [len(one) for one in lists])


def slowly(vectors, items, wanted, spared, k):
    """Ranks and first items, by sorting."""
    ranks, tops = [], []
    for vector, own, not_these in zip(vectors, wanted, spared, strict=True):
        scores = [float(vector @ item) for item in items]
        left = [i for i in range(len(items)) if i not in not_these or i in own]
        ranks += [-1 if item < 0 else sum(scores[i] >= scores[item] for i in left if i != item) for item in own]
        best = sorted(-scores[i] for i in left)[:k]
        tops.append(best + [np.inf] * (min(k, len(items)) - len(best)))
    return ranks, tops


@given(st.integers(0, 2**31), st.integers(0, 5), st.integers(1, 9), st.integers(1, 12))
@settings(max_examples=60, deadline=None)
def test_ranking_equals_sorting(seed, users, count, k):
    random = np.random.default_rng(seed)
    # whole numbers: ties are many, and sums exact
    vectors = torch.from_numpy(random.integers(-2, 3, (users, 3))).float()
    items = torch.from_numpy(random.integers(-2, 3, (count, 3))).float()
    wanted = [random.choice(count, random.integers(0, min(count, 3) + 1), replace=False).tolist() for _ in range(users)]
    wanted = [[*own, -1] if random.random() < 0.2 else own for own in wanted]
    spared = [random.integers(-1, count, random.integers(0, 4)).tolist() for _ in range(users)]
    who = Users(vectors, *ragged(wanted), *ragged(spared))
    found = list(rank(who, items, k))
    ranks = np.concatenate([f.ranks for f in found]) if found else np.zeros(0, np.int64)
    expected, tops = slowly(vectors.numpy(), items.numpy(), wanted, spared, k)
    assert ranks.tolist() == expected
    scores = np.hstack([-(vectors @ items.T).numpy(), np.full((users, 1), np.inf)])
    shown = np.concatenate([f.items for f in found]) if found else np.zeros((0, min(k, count)), np.int64)
    assert np.take_along_axis(scores, shown, 1).tolist() == tops


@pytest.mark.parametrize("scores", [1, 7, 1 << 20])
def test_many_users_are_ranked_in_parts(scores, monkeypatch):
    monkeypatch.setattr(ranking, "SCORES", scores)
    vectors, items = torch.eye(4), torch.tensor([[1.0, 0, 0, 3], [0, 2, 0, 2], [0, 0, 3, 1]])
    who = Users(vectors, *ragged([[0], [1, 2], [], [1]]))
    found = list(rank(who, items, 2))
    assert np.concatenate([f.ranks for f in found]).tolist() == [0, 0, 2, 1]
    assert np.concatenate([f.items for f in found])[:, 0].tolist() == [0, 1, 2, 0]


def test_a_model_that_tells_nothing_apart_finds_nothing():
    found = next(rank(Users(torch.ones(1, 2), *ragged([[3]])), torch.ones(10, 2), 5))
    assert found.ranks.tolist() == [9]
