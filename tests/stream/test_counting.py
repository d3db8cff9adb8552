"""What a view counts, as of any moment, is what a loop over all events counts then."""

import itertools
import math

import numpy as np
import pyarrow as pa
import pytest

from easyrec.store.definitions import load_store
from easyrec.store.online.memory import MemoryStore
from easyrec.store.reader import ModelReader
from easyrec.store.writer import Writer
from easyrec.stream.counting import Counting
from easyrec.stream.groups import Batch
from easyrec.stream.watermark import BEGIN

T0 = 1_700_000_000
NUMBER = itertools.count()
WINDOWS = {
    "ever": None,
    "tumbling": {"type": "tumbling", "size": 60},
    "hopping": {"type": "hopping", "size": 60, "hop": 20},
    "sliding": {"type": "sliding", "size": 60, "tile": 10},
    "session": {"type": "session", "gap": 15},
}
COLUMNS = {"user_id": "int64", "ts": "int64", "price": "double", "n": "int64", "item": "string", "at": "timestamp"}


def aggregates(window):
    shown = {} if window is None else {"window": window}
    made = [
        {"name": "count", "function": "count", **shown},
        {"name": "count_price", "function": "count", "column": "price", **shown},
        {"name": "sum_n", "function": "sum", "column": "n", **shown},
        {"name": "mean_price", "function": "mean", "column": "price", **shown},
        {"name": "min_price", "function": "min", "column": "price", **shown},
        {"name": "max_n", "function": "max", "column": "n", **shown},
        {"name": "max_at", "function": "max", "column": "at", **shown},
    ]
    if window is None or window["type"] != "session":
        made += [
            {"name": "last_item", "function": "last", "column": "item", "k": 3, **shown},
            {"name": "last_n", "function": "last", "column": "n", "k": 2, **shown},
            {"name": "first_item", "function": "first", "column": "item", **shown},
        ]
    return made


def held(window, times, now):
    """Which events a window holds at a time."""
    if window is None:
        return times <= math.inf
    if window["type"] == "session":
        made = np.zeros(len(times), bool)
        ordered = np.sort(times)
        for session in np.split(ordered, np.flatnonzero(np.diff(ordered) > window["gap"]) + 1):
            if len(session) and session[0] <= now < session[-1] + window["gap"]:
                made |= (times >= session[0]) & (times <= session[-1])
        return made
    size, hop = window["size"], window.get("hop", window.get("tile", window["size"]))
    end = now // hop * hop + (hop if window["type"] == "sliding" else 0)
    return (times >= end - size) & (times < end)


def expected(window, events, now):
    some = [events[i] for i in np.flatnonzero(held(window, np.array([e["ts"] for e in events]), now))]
    in_time = [e for _, e in sorted(enumerate(some), key=lambda pair: (pair[1]["ts"], pair[0]))]
    price, n = ([e[name] for e in some if e[name] is not None] for name in ("price", "n"))
    at = [e["at"] for e in some if e["at"] is not None]
    item, last_n = ([e[name] for e in in_time if e[name] is not None] for name in ("item", "n"))
    return {
        "count": len(some),
        "count_price": len(price),
        "sum_n": sum(n) if n else None,
        "mean_price": pytest.approx(sum(price) / len(price)) if price else None,
        "min_price": min(price, default=None),
        "max_n": max(n, default=None),
        "max_at": max(at, default=None),
        "last_item": item[-3:],
        "last_n": last_n[-2:],
        "first_item": item[0] if item else None,
    }


def definitions(made):
    stream = {"source": {"type": "jsonl", "path": "x"}, "columns": COLUMNS, "event_time": "ts", "aggregates": made}
    return load_store(
        {
            "project": "p",
            "online": "memory",
            "entities": [{"name": "user", "join_id": "user_id"}],
            "views": [{"name": "v", "type": "stream", "entity": "user", "stream": stream}],
            "models": [{"name": "m", "features": [{"view": "v"}]}],
        }
    )


class Counted:
    """A view that events are counted into, batch by batch, and that is read as of any time."""

    def __init__(self, made):
        self.config = definitions(made)
        self.view = self.config.views[0]
        self.store = MemoryStore(f"p{next(NUMBER)}")
        self.counting, self.kept = Counting(self.view.stream), {}
        self.writer = Writer(self.config, self.store)
        self.reader = ModelReader(self.config, self.store, "m", clock=lambda: self.now)

    def add(self, events, watermark=BEGIN):
        rows = pa.RecordBatch.from_pylist(events, self.view.stream.schema)
        ids = rows.column("user_id").dictionary_encode()
        keys = ids.dictionary.to_pylist()
        batch = Batch(
            np.asarray(ids.indices, np.int64), np.array([e["ts"] for e in events]) * 1_000_000, rows, len(keys)
        )
        state = self.counting.decode([self.kept.get(key) for key in keys])
        state = self.counting.update(state, batch, watermark)
        self.kept.update(zip(keys, self.counting.encode(state), strict=True))
        found = {"user_id": ids.dictionary, **self.counting.rows(state, watermark), "ts": self.counting.newest(state)}
        self.writer.write("v", pa.record_batch(found))

    def read(self, user, now):
        self.now = now
        return self.reader.read({"user_id": [user]})["user_id"].to_pylist()[0]


