"""Tables on a device: what is looked up and learned is what the reference says, and what the processor's tables learn."""

import numpy as np
import pytest
import torch

from easyrec.config.train import SGD, LazyAdam
from easyrec.embedding.collection import EmbeddingCollection
from easyrec.embedding.on_device import DeviceCollection
from easyrec.errors import CheckpointError, DataError

ON = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def learn(collection, batch):
    """One step with the gradient of a sum of squares."""
    tensors = collection.lookup(batch).tensors.values()
    sum((t**2).sum() for t in tensors if t.requires_grad).backward()
    collection.apply_gradients(0.1)


def test_state_goes_from_one_to_the_other_and_back(make_world):
    world, optimizer = make_world(2, 8), LazyAdam()
    here = EmbeddingCollection(world.plan, optimizer)
    there = DeviceCollection(world.plan, optimizer, seed=5, device=ON)
    again = DeviceCollection(world.plan, optimizer, seed=6, device=ON)
    rng = np.random.default_rng(3)
    for array in here.weights.values():
        array[...] = rng.normal(size=array.shape)
    there.load_state_arrays(here.state_arrays())
    for collection in (here, there):
        learn(collection, world.batch)
    again.load_state_arrays(there.state_arrays())
    for key, array in here.state_arrays().items():
        np.testing.assert_allclose(
            again.state_arrays()[key], array, rtol=1e-4, atol=1e-5, err_msg=key
        )  # kernels round 1 - beta


@pytest.mark.parametrize("feature", ["one", "many", "seq__one"])
@pytest.mark.parametrize("value", [-1, 7])
def test_an_id_outside_its_table_is_told_with_column_and_row(make_world, feature, value):
    world = make_world(3, 8)
    values, row = world.table[feature].values, 5
    at = row if world.table[feature].offsets is None else int(world.table[feature].offsets[-1]) - 1
    values[at] = value
    told = []
    for made in (EmbeddingCollection(world.plan, SGD()), DeviceCollection(world.plan, SGD(), device=ON)):
        with pytest.raises(DataError, match=f"id {value} is outside its embedding table") as error:
            made.lookup(world.batch)
        told.append((error.value.column, error.value.row))
    assert told[0] == told[1]
    assert told[0][0] == feature


def test_a_look_at_weights_between_backward_and_step_loses_nothing(make_world):
    world = make_world(2, 8)
    here, there = EmbeddingCollection(world.plan, SGD()), DeviceCollection(world.plan, SGD(), device=ON)
    for collection in (here, there):
        tensors = collection.lookup(world.batch).tensors.values()
        sum((t**2).sum() for t in tensors if t.requires_grad).backward()
        assert collection.weights
        collection.apply_gradients(0.1)
        collection.lookup(world.batch)
    for name, weights in here.weights.items():
        np.testing.assert_allclose(there.weights[name], weights, rtol=1e-5, atol=1e-7)


def test_a_state_that_is_refused_changes_nothing(make_world):
    world = make_world(2, 8)
    there = DeviceCollection(world.plan, SGD(), device=ON)
    learn(there, world.batch)
    with pytest.raises(CheckpointError):
        there.load_state_arrays({})
    state = {key: array.copy() for key, array in there.state_arrays().items()}
    again = EmbeddingCollection(world.plan, SGD())
    learn(again, world.batch)
    for key, array in again.state_arrays().items():
        np.testing.assert_allclose(state[key], array, rtol=1e-4, atol=1e-6)
