"""What views expect of their rows: against masks worked out row by row, and what becomes of a publication."""

import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from easyrec.errors import ConfigError, DataError, StoreError
from easyrec.histograms import psi
from easyrec.store.definitions import load_store
from easyrec.store.quality.checks import Checks
from easyrec.store.quality.counts import Distribution
from easyrec.store.quality.expectations import Range, Unique, Values
from easyrec.store.quality.gate import Gate
from easyrec.store.quality.rows import Rows
from easyrec.store.reader import ModelReader
from easyrec.store.registry import Registry
from easyrec.store.writer import Writer

NOW = 2_000_000_000.0


@pytest.fixture
def shop(tmp_path, monkeypatch, request):
    """`shop(expect, ...)`: a writer and a reader of a view that expects something."""
    monkeypatch.chdir(tmp_path)

    class Shop:
        def __init__(self, *expect, max_share=0.7):
            view = {
                "name": "profile",
                "entity": "user",
                "event_time": "ts",
                "fields": [
                    {"name": "age", "type": "int64"},
                    {"name": "city", "type": "string"},
                    {"name": "vector", "type": "array<float>"},
                ],
                "expect": list(expect),
                "quarantine": {"path": "quarantine", "max_share": max_share},
            }
            project = request.node.name[:70]  # stores in memory are shared by those who name one project
            self.config = load_store(
                {
                    "project": project,
                    "online": {"type": "memory"},
                    "entities": [{"name": "user", "join_id": "user_id"}],
                    "views": [view],
                    "models": [{"name": "m", "features": [{"view": "profile"}]}],
                }
            )
            self.now = NOW
            store = self.config.online.open(project)
            self.writer = Writer(self.config, store, lambda: self.now)
            self.reader = ModelReader(self.config, store, "m", lambda: self.now)
            self.checks = Checks(Path("registry.db"), project)

        def publish(self, *batches, **options):
            return self.writer.publish("profile", batches, **options)

        def ages(self, *ids):
            return self.reader.read({"user_id": list(ids)})["user_id"]["age"].to_pylist()

    return Shop


def users(*ids, ages=None, cities=None, vectors=None, ts=NOW - 60):
    count = len(ids)
    return pa.record_batch(
        {
            "user_id": list(ids),
            "age": pa.array(ages or [30] * count, pa.int64()),
            "city": pa.array(cities or ["Bonn"] * count, pa.string()),
            "vector": pa.array(vectors or [[0.5]] * count, pa.list_(pa.float32())),
            "ts": pa.array([int(ts)] * count, pa.int64()),
        }
    )


RANGE = {"type": "range", "field": "age", "min": 0, "max": 120}


def test_what_fails_is_never_read_and_is_kept_with_its_time(shop):
    made = shop(RANGE)
    made.publish(users(1, 2))
    with pytest.raises(DataError, match=r"age in 0\.\.120: 1 rows, 33\.333%; at most 0\.000%"):
        made.publish(users(1, 2, 3, ages=[31, 999, 32]))
    assert made.ages(1, 2, 3) == [30, 30, None]
    last, first = made.checks.latest("profile")
    assert (first.verdict, last.verdict, last.rows, last.at) == ("passed", "failed", 3, NOW)
    assert (last.failed[0].rows, last.failed[0].found) == (1, pytest.approx(1 / 3))
    assert Registry(Path("registry.db")).versions("p") == []  # both know the file


def test_a_share_of_rows_may_be_otherwise_and_warnings_stop_nothing(shop):
    made = shop({**RANGE, "max_share": 0.4}, {"type": "null_rate", "field": "city", "on_failure": "warn"})
    done = made.publish(users(1, 2, 3, ages=[1, 2, 999], cities=["a", None, "b"]))
    assert [result.status for result in done.checked.results] == ["passed", "warned"]
    assert done.checked.verdict == "warned"
    assert made.ages(3) == [999]


def test_rows_are_set_aside_with_their_reasons_and_the_others_are_read(shop):
    quarantine = {"on_failure": "quarantine"}
    made = shop({**RANGE, **quarantine}, {"type": "values", "field": "city", "allowed": ["Bonn"], **quarantine})
    done = made.publish(
        users(1, 2), users(3, 4, 5, ages=[-1, 7, -5], cities=["Bonn", "Ulm", "Ulm"], vectors=[[1], [2], None])
    )
    assert made.ages(1, 2, 3, 4, 5) == [30, 30, None, None, None]
    assert (done.rows, done.checked.rows, done.checked.set_aside) == (2, 5, 3)
    rows = pq.read_table(done.checked.file).to_pylist()
    assert [(row["user_id"], row["quarantine_reason"]) for row in rows] == [
        (3, "not: age in 0..120"),
        (4, "not: city is one of Bonn"),
        (5, "not: age in 0..120; not: city is one of Bonn"),
    ]
    assert rows[1]["vector"] == [2.0]


