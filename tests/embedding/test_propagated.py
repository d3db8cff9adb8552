"""Tables that are looked up after propagation, against torch's gradients through dense matrices."""

import numpy as np
import pytest
import torch

from easyrec.batch import Batch
from easyrec.config.train import SGD, Adam, LazyAdam
from easyrec.embedding.plan import EmbeddingPlan, plan_embeddings
from easyrec.embedding.propagated import PropagatedCollection, collection_of
from easyrec.errors import CheckpointError
from feature_generator import FeatureGenerator
from feature_generator.config import member

USERS, ITEMS, LAYERS, RATE, DECAY = 6, 5, 2, 0.5, 0.1
FEATURES = {
    "features": [
        {"type": "id", "name": "user", "expression": "user:user", "num_buckets": USERS, "embedding_dim": 4},
        {"type": "id", "name": "item", "expression": "item:item", "num_buckets": ITEMS, "embedding_dim": 4},
    ]
}
GENERATOR = FeatureGenerator.load(FEATURES)
WIDE = {"type": "normal", "std": 1.0}
MODEL = member("easyrec.models", "lightgcn").Config(
    layers=LAYERS, embedding_init=WIDE, groups={"user": ["user"], "item": ["item"]}
)
PAIRS = [
    (np.array([0, 0, 1]), np.array([0, 1, 1])),
    (np.array([3, 3, 0, 4]), np.array([1, 2, 0, 2])),
]  # (0, 0) twice; users 2 and 5, items 3 and 4 are alone
ROWS = {"user": np.array([0, 3, 3, 5]), "item": np.array([1, 1, 4, 2])}


def made(optimizer=None, plan=None, threads=1, regularizer=0.0, connected=True):
    plan = plan or plan_embeddings(GENERATOR.outputs, MODEL)
    found = PropagatedCollection(plan, optimizer or SGD(), LAYERS, regularizer, 7, threads)
    if connected:
        found.connect(iter(PAIRS))
    return found


def batch():
    return Batch.of(GENERATOR.transform(ROWS), outputs=GENERATOR.outputs)


def mean_of_powers():
    users, items = (np.concatenate(side) for side in zip(*PAIRS, strict=True))
    taken = torch.zeros(USERS, ITEMS, dtype=torch.float64)
    taken[users, items] = 1.0
    matrix = torch.zeros(USERS + ITEMS, USERS + ITEMS, dtype=torch.float64)
    matrix[:USERS, USERS:], matrix[USERS:, :USERS] = taken, taken.T
    scales = matrix.sum(1).clamp_min(1.0).rsqrt()
    matrix = scales[:, None] * matrix * scales
    return sum(torch.linalg.matrix_power(matrix, k) for k in range(LAYERS + 1)) / (LAYERS + 1)


def tables(collection):
    """(U + I, D) float64, a copy of what is trained."""
    weights = collection.weights
    return torch.from_numpy(np.concatenate([weights["user"], weights["item"]])).double()


def loss_of(users, items):
    return ((users * items).sum(1) - 1.0).square().sum()


def step(collection, **keys):
    x = collection.lookup(batch())
    loss_of(x.fields("user")[:, 0], x.fields("item")[:, 0]).backward()
    collection.apply_gradients(RATE, **keys)


def gradient(weights):
    weights = weights.clone().requires_grad_()
    spread = mean_of_powers() @ weights
    loss_of(spread[ROWS["user"]], spread[USERS + ROWS["item"]]).backward()
    return weights.grad


def reversed_plan():
    plan = plan_embeddings(GENERATOR.outputs, MODEL)
    return EmbeddingPlan(plan.tables[::-1], plan.groups)


