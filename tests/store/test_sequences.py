"""Sequences of events: what is served at a moment is the rule, said plainly, and what a training set holds of that moment."""

import contextlib

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from easyrec.errors import ConfigError, DataError, StoreError
from easyrec.store.changes import changes
from easyrec.store.definitions import load_store
from easyrec.store.online.memory import MemoryStore
from easyrec.store.reader import ModelReader, ViewCounts
from easyrec.store.writer import Writer

START = 1_700_000_000
FIELDS = [
    {"name": "item_id", "type": "int64"},
    {"name": "event", "type": "string"},
    {"name": "cate", "type": "string"},
    {"name": "seconds", "type": "float"},
    {"name": "tags", "type": "array<string>"},
]
CLICKS = {"name": "clicks", "events": ["click"], "length": 3}
PLAYS = {"name": "plays", "events": ["click", "play"], "length": 4, "distinct": False, "min_play_time": {"play": 10}}
YOUNG = {"name": "young", "events": ["play"], "length": 2, "ttl": 30}


def view(*, keep=50, sequences=(CLICKS, PLAYS, YOUNG), **more):
    events = {"item": "item_id", "name": "event", "play_time": "seconds", "keep": keep, "sequences": list(sequences)}
    return {
        "name": "did",
        "type": "sequence",
        "entity": "user",
        "event_time": "at",
        "ttl": 80,
        "fields": FIELDS,
        "events": events,
        **more,
    }


def rows(*events):
    """Events of (user, item, name, seconds, time[, created])."""
    columns = list(zip(*events, strict=True)) or [()] * 6
    users, items, names, seconds, times = columns[:5]
    made = {
        "user_id": pa.array(users, pa.int64()),
        "item_id": pa.array(items, pa.int64()),
        "event": pa.array(names, pa.string()),
        "cate": pa.array([None if item == 3 else f"c{item}" for item in items], pa.string()),
        "seconds": pa.array(seconds, pa.float32()),
        "tags": pa.array([["a", None, str(item)][: item % 4] for item in items], pa.list_(pa.string())),
        "at": pa.array([(START + time) * 1_000_000 for time in times], pa.timestamp("us", "UTC")),
    }
    if len(columns) > 5:
        made["known"] = pa.array([(START + time) * 1_000_000 for time in columns[5]], pa.timestamp("us", "UTC"))
    return pa.record_batch(made)


class Shop:
    """A project whose time stands still until it is set."""

    def __init__(self, config, store=None):
        self.now = START + 100.0
        self.store = store or config.online.open(config.project)
        self.writer = Writer(config, self.store, lambda: self.now)
        self.reader = ModelReader(config, self.store, "ctr", lambda: self.now)

    def read(self, user=1):
        return self.reader.read({"user_id": [user]})["user_id"].to_pylist()[0]

    def items(self, name="clicks", user=1):
        return self.read(user)[f"{name}__item_id"]


MODEL = {"name": "ctr", "features": [{"view": "did"}]}


@pytest.fixture
def shop(project):
    made = Shop(project([view()], [MODEL]))
    yield made
    made.store.close()


def test_sequences_are_lists_with_the_oldest_event_first(shop):
    assert shop.items() == []
    shop.writer.publish("did", [rows((1, 5, "click", None, 31), (1, 7, "play", 12, 32), (1, 6, "click", 3, 33))])
    assert shop.read() == {
        **{"clicks__item_id": [5, 6], "clicks__event": ["click", "click"], "clicks__cate": ["c5", "c6"]},
        **{"clicks__seconds": [None, 3.0], "clicks__tags": [["a"], ["a", None]]},
        **{"clicks__at": [START + 31, START + 33], "clicks__ts": [69, 67]},
        **{"plays__item_id": [5, 7, 6], "plays__event": ["click", "play", "click"], "plays__cate": ["c5", "c7", "c6"]},
        **{"plays__seconds": [None, 12.0, 3.0], "plays__tags": [["a"], ["a", None, "7"], ["a", None]]},
        **{"plays__at": [START + 31, START + 32, START + 33], "plays__ts": [69, 68, 67]},
        **{f"young__{field}": [] for field in ("item_id", "event", "cate", "seconds", "tags", "at", "ts")},
    }


def test_what_is_written_since_joins_what_was_published(shop):
    shop.writer.publish("did", [rows((1, 5, "click", None, 40), (1, 6, "click", None, 50))])
    shop.writer.write("did", rows((1, 8, "click", None, 60), (2, 9, "click", None, 60)))
    shop.writer.write("did", rows((1, 6, "click", None, 50), (1, 7, "click", None, 45)))  # twice, and late
    assert shop.items() == [7, 6, 8]
    shop.writer.publish("did", [rows((1, 4, "click", None, 55), (1, 8, "click", None, 60))])
    assert shop.items() == [6, 4, 8]  # 7 at 45 is the fourth
    assert shop.items(user=2) == [9]
    shop.writer.rollback("did")
    assert shop.items() == [7, 6, 8]


