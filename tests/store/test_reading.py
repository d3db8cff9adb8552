"""From rows to what a model reads: generations are seen whole, old rows not at all, and many views at once."""

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from easyrec.errors import DataError, StoreError
from easyrec.store.definitions import load_store
from easyrec.store.online.memory import MemoryStore
from easyrec.store.reader import ModelReader, ViewCounts
from easyrec.store.writer import Writer

PROFILE = {
    "name": "profile",
    "entity": "user",
    "event_time": "ts",
    "ttl": "1h",
    "fields": [{"name": "age", "type": "int64"}, {"name": "tags", "type": "array<string>"}],
}
COUNTS = {"name": "counts", "entity": "user", "fields": [{"name": "clicks", "type": "int64"}]}
ITEMS = {
    "name": "items",
    "entity": "item",
    "fields": [{"name": "price", "type": "float"}, {"name": "age", "type": "int32"}],
}
MODEL = {
    "name": "ctr",
    "features": [{"view": "profile"}, {"view": "counts"}, {"view": "items", "alias": {"age": "days"}}],
}


def users(*rows):
    ids, ages, times = zip(*rows, strict=True)
    tags = [[f"t{age}"] for age in ages]
    seconds = pa.array([time * 1_000_000 for time in times], pa.timestamp("us"))
    return pa.record_batch({"user_id": list(ids), "age": list(ages), "tags": tags, "ts": seconds})


def clicks(**rows):
    return pa.record_batch({"user_id": list(rows), "clicks": list(rows.values())})


class Shop:
    """A project whose time stands still until it is set."""

    def __init__(self, config):
        self.now = 10_000.0
        self.store = config.online.open(config.project)
        self.writer = Writer(config, self.store, lambda: self.now)
        self.reader = ModelReader(config, self.store, "ctr", lambda: self.now)

    def ages(self, *ids):
        return self.reader.read({"user_id": list(ids)})["user_id"]["age"].to_pylist()


@pytest.fixture
def shop_of():
    """`shop_of(config)`: a shop whose store is closed in the end."""
    made = []

    def of(config):
        made.append(Shop(config))
        return made[-1]

    yield of
    for shop in made:
        shop.store.close()


@pytest.fixture
def shop(project, shop_of):
    return shop_of(project([PROFILE, COUNTS, ITEMS], [MODEL]))


def test_a_model_reads_all_views_of_its_entities_at_once(shop):
    shop.writer.publish("profile", [users((1, 30, 9_000), (2, 40, 9_500))])
    shop.writer.publish("counts", [clicks(**{"2": 5})])
    shop.writer.publish("items", [pa.record_batch({"item_id": ["a"], "price": [1.5], "age": [3]})])
    found = shop.reader.read({"user_id": [2, 3], "item_id": ["a", "b", "a"]})
    assert found["user_id"].to_pylist() == [
        {"age": 40, "tags": ["t40"], "clicks": 5},
        {"age": None, "tags": None, "clicks": None},
    ]
    there = {"price": 1.5, "days": 3}
    assert found["item_id"].to_pylist() == [there, {"price": None, "days": None}, there]
    counts = shop.reader.counts()
    assert counts["profile"] == counts["counts"] == ViewCounts(1, 1, 0)
    assert counts["items"] == ViewCounts(2, 1, 0)


def test_nothing_is_there_before_something_is_published(shop):
    assert shop.ages(1) == [None]


def test_rows_that_are_older_than_the_ttl_are_never_served(shop):
    shop.writer.publish("profile", [users((1, 30, 9_000))])
    shop.now = 9_000 + 3600
    assert shop.ages(1) == [30]
    shop.now += 1
    assert shop.ages(1) == [None]
    assert shop.reader.counts()["profile"] == ViewCounts(1, 0, 1)