@pytest.mark.parametrize("plan", [None, reversed_plan()], ids=["users-first", "items-first"])
def test_rows_are_looked_up_after_propagation(plan):
    collection = made(plan=plan)
    spread = (mean_of_powers() @ tables(collection)).float()
    x = collection.lookup(batch())
    torch.testing.assert_close(x.fields("user")[:, 0], spread[ROWS["user"]])
    torch.testing.assert_close(x.fields("item")[:, 0], spread[USERS + ROWS["item"]])
    np.testing.assert_allclose(collection.looked_up["user"], spread[:USERS], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(collection.looked_up["item"], spread[USERS:], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("plan", [None, reversed_plan()], ids=["users-first", "items-first"])
@pytest.mark.parametrize("scale", [1.0, 0.25])
def test_steps_follow_the_gradient_of_the_whole_propagation(plan, scale):
    collection = made(plan=plan, regularizer=DECAY)
    expected = tables(collection)
    for _ in range(3):
        expected = expected - RATE * scale * (gradient(expected) + DECAY * expected)
        step(collection, scale=scale)
        torch.testing.assert_close(tables(collection), expected, rtol=1e-4, atol=1e-5)


def test_neighbours_of_what_was_looked_up_move_and_lone_rows_stay():
    collection = made(LazyAdam())
    before = tables(collection)
    step(collection)
    moved = (tables(collection) != before).any(1)
    assert moved[[0, 1, 3, 4]].all()  # users: 1 and 4 by their neighbours' neighbours
    assert moved[5]  # alone, but looked up
    assert not moved[2]  # alone, and not looked up
    assert moved[USERS:].tolist() == [True, True, True, False, True]


def test_the_norm_is_that_of_the_whole_gradient_and_may_be_asked_before_the_step():
    collection = made(regularizer=DECAY)
    weights = tables(collection)
    x = collection.lookup(batch())
    loss_of(x.fields("user")[:, 0], x.fields("item")[:, 0]).backward()
    expected = gradient(weights) + DECAY * weights
    for _ in range(2):
        assert collection.grad_square_sum() == pytest.approx(float(expected.square().sum()), rel=1e-4)
    collection.apply_gradients(RATE)
    torch.testing.assert_close(tables(collection), weights - RATE * expected, rtol=1e-4, atol=1e-5)
    assert collection.grad_square_sum() == 0.0


def test_gradients_that_are_discarded_leave_nothing_behind():
    collection, other = made(), made()
    x = collection.lookup(batch())
    (9.0 * x.fields("user").sum()).backward()
    collection.grad_square_sum()
    collection.discard_gradients()
    step(collection)
    step(other)
    assert torch.equal(tables(collection), tables(other))


def test_weights_that_are_changed_from_outside_are_spread_anew():
    collection = made()
    before = collection.looked_up["user"].copy()
    collection.weights["item"][1] += 1.0
    assert not np.array_equal(collection.looked_up["user"][0], before[0])
    np.testing.assert_array_equal(collection.looked_up["user"][2], before[2])


def test_threads_change_nothing():
    one, two = made(Adam(), threads=1), made(Adam(), threads=2)
    for collection in (one, two):
        for _ in range(3):
            step(collection)
    assert torch.equal(tables(one), tables(two))


def test_state_goes_on_where_it_was_without_the_data():
    whole, other = made(Adam()), made(Adam(), connected=False)
    step(whole)
    other.load_state_arrays({name: array.copy() for name, array in whole.state_arrays().items()})
    for collection in (whole, other):
        step(collection)
    assert torch.equal(tables(whole), tables(other))
    np.testing.assert_array_equal(whole.looked_up["user"], other.looked_up["user"])


def test_state_without_a_graph_is_refused_and_changes_nothing():
    whole, other = made(Adam()), made(Adam(), connected=False)
    step(whole)
    kept, state = tables(other), {n: a for n, a in whole.state_arrays().items() if not n.startswith("graph/")}
    with pytest.raises(CheckpointError, match="holds no graph"):
        other.load_state_arrays(state)
    assert torch.equal(tables(other), kept)
    with pytest.raises(CheckpointError, match="holds no graph"):
        other.load_beside(state)
    with pytest.raises(RuntimeError, match="not known yet"):
        other.lookup(batch())


def test_other_models_have_plain_tables():
    plain = member("easyrec.models", "bpr_mf").Config(groups={"user": ["user"], "item": ["item"]})
    plan = plan_embeddings(GENERATOR.outputs, plain)
    assert not isinstance(collection_of(plain, plan, SGD()), PropagatedCollection)
    assert isinstance(collection_of(MODEL, plan, SGD()), PropagatedCollection)
