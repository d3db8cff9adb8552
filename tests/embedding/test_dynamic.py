"""Dynamic tables beside static ones over the same ids: they differ in where a row lies, and in nothing else."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from easyrec.config.train import FTRL, SGD, Adagrad, LazyAdam, RowwiseAdagrad
from easyrec.embedding.collection import EmbeddingCollection
from easyrec.embedding.keys import KeyMap
from easyrec.embedding.lookup import TableColumns
from easyrec.embedding.plan import EmbeddingPlan
from easyrec.embedding.reader import TableReader, write_tables
from easyrec.embedding.spec import KeySpec
from easyrec.errors import BundleError, CheckpointError
from easyrec.layout import Search

OPTIMIZERS = {
    "lazy_adam": LazyAdam(betas=(0.8, 0.99)),
    "rowwise_adagrad": RowwiseAdagrad(initial_accumulator=0.1),
    "adagrad": Adagrad(initial_accumulator=0.1),
    "sgd": SGD(),
    "ftrl": FTRL(l1=0.01, l2=0.1, beta=0.5),
}
IDS = 7
FORBIDDEN = 3
"""The id that has no row where the capacity leaves one out."""


def dynamic(plan, capacity=20, **rules):
    """The plan with dynamic tables in place of those of ids that learn."""
    ids = {bag.table for group in plan.groups.values() for bag in group.bags if bag.kind == "ids"}
    names = {t.name: t.name.removesuffix(":first") for t in plan.tables if t.name in ids and t.trainable}
    tables = tuple(replace(t, rows=capacity, keys=names[t.name]) if t.name in names else t for t in plan.tables)
    return EmbeddingPlan(tables, plan.groups, tuple(KeySpec(n, capacity, **rules) for n in sorted(set(names.values()))))


def pair(world, optimizer, known):
    """A static collection and a dynamic one, whose rows of the known ids are equal; other ids have zeros or no row."""
    static = EmbeddingCollection(world.plan, optimizer, threads=1)
    other = EmbeddingCollection(dynamic(world.plan, counting="exact", min_count=100, size=9), optimizer, threads=1)
    random = np.random.default_rng(0)
    for name, keys in other.tables.keys.items():
        state = keys.arrays()
        order = random.permutation(known)
        state |= {"keys": order, "rows": random.permutation(20)[: len(order)].astype(np.int32)}
        state |= {"counts": np.ones(len(order), np.float32), "steps": np.zeros(len(order), np.uint32)}
        other.tables.keys[name] = keys.restored(state)
    for spec in other.plan.tables:
        ours, theirs = static.weights[spec.name], other.weights[spec.name]
        ours[...] = random.normal(size=ours.shape)
        if spec.keys is None:
            theirs[...] = ours
            continue
        theirs[rows_of(other, spec, known)] = ours[known]
        ours[np.setdiff1d(np.arange(IDS), known)] = 0.0
    return static, other


def rows_of(collection, spec, ids):
    return collection.tables.keys[spec.keys].find(np.asarray(ids, np.int64))


def learn(collection, batch, seed):
    embedded = collection.lookup(batch)
    generator = torch.Generator().manual_seed(seed)
    wanted = {k: t for k, t in embedded.tensors.items() if t.requires_grad}
    sum((t * torch.randn(t.shape, generator=generator)).sum() for t in wanted.values()).backward()
    return embedded.tensors


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    rows=st.integers(1, 9),
    dim=st.sampled_from([1, 4, 16, 17]),
    name=st.sampled_from(sorted(OPTIMIZERS)),
    missing=st.booleans(),
)
def test_steps_are_those_of_static_tables(make_world, seed, rows, dim, name, missing):
    known = np.array([i for i in range(IDS) if not missing or i != FORBIDDEN])
    world = make_world(seed, rows, dim)
    static, other = pair(world, OPTIMIZERS[name], known)
    for number in range(3):
        batch = replace(make_world(seed + number, rows, dim), plan=world.plan).batch
        ours, theirs = learn(static, batch, number), learn(other, batch, number)
        for key in ours:
            np.testing.assert_array_equal(ours[key].detach(), theirs[key].detach(), err_msg=key)
        if not missing:
            assert other.grad_square_sum() == pytest.approx(static.grad_square_sum(), rel=1e-6)
        for collection in (static, other):
            collection.apply_gradients(0.05)
        for spec in other.plan.tables:
            if spec.keys is not None:
                static.weights[spec.name][np.setdiff1d(np.arange(IDS), known)] = 0.0
    for spec in other.plan.tables:
        ours, theirs = static.weights[spec.name], other.weights[spec.name]
        if spec.keys is None:
            np.testing.assert_array_equal(ours, theirs)
        else:
            np.testing.assert_array_equal(ours[known], theirs[rows_of(other, spec, known)])
            assert not missing or rows_of(other, spec, [FORBIDDEN])[0] == -1


def test_many_ids_without_rows_are_left_out_by_all_threads(make_world):
    """More ids than one thread sums alone."""
    known = np.array([0, 1, 5])
    world = make_world(1, 20_000)
    static, one = pair(world, SGD(), known)
    two = EmbeddingCollection(one.plan, SGD(), threads=2)
    two.load_state_arrays({name: array.copy() for name, array in one.state_arrays().items()})
    for collection in (static, one, two):
        learn(collection, world.batch, 1)
    assert one.grad_square_sum() == two.grad_square_sum()
    for collection in (static, one, two):
        collection.apply_gradients(0.05)
    for spec in one.plan.tables:
        np.testing.assert_array_equal(one.weights[spec.name], two.weights[spec.name])
        if spec.keys is not None:
            ours = static.weights[spec.name][known]
            np.testing.assert_allclose(ours, one.weights[spec.name][rows_of(one, spec, known)], rtol=1e-4, atol=1e-4)


def test_ids_get_rows_in_training_alone(make_world):
    world = make_world(2, 30)
    collection = EmbeddingCollection(dynamic(world.plan), SGD(), threads=1)
    with torch.no_grad():
        found = collection.lookup(world.batch).tensors
    assert all(len(keys) == 0 for keys in collection.tables.keys.values())
    assert not found["emb:wide"][:, :4].any()
    first = collection.lookup(world.batch).tensors["emb:wide"].detach().clone()
    assert first[:, :4].any()
    with torch.no_grad():
        np.testing.assert_array_equal(collection.lookup(world.batch).tensors["emb:wide"], first)
    told = collection.dynamics()["one"]
    assert (told["seen"], told["admitted"], told["rows"]) == (told["found"] + told["admitted"], IDS, IDS)
    assert collection.dynamics()["one"]["seen"] == 0


def test_a_row_starts_anew_with_its_optimizer_state(make_world):
    world = make_world(3, 30)
    collection = EmbeddingCollection(dynamic(world.plan), Adagrad(initial_accumulator=0.5), seed=4, threads=1)
    start = collection.lookup(world.batch).tensors["emb:deep"].detach().clone()
    learn(collection, world.batch, 1)
    collection.apply_gradients(0.5)
    for keys in list(collection.tables.keys):
        collection.tables.rows(keys, None, np.arange(100, 120), learning=True)  # everybody else is evicted, bit by bit
        collection.tables.step += 1
        collection.tables.rows(keys, None, np.arange(200, 220), learning=True)
    again = EmbeddingCollection(dynamic(world.plan), Adagrad(initial_accumulator=0.5), seed=4, threads=1)
    assert (again.lookup(world.batch).tensors["emb:deep"].detach() == start).all()
    spec = next(t for t in collection.plan.tables if t.keys == "one")
    rows = rows_of(collection, spec, np.arange(200, 220))
    assert (collection.state_arrays()[f"{spec.name}/sum"][rows[rows >= 0]] == 0.5).all()


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_a_restored_collection_goes_on_to_the_bit(make_world, name):
    plan = dynamic(make_world(5).plan, 5, eviction="lfu")

    def trained(collection, numbers):
        for number in numbers:
            learn(collection, replace(make_world(number, 40), plan=plan).batch, number)
            collection.apply_gradients(0.05)
        return collection

    whole = trained(EmbeddingCollection(plan, OPTIMIZERS[name], seed=1), range(6))
    half = trained(EmbeddingCollection(plan, OPTIMIZERS[name], seed=1), range(3))
    assert half.tables.keys["one"].counts.evicted or half.tables.keys["one"].counts.refused
    resumed = EmbeddingCollection(plan, OPTIMIZERS[name], seed=1)
    resumed.load_state_arrays({key: array.copy() for key, array in half.state_arrays().items()})
    trained(resumed, range(3, 6))
    for key, array in whole.state_arrays().items():
        np.testing.assert_array_equal(array, resumed.state_arrays()[key], err_msg=key)


def test_keys_of_another_capacity_are_refused_and_change_nothing(make_world):
    plan = make_world(5).plan
    one, two = (EmbeddingCollection(dynamic(plan, capacity), SGD()) for capacity in (5, 9))
    learn(two, make_world(5, 40).batch, 1)
    before = {name: array.copy() for name, array in one.state_arrays().items()}
    with pytest.raises(CheckpointError):
        one.load_state_arrays(two.state_arrays())
    for name, array in one.state_arrays().items():
        np.testing.assert_array_equal(array, before[name])


def test_served_rows_are_those_of_training(make_world, tmp_path):
    world = make_world(6, 50)
    collection = EmbeddingCollection(dynamic(world.plan, 5), LazyAdam(), threads=1)
    learn(collection, make_world(7, 50).batch, 1)
    collection.apply_gradients(0.1)
    with torch.no_grad():
        expected = collection.lookup(world.batch).tensors
    write_tables(tmp_path, collection.served)
    reader = TableReader.open(tmp_path)
    found = reader.lookup(world.table)
    for key, array in found.items():
        np.testing.assert_array_equal(array, expected[key], err_msg=key)
    assert reader.out_of_range == 0
    _, rows = collection.tables.keys["one"].held()
    assert reader.weights["one"].shape[0] == rows[-1] + 1


@pytest.mark.parametrize("harm", ["cut", "other", "bits"])
def test_damaged_keys_are_refused(make_world, tmp_path, harm):
    collection = EmbeddingCollection(dynamic(make_world(6).plan), SGD())
    learn(collection, make_world(7, 50).batch, 1)
    write_tables(tmp_path, collection.served)
    path = tmp_path / "keys-0.npy"
    if harm == "cut":
        path.write_bytes(path.read_bytes()[:-8])
    elif harm == "other":
        np.save(path, np.zeros((3, 3)))
    else:
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)
    with pytest.raises(BundleError, match="keys-0"):
        TableReader.open(tmp_path)


def test_slots_that_point_outside_their_table_find_nothing(make_world, tmp_path):
    """Where checksums are not compared, as when a bundle has been verified before."""
    world = make_world(6, 9)
    collection = EmbeddingCollection(dynamic(world.plan), SGD())
    learn(collection, world.batch, 1)
    write_tables(tmp_path, collection.served)
    for path in tmp_path.glob("keys-*.npy"):
        slots = np.load(path)
        np.save(path, np.where(np.arange(2) == 1, np.where(slots >= 0, 10**12, -1), slots))
    found = TableReader.open(tmp_path, verify=False).lookup(TableColumns(world.table).table)
    assert not found["emb:wide"][:, :4].any()


def test_steps_that_are_not_looked_up_get_no_rows(make_world):
    plan = make_world(8).plan
    groups = dict(plan.groups)
    layout = groups["deep"].layout
    sequences = (replace(layout.sequences[0], search=Search("newest", 1)), *layout.sequences[1:])
    groups["deep"] = replace(groups["deep"], layout=replace(layout, sequences=sequences))
    plan = dynamic(replace(plan, groups=groups))
    world = replace(make_world(8, 5), plan=plan)
    collection = EmbeddingCollection(plan, SGD(), threads=1)
    collection.lookup(world.batch)
    own = world.table["seq__own"]
    last = {int(own.values[stop - 1]) for start, stop in pairwise(own.offsets) if stop > start}
    assert set(collection.tables.keys["seq__own"].held()[0].tolist()) == last
    assert len(last) < len(set(own.values.tolist()))


def test_rows_keep_their_places_in_another_training():
    keys = KeyMap(KeySpec("item", 8, "exact", 2, size=20), 1)
    for step in range(3):
        keys.admit(np.array([1, 2, 3, 4, 5, 6, 7, 8]), step)
    keys.admit(np.array([9, 9, 10]), 3)  # one is evicted
    larger, here, there = KeyMap(KeySpec("item", 20, "exact", 2, size=20), 1).started(keys.arrays(), 0)
    np.testing.assert_array_equal(here, there)
    np.testing.assert_array_equal(np.stack(larger.held()), np.stack(keys.held()))
    assert larger.admit(np.array([10]), 0)[0][0] >= 0  # it was counted once before
    smaller, here, there = KeyMap(KeySpec("item", 5, "exact", 2, size=20), 1).started(keys.arrays(), 0)
    assert sorted(here.tolist()) == list(range(5))
    assert (here[there < 5] == there[there < 5]).all()
    theirs = dict(zip(there.tolist(), here.tolist(), strict=True))
    for key, row in zip(*(part.tolist() for part in keys.held()), strict=True):
        found = smaller.find(np.array([key]))[0]
        assert found == theirs.get(row, -1)
