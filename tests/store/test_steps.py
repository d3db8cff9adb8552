"""Values that change at times that are known: what is read is what holds at the reader's time."""

import random

import pyarrow as pa
import pytest

from easyrec.store import native
from easyrec.store.codec import arrow_type, pack, read_type

BEGIN = -(1 << 63)


def read(kind, value, now):
    """The value that a row with one field is read as."""
    column = pa.array([value], arrow_type(kind))
    records = native.splice([None], 0, 1, pack(pa.record_batch({"f": column}), {"f": kind}, 1), [])
    return read_record(kind, records[0], now)


def read_record(kind, record, now):
    reader = native.Reader(["f"], [read_type(kind)], [(0, [1], 0, [(1, [kind], [0])], [0])])
    return pa.record_batch(reader.read([record], now)[0]).column(0).to_pylist()[0]


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("int64", [1, None, 3]),
        ("int32", [1, 2, 3]),
        ("double", [0.5, 1.5, None]),
        ("bool", [True, False, None]),
        ("string", ["", "ü", None]),
        ("string", ["a", "", "bcd"]),
        ("array<int64>", [[], [1, None], None]),
        ("array<string>", [["a", ""], None, ["b"]]),
    ],
)
def test_the_last_step_that_has_begun_is_read(kind, values):
    steps = list(zip([10, 20, 30], values, strict=True))
    for now, expected in (
        (9, None),
        (10, values[0]),
        (19, values[0]),
        (20, values[1]),
        (30, values[2]),
        (1 << 62, values[2]),
    ):
        assert read(f"steps<{kind}>", steps, now) == expected
    assert read(f"steps<{kind}>", [(BEGIN, values[0]), *steps[1:]], -(1 << 62)) == values[0]
    assert read(f"steps<{kind}>", [], 5) is None
    assert read(f"steps<{kind}>", None, 5) is None


@pytest.mark.parametrize(
    ("now", "expected"), [(0, 8.0), (1_000_000, 8.0), (61_000_000, 4.0), (121_000_000, 2.0), (1 << 60, 0.0)]
)
def test_a_decay_halves_and_does_not_grow_for_a_clock_that_is_behind(now, expected):
    assert read("decay<60>", [(1_000_000, 8.0)], now) == pytest.approx(expected)


def test_nothing_decays_to_nothing():
    assert read("decay<60>", [], 5) is None
    assert read("decay<0.5>", [(0, None)], 5) is None


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("steps<int>", "unknown type 'int'"),
        ("steps<steps<int64>>", "steps are of plain values and arrays"),
        ("steps<map<string, int64>>", "steps are of plain values and arrays"),
        ("array<steps<int64>>", "unknown type"),
        ("decay<0>", "a decay has a half-life in seconds"),
        ("decay<-1>", "a decay has a half-life in seconds"),
        ("decay<soon>", "a decay has a half-life in seconds"),
        ("decay<nan>", "a decay has a half-life in seconds"),
    ],
)
def test_types_that_are_none_are_told(kind, message):
    with pytest.raises(ValueError, match=message):
        arrow_type(kind)


@pytest.mark.parametrize("kind", ["steps<int64>", "steps<array<string>>", "decay<60>"])
def test_damaged_rows_are_told_or_read_and_nothing_worse(kind):
    values = {"steps<int64>": [1, None, 3], "decay<60>": [1.0, 2.0, 3.0]}.get(kind, [["a", None], [], ["bc"]])
    column = pa.array([list(zip([10, 20, 30], values, strict=True))], arrow_type(kind))
    (record,) = native.splice([None], 0, 1, pack(pa.record_batch({"f": column}), {"f": kind}, 1), [])
    rng = random.Random(0)
    for _ in range(3000):
        damaged = bytearray(record)
        for _ in range(rng.randrange(1, 4)):
            damaged[rng.randrange(len(damaged))] = rng.choice((0, 1, 127, 255, rng.randrange(256)))
        try:
            read_record(kind, bytes(damaged), rng.choice((0, 15, 25, 1 << 62)))
        except (ValueError, UnicodeDecodeError):
            continue
