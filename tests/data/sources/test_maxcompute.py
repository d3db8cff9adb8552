"""MaxCompute: a stand-in that speaks its protocol and checks every request and signature."""

import datetime
import json
import sys
import time

import pyarrow as pa
import pytest

from easyrec.config.data import Shuffle
from easyrec.data import Demand, Loader
from easyrec.data.sources import maxcompute as module
from easyrec.errors import ConfigError, DataError, MissingExtra
from feature_generator import FeatureGenerator

COLUMNS = {"id": "bigint", "name": "string", "price": "double", "at": "datetime", "clicks": "array<bigint>"}
PARTITIONS = {"dt": "string", "hour": "bigint"}
DAYS = ["20251231", "20260101", "20260102"]
KINDS = {
    "id": pa.int64(),
    "name": pa.string(),
    "price": pa.float64(),
    "at": pa.timestamp("ms"),
    "clicks": pa.list_(pa.int64()),
}


def rows(first, count):
    return pa.table(
        {
            "id": range(first, first + count),
            "name": pa.array([None if i % 5 == 0 else f"n{i}" for i in range(count)], pa.string()),
            "price": [i / 4 for i in range(count)],
            "at": [datetime.datetime(2026, 1, 1, 0, 0, i % 60) for i in range(count)],
            "clicks": pa.array([list(range(i % 3)) for i in range(count)], pa.list_(pa.int64())),
        },
        schema=pa.schema(KINDS),
    )


@pytest.fixture
def log(maxcompute):
    """A table of three days of two hours, with 100 rows an hour, but for the last one, which is empty."""
    parts = {
        f"dt={day},hour={hour}": rows(1000 * place + 100 * hour, 0 if (place, hour) == (2, 1) else 100)
        for place, day in enumerate(DAYS)
        for hour in (0, 1)
    }
    maxcompute.table("log", COLUMNS, parts, PARTITIONS)
    return maxcompute


IDS = [1000 * place + 100 * hour + i for place, hour in ((0, 0), (0, 1), (1, 0), (1, 1), (2, 0)) for i in range(100)]


def opened(server, table="log", **settings):
    return module.Config(**server.settings | {"table": table, "unit_rows": 40} | settings).open()


def read(source, columns=("id",)):
    found = [row for u in source.units() for b in source.read(u, list(columns)) for row in b.to_pylist()]
    return [row["id"] for row in found] if columns == ("id",) else found


def test_partitions_are_read_in_ranges_of_rows(log):
    source = opened(log)
    assert source.columns == KINDS | {"dt": pa.string(), "hour": pa.int64()}
    assert [unit.rows for unit in source.units()] == [40, 40, 20] * 5
    assert source.units()[4].description == "shop_dev.log, dt=20251231,hour=1, rows 40 to 79"
    assert read(source) == IDS
    source.close()


