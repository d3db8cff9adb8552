"""Which worker holds which part of a table, and which rows a batch asks of whom."""

from dataclasses import replace

import numpy as np
import pytest

from easyrec.config.model import ModelConfig
from easyrec.embedding import _reference, native
from easyrec.embedding.plan import plan_embeddings
from easyrec.embedding.sharding import SMALL, kinds_of, shards_of
from easyrec.embedding.shared_keys import holders
from easyrec.embedding.spec import Initializer, TableSpec
from easyrec.embedding.tables import drawn_rows, initialize
from easyrec.embedding.wanted import Occurrences, Wanting, found
from easyrec.errors import DataError
from feature_generator import FeatureGenerator

FEATURES = [
    {"type": "id", "name": "user", "num_buckets": 50, "embedding_dim": 6},
    {"type": "id", "name": "item", "num_buckets": 30, "embedding_dim": 6},
    {"type": "id", "name": "likes", "num_buckets": 30, "embedding_dim": 6, "embedding_name": "item"},
    {"type": "id", "name": "cate", "num_buckets": 7, "embedding_dim": 6},
    {"type": "raw", "name": "price", "embedding_dim": 6},
]
KINDS = {"user": "row", "item": "column", "cate": "table", "price": "data_parallel"}


@pytest.fixture(scope="module")
def plan():
    generator = FeatureGenerator.load({"features": FEATURES}, mode="encoded")
    return plan_embeddings(generator.outputs, ModelConfig(type="step"))


class Columns:
    """Ids of some rows by feature, one or several each."""

    def __init__(self, **ids):
        self.ids = ids

    def ragged(self, name):
        values = self.ids[name]
        if isinstance(values[0], list):
            ends = np.cumsum([0, *map(len, values)])
            return np.array([i for row in values for i in row], np.int64), ends, None, None
        return np.array(values, np.int64), None, None, None


@pytest.mark.parametrize("size", [1, 2, 3, 8])
def test_pieces_make_up_the_table(plan, size):
    shards = shards_of(plan, KINDS, size)
    for table in plan.tables:
        whole = np.arange(table.rows * table.dim, dtype=np.float32).reshape(table.rows, table.dim)
        told = np.full_like(whole, -1)
        times = np.zeros(whole.shape, int)
        for piece in (p for p in shards.pieces if p.table == table.name):
            for rank in range(size):
                mine = piece.cut(whole, rank, size)
                assert mine.shape == (piece.held(rank, size).rows, piece.spec.dim)
                piece.cut(told, rank, size)[...] = mine
                piece.cut(times, rank, size)[...] += 1
        assert np.array_equal(told, whole)
        assert (times == (size if KINDS[table.name] == "data_parallel" else 1)).all()


@pytest.mark.parametrize("rank", [0, 1, 2])
def test_every_distinct_row_is_asked_once_of_its_holder(plan, rank):
    size = 3
    shards = shards_of(plan, {**KINDS, "cate": "data_parallel"}, size)
    random = np.random.default_rng(rank)
    columns = Columns(
        user=random.integers(0, 50, 40).tolist(),
        item=random.integers(0, 30, 40).tolist(),
        likes=[random.integers(0, 30, n).tolist() for n in random.integers(0, 5, 40)],
        cate=random.integers(0, 7, 40).tolist(),
    )
    columns.ids["likes"][0] = [3, 3]
    wanted = Wanting(shards.units, rank, size)(columns)
    for number, unit in enumerate(shards.units):
        rows, holders = [], []
        for worker in range(size):
            asked = wanted.of(worker, slice(number, number + 1))
            assert len(asked) == wanted.counts[worker, number]
            rows += (asked * size + worker if unit.kind == "row" else asked).tolist()
            holders += [worker] * len(asked)
        assert len(set(rows)) == len(rows)
        if unit.kind != "row":
            assert set(holders) == {rank if unit.kind == "data_parallel" else unit.owner}
        assert wanted.here[number].tolist() == [sum(h < worker for h in holders) for worker in range(size + 1)]
        for feature in unit.features:
            assert [rows[at] for at in wanted.places[f"{number}/{feature}"]] == columns.ragged(feature)[0].tolist()


@pytest.mark.parametrize("workers", [1, 2, 7])
@pytest.mark.parametrize("seed", range(4))
def test_the_kernel_wants_what_the_reference_wants(workers, seed):
    random = np.random.default_rng(seed)
    units = [(20, -1), (10**12, -1), (10**7, workers - 1), (-1, -1), (9, 0)]
    columns = []
    for unit, (rows, _) in enumerate(units):
        for _ in range(random.integers(0, 4)):
            few = random.integers(-(2**62) if rows < 0 else 0, 2**62 if rows < 0 else rows, 50)
            columns.append((few[random.integers(0, 50, random.integers(0, 300))], unit))
    *ours, fault = native.wanted(units, columns, workers)
    assert fault is None
    for mine, theirs in zip(ours, _reference.wanted(units, columns, workers), strict=True):
        assert mine.tolist() == theirs.tolist()


@pytest.mark.parametrize("wrong", [-1, 30], ids=["below", "above"])
def test_the_first_id_outside_its_table_is_told(wrong):
    columns = [(np.array([1, 2]), 0), (np.array([29, 0, wrong, wrong]), 1)]
    assert native.wanted([(3, 0), (30, -1)], columns, 2)[-1] == (1, 2)


