import itertools
import threading
from collections import Counter
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from easyrec.config.data import NegativeSampling, Shuffle
from easyrec.data import Demand, Loader, Part
from easyrec.data import loader as loading
from easyrec.data.batch_cost import BatchCost
from easyrec.data.order import Order
from easyrec.data.sources.csv import Config as Csv
from easyrec.data.sources.frame import FrameSource
from easyrec.data.sources.parquet import Config as Parquet
from easyrec.data.split import Predicate
from easyrec.errors import ConfigError, DataError
from feature_generator import FeatureGenerator

ROWS = 3000

FEATURES = [
    {"type": "id", "name": "id", "num_buckets": 100_000},
    {"type": "raw", "name": "number"},
    {"type": "id", "name": "tags", "expression": "user:tags", "hash_bucket_size": 1000},
    {"type": "id", "name": "steps", "expression": "user:steps", "num_buckets": 10_000, "sequence_length": 20},
]


def table(rows=ROWS, start=0):
    ids = range(start, start + rows)
    return pa.table(
        {
            "id": pa.array(ids, pa.int64()),
            "number": pa.array([i / 8 for i in ids], pa.float32()),
            "tags": [[f"t{i}", f"u{i}"][: i % 3] for i in ids],
            "steps": [[(i + k) % 10_000 for k in range(i % 5)] for i in ids],
            "click": pa.array([int(i % 4 == 0) for i in ids], pa.int8()),
            "weight": pa.array([1 + i % 3 for i in ids], pa.float64()),
            "user": [f"user {i % 10}" for i in ids],
            "session": [f"session {i // 7}" for i in ids],
        }
    )


@pytest.fixture(scope="module")
def generator():
    return FeatureGenerator.load({"features": FEATURES})


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch):
    monkeypatch.setattr(loading, "CHUNK_ROWS", 64)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    for part in range(3):
        pq.write_table(table(1000, part * 1000), folder / f"{part}.parquet", row_group_size=190)
    return Parquet(path=str(folder)).open()


DEMAND = Demand(labels={"click": 2}, sample_weight="weight", reserved=["user", "id"])


def ids_of(batch):
    return batch.reserved.column("id").to_pylist()


def everything(batch):
    """All values of a batch as plain lists."""
    jagged = {
        name: [None if t is None else t.tolist() for t in (j.values, j.offsets, j.weights, j.key_offsets)]
        for name, j in {**batch.sparse, **batch.sequences}.items()
    }
    labels = {name: label.tolist() for name, label in batch.labels.items()}
    return [batch.size, batch.dense.tolist(), jagged, labels, batch.sample_weight.tolist(), batch.reserved.to_pydict()]


SHUFFLES = {"in-order": None, "buffer": Shuffle(buffer_rows=500), "one-buffer": Shuffle(buffer_rows=10_000)}


@pytest.fixture(params=SHUFFLES)
def shuffle(request):
    return SHUFFLES[request.param]


def test_every_row_comes_once_with_its_own_features(source, generator, shuffle):
    seen = []
    loader = Loader(source, generator, DEMAND, batch_size=77, shuffle=shuffle)
    for batch in loader:
        ids = ids_of(batch)
        seen += ids
        assert batch.size == len(ids)
        assert batch.sparse["id"].values.tolist() == ids
        assert batch.dense[:, 0].tolist() == [i / 8 for i in ids]
        assert batch.labels["click"].tolist() == [float(i % 4 == 0) for i in ids]
        assert batch.sample_weight.tolist() == [1 + i % 3 for i in ids]
        assert batch.reserved.column("user").to_pylist() == [f"user {i % 10}" for i in ids]
        assert batch.sparse["tags"].offsets.diff().tolist() == [i % 3 for i in ids]
        steps = batch.sequences["steps"]
        assert steps.offsets.diff().tolist() == [i % 5 for i in ids]
        assert steps.values.tolist() == [(i + k) % 10_000 for i in ids for k in range(i % 5)]
    assert sorted(seen) == list(range(ROWS))
    assert (seen == list(range(ROWS))) == (shuffle is None)
    assert (loader.report.read, loader.report.kept, loader.report.bad) == (ROWS, ROWS, {})


