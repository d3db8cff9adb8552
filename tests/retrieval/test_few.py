"""Ranks among a few drawn items: what is drawn, in which shares, and that ranks are those of sorting."""

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from easyrec.retrieval import ranking
from easyrec.retrieval.few import Few
from easyrec.retrieval.metrics import Drawn
from easyrec.retrieval.ranking import Users, rank

COUNTS = np.array([40.0, 1, 7, 0, 12, 25, 3, 12, 9])


def drawn_once(by, users, spared=(), wanted=4):
    """(N,), how often each item is the one that is drawn: then the wanted item, which all others beat, has rank 1."""
    few, found = Few(Drawn(1, by, 5), COUNTS), np.zeros(9)
    for item in range(9):
        if item == wanted or item in spared:
            continue
        few = Few(Drawn(1, by, 5), COUNTS)
        scores = torch.zeros(users, 9)
        scores[:, wanted], scores[:, item] = 1.0, 2.0
        scores[:, list(spared)] = -torch.inf
        ranks = few.ranks(scores, torch.arange(users), torch.full((users,), wanted))
        found[item] = ranks.sum()
    return found


@pytest.mark.parametrize("by", ["uniform", "popularity"])
def test_items_are_drawn_in_their_shares(by):
    """Never the wanted item, nor those that the user is spared."""
    found = drawn_once(by, 20_000, spared=(0, 6))
    weights = np.ones(9) if by == "uniform" else np.maximum(COUNTS, 1)
    weights[[0, 4, 6]] = 0
    some = weights > 0
    assert found.sum() == 20_000
    assert chisquare(found[some], 20_000 * weights[some] / weights.sum()).pvalue > 0.01


def test_one_after_another_none_twice():
    """Two of three items with shares 3 : 1 : 1: the second is drawn from what the first leaves."""
    few = Few(Drawn(2, "popularity", 1), np.array([3.0, 1, 1, 1]))
    scores = torch.tensor([[0.0, 2, 2, 1]]).expand(30_000, 4)  # both that beat the wanted one: the first was left out
    ranks = few.ranks(scores, torch.arange(30_000), torch.full((30_000,), 3))
    left_out = 1 / 5 * 1 / 4 * 2  # without replacement: 1 then 2, or 2 then 1
    assert (
        chisquare([(ranks == 2).sum(), (ranks == 1).sum()], [30_000 * left_out, 30_000 * (1 - left_out)]).pvalue > 0.01
    )


def test_with_all_items_the_ranks_are_those_of_full_ranking():
    random = np.random.default_rng(2)
    vectors = torch.from_numpy(random.integers(-2, 3, (40, 3))).float()
    items = torch.from_numpy(random.integers(-2, 3, (9, 3))).float()
    lists = [random.choice(9, random.integers(0, 4)).tolist() + [-1] * int(random.integers(0, 2)) for _ in range(40)]
    wanted = np.array([item for one in lists for item in one], np.int64)
    spared = [random.integers(-1, 9, 3).tolist() for _ in range(40)]
    who = Users(
        vectors,
        wanted,
        np.cumsum([0, *map(len, lists)]),
        np.array(spared).flatten(),
        np.arange(0, 121, 3),
    )
    key = Drawn(9, "uniform", 0)
    found = next(rank(who, items, 5, [Few(key, COUNTS)]))
    assert found.drawn[key].tolist() == found.ranks.tolist()


@pytest.mark.parametrize("by", ["uniform", "popularity"])
def test_how_users_are_cut_into_batches_does_not_matter(by, monkeypatch):
    random = np.random.default_rng(3)
    vectors, items = torch.from_numpy(random.normal(size=(30, 4))), torch.from_numpy(random.normal(size=(9, 4)))
    wanted, key = random.integers(0, 9, 30), Drawn(3, by, 7)

    def ranks(parts, scores):
        monkeypatch.setattr(ranking, "SCORES", scores)
        few, found = [Few(key, COUNTS)], []
        for part in np.split(np.arange(30), parts):
            asked = Users(vectors[part], wanted[part], np.arange(len(part) + 1))
            found += [one.drawn[key] for one in rank(asked, items, 2, few)]
        return np.concatenate(found).tolist()

    whole = ranks([], 1 << 20)
    assert ranks([7, 8, 20], 1 << 20) == whole
    assert ranks([11], 20) == whole
    assert len(set(whole)) > 1