def some_events(rng, count, span=300):
    return [
        {
            "user_id": int(rng.integers(3)),
            "ts": T0 + int(rng.integers(span)),
            "price": float(rng.integers(100)) if rng.random() < 0.8 else None,
            "n": int(rng.integers(-50, 50)) if rng.random() < 0.8 else None,
            "item": f"i{rng.integers(9)}" if rng.random() < 0.9 else None,
            "at": None,
        }
        for _ in range(count)
    ]


@pytest.mark.parametrize("name", WINDOWS)
@pytest.mark.parametrize("seed", range(2))
def test_any_window_is_what_a_loop_counts_at_any_time(name, seed):
    window, rng = WINDOWS[name], np.random.default_rng(seed)
    counted, events = Counted(aggregates(window)), some_events(rng, 60)
    for some in np.array_split(np.arange(len(events)), 7):
        counted.add([events[i] for i in some])
    for user in range(3):
        own = [e for e in events if e["user_id"] == user]
        for now in [T0 - 100, *range(T0, T0 + 400, 17), T0 + 10_000]:
            wanted = expected(window, own, now)
            found = counted.read(user, now)
            assert found == {key: wanted[key] for key in found}, now


@pytest.mark.parametrize("name", WINDOWS)
def test_what_a_watermark_has_passed_is_let_go_and_nothing_else(name):
    window, rng = WINDOWS[name], np.random.default_rng(7)
    counted = Counted(aggregates(window))
    events = sorted(some_events(rng, 200, 1500), key=lambda e: e["ts"] + rng.integers(20))
    seen, largest = [], 0
    for some in np.array_split(np.arange(len(events)), 15):
        batch = [events[i] for i in some]
        seen += batch
        mark = max(e["ts"] for e in seen) - 20
        counted.add(batch, mark * 1_000_000)
        largest = max(largest, *map(len, counted.kept.values()))
        for user in {e["user_id"] for e in batch}:
            own = [e for e in seen if e["user_id"] == user]
            for now in range(mark, mark + 150, 31):
                wanted = expected(window, own, now)
                found = counted.read(user, now)
                assert found == {key: wanted[key] for key in found}, now
    assert largest < 2500  # of 70 events a key


def test_a_decayed_count_halves():
    counted = Counted(
        [
            {"name": "all", "function": "decayed", "half_life": "1m"},
            {"name": "priced", "function": "decayed", "column": "price", "half_life": "1m"},
        ]
    )
    event = {"user_id": 1, "price": 1.0, "n": None, "item": None, "at": None}
    counted.add([event | {"ts": T0}, event | {"ts": T0 + 60, "price": None}])
    counted.add([event | {"ts": T0 + 30}])  # late, but not too late
    for now in (T0 + 60, T0 + 61, T0 + 120, T0 + 6000):
        found = counted.read(1, now)
        weights = [0.5 ** ((now - ts) / 60) for ts in (T0, T0 + 30, T0 + 60)]
        assert found["all"] == pytest.approx(sum(weights))
        assert found["priced"] == pytest.approx(sum(weights[:2]))


@pytest.mark.parametrize("name", ["ever", "tumbling", "hopping", "sliding"])
def test_distinct_values_are_counted(name):
    pytest.importorskip("datasketches", reason="needs the extra 'sketches'")
    window, rng = WINDOWS[name], np.random.default_rng(3)
    shown = {} if window is None else {"window": window}
    counted = Counted(
        [
            {"name": "items", "function": "distinct", "column": "item", **shown},
            {"name": "numbers", "function": "distinct", "column": "n", **shown},
        ]
    )
    events = some_events(rng, 200)
    for some in np.array_split(np.arange(len(events)), 5):
        counted.add([events[i] for i in some])
    for user in range(3):
        own = [e for e in events if e["user_id"] == user]
        for now in range(T0, T0 + 420, 11):
            some = [own[i] for i in np.flatnonzero(held(window, np.array([e["ts"] for e in own]), now))]
            found = counted.read(user, now)
            assert found["items"] == len({e["item"] for e in some} - {None}), now
            assert found["numbers"] == len({e["n"] for e in some} - {None}), now


def test_many_distinct_values_are_counted_about():
    pytest.importorskip("datasketches", reason="needs the extra 'sketches'")
    counted = Counted([{"name": "items", "function": "distinct", "column": "item"}])
    event = {"user_id": 1, "ts": T0, "price": None, "n": None, "at": None}
    counted.add([event | {"item": f"{i}"} for i in range(20_000)])
    counted.add([event | {"item": f"{i}"} for i in range(10_000, 30_000)])
    assert counted.read(1, T0)["items"] == pytest.approx(30_000, rel=0.06)


def test_a_key_knows_when_nothing_is_left_of_it():
    counted = Counted([{"name": "count", "function": "count", "window": WINDOWS["sliding"]}])
    counted.add([{"user_id": 1, "ts": T0 + 5, "price": None, "n": None, "item": None, "at": None}])
    assert counted.counting.until(counted.counting.decode([counted.kept[1]])) == [(T0 + 60) * 1_000_000]