def test_columns_come_in_the_order_that_is_asked_for_and_moments_in_utc(log, monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    time.tzset()
    try:
        found = read(opened(log, where={"dt": "20260101"}), ("hour", "at", "clicks", "dt", "name"))
    finally:
        monkeypatch.undo()
        time.tzset()
    assert len(found) == 200
    assert list(found[0]) == ["hour", "at", "clicks", "dt", "name"]
    at = datetime.datetime(2026, 1, 1, 0, 0, 2)
    assert found[102] == {"hour": 1, "at": at, "clicks": [0, 1], "dt": "20260101", "name": "n2"}
    assert found[100]["name"] is None


@pytest.mark.parametrize(
    ("where", "places"),
    [
        ({"dt": "20260101"}, [(1, 0), (1, 1)]),
        ({"dt": {"last": 2, "until": "20260101"}, "hour": 1}, [(0, 1), (1, 1)]),
        ({"hour": {"to": 0}}, [(0, 0), (1, 0), (2, 0)]),
        ({"dt": ["20251231", "20270101"]}, [(0, 0), (0, 1)]),
    ],
)
def test_only_wanted_partitions_are_read(log, where, places):
    expected = [1000 * place + 100 * hour + i for place, hour in places for i in range(100)]
    assert read(opened(log, where=where)) == expected


def test_a_table_without_partitions_and_an_endpoint_of_the_tunnel(maxcompute):
    maxcompute.table("plain", {"id": "bigint"}, {"": pa.table({"id": range(70)})})
    address = maxcompute.settings["endpoint"].removesuffix("/api")
    source = opened(maxcompute, "plain", tunnel_endpoint=address, quota="mine")
    assert source.columns == {"id": pa.int64()}
    assert read(source) == list(range(70))


def test_a_role_with_a_token_is_let_in(log):
    keys = {"access_id": "id-2", "access_key": "secret-2"}
    assert len(read(opened(log, **keys, security_token="token-2"))) == 500
    with pytest.raises(DataError, match="the security token does not fit"):
        opened(log, **keys)


def test_a_later_opening_goes_on_in_the_same_sessions(log):
    source = opened(log, where={"dt": {"from": "20260101"}})
    pinned = json.loads(json.dumps(source.pinned()))
    log.write("log", "dt=20260103,hour=0", rows(3000, 100))
    other = opened(log, where={"dt": {"from": "20260101"}}, unit_rows=7)
    assert other.num_rows == source.num_rows + 100
    assert other.identity() != source.identity()
    other.pin(pinned)
    assert other.units() == source.units()
    assert read(other) == read(source)
    assert other.pinned() == pinned
    assert other.identity() == source.identity()
    log.table("other", {"id": "bigint"}, {"": pa.table({"id": [1]})})
    with pytest.raises(DataError, match=r"the table was shop_dev\.log, and is shop_dev\.other"):
        opened(log, "other").pin(pinned)


def test_sessions_that_the_tunnel_has_forgotten_are_made_anew(log):
    source = opened(log)
    pinned = source.pinned()
    log.fails(forget=True)
    assert read(source) == IDS  # while they are read
    log.fails(forget=True)
    other = opened(log)
    other.pin(pinned)  # before
    assert read(other) == IDS


def test_rows_that_were_changed_meanwhile_are_not_taken_for_the_old_ones(log):
    source = opened(log)
    pinned = source.pinned()
    log.write("log", "dt=20260101,hour=1", rows(0, 100), at=time.time() + 60)
    with pytest.raises(DataError, match=r"dt=20260101,hour=1: .*has been modified since the download initiated"):
        read(source)
    with pytest.raises(DataError, match=r"cannot resume: .*modified since"):
        opened(log).pin(pinned)
    log.fails(forget=True)
    with pytest.raises(DataError, match="cannot resume: the rows have been changed since they were first read"):
        opened(log).pin(pinned)
    log.write("log", "dt=20260101,hour=1", rows(0, 99), at=time.time() + 90)
    log.fails(forget=True)
    with pytest.raises(DataError, match="cannot resume: the rows were 100 and are 99 since they were first read"):
        opened(log).pin(pinned)


def test_an_answer_that_ends_early_is_asked_for_again_from_there(log):
    source = opened(log)
    log.fails(cut=3000)
    assert read(source) == IDS


def test_an_answer_with_a_wrong_byte_is_told(log):
    source = opened(log)
    log.fails(corrupt=True)
    with pytest.raises(DataError, match=r"shop_dev\.log, dt=20251231,hour=0.*: Checksum invalid"):
        read(source)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"table": "nowhere"}, DataError, r"shop_dev\.nowhere: ODPS-0130131:Table not found.*\(request request-1\)$"),
        ({"project": "other"}, DataError, r"other\.log: .*Project not found"),
        ({"access_id": "id-9"}, DataError, "accessKeyId not found"),
        ({"access_key": "wrong/secret"}, DataError, "Invalid signature value"),
        ({"where": {"day": "1"}}, ConfigError, "there is no partition 'day'\n *known: dt, hour"),
        ({"where": {"hour": "noon"}}, ConfigError, "'hour': 'noon' is no int64"),
        ({"where": {"dt": "20300101"}}, DataError, "wants it; there are dt=20251231,hour=0 to dt=20260102,hour=1"),
        ({"where": {"hour": 7}}, DataError, "there are dt=20251231,hour=0 to dt=20260102,hour=1"),
        ({"where": {"dt": "20260102", "hour": 1}}, DataError, r"shop_dev\.log: has no rows"),
        ({"table": "plain", "where": {"dt": "1"}}, ConfigError, r"known: none; shop_dev\.plain has no partitions"),
        ({"table": "strange"}, DataError, "column 'span': has type interval_year_month"),
        ({"endpoint": "service.example/api"}, ValueError, "must be an URL that starts with https"),
    ],
)
def test_what_does_not_fit_is_told_without_secrets(log, settings, error, message):
    log.table("plain", {"id": "bigint"}, {"": pa.table({"id": [1]})})
    log.table("strange", {"span": "interval_year_month"}, {"": pa.table({"span": [1]})})
    with pytest.raises(error, match=message) as caught:
        opened(log, **settings)
    shown = str(caught.value)
    assert "secret" not in shown
    assert "id-1" not in shown


def test_an_error_of_the_tunnel_names_the_partition(log):
    source = opened(log)
    log.fails(refuse="NoPermission")
    with pytest.raises(DataError, match=r"shop_dev\.log, dt=20251231,hour=0: .*the tunnel says no"):
        read(source)


def test_secrets_are_not_shown_by_a_config(log):
    config = module.Config(**log.settings, table="log")
    assert "secret" not in repr(config) + str(config.model_dump())


def test_the_extra_is_named_where_it_is_missing(log, monkeypatch):
    monkeypatch.setitem(sys.modules, "odps", None)
    with pytest.raises(MissingExtra, match=r"pip install 'easyrec-torch\[maxcompute\]'"):
        opened(log)


def test_a_loader_resumes_at_any_batch(log):
    generator = FeatureGenerator.load({"features": [{"type": "id", "name": "id", "num_buckets": 5000}]})

    def loader(source):
        shuffle = Shuffle(buffer_rows=90)
        return Loader(source, generator, Demand({}, reserved=["id"]), batch_size=32, shuffle=shuffle, seed=3)

    def ids(batches):
        return [batch.reserved.column("id").to_pylist() for batch in batches]

    whole = ids(loader(opened(log)))
    assert sorted(i for batch in whole for i in batch) == IDS
    first = loader(opened(log))
    batches = iter(first)
    head = ids(next(batches) for _ in range(5))
    state = json.loads(json.dumps(first.state()))
    batches.close()
    log.write("log", "dt=20260103,hour=0", rows(3000, 100))
    second = loader(opened(log))
    second.load_state(state)
    assert head + ids(second) == whole
