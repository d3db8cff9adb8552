"""What is held in memory is what the store holds, and a store that does not answer makes nobody wait."""

import os
import signal
import socket
import subprocess
import threading
import time
from shutil import which

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from easyrec.errors import ConfigError, StoreError
from easyrec.store.breaker import Breaker
from easyrec.store.definitions import load_store
from easyrec.store.near import NearStore
from easyrec.store.online import OnlineStore
from easyrec.store.online.memory import MemoryStore
from easyrec.store.read_config import ReadConfig
from easyrec.store.reader import ModelReader, ViewCounts
from easyrec.store.record_cache import RecordCache
from easyrec.store.timings import Timings
from easyrec.store.writer import Writer

PROFILE = {
    "name": "profile",
    "entity": "user",
    "event_time": "ts",
    "ttl": "1h",
    "fields": [
        {"name": "age", "type": "int64", "default": 18},
        {"name": "tags", "type": "array<string>", "default": ["new"]},
        {"name": "city", "type": "string"},
    ],
}
ITEMS = {
    "name": "items",
    "entity": "item",
    "fields": [
        {"name": "price", "type": "float", "default": 1},
        {"name": "taste", "type": "vector<2>", "default": [0.5, 0.5]},
        {"name": "words", "type": "map<string, float>", "default": {"a": 1.0}},
    ],
}
MODEL = {"name": "ctr", "features": [{"view": "profile"}, {"view": "items"}]}
IDS = [1, 2, 3, 4]


def users(*rows):
    ids, ages, times = zip(*rows, strict=True)
    seconds = pa.array([time * 1_000_000 for time in times], pa.timestamp("us"))
    some = {"age": list(ages), "tags": [[f"t{age}"] for age in ages], "city": ["x"] * len(ages)}
    return pa.record_batch({"user_id": list(ids), **some, "ts": seconds})


def items(*ids):
    some = {"price": [1.5] * len(ids), "taste": [[1.0, 2.0]] * len(ids), "words": [[("b", 2.0)]] * len(ids)}
    kinds = {"price": pa.float32(), "taste": pa.list_(pa.float32(), 2), "words": pa.map_(pa.string(), pa.float32())}
    return pa.record_batch({"item_id": list(ids)} | {n: pa.array(some[n], kind) for n, kind in kinds.items()})


class Following:
    """A project read from its store and from memory, whose time stands still until it is set."""

    def __init__(self, config, memory):
        self.now = 10_000.0
        self.config, self.store = config, config.online.open(config.project)
        self.writer = Writer(config, self.store, lambda: self.now)
        self.near = NearStore(self.store, ReadConfig(memory={"user": memory}), lambda: self.now)
        self.far, self.reader = (ModelReader(config, s, "ctr", lambda: self.now) for s in (self.store, self.near))
        self.snapshot = self.near.snapshots.get("user")

    def same(self):
        found, known = (reader.read({"user_id": IDS})["user_id"] for reader in (self.reader, self.far))
        assert found.equals(known), (found.to_pylist(), known.to_pylist())
        return found["age"].to_pylist()


@pytest.fixture
def following(project):
    made = []

    def make(memory):
        made.append(Following(project([PROFILE, ITEMS], [MODEL]), memory))
        return made[-1]

    yield make
    for one in made:
        one.near.close()


