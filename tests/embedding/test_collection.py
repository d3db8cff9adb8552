from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from easyrec.config.train import FTRL, SGD, Adagrad, Adam, LazyAdam, RowwiseAdagrad
from easyrec.embedding import _reference
from easyrec.embedding.collection import EmbeddingCollection
from easyrec.embedding.on_device import DeviceCollection
from easyrec.embedding.tables import STATES
from easyrec.errors import CheckpointError, DataError

OPTIMIZERS = {
    "adam": Adam(eps=1e-6),
    "lazy_adam": LazyAdam(betas=(0.8, 0.99)),
    "rowwise_adagrad": RowwiseAdagrad(initial_accumulator=0.1),
    "adagrad": Adagrad(initial_accumulator=0.1),
    "sgd": SGD(),
    "ftrl": FTRL(l1=0.01, l2=0.1, beta=0.5),
}
ON = torch.device("cuda" if torch.cuda.is_available() else "cpu")
# torch reckons the same on a processor; that nothing is on two devices at once is what `test_device.py` tests.
WHERE = pytest.mark.parametrize(
    "made", [EmbeddingCollection, partial(DeviceCollection, device=ON)], ids=["host", "device"]
)
DIMS = [1, 2, 3, 4, 8, 10, 12, 16, 17, 24, 32, 48, 64, 100, 128]


def randomize(collection, seed):
    """Weights of order one: with the tiny first ones every difference would be small."""
    rng = np.random.default_rng(seed)
    for array in collection.weights.values():
        array[...] = rng.normal(size=array.shape)


def learn(collection, batch, seed):
    """One lookup and backward with random gradients; returns these."""
    embedded = collection.lookup(batch)
    generator = torch.Generator().manual_seed(seed)
    upstream = {
        key: torch.randn(tensor.shape, generator=generator).to(tensor.device)
        for key, tensor in embedded.tensors.items()
        if tensor.requires_grad
    }
    sum((embedded.tensors[key] * gradient).sum() for key, gradient in upstream.items()).backward()
    return {key: tensor.cpu().numpy() for key, tensor in upstream.items()}


@WHERE
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), rows=st.integers(0, 9), dim=st.sampled_from(DIMS))
def test_lookup_is_what_the_reference_says(made, make_world, seed, rows, dim):
    world = make_world(seed, rows, dim)
    collection = made(world.plan, SGD(), threads=1)
    randomize(collection, seed)
    found = collection.lookup(world.batch).tensors
    expected = _reference.lookup(world.plan, collection.weights, world.columns)
    assert set(found) == {key for layout in world.plan.layouts.values() for key in layout.keys()}  # noqa: SIM118
    for key, value in expected.items():
        np.testing.assert_allclose(found[key].detach().cpu().numpy(), value, rtol=1e-5, atol=1e-5, err_msg=key)


@WHERE
@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    rows=st.integers(1, 9),
    dim=st.sampled_from(DIMS),
    name=st.sampled_from(sorted(OPTIMIZERS)),
    regularizer=st.sampled_from([0.0, 0.05]),
)
def test_steps_are_what_the_reference_says(made, make_world, seed, rows, dim, name, regularizer):
    optimizer = OPTIMIZERS[name]
    collection = made(make_world(seed, rows, dim).plan, optimizer, regularizer, threads=1)
    randomize(collection, seed)
    state = {key: array.astype(np.float64) for key, array in collection.state_arrays().items()}
    for number in (1, 2, 3):
        world = make_world(seed + number - 1, rows, dim)
        # A plan of another seed may pool otherwise; the rows are what changes here.
        world.plan = collection.plan
        upstream = learn(collection, world.batch, number)
        gradients, seen = _reference.gradients(world.plan, world.columns, upstream)
        for spec in world.plan.tables:
            if spec.trainable:
                states = {kind: state[f"{spec.name}/{kind}"] for kind in STATES[name]}
                _reference.step(
                    optimizer, state[f"{spec.name}/weight"], states, gradients[spec.name], seen[spec.name],
                    number, 0.05, regularizer,
                )  # fmt: skip
        collection.apply_gradients(0.05)
    found = dict(collection.state_arrays())
    assert found.pop("step") == 3
    for key, array in found.items():
        np.testing.assert_allclose(array, state[key], rtol=2e-3, atol=2e-4, err_msg=key)


