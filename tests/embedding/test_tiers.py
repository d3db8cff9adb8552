"""Tables that are partly in memory beside tables that are there whole: every number is the same."""

import errno
import os
import re
from bisect import bisect_left
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from easyrec.config.train import FTRL, SGD, Adagrad, LazyAdam, RowwiseAdagrad
from easyrec.embedding import native
from easyrec.embedding.collection import EmbeddingCollection
from easyrec.embedding.reader import TableReader, write_tables
from easyrec.embedding.spec import EmbeddingPlan, KeySpec
from easyrec.embedding.tiers import Store, place
from easyrec.errors import ConfigError, DataError, RunError
from easyrec.layout import Search

OPTIMIZERS = {
    "lazy_adam": LazyAdam(betas=(0.8, 0.99)),
    "rowwise_adagrad": RowwiseAdagrad(initial_accumulator=0.1),
    "adagrad": Adagrad(initial_accumulator=0.1),
    "sgd": SGD(),
    "ftrl": FTRL(l1=0.01, l2=0.1, beta=0.5),
}
LARGE = 600


def share_of(plan, optimizer, share):
    """A part of the memory that all tables take."""
    return int(place(plan, optimizer.type, 1 << 40).needed * share)


def memory_for(plan, optimizer, slots):
    """The least memory with room for so many rows of each table."""

    def enough(budget):
        try:
            return all(tier.slots >= slots for tier in place(plan, optimizer.type, budget).tiers)
        except ConfigError:
            return False

    return bisect_left(range(1 << 24), True, key=enough)


def pair(plan, optimizer, folder, slots=200):
    """A collection in memory, and one that is partly so."""
    store = Store(memory_for(plan, optimizer, slots), folder)
    return EmbeddingCollection(plan, optimizer, threads=1), EmbeddingCollection(
        plan, optimizer, threads=1, storage=store
    )


def learn(collection, batch, upcoming, seed):
    embedded = collection.lookup(batch)
    collection.prepare(upcoming)
    generator = torch.Generator().manual_seed(seed)
    wanted = {k: t for k, t in embedded.tensors.items() if t.requires_grad}
    sum((t * torch.randn(t.shape, generator=generator)).sum() for t in wanted.values()).backward()
    return embedded.tensors


def dynamic(plan, capacity, **rules):
    """The plan with dynamic tables in place of those of ids that learn."""
    ids = {bag.table for group in plan.groups.values() for bag in group.bags if bag.kind == "ids"}
    names = {t.name: t.name.removesuffix(":first") for t in plan.tables if t.name in ids and t.trainable}
    tables = tuple(replace(t, rows=capacity, keys=names[t.name]) if t.name in names else t for t in plan.tables)
    return EmbeddingPlan(tables, plan.groups, tuple(KeySpec(n, capacity, **rules) for n in sorted(set(names.values()))))


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    rows=st.integers(1, 9),
    dim=st.sampled_from([8, 17]),
    name=st.sampled_from(sorted(OPTIMIZERS)),
    moving=st.booleans(),
    ahead=st.booleans(),
)
def test_every_number_is_that_of_tables_in_memory(make_world, tmp_path_factory, seed, rows, dim, name, moving, ahead):
    world = make_world(seed, rows, dim, LARGE)
    # A dynamic table gives rows away: 400 for 600 ids.
    plan = dynamic(world.plan, 400) if moving else world.plan
    whole, parted = pair(plan, OPTIMIZERS[name], tmp_path_factory.getbasetemp())
    assert parted.tables.tiers
    batches = [make_world(seed + number, rows, dim, LARGE).batch for number in range(5)]
    for number, batch in enumerate(batches):
        upcoming = batches[number + 1] if ahead and number < 4 else None
        ours, theirs = (learn(c, batch, upcoming, number) for c in (whole, parted))
        for key in ours:
            np.testing.assert_array_equal(ours[key].detach(), theirs[key].detach(), err_msg=key)
        if number == 2:  # measuring in between changes nothing
            with torch.no_grad():
                seen = [c.lookup(batches[4]).tensors for c in (whole, parted)]
            for key in seen[0]:
                np.testing.assert_array_equal(seen[0][key], seen[1][key], err_msg=key)
        for collection in (whole, parted):
            collection.apply_gradients(0.05)
    ours, theirs = whole.state_arrays(), parted.state_arrays()
    assert ours.keys() == theirs.keys()
    for key in ours:
        np.testing.assert_array_equal(ours[key], theirs[key], err_msg=key)


