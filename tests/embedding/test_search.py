import json
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from easyrec.batch import Batch
from easyrec.config.model import EncoderConfig, GroupConfig, ModelConfig, NormalInit, SequenceEntry
from easyrec.config.train import SGD, Adagrad, Adam, LazyAdam
from easyrec.embedding import _reference, native
from easyrec.embedding.collection import EmbeddingCollection
from easyrec.embedding.plan import plan_embeddings
from easyrec.embedding.reader import TableReader, write_tables
from easyrec.embedding.search import directions
from easyrec.embedding.spec import EmbeddingPlan
from easyrec.errors import BundleError, ConfigError, DataError
from easyrec.layout import Search
from feature_generator import OutputSpec, Ragged, Table

IDS = 9
KINDS = ["newest", "hard", "hash", "soft"]


def offsets(rng, rows, longest):
    return np.concatenate([[0], np.cumsum(rng.integers(0, longest + 1, rows))]).astype(np.int64)


def make_output(name, kind="sparse", **changes):
    values = {
        "side": "item", "mixed": False, "value_dim": 1, "embedding_dim": 4, "pooling": "sum", "trainable": True,
        "weighted": False, "sequence": None, "dense_embedding": None, "config": None,
    }  # fmt: skip
    return OutputSpec(name=name, kind=kind, **{**values, **changes})


def column(rng, rows, longest, several=False, bad=False, pointed=True):
    """A column of ids: `longest` elements per row at most, with `several` of 0 to 3 ids each."""
    ends = offsets(rng, rows, longest) if pointed else None
    count = rows if ends is None else int(ends[-1])
    keys = offsets(rng, count, 3) if several else None
    low, high = (-2, IDS + 2) if bad else (0, IDS)
    return rng.integers(low, high, count if keys is None else keys[-1]), ends, None, keys


def weights(rng, dim):
    """Small whole numbers, some alike: sums are exact, ties are common."""
    table = rng.integers(-2, 3, (IDS, dim)).astype(np.float32)
    table[: IDS // 2] = table[-(IDS // 2) :]
    return table


def searched(search, table, steps, candidates, rows, threads=1):
    tables = native.Tables([table], [], [], [True], threads)
    common = ("s", (steps[0], steps[1], steps[3]), rows, search.top, (candidates[0], candidates[1], candidates[3]))
    if search.kind == "newest":
        return tables.newest(*common[:-1])
    if search.kind == "hard":
        return tables.equal(*common)
    if search.kind == "soft":
        return tables.largest(*common, 0)
    return tables.nearest(*common, tables.add_codes(0, directions(table.shape[1], search.seed)), search.bits)


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    kind=st.sampled_from(KINDS),
    rows=st.integers(0, 6),
    longest=st.sampled_from([0, 1, 5, 40, 150]),
    top=st.sampled_from([1, 2, 7, 64, 1000]),
    dim=st.sampled_from([1, 3, 8, 16, 20, 32, 100]),
    bits=st.sampled_from([1, 17, 64]),
    shape=st.tuples(*[st.booleans()] * 4),
    threads=st.sampled_from([1, 2]),
)
def test_kept_steps_are_those_of_the_reference(seed, kind, rows, longest, top, dim, bits, shape, threads):
    several, several_candidates, bad, pointed = shape
    rng = np.random.default_rng(seed)
    table = weights(rng, dim)
    steps = column(rng, rows, longest, several, bad)
    candidates = column(rng, rows, 2, several_candidates, bad, pointed)
    search = Search(kind, top, bits=bits, seed=seed % 3)
    expected = _reference.kept_steps(search, steps, candidates, rows, table)
    found, ends = searched(search, table, steps, candidates, rows, threads)
    assert [found[a:b].tolist() for a, b in pairwise(ends)] == expected
    assert len(found) == ends[-1]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("top", [3, 700])
