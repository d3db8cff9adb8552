"""Rows on their way: again where the store is away, in bounds, and never forgotten."""

import threading
import time

import pyarrow as pa
import pytest

from easyrec.errors import DataError, StoreError
from easyrec.store.definitions import load_store
from easyrec.store.online.memory import MemoryStore
from easyrec.store.streams import WriteConfig
from easyrec.store.writer import Writer
from easyrec.stream.letters import DeadLetters
from easyrec.stream.outbox import Outbox, packed, unpacked
from easyrec.stream.state import every
from easyrec.stream.state.sqlite import SqliteState

CONFIG = {
    "project": "p",
    "entities": [{"name": "user", "join_id": "user_id"}],
    "views": [{"name": "v", "entity": "user", "event_time": "ts", "fields": [{"name": "n", "type": "int64"}]}],
}


def rows(*users, n=1):
    times = pa.array([0] * len(users)).cast(pa.timestamp("us", "UTC"))
    return pa.record_batch(
        {"user_id": pa.array(users, pa.string()), "n": pa.array([n] * len(users), pa.int64()), "ts": times}
    )


class Slow(MemoryStore):
    """A store whose writes wait until they are let through, and fail as often as they are told to."""

    def __init__(self, failures=0):
        super().__init__("slow")
        self.open, self.failures, self.seen = threading.Event(), failures, []

    def splice(self, entity, slot, generation, keys, packed, keep, fence=b""):
        assert self.open.wait(30)
        if self.failures:
            self.failures -= 1
            raise StoreError("the store is away")
        self.seen.append(list(keys))
        super().splice(entity, slot, generation, keys, packed, keep, fence)


@pytest.fixture
def state(tmp_path):
    made = SqliteState(tmp_path / "s.db")
    yield made
    made.close()


@pytest.fixture
def outbox(state, tmp_path):
    """`outbox(store, **settings)`: over the state."""
    made = []

    def make(store, **settings):
        letters = DeadLetters(tmp_path / "letters.jsonl")
        config = WriteConfig(**{"backoff": 0.001} | settings)
        made.append(Outbox(config, Writer(load_store(CONFIG), store), "v", "user_id", state, letters))
        return made[-1]

    yield make
    for one in made:
        one.writer.store.open.set()
        one.close()


def put(state, outbox, batch, gone=()):
    state.commit([outbox.due([*map(str.encode, batch.column("user_id").to_pylist()), *gone])])
    outbox.put(batch, gone)


def due(state):
    return sorted(key for _, keys in every(state, "due") for key in unpacked(keys))


def test_of_several_rows_of_a_key_that_wait_the_last_is_written(state, outbox):
    store = Slow()
    box = outbox(store)
    put(state, box, rows("a", n=1))
    end = time.monotonic() + 20
    while box.figures()["backlog_rows"] != 1 or box._waiting:
        assert time.monotonic() < end
    put(state, box, rows("b", "c", n=2))
    put(state, box, rows("b", n=3))
    assert box.figures()["backlog_rows"] == 4
    assert box.figures()["oldest_seconds"] > 0
    assert due(state) == [b"a", b"b", b"b", b"c"]
    store.open.set()
    box.flush()
    assert store.seen == [[b"a"], [b"b", b"c"]]
    assert (box.counts["rows_written"], box.counts["rows_merged"]) == (3, 1)
    assert due(state) == [b"a", b"b", b"b", b"c"]  # forgotten with the next batch
    state.commit([box.due([])])
    assert due(state) == []


def test_a_full_queue_holds_up_the_counting(state, outbox):
    store = Slow()
    box = outbox(store, rows=2)
    put(state, box, rows("a"))
    end = time.monotonic() + 20
    while box._waiting:
        assert time.monotonic() < end
    put(state, box, rows("b", "c"))
    waits = threading.Thread(target=put, args=(state, box, rows("d")))
    waits.start()
    waits.join(0.1)
    assert waits.is_alive()
    store.open.set()
    waits.join(20)
    assert not waits.is_alive()
    box.flush()
    assert box.counts["rows_written"] == 4