def test_where_too_many_rows_are_set_aside_nothing_is_published(shop):
    made = shop({**RANGE, "on_failure": "quarantine"}, max_share=0.3)
    with pytest.raises(DataError, match=r"rows are set aside: 1 rows, 50\.000%; at most 30\.000%"):
        made.publish(users(1, 2, ages=[1, 999]))
    assert made.ages(1) == [None]
    assert Path(made.checks.latest("profile")[0].file).exists()  # to be looked at


def test_a_bad_row_does_not_take_its_key_from_a_good_one(shop):
    unique = {"type": "unique", "on_failure": "quarantine"}
    made = shop({**RANGE, "on_failure": "quarantine"}, unique)
    done = made.publish(users(1, 1, 1, ages=[999, 7, 8]), users(1, 2, ages=[9, 10]))
    assert made.ages(1, 2) == [7, 10]
    assert done.checked.set_aside == 3


def test_an_error_of_the_rows_leaves_no_file_behind(shop):
    made = shop({**RANGE, "on_failure": "quarantine"})

    def rows():
        yield users(1, ages=[999])
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        made.writer.publish("profile", rows())
    assert list(Path("quarantine").iterdir()) == []
    assert made.checks.latest("profile") == []


def test_old_and_few_rows_are_told(shop):
    made = shop({"type": "freshness", "max_age": "2h"}, {"type": "rows", "min": 2, "max": 3})
    made.publish(users(1, 2))
    made.now = NOW + 7200
    with pytest.raises(DataError, match=r"at most 2 h old: 2\.0 h; at most 2 h"):
        made.publish(users(1, 2))
    with pytest.raises(DataError, match="2 to 3 rows: 4 rows"):
        made.publish(users(1, 2, 3, 4, ts=made.now))
    with pytest.raises(DataError, match="there is no row"):
        made.publish()


def test_distributions_are_compared_with_the_first_rows_that_passed(shop):
    made = shop(*({"type": "psi", "field": f, "min_rows": 100} for f in ("age", "city", "vector")))
    random = np.random.default_rng(0)

    def rows(mean, city):
        ages = random.normal(mean, 10, 2000).astype(int).tolist()
        return users(*range(2000), ages=ages, cities=random.choice(["Bonn", "Ulm", city], 2000).tolist())

    first = made.publish(rows(40, "Kiel"))
    assert {result.status for result in first.checked.results} == {"skipped"}
    second = made.publish(rows(40, "Kiel"))
    assert {result.status for result in second.checked.results} == {"passed"}
    with pytest.raises(DataError, match="age is distributed as before: psi") as told:
        made.publish(rows(70, "Kiel"))
    assert "city" not in str(told.value)
    with pytest.raises(DataError, match="city is distributed as before: psi"):
        made.publish(rows(40, "Rome"))
    made.publish(rows(40, "Kiel"))  # what failed is no baseline


def test_a_baseline_is_a_table_where_one_is_named(shop):
    pytest.importorskip("duckdb", reason="needs the extra 'store'")
    pq.write_table(pa.table({"age": np.arange(2000) % 50}), "baseline.parquet")
    baseline = {"type": "parquet", "path": "baseline.parquet"}
    made = shop({"type": "psi", "field": "age", "baseline": baseline})
    ids = list(range(2000))
    assert made.publish(users(*ids, ages=[i % 50 for i in ids])).checked.results[0].found < 0.05
    with pytest.raises(DataError, match="psi"):
        made.publish(users(*ids, ages=[50 + i % 50 for i in ids]))
    gate = Gate(made.config, made.config.views[0], "check", lambda: NOW)
    gate.forget_baseline()  # the table stays
    assert gate.look([users(*ids, ages=[i % 50 for i in ids])]).results[0].status == "passed"
    assert gate.make_baseline() == []