@pytest.mark.parametrize("several", [False, True], ids=["one-id", "several-ids"])
def test_kept_of_many_steps_are_those_of_the_reference(kind, top, several):
    """Longer than what the kernel takes at once."""
    rng = np.random.default_rng(top)
    table, steps = rng.integers(-2, 3, (IDS, 8)).astype(np.float32), column(rng, 3, 9_000, several, True)
    candidates = column(rng, 3, 2, False, True, False)
    search = Search(kind, top)
    expected = _reference.kept_steps(search, steps, candidates, 3, table)
    found, ends = searched(search, table, steps, candidates, 3)
    assert [found[a:b].tolist() for a, b in pairwise(ends)] == expected


def test_hard_search_by_hand():
    steps = (np.array([7, 3, 7, 7, 1, 7]), np.array([0, 4, 6]), None, None)
    found, ends = searched(Search("hard", 2), np.zeros((9, 1), np.float32), steps, (np.array([7, 1]),) + (None,) * 3, 2)
    assert (found.tolist(), ends.tolist()) == ([2, 3, 4], [0, 2, 3])


def test_a_code_says_on_which_side_of_the_directions_a_row_lies():
    rng = np.random.default_rng(0)
    table = rng.normal(size=(50, 20)).astype(np.float32)
    tables = native.Tables([table], [], [], [True], 2)
    number = tables.add_codes(0, directions(20, 5))
    sides = table.astype(np.float64) @ directions(20, 5) > 0
    expected = (sides.astype(np.uint64) << np.arange(64, dtype=np.uint64)).sum(axis=1, dtype=np.uint64)
    np.testing.assert_array_equal(tables.codes(number), expected)


def test_directions_are_normal_and_the_same_everywhere():
    drawn = directions(512, 3)
    assert drawn.mean() == pytest.approx(0, abs=0.02)
    assert drawn.std() == pytest.approx(1, abs=0.02)
    assert np.abs(np.corrcoef(drawn.T) - np.eye(64)).max() < 0.25
    # Bundles hold only the seed: these numbers can never change.
    np.testing.assert_array_equal(directions(2, 0)[:, :2], PINNED)
    assert not np.array_equal(directions(512, 4), drawn)


PINNED = np.array([[-0.513458251953125, 0.3075714111328125], [0.0688323974609375, -3.41400146484375]], np.float32)


@pytest.mark.parametrize("kind", KINDS[1:])
@pytest.mark.parametrize(
    "broken",
    [
        {"steps": (np.zeros(3, np.int64), np.array([0, 2, 2]), None)},
        {"steps": (np.zeros(3, np.int64), np.array([0, 5, 3]), None)},
        {"steps": (np.zeros(3, np.int64), np.array([0, -1, 3]), None)},
        {"steps": (np.zeros(3, np.int64), np.array([0, 3]), None)},
        {"steps": (np.zeros(3, np.int64), np.array([0, 1, 2]), np.array([0, 9, 3]))},
        {"steps": (np.zeros(3, np.int64), np.array([0, 1, 2]), np.array([], np.int64))},
        {"candidates": (np.zeros(3, np.int64), None, None)},
        {"candidates": (np.zeros(1, np.int64), np.array([0, 1]), None)},
        {"candidates": (np.zeros(1, np.int64), np.array([0, 2, 1]), None)},
        {"top": 0},
    ],
)
def test_broken_input_is_refused(kind, broken):
    tables = native.Tables([np.zeros((3, 2), np.float32)], [], [], [True], 1)
    good = {
        "steps": (np.zeros(3, np.int64), np.array([0, 1, 3]), None),
        "candidates": (np.zeros(2, np.int64), None, None),
    }
    given_ = {"name": "s", "rows": 2, "top": 2, **good, **broken}
    extra = {"hash": {"codes": tables.add_codes(0, directions(2, 0)), "bits": 64}, "soft": {"table": 0}}.get(kind, {})
    call = {"hard": tables.equal, "hash": tables.nearest, "soft": tables.largest}[kind]
    with pytest.raises(ValueError, match="s"):
        call(**given_, **extra)


