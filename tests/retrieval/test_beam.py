"""Beam search over the codes of items equals looking at all of them."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from easyrec.retrieval.beam import beam_search, search
from easyrec.retrieval.trie import Trie


def drawn(seed, levels, width):
    """Different codes of some items, in any order, and what they are called."""
    random = np.random.default_rng(seed)
    every = np.array(list(itertools.product(range(width), repeat=levels)))
    codes = every[random.permutation(len(every))[: random.integers(1, len(every) + 1)]]
    return codes, random.permutation(300)[: len(codes)]


class Logs:
    """Log-probabilities of the next code that depend on all codes before, of some users."""

    def __init__(self, seed, users, levels, width):
        generator = torch.Generator().manual_seed(seed)
        sizes = [(users, *[width] * (level + 1)) for level in range(levels)]
        self.tables = [torch.log_softmax(torch.randn(size, generator=generator), -1) for size in sizes]
        self.users, self.written = users, None

    def __call__(self, parents, codes):
        if parents is None:
            self.written = torch.zeros(self.users, 1, 0, dtype=torch.int64)
        else:
            kept = self.written.gather(1, parents.unsqueeze(2).expand(-1, -1, self.written.shape[2]))
            self.written = torch.cat([kept, codes.unsqueeze(2)], dim=2)
        table = self.tables[self.written.shape[2]]
        rows = torch.arange(self.users).unsqueeze(1).expand(-1, self.written.shape[1])
        return table[(rows, *self.written.unbind(2))]

    def of(self, user, codes):
        """The exact log-probability of an item."""
        return sum(float(table[(user, *codes[: level + 1].tolist())]) for level, table in enumerate(self.tables))


@given(st.integers(0, 2**31), st.integers(0, 3), st.integers(1, 4), st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_a_beam_as_wide_as_the_catalogue_is_exact(seed, users, levels, width):
    codes, names = drawn(seed, levels, width)
    logs = Logs(seed, users, levels, width)
    random = np.random.default_rng(seed)
    pairs = [(user, name) for user in range(users) for name in names if random.random() < 0.2]
    barred = tuple(torch.tensor([pair[side] for pair in pairs], dtype=torch.int64) for side in (0, 1))
    items, scores = beam_search(Trie(codes, names), logs, users, len(codes), barred)
    assert len(items) == users
    for user in range(users):
        left = [(logs.of(user, c), n) for c, n in zip(codes, names, strict=True) if (user, n) not in pairs]
        expected = sorted(left, reverse=True)
        assert items[user].tolist() == [int(n) for _, n in expected] + [-1] * (items.shape[1] - len(expected))
        np.testing.assert_allclose(scores[user][: len(expected)], [s for s, _ in expected], rtol=1e-5)


def test_a_narrow_beam_follows_the_best_beginnings():
    """Kept are the two best first codes; the best item begins with the third."""
    codes = np.array([[0, 0], [0, 1], [1, 0], [2, 0]])
    first = torch.tensor([[0.4, 0.35, 0.25]]).log()
    second = torch.tensor([[0.5, 0.5], [0.6, 0.4], [1.0, 0.0]]).log()

    def advance(parents, written):
        return first.unsqueeze(1) if parents is None else second[written]

    wide, _ = beam_search(Trie(codes), advance, 1, 4)
    narrow, scores = beam_search(Trie(codes), advance, 1, 2)
    assert wide[0, 0].item() == 3
    assert narrow.tolist() == [[2, 0]]
    assert scores.exp().tolist() == [pytest.approx([0.21, 0.2])]


def test_items_of_equal_codes_are_refused():
    with pytest.raises(ValueError, match=r"items 7 and 9 have the same codes: \[1, 2\]"):
        Trie(np.array([[1, 2], [0, 2], [1, 2]]), np.array([7, 8, 9]))
    with pytest.raises(ValueError, match="no items"):
        Trie(np.zeros((0, 2), np.int64))


def test_barred_items_make_room_for_others():
    """The best branch is barred altogether: a narrow beam must not end in it."""
    items, levels, k = 64, 6, 4
    codes = np.array([[(item >> (levels - 1 - level)) for level in range(levels)] for item in range(items)])
    trie = Trie(codes)
    goodness = torch.arange(items, 0, -1).float()  # the first item is the best, a node as good as its best item

    def score(grown):
        first = grown.codes << (levels - 1 - grown.level)
        return goodness[first]

    barred = torch.arange(32)  # the whole left half for user 0; nothing for user 1
    found, scores = search(trie, score, 2, k, (torch.zeros(32, dtype=torch.int64), barred))
    assert found.tolist() == [[32, 33, 34, 35], [0, 1, 2, 3]]
    assert torch.isfinite(scores).all()
    twice = torch.cat([barred, barred, torch.tensor([500])])  # items named twice, or not of the catalogue
    again, _ = search(trie, score, 2, k, (torch.zeros(65, dtype=torch.int64), twice))
    assert again.tolist() == found.tolist()


def test_the_places_and_leaves_of_a_trie():
    trie = Trie(np.array([[1, 0], [0, 1], [1, 1], [0, 0]]), np.array([7, 3, 9, 5]))
    assert trie.items.tolist() == [5, 3, 7, 9]
    assert [leaves.tolist() for leaves in trie.leaves] == [[0, 4], [0, 2, 4], [0, 1, 2, 3, 4]]
    assert trie.places(torch.tensor([9, 5, 4, 100])).tolist() == [3, 0, -1, -1]
