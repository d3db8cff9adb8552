"""Views made of other rows, against the same said plainly: a loop over all rows for each key and moment."""

import datetime
import math
from collections import Counter, defaultdict

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from easyrec.errors import ConfigError, DataError, StoreError
from easyrec.store.definitions import load_store

pytest.importorskip("duckdb", reason="needs the extra 'store'")
from easyrec.store.build import build, newest_rows
from easyrec.store.point_in_time import training_set

HOUR, START = 3600, 1_767_225_600
SPANS = {"2h": 2, "5h": 5}
FEATURES = [
    {"type": "count", "name": "shown", "over": ["2h", "5h"]},
    {"type": "count", "name": "clicked", "over": "5h", "where": {"click": True, "cate": ["a", "b"]}},
    *({"type": kind, "name": kind, "of": "price", "over": "5h"} for kind in ("sum", "mean", "min", "max", "std")),
    {"type": "rate", "name": "rate", "of": "click", "over": "5h"},
    {"type": "counts", "name": "cates", "of": "cate", "over": "5h", "top": 2},
    {"type": "target_encoding", "name": "encoded", "of": "click", "over": "5h", "weight": 2},
    {"type": "ratio", "name": "ratio", "of": "clicked", "by": "shown_5h", "weight": 4, "prior": 0.25},
    {"type": "rank", "name": "rank", "of": "max"},
]
TYPES = {
    **dict.fromkeys(["shown_2h", "shown_5h", "clicked", "rank"], "int64"),
    **dict.fromkeys(["sum", "mean", "min", "max", "std", "rate", "encoded", "ratio"], "double"),
    "cates": "map<string, int64>",
}


def project(folder, transform=None, fields=TYPES, **more):
    view = {
        "name": "items",
        "entity": "item",
        "source": {"type": "parquet", "path": str(folder / "built" / "items")},
        "event_time": "at",
        "fields": [{"name": name, "type": kind} for name, kind in fields.items()],
        "transform": transform or {"type": "windows", "input": "clicks", "every": "1h", "features": FEATURES},
        **more,
    }
    if view["event_time"] is None:
        del view["event_time"]
    clicks = {"type": "parquet", "path": str(folder / "clicks.parquet")}
    labels = {"name": "clicks", "source": clicks, "event_time": "ts", "created_time": "known"}
    return load_store(
        {
            "project": "p",
            "entities": [{"name": "item", "join_id": "item_id"}],
            "views": [view],
            "labels": [{**labels, "join_ids": ["item_id"], "labels": ["click"]}],
            "models": [{"name": "m", "features": [{"view": "items"}], "label": "clicks"}],
        }
    )


def write(folder, rows):
    """Rows of (item, event second, known second, price, click, cate)."""
    items, events, known, prices, clicks, cates = zip(*rows, strict=True) if rows else [()] * 6
    zoned = pa.timestamp("us", "UTC")
    table = {
        "item_id": pa.array(items, pa.int64()),
        "ts": pa.array([(START + one) * 1_000_000 for one in events], zoned),
        "known": pa.array([(START + one) * 1_000_000 for one in known], zoned),
        "price": pa.array(prices, pa.int64()),
        "click": pa.array(clicks, pa.bool_()),
        "cate": pa.array(cates, pa.string()),
    }
    pq.write_table(pa.table(table), folder / "clicks.parquet")