@WHERE
@pytest.mark.parametrize("regularizer", [0.0, 0.3])
def test_square_sum_and_scale_are_those_of_the_whole_gradient(made, make_world, regularizer):
    world = make_world(1, 8)
    collection = made(world.plan, SGD(), regularizer)
    randomize(collection, 1)
    before = {key: array.copy() for key, array in collection.weights.items()}
    upstream = learn(collection, world.batch, 1)
    gradients, _ = _reference.gradients(world.plan, world.columns, upstream)
    whole = {s.name: gradients[s.name] + regularizer * before[s.name] for s in world.plan.tables if s.trainable}
    expected = sum(float((g**2).sum()) for g in whole.values())
    assert collection.grad_square_sum() == pytest.approx(expected, rel=1e-5)
    collection.apply_gradients(0.1, scale=0.25)
    for key, gradient in whole.items():
        np.testing.assert_allclose(collection.weights[key], before[key] - 0.1 * 0.25 * gradient, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("optimizer", "sparse", "torch_optimizer"),
    [
        (Adam(), False, lambda p: torch.optim.Adam(p, 0.01)),
        (LazyAdam(eps=1e-15), True, lambda p: torch.optim.SparseAdam(p, 0.01, eps=1e-15)),
        (Adagrad(initial_accumulator=0.2), True, lambda p: torch.optim.Adagrad(p, 0.01, initial_accumulator_value=0.2)),
        (SGD(), True, lambda p: torch.optim.SGD(p, 0.01)),
    ],
    ids=["adam", "lazy_adam", "adagrad", "sgd"],
)
def test_twenty_steps_are_those_of_torch(make_world, optimizer, sparse, torch_optimizer):
    only = {"groups": {"deep": {"features": ["one", "many"]}}, "use": {"deep": {"fields": True}}}
    world = make_world(0, 30, 16, 50, **only)
    collection = EmbeddingCollection(world.plan, optimizer)
    randomize(collection, 0)
    twin = torch.nn.Embedding(*collection.weights["one"].shape, sparse=sparse)
    with torch.no_grad():
        twin.weight.copy_(torch.from_numpy(collection.weights["one"]))
    moved = torch_optimizer(list(twin.parameters()))
    target = torch.randn(30, 32, generator=torch.Generator().manual_seed(0))
    for seed in range(20):
        batch = make_world(seed, 30, 16, 50, **only).batch
        one, many = batch.sparse["one"], batch.sparse["many"]
        bags = [
            torch.nn.functional.embedding_bag(one.values, twin.weight, torch.arange(30), mode="sum", sparse=sparse),
            torch.nn.functional.embedding_bag(
                many.values, twin.weight, many.offsets, mode="sum", sparse=sparse, include_last_offset=True
            ),
        ]
        ((torch.cat(bags, 1) - target) ** 2).mean().backward()
        with torch.sparse.check_sparse_tensor_invariants(enable=True):  # torch warns unless told
            moved.step()
        moved.zero_grad()
        ((collection.lookup(batch).flat("deep") - target) ** 2).mean().backward()
        collection.apply_gradients(0.01)
    np.testing.assert_allclose(collection.weights["one"], twin.weight.detach().numpy(), rtol=1e-4, atol=2e-5)


def test_lazy_adam_equals_adam_where_every_row_is_in_every_batch(make_world):
    only = {"groups": {"deep": {"features": ["one"]}}, "use": {"deep": {"fields": True}}}
    results = []
    for optimizer in (Adam(), LazyAdam()):
        world = make_world(0, 200, 8, 5, **only)
        assert len(np.unique(world.table["one"].values)) == 5
        collection = EmbeddingCollection(world.plan, optimizer)
        for seed in range(4):
            learn(collection, world.batch, seed)
            collection.apply_gradients(0.01)
        results.append(collection.weights["one"].copy())
    np.testing.assert_array_equal(*results)


def test_rowwise_adagrad_by_hand(make_world):
    only = {"groups": {"deep": {"features": ["one"]}}, "use": {"deep": {"fields": True}}}
    world = make_world(0, 1, 2, 5, **only)
    collection = EmbeddingCollection(world.plan, RowwiseAdagrad(eps=1.0))
    row = int(world.table["one"].values[0])
    collection.weights["one"][row] = [1.0, 2.0]
    (collection.lookup(world.batch).flat("deep") * torch.tensor([3.0, 4.0])).sum().backward()
    collection.apply_gradients(0.5)
    # The accumulator is (9 + 16) / 2, the step 0.5 * gradient / (sqrt(12.5) + 1).
    expected = [1.0 - 0.5 * 3.0 / (12.5**0.5 + 1.0), 2.0 - 0.5 * 4.0 / (12.5**0.5 + 1.0)]
    np.testing.assert_allclose(collection.weights["one"][row], expected, rtol=1e-6)
    assert collection.state_arrays()["one/sum"][row] == 12.5


