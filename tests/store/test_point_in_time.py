"""Training sets against the rule, said plainly: a loop over all rows of a key for each row of the spine."""

import datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from easyrec.errors import DataError, StoreError
from easyrec.store.definitions import load_store

pytest.importorskip("duckdb", reason="needs the extra 'store'")
from easyrec.store.point_in_time import training_set

START = 1_700_000_000
TTL = 50


def project(folder, *, ttl=TTL, created="made", event="ts"):
    view = {
        "name": "profile",
        "entity": "user",
        "source": {"type": "parquet", "path": str(folder / "rows.parquet")},
        "fields": [{"name": "value", "type": "int64"}],
        **({"event_time": event} if event else {}),
        **({"created_time": created} if created else {}),
        **({"ttl": ttl} if ttl and event else {}),
    }
    return load_store(
        {
            "project": "p",
            "entities": [{"name": "user", "join_id": "user_id"}],
            "views": [view],
            "models": [{"name": "m", "features": [{"view": "profile"}]}],
        }
    )


def times(values, kind):
    if kind == "seconds":
        return pa.array([START + v for v in values], pa.int64())
    zone = "UTC" if kind == "zoned" else None
    return pa.array([(START + v) * 1_000_000 for v in values], pa.timestamp("us", zone))


def plain(rows, spine, *, ttl, created):
    """The rule."""
    found = []
    for user, when in spine:
        best = None
        for place, (key, value, event, made) in enumerate(rows):
            if key != user or event > when or (created and made > when):
                continue
            rank = (event, made if created else 0, place)
            if best is None or rank > best[0]:
                best = (rank, value)
        alive = best is not None and (ttl is None or when - best[0][0] <= ttl)
        found.append(best[1] if alive else None)
    return found


# most times are tens, so that many are the same and many rows are as old as the ttl
SECONDS = st.one_of(st.integers(0, 12).map(lambda ten: 10 * ten), st.integers(0, 120))
ROWS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 99), SECONDS, SECONDS), max_size=25)
SPINE = st.lists(st.tuples(st.integers(0, 3), SECONDS.map(lambda second: second + 20)), max_size=12)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ROWS, SPINE, st.booleans(), st.sampled_from([TTL, None]), st.sampled_from(["seconds", "plain", "zoned"]))
def test_each_row_gets_what_was_known_at_its_time(tmp_path, rows, spine, created, ttl, kind):
    keys, values, events, mades = ([row[i] for row in rows] for i in range(4))
    table = {"user_id": pa.array(keys, pa.int64()), "value": pa.array(values, pa.int64())}
    pq.write_table(
        pa.table({**table, "ts": times(events, kind), "made": times(mades, kind)}), tmp_path / "rows.parquet"
    )
    users, when = pa.array([u for u, _ in spine], pa.int64()), times([t for _, t in spine], "zoned")
    label = pa.array(range(len(spine)), pa.int64())
    config = project(tmp_path, ttl=ttl, created="made" if created else None)
    made = training_set(config, "m", pa.table({"user_id": users, "event_time": when, "label": label}))
    assert made.rows == made.table.num_rows == len(spine)
    assert made.table["label"].to_pylist() == list(range(len(spine)))
    assert made.table["value"].to_pylist() == plain(rows, spine, ttl=ttl, created=created)


@pytest.fixture
def shop(tmp_path):
    rows = {
        "user_id": [1, 1, 2],
        "value": [10, 11, 20],
        "ts": times([0, 30, 10], "plain"),
        "made": times([0, 40, 10], "plain"),
    }
    pq.write_table(pa.table(rows), tmp_path / "rows.parquet")
    return tmp_path


def spine(*rows):
    return pa.table({"user_id": [user for user, _ in rows], "event_time": times([t for _, t in rows], "zoned")})


def test_what_was_not_known_yet_is_not_seen(shop):
    found = training_set(project(shop), "m", spine((1, 39), (1, 40))).table
    assert found["value"].to_pylist() == [10, 11]


def test_a_row_as_old_as_the_ttl_is_seen_and_an_older_one_is_not(shop):
    found = training_set(project(shop, created=None), "m", spine((2, 9), (2, 10), (2, 60), (2, 61))).table
    assert found["value"].to_pylist() == [None, 20, 20, None]


def test_of_rows_of_one_time_the_last_one_created_is_seen_then_the_last_in_the_table(tmp_path):
    rows = {"user_id": [1] * 4, "value": [1, 2, 3, 4], "ts": times([5, 5, 5, 4], "plain")}
    pq.write_table(pa.table({**rows, "made": times([9, 7, 7, 9], "plain")}), tmp_path / "rows.parquet")
    known = training_set(project(tmp_path), "m", spine((1, 6), (1, 7), (1, 8), (1, 9))).table
    assert known["value"].to_pylist() == [None, 3, 3, 1]
    pq.write_table(pa.table({**rows, "made": times([2, 4, 3, 9], "plain")}), tmp_path / "rows.parquet")
    assert training_set(project(tmp_path), "m", spine((1, 5), (1, 9))).table["value"].to_pylist() == [2, 2]
    plainly = training_set(project(tmp_path, created=None), "m", spine((1, 4), (1, 5))).table
    assert plainly["value"].to_pylist() == [4, 3]


