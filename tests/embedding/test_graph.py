"""Embeddings spread over a graph, against products of dense matrices."""

import numpy as np
import pytest
import torch

from easyrec.embedding.graph import ITEMS, OFFSETS, Graph
from easyrec.errors import CheckpointError

USERS, TAKEN = [0, 0, 2, 3, 3, 3, 0, 2], [4, 1, 1, 0, 4, 1, 4, 1]  # two pairs twice; nobody is user 1, took 2 or 3
SIZES = (4, 5)


def graph():
    return Graph.of(np.array(USERS), np.array(TAKEN), *SIZES)


def normalised():
    """D^-1/2 A D^-1/2 over users and then items, pair by pair."""
    pairs = set(zip(USERS, TAKEN, strict=True))
    matrix = np.zeros((9, 9))
    for user, item in pairs:
        of_user, of_item = sum(u == user for u, _ in pairs), sum(i == item for _, i in pairs)
        matrix[user, 4 + item] = matrix[4 + item, user] = 1 / np.sqrt(of_user * of_item)
    return matrix


def drawn(seed=0):
    random = np.random.default_rng(seed)
    return random.normal(size=(4, 3)).astype(np.float32), random.normal(size=(5, 3)).astype(np.float32)


def spread(users, items, layers, over=None):
    found = (graph() if over is None else over).spread(torch.from_numpy(users), torch.from_numpy(items), layers)
    return torch.cat(found).numpy()


@pytest.mark.parametrize("layers", [1, 2, 3, 5])
def test_spreading_is_the_mean_of_powers_of_the_normalised_matrix(layers):
    users, items = drawn()
    whole, matrix = np.concatenate([users, items]), normalised()
    powers = [np.linalg.matrix_power(matrix, k) @ whole for k in range(layers + 1)]
    np.testing.assert_allclose(spread(users, items, layers), np.mean(powers, axis=0), rtol=1e-5, atol=1e-6)


def test_what_is_spread_stays_as_it_was():
    users, items = drawn()
    spread(users, items, 2)
    np.testing.assert_array_equal(np.concatenate([users, items]), np.concatenate(drawn()))


def test_pairs_count_once_in_any_order():
    again = Graph.of(np.array(USERS[::-1] * 3), np.array(TAKEN[::-1] * 3), *SIZES)
    np.testing.assert_array_equal(spread(*drawn(), 3, again), spread(*drawn(), 3))
    assert again.num_edges == 6
    assert str(again) == "6 edges between 3 users and 3 items"


def test_a_node_without_neighbours_keeps_its_share_of_the_mean():
    users, items = drawn()
    found = spread(users, items, 3)
    np.testing.assert_array_equal(found[1], users[1] / 4)
    np.testing.assert_array_equal(found[4 + 2], items[2] / 4)
    none = Graph.of(np.zeros(0, int), np.zeros(0, int), *SIZES)
    np.testing.assert_array_equal(spread(users, items, 1, none), np.concatenate([users, items]) / 2)


def test_the_gradient_goes_back_by_the_same_map():
    users, items = (torch.from_numpy(part).double().requires_grad_() for part in drawn())
    matrix, whole = torch.from_numpy(normalised()), torch.cat([users, items])
    weights = np.concatenate(drawn(1))
    (((whole + matrix @ whole + matrix @ matrix @ whole) / 3) * torch.from_numpy(weights)).sum().backward()
    expected = torch.cat([users.grad, items.grad]).numpy()
    np.testing.assert_allclose(spread(*drawn(1), 2), expected, rtol=1e-5, atol=1e-6)


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("dim", [1, 7, 64])
def test_threads_change_nothing(threads, dim):
    random, found = np.random.default_rng(3), []
    over = Graph.of((3001 * random.random(40_000) ** 3).astype(int), random.integers(0, 2003, 40_000), 3001, 2003)
    sides = [random.normal(size=(n, dim)).astype(np.float32) for n in (3001, 2003)]
    for number in (1, 2, 5):
        threads(number)
        found.append(spread(*sides, 3, over))
    for other in found[1:]:
        np.testing.assert_array_equal(other, found[0])


def test_a_checkpoint_gives_the_same_graph():
    again = Graph.load({name: array.copy() for name, array in graph().arrays().items()}, *SIZES)
    np.testing.assert_array_equal(spread(*drawn(), 3, again), spread(*drawn(), 3))


@pytest.mark.parametrize("sizes", [(5, 5), (4, 3)], ids=["users", "items"])
def test_the_graph_of_another_model_is_refused(sizes):
    with pytest.raises(CheckpointError, match="of other users or items"):
        Graph.load(graph().arrays(), *sizes)
    for name in (ITEMS, OFFSETS):
        with pytest.raises(CheckpointError, match="holds no graph"):
            Graph.load({k: v for k, v in graph().arrays().items() if k != name}, *SIZES)