def test_ftrl_by_hand(make_world):
    only = {"groups": {"deep": {"features": ["one"]}}, "use": {"deep": {"fields": True}}}
    world = make_world(0, 1, 2, 5, **only)
    collection = EmbeddingCollection(world.plan, FTRL(l1=1.0, l2=0.5, beta=1.0))
    row = int(world.table["one"].values[0])
    collection.weights["one"][row] = 0.0
    (collection.lookup(world.batch).flat("deep") * torch.tensor([3.0, -0.5])).sum().backward()
    collection.apply_gradients(0.1)
    # z = g; |3| > l1: w = -(3 - 1) / ((1 + 3) / 0.1 + 0.5); |-0.5| <= l1: w = 0.
    np.testing.assert_allclose(collection.weights["one"][row], [-2.0 / 40.5, 0.0], rtol=1e-6)


def test_gradients_of_the_loss_are_those_of_finite_differences(make_world):
    world = make_world(3, 4, 3)
    collection = EmbeddingCollection(world.plan, SGD())
    randomize(collection, 3)
    spec = world.plan.tables[0]

    def loss():
        tensors = collection.lookup(world.batch).tensors
        return sum((t**2).sum() for k, t in sorted(tensors.items()) if k.startswith(("emb", "first", "seq")))

    weights = collection.weights[spec.name]
    numeric = np.zeros_like(weights)
    with torch.no_grad():
        for index in np.ndindex(weights.shape):
            kept = weights[index]
            values = []
            for delta in (-0.01, 0.01):
                weights[index] = kept + delta
                values.append(float(loss()))
            weights[index] = kept
            numeric[index] = (values[1] - values[0]) / 0.02
    before = weights.copy()
    loss().backward()
    collection.apply_gradients(1.0)
    np.testing.assert_allclose(before - weights, numeric, rtol=1e-2, atol=2e-2)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_one_and_two_threads_give_the_same_bits(make_world, name):
    # Some 60,000 occurrences of the shared table: it is divided among the threads.
    arrays = []
    for threads in (1, 2, 3):
        world = make_world(5, 8_000, 4, 3_000)
        collection = EmbeddingCollection(world.plan, OPTIMIZERS[name], threads=threads)
        squares = []
        for seed in range(2):
            learn(collection, world.batch, seed)
            squares.append(collection.grad_square_sum())
            collection.apply_gradients(0.01)
        arrays.append({**collection.state_arrays(), "squares": np.array(squares)})
    for other in arrays[1:]:
        for key, array in arrays[0].items():
            np.testing.assert_array_equal(array, other[key], err_msg=key)


def test_a_table_divided_among_threads_learns_what_the_reference_says(make_world):
    world = make_world(5, 8_000, 4, 3_000)
    collection = EmbeddingCollection(world.plan, SGD(), threads=2)
    before = collection.weights["one"].copy()
    upstream = learn(collection, world.batch, 0)
    gradients, _ = _reference.gradients(world.plan, world.columns, upstream)
    collection.apply_gradients(1.0)
    np.testing.assert_allclose(collection.weights["one"], before - gradients["one"], rtol=1e-3, atol=1e-3)


def test_two_lookups_before_a_step_add_up(make_world):
    world, other = make_world(1, 6), make_world(2, 3)
    other.plan = world.plan
    sums = []
    for worlds in ([world], [other], [world, other]):
        collection = EmbeddingCollection(world.plan, SGD())
        for seed, each in enumerate(worlds):
            learn(collection, each.batch, seed if len(worlds) > 1 else int(each is other))
        before = collection.weights["one"].copy()
        collection.apply_gradients(1.0)
        sums.append(before - collection.weights["one"])
    np.testing.assert_allclose(sums[0] + sums[1], sums[2], rtol=1e-4, atol=1e-5)


def test_frozen_tables_stay_and_evaluation_collects_nothing(make_world):
    world = make_world(1, 6)
    collection = EmbeddingCollection(world.plan, Adam(), 0.1)
    before = collection.weights["frozen"].copy()
    learn(collection, world.batch, 0)
    collection.apply_gradients(0.1)
    np.testing.assert_array_equal(collection.weights["frozen"], before)
    with torch.no_grad():
        assert not any(t.requires_grad for t in collection.lookup(world.batch).tensors.values())
    changed = {key: array.copy() for key, array in collection.state_arrays().items()}
    collection.apply_gradients(0.1)
    for key, array in collection.state_arrays().items():
        np.testing.assert_array_equal(array, changed[key])