# -------------------------------------------------------------------------------------------- in a plan


class Finds(EncoderConfig):
    """An encoder that wants a search."""

    type: str = "finds"
    want: Search

    @property
    def search(self):
        return self.want


def reading(groups):
    """A model that reads a group whose sequence entries are no real members."""
    return ModelConfig.model_construct(type="reads", groups=groups, embedding_init=NormalInit(std=1.0))


@pytest.fixture(scope="session")
def searching(make_world):
    """A function of (seed, rows, search): a world whose sequence is searched."""

    def make(seed, rows, search, large=7):
        world = make_world(seed, rows, 4, large)
        entry = SequenceEntry.model_construct(sequence="seq", query=None, encoder=Finds(want=search))
        groups = {"deep": GroupConfig(features=["one", "many", "plain"], sequences=[entry])}
        world.plan = plan_embeddings(world.outputs, reading(groups))
        return world

    return make


SEARCHES = [Search(kind, 2, bits=20) for kind in KINDS]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), rows=st.integers(0, 9), search=st.sampled_from(SEARCHES))
def test_lookup_holds_the_kept_steps_alone(searching, tmp_path_factory, seed, rows, search):
    world = searching(seed, rows, search)
    collection = EmbeddingCollection(world.plan, SGD(), seed=seed % 1000, threads=1)
    found = collection.lookup(world.batch).tensors
    expected = _reference.lookup(world.plan, collection.weights, world.columns)
    for key, value in expected.items():
        np.testing.assert_allclose(found[key].detach().numpy(), value, rtol=1e-5, atol=1e-5, err_msg=key)
    counts = np.diff(found["offsets:deep/seq"])
    np.testing.assert_array_equal(found["rows:deep/seq"], np.repeat(np.arange(rows), counts))
    assert counts.max(initial=0) <= 2
    folder = tmp_path_factory.mktemp("tables")
    write_tables(folder, collection.served)
    served = TableReader.open(folder).lookup(world.table)
    assert served.keys() == found.keys()
    for key, tensor in found.items():
        np.testing.assert_array_equal(served[key], tensor.detach().numpy(), err_msg=key)


