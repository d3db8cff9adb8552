"""The sampler of a tree draws other nodes of each level, all as likely, none twice."""

import itertools

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.stats import chisquare

from easyrec.data.samplers import build
from easyrec.data.samplers.tree import Config, some_of
from easyrec.retrieval.tree import TreeShape

SHAPE = TreeShape(11, 2)  # levels of 2, 4, 8 and 11 nodes


def sampler(**keys):
    made = build(Config(**keys), np.ones(11))
    made.sizes, made.paths = SHAPE.sizes, SHAPE.paths(np.random.default_rng(1).permutation(11))
    return made


def by_level(made, nodes):
    """The nodes of each level, by their numbers in it."""
    counts = [1 + min(made.config.of_level(level), size - 1) for level, size in enumerate(SHAPE.sizes)]
    assert nodes.shape[1] == sum(counts)
    parts = np.split(nodes, np.cumsum(counts)[:-1], axis=1)
    return [part - start for part, start in zip(parts, SHAPE.starts, strict=False)]


@pytest.mark.parametrize("negatives", [1, 3, 100, [1, 3, 5], [2]])
def test_each_level_has_the_node_above_the_item_and_others(negatives):
    made, own = sampler(negatives=negatives), np.random.default_rng(2).integers(0, 11, 200)
    for level, nodes in enumerate(by_level(made, made.nodes(own, np.random.default_rng(3)))):
        assert (nodes[:, 0] == made.paths[own, level]).all()
        assert ((nodes >= 0) & (nodes < SHAPE.sizes[level])).all()
        assert all(len(set(row)) == len(row) for row in nodes.tolist())


def test_counts_by_level_and_the_last_one_for_those_below():
    made = sampler(negatives=[1, 2, 4])
    widths = [nodes.shape[1] for nodes in by_level(made, made.nodes(np.array([3]), np.random.default_rng(4)))]
    assert widths == [2, 3, 5, 5]


def test_all_others_of_a_level_are_as_likely():
    made, own = sampler(negatives=3), np.full(20_000, 4)
    for level, nodes in enumerate(by_level(made, made.nodes(own, np.random.default_rng(5)))):
        others = np.delete(np.arange(SHAPE.sizes[level]), made.paths[4, level])
        counts = np.bincount(nodes[:, 1:].reshape(-1), minlength=SHAPE.sizes[level])
        assert counts[made.paths[4, level]] == 0
        assert len(others) == 1 or chisquare(counts[others]).pvalue > 0.001


@pytest.mark.parametrize(("size", "count"), [(5, 2), (6, 5), (4, 4), (3, 0)])
def test_every_set_is_as_likely(size, count):
    found = np.sort(some_of(size, count, 30_000, np.random.default_rng(6)), axis=1)
    sets = {some: number for number, some in enumerate(itertools.combinations(range(size), count))}
    numbers = [sets[tuple(row)] for row in found.tolist()]
    if len(sets) > 1:
        assert chisquare(np.bincount(numbers, minlength=len(sets))).pvalue > 0.001


def test_the_same_chance_draws_the_same_nodes():
    made, own = sampler(negatives=2), np.arange(11)
    first, again, other = (made.nodes(own, np.random.default_rng(seed)) for seed in (7, 7, 8))
    assert (first == again).all()
    assert (first != other).any()


@pytest.mark.parametrize("negatives", [0, [], [2, 0], "many"])
def test_no_nodes_are_no_sampler(negatives):
    with pytest.raises(ValidationError):
        Config(negatives=negatives)