def test_a_snapshot_sees_overwrites_merges_rollbacks_single_rows_and_sweeps(following):
    shop = following({"type": "snapshot"})
    shop.snapshot.poll()
    assert shop.same() == [None] * 4
    steps = [
        lambda: shop.writer.publish("profile", [users((1, 30, 9_000), (2, 40, 9_000))]),
        lambda: shop.writer.publish("profile", [users((2, 41, 9_100), (3, 50, 9_100))], merge=True),
        lambda: shop.writer.write("profile", users((4, 60, 9_500), (1, 31, 9_500))),
        lambda: shop.writer.rollback("profile"),
        lambda: shop.writer.publish("profile", [users((4, 70, 9_000))]),
        lambda: shop.writer.publish("profile", [users((4, 71, 9_000))]),
        lambda: shop.writer.sweep("user"),
        lambda: shop.writer.publish("profile", [users((1, 80, 9_900))]),
    ]
    seen = []
    for step in steps:
        step()
        shop.snapshot.poll()
        seen.append(shop.same())
        assert shop.snapshot.stats.rows == len({key for some in shop.store.scan("user") for key, _ in some})
    assert seen[1] == [30, 41, 50, None]
    assert seen[2] == [31, 41, 50, 60]
    assert seen[-1] == [80, None, None, None]
    assert shop.snapshot.stats.reloads <= 2  # at first, and of a journal that was empty then


def test_a_snapshot_reads_what_was_changed_and_nothing_else(following):
    shop = following({"type": "snapshot"})
    shop.writer.publish("profile", [users(*((user, 20, 9_000) for user in range(500)))])
    assert shop.snapshot.poll() == 500
    assert shop.snapshot.poll() == 0
    shop.writer.write("profile", users((3, 21, 9_500)))
    assert shop.snapshot.poll() == 1
    assert shop.same() == [20, 20, 21, 20]
    stats = shop.snapshot.stats
    assert (stats.rows, stats.reloads, stats.failures) == (500, 1, 0)
    assert stats.nbytes == sum(len(k) + len(r) for some in shop.store.scan("user") for k, r in some)


def test_a_generation_is_seen_whole_or_not_at_all_from_memory(following):
    shop = following({"type": "snapshot"})
    shop.writer.publish("profile", [users((1, 30, 9_000), (2, 40, 9_000))])
    shop.snapshot.poll()

    def batches():
        yield users((1, 31, 9_100))
        shop.snapshot.poll()
        assert shop.same() == [30, 40, None, None]
        yield users((3, 51, 9_100))

    shop.writer.publish("profile", batches())
    assert shop.reader.read({"user_id": IDS})["user_id"]["age"].to_pylist() == [30, 40, None, None]
    shop.snapshot.poll()
    assert shop.same() == [31, None, 51, None]


def test_ttl_is_counted_when_a_row_is_read_from_memory(following):
    shop = following({"type": "snapshot"})
    shop.writer.publish("profile", [users((1, 30, 9_000))])
    shop.snapshot.poll()
    shop.now = 9_000 + 3600
    assert shop.same() == [30, None, None, None]
    shop.now += 1
    assert shop.same() == [None] * 4
    assert shop.reader.counts()["profile"] == ViewCounts(1, 6, 1)


def test_a_snapshot_follows_on_its_own_and_stays_as_it_is_while_the_store_is_away(following):
    shop = following({"type": "snapshot", "poll": 0.02})
    shop.writer.publish("profile", [users((1, 30, 9_000))])
    shop.near.start()
    shop.writer.publish("profile", [users((1, 31, 9_000))])
    wait_for(lambda: shop.reader.read({"user_id": [1]})["user_id"]["age"].to_pylist() == [31])
    changes, shop.store.changes = shop.store.changes, failing
    wait_for(lambda: shop.snapshot.stats.failures)
    assert shop.same()[0] == 31
    shop.store.changes = changes
    shop.writer.write("profile", users((1, 32, 9_500)))
    wait_for(lambda: shop.reader.read({"user_id": [1]})["user_id"]["age"].to_pylist() == [32])


def failing(*_):
    raise StoreError("gone")


def wait_for(holds, seconds=20):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it never came to hold"
        time.sleep(0.005)


