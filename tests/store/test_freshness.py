"""How new rows are, also those that were written one by one, for whoever reads and looks."""

import time

import pyarrow as pa
import pytest

from easyrec.errors import StoreError
from easyrec.store.near import NearStore
from easyrec.store.reader import ModelReader
from easyrec.store.writer import Writer
from easyrec.store_ui.state import State

NOW = 1_767_225_600
VIEWS = [
    {"name": "profile", "entity": "user", "event_time": "at", "fields": [{"name": "age", "type": "int64"}]},
    {
        **{"name": "did", "type": "sequence", "entity": "user", "event_time": "at"},
        "fields": [{"name": "item", "type": "int64"}],
        "events": {"item": "item", "sequences": [{"name": "seen", "length": 5}]},
    },
]


@pytest.fixture
def opened():
    """`opened(config)`: its store, closed in the end."""
    stores = []

    def opened(config):
        stores.append(config.online.open(config.project))
        return stores[-1]

    yield opened
    for store in stores:
        store.close()


def row(at, **values):
    return pa.record_batch({"user_id": [7], "at": [at], **{name: [value] for name, value in values.items()}})


def test_rows_that_are_written_count(project, opened):
    config = project(VIEWS, [{"name": "m", "features": [{"view": "profile"}, {"view": "did"}]}])
    store = opened(config)
    now = [float(NOW)]
    writer = Writer(config, store, lambda: now[0])
    reader = ModelReader(config, NearStore(store), "m", lambda: NOW)

    def ages():
        reader.read({"user_id": [7]})
        seen = {name: state.newest and NOW - state.newest for name, state in State(config, store).views().items()}
        reader.entities["user_id"]._asked = 0.0  # a reader asks every five seconds
        end = time.monotonic() + 10
        while (
            told := {name: stats.age_s for name, stats in reader.stats().items()}
        ) != seen and time.monotonic() < end:
            pass  # nobody waits for the store here
        assert told == seen
        return told

    writer.publish("profile", [row(NOW - 100, age=30)])
    writer.publish("did", [row(NOW - 90, item=1)])
    assert ages() == {"profile": 100.0, "did": 90.0}
    writer.write("profile", row(NOW - 50, age=31))
    writer.tell("profile")
    assert ages() == {"profile": 50.0, "did": 90.0}
    now[0] += 6  # it is told every five seconds
    writer.write("did", row(NOW - 40, item=2))
    assert ages() == {"profile": 50.0, "did": 40.0}
    writer.publish("profile", [row(NOW - 100, age=30)])  # what was written before is gone with its generation
    assert ages() == {"profile": 100.0, "did": 40.0}
    reader.near._pool.shutdown()  # nobody asks the store when it is closed


def test_a_publish_that_fails_leaves_what_can_be_returned_to(project, opened):
    config = project(VIEWS[:1], [{"name": "m", "features": [{"view": "profile"}]}])
    store = opened(config)
    writer = Writer(config, store)

    def failing():
        yield row(NOW, age=33)
        raise OSError

    def age():
        return ModelReader(config, store, "m").read({"user_id": [7]})["user_id"]["age"].to_pylist()

    for years in (31, 32):
        writer.publish("profile", [row(NOW, age=years)])
    for merge in (False, True):
        with pytest.raises(OSError):  # noqa: PT011 (its own)
            writer.publish("profile", failing(), merge=merge, source="33")
    assert age() == [32]
    writer.rollback("profile")
    assert age() == [31]
    writer.publish("profile", [row(NOW, age=34)], merge=True)
    assert age() == [34]
    writer.rollback("profile")
    assert age() == [31]


def test_who_writes_while_others_return_to_the_former_switches_nothing(project, opened):
    config = project(VIEWS[:1], [{"name": "m", "features": [{"view": "profile"}]}])
    store = opened(config)
    writer = Writer(config, store)
    for years in (31, 32):
        writer.publish("profile", [row(NOW, age=years)])

    def slow():
        yield row(NOW, age=33)
        Writer(config, store).rollback("profile")

    with pytest.raises(StoreError, match="nothing is switched"):
        writer.publish("profile", slow())
    assert ModelReader(config, store, "m").read({"user_id": [7]})["user_id"]["age"].to_pylist() == [31]