@pytest.mark.parametrize(("full", "left"), [("drop_oldest", [b"d"]), ("drop_newest", [b"c"])])
def test_a_full_queue_drops_what_it_is_told_to(state, outbox, full, left):
    store = Slow()
    box = outbox(store, rows=1, full=full)
    put(state, box, rows("a"))
    end = time.monotonic() + 20
    while box._waiting:
        assert time.monotonic() < end
    put(state, box, rows("c"))
    put(state, box, rows("d"))
    assert box.counts["rows_dropped"] == 1
    store.open.set()
    box.flush()
    assert store.seen == [[b"a"], left]
    state.commit([box.due([])])
    assert due(state) == []


@pytest.mark.parametrize("mode", ["queue", "direct"])
def test_a_store_that_is_away_for_a_while_is_tried_again(state, outbox, mode):
    store = Slow(failures=3)
    store.open.set()
    box = outbox(store, mode=mode, tries=4)
    put(state, box, rows("a"))
    box.flush()
    assert (store.seen, box.counts["writes_failed"], box.counts["rows_written"]) == ([[b"a"]], 3, 1)


@pytest.mark.parametrize("mode", ["queue", "direct"])
def test_a_store_that_is_away_for_too_long_stops_it_and_rows_stay_due(state, outbox, mode):
    store = Slow(failures=100)
    store.open.set()
    box = outbox(store, mode=mode, tries=2)

    def go():
        put(state, box, rows("a"))
        box.flush()

    with pytest.raises(StoreError, match="the store is away"):
        go()
    assert due(state) == [b"a"]
    store.failures = 0
    again = outbox(store, mode=mode)
    again.recover(lambda keys: (rows(*(key.decode() for key in keys), n=9), []))
    again.flush()
    assert store.seen == [[b"a"]]
    state.commit([again.due([])])
    assert due(state) == []


@pytest.mark.parametrize("mode", ["queue", "direct"])
def test_rows_that_cannot_be_written_become_dead_letters(state, outbox, mode, tmp_path):
    store = Slow(failures=2)
    store.open.set()
    box = outbox(store, mode=mode, tries=2, failed="dead_letters")
    put(state, box, rows("a", "b"))
    box.flush()
    put(state, box, rows("c"))
    box.flush()
    assert (store.seen, box.counts["rows_failed"]) == ([[b"c"]], 2)
    assert "view v, key a" in (tmp_path / "letters.jsonl").read_text()


def test_a_row_that_does_not_fit_is_not_tried_again(state, outbox):
    store = Slow()
    store.open.set()
    box = outbox(store, mode="direct")
    with pytest.raises(DataError, match="column 'n'"):
        put(state, box, rows("a").drop_columns(["n"]))
    assert box.counts["writes_failed"] == 0


def test_what_is_gone_is_removed_after_its_rows_and_before_the_next(state, outbox):
    store = Slow()
    box = outbox(store)
    for batch, gone in ((rows("a", "b"), []), (rows("c"), [b"a"]), (rows("a", n=5), [b"b"])):
        put(state, box, batch, gone)
    store.open.set()
    box.flush()
    assert [len(keys) for keys in store.seen] in ([2, 1, 1, 1, 1], [3, 1, 1, 1])
    _, found = store.read("user", [b"a", b"b", b"c"])
    assert [len(one) > 12 for one in found] == [True, False, True]


def test_keys_are_packed_whatever_they_hold():
    for keys in ([], [b""], [b"a\0b", b"", "ü".encode(), b"x" * 1000]):
        assert unpacked(packed(keys)) == keys


def test_a_full_disk_is_told(tmp_path):
    with pytest.raises(StoreError, match="cannot write"):
        DeadLetters(tmp_path).write([])