def test_a_state_goes_from_one_to_the_other_and_on(make_world, tmp_path):
    world = make_world(3, 6, 4, LARGE)
    whole, parted = pair(world.plan, OPTIMIZERS["lazy_adam"], tmp_path)
    batches = [make_world(number, 6, 4, LARGE).batch for number in range(4)]
    for number, batch in enumerate(batches[:2]):
        learn(parted, batch, None, number)
        parted.apply_gradients(0.05)
    whole.load_state_arrays({name: np.array(array) for name, array in parted.state_arrays().items()})
    for number, batch in enumerate(batches[2:]):
        for collection in (whole, parted):
            learn(collection, batch, None, number)
            collection.apply_gradients(0.05)
    told = {name: np.array(array) for name, array in whole.state_arrays().items()}
    for name, array in parted.state_arrays().items():
        np.testing.assert_array_equal(told[name], array, err_msg=name)
    _, fresh = pair(world.plan, OPTIMIZERS["lazy_adam"], tmp_path)
    fresh.lookup(batches[0])  # rows that are in memory are read anew
    fresh.discard_gradients()
    fresh.load_state_arrays(told)
    with torch.no_grad():
        for key, tensor in whole.lookup(batches[0]).tensors.items():
            np.testing.assert_array_equal(tensor, fresh.lookup(batches[0]).tensors[key])


def test_weights_that_someone_changes_are_looked_up(make_world, tmp_path):
    world = make_world(5, 4, 4, LARGE)
    whole, parted = pair(world.plan, SGD(), tmp_path)
    for collection in (whole, parted):
        learn(collection, world.batch, None, 0)
        collection.apply_gradients(0.05)
        collection.weights["one"][...] *= 2
        with torch.no_grad():
            collection.changed = collection.lookup(world.batch).tensors
    for key, tensor in whole.changed.items():
        np.testing.assert_array_equal(tensor, parted.changed[key])


def test_what_is_written_for_serving_is_that_of_tables_in_memory(make_world, tmp_path):
    world = make_world(7, 4, 4, LARGE)
    for name, collection in zip(("whole", "parted"), pair(world.plan, SGD(), tmp_path), strict=True):
        learn(collection, world.batch, None, 0)
        collection.apply_gradients(0.05)
        (tmp_path / name).mkdir()
        write_tables(tmp_path / name, collection.served)
    names = sorted(p.name for p in (tmp_path / "whole").iterdir())
    assert names == sorted(p.name for p in (tmp_path / "parted").iterdir())
    for name in names:
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "parted" / name).read_bytes(), name
    TableReader.open(tmp_path / "parted").lookup(world.table)


def test_the_next_batch_is_there_before_it_is_asked_for(make_world, tmp_path):
    world = make_world(1, 3, 4, 5_000)
    _, parted = pair(world.plan, SGD(), tmp_path)
    later = make_world(2, 3, 4, 5_000).batch
    learn(parted, world.batch, later, 0)
    parted.apply_gradients(0.05)
    parted.tables.tiers.settle()
    assert any(told["read"] for told in parted.traffic().values())
    learn(parted, later, None, 1)
    assert {told["read"] for told in parted.traffic().values()} == {0}


def test_a_step_that_needs_more_rows_than_there_is_memory_for(make_world, tmp_path):
    world = make_world(1, 400, 4, 2_000)
    _, parted = pair(world.plan, SGD(), tmp_path, 100)
    with pytest.raises(RunError, match=r"at once\nraise train\.storage\.memory_mb") as error:
        parted.lookup(world.batch)
    (told,) = re.findall(
        r"there is memory for ([\d,]+) rows of '(\w+)', and a step needs ([\d,]+) more", str(error.value)
    )
    slots, name, lacking = (text.replace(",", "") for text in told)
    (tier,) = (tier for tier in parted.tables.tiers._by_name.values() if tier.spec.name == name)
    asked = {
        row
        for feature in tier.spec.features
        for row in world.table[feature].values.tolist()
        if 0 <= row < tier.spec.rows
    }
    assert int(slots) == tier.spec.slots
    assert 0 < int(lacking) <= len(asked) - tier.spec.slots


def test_an_id_outside_its_table_is_named(make_world, tmp_path):
    world = make_world(1, 4, 4, LARGE)
    _, parted = pair(world.plan, SGD(), tmp_path)
    world.table["one"].values[2] = LARGE + 7
    with pytest.raises(DataError, match=f"id {LARGE + 7} is outside its embedding table") as error:
        parted.lookup(world.batch)
    assert error.value.row == 2