def test_a_new_generation_replaces_the_former_and_can_be_taken_back(shop):
    shop.writer.publish("profile", [users((1, 30, 9_000), (2, 40, 9_000))])
    assert shop.writer.publish("profile", [users((1, 31, 9_100))]).generation == 2
    assert shop.ages(1, 2) == [31, None]
    shop.writer.rollback("profile")
    assert shop.ages(1, 2) == [30, 40]
    with pytest.raises(StoreError, match="has no former generation"):
        shop.writer.rollback("profile")


def test_merged_keys_are_replaced_and_the_others_stay(shop):
    shop.writer.publish("profile", [users((1, 30, 9_000), (2, 40, 9_000))])
    shop.writer.publish("profile", [users((1, 31, 9_100), (3, 50, 9_100))], merge=True)
    assert shop.ages(1, 2, 3) == [31, 40, 50]
    shop.writer.rollback("profile")
    assert shop.ages(1, 2, 3) == [30, 40, None]


def test_a_generation_whose_writer_fails_is_never_seen_also_after_a_merge(shop):
    shop.writer.publish("profile", [users((1, 30, 9_000))])

    def failing():
        yield users((1, 99, 9_900), (2, 99, 9_900))
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        shop.writer.publish("profile", failing())
    assert shop.ages(1, 2) == [30, None]
    shop.writer.publish("profile", [users((3, 50, 9_950))], merge=True)
    assert shop.ages(1, 2, 3) == [30, None, 50]


def test_a_writer_that_was_overtaken_switches_nothing(shop):
    def overtaken():
        yield users((1, 1, 9_000))
        shop.writer.publish("profile", [users((1, 2, 9_000), (2, 2, 9_000))])
        yield users((2, 1, 9_900))  # the newer rows outlive what the older writer still does

    with pytest.raises(StoreError, match="another writer has begun after this one"):
        shop.writer.publish("profile", overtaken())
    assert shop.ages(1, 2) == [2, 2]


def test_of_several_rows_of_a_key_the_latest_counts_also_over_batches(shop):
    batches = [users((1, 30, 9_000), (1, 20, 8_000)), users((1, 10, 7_000))]
    assert shop.writer.publish("profile", batches).newest == 9_000_000_000
    assert shop.ages(1) == [30]


def test_single_rows_are_seen_at_once_unless_they_are_late(shop):
    shop.writer.write("profile", users((1, 30, 9_000)))
    shop.writer.write("profile", users((1, 31, 9_500), (2, 40, 9_000)))
    shop.writer.write("profile", users((1, 29, 8_900)))
    assert shop.ages(1, 2) == [31, 40]


def test_single_rows_that_come_while_a_generation_is_written_spoil_neither(shop):
    shop.writer.publish("profile", [users((1, 30, 9_000))])

    def batches():
        yield users((1, 40, 9_500), (2, 41, 9_500))
        shop.writer.write("profile", users((1, 31, 9_600)))
        assert shop.ages(1, 2) == [31, None]
        yield users((3, 42, 9_500))

    shop.writer.publish("profile", batches())
    assert shop.ages(1, 2, 3) == [40, 41, 42]


def test_what_nobody_reads_is_swept(shop):
    for age in (1, 2, 3):
        shop.writer.publish("profile", [users(*((user, age, 9_000) for user in range(10 * age)))])
    shop.writer.publish("counts", [clicks(**{"25": 5})])
    shop.writer.publish("profile", [users((1, 4, 9_000))])
    shop.writer.publish("profile", [users((1, 5, 9_000))])
    assert shop.writer.sweep("user") == 30
    assert sorted({key for some in shop.store.scan("user") for key, _ in some}) == [b"1", b"25"]
    assert shop.ages(1, 25) == [5, None]
    shop.writer.rollback("profile")
    assert shop.ages(1) == [4]


