"""MaxCompute: a stand-in that speaks its protocol and checks every request and signature."""

import datetime

import pyarrow as pa
import pytest

from easyrec.data.sources import maxcompute as module
from easyrec.errors import ConfigError, DataError

COLUMNS = {"id": "bigint", "name": "string", "price": "double", "at": "datetime", "clicks": "array<bigint>"}
PARTITIONS = {"dt": "string", "hour": "bigint"}
DAYS = ["20251231", "20260101", "20260102"]


def rows(first, count):
    return pa.table(
        {
            "id": range(first, first + count),
            "name": [None if i % 5 == 0 else f"n{i}" for i in range(count)],
            "price": [i / 4 for i in range(count)],
            "at": [datetime.datetime(2026, 1, 1, 0, 0, i % 60) for i in range(count)],
            "clicks": [list(range(i % 3)) for i in range(count)],
        }
    )


@pytest.fixture
def log(maxcompute):
    """A table of three days of two hours: 100 rows an hour, none in the last one."""
    parts = {
        f"dt={day},hour={hour}": rows(1000 * place + 100 * hour, 0 if (place, hour) == (2, 1) else 100)
        for place, day in enumerate(DAYS)
        for hour in (0, 1)
    }
    maxcompute.table("log", COLUMNS, parts, PARTITIONS)
    return maxcompute


def opened(server, table="log", **settings):
    return module.Config(**server.settings | {"table": table, "unit_rows": 40} | settings).open()


def read(source, columns=("id",), start_row=0):
    found = [row for u in source.units() for b in source.read(u, list(columns), start_row) for row in b.to_pylist()]
    return [row["id"] for row in found] if columns == ("id",) else found


def test_all(log):
    source = opened(log)
    print(source.columns)
    print(source.units())
    assert read(source) == [1000 * p + 100 * h + i for p in range(3) for h in (0, 1) if (p, h) != (2, 1) for i in range(100)]
    print(read(source, ("hour", "at", "clicks", "dt", "name"))[:3])