@pytest.mark.parametrize("micros", [1, 1_000, 1_000_000, 210 * 86_400_000_000 + 1], ids=["us", "ms", "s", "months"])
def test_times_of_any_step_are_kept_apart(tmp_path, micros):
    """Of many rows far apart time and place do not fit into 64 bits together."""
    events = pa.array([START * 1_000_000 + n * micros for n in range(2000)], pa.timestamp("us", "UTC"))
    rows = {"user_id": [n % 2 for n in range(2000)], "value": list(range(2000)), "ts": events}
    pq.write_table(pa.table(rows), tmp_path / "rows.parquet")
    asked = pa.table({"user_id": [0] * 2000, "event_time": events})
    found = training_set(project(tmp_path, created=None, ttl=None), "m", asked).table
    assert found["value"].to_pylist() == [n - n % 2 for n in range(2000)]
    before = pa.table({"user_id": [0], "event_time": pa.array([START * 1_000_000 - 1], pa.timestamp("us", "UTC"))})
    assert training_set(project(tmp_path, created=None, ttl=None), "m", before).table["value"].to_pylist() == [None]


def test_ids_of_another_type_are_the_same_ids(shop):
    rows = spine((1, 20), (2, 20))
    rows = rows.set_column(0, "user_id", pa.array(["1", "2"]))
    assert training_set(project(shop), "m", rows).table["value"].to_pylist() == [10, 20]


def test_a_view_without_times_gives_the_last_row_of_a_key(shop):
    found = training_set(project(shop, event=None, created=None), "m", spine((1, 0), (2, 0), (3, 0))).table
    assert found["value"].to_pylist() == [11, 20, None]


def test_rows_go_into_a_file_and_come_from_partitions(shop):
    for day, value in ((1, 100), (2, 200)):
        folder = shop / "days" / f"ds=2026010{day}"
        folder.mkdir(parents=True)
        pq.write_table(pa.table({"user_id": [7], "value": [value], "ts": times([day], "plain")}), folder / "0.parquet")
    config = load_store(
        {
            **project(shop, created=None).model_dump(exclude_defaults=True),
            "views": [
                {
                    "name": "profile",
                    "entity": "user",
                    "source": {"type": "parquet", "path": str(shop / "days")},
                    "event_time": "ts",
                    "fields": [{"name": "value", "type": "int64"}, {"name": "ds", "type": "int64"}],
                }
            ],
        }
    )
    pq.write_table(spine((7, 1), (7, 9)), shop / "spine.parquet")
    made = training_set(config, "m", shop / "spine.parquet", shop / "out" / "set.parquet", threads=1, memory="200MB")
    assert made.table is None
    rows = pq.read_table(shop / "out" / "set.parquet").select(["value", "ds"]).to_pylist()
    assert rows == [{"value": 100, "ds": 20260101}, {"value": 200, "ds": 20260102}]
    assert [path.name for path in (shop / "out").iterdir()] == ["set.parquet"]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"event_time": "when"}, DataError, "column 'when': the spine has no such column"),
        ({"rows": {"user": [1]}}, DataError, "column 'user_id': view 'profile' is joined by it"),
        ({"rows": {"value": [1]}}, StoreError, "column 'value' of the spine is called like a feature"),
        ({"rows": {"event_time": pa.array([None], pa.timestamp("us"))}}, DataError, "1 of 1 rows have no time"),
        ({"model": "other"}, StoreError, "unknown model 'other'"),
        ({"source": "nowhere.parquet"}, DataError, "nowhere.parquet: cannot be read"),
        (
            {"event": "tss"},
            DataError,
            "column 'tss': the rows of view 'profile' have no such column; did you mean 'ts'",
        ),
    ],
    ids=["time", "join-id", "name-twice", "null-time", "model", "source", "column"],
)
def test_what_does_not_fit_is_told(shop, change, error, message):
    rows = {"user_id": [1], "event_time": times([1], "zoned"), **change.get("rows", {})}
    if "user" in rows:
        del rows["user_id"]
    config = project(shop, event=change.get("event", "ts"))
    if "source" in change:
        config = load_store(
            {
                **config.model_dump(),
                "views": [{**config.model_dump()["views"][0], "source": {"type": "parquet", "path": change["source"]}}],
            }
        )
    with pytest.raises(error, match=message):
        training_set(
            config, change.get("model", "m"), pa.table(rows), event_time=change.get("event_time", "event_time")
        )


def test_days_are_times_too(tmp_path):
    days = [datetime.date(2026, 1, 1), datetime.date(2026, 1, 3)]
    pq.write_table(pa.table({"user_id": [1, 1], "value": [1, 3], "day": days}), tmp_path / "rows.parquet")
    rows = pa.table({"user_id": [1, 1], "event_time": [datetime.date(2026, 1, 2), datetime.date(2026, 1, 3)]})
    found = training_set(project(tmp_path, event="day", created=None, ttl="2d"), "m", rows).table
    assert found["value"].to_pylist() == [1, 3]
