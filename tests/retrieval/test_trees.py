"""Trees are even, and like items lie near each other in them."""

import itertools

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from easyrec.retrieval.tree import TreeShape
from easyrec.retrieval.trees import build
from easyrec.retrieval.trees.kmeans import _assigned
from easyrec.retrieval.trie import Trie
from feature_generator.config import member


def builder(name, **keys):
    return build(member("easyrec.retrieval.trees", name).Config(**keys))


@given(st.integers(1, 400), st.integers(2, 9))
@settings(max_examples=80, deadline=None)
def test_every_level_divides_the_leaves_evenly_and_each_leaf_is_one_path(leaves, branching):
    shape = TreeShape(leaves, branching)
    paths = shape.paths(np.arange(leaves))
    assert shape.sizes[-1] == leaves
    assert all(size == branching ** (level + 1) < leaves for level, size in enumerate(shape.sizes[:-1]))
    assert shape.starts == tuple(np.concatenate([[0], np.cumsum(shape.sizes)]))
    assert paths[:, -1].tolist() == list(range(leaves))
    above = np.zeros(leaves, int)
    for level, size in enumerate(shape.sizes):
        counts = np.bincount(paths[:, level], minlength=size)
        assert len(counts) == size
        assert counts.max() - counts.min() <= 1
        for node in range(int(above.max()) + 1):  # a node's children are its own, and not too many
            children = np.unique(paths[above == node, level])
            assert len(children) <= branching
            assert not np.isin(paths[above != node, level], children).any()
        above = paths[:, level]
    trie = Trie(paths)
    assert [len(codes) for codes in trie.codes] == list(shape.sizes)
    assert all(codes.tolist() == list(range(len(codes))) for codes in trie.codes)


def test_clusters_of_equal_size_are_found():
    """Four clouds of 16 items each, in two pairs."""
    random = np.random.default_rng(1)
    centres = np.array([[0, 0], [0, 8], [50, 0], [50, 8]], np.float32)
    cloud = random.permutation(np.repeat(np.arange(4), 16))
    vectors = centres[cloud] + random.normal(size=(64, 2)).astype(np.float32)
    order = builder("kmeans", branching=2).order(TreeShape(64, 2), vectors, {})
    found = cloud[order].reshape(4, 16)
    assert (found == found[:, :1]).all()
    assert {frozenset(found[:2, 0].tolist()), frozenset(found[2:, 0].tolist())} == {
        frozenset({0, 1}),
        frozenset({2, 3}),
    }


def test_same_seed_same_tree_and_more_steps_are_no_worse():
    vectors = np.random.default_rng(2).normal(size=(200, 5)).astype(np.float32)
    shape = TreeShape(200, 3)
    made = builder("kmeans", branching=3)
    order = made.order(shape, vectors, {})
    assert sorted(order) == list(range(200))
    assert (order == made.order(shape, vectors, {})).all()
    assert (order != builder("kmeans", branching=3, seed=1).order(shape, vectors, {})).any()
    few = builder("kmeans", branching=3, iterations=1).order(shape, vectors, {})
    chance = np.random.default_rng(3).permutation(200)
    first, second, third = (made.quality(shape, some, vectors, {})[1][0] for some in (order, few, chance))
    assert first < second < third


def test_unexplained_is_the_variance_inside_nodes():
    vectors = np.array([[0.0], [2.0], [10.0], [12.0]], np.float32)
    name, told = builder("kmeans").quality(TreeShape(4, 2), np.arange(4), vectors, {})
    assert name == "unexplained"
    assert told == pytest.approx([4 / 104, 0.0])


@given(st.integers(0, 2**31), st.integers(1, 5))
@settings(max_examples=40, deadline=None)
def test_two_parts_are_divided_at_the_least_cost(seed, room):
    costs = np.random.default_rng(seed).normal(size=(6, 2)).astype(np.float32)
    chosen = _assigned(costs, np.zeros(6, np.int64), np.array([[room, 6 - room]]))
    assert (chosen == 0).sum() == room
    least = min(
        sum(costs[i, 0 if i in some else 1] for i in range(6)) for some in itertools.combinations(range(6), room)
    )
    assert costs[np.arange(6), chosen].sum() == pytest.approx(least, abs=1e-5)


def test_no_part_takes_more_than_its_room_in_any_node():
    random = np.random.default_rng(5)
    node = np.repeat(np.arange(3), [7, 8, 9])
    room = np.array([[2, 2, 3], [3, 3, 2], [3, 3, 3]])
    costs = random.normal(size=(24, 3)).astype(np.float32)
    costs[:, 2] -= 3.0  # which all of them want
    chosen = _assigned(costs, node, room.copy())
    assert [np.bincount(chosen[node == n], minlength=3).tolist() for n in range(3)] == room.tolist()


def test_items_of_a_category_lie_side_by_side():
    random = np.random.default_rng(6)
    wide = pa.array(random.choice(["a", "b", "c", None], 60).tolist())
    fine = pa.array(random.integers(0, 3, 60))
    made = builder("categories", by=["wide", "fine"], seed=3)
    columns = {"wide": wide, "fine": fine}
    order = made.order(TreeShape(60, 2), None, columns)
    assert sorted(order) == list(range(60))
    for keys in ([wide[i].as_py() for i in order], [(wide[i].as_py(), fine[i].as_py()) for i in order]):
        assert len(list(itertools.groupby(keys))) == len(set(keys))
    assert (order != builder("categories", by=["wide", "fine"]).order(TreeShape(60, 2), None, columns)).any()


def test_of_one_category_is_the_share_of_the_most_frequent_in_a_node():
    kinds = pa.array(["a", "a", "b", "b", "b", "c"])
    name, told = builder("categories", by=["kind"]).quality(TreeShape(6, 2), np.arange(6), None, {"kind": kinds})
    assert name == "of one category"
    assert told == pytest.approx([4 / 6, 4 / 6, 1.0])  # aab bbc; a ab b bc


def test_vectors_of_any_size_are_clustered():
    vectors = np.random.default_rng(0).standard_normal((40, 4)).astype(np.float32)
    shape, made = TreeShape(40, 2), builder("kmeans")
    small = made.order(shape, vectors, {})
    assert made.order(shape, vectors * np.float32(2.0**66), {}).tolist() == small.tolist()


@pytest.mark.parametrize("encoded", [False, True], ids=["plain", "dictionary"])
def test_categories_may_be_encoded_and_missing(encoded):
    column = pa.array(["b", None, "a", "b", None, "a", "b", "a"])
    column = column.dictionary_encode() if encoded else column
    order = builder("categories", by=["cate"]).order(TreeShape(8, 2), None, {"cate": column})
    kinds = [column.to_pylist()[item] for item in order]
    assert sum(one != other for one, other in itertools.pairwise(kinds)) == 2  # equal ones lie side by side