def test_the_latest_event_of_an_item_stays(shop):
    shop.writer.write("did", rows((1, 5, "click", None, 40), (1, 6, "click", None, 50), (1, 5, "click", None, 60)))
    assert shop.items() == [6, 5]
    assert shop.items("plays") == [5, 6, 5]


def test_short_plays_and_other_events_do_not_count(shop):
    shop.writer.write("did", rows((1, 5, "play", 9.5, 40), (1, 6, "play", 10, 50), (1, 7, "play", None, 60)))
    shop.writer.write("did", rows((1, 8, "like", 99, 60)))
    assert shop.items("plays") == [6]


def test_old_and_coming_events_are_never_served(shop):
    shop.writer.write("did", rows((1, 5, "click", None, 20), (1, 6, "click", None, 100), (1, 7, "play", 20, 71)))
    assert (shop.items(), shop.items("young")) == ([5], [7])
    shop.now += 0.000001
    assert (shop.items(), shop.items("young")) == ([6], [7])
    shop.now += 100
    assert (shop.items(), shop.items("young")) == ([], [])
    assert shop.reader.counts()["did"] == ViewCounts(4, 0, 2)


def test_of_each_name_the_newest_are_kept(project):
    shop = Shop(project([view(keep=4, sequences=[PLAYS, {**YOUNG, "ttl": 80}])], [MODEL]))
    shop.writer.write("did", rows((1, 500, "play", 20, 31)))
    sizes = []
    for start in range(0, 60, 4):
        shop.writer.write("did", rows(*((1, item, "click", None, 30 + item) for item in range(start, start + 4))))
        sizes.append(len(shop.store.read("user", [b"1"])[1][0]))
    assert max(sizes) < 1.1 * min(sizes)
    assert shop.items("plays") == [56, 57, 58, 59]
    assert shop.items("young") == [500]
    shop.store.close()


def test_a_field_may_be_added_and_left_out(project):
    shop = Shop(project([view()], [MODEL]))
    shop.writer.publish("did", [rows((1, 5, "click", None, 40))])
    more = view(fields=[field for field in FIELDS if field["name"] != "cate"] + [{"name": "shop", "type": "int32"}])
    config = project([more], [MODEL])
    shop = Shop(config, shop.store)
    batch = rows((1, 6, "click", None, 50)).append_column("shop", pa.array([7], pa.int32()))
    shop.writer.write("did", batch)
    found = shop.read()
    assert (found["clicks__item_id"], found["clicks__shop"]) == ([5, 6], [None, 7])
    shop.store.close()


def test_keys_of_many_batches_are_whole(project):
    shop = Shop(project([view(keep=100, ttl="7d", sequences=[{**CLICKS, "length": 100}])], [MODEL]))
    shop.now = START + 100_000.0
    events = [(user, step, "click", None, step) for step in range(60) for user in range(400)]
    shop.writer.publish("did", (rows(*events[start : start + 5000]) for start in range(0, len(events), 5000)))
    for user in (0, 7, 399):
        assert shop.items(user=user) == list(range(60))
    shop.store.close()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"item_id": pa.array([None], pa.int64())}, "row 0, column 'item_id': an event needs a value here"),
        ({"event": pa.array([None], pa.string())}, "row 0, column 'event': an event needs a value here"),
        ({"at": pa.array([None], pa.timestamp("us"))}, "row 0, column 'at': a row needs a time"),
        ({"cate": pa.array([["x"]])}, "column 'cate': holds list<item: string>, which is no string"),
    ],
    ids=["item", "name", "time", "type"],
)
def test_events_that_do_not_fit_are_told(shop, change, message):
    batch = rows((1, 5, "click", None, 1))
    for name, column in change.items():
        place = batch.schema.get_field_index(name)
        batch = batch.set_column(place, name, column)
    with pytest.raises(DataError, match=message.replace("[", r"\[")):
        shop.writer.write("did", batch)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"type": "batch"}, "a view of type sequence, and no other, says what its 'events' are"),
        ({"event_time": None, "ttl": None}, "events have times"),
        ({"fields": [*FIELDS, {"name": "ts", "type": "int64"}]}, "sequences have a column of this name"),
        ({"fields": FIELDS[1:]}, "'item_id' is none of the fields"),
        ({"fields": [*FIELDS, {"name": "v", "type": "vector<2>"}]}, "scalars or arrays of scalars"),
        ({"sequences": [{**CLICKS, "length": 51}]}, "is 51, but keep is 50"),
        ({"sequences": [{"name": "x", "length": 1}]}, "say which events count"),
        ({"sequences": [CLICKS, CLICKS]}, "two sequences are called 'clicks'"),
        ({"sequences": [{**CLICKS, "min_play_time": {"play": 1}}]}, "is none of its events"),
    ],
    ids=["type", "times", "ts", "item", "vector", "length", "names", "twice", "play"],
)
def test_what_is_wrong_with_definitions_is_told(change, message):
    with pytest.raises(ConfigError, match=message):
        load_store({"project": "p", "entities": [{"name": "user", "join_id": "user_id"}], "views": [view(**change)]})


