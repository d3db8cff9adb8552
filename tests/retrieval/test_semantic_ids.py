"""Quantizers: what codes mean, that they are learned, and how good they are said to be."""

import math

import numpy as np
import pytest
import torch

from easyrec.retrieval.semantic_ids import Quantized, build
from easyrec.retrieval.semantic_ids._quality import quality, resolved
from easyrec.retrieval.semantic_ids.rq_vae import balanced
from feature_generator.config import member, members

FAMILY = "easyrec.retrieval.semantic_ids"
SMALL = {"kmeans": {}, "rq_vae": {"hidden": [32], "dim": 8, "epochs": 60, "batch_size": 128, "lr": 0.003}}


def quantized(name, vectors, **keys):
    return build(member(FAMILY, name).Config(**{"levels": 2, "codes": 8, **SMALL.get(name, {}), **keys})).quantize(
        vectors
    )


def clusters(seed=1):
    """500 vectors around 8 centres, each of these around one of 2, and which."""
    random = np.random.default_rng(seed)
    outer = random.normal(0, 10, (2, 16))
    centres = np.repeat(outer, 4, axis=0) + random.normal(0, 3, (8, 16))
    which = random.integers(0, 8, 500)
    return (centres[which] + random.normal(0, 0.1, (500, 16))).astype(np.float32), which


@pytest.mark.parametrize("name", members(FAMILY))
def test_same_config_and_vectors_same_codes(name):
    vectors, _ = clusters()
    first, second, other = (quantized(name, vectors, seed=seed) for seed in (3, 3, 4))
    assert np.array_equal(first.codes, second.codes)
    assert np.array_equal(first.unexplained, second.unexplained)
    assert not np.array_equal(first.codes, other.codes)


@pytest.mark.parametrize("name", members(FAMILY))
def test_items_of_like_vectors_share_their_first_code(name):
    vectors, which = clusters()
    found = quantized(name, vectors)
    assert found.codes.shape == (500, 2)
    assert found.codes.min() >= 0
    assert found.codes.max() < 8
    of_cluster = [set(found.codes[which == cluster, 0]) for cluster in range(8)]
    assert sum(len(codes) == 1 for codes in of_cluster) >= 5
    assert len(set.union(*of_cluster)) >= 4
    assert (np.diff(found.unexplained) < 0).all()
    assert found.unexplained[-1] < 0.1


def test_what_k_means_leaves_is_what_its_codes_do_not_hold():
    """Means of the items of each pair of codes rebuild at least as well as two levels."""
    vectors, _ = clusters()
    found = quantized("kmeans", vectors, codes=4)
    centred = vectors - vectors.mean(0)
    first = sum(
        ((centred[found.codes[:, 0] == c] - centred[found.codes[:, 0] == c].mean(0)) ** 2).sum() for c in range(4)
    )
    assert found.unexplained[0] == pytest.approx(first / (centred**2).sum(), rel=1e-3)
    pair = found.codes @ [4, 1]
    both = sum(((centred[pair == c] - centred[pair == c].mean(0)) ** 2).sum() for c in np.unique(pair))
    assert both / (centred**2).sum() <= found.unexplained[1] + 1e-6 < found.unexplained[0]


def test_balanced_codes_are_used_equally_and_are_near():
    torch.manual_seed(1)
    book = torch.randn(8, 4)
    vectors = torch.cat([book[0] + 0.5 * torch.randn(60, 4), book[torch.arange(1, 8)] + 0.1 * torch.randn(7, 4)])
    plain = torch.bincount(torch.cdist(vectors, book).argmin(1), minlength=8)
    even = torch.bincount(balanced(vectors, book, 0.05, 200), minlength=8)
    assert plain.max() > 30
    assert even.max() <= 12
    assert even.min() >= 4
    spread = book[torch.arange(8).repeat(4)] + 0.01 * torch.randn(32, 4)
    assert torch.equal(balanced(spread, book, 0.01), torch.arange(8).repeat(4))


def test_balance_raises_the_entropy_of_the_last_level():
    random = np.random.default_rng(2)
    vectors = np.concatenate([random.normal(0, 1, (400, 8)), random.normal(8, 0.05, (100, 8))]).astype(np.float32)
    plain, even = (
        quality(quantized("rq_vae", vectors, levels=1, balance=balance, epsilon=0.05), 8)["levels"][0]["entropy"]
        for balance in ("none", "last")
    )
    assert even > plain + 0.05


def test_items_of_equal_codes_are_told_apart_in_their_order():
    codes = np.array([[1, 2], [0, 0], [1, 2], [3, 0], [1, 2], [0, 0]])
    assert resolved(codes).tolist() == [[1, 2, 0], [0, 0, 0], [1, 2, 1], [3, 0, 0], [1, 2, 2], [0, 0, 1]]


def test_quality_by_hand():
    codes = np.array([[1, 2], [0, 0], [1, 2], [1, 0]])
    told = quality(Quantized(codes, np.array([0.5, 0.25])), 4)
    assert (told["items"], told["unique"], told["alike"]) == (4, 0.75, 2)
    entropy = -(0.25 * math.log2(0.25) + 0.75 * math.log2(0.75))
    first, second = told["levels"]
    assert first == {
        "used": 2,
        "entropy": pytest.approx(entropy),
        "perplexity": pytest.approx(2**entropy),
        "unexplained": 0.5,
        "counts": [1, 3, 0, 0],
    }
    assert (second["used"], second["entropy"], second["perplexity"], second["counts"]) == (2, 1.0, 2.0, [2, 0, 2, 0])