def test_a_disk_without_room_is_told_before_anything_is_learned(make_world, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(
        RunError, match=r"no room for \d+ MB of embedding rows: No space left on device\n.*storage.disk"
    ):
        pair(make_world(1, 4, 4, LARGE).plan, SGD(), tmp_path)


def test_a_disk_that_fails_ends_the_training(make_world, tmp_path):
    world = make_world(1, 4, 4, LARGE)
    _, parted = pair(world.plan, SGD(), tmp_path)
    for tier in parted.tables.tiers._by_name.values():
        os.ftruncate(tier._file.fileno(), 0)
    with pytest.raises(RunError, match=r"cannot be kept on disk: Input/output error\n.*--resume"):
        parted.lookup(world.batch)
    with pytest.raises(RunError, match="cannot be kept on disk"):  # and is not forgotten
        parted.lookup(world.batch)


def test_no_file_stays(make_world, tmp_path):
    pair(make_world(1, 4, 4, LARGE).plan, SGD(), tmp_path)
    assert not list(tmp_path.iterdir())


# ------------------------------------------------------------------------------------------- what is where


@settings(max_examples=60, deadline=None)
@given(share=st.floats(0.15, 1.1), name=st.sampled_from(sorted(OPTIMIZERS)), large=st.sampled_from([50, 300, 5_000]))
def test_memory_is_what_was_given(make_world, share, name, large):
    plan, optimizer = make_world(1, 2, 4, large).plan, OPTIMIZERS[name]
    budget = share_of(plan, optimizer, share)
    try:
        placing = place(plan, optimizer.type, budget)
    except ConfigError:
        if share < 0.4:
            return
        raise
    assert placing.bytes <= max(budget, 0)
    assert bool(placing.tiers) == (placing.needed > budget)
    assert len({tier.slots for tier in placing.tiers}) <= 1
    tables = [name for tier in placing.tiers for name in tier.tables]
    assert len(tables) == len(set(tables))
    linear = {bag.table for group in plan.groups.values() for bag in group.bags if bag.kind == "linear"}
    assert not linear & set(tables)
    if placing.tiers and large == 5_000:  # it is used as far as it goes
        assert placing.bytes > 0.9 * budget


def test_tables_of_the_same_ids_come_and_go_together(make_world):
    plan = make_world(1, 2, 4, 5_000).plan
    placing = place(plan, "sgd", share_of(plan, SGD(), 0.5))
    shared = next(tier for tier in placing.tiers if "one" in tier.tables)
    assert set(shared.tables) >= {"one", "one:first"}
    assert shared.features >= {"one", "many", "seq__one"}


def test_rows_that_are_compared_stay_in_memory(make_world):
    plan = make_world(1, 2, 4, 5_000).plan
    group = plan.groups["deep"]
    sequence = replace(group.layout.sequences[0], search=Search("soft", 3, "seq__one"))
    layout = replace(group.layout, sequences=(sequence, *group.layout.sequences[1:]))
    searching = replace(plan, groups={**plan.groups, "deep": replace(group, layout=layout)})
    tables = {name for tier in place(searching, "sgd", share_of(plan, SGD(), 0.5)).tiers for name in tier.tables}
    assert tables
    assert not tables & {"one", "one:first"}


# ---------------------------------------------------------------------------------------------- the kernel


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    rows=st.integers(1, 60),
    slots=st.integers(1, 20),
    widths=st.lists(st.integers(1, 5), min_size=1, max_size=3),
)
def test_slots_hold_the_newest_of_their_rows(tmp_path_factory, seed, rows, slots, widths):
    """Against a plain array: rows are taken, changed, written back and forgotten in any order."""
    rng, slots = np.random.default_rng(seed), min(slots, rows)
    truth = rng.normal(size=(rows, sum(widths))).astype(np.float32)
    with (tmp_path_factory.getbasetemp() / "rows").open("w+b", buffering=0) as file:
        file.write(truth.tobytes())
        memory = [np.zeros((slots, width), np.float32) for width in widths]
        tier = native.Tier(rows=rows, arrays=memory, file=file.fileno())
        for ticket in range(1, 30):
            wanted = rng.integers(-1, rows, rng.integers(0, 2 * slots + 1))
            known = len(np.unique(wanted[wanted >= 0]))
            changes = bool(rng.random() < 0.5)
            at, missing = tier.take(wanted, ticket, ticket, changes)
            assert (missing == 0) == (known <= slots)
            there = at >= 0
            assert not there[wanted < 0].any()
            np.testing.assert_array_equal(np.hstack([m[at[there]] for m in memory]), truth[wanted[there]])
            if changes:
                truth[wanted[there]] += 1
                start = 0
                for array in memory:
                    array[at[there]] = truth[wanted[there], start : start + array.shape[1]]
                    start += array.shape[1]
            if rng.random() < 0.2:
                tier.write_back()
                file.seek(0)
                np.testing.assert_array_equal(np.frombuffer(file.read(), np.float32).reshape(truth.shape), truth)
                tier.forget()


def test_rows_of_a_step_stay_until_it_is_over(tmp_path):
    with (tmp_path / "rows").open("w+b", buffering=0) as file:
        file.write(np.arange(10, dtype=np.float32).tobytes())
        memory = np.zeros((3, 1), np.float32)
        tier = native.Tier(rows=10, arrays=[memory], file=file.fileno())
        first, _ = tier.take(np.array([1, 2]), 1, 1, True)
        _, missing = tier.take(np.array([3, 4, 5]), 2, 1, False)  # the step that took 1 and 2 runs
        assert missing == 2
        assert memory[first].ravel().tolist() == [1, 2]
        assert tier.take_counts() == {"asked": 5, "read": 3, "written": 0}
        _, missing = tier.take(np.array([3, 4, 5]), 3, 3, False)  # it is over
        assert missing == 0
        assert tier.take_counts()["written"] == 2
