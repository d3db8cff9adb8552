"""Events in, rows out: which count, what becomes of the others, and going on where it was."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from easyrec.errors import ConfigError, DataError, StoreError
from easyrec.store.definitions import load_store
from easyrec.store.streams import Condition
from easyrec.stream.intake import asked
from easyrec.stream.runner import Runner

T0 = 1_700_000_100
HOUR = {"name": "hour", "function": "count", "window": {"type": "sliding", "size": "1h", "tile": "5m"}}


def event(user, second=0, **more):
    return {"user_id": user, "ts": T0 + second, **more}


def test_a_sliding_count_falls_while_nothing_runs(project):
    project.send(event(7), event(7, 1800), event(8, 3000))
    told = project.run()
    assert (told["read"], told["counted"], told["rows_written"]) == (3, 3, 2)
    for now, hours in ((T0 + 3000, [2, 1]), (T0 + 4000, [1, 1]), (T0 + 6500, [0, 1]), (T0 + 9000, [0, 0])):
        found = project.read(7, 8, 9, now=now)
        assert [row["hour"] for row in found] == [*hours, None], now
        assert [row["clicks"] for row in found] == [2, 1, None]


def test_it_goes_on_where_it_was(project):
    project.send(event(1), event(2))
    assert project.run()["counted"] == 2
    assert project.run()["counted"] == 2
    project.send(event(1), event(1))
    assert project.run()["counted"] == 4
    assert [row["clicks"] for row in project.read(1, 2)] == [3, 1]


def test_batches_do_not_matter(project, tmp_path):
    project.send(*(event(i % 5, i * 7 % 200, price=i / 4) for i in range(40)))
    project.stream |= {"lateness": "1h"}
    found = []
    for rows in (1, 7, 40):
        project.stream |= {"batch_rows": rows, "state": {"type": "sqlite", "path": str(tmp_path / f"{rows}.db")}}
        project.online = {"type": "sqlite", "path": str(tmp_path / f"online{rows}.db")}
        assert project.run()["counted"] == 40
        found.append(project.read(*range(5)))
    assert found[0] == found[1] == found[2]
    assert sum(row["clicks"] for row in found[0]) == 40


def test_events_of_parquet_count(project, tmp_path):
    rows = {"user_id": [1, 1, 2], "ts": pa.array([T0] * 3).cast(pa.timestamp("s", "UTC")), "price": [1.0, 2.0, None]}
    pq.write_table(pa.table(rows), tmp_path / "a.parquet", row_group_size=2)
    project.stream |= {
        "source": {"type": "parquet", "path": str(tmp_path / "*.parquet")},
        "columns": {"user_id": "int64", "ts": "timestamp", "price": "double"},
        "aggregates": [{"name": "paid", "function": "sum", "column": "price"}],
        "batch_rows": 2,
    }
    assert project.run()["counted"] == 3
    assert [row["paid"] for row in project.read(1, 2)] == [3.0, None]


def test_only_what_is_asked_for_counts(project):
    project.stream["where"] = {"kind": ["click", "buy"], "price": {"from": 1, "to": 5}}
    project.send(
        event(1, kind="click", price=1),
        event(1, kind="click", price=5.5),
        event(1, kind="view", price=2),
        event(1, price=2),
        event(1, kind="buy", price=5),
        event(1, kind="buy"),
    )
    told = project.run()
    assert (told["counted"], told["filtered"]) == (2, 4)
    assert project.read(1)[0]["clicks"] == 2


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("a", [1, 0, 0]),
        ({"is": "a"}, [1, 0, 0]),
        ({"not": "a"}, [0, 1, 0]),
        ({"in": ["a", "c"]}, [1, 0, 0]),
        ({"null": True}, [0, 0, 1]),
        ({"null": False}, [1, 1, 0]),
        ({"is": "a", "not": "a"}, [0, 0, 0]),
    ],
)
def test_conditions(condition, expected):
    rows = pa.record_batch({"kind": ["a", "b", None]})
    assert asked(rows, {"kind": Condition.model_validate(condition)}).tolist() == list(map(bool, expected))


# --------------------------------------------------------------------------------------------- late and early


def test_what_comes_too_late_is_left_out_and_counted(project):
    project.stream["lateness"] = "1m"
    project.send(event(1, 100), event(1, 41), event(1, 39), event(1, 200), event(1, 140), event(1, 139))
    told = project.run()
    assert (told["counted"], told["late"]) == (4, 2)
    assert project.read(1, now=T0 + 300)[0]["clicks"] == 4


def test_lateness_is_remembered(project):
    project.stream["lateness"] = "1m"
    project.send(event(1, 100))
    project.run()
    project.send(event(1, 39), event(1, 40))
    told = project.run()
    assert (told["counted"], told["late"]) == (2, 1)


def test_a_clock_that_is_ahead_moves_nothing(project):
    project.stream |= {"lateness": "1m", "skew": "5m"}
    project.send(event(1, 290), event(1, 301), event(1, 10**9), event(1, 250))
    told = project.run(clock=lambda: T0)
    assert (told["counted"], told["ahead"]) == (2, 2)
    assert project.read(1, now=T0 + 295)[0]["hour"] == 2


def test_a_clock_that_is_ahead_makes_no_others_late(project):
    project.stream |= {"lateness": "1m", "skew": "5m"}
    project.send(event(1, 290), event(1, -60), event(1, -61))
    told = project.run(clock=lambda: T0)
    assert (told["counted"], told["late"]) == (2, 1)


# -------------------------------------------------------------------------------------------------- duplicates


def test_an_event_that_comes_twice_counts_once(project):
    project.stream |= {"id": "event", "horizon": "1h", "batch_rows": 3}
    one, two = event(1, event="a"), event(1, 5, event="b")
    project.send(one, one, two, two, one)
    told = project.run()
    assert (told["counted"], told["duplicate"]) == (2, 3)
    project.send(one, event(2, event="c"), event(2), event(2))  # without an id none is another's twin
    told = project.run()
    assert (told["counted"], told["duplicate"]) == (5, 4)
    assert [row["clicks"] for row in project.read(1, 2)] == [2, 3]


def test_ids_are_forgotten_after_the_horizon(project):
    project.stream |= {"id": "event", "horizon": "1h", "lateness": 0, "batch_rows": 1}
    project.send(event(1, event="a"), event(1, 8000, event="b"), event(1, 8001, event="a"))
    assert project.run()["counted"] == 3
    assert "duplicate" not in project.run()


# ------------------------------------------------------------------------------------- malformed, other schemas

BAD = [
    "nonsense",
    '{"user_id": 1, "ts": ',
    "[1]",
    "null",
    '{"user_id": "x", "ts": 1}',
    '{"user_id": 1, "ts": 1700000100} {"user_id": 1, "ts": 1700000100}',
    '{"user_id": 1}',
    f'{{"ts": {T0}}}',
    f'{{"user_id": 1, "ts": {10**18}}}',
]


def test_a_malformed_event_stops_it_before_anything_of_its_batch_counts(project):
    project.stream |= {"batch_rows": 2, "write": {"mode": "direct"}}  # what waits in a queue is written when it goes on
    project.send(event(1), event(1), event(1), "nonsense")
    for _ in range(2):
        with pytest.raises(DataError, match=r"0001.jsonl, byte \d+: .* With `malformed: skip` it is counted"):
            project.run()
        assert project.read(1)[0]["clicks"] == 2
    project.stream["malformed"] = "skip"
    assert project.run()["counted"] == 3


def test_what_is_malformed_is_passed_over_and_kept(project, tmp_path):
    project.stream |= {"malformed": "dead_letters", "dead_letters": str(tmp_path / "dead" / "bad.jsonl")}
    project.send(event(1), *BAD, event(1))
    told = project.run()
    assert (told["counted"], told["malformed"]) == (2, len(BAD))
    letters = list(map(json.loads, (tmp_path / "dead" / "bad.jsonl").read_text().splitlines()))
    assert all(letter["reason"] and letter["place"] for letter in letters)
    kept = {letter["content"].strip() for letter in letters}
    assert len(kept & set(map(str.strip, BAD))) == len(BAD) - 3  # the last ones were read: their columns are kept
    assert project.read(1)[0]["clicks"] == 2


def test_many_malformed_events_among_others(project):
    project.stream["malformed"] = "skip"
    project.send(*(event(1) if i % 10 else "{" for i in range(1000)))
    told = project.run()
    assert (told["counted"], told["malformed"]) == (900, 100)


def test_a_schema_that_changes_in_mid_stream(project):
    project.stream["malformed"] = "skip"
    project.stream["aggregates"] = [
        {"name": "clicks", "function": "count"},
        {"name": "paid", "function": "sum", "column": "price"},
    ]
    project.send(
        event(1, price=1.5),
        event(1, price=2, device={"os": "x"}),  # a column more, which nobody asks for
        event(1),  # a column less
        event(1, price="3"),  # another type
    )
    told = project.run()
    assert (told["counted"], told["malformed"]) == (3, 1)
    assert project.read(1)[0] == {"clicks": 3, "paid": 3.5}


def test_parquet_files_of_other_schemas(project, tmp_path):
    times = [T0, T0]
    pq.write_table(pa.table({"user_id": ["1", "x"], "ts": times, "more": [1, 2]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"user_id": [1, 1], "ts": times, "price": [1, 2]}), tmp_path / "b.parquet")
    project.stream |= {"source": {"type": "parquet", "path": str(tmp_path)}, "malformed": "skip"}
    told = project.run()
    assert (told["counted"], told["malformed"]) == (3, 1)
    assert project.read(1)[0]["clicks"] == 3


# ------------------------------------------------------------------------------------------------------- states


@pytest.mark.parametrize("mode", ["queue", "direct"])
def test_rows_that_could_not_be_written_are_written_when_it_goes_on(project, redis_servers, mode):
    server = redis_servers()
    project.online = {"type": "redis", "url": server.address, "timeout_seconds": 1}
    project.stream["write"] = {"mode": mode, "tries": 2, "backoff": 0.01}
    project.send(event(1), event(2))
    server.stop()
    with pytest.raises(StoreError, match=r"redis at 127.0.0.1:"):
        project.run()
    server.start()
    assert project.run()["counted"] == 2  # none of them a second time
    assert [row["clicks"] for row in project.read(1, 2)] == [1, 1]


def test_a_disk_that_is_full_stops_it_and_nothing_of_the_batch_counts(project):
    project.stream["batch_rows"] = 200
    project.send(*(event(user) for user in range(1000)))
    config = project.config
    store = config.online.open("p")
    runner = Runner(config, "v", store, until_end=True, folder=project.folder)
    try:
        runner.step()
        (pages,) = runner.state._db.execute("PRAGMA page_count").fetchone()
        runner.state._db.execute(f"PRAGMA max_page_count = {pages + 2}")
        with pytest.raises(StoreError, match=r"v\.state\.db cannot be used: database or disk is full"):
            runner.run()
    finally:
        runner.close()
        store.close()
    assert project.run()["counted"] == 1000
    assert {row["clicks"] for row in project.read(*range(1000))} == {1}


def test_two_views_are_counted_apart(project):
    made = project.definitions()
    other = {**made["views"][0], "name": "w", "stream": {**project.stream, "where": {"kind": "buy"}}}
    made["views"].append(other)
    made["models"][0]["features"].append({"view": "w", "alias": {"clicks": "buys", "hour": "buys_hour"}})
    project.definitions = lambda: made
    project.send(event(1, kind="buy"), event(1, kind="click"))
    config = project.config
    store = config.online.open("p")
    for name in ("v", "w"):
        runner = Runner(config, name, store, until_end=True, folder=project.folder)
        runner.run()
        runner.close()
    store.close()
    assert (project.read(1)[0]["clicks"], project.read(1)[0]["buys"]) == (2, 1)


def test_two_processes_do_not_count_into_one_state(project):
    project.send(event(1))
    config = project.config
    store = config.online.open("p")
    first = Runner(config, "v", store, folder=project.folder)
    try:
        with pytest.raises(StoreError, match="another process uses it"):
            Runner(config, "v", store, folder=project.folder)
    finally:
        first.close()
        store.close()


def test_a_state_of_another_definition_is_not_taken(project):
    project.send(event(1))
    project.run()
    project.stream["aggregates"] = [HOUR]
    with pytest.raises(StoreError, match="is of another definition of view 'v': count anew into another state"):
        project.run()


def test_keys_of_which_nothing_is_left_are_let_go(project):
    project.stream |= {"aggregates": [HOUR], "lateness": 0, "batch_rows": 10}
    project.send(*(event(user) for user in range(50)), *(event(100, 3600 + 60 * i) for i in range(100)))
    told = project.run()
    assert told["keys_left"] == told["rows_removed"] == 50
    assert project.read(3, now=T0 + 9600)[0]["hour"] is None
    project.send(event(3, 9600))
    project.run()
    assert project.read(3, now=T0 + 9600)[0]["hour"] == 1


# ---------------------------------------------------------------------------------------------------- definitions


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"event_time": "tz"}, "stream . event_time\n *'tz' is not among the columns; known: user_id, ts"),
        ({"event_time": "kind"}, "is string, but a time is timestamp, int64 or int32"),
        ({"columns": {"ts": "int", "user_id": "int64"}}, "'ts': unknown type 'int'"),
        ({"where": {"knd": "x"}}, "'knd' is not among the columns; did you mean 'kind'?"),
        ({"malformed": "dead_letters"}, "name the file: dead_letters: bad.jsonl"),
        ({"source": {"type": "jsnl", "path": "x"}}, "did you mean 'jsonl'?"),
        ({"key": "usr_id"}, "did you mean 'user_id'?"),
        ({"lateness": "soon"}, "must be seconds, or a number with ms, s, m, h, d or w"),
        ({"aggregates": []}, "must have at least 1 item"),
        ({"columns": {"ts": "int64"}, "aggregates": [HOUR]}, "events have no column 'user_id'; they have: ts"),
        ({"columns": {"ts": "int64", "user_id": "double"}}, "a key is string, int64, int32, but 'user_id' is double"),
        ({"where": {"price": "high"}}, "'high' is no double, as 'price' is"),
        ({"where": {"kind": {"from": 1}}}, "'kind' is string; from and to are of numbers"),
    ],
)
def test_what_is_wrong_with_a_stream_is_told(project, change, message):
    project.stream |= change
    with pytest.raises(ConfigError, match=message.replace("?", r"\?")):
        load_store(project.definitions())


@pytest.mark.parametrize(
    ("aggregate", "message"),
    [
        ({"function": "sum"}, "sum needs it"),
        ({"function": "sum", "column": "kind"}, "'kind' is string; sum is of numbers"),
        ({"function": "decayed"}, "after how long an event counts half"),
        ({"function": "count", "half_life": "1h"}, "is of decayed"),
        ({"function": "count", "window": {"type": "tumbling"}}, "a tumbling window needs it"),
        ({"function": "count", "window": {"type": "session", "gap": 1, "size": 5}}, "a session window has none"),
        ({"function": "count", "window": {"type": "hopping", "size": 60, "hop": 25}}, "must divide the size"),
        ({"function": "count", "window": {"type": "sliding", "size": "1d", "tile": 1}}, "more than 1440 times"),
        (
            {"function": "last", "column": "kind", "window": {"type": "session", "gap": 1}},
            "last is not kept by sessions",
        ),
        ({"function": "count", "window": {"type": "tumbling", "size": 1e-9}}, "greater than or equal to 0.001"),
        ({"function": "median", "column": "price"}, r"aggregates\[0\] 'x' . function\n +must be 'count'"),
    ],
)
def test_what_is_wrong_with_an_aggregate_is_told(project, aggregate, message):
    project.stream["aggregates"] = [{"name": "x", **aggregate}]
    with pytest.raises(ConfigError, match=message):
        load_store(project.definitions())


def test_a_view_that_counts_is_of_type_stream(project):
    made = project.definitions()
    made["views"][0]["type"] = "batch"
    with pytest.raises(ConfigError, match="a view that counts events is of type stream"):
        load_store(made)
    made["views"][0] = {"name": "v", "entity": "user"}
    with pytest.raises(ConfigError, match="must have at least 1 item, but has 0"):
        load_store(made)


def test_definitions_come_back_from_the_registry(project, tmp_path):
    from easyrec.store.registry import Registry

    project.stream["where"] = {"kind": ["a", "b"], "price": {"from": 1}, "event": {"not": "x"}}
    registry, config = Registry(tmp_path / "registry.db"), project.config
    version, _ = registry.apply(config)
    assert version.config == config
    assert [field.type for field in config.view("v").fields] == ["steps<int64>", "steps<int64>"]
    assert registry.diff(config) == []
