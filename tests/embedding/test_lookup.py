import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from easyrec.config.train import SGD
from easyrec.embedding.collection import EmbeddingCollection
from feature_generator import Ragged


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    rows=st.integers(0, 600),
    dim=st.sampled_from([1, 4, 10, 16, 20, 64]),
    jagged=st.booleans(),
    weighted=st.booleans(),
    mean=st.booleans(),
)
def test_pooling_is_that_of_embedding_bag(make_world, seed, rows, dim, jagged, weighted, mean):
    name = "weighted" if weighted else "mean" if mean else "many"
    only = {"groups": {"deep": {"features": [name]}}, "use": {"deep": {"fields": True}}}
    world = make_world(seed, rows, dim, 300, **only)
    ragged = world.table[name]
    if not jagged:
        one = np.minimum(np.arange(rows), max(len(ragged.values) - 1, 0))
        values = ragged.values[one] if len(ragged.values) else np.zeros(rows, np.int64)
        ragged = Ragged(values, None, np.linspace(-1, 1, rows, dtype=np.float32) if weighted else None)
        world.table._ragged = {**world.table._ragged, name: ragged}
    (spec,) = [bag for bag in world.plan.groups["deep"].fields if bag.feature == name]
    collection = EmbeddingCollection(world.plan, SGD(), threads=2)
    weights = torch.randn(300, dim, generator=torch.Generator().manual_seed(seed % 2**31))
    collection.weights[spec.table][...] = weights.numpy()

    offsets = torch.from_numpy(np.arange(rows + 1) if ragged.offsets is None else ragged.offsets)
    factors = None if ragged.weights is None else torch.from_numpy(ragged.weights)
    expected = torch.nn.functional.embedding_bag(
        torch.from_numpy(ragged.values), weights, offsets, mode="sum", per_sample_weights=factors,
        include_last_offset=True,
    )  # fmt: skip
    if spec.mean:
        expected /= offsets.diff().clamp_min(1).unsqueeze(1)
    torch.testing.assert_close(collection.lookup(world.batch).flat("deep").detach(), expected, rtol=1e-5, atol=1e-5)


def test_neighbouring_dense_inputs_are_a_view_and_others_a_copy_in_order(make_world):
    world = make_world(0)
    batch = world.batch
    collection = EmbeddingCollection(world.plan, SGD())
    embedded = collection.lookup(batch)
    assert [span.name for span in world.plan.layouts["deep"].dense] == ["plain", "pair"]
    assert embedded.dense("deep").data_ptr() == batch.dense[:, 4:].data_ptr()
    torch.testing.assert_close(embedded.dense("deep"), batch.dense[:, 4:7], rtol=0, atol=0)

    turned = make_world(0, groups={"deep": {"features": ["pair", "plain"]}}, use={"deep": {"fields": False}})
    dense = EmbeddingCollection(turned.plan, SGD()).lookup(turned.batch).dense("deep")
    torch.testing.assert_close(dense, batch.dense[:, [5, 6, 4]], rtol=0, atol=0)


def test_rows_and_offsets_tell_whose_each_step_is(make_world):
    world = make_world(7, 6)
    seq = EmbeddingCollection(world.plan, SGD()).lookup(world.batch).sequence("seq")
    lengths = world.table["seq__one"].lengths
    np.testing.assert_array_equal(seq.rows.numpy(), np.repeat(np.arange(6), lengths))
    np.testing.assert_array_equal(seq.offsets.diff().numpy(), lengths)
    assert seq.values.shape == (lengths.sum(), 4 + 2 + 2)
    np.testing.assert_array_equal(seq.values[:, 6:].detach().numpy(), world.table["seq__vector"].values)


@pytest.mark.parametrize("rows", [0, 1, 5])
def test_a_sequence_of_one_step_per_row_needs_no_offsets(make_world, rows):
    only = {"groups": {"deep": {"features": [], "sequences": [{"sequence": "seq"}]}}, "use": {"deep": {"fields": True}}}
    world = make_world(1, rows, **only)
    rng = np.random.default_rng(0)
    world.table._ragged = {
        **world.table._ragged,
        "seq__one": Ragged(rng.integers(0, 7, rows)),
        "seq__own": Ragged(rng.integers(0, 7, rows)),
        "seq__vector": Ragged(rng.normal(size=(rows, 2)).astype(np.float32)),
    }
    seq = EmbeddingCollection(world.plan, SGD()).lookup(world.batch).sequence("seq")
    np.testing.assert_array_equal(seq.rows.numpy(), np.arange(rows))
    np.testing.assert_array_equal(seq.offsets.numpy(), np.arange(rows + 1))