@pytest.mark.parametrize("search", SEARCHES, ids=KINDS)
def test_only_kept_steps_are_trained(searching, search):
    world = searching(3, 8, search)
    collection = EmbeddingCollection(world.plan, SGD(), threads=1)
    before = {name: table.copy() for name, table in collection.weights.items()}
    steps = collection.lookup(world.batch).tensors["seq:deep/seq"]
    upstream = {"seq:deep/seq": np.ones(steps.shape)}
    gradients, _ = _reference.gradients(world.plan, world.columns, upstream, before)
    steps.sum().backward()
    collection.apply_gradients(0.5)
    for name, table in collection.weights.items():
        np.testing.assert_allclose(table, before[name] - 0.5 * gradients[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    ("optimizer", "regularizer"), [(LazyAdam(), 0.0), (Adam(), 0.0), (Adagrad(), 0.1), (SGD(), 0.0)], ids=str
)
def test_codes_follow_the_weights(searching, optimizer, regularizer, threads):
    """After every step, a load, and a change from outside the codes are those of the weights."""
    world = searching(1, 300, Search("hash", 2), large=500)
    collection = EmbeddingCollection(world.plan, optimizer, regularizer, threads=threads)
    (number,) = collection._lookup.codes.values()

    def check():
        fresh = native.Tables([collection.weights["one"]], [], [], [True], 1)
        expected = fresh.codes(fresh.add_codes(0, directions(4, 0)))
        collection._weights_were_given = False
        np.testing.assert_array_equal(collection.tables.native.codes(number), expected)
        return expected

    start = check()
    saved = {name: array.copy() for name, array in collection.state_arrays().items()}
    for seed in range(3):
        moved = searching(seed, 300, Search("hash", 2), large=500)
        tensors = collection.lookup(moved.batch).tensors
        sum((t * torch.randn(t.shape)).sum() for t in tensors.values() if t.requires_grad).backward()
        collection.apply_gradients(1.0)
        assert not np.array_equal(check(), start)
    collection.load_state_arrays(saved)
    np.testing.assert_array_equal(check(), start)
    collection.weights["one"][:] *= -1
    collection.lookup(world.batch)
    assert not np.array_equal(check(), start)


CHILDREN = {"s__item": 500, "s__cate": 20, "s__brand": 20}


def plan_of(search):
    def output(name, **changes):
        return make_output(
            name,
            embedding_name=name.removeprefix("s__"),
            num_embeddings=CHILDREN[f"s__{name.removeprefix('s__')}"],
            **changes,
        )

    outputs = [output(name, kind="sparse_sequence", sequence="s") for name in CHILDREN]
    outputs += [output(name.removeprefix("s__")) for name in CHILDREN]
    entry = SequenceEntry.model_construct(sequence="s", query=None, encoder=Finds(want=search))
    config = reading({"deep": GroupConfig(features=["item", "cate", "brand"], sequences=[entry])})
    return plan_embeddings({spec.name: spec for spec in outputs}, config)


@pytest.mark.parametrize(
    ("kind", "named", "child"),
    [
        ("hard", None, "s__cate"),
        ("hash", None, "s__item"),
        ("soft", None, "s__item"),
        ("hard", "brand", "s__brand"),
        ("soft", "s__brand", "s__brand"),
        ("newest", None, None),
    ],
)
def test_hard_search_takes_the_fewest_ids_and_others_the_most_unless_told(kind, named, child):
    assert plan_of(Search(kind, 3, named)).layouts["deep"].sequence("s").search == Search(kind, 3, child)


def test_a_child_that_cannot_be_compared_is_told(searching):
    with pytest.raises(ConfigError) as caught:
        searching(0, 5, Search("hard", 3, "own"))
    (problem,) = caught.value.problems
    assert problem.where == "model.groups.deep.sequences.0.encoder"
    assert "'own' is no child of 'seq' that shares an embedding_name" in problem.message
    assert "such are: one" in problem.message


@pytest.mark.parametrize("search", SEARCHES, ids=KINDS)
def test_the_plan_survives_json(searching, search):
    plan = searching(0, 5, search).plan
    assert EmbeddingPlan.from_json(json.loads(json.dumps(plan.to_json()))) == plan


@pytest.mark.parametrize(
    "change",
    [{"kind": "eval"}, {"top": 0}, {"top": "3"}, {"bits": 65}, {"child": "seq__own"}, {"child": "gone"}, {"x": 1}],
)
def test_a_wrong_search_in_an_index_is_refused(searching, tmp_path, change):
    world = searching(0, 5, Search("hash", 3))
    write_tables(tmp_path, EmbeddingCollection(world.plan, SGD()).served)
    index = json.loads((tmp_path / "index.json").read_text())
    index["plan"]["groups"][0]["layout"]["sequences"][0]["search"].update(change)
    (tmp_path / "index.json").write_text(json.dumps(index))
    with pytest.raises(BundleError):
        TableReader.open(tmp_path)


def test_children_of_unequal_lengths_are_a_data_error(searching):
    world = searching(0, 5, Search("hard", 3))
    one = world.table["seq__one"]
    values = np.zeros(one.elements, np.int64)  # all match
    ragged = {name: world.table[name] for name in ("one", "many", "seq__one", "seq__own", "seq__vector")}
    ragged["one"] = Ragged(np.zeros(5, np.int64))
    ragged["seq__one"] = Ragged(values, one.offsets)
    ragged["seq__own"] = Ragged(values[:1], np.array([0, 1, 1, 1, 1, 1]))
    batch = Batch.of(Table(5, ragged, world.table.dense, world.table.dense_slices), outputs=world.outputs)
    with pytest.raises(DataError):
        EmbeddingCollection(world.plan, SGD()).lookup(batch)