# ------------------------------------------------------------------------------- training sets

SEQUENCES = (CLICKS, PLAYS, YOUNG)


def plain(events, user, now, keep):
    """The rule."""
    known = {}
    for _, event in sorted(enumerate(events), key=lambda one: (one[1][5], one[0])):
        if event[0] == user and event[5] <= now and event[4] < now:
            known[event[4], event[2], event[1]] = event
    newest = [known[key] for key in sorted(known, reverse=True)]
    kept = [event for event in newest if sum(e[2] == event[2] for e in newest[: newest.index(event)]) < keep]
    made = {}
    for sequence in SEQUENCES:
        chosen = []
        for event in kept:
            _, item, name, seconds, time, _ = event
            least = sequence.get("min_play_time", {}).get(name)
            if (
                name in sequence["events"]
                and now - time <= sequence.get("ttl", 80)
                and (least is None or (seconds is not None and seconds >= least))
                and not (sequence.get("distinct", True) and item in [e[1] for e in chosen])
            ):
                chosen.append(event)
        chosen = chosen[: sequence["length"]][::-1]
        batch = rows(*chosen).to_pylist() if chosen else []
        fields = ("item_id", "event", "cate", "seconds", "tags")
        made |= {f"{sequence['name']}__{field}": [row[field] for row in batch] for field in fields}
        made[f"{sequence['name']}__at"] = [START + event[4] for event in chosen]
        made[f"{sequence['name']}__ts"] = [now - event[4] for event in chosen]
    return made


def served(config, events, reads, since, published):
    """What is read at each moment of a store that is written as things become known."""
    shop = Shop(config, MemoryStore("p"))
    things = [(event[5], 0, "write", event) for event in events if event[5] > since]
    things += [(time, 1, "publish", None) for time in (since, *published)]
    things += [(time, 2, "read", (place, user)) for place, (user, time) in enumerate(reads)]
    found = {}
    for clock, _, what, told in sorted(things, key=lambda thing: thing[:2]):
        shop.now = float(START + clock)
        if what == "write":
            shop.writer.write("did", rows(told))
        elif what == "publish":
            known = sorted((event for event in events if event[5] <= clock), key=lambda event: event[5])
            shop.writer.publish("did", [rows(event) for event in known])
        else:
            found[told[0]] = shop.read(told[1])
    return [found[place] for place in range(len(reads))]


def test_fields_may_be_called_as_they_like(tmp_path):
    pytest.importorskip("duckdb", reason="needs the extra 'store'")
    from easyrec.store.point_in_time import training_set

    names = {"user_id": [1, 1], "K": [5, 6], "t": [0.5, None], "row": ["x", "y"], "when": [START, START + 9]}
    pq.write_table(pa.table(names), tmp_path / "events.parquet")
    made = {
        **view(source={"type": "parquet", "path": str(tmp_path / "events.parquet")}, event_time="when"),
        "fields": [{"name": n, "type": t} for n, t in (("K", "int64"), ("t", "double"), ("row", "string"))],
        "events": {"item": "K", "sequences": [{"name": "order", "length": 9}]},
    }
    entities = [{"name": "user", "join_id": "user_id"}]
    config = load_store({"project": "p", "entities": entities, "views": [made], "models": [MODEL]})
    moments = pa.table({"user_id": ["1", None], "event_time": [START + 10, START + 10]})
    found = training_set(config, "ctr", moments).table.drop_columns(["user_id", "event_time"]).to_pylist()
    full = {"order__K": [5, 6], "order__t": [0.5, None], "order__row": ["x", "y"], "order__when": [START, START + 9]}
    assert found[0] == {**full, "order__ts": [10, 1]}
    assert found[1] == {name: [] for name in found[0]}