@settings(max_examples=40, deadline=None)
@given(
    st.booleans(),
    st.lists(
        st.tuples(
            st.sampled_from(["over", "merge", "back", "write", "sweep", "poll"]),
            st.dictionaries(st.sampled_from(IDS), st.integers(0, 99), min_size=1, max_size=4),
        ),
        max_size=15,
    ),
)
def test_memory_is_what_the_store_holds_whenever_it_was_asked(journal, steps):
    """Whatever is done between two polls; and of a store that keeps no journal."""
    config = load_store(
        {
            "project": "p",
            "online": {"type": "memory"},
            "entities": [{"name": "user", "join_id": "user_id"}, {"name": "item", "join_id": "item_id"}],
            "views": [PROFILE, ITEMS],
            "models": [MODEL],
        }
    )
    store = MemoryStore("p") if journal else Forgetful("p")
    writer, far = Writer(config, store, lambda: 10_000.0), ModelReader(config, store, "ctr", lambda: 10_000.0)
    near = NearStore(store, ReadConfig(memory={"user": {"type": "snapshot"}}))
    reader = ModelReader(config, near, "ctr", lambda: 10_000.0)
    near.snapshots["user"].poll()
    held = far.read({"user_id": IDS})["user_id"]
    for step, ages in steps:
        rows = users(*((user, age, 9_000) for user, age in ages.items()))
        if step in ("over", "merge"):
            writer.publish("profile", [rows], merge=step == "merge")
        elif step == "write":
            writer.write("profile", rows)
        elif step == "sweep":
            writer.sweep("user")
        elif step == "back":
            try:
                writer.rollback("profile")
            except StoreError:
                continue
        else:
            near.snapshots["user"].poll()
            held = far.read({"user_id": IDS})["user_id"]
        assert reader.read({"user_id": IDS})["user_id"].equals(held)


class Forgetful(MemoryStore):
    """A store that keeps no journal."""

    changes = OnlineStore.changes


# ---------------------------------------------------------------------------------------------------- cache


def test_a_record_is_held_for_its_age_and_no_longer(following):
    shop = following({"type": "cache", "age": 10})
    shop.writer.publish("profile", [users((1, 30, 9_900))])
    assert shop.same()[0] == 30
    shop.writer.write("profile", users((1, 31, 9_950)))
    shop.now += 10
    assert shop.reader.read({"user_id": [1]})["user_id"]["age"].to_pylist() == [30]
    shop.now += 0.001
    assert shop.same()[0] == 31
    stats = shop.near.caches["user"].stats
    assert (stats.hits, stats.misses, stats.rows) == (1, 8, 4)


def test_records_of_two_generations_are_never_mixed(following):
    shop = following({"type": "cache", "age": 1000})
    shop.writer.publish("profile", [users((1, 30, 9_900), (2, 40, 9_900))])
    assert shop.reader.read({"user_id": [1]})["user_id"]["age"].to_pylist() == [30]
    shop.writer.publish("profile", [users((1, 31, 9_900), (2, 41, 9_900))])
    assert shop.reader.read({"user_id": [1]})["user_id"]["age"].to_pylist() == [30]
    assert shop.same() == [31, 41, None, None]


def test_what_was_not_asked_for_longest_goes():
    cache = RecordCache(rows=2)
    asked = []

    def fetch(keys):
        asked.append(list(keys))
        return b"h", [b"r" + key for key in keys]

    for keys in ([b"a"], [b"b"], [b"a"], [b"c"], [b"a", b"b"]):
        assert cache.ask(keys, fetch, lambda work: work())(None) == (b"h", [b"r" + key for key in keys])
    assert asked == [[b"a"], [b"b"], [b"c"], [b"b"]]
    assert cache.stats.evicted == 2


def test_of_several_that_ask_at_a_time_one_asks_the_store_also_where_it_fails():
    cache, asked, go = RecordCache(), [], threading.Event()

    def fetch(keys):
        asked.append(list(keys))
        assert go.wait(20)
        if len(asked) == 1:
            raise StoreError("gone")
        return b"h", [b"r"] * len(keys)

    def aside(work):
        threading.Thread(target=work).start()

    waits = [cache.ask([b"a"], fetch, aside) for _ in range(5)]
    go.set()
    for wait in waits:
        with pytest.raises(StoreError, match="gone"):
            wait(20)
    assert asked == [[b"a"]]
    assert cache.ask([b"a"], fetch, aside)(20) == (b"h", [b"r"])  # what failed is not kept
    assert cache.stats.shared == 4