def test_columns_that_do_not_come_unit_by_unit_are_refused():
    ids = np.zeros(1, np.int64)
    for units, columns, workers in (
        ([(1, 0)] * 2, [(ids, 1), (ids, 0)], 1),
        ([(1, 0)], [(ids, 1)], 1),
        ([(1, 0)], [(ids, -1)], 1),
        ([(1, 2)], [(ids, 0)], 2),
        ([(1, 0)], [(ids, 0)], 0),
    ):
        with pytest.raises(ValueError, match=r"columns|held by nobody|no worker"):
            native.wanted(units, columns, workers)


def test_a_plan_of_some_tables_asks_their_holders(plan):
    kinds = dict.fromkeys(KINDS, "table")
    whole = {unit.features[0]: unit.owner for unit in shards_of(plan, kinds, 2).units}
    (cate,) = (table for table in plan.tables if table.name == "cate")
    group = plan.groups["deep"]
    few = replace(plan, tables=(cate,), groups={"deep": replace(group, fields=(group.fields[3],))})
    assert group.fields[3].feature == "cate"
    (unit,) = shards_of(few, kinds, 2, plan.tables).units
    assert unit.owner == whole["cate"] != shards_of(few, kinds, 2).units[0].owner


def test_keys_are_asked_of_those_whose_hash_says_so(plan):
    keyed = replace(plan, tables=tuple(replace(t, keys=t.name) if t.name == "item" else t for t in plan.tables))
    units, random = shards_of(keyed, {**KINDS, "item": "row"}, 3).units, np.random.default_rng(2)
    keys = random.integers(0, 2**62, 30)
    columns = Columns(user=[1, 2], cate=[3, 3], item=keys[random.integers(0, 30, 90)].tolist())
    columns.ids["likes"] = [keys[:20].tolist(), [7]]
    wanted = Wanting(units, 1, 3)(columns)
    (number,) = (at for at, unit in enumerate(units) if unit.keys)
    asked = [wanted.of(worker, slice(number, number + 1)) for worker in range(3)]
    for worker, rows in enumerate(asked):
        assert (holders(rows, 3) == worker).all()
    rows = np.concatenate(asked)
    assert len(set(rows.tolist())) == len(rows)
    for feature in ("item", "likes"):
        assert rows[wanted.places[f"{number}/{feature}"]].tolist() == columns.ragged(feature)[0].tolist()
    met = Occurrences(units, wanted, 1)
    assert units[number].features == ["item", "likes"]
    told = np.concatenate([met.of(worker)[-1].reshape(-1, 2) for worker in range(3)])
    for column, feature in enumerate(units[number].features):
        values = columns.ragged(feature)[0].tolist()
        assert told[:, column].tolist() == [values.count(key) for key in rows.tolist()]


def test_the_first_occurrences_of_an_id_may_have_no_row():
    places, lost = np.array([0, 2, 1, 2, 0, 2, 1]), np.array([0, 2, 2])
    assert found(places, lost, np.array([2, 2, 3])).tolist() == [0, -1, -1, -1, 0, 2, -1]
    assert found(places, np.zeros(3, int), np.array([2, 2, 3])) is places


def test_no_rows_ask_for_nothing(plan):
    shards = shards_of(plan, KINDS, 2)
    none = np.zeros(0, np.int64)
    columns = Columns()
    columns.ragged = lambda name: (none, None, None, None)
    wanted = Wanting(shards.units, 0, 2)(columns)
    assert wanted.counts.sum() == 0
    assert all(len(at) == 0 for at in wanted.places.values())


def test_an_id_outside_its_table_is_named_with_its_row(plan):
    wanting = Wanting(shards_of(plan, KINDS, 2).units, 0, 2)
    good = {"user": [0, 1], "item": [0, 1], "cate": [0, 1]}
    with pytest.raises(DataError, match="id 30 is outside its embedding table") as caught:
        wanting(Columns(**good, likes=[[], [2, 30]]))
    assert (caught.value.column, caught.value.row) == ("likes", 1)
    with pytest.raises(DataError, match="id -1"):
        wanting(Columns(**{**good, "cate": [0, -1]}, likes=[[1], [2]]))


def test_small_tables_are_copied_and_large_ones_cut(plan):
    rows = SMALL // (4 * 6)
    features = [
        {"type": "id", "name": "small", "num_buckets": rows, "embedding_dim": 6},
        {"type": "id", "name": "large", "num_buckets": rows + 1, "embedding_dim": 6},
    ]
    generator = FeatureGenerator.load({"features": features}, mode="encoded")
    found = kinds_of(plan_embeddings(generator.outputs, ModelConfig(type="step")), lambda name: "auto")
    assert found == {"small": "data_parallel", "large": "row"}


@pytest.mark.parametrize("init", [("normal", 0.1), ("uniform", 0.1), ("identity", 2.0)])
def test_rows_that_are_drawn_in_chunks_are_those_of_the_whole(init):
    spec = TableSpec("t", 23, 5, ("f",), True, Initializer(*init))
    whole = np.empty((23, 5), np.float32)
    initialize(spec, whole, 3)
    parts = [rows for _, rows in drawn_rows(spec, 3, 4)]
    assert np.array_equal(np.concatenate(parts), whole)


def test_the_planner_of_torchrec_chooses_what_it_may(plan):
    pytest.importorskip("torchrec", reason="the extra 'distributed' is not installed")
    from easyrec.embedding.torchrec_plan import planned

    tables = [table for table in plan.tables if table.name != "price"]
    found = planned(tables, size=2, batch_size=512, kinds=("row", "table"))
    assert found.keys() == {table.name for table in tables}
    assert set(found.values()) <= {"row", "table"}
