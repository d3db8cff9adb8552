"""Tables that are made of smaller ones: what is looked up, what learns, and what is refused with its place."""

import numpy as np
import pytest
import torch

from easyrec.batch import Batch
from easyrec.config.compress import COMPOSITIONS
from easyrec.config.train import SGD, LazyAdam
from easyrec.embedding.collection import EmbeddingCollection
from easyrec.embedding.reader import TableReader, write_tables
from easyrec.embedding.spec import EmbeddingPlan
from easyrec.embedding.tiers import Store
from easyrec.errors import DataError
from easyrec.layout import Composed, GroupLayout, SequenceLayout, Span
from feature_generator.config import member

QUOTIENTS = {"type": "quotient_remainder", "collisions": 3, "operation": "concat"}


def composed(make_world, seed=3, rows=12, large=40, compress=None, **reads):
    """A world in which `one` (a feature, several ids, steps) and `mean` are made of smaller tables."""
    found = {name: member(COMPOSITIONS, keys["type"]).Config(**keys) for name, keys in (compress or {}).items()}
    return make_world(seed, rows, 4, large, compress=found, **reads)


def test_a_plan_has_the_smaller_tables_and_says_what_they_make(make_world):
    world = composed(make_world, compress={"one": QUOTIENTS, "mean": {"type": "mixed", "dim": 2}})
    sizes = {t.name: (t.rows, t.dim) for t in world.plan.tables}
    assert sizes["one:part0"], sizes["one:part1"] == ((14, 2), (3, 2))
    assert sizes["mean"] == (40, 2)
    assert sizes["one:first"] == (40, 1)
    assert "one" not in sizes
    layout = world.plan.layouts["deep"]
    assert [(c.name, c.dim, c.count) for c in layout.composed] == [("one", 4, 2), ("many", 4, 2), ("mean", 4, 1)]
    steps = layout.sequences[0]
    assert [(c.name, c.dim, c.count) for c in steps.composed] == [("seq__one", 4, 2)]
    joined = layout.joined()
    assert joined.field("mean").dim == 4
    assert [child.dim for child in joined.sequence("seq").children] == [4, 2, 2]
    assert joined.sequence("seq").query == ("one", None, None)
    assert EmbeddingPlan.from_json(world.plan.to_json()) == world.plan


def test_spans_that_are_made_move_those_behind_them():
    spans = (Span("a", 2, 0), Span("a", 2, 2), Span("b", 3, 4), Span("c", 1, 7))
    layout = GroupLayout("g", spans, composed=(Composed("a", 4, 0, 2, "a"), Composed("c", 6, 3, 1, "c")))
    assert layout.joined().fields == (Span("a", 4, 0), Span("b", 3, 4), Span("c", 6, 7))
    sequence = SequenceLayout("s", spans, ("x", "x", None, "y"), composed=(Composed("a", 4, 0, 2, "a"),))
    assert sequence.joined().query == ("x", None, "y")


@pytest.mark.parametrize("reader", [False, True], ids=["collection", "reader"])
def test_the_parts_of_an_id_stand_side_by_side(make_world, tmp_path, reader):
    world = composed(make_world, compress={"one": QUOTIENTS})
    collection = EmbeddingCollection(world.plan, SGD(), seed=1)
    for weights in collection.weights.values():
        weights[...] = np.random.default_rng(weights.size).standard_normal(weights.shape)
    if reader:
        write_tables(tmp_path, collection.served)
        found = torch.from_numpy(TableReader.open(tmp_path).lookup(world.table)["emb:deep"])
    else:
        found = collection.lookup(world.batch).tensors["emb:deep"].detach()
    ids = world.table["one"].values
    quotients, remainders = collection.weights["one:part0"], collection.weights["one:part1"]
    np.testing.assert_array_equal(found[:, :4], np.concatenate([quotients[ids // 3], remainders[ids % 3]], axis=1))


def test_the_gradient_of_an_embedding_reaches_both_rows(make_world):
    world = composed(make_world, compress={"one": QUOTIENTS})
    collection = EmbeddingCollection(world.plan, SGD(), seed=1)
    before = {name: collection.weights[name].copy() for name in ("one:part0", "one:part1")}
    field = collection.lookup(world.batch).tensors["emb:deep"][:, :4]  # of `one` alone
    field.sum().backward()
    collection.apply_gradients(1.0)
    ids = world.table["one"].values
    for name, rows in (("one:part0", ids // 3), ("one:part1", ids % 3)):
        met = np.bincount(rows, minlength=len(before[name]))
        moved = before[name] - collection.weights[name]
        np.testing.assert_allclose(moved, np.repeat(met[:, None], 2, axis=1), atol=1e-5)


def test_ids_outside_are_told_as_they_are(make_world):
    world = composed(make_world, compress={"one": QUOTIENTS})
    world.table["one"].values[2] = 40
    with pytest.raises(DataError, match="id 40 is outside") as told:
        EmbeddingCollection(world.plan, SGD()).lookup(Batch.of(world.table, outputs=world.outputs))
    assert (told.value.column, told.value.row) == ("one", 2)


def test_several_ids_in_a_place_are_refused_where_their_sum_is_not_that_of_the_parts(make_world):
    world = composed(make_world, compress={"mean": {"type": "threshold"}})
    with pytest.raises(DataError, match="several ids in one place") as told:
        EmbeddingCollection(world.plan, SGD()).lookup(world.batch)
    offsets = world.table["mean"].offsets
    assert (told.value.column, told.value.row) == ("mean", int(np.argmax(np.diff(offsets) > 1)))


def test_tables_that_do_not_fit_into_memory_keep_those_with_parts_there(make_world, tmp_path):
    world = composed(make_world, large=4000, compress={"one": QUOTIENTS})
    collection = EmbeddingCollection(world.plan, LazyAdam(), seed=1, storage=Store(600_000, tmp_path))
    assert collection._tier_of
    assert not collection._tier_of.keys() & {"one", "many", "seq__one"}
    same = EmbeddingCollection(world.plan, LazyAdam(), seed=1)
    for one in (collection, same):
        one.lookup(world.batch).tensors["emb:deep"].square().sum().backward()
        one.apply_gradients(0.1)
    for name, weights in same.weights.items():
        np.testing.assert_array_equal(collection.weights[name], weights, err_msg=name)


REFUSED = [
    ({"on": QUOTIENTS}, {}, "no table of ids is called 'on'"),
    ({"number": QUOTIENTS}, {}, "no table of ids is called 'number'"),
    ({"frozen": QUOTIENTS}, {}, "is not trainable"),
    ({"pooled": {"type": "threshold"}}, {}, "is pooled in 'pooled'"),
    ({"one": {**QUOTIENTS, "collisions": 99}}, {}, "would not become smaller"),
    ({"one": QUOTIENTS}, {"encoder": "eta"}, "a search compares"),
]


@pytest.mark.parametrize(("compress", "reads", "text"), REFUSED, ids=[text for *_, text in REFUSED])
def test_what_cannot_be_made_of_parts_is_refused(make_world, compress, reads, text):
    with pytest.raises(Exception, match=text) as told:
        composed(make_world, compress=compress, **reads)
    assert told.value.problems[0].where == f"model.compress.{next(iter(compress))}"