def test_discarded_gradients_move_nothing(make_world):
    world = make_world(1, 6)
    collection = EmbeddingCollection(world.plan, LazyAdam())
    before = {key: array.copy() for key, array in collection.state_arrays().items()}
    learn(collection, world.batch, 0)
    collection.discard_gradients()
    collection.apply_gradients(0.1)
    for key, array in collection.state_arrays().items():
        np.testing.assert_array_equal(array, before[key])


def test_gradients_of_any_layout_are_understood(make_world):
    world = make_world(1, 6)
    results = []
    for shape in ("expanded", "transposed", "plain"):
        collection = EmbeddingCollection(world.plan, SGD())
        flat = collection.lookup(world.batch).flat("wide")
        if shape == "expanded":
            flat.sum().backward()
        elif shape == "transposed":
            (flat.t() * torch.ones(flat.shape[1], flat.shape[0])).sum().backward()
        else:
            flat.backward(torch.ones_like(flat))
        collection.apply_gradients(1.0)
        results.append(collection.weights["one"].copy())
    np.testing.assert_array_equal(results[0], results[2])
    np.testing.assert_array_equal(results[1], results[2])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_saved_and_loaded_goes_on_to_the_bit(make_world, name):
    def trained(collection, seeds):
        for seed in seeds:
            learn(collection, make_world(0, 7).batch, seed)
            collection.apply_gradients(0.01)
        return collection

    plan = make_world(0, 7).plan
    whole = trained(EmbeddingCollection(plan, OPTIMIZERS[name], seed=1), range(4))
    half = trained(EmbeddingCollection(plan, OPTIMIZERS[name], seed=1), range(2))
    saved = {key: array.copy() for key, array in half.state_arrays().items()}
    resumed = EmbeddingCollection(plan, OPTIMIZERS[name], seed=2)
    resumed.load_state_arrays(saved)
    trained(resumed, range(2, 4))
    for key, array in whole.state_arrays().items():
        np.testing.assert_array_equal(array, resumed.state_arrays()[key], err_msg=key)


@pytest.mark.parametrize("damage", ["missing", "unknown", "shape"])
def test_arrays_of_another_model_are_refused_whole(make_world, damage):
    world = make_world(0)
    collection = EmbeddingCollection(world.plan, LazyAdam(), seed=1)
    arrays = {key: array + 1 for key, array in collection.state_arrays().items()}
    before = {key: array.copy() for key, array in collection.state_arrays().items()}
    if damage == "missing":
        del arrays["one/m"]
    elif damage == "unknown":
        arrays["two/weight"] = np.zeros((1, 1), np.float32)
    else:
        arrays["weighted/v"] = arrays["weighted/v"][:-1]
    with pytest.raises(CheckpointError):
        collection.load_state_arrays(arrays)
    for key, array in collection.state_arrays().items():
        np.testing.assert_array_equal(array, before[key])


def test_an_id_outside_its_table_is_named(make_world):
    world = make_world(0, 5)
    world.table["weighted"].values[-1] = 7
    rows = np.repeat(np.arange(5), world.table["weighted"].lengths)
    with pytest.raises(DataError, match=rf"row {rows[-1]}, column 'weighted': id 7 is outside"):
        EmbeddingCollection(world.plan, SGD()).lookup(world.batch)


@pytest.mark.parametrize(
    ("column", "damage"),
    [("many", "descend"), ("many", "short"), ("one", "type"), ("weighted", "weights"), ("seq__own", "length")],
)
def test_columns_of_a_wrong_shape_are_refused(make_world, column, damage):
    world = make_world(4, 6)
    ragged = world.table["many"] if column == "many" else world.table[column]
    values, offsets, weights = ragged.values, ragged.offsets, ragged.weights
    if damage == "descend":
        offsets = offsets.copy()
        offsets[1:-1] = [offsets[-1], *[0] * (len(offsets) - 3)]
    elif damage == "short":
        offsets = offsets[:-1]
    elif damage == "type":
        values = values.astype(np.int32)
    elif damage == "weights":
        weights = weights[:-1]
    else:
        values = values[:-1]
    broken = {**world.table._ragged, column: type(ragged)(values, offsets, weights)}
    world.table._ragged = broken
    with pytest.raises(DataError, match=column):
        EmbeddingCollection(world.plan, SGD()).lookup(world.batch)


def test_ids_that_change_after_the_lookup_do_no_harm(make_world):
    world = make_world(0, 5)
    collection = EmbeddingCollection(world.plan, SGD())
    learn(collection, world.batch, 0)
    world.table["one"].values[0] = 10**12
    with pytest.raises(IndexError):
        collection.apply_gradients(0.1)