def built(folder, config=None, **options):
    """Rows by (key, hours since the start)."""
    config = config or project(folder)
    build(config, "items", **options)
    rows = pq.read_table(config.view("items").source.path).to_pylist()
    start = datetime.datetime.fromtimestamp(START, datetime.timezone.utc)
    return {(row.pop("item_id"), (row.pop("at") - start) // datetime.timedelta(hours=1)): row for row in rows}


def plain(rows):
    """The rule: what is known before a moment and lies in the span before it."""
    end = max((max(event, known) // HOUR for _, event, known, *_ in rows), default=0) + 1
    found = {}
    for hour in range(-10, end + 1):
        keys = defaultdict(list)
        for row in rows:
            item, event, known, *_ = row
            if max(event, known) < hour * HOUR and event >= (hour - 6) // 1 * HOUR:
                keys[item].append(row)  # one step more than the longest span: the last row says that nothing is left
        inside = {item: [row for row in own if row[1] >= (hour - 5) * HOUR] for item, own in keys.items()}
        labels = [row[4] for own in inside.values() for row in own if row[4] is not None]
        prior = sum(labels) / len(labels) if labels else None
        for item, own in inside.items():
            prices = [row[3] for row in own if row[3] is not None]
            clicks = [row[4] for row in own if row[4] is not None]
            clicked = sum(row[4] is True and row[5] in ("a", "b") for row in own)
            cates = Counter(row[5] for row in own if row[5] is not None)
            mean = sum(prices) / len(prices) if prices else None
            found[item, hour] = {
                "shown_2h": sum(row[1] >= (hour - 2) * HOUR for row in own),
                "shown_5h": len(own),
                "clicked": clicked,
                "sum": sum(prices),
                "mean": mean,
                "min": min(prices, default=None),
                "max": max(prices, default=None),
                "std": math.sqrt(sum((p - mean) ** 2 for p in prices) / len(prices)) if prices else None,
                "rate": sum(clicks) / len(clicks) if clicks else None,
                "cates": sorted(cates.items(), key=lambda one: (-one[1], one[0]))[:2],
                "encoded": None if prior is None else (sum(clicks) + 2 * prior) / (len(clicks) + 2),
                "ratio": (clicked + 1) / (len(own) + 4),
            }
    for (_, hour), row in found.items():
        best = [other["max"] for (_, at), other in found.items() if at == hour and other["max"] is not None]
        row["rank"] = None if row["max"] is None else 1 + sum(one > row["max"] for one in best)
    return found


def same(found, expected):
    assert found.keys() == expected.keys()
    for place, row in expected.items():
        for name, value in row.items():
            got = found[place][name]
            if isinstance(value, float) and got is not None:
                assert got == pytest.approx(value, abs=1e-9), (place, name)
            else:
                assert (got or []) == value if name == "cates" else got == value, (place, name)


EVENTS = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.integers(-3, 40).map(lambda half: half * HOUR // 2),
        st.sampled_from([-HOUR, 0, 0, 1, HOUR, 4 * HOUR, 9 * HOUR]),
        st.one_of(st.none(), st.integers(0, 9)),
        st.one_of(st.none(), st.booleans()),
        st.sampled_from(["a", "b", "c", None]),
    ).map(lambda row: (row[0], row[1], row[1] + row[2], *row[3:])),
    max_size=14,
)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(EVENTS)
def test_statistics_are_those_of_the_rows_known_before(tmp_path, rows):
    write(tmp_path, rows)
    same(built(tmp_path), plain(rows))


ROWS = [(1, 0, 0, 5, True, "a"), (1, HOUR, HOUR, 7, False, "b"), (2, 2 * HOUR, 2 * HOUR, 1, True, "a")]


@pytest.mark.parametrize(
    "planted",
    [(1, 4 * HOUR, 4 * HOUR, 100, True, "z"), (1, HOUR, 4 * HOUR, 100, True, "z"), (3, 4 * HOUR, 0, 100, True, "z")],
    ids=["later", "known-later", "another-key"],
)
def test_a_row_of_the_future_changes_nothing_before_it(tmp_path, planted):
    until = datetime.datetime.fromtimestamp(START + 4 * HOUR, datetime.timezone.utc)
    write(tmp_path, ROWS)
    before = built(tmp_path, until=until)
    write(tmp_path, [planted, *ROWS])
    assert built(tmp_path, until=until) == before
    assert max(at for _, at in before) == 4


def test_the_label_of_a_row_is_not_in_its_own_features(tmp_path):
    write(tmp_path, [(1, hour * HOUR, hour * HOUR, 1, True, "a") for hour in range(3)])
    config = project(tmp_path)
    build(config, "items")
    found = training_set(config, "m", config.label("clicks")).table
    assert found["click"].to_pylist() == [True] * 3
    assert found["shown_5h"].to_pylist() == [None, 1, 2]
    assert found["rate"].to_pylist() == [None, 1.0, 1.0]


@pytest.mark.parametrize("name", ["0.parquet", "deep/other.parquet"])
@pytest.mark.parametrize("whole", [True, False], ids=["parquet", "broken"])
def test_what_was_not_built_is_not_replaced(tmp_path, name, whole):
    write(tmp_path, ROWS)
    other = tmp_path / "built" / "items" / name
    other.parent.mkdir(parents=True)
    if whole:
        pq.write_table(pa.table({"x": [1]}), other)
    else:
        other.write_bytes(b"no parquet file")
    before = other.read_bytes()
    with pytest.raises(StoreError, match="was not built of view 'items', and would be replaced: name another path"):
        build(project(tmp_path), "items")
    assert other.read_bytes() == before


def test_a_build_that_fails_leaves_the_former_rows(tmp_path):
    write(tmp_path, ROWS)
    build(sql(tmp_path, "SELECT item_id, 1 AS n FROM clicks"), "items")
    before = pq.read_table(tmp_path / "built" / "items")
    with pytest.raises(DataError, match="cannot be made"):
        build(sql(tmp_path, "SELECT item_id, CAST(cate AS INT) AS n FROM clicks"), "items")
    assert pq.read_table(tmp_path / "built" / "items").equals(before)
    assert [path.name for path in (tmp_path / "built").iterdir()] == ["items"]


def test_labels_that_are_waited_for_count_later(tmp_path):
    write(tmp_path, ROWS)
    transform = {"type": "windows", "input": "clicks", "every": "1h", "delay": "2h", "features": FEATURES}
    late = built(tmp_path, project(tmp_path, transform))
    assert min(at for _, at in late) == 3
    assert late[1, 3]["shown_5h"] == 1


def test_statistics_end_where_they_are_told_to(tmp_path):
    write(tmp_path, ROWS)
    assert max(at for _, at in built(tmp_path)) == 3
    until = datetime.datetime.fromtimestamp(START + 2 * HOUR, datetime.timezone.utc)
    assert max(at for _, at in built(tmp_path, until=until)) == 2
    later = datetime.datetime.fromtimestamp(START + 9 * HOUR, datetime.timezone.utc).replace(tzinfo=None)
    assert max(at for _, at in built(tmp_path, until=later)) == 8


def test_the_last_row_of_each_key_is_published(tmp_path):
    write(tmp_path, ROWS)
    config = project(tmp_path)
    build(config, "items")
    rows = pa.Table.from_batches(newest_rows(config, "items")).to_pylist()
    assert {row["item_id"]: row["shown_5h"] for row in rows} == {1: 2, 2: 1}


def test_lengths_and_ratios_stand_beside_the_rows(tmp_path):
    texts = {
        "item_id": [1, 2],
        "title": ["zwölf  rote Äpfel ", None],
        "tags": [["a", "b"], []],
        "x": [1, 3],
        "y": [2, 0],
    }
    texts["kv"] = pa.array([[("a", 1)], None], pa.map_(pa.string(), pa.int64()))
    pq.write_table(pa.table(texts), tmp_path / "titles.parquet")
    lengths = {"n": "characters", "b": "bytes", "w": "words"}
    features = [{"type": "length", "name": name, "of": "title", "unit": unit} for name, unit in lengths.items()]
    features += [
        {"type": "length", "name": name, "of": of, "unit": "items"} for name, of in (("t", "tags"), ("m", "kv"))
    ]
    features += [{"type": "ratio", "name": "q", "of": "x", "by": "y"}]
    given = {"type": "parquet", "path": str(tmp_path / "titles.parquet")}
    fields = {**dict.fromkeys("nbwtm", "int64"), "q": "double", "x": "int32"}
    config = project(tmp_path, {"type": "rows", "input": given, "features": features}, fields, event_time=None)
    assert build(config, "items").rows == 2
    found = pq.read_table(tmp_path / "built" / "items").select(list(fields)).to_pylist()
    assert found == [
        {"n": 18, "b": 20, "w": 3, "t": 2, "m": 1, "q": 0.5, "x": 1},
        {"n": None, "b": None, "w": None, "t": 0, "m": None, "q": None, "x": 3},
    ]


def sql(folder, query, **more):
    transform = {"type": "sql", "query": query, "inputs": {"clicks": "clicks"}, **more}
    return project(folder, transform, {"n": "int64"}, event_time=None)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT item_id, count(*) AS n FROM clicks GROUP BY item_id",
        "WITH c AS (SELECT * FROM clicks) SELECT item_id, count(*) n FROM c GROUP BY ALL -- of all\n;",
        "SELECT item_id, (SELECT count(*) FROM clicks i WHERE i.item_id = o.item_id) n FROM (SELECT DISTINCT item_id FROM clicks) o",
    ],
    ids=["plain", "with", "inner"],
)
def test_a_query_makes_a_view(tmp_path, query):
    write(tmp_path, ROWS)
    config = sql(tmp_path, query)
    build(config, "items")
    rows = pq.read_table(config.view("items").source.path).to_pylist()
    assert sorted((row["item_id"], row["n"]) for row in rows) == [(1, 2), (2, 1)]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("SELECT 1 item_id, 2 n FROM read_text('/etc/hostname')", r"calls read_text\(\), which may read files"),
        ("SELECT 1 item_id, 2 n FROM '/etc/hostname'", "reads '/etc/hostname', but its inputs are: clicks"),
        ("SELECT 1 item_id, (SELECT count(*) FROM glob('/*')) n", r"calls glob\(\)"),
        ("SELECT 1 item_id, current_setting('home_directory') n", r"calls current_setting\(\)"),
        ("SELECT 1 item_id, 2 n FROM information_schema.tables", "reads 'tables'"),
        ("SELECT 1 item_id, 2 n FROM query('FROM clicks')", r"calls query\(\)"),
        ("SELECT 1 item_id, 2 n FROM folder", "reads 'folder'"),  # a variable of this program
        ("SELECT 1 item_id, 2 n) TO 'x'; --", "is no SELECT that duckdb takes"),
        ("SELECT 1; SELECT 2", "must be one statement"),
        ("COPY clicks TO 'x'", "is no SELECT that duckdb takes"),
        ("DESCRIBE clicks", "describes tables"),
        ("FROM clik", "reads 'clik'; did you mean 'clicks'?"),
    ],
)
def test_a_query_reads_its_inputs_alone(tmp_path, query, message):
    write(tmp_path, ROWS)
    with pytest.raises(ConfigError, match=message):
        build(sql(tmp_path, query), "items")
    assert not (tmp_path / "built").exists()