def test_a_damaged_registry_is_told(shop):
    made = shop(RANGE)
    Path("registry.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(StoreError, match=r"registry\.db"):
        made.publish(users(1))
    assert made.ages(1) == [None]


# ------------------------------------------------------------------------------------------- masks


CELLS = st.one_of(st.none(), st.integers(-5, 5))


@given(st.lists(st.one_of(st.none(), st.lists(CELLS, max_size=3)), max_size=12), st.lists(CELLS, max_size=12))
def test_masks_are_those_of_single_rows(lists, numbers):
    columns = {"l": pa.array(lists, pa.list_(pa.int64())), "n": pa.array(numbers, pa.int64())}
    bounds, allowed = {"min": -1, "max": 2}, [0, 3, "4"]
    out = lambda value: value is not None and not -1 <= value <= 2  # noqa: E731
    odd = lambda value: value is not None and value not in (0, 3, 4)  # noqa: E731
    for name, values in (("l", lists), ("n", numbers)):
        batch = pa.record_batch({name: columns[name], "id": [0] * len(values)})
        rows = [value if isinstance(value, list) else [value] for value in values]
        wanted = [[any(map(test, cells)) for cells in rows] for test in (out, odd)]
        found = [
            Rows(Range(field=name, **bounds), "id").bad(batch),
            Rows(Values(field=name, allowed=allowed), "id").bad(batch),
        ]
        assert [mask.tolist() for mask in found] == wanted


@given(st.lists(st.lists(st.integers(0, 30), max_size=15), max_size=8), st.booleans())
def test_a_key_is_bad_when_it_came_before(batches, as_texts):
    rows, seen = Rows(Unique(), "id"), set()
    for keys in batches:
        wanted = []
        for key in keys:
            wanted.append(key in seen)
            seen.add(key)
        array = pa.array([str(key) for key in keys] if as_texts else keys, pa.string() if as_texts else pa.int64())
        assert rows.bad(pa.record_batch({"id": array})).tolist() == wanted


def test_keys_may_have_several_columns():
    rows = Rows(Unique(columns=["day"]), "id")
    batch = pa.record_batch({"id": [1, 1, 1, 11], "day": [1, 11, 1, 1]})
    assert rows.bad(batch).tolist() == [False, False, True, False]


def test_a_baseline_of_many_values_is_like_all_of_them():
    random = np.random.default_rng(0)
    distribution = Distribution(None)
    for start in range(0, 1_000_000, 50_000):  # ascending, so that the first ones would be a poor sample
        distribution.add(pa.array(np.sort(random.uniform(start, start + 50_000, 50_000))))
    made = distribution.made()
    assert sum(made.counts) <= 200_000
    again = Distribution(made)
    again.add(pa.array(random.uniform(0, 1_000_000, 100_000)))
    assert again.index() < 0.01


def test_the_index_is_that_of_counts_by_hand():
    first = Distribution(None)
    first.add(pa.array(["a"] * 60 + ["b"] * 30 + [None] * 10))
    now = Distribution(first.made())
    now.add(pa.array(["a"] * 20 + ["b"] * 30 + ["c"] * 40 + [None] * 10))
    assert first.made().counts == [60, 30, 0, 10]
    assert now.index() == pytest.approx(psi(np.array([60, 30, 0, 10]), np.array([20, 30, 40, 10])))
    shares = [(60.5, 20.5), (30.5, 30.5), (0.5, 40.5), (10.5, 10.5)]
    by_hand = sum((p - q) / 102 * math.log(p / q) for p, q in shares)
    assert now.index() == pytest.approx(by_hand)


# ------------------------------------------------------------------------------------------ configs


@pytest.mark.parametrize(
    ("expect", "more", "message"),
    [
        ({"type": "range", "field": "agee", "min": 0}, {}, "has no field 'agee'"),
        ({"type": "range", "field": "city", "min": 0}, {}, "'city' is string, which has no bounds"),
        ({"type": "range", "field": "age"}, {}, "needs 'min', 'max' or both"),
        ({"type": "range", "field": "age", "min": 3, "max": 2}, {}, "'min' 3 lies above 'max' 2"),
        ({"type": "values", "field": "vector", "allowed": [1]}, {}, "values cannot be listed"),
        ({"type": "freshness", "max_age": "1h"}, {}, "the view has no event_time"),
        ({"type": "freshness", "max_age": "1h", "on_failure": "quarantine"}, {"event_time": "ts"}, "quarantine"),
        ({"type": "unique", "on_failure": "quarantine"}, {}, "say where, quarantine"),
        ({"type": "psi", "field": "secret"}, {}, "'secret', which is redacted"),
        ({"type": "nullrate", "field": "age"}, {}, "null_rate"),
    ],
)
def test_expectations_that_cannot_be_are_told(expect, more, message):
    fields = [
        {"name": "age", "type": "int64"},
        {"name": "city", "type": "string"},
        {"name": "secret", "type": "string", "redact": True},
        {"name": "vector", "type": "map<string, float>"},
    ]
    view = {"name": "v", "entity": "u", "fields": fields, "expect": [expect], **more}
    with pytest.raises(ConfigError, match=message):
        load_store({"project": "p", "entities": [{"name": "u", "join_id": "id"}], "views": [view]})


def test_checks_look_and_publish_nothing(shop):
    made = shop({**RANGE, "on_failure": "quarantine"}, {"type": "psi", "field": "age"})
    gate = Gate(made.config, made.config.views[0], "check", lambda: NOW)
    found = gate.look([users(1, 2, ages=[1, 999])])
    assert (found.rows, found.set_aside, found.results[0].rows) == (2, 0, 1)
    assert not Path("quarantine").exists()
    assert made.checks.baselines("profile") == {}
    assert gate.make_baseline() == ["age"]
    assert list(made.checks.baselines("profile")) == ["age"]