def test_a_read_that_was_overtaken_brings_no_former_generation_back():
    now, asked = [0.0], []
    cache = RecordCache(now=lambda: now[0])

    def here(work):
        work()

    def new(keys):
        asked.append(keys)
        return b"new", [b"2"]

    def old(keys):
        now[0] = 1.0
        assert cache.ask([b"b"], new, here)(None) == (b"new", [b"2"])
        return b"old", [b"1"]

    assert cache.ask([b"a"], old, here)(None) == (b"old", [b"1"])
    assert cache.ask([b"b"], new, here)(None) == (b"new", [b"2"])
    assert asked == [[b"b"]]


def test_what_is_fetched_ahead_is_there_when_it_is_asked_for(following):
    shop = following({"type": "cache"})
    shop.writer.publish("profile", [users((1, 30, 9_900))])
    shop.reader.prefetch({"user_id": [1]})
    wait_for(lambda: shop.near.caches["user"].stats.rows)
    shop.store.read = failing
    assert shop.reader.read({"user_id": [1]})["user_id"]["age"].to_pylist() == [30]


# ----------------------------------------------------------------------------------------------- deadlines

DEFAULTS = {"age": 18, "tags": ["new"], "city": None}
OF_ITEMS = {"price": 1.0, "taste": [0.5, 0.5], "words": [("a", 1.0)]}


@pytest.fixture
def own_redis(tmp_path):
    """A server of Redis that a test may spoil: its process, and its socket."""
    pytest.importorskip("redis")
    if which("redis-server") is None:
        pytest.skip("needs redis-server")
    path = tmp_path / "r.sock"
    command = ["redis-server", "--port", "0", "--unixsocket", path, "--save", "", "--appendonly", "no"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=tmp_path) as server:
        with socket.socket(socket.AF_UNIX) as probe:
            wait_for(lambda: probe.connect_ex(str(path)) == 0)
        yield server, path
        if server.poll() is None:
            os.kill(server.pid, signal.SIGCONT)
            server.terminate()


@pytest.mark.parametrize("memory", [{}, {"user": {"type": "cache", "age": 1e-9}}], ids=["without", "with a cache"])
@pytest.mark.parametrize("fault", [signal.SIGSTOP, signal.SIGKILL], ids=["stopped", "killed"])
def test_a_redis_that_does_not_answer_makes_nobody_wait_beyond_the_deadline(own_redis, fault, memory, caplog):
    server, path = own_redis
    entities = [{"name": "user", "join_id": "user_id"}, {"name": "item", "join_id": "item_id"}]
    online = {"type": "redis", "url": f"unix://{path}", "timeout_seconds": 2}
    read = {"deadline_ms": 50, "memory": memory, "breaker": {"failures": 3, "pause": "200ms"}}
    config = load_store(
        {
            "project": "p",
            "online": online,
            "entities": entities,
            "views": [PROFILE, ITEMS],
            "models": [MODEL],
            "read": read,
        }
    )
    asked = {"user_id": [1, 2], "item_id": ["a", "b", "a"]}
    with NearStore(config.online.open("p"), config.read) as near:
        writer, reader = Writer(config, near.store), ModelReader(config, near, "ctr")
        now = int(time.time())
        writer.publish("profile", [users((1, 30, now), (2, 40, now))])
        writer.publish("items", [items("a", "b")])
        whole = reader.read(asked, deadline_ms=5000)
        assert whole.defaulted == frozenset()
        assert whole["user_id"]["age"].to_pylist() == [30, 40]
        os.kill(server.pid, fault)
        slowest, begun = 0.0, time.monotonic()
        for _ in range(40):
            start = time.monotonic()
            found = reader.read(asked)
            slowest = max(slowest, time.monotonic() - start)
            assert found.defaulted == {"user_id", "item_id"}
            assert found["user_id"].to_pylist() == [DEFAULTS] * 2
            assert found["item_id"].to_pylist() == [OF_ITEMS] * 3
            assert found["item_id"].schema.equals(whole["item_id"].schema)
        assert slowest < 0.5
        assert time.monotonic() - begun < 40 * 0.05 / 2  # most were not asked at all
        assert near.breaker.opened == 1
        assert reader.counts()["profile"] == ViewCounts(2, 0, 0, 80)
        assert reader.counts()["items"] == ViewCounts(3, 0, 0, 120)
        assert caplog.text.count("is answered with defaults") == 2
        if fault == signal.SIGSTOP:
            os.kill(server.pid, signal.SIGCONT)
            wait_for(lambda: reader.read(asked, deadline_ms=1000).defaulted == frozenset())
            assert not near.breaker.is_open