def test_a_function_that_is_allowed_may_be_called(tmp_path):
    write(tmp_path, ROWS)
    (tmp_path / "more.csv").write_text("item_id,n\n7,8\n")
    query = f"SELECT * FROM read_csv('{tmp_path}/more.csv')"
    build(sql(tmp_path, query, allow=["read_csv"]), "items")
    assert pq.read_table(tmp_path / "built" / "items").to_pylist() == [{"item_id": 7, "n": 8}]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("SELECT item_id, price AS m FROM clicks", "what is built for view 'items' has no such column"),
        ("SELECT item_id, 'x' AS n FROM clicks", "Could not convert string 'x' to INT64"),
        ("SELECT item_id, prise AS n FROM clicks", "view 'items' cannot be built"),
    ],
    ids=["field", "type", "column"],
)
def test_what_a_query_gives_must_fit_the_fields(tmp_path, query, message):
    write(tmp_path, ROWS)
    with pytest.raises(DataError, match=message):
        build(sql(tmp_path, query), "items")


def windows(*features, **more):
    return {"type": "windows", "input": "clicks", "every": "1h", "features": list(features), **more}


COUNT = {"type": "count", "name": "n", "over": "2h"}


@pytest.mark.parametrize(
    ("transform", "more", "message"),
    [
        (windows({**COUNT, "over": "90m"}), {}, "'n' is over 5400 s, which is no multiple of every: 3600 s"),
        (windows(COUNT, COUNT), {}, "two features are called 'n'"),
        (windows(COUNT, {"type": "rank", "name": "r", "of": "m"}), {}, "'m' is no feature before it"),
        (windows({"type": "sum", "name": "n", "over": "1h"}), {}, "sum is of a column: name it"),
        (windows({**COUNT, "name": "m"}), {}, "no feature is called like it"),
        (windows(COUNT), {"event_time": None}, "statistics change with time: name the column of times"),
        (windows(COUNT, input="click"), {}, "reads 'click', which is no view or label table; did you mean 'clicks'"),
        (windows(COUNT, input="items"), {}, "view 'items' reads itself: items -> items"),
        (windows(COUNT), {"source": {"type": "hive", "table": "a.b"}}, "says where what is built is written"),
        ({"type": "window"}, {}, "did you mean 'windows'"),
    ],
)
def test_a_transform_that_cannot_work_is_told(tmp_path, transform, more, message):
    with pytest.raises(ConfigError, match=message):
        project(tmp_path, transform, {"n": "int64"}, **more)