EVENTS = st.lists(
    st.tuples(
        st.integers(1, 2),
        st.integers(0, 5),
        st.sampled_from(["click", "play", "like"]),
        st.sampled_from([None, 3.0, 10.0, 11.5]),
        st.integers(0, 120),
        st.integers(-20, 60),
    ),
    max_size=25,
)
READS = st.lists(st.tuples(st.integers(1, 3), st.integers(0, 200)), min_size=1, max_size=10)


HISTORIES = (EVENTS, READS, st.integers(-20, 100), st.lists(st.integers(0, 200), max_size=2), st.sampled_from([4, 50]))
QUIET = {"deadline": None, "suppress_health_check": [HealthCheck.function_scoped_fixture]}


@settings(max_examples=15, **QUIET)
@given(*HISTORIES)
def test_a_training_set_holds_what_was_served(tmp_path, events, reads, since, published, keep):
    hold_what_was_served(tmp_path, events, reads, since, published, keep)


@pytest.mark.slow
@settings(max_examples=300, **QUIET)
@given(*HISTORIES)
def test_training_sets_hold_what_was_served(tmp_path, events, reads, since, published, keep):
    hold_what_was_served(tmp_path, events, reads, since, published, keep)


def hold_what_was_served(tmp_path, events, reads, since, published, keep):
    pytest.importorskip("duckdb", reason="needs the extra 'store'")
    from easyrec.store.point_in_time import training_set

    # What comes before its time takes up room: with few places there is less to serve, and so it comes later here.
    events = [(*event[:5], event[4] + (event[5] if keep == 50 else max(0, event[5]))) for event in events]
    source = {"type": "parquet", "path": str(tmp_path / "events.parquet")}
    pq.write_table(
        pa.Table.from_batches([rows(*events)], rows((1, 1, "", 1.0, 1, 1)).schema), tmp_path / "events.parquet"
    )
    config = load_store(
        {
            "project": "p",
            "online": {"type": "memory"},
            "entities": [{"name": "user", "join_id": "user_id"}],
            "views": [view(keep=keep, source=source, created_time="known")],
            "models": [MODEL],
        }
    )
    users, times = zip(*reads, strict=True)
    since = min(since, *times)  # nothing is served before the store is filled
    spine = pa.table({"user_id": users, "event_time": pa.array([START + time for time in times], pa.int64())})
    made = training_set(config, "ctr", spine).table.drop_columns(["user_id", "event_time"]).to_pylist()
    assert made == [plain(events, user, time, keep) for user, time in reads]
    assert made == served(config, events, reads, since, published)


@settings(max_examples=200, **QUIET)
@given(st.data())
def test_damaged_events_are_told_or_read_as_other_values(data):
    config = load_store(
        {
            **{"project": "p", "online": {"type": "memory"}, "views": [view()], "models": [MODEL]},
            "entities": [{"name": "user", "join_id": "user_id"}],
        }
    )
    shop = Shop(config, MemoryStore("p"))
    shop.writer.publish("did", [rows((1, 5, "click", None, 31), (1, 7, "play", 12, 92), (1, 6, "click", 3, 33))])
    shop.writer.write("did", rows((1, 9, "play", 20, 95)))
    records = shop.store._records["user"]
    record = bytearray(records[b"1"])
    for _ in range(data.draw(st.integers(1, 3))):
        record[data.draw(st.integers(0, len(record) - 1))] = data.draw(st.integers(0, 255))
    records[b"1"] = bytes(record[: data.draw(st.integers(0, len(record)))])
    with contextlib.suppress(StoreError):
        assert set(shop.read()) == set(config.view("did").types)


@pytest.mark.parametrize(
    ("change", "breaks"),
    [
        ({"sequences": [CLICKS, PLAYS]}, "who reads 'young' finds it no more"),
        (
            {"name": None, "sequences": [{**CLICKS, "events": []}]},
            "events that are there are kept by the former fields",
        ),
        ({"sequences": [{**CLICKS, "length": 9}, PLAYS, YOUNG]}, ""),
        ({"keep": 60}, ""),
    ],
    ids=["gone", "name", "longer", "keep"],
)
def test_what_a_change_of_sequences_breaks_is_told(change, breaks):
    entities = [{"name": "user", "join_id": "user_id"}]
    before, after = view(), view()
    after["events"] = {**after["events"], **change}
    if change.get("name", "") is None:
        del after["events"]["name"], after["events"]["play_time"]
    found = changes(*(load_store({"project": "p", "entities": entities, "views": [one]}) for one in (before, after)))
    assert found
    assert {one.breaks for one in found if "sequences" in one.what or "name" in one.what or "keep" in one.what} == {
        breaks
    }