def test_a_field_that_is_added_is_null_until_it_is_written(project, shop_of):
    before = project([PROFILE, COUNTS, ITEMS], [MODEL])
    shop = shop_of(before)
    shop.writer.publish("counts", [clicks(**{"1": 5, "2": 6})])
    more = {**COUNTS, "fields": [{"name": "buys", "type": "int64"}, *COUNTS["fields"]]}
    later = shop_of(project([PROFILE, more, ITEMS], [MODEL]))
    assert later.reader.read({"user_id": [1]})["user_id"].select(["clicks", "buys"]).to_pylist() == [
        {"clicks": 5, "buys": None}
    ]
    later.writer.publish("counts", [pa.record_batch({"user_id": [2], "clicks": [7], "buys": [1]})], merge=True)
    rows = later.reader.read({"user_id": [1, 2]})["user_id"].select(["clicks", "buys"]).to_pylist()
    assert rows == [{"clicks": 5, "buys": None}, {"clicks": 7, "buys": 1}]
    assert shop.reader.read({"user_id": [2]})["user_id"]["clicks"].to_pylist() == [7]  # who knows the old fields alone
    other = {**COUNTS, "fields": [{"name": "clicks", "type": "string"}]}
    with pytest.raises(StoreError, match="field 'clicks' of view 'counts' is string, but was int64"):
        shop_of(project([PROFILE, other, ITEMS], [MODEL])).writer.publish("counts", [])


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ({"user_id": [1, None]}, "row 1, column 'user_id': an id is null or empty"),
        ({"user_id": [1.5]}, "ids are texts or whole numbers, but these are double"),
        ({"userid": [1]}, "reads nothing by this id; did you mean 'user_id'"),
    ],
    ids=["null", "float", "unknown"],
)
def test_ids_that_are_none_are_told(shop, ids, message):
    with pytest.raises(DataError, match=message):
        shop.reader.read(ids)


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["over", "merge", "fail", "back", "write"]),
            st.dictionaries(st.integers(0, 5), st.integers(0, 99), max_size=4),
        ),
        max_size=12,
    )
)
def test_readers_see_what_a_plain_dictionary_would_hold(steps):
    """Against the obvious: a dictionary for each generation."""
    entities = [{"name": "user", "join_id": "user_id"}]
    model = {"name": "ctr", "features": [{"view": "counts"}]}
    config = load_store(
        {"project": "p", "online": {"type": "memory"}, "entities": entities, "views": [COUNTS], "models": [model]}
    )
    store = MemoryStore("p")
    writer, reader = Writer(config, store), ModelReader(config, store, "ctr")
    live, former = None, None
    for step, rows in steps:
        batch = pa.record_batch(
            {"user_id": pa.array(list(rows), pa.int64()), "clicks": pa.array(list(rows.values()), pa.int64())}
        )
        if step == "fail":

            def failing(batch=batch):
                yield batch
                raise OSError

            with pytest.raises(OSError):  # noqa: PT011 (its own)
                writer.publish("counts", failing(), merge=bool(rows))
        elif step == "back":
            if former is not None:
                writer.rollback("counts")
                live, former = former, None
        elif step == "write":
            writer.write("counts", batch)
            live = {**(live or {}), **rows}
        else:
            writer.publish("counts", [batch], merge=step == "merge")
            former, live = live, {**(live or {}), **rows} if step == "merge" else rows
        found = reader.read({"user_id": list(range(6))})["user_id"]["clicks"].to_pylist()
        assert found == [(live or {}).get(user) for user in range(6)]


@pytest.mark.parametrize("none", [[], pa.array([], pa.null()), pa.array([], pa.int64()), pa.array([], pa.string())])
def test_no_ids_have_no_rows(none):
    config = load_store(
        {
            **{"project": "p", "online": {"type": "memory"}, "entities": [{"name": "user", "join_id": "user_id"}]},
            **{"views": [COUNTS], "models": [{"name": "ctr", "features": [{"view": "counts"}]}]},
        }
    )
    reader = ModelReader(config, MemoryStore("p"), "ctr")
    found = reader.read({"user_id": none})["user_id"]
    assert (found.num_rows, found.schema.names) == (0, ["clicks"])
    with pytest.raises(DataError, match="row 0, column 'user_id': an id is null"):
        reader.read({"user_id": [None]})
