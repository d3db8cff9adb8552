import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from easyrec.config.train import SGD
from easyrec.embedding.collection import EmbeddingCollection
from easyrec.embedding.reader import TableReader, write_tables
from easyrec.embedding.spec import EmbeddingPlan
from easyrec.errors import BundleError


@pytest.fixture
def written(make_world, tmp_path):
    world = make_world(0)
    collection = EmbeddingCollection(world.plan, SGD(), seed=3)
    write_tables(tmp_path, collection.served)
    return tmp_path, world, collection


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32), rows=st.integers(0, 40), threads=st.sampled_from([1, 2]))
def test_the_reader_gives_the_collection_s_bits(make_world, tmp_path_factory, seed, rows, threads):
    world = make_world(seed, rows, 12)
    collection = EmbeddingCollection(world.plan, SGD(), seed=seed % 1000)
    folder = tmp_path_factory.mktemp("tables")
    write_tables(folder, collection.served)
    reader = TableReader.open(folder, threads=threads)
    assert reader.plan == world.plan
    found, expected = reader.lookup(world.table), collection.lookup(world.batch).tensors
    assert found.keys() == expected.keys()
    for key, tensor in expected.items():
        assert found[key].dtype == tensor.detach().numpy().dtype
        np.testing.assert_array_equal(found[key], tensor.detach().numpy(), err_msg=key)


def test_rows_one_at_a_time_give_the_same_bits(written):
    folder, world, _ = written
    reader = TableReader.open(folder)
    whole = reader.lookup(world.table)
    for row in range(world.table.num_rows):
        single = reader.lookup(world.table.slice(row, row + 1))
        for key in ("emb:deep", "first:deep", "dense:deep", "emb:wide"):
            np.testing.assert_array_equal(single[key][0], whole[key][row], err_msg=key)


def test_ids_out_of_range_are_counted_and_add_nothing(written):
    folder, world, _ = written
    reader = TableReader.open(folder)
    before = reader.lookup(world.table)
    span = world.plan.layouts["deep"].field("one")
    world.table["one"].values[2] = 7
    world.table["one"].values[3] = -1
    after = reader.lookup(world.table)
    # emb:deep and first:deep both read it.
    assert reader.out_of_range == 4
    np.testing.assert_array_equal(after["emb:deep"][2:4, span.columns], 0.0)
    np.testing.assert_array_equal(after["emb:deep"][[0, 1, 4]], before["emb:deep"][[0, 1, 4]])


def test_the_plan_survives_json(make_world):
    plan = make_world(0).plan
    assert EmbeddingPlan.from_json(json.loads(json.dumps(plan.to_json()))) == plan


def test_a_flipped_byte_is_found(written):
    folder = written[0]
    path = folder / "2.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(BundleError, match=r"2\.npy: is damaged"):
        TableReader.open(folder)
    TableReader.open(folder, verify=False)


def edit(folder, change):
    path = folder / "index.json"
    index = json.loads(path.read_text())
    change(index)
    path.write_text(json.dumps(index))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda i: i.update(version=5), "version 5, this release reads up to 4"),
        (lambda i: i["files"][0].update(precision="int4"), "is not an index"),
        (lambda i: i["files"][0].update(precision="fp16"), "the index says float16"),
        (lambda i: i.update(format="x"), "is not an index"),
        (lambda i: i.pop("plan"), "is not an index"),
        (lambda i: i["files"].pop(), "is not an index"),
        (lambda i: i["plan"]["tables"][0].update(rows=8), "the index says"),
        (lambda i: i["plan"]["tables"][0].update(keys="gone"), "has no keys 'gone'"),
        (lambda i: i["plan"]["groups"][0]["fields"][0].update(start=10**9), "do not fit together"),
        (lambda i: i["plan"]["groups"][0]["fields"][1].update(table="gone"), "is not an index"),
        (lambda i: i["plan"]["groups"][0]["fields"][1].update(kind="eval"), "is not an index"),
    ],
)
def test_a_wrong_index_is_refused(written, change, message):
    edit(written[0], change)
    with pytest.raises(BundleError, match=message):
        TableReader.open(written[0])


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b"[" * 100_000, b'{"format": 1'])
def test_an_index_that_is_none_is_refused(written, content):
    (written[0] / "index.json").write_bytes(content)
    with pytest.raises(BundleError):
        TableReader.open(written[0])


@pytest.mark.parametrize("name", ["index.json", "0.npy"])
def test_a_missing_file_is_named(written, name):
    (written[0] / name).unlink()
    with pytest.raises(BundleError, match=f"{name}: is missing"):
        TableReader.open(written[0])


def test_reading_loads_no_torch():
    code = "import sys, easyrec.embedding.plan, easyrec.embedding.reader; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
