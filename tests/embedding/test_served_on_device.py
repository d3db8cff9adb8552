"""A bundle's tables on a device: what is looked up there is what the reader looks up here, whatever the precision."""

import numpy as np
import pytest
import torch

from easyrec.config.train import SGD
from easyrec.embedding.collection import EmbeddingCollection
from easyrec.embedding.reader import TableReader, write_tables
from easyrec.embedding.served_on_device import DeviceLookup, DeviceTables, looked_up, no_room

ON = torch.device("cuda" if torch.cuda.is_available() else "cpu")
PRECISIONS = ["fp32", "fp16", "bf16", "int8"]


def opened(world, folder, precision="fp32"):
    collection = EmbeddingCollection(world.plan, SGD(), seed=3)
    rng = np.random.default_rng(4)
    for weights in collection.weights.values():
        weights[...] = rng.standard_normal(weights.shape)
    write_tables(folder, collection.served, {spec.name: precision for spec in world.plan.tables})
    return TableReader.open(folder)


def there(calls):
    """Calls whose ids are on the device."""
    for call in calls.values():
        for ids in call.ids:
            ids.rows = ids.rows.to(ON)
            ids.ends = None if ids.ends is None else ids.ends.to(ON)
            ids.factors = None if ids.factors is None else ids.factors.to(ON)
        for values in call.values:
            values.values = values.values.to(ON)
    return calls


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("seed", range(4))
def test_a_device_looks_up_what_the_reader_does(make_world, tmp_path, precision, seed):
    world = make_world(seed, rows=6, dim=12)
    reader = opened(world, tmp_path, precision)
    tables = DeviceTables(reader, ON)
    bound = DeviceLookup(reader, reader.plan, tables).bind(world.table)
    found, expected = looked_up(there(bound.calls), tables), reader.lookup(world.table)
    assert found.keys() | bound.others.keys() == expected.keys()
    for key, tensor in found.items():
        np.testing.assert_allclose(tensor.cpu().numpy(), expected[key], rtol=1e-5, atol=1e-5, err_msg=key)
    for key, array in bound.others.items():
        np.testing.assert_array_equal(array, expected[key], err_msg=key)


def test_rows_stay_in_the_precision_of_the_bundle(make_world, tmp_path):
    sizes = {}
    for precision in ("fp32", "int8"):
        (tmp_path / precision).mkdir()
        reader = opened(make_world(1, dim=32, large=1000), tmp_path / precision, precision)
        sizes[precision] = DeviceTables(reader, ON).bytes
    assert sizes["int8"] < 0.4 * sizes["fp32"]


def test_ids_outside_their_table_are_counted_and_add_nothing(make_world, tmp_path):
    world = make_world(0)
    reader = opened(world, tmp_path)
    world.table["one"].values[2], world.table["one"].values[3] = 7, -1
    tables = DeviceTables(reader, ON)
    lookup = DeviceLookup(reader, reader.plan, tables)
    found = looked_up(there(lookup.bind(world.table).calls), tables)["emb:deep"].cpu().numpy()
    np.testing.assert_allclose(found, reader.lookup(world.table)["emb:deep"], rtol=1e-5, atol=1e-6)
    span = world.plan.layouts["deep"].field("one")
    assert not found[2:4, span.start : span.start + span.dim].any()
    assert lookup.out_of_range == reader.out_of_range == 4


def test_tables_that_do_not_fit_are_told(make_world, tmp_path):
    reader = opened(make_world(0, dim=32, large=20_000), tmp_path)
    assert "MiB, and 1 MiB may be taken" in no_room(reader, ON, 1)
    assert not no_room(reader, ON, 1000)
    assert not no_room(reader, ON, None)