def test_batches_are_full_but_the_last(source, generator, shuffle):
    sizes = [batch.size for batch in Loader(source, generator, DEMAND, batch_size=77, shuffle=shuffle)]
    assert sizes == [77] * (ROWS // 77) + [ROWS % 77]


def test_a_last_batch_of_one_row_joins_the_one_before_it(source, generator, shuffle):
    loader = Loader(source, generator, DEMAND, batch_size=2999, shuffle=shuffle, merge_single=True)
    assert [batch.size for batch in loader] == [ROWS]
    loader = Loader(source, generator, DEMAND, batch_size=2999, shuffle=shuffle)
    assert [batch.size for batch in loader] == [2999, 1]


def test_epochs_differ_and_seeds_repeat(source, generator):
    def epochs(seed):
        loader = Loader(source, generator, DEMAND, batch_size=100, shuffle=Shuffle(buffer_rows=500), seed=seed)
        return [[i for batch in loader for i in ids_of(batch)] for _ in range(2)]

    first, second = epochs(1)
    assert first != second
    assert epochs(1) == [first, second]
    assert epochs(2)[0] != first


def test_rows_of_one_file_are_spread_over_the_epoch(source, generator):
    loader = Loader(source, generator, DEMAND, batch_size=ROWS, shuffle=Shuffle(buffer_rows=ROWS))
    (batch,) = loader
    halves = Counter(i // 1000 for i in ids_of(batch)[: ROWS // 2])
    assert all(400 < halves[part] < 600 for part in range(3))


def length(identity):
    return identity % 5


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    most=st.integers(1, 60),
    size=st.integers(1, 40),
    shuffle=st.sampled_from(sorted(SHUFFLES)),
    together=st.booleans(),
)
def test_batches_end_where_their_steps_would_cost_more(source, generator, most, size, shuffle, together):
    shuffle = SHUFFLES[shuffle]
    demand = DEMAND
    if together and shuffle is not None:
        shuffle, demand = (
            shuffle.model_copy(update={"together": "session"}),
            replace(DEMAND, reserved=["user", "id", "session"]),
        )
    options = {"shuffle": shuffle, "seed": 3}
    bounded = Loader(source, generator, demand, batch_size=size, cost=BatchCost(["steps"], most), **options)
    batches = [ids_of(batch) for batch in bounded]
    free = [i for batch in Loader(source, generator, demand, batch_size=10_000, **options) for i in ids_of(batch)]
    assert [i for batch in batches for i in batch] == free
    assert bounded.num_batches is None
    for number, batch in enumerate(batches):
        cost = sum(map(length, batch))
        assert cost <= most or len(batch) == 1
        assert len(batch) <= size
        if number + 1 < len(batches) and shuffle is not None and not together:
            assert len(batch) == size or cost + length(batches[number + 1][0]) > most  # it ends where it must


def test_batches_of_bounded_cost_resume_at_any_of_them(source, generator, shuffle):
    def loader():
        return Loader(source, generator, DEMAND, batch_size=90, shuffle=shuffle, seed=3, cost=BatchCost(["steps"], 120))

    whole, states = [], []
    running = loader()
    for batch in running:
        whole.append(ids_of(batch))
        states.append(running.state())
    assert len(whole) > ROWS // 90 + 5
    for at in (0, 3, len(whole) // 2, len(whole) - 2):
        other = loader()
        other.load_state(states[at])
        assert [ids_of(batch) for batch in other] == whole[at + 1 :]


def test_a_batch_of_another_cost_is_another_order(source, generator):
    first = Loader(source, generator, DEMAND, batch_size=90, cost=BatchCost(["steps"], 120))
    second = Loader(source, generator, DEMAND, batch_size=90, cost=BatchCost(["steps"], 121))
    with pytest.raises(DataError, match="the cost of a batch was"):
        second.load_state(first.state())


@pytest.mark.parametrize("rows_per_batch", [77, 500, 3001])
def test_what_remains_is_kept_or_dropped(source, generator, shuffle, rows_per_batch):
    options = {"batch_size": rows_per_batch, "shuffle": shuffle, "seed": 3}
    kept = [ids_of(batch) for batch in Loader(source, generator, DEMAND, **options)]
    dropping = Loader(source, generator, DEMAND, drop_last=True, **options)
    for _ in range(2):
        left = [ids_of(batch) for batch in dropping]
        assert len(left) == dropping.num_batches == ROWS // rows_per_batch
    assert dropping.epoch == 2
    assert [ids_of(batch) for batch in Loader(source, generator, DEMAND, drop_last=True, **options)] == kept[
        : ROWS // rows_per_batch
    ]
    assert Loader(source, generator, DEMAND, **options).num_batches == len(kept)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    at=st.integers(0, 70),
    batch_size=st.sampled_from([9, 50, 64, 190, 333]),
    buffer_rows=st.sampled_from([None, 1, 64, 700, 5000]),
    together=st.sampled_from([None, "session"]),
    shard=st.sampled_from([(0, 1), (1, 2)]),
    single=st.booleans(),
)
def test_resuming_after_any_batch_gives_the_rest_bit_for_bit(
    source, generator, at, batch_size, buffer_rows, together, shard, single
):
    demand = replace(DEMAND, reserved=[*DEMAND.reserved, "session"])

    def loader():
        shuffle = None if buffer_rows is None else Shuffle(buffer_rows=buffer_rows, together=together)
        return Loader(
            source, generator, demand, batch_size=batch_size, shuffle=shuffle, seed=3, shard=shard, merge_single=single
        )

    whole = loader()
    states, batches = [whole.state()], []
    for epoch in range(2):
        for batch in whole:
            batches.append(everything(batch))
            states.append(whole.state())
        assert whole.epoch == epoch + 1
    at = at * len(batches) // 70
    resumed = loader()
    resumed.load_state(states[at])
    assert resumed.state() == states[at]
    rest = []
    while resumed.epoch < 2:
        rest += [everything(batch) for batch in resumed]
    assert rest == batches[at:]
    assert resumed.report == whole.report


BY_SESSION = replace(DEMAND, reserved=["id", "session"])


def by_session(source, generator, batch_size, **keys):
    shuffle = Shuffle(together="session", **keys)
    return list(Loader(source, generator, BY_SESSION, batch_size=batch_size, shuffle=shuffle))


def test_rows_that_belong_together_are_dealt_out_together(source, generator):
    batches = by_session(source, generator, 64)
    ids = [ids_of(batch) for batch in batches]
    assert sorted(i for batch in ids for i in batch) == list(range(ROWS))
    assert [i for batch in ids for i in batch] != list(range(ROWS))
    assert all(57 < len(batch) <= 64 for batch in ids[:-1])  # a session has 7 rows
    parts = sum(len({i // 7 for i in batch}) for batch in ids)
    row_groups = 3 * (1000 // 190 + 1)
    assert ROWS // 7 + 1 <= parts <= ROWS // 7 + 1 + row_groups  # only where a row group ends is a session parted


@pytest.mark.parametrize("size", [66, 100], ids=["the-next-session-does-not-fit", "it-fits"])
def test_blocks_may_end_inside_of_a_batch(source, generator, size):
    ids = [ids_of(batch) for batch in by_session(source, generator, size, buffer_rows=64)]
    assert sorted(i for batch in ids for i in batch) == list(range(ROWS))
    assert all(size - 7 < len(batch) <= size for batch in ids[:-1])
    parts = sum(len({i // 7 for i in batch}) for batch in ids)
    blocks = {(i // 7, i // 1000, i % 1000 // 190, i % 1000 % 190 // 64) for i in range(ROWS)}
    assert parts <= len(blocks)  # a session is parted where a block ends and nowhere else


def test_a_session_longer_than_a_batch_is_cut(source, generator):
    ids = [ids_of(batch) for batch in by_session(source, generator, 5)]
    assert sorted(i for batch in ids for i in batch) == list(range(ROWS))
    assert max(map(len, ids)) == 5


@pytest.mark.parametrize(
    "values",
    [
        pa.chunked_array([["a", "a"], ["a", "b", None], [None, "a"]]),
        pa.chunked_array([pa.array(["a", "a"]).dictionary_encode(), pa.array(["a", "b", None, None, "a"]).dictionary_encode()]),
        pa.chunked_array([[7, 7, 7, 5, None, None, 7]]),
    ],
    ids=["text", "dictionary", "numbers"],
)  # fmt: skip
def test_runs_of_equal_values_stay_together(values):
    runs, seen = {(0, 1, 2), (3,), (4, 5), (6,)}, set()
    for seed in range(300):
        order = Order.drawn(np.random.default_rng(seed), 7, values)
        pieces = [tuple(order.rows[a:b].tolist()) for a, b in itertools.pairwise(order.borders)]
        assert set(pieces) == runs
        seen.add(tuple(pieces))
    assert len(seen) == 24


def test_a_piece_ends_at_the_last_border_that_fits():
    order = Order(np.arange(10), np.array([0, 3, 4, 9, 10]))
    assert [order.stop(0, 5), order.stop(0, 2), order.stop(4, 8), order.stop(4, 9), order.stop(6, 10)] == [
        4,
        0,
        4,
        9,
        10,
    ]
    assert Order(np.arange(10)).stop(0, 5) == 5


def test_after_the_last_batch_a_state_resumes_with_no_batch_and_then_the_next_epoch(source, generator):
    loader = Loader(source, generator, DEMAND, batch_size=ROWS, shuffle=Shuffle())
    running = iter(loader)
    next(running)
    state = loader.state()
    assert state["epoch"] == 0
    resumed = Loader(source, generator, DEMAND, batch_size=ROWS, shuffle=Shuffle())
    resumed.load_state(state)
    assert list(resumed) == []
    assert resumed.epoch == 1
    assert len(list(resumed)) == 1


def test_an_iteration_that_was_left_is_continued_by_the_next_one(source, generator):
    loader = Loader(source, generator, DEMAND, batch_size=100, shuffle=Shuffle(buffer_rows=300))
    seen = []
    for batch in loader:
        seen += ids_of(batch)
        if len(seen) == 700:
            break
    for batch in loader:
        seen += ids_of(batch)
    assert sorted(seen) == list(range(ROWS))


@pytest.mark.parametrize(
    "changes",
    [{"seed": 1}, {"shard": (0, 2)}, {"shuffle": Shuffle(buffer_rows=7)}, {"shuffle": Shuffle(together="user")}],
    ids=["seed", "shard", "buffer", "together"],
)
def test_a_state_of_another_order_is_refused(source, generator, changes):
    state = Loader(source, generator, DEMAND, batch_size=10, shuffle=Shuffle()).state()
    other = Loader(source, generator, DEMAND, batch_size=10, **{"shuffle": Shuffle(), **changes})
    with pytest.raises(DataError, match="cannot resume: the"):
        other.load_state(state)


def test_a_state_of_other_data_is_refused(source, generator):
    state = Loader(source, generator, DEMAND, batch_size=10).state()
    with pytest.raises(DataError, match="the number of units was 18 and is 1"):
        Loader(FrameSource(table()), generator, DEMAND, batch_size=10).load_state(state)


@pytest.mark.parametrize("shards", [1, 2, 5, 18])
def test_shards_are_disjoint_and_complete_in_every_epoch(source, generator, shuffle, shards):
    loaders = [
        Loader(source, generator, DEMAND, batch_size=64, shuffle=shuffle, shard=(i, shards)) for i in range(shards)
    ]
    for _ in range(2):
        seen = [[i for batch in loader for i in ids_of(batch)] for loader in loaders]
        assert all(seen)
        assert sorted(i for ids in seen for i in ids) == list(range(ROWS))


def test_an_epochs_beginning_is_the_same_for_any_number_of_workers(source, generator):
    def loaders(number):
        return [
            Loader(source, generator, DEMAND, batch_size=10, shuffle=Shuffle(), shard=(i, number))
            for i in range(number)
        ]

    two = loaders(2)
    assert sum(len(ids_of(batch)) for loader in two for batch in loader) == ROWS
    states = [loader.state() for loader in two]
    seen = []
    for loader, undisturbed in zip(three := loaders(3), loaders(3), strict=True):
        loader.load_states(states)
        assert loader.epoch == 1
        list(undisturbed)
        seen += (ids := [i for batch in loader for i in ids_of(batch)])
        assert ids == [i for batch in undisturbed for i in ids_of(batch)]
    assert sorted(seen) == list(range(ROWS))
    next(iter(two[0]))
    with pytest.raises(DataError, match="begun by 2 workers, and there are 3 now"):
        three[0].load_states([loader.state() for loader in two])


def test_a_batch_of_nothing_has_all_columns(source, generator):
    loader = Loader(source, generator, DEMAND, batch_size=10)
    some, none = next(iter(loader)), loader.nothing()
    assert none.size == 0
    assert none.dense.shape == (0, some.dense.shape[1])
    assert none.sparse.keys() == some.sparse.keys()
    assert none.sequences.keys() == some.sequences.keys()
    assert none.labels.keys() == some.labels.keys()
    assert [column.offsets.tolist() for column in none.sequences.values()] == [[0]]


def test_a_shard_without_units_is_idle_where_it_may_be(source, generator):
    loader = Loader(source, generator, DEMAND, batch_size=64, shard=(18, 19), may_be_empty=True)
    assert list(loader) == []
    assert loader.epoch == 1


def test_more_shards_than_units_are_refused(source, generator):
    with pytest.raises(ConfigError, match=r"18 units .* cannot be shared by 19 workers"):
        Loader(source, generator, DEMAND, batch_size=64, shard=(0, 19))


def test_one_huge_row_group_is_cut_into_buffers(tmp_path, generator):
    pq.write_table(table(), tmp_path / "a.parquet", row_group_size=ROWS)
    loader = Loader(
        Parquet(path=str(tmp_path)).open(), generator, DEMAND, batch_size=100, shuffle=Shuffle(buffer_rows=500)
    )
    seen = [i for batch in loader for i in ids_of(batch)]
    assert sorted(seen) == list(range(ROWS))
    assert max(seen[:500]) < 600
    assert seen[:500] != sorted(seen[:500])


def test_the_buffer_is_bounded_by_memory_too(generator):
    data = {"id": np.arange(9000) % 1000, "number": np.zeros(9000, np.float32), "click": np.zeros(9000, np.int8)}
    data |= {"tags": [["a"]] * 9000, "steps": [list(range(20))] * 9000, "place": np.arange(9000)}
    loader = Loader(
        FrameSource(data),
        generator,
        Demand({"click": 2}, reserved=["place"]),
        batch_size=64,
        shuffle=Shuffle(buffer_mb=1),
    )
    places = next(iter(loader)).reserved.column("place").to_pylist()
    loader.close()
    assert max(places) - min(places) < 6000  # 20 ids of 8 bytes a row: a megabyte is less than 6,000 rows


def test_a_part_of_a_split_has_its_rows_alone(source, generator):
    def odd(batch):
        return pa.array([i % 2 == 1 for i in batch.column("id").to_pylist()])

    demand = Demand(labels={"click": 2}, reserved=["id"], predicate=Predicate("id", odd))
    loader = Loader(source, generator, demand, batch_size=77, shuffle=Shuffle(buffer_rows=100))
    assert sorted(i for batch in loader for i in ids_of(batch)) == list(range(1, ROWS, 2))
    assert loader.num_rows is None
    assert loader.report.read == ROWS // 2


def test_down_sampling_keeps_all_positives_and_a_share_of_the_negatives(source, generator):
    def epoch_of(loader):
        return {i for batch in loader for i in ids_of(batch)}

    demand = Demand(labels={"click": 2}, reserved=["id"], negatives=NegativeSampling(keep_rate=0.2), seed=5)
    loader = Loader(source, generator, demand, batch_size=100, shuffle=Shuffle(), seed=5)
    first, second = epoch_of(loader), epoch_of(loader)
    positives = set(range(0, ROWS, 4))
    assert positives <= first
    assert positives <= second
    assert first != second
    assert len(first - positives) / (ROWS * 3 / 4) == pytest.approx(0.2, abs=0.04)
    sharded = [
        Loader(source, generator, demand, batch_size=9, shuffle=Shuffle(), seed=5, shard=(i, 3)) for i in range(3)
    ]
    assert set().union(*(epoch_of(s) for s in sharded)) == first


# ---------------------------------------------------------------------------------------------- bad rows


def damaged(column, row, value, rows=ROWS):
    plain = table(rows)
    values = plain.column(column).to_pylist()
    values[row] = value
    return plain.set_column(
        plain.schema.get_field_index(column), column, pa.array(values, plain.schema.field(column).type)
    )


@pytest.fixture
def write(tmp_path):
    def write(data):
        pq.write_table(data.slice(0, 2000), tmp_path / "0.parquet", row_group_size=700)
        pq.write_table(data.slice(2000), tmp_path / "1.parquet", row_group_size=700)
        return Parquet(path=str(tmp_path)).open()

    return write


BAD = [
    ("click", 2950, 2, "must be 0 or 1, but is 2"),
    ("click", 2950, None, "must be 0 or 1, but is null"),
    ("weight", 2950, -1.0, "must be a finite number, at least 0, but is -1.0"),
    ("weight", 2950, float("nan"), "must be a finite number, at least 0, but is nan"),
    ("number", 2950, float("nan"), "nan"),
    ("number", 2950, float("inf"), "inf"),
]
IDS = ["label-2", "label-null", "negative-weight", "nan-weight", "nan-feature", "inf-feature"]


@pytest.mark.parametrize(("column", "row", "value", "message"), BAD, ids=IDS)
@pytest.mark.parametrize("shuffle", [None, Shuffle(buffer_rows=300)], ids=["in-order", "shuffled"])
def test_a_bad_value_fails_with_file_row_and_column(write, generator, shuffle, column, row, value, message):
    loader = Loader(write(damaged(column, row, value)), generator, DEMAND, batch_size=50, shuffle=shuffle)
    with pytest.raises(DataError, match=f"(?i){message}") as caught:
        list(loader)
    assert caught.value.file.endswith("1.parquet")
    assert (caught.value.row, caught.value.column) == (row - 2000, column)
    loader.close()
    assert not [t for t in threading.enumerate() if t.name == "easyrec-loader"]


@pytest.mark.parametrize(("column", "row", "value", "message"), BAD, ids=IDS)
def test_a_bad_row_is_skipped_and_counted(write, generator, column, row, value, message):
    demand = Demand(labels={"click": 2}, sample_weight="weight", reserved=["id"], bad_rows="skip")
    loader = Loader(
        write(damaged(column, row, value)), generator, demand, batch_size=50, shuffle=Shuffle(buffer_rows=99)
    )
    for batch in loader:
        ids = ids_of(batch)
        assert row not in ids
        assert batch.labels["click"].tolist() == [float(i % 4 == 0) for i in ids]
        assert batch.sparse["id"].values.tolist() == ids
    assert (loader.report.read, loader.report.kept, loader.report.num_bad) == (ROWS, ROWS - 1, 1)
    assert {key[0] for key in loader.report.bad} == {column}
    assert column in str(loader.report)


def test_a_bad_feature_becomes_its_default_and_is_counted(write, generator):
    demand = Demand(labels={"click": 2}, reserved=["id"], bad_rows="default")
    loader = Loader(write(damaged("number", 2950, float("nan"))), generator, demand, batch_size=50)
    values = {i: v for batch in loader for i, v in zip(ids_of(batch), batch.dense[:, 0].tolist(), strict=True)}
    assert len(values) == ROWS
    assert values[2950] == 0.0
    assert values[2949] == 2949 / 8
    assert loader.report.num_bad == 1


def test_a_row_without_a_usable_label_is_left_out_under_default_too(write, generator):
    demand = Demand(labels={"click": 2}, reserved=["id"], bad_rows="default")
    loader = Loader(write(damaged("click", 10, 3)), generator, demand, batch_size=50)
    assert 10 not in [i for batch in loader for i in ids_of(batch)]
    assert loader.report.bad == {("click", "must be 0 or 1"): 1}


def test_rows_are_counted_in_the_file_where_a_split_leaves_rows_out(write, generator):
    def late(batch):
        return pa.array([i >= 2500 for i in batch.column("id").to_pylist()])

    demand = Demand(labels={"click": 2}, predicate=Predicate("id", late))
    for column, value in (("click", 7), ("number", float("nan"))):
        loader = Loader(write(damaged(column, 2950, value)), generator, demand, batch_size=50)
        with pytest.raises(DataError) as caught:
            list(loader)
        assert caught.value.row == 950


def test_a_bad_value_of_a_text_file_names_its_line(tmp_path, generator):
    path = tmp_path / "a.csv"
    lines = [f"{i},{'nan' if i == 500 else i},a;b,1;2,0" for i in range(700)]
    path.write_text("id,number,tags,steps,click\n" + "\n".join(lines))
    with pytest.raises(DataError, match=r"a.csv, line 502, column 'number'"):
        list(Loader(Csv(path=str(path)).open(), generator, Demand({"click": 2}), batch_size=50))


def test_malformed_lines_are_part_of_the_report_once(tmp_path, generator):
    path = tmp_path / "a.csv"
    lines = [f"{i},{i},a;b,1;2,0" if i != 500 else "oops" for i in range(700)]
    path.write_text("id,number,tags,steps,click\n" + "\n".join(lines))
    demand = Demand({"click": 2}, bad_rows="skip")
    loader = Loader(
        Csv(path=str(path)).open("skip"), generator, demand, batch_size=50, shuffle=Shuffle(buffer_rows=100)
    )
    for _ in range(2):
        assert sum(batch.size for batch in loader) == 699
        assert loader.report.bad == {("", "too few values"): 1}


# ----------------------------------------------------------------------------------------------- threads


def running():
    return [thread for thread in threading.enumerate() if thread.name == "easyrec-loader"]


def test_leaving_early_ends_the_thread(source, generator):
    loader = Loader(source, generator, DEMAND, batch_size=10, prefetch=1)
    for _ in loader:
        assert running()
        break
    loader.close()
    assert not running()


def test_an_exception_of_the_consumer_ends_the_thread(source, generator):
    def consume():
        for _ in Loader(source, generator, DEMAND, batch_size=10):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        consume()
    assert not running()


def test_a_loader_that_nobody_holds_ends_its_thread(source, generator):
    running_batches = iter(Loader(source, generator, DEMAND, batch_size=10))
    next(running_batches)
    assert running()
    del running_batches
    assert not running()


def test_a_new_iteration_ends_the_former(source, generator):
    loader = Loader(source, generator, DEMAND, batch_size=10)
    iterators = [iter(loader) for _ in range(3)]
    next(iterators[-1])
    assert len(running()) == 1
    assert list(iterators[0]) == []
    loader.close()
    assert not running()


def test_the_number_of_prefetched_batches_changes_nothing(source, generator):
    def ids(prefetch):
        loader = Loader(source, generator, DEMAND, batch_size=64, shuffle=Shuffle(buffer_rows=300), prefetch=prefetch)
        return [i for batch in loader for i in ids_of(batch)]

    assert ids(1) == ids(64)


# ------------------------------------------------------------------------------------------------- edges


def test_no_rows_give_no_batches(tmp_path, generator):
    pq.write_table(table(0), tmp_path / "a.parquet")
    loader = Loader(Parquet(path=str(tmp_path)).open(), generator, DEMAND, batch_size=10, shuffle=Shuffle())
    assert list(loader) == []
    assert loader.num_rows == 0


def test_an_absent_column_is_a_config_error_before_anything_is_read(source, generator):
    with pytest.raises(ConfigError, match="no column 'clicks'; did you mean 'click'"):
        Loader(source, generator, Demand(labels={"clicks": 2}), batch_size=10)


def test_prediction_needs_no_labels(generator):
    loader = Loader(
        FrameSource(table().drop_columns(["click", "weight"])), generator, Demand(labels={}), batch_size=999
    )
    assert [batch.size for batch in loader] == [999, 999, 999, 3]


def test_a_part_knows_its_columns(source):
    assert Part(source).columns == source.columns