def test_without_a_deadline_a_store_that_fails_is_told(following):
    shop = following({"type": "cache"})
    shop.store.read = failing
    with pytest.raises(StoreError, match="gone"):
        shop.reader.read({"user_id": [1]})
    for _ in range(10):
        with pytest.raises(StoreError, match=r"gone|not asked: 5 reads in a row have failed"):
            shop.reader.read({"user_id": [1]})
    with pytest.raises(StoreError, match="not asked: 5 reads in a row have failed"):
        shop.reader.read({"user_id": [1]})


def test_memory_answers_though_the_store_is_away(following):
    shop = following({"type": "snapshot"})
    shop.writer.publish("profile", [users((1, 30, 9_900))])
    shop.snapshot.poll()
    shop.store.read = failing
    assert shop.reader.read({"user_id": [1]}, deadline_ms=0.001)["user_id"]["age"].to_pylist() == [30]


def test_a_breaker_lets_one_in_a_pause_try_until_it_succeeds():
    now = [0.0]
    breaker = Breaker(2, 1.0, lambda: now[0])
    breaker.failed()
    breaker.succeeded()
    breaker.failed()
    assert breaker.lets()
    breaker.failed()
    assert breaker.is_open
    assert not breaker.lets()
    now[0] = 1.0
    assert [breaker.lets() for _ in range(3)] == [True, False, False]
    breaker.failed()
    now[0] = 1.5
    assert not breaker.lets()
    now[0] = 2.0
    assert breaker.lets()
    breaker.succeeded()
    assert [breaker.lets() for _ in range(3)] == [True] * 3
    assert breaker.opened == 1


def test_times_are_told_as_percentiles_and_a_rate():
    now = [0.0]
    timings = Timings(lambda: now[0])
    for milliseconds in range(1, 101):
        now[0] += 0.02
        timings.add(milliseconds / 1000)
    times = timings.times
    assert times.count == 100
    assert times.seconds == pytest.approx(5.05)
    assert (times.p50_ms, times.p95_ms, times.p99_ms) == (50, 100, 100)
    assert times.rate == pytest.approx(50, abs=1)


@pytest.mark.parametrize(
    ("views", "read", "message"),
    [
        (
            [{**PROFILE, "fields": [{"name": "age", "type": "int64", "default": "x"}]}],
            {},
            "default of field 'age' is no int64",
        ),
        ([{**PROFILE, "fields": [{"name": "v", "type": "vector<2>", "default": [1.0]}]}], {}, "is no vector<2>"),
        ([PROFILE], {"memory": {"usr": {"type": "cache"}}}, "unknown entity 'usr'; did you mean 'user'"),
        ([PROFILE], {"memory": {"user": {"type": "disk"}}}, "snapshot"),
    ],
    ids=["default", "vector", "entity", "memory"],
)
def test_what_cannot_be_is_told(views, read, message):
    with pytest.raises(ConfigError, match=message):
        load_store({"project": "p", "entities": [{"name": "user", "join_id": "user_id"}], "views": views, "read": read})
