"""Padding: what comes out for the rows that were asked is what comes out without it."""

import numpy as np
import pytest
import torch

from easyrec.config.train import SGD
from easyrec.embedding.collection import EmbeddingCollection
from easyrec.embedding.reader import TableReader, write_tables
from easyrec.embedding.served_on_device import DeviceLookup, DeviceTables
from easyrec.export.calls import Call, Program, Value
from serving.gpu.feed import ROWS, bucket, feed_of, feed_on_device
from serving.gpu.padding import noticed
from serving.gpu.session import Job, Session

ON = torch.device("cuda" if torch.cuda.is_available() else "cpu")
STEPS = "deep/clicks:steps"


@pytest.mark.parametrize(("count", "expected"), [(0, 1), (1, 1), (2, 2), (3, 4), (200, 256), (256, 256), (257, 512)])
def test_buckets_are_powers_of_two(count, expected):
    assert bucket(count) == expected


def per_row():
    """Candidates' steps, given 3, 0 and 2 of them."""
    rng = np.random.default_rng(0)
    rows = np.array([0, 0, 0, 2, 2])
    return {
        "emb:deep": rng.standard_normal((3, 4)).astype(np.float32),
        "seq:deep/clicks": rng.standard_normal((5, 4)).astype(np.float32),
        "rows:deep/clicks": rows,
        "offsets:deep/clicks": np.array([0, 3, 3, 5]),
    }


def filled(feed, sizes):
    arrays = {}
    for name, part in feed.parts.items():
        arrays[name] = np.full(part.shape(sizes), -9, part.array.dtype)
        part.fill(arrays[name], feed.actual, sizes)
    return arrays


def test_steps_of_the_padding_belong_to_the_last_row():
    given = per_row()
    feed = feed_of(given, given)
    sizes = feed.padded(())
    assert sizes == {ROWS: 4, STEPS: 8}
    found = filled(feed, sizes)
    assert found["rows:deep/clicks"].tolist() == [0, 0, 0, 2, 2, 3, 3, 3]
    assert found["offsets:deep/clicks"].tolist() == [0, 3, 3, 5, 8]
    assert not found["seq:deep/clicks"][5:].any()
    assert not found["emb:deep"][3:].any()


def test_a_row_is_added_where_steps_need_one():
    given = per_row()
    rows = np.array([0, 0, 0, 2, 3])
    given |= {"emb:deep": np.ones((4, 4), np.float32), "rows:deep/clicks": rows}
    given["offsets:deep/clicks"] = np.array([0, 3, 3, 4, 5])
    assert feed_of(given, given).padded(()) == {ROWS: 8, STEPS: 8}
    assert feed_of(given, given).padded({STEPS}) == {ROWS: 4, STEPS: 5}
    assert feed_of(given, given).padded({ROWS}) == {ROWS: 4, STEPS: 5}


@pytest.mark.parametrize("seed", range(6))
def test_what_is_looked_up_on_a_device_is_padded_alike(make_padded_world, tmp_path, seed):
    world, reader = make_padded_world(seed, tmp_path)
    tables = DeviceTables(reader, ON)
    bound = DeviceLookup(reader, reader.plan, tables).bind(world.table)
    expected = reader.lookup(world.table)
    feed = feed_on_device({"": bound}, expected, tables)
    sizes = feed.padded(())
    tensors = {name: torch.from_numpy(array).to(ON) for name, array in filled(feed, sizes).items()}
    found = feed.inputs(tensors, sizes, tables)
    assert found.keys() == expected.keys()
    for key, array in expected.items():
        padded = found[key].cpu().numpy()
        np.testing.assert_allclose(padded[: len(array)], array, rtol=1e-5, atol=1e-5, err_msg=key)
        if not key.startswith(("rows:", "offsets:")):
            assert not padded[len(array) :].any(), key


@pytest.fixture
def make_padded_world(pytestconfig):
    """The worlds of the tests of embeddings, and a reader of their tables."""
    import importlib.util

    path = pytestconfig.rootpath / "tests" / "embedding" / "conftest.py"
    spec = importlib.util.spec_from_file_location("worlds", path)
    worlds = importlib.util.module_from_spec(spec)
    __import__("sys").modules["worlds"] = worlds  # its dataclass looks itself up
    spec.loader.exec_module(worlds)

    def made(seed, folder):
        world = worlds.world(seed, rows=5)
        collection = EmbeddingCollection(world.plan, SGD(), seed=3)
        for weights in collection.weights.values():
            weights[...] = np.random.default_rng(seed).standard_normal(weights.shape)
        write_tables(folder, collection.served)
        return world, TableReader.open(folder)

    return made


STEP_SUM = Call("aten.sum.dim_IntList", (Value(1), [0], True), {})
STEP_MEAN = Call("aten.mean.dim", (Value(1), [0], True), {})
ROW_MEAN = Call("aten.mean.dim", (Value(0), [0], True), {})
ADD = Call("aten.add.Tensor", (Value(0), Value(2)), {})


@pytest.mark.parametrize(
    ("call", "expected"),
    [(STEP_SUM, set()), (STEP_MEAN, {"user/deep/clicks:steps"}), (ROW_MEAN, {ROWS})],
    ids=["sum-of-steps", "mean-of-steps", "mean-of-candidates"],
)
def test_a_size_stays_exact_where_padding_is_noticed(call, expected):
    program = Program(["item/emb:deep", "user/seq:deep/clicks"], {}, [call, ADD], {"y": 3})
    session = Session(torch.device("cpu"))

    def run(feed, sizes):
        compute = lambda tensors, s: program(feed.inputs(tensors, s, None))  # noqa: E731
        return session.run(Job("p", feed, sizes, compute, sights=0))

    rng = np.random.default_rng(0)
    feeds = [
        feed_of({n: rng.standard_normal((k, 4)).astype(np.float32) for n, k in zip(program.inputs, (3, 5), strict=True)}, program.inputs)
        for _ in range(3)
    ]  # fmt: skip
    assert noticed(run, feeds, 1e-5) == expected


def test_sizes_get_a_graph_when_they_have_come_often_enough():
    program = Program(["item/emb:deep"], {}, [Call("aten.relu.default", (Value(0),), {})], {"y": 1})
    session = Session(torch.device("cpu"))

    def run(rows, sights):
        feed = feed_of({"item/emb:deep": np.ones((rows, 4), np.float32)}, program.inputs)
        job = Job("p", feed, feed.padded(()), lambda tensors, s: program(feed.inputs(tensors, s, None)), sights)
        assert session.run(job)["y"].shape == (rows, 4)
        return len(session.works)

    assert [run(rows, 3) for rows in (5, 6, 20, 7, 8)] == [0, 0, 0, 1, 1]
    assert [run(3, 0) for _ in range(5)] == [1] * 5
