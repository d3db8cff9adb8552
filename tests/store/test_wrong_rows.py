"""Rows that cannot be meant: refused with file, row and column, before anything of them is read or trained on."""

import datetime
import json
import resource
import signal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from easyrec.cli import main
from easyrec.errors import ConfigError, DataError, EasyRecError
from easyrec.store.build import build
from easyrec.store.definitions import load_store
from easyrec.store.point_in_time import training_set

NOW = 1_767_225_600
STORE = """\
project: shop
online: {type: sqlite, path: online.db}
entities: [{name: user, join_id: user_id}]
views:
  - name: profile
    entity: user
    source: {type: parquet, path: rows.parquet}
    event_time: at
    fields: [{name: age, type: int64}, {name: v, type: "vector<2>"}]
models: [{name: m, features: [{view: profile}]}]
"""
ROWS = {
    "user_id": pa.array(range(1, 13)),
    "age": pa.array(range(20, 32)),
    "v": pa.array([[1.0, 2.0]] * 12),
    "at": pa.array([NOW] * 12),
}


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "store.yaml").write_text(STORE)
    pq.write_table(pa.table(ROWS), "rows.parquet", row_group_size=5)
    return tmp_path


def column(values, kind=None):
    return pa.array([*values, *[values[0]] * (12 - len(values))], kind)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"user_id": column([1, 2, 3, 4, 5, 6, 7, None])}, "rows.parquet, row 7, column 'user_id': an id is null"),
        ({"user_id": column([1.0])}, "rows.parquet, column 'user_id': ids are texts or whole numbers"),
        ({"age": column(["1"] * 8 + ["x"])}, "rows.parquet, row 8, column 'age': holds string, which is no int64"),
        ({"v": column([[1.0, 2.0]] * 6 + [[1.0, None]])}, "row 6, column 'v': a number of a vector is null"),
        (
            {"at": column([NOW] * 10 + [NOW * 1000])},
            "row 10, column 'at': 1767225600000 seconds since 1970 lie outside",
        ),
        ({"at": column([NOW * 1000])}, "these are milliseconds, divide by 1,000"),
        ({"at": column([NOW * 1_000_000])}, "these are microseconds, divide by 1,000,000"),
        ({"age": None, "Age": ROWS["age"]}, "did you mean 'Age'?"),
    ],
    ids=["null-id", "float-id", "text", "vector", "one-ms", "ms", "us", "renamed"],
)
def test_a_row_that_cannot_be_published_is_told_with_its_place(here, capsys, change, message):
    rows = {name: values for name, values in {**ROWS, **change}.items() if values is not None}
    pq.write_table(pa.table(rows), "rows.parquet", row_group_size=5)
    assert main(["store", "publish", "-c", "store.yaml", "profile", "--input", "rows.parquet"]) == 3
    assert message in capsys.readouterr().err
    assert main(["store", "read", "-c", "store.yaml", "m", "user_id=1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["age"] is None  # nothing was switched to


def test_a_file_with_two_columns_of_a_name_is_refused(here, capsys):
    table = pa.Table.from_arrays([*ROWS.values(), ROWS["age"]], [*ROWS, "age"])
    pq.write_table(table, "rows.parquet")
    assert main(["store", "publish", "-c", "store.yaml", "profile", "--input", "rows.parquet"]) == 3
    assert "rows.parquet, column 'age': the file has several columns of this name" in capsys.readouterr().err


def test_no_rows_take_the_place_of_rows_only_where_that_is_said(here, capsys):
    publish = ["store", "publish", "-c", "store.yaml", "profile", "--input"]
    pq.write_table(pa.table(ROWS).slice(0, 0), "none.parquet")
    assert main([*publish, "rows.parquet"]) == 0
    assert main([*publish, "none.parquet"]) == 3
    assert "none.parquet: holds no rows" in capsys.readouterr().err
    assert main([*publish, "none.parquet", "--empty"]) == 0


def test_times_that_are_ahead_are_told(here, capsys):
    ahead = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=30)
    pq.write_table(pa.table({**ROWS, "at": pa.array([ahead] * 12)}), "rows.parquet")
    assert main(["store", "publish", "-c", "store.yaml", "profile", "--input", "rows.parquet"]) == 0
    assert "up to 30.0 h ahead of this machine's clock" in capsys.readouterr().out


def spine(**change):
    return pa.table({"user_id": [1, 2], "event_time": [NOW + 5, NOW + 5]} | change)


@pytest.mark.parametrize(
    ("rows", "given", "message"),
    [
        ({}, {"event_time": [NOW * 1000] * 2}, "the spine: 1767225600000 seconds since 1970"),
        ({}, {"user_id": [1.0, 2.0]}, "the spine: ids are texts or whole numbers, but these are DOUBLE"),
        ({"at": column([NOW * 1000])}, {}, "view 'profile': 1767225600000 seconds since 1970"),
        ({"user_id": column([1.0])}, {}, "view 'profile': ids are texts or whole numbers"),
        ({"age": column(["x"])}, {}, "rows.parquet: view 'profile': a value does not fit the type of its field"),
        ({"age": column([1.5])}, {}, "field age: 1.5 is no BIGINT"),
        ({"v": column([[1.0, 2.0, 3.0]])}, {}, "a value does not fit the type of its field"),
    ],
    ids=["spine-ms", "spine-ids", "view-ms", "view-ids", "text", "fraction", "vector"],
)
def test_a_training_set_is_not_made_of_what_would_not_be_served(here, rows, given, message):
    pq.write_table(pa.table({**ROWS, **rows}), "rows.parquet")
    with pytest.raises(DataError) as error:
        training_set(load_store("store.yaml"), "m", spine(**given))
    assert message in str(error.value)


def test_columns_of_a_training_set_have_the_types_of_the_fields(here):
    rows = {**ROWS, "age": column([20.0], pa.float64()), "v": column([[0.1, 2.0]], pa.list_(pa.float64()))}
    pq.write_table(pa.table(rows), "rows.parquet")
    made = training_set(load_store("store.yaml"), "m", spine()).table
    assert made["age"].type == pa.int64()
    assert made["v"].type == pa.list_(pa.float32(), 2)


@pytest.mark.parametrize(("memory", "kind"), [("8x", ConfigError), ("1KB", EasyRecError)])
def test_a_bound_of_memory_that_cannot_be_meant_is_told(here, memory, kind):
    with pytest.raises(kind, match="--memory"):
        training_set(load_store("store.yaml"), "m", spine(), memory=memory)


def test_what_others_put_where_a_view_is_built_stays_there(here):
    transform = {"type": "rows", "input": {"type": "parquet", "path": "rows.parquet"}}
    transform["features"] = [{"type": "ratio", "name": "r", "of": "age", "by": "at"}]
    view = {"name": "made", "entity": "user", "transform": transform, "fields": [{"name": "r", "type": "int64"}]}
    data = {"project": "shop", "entities": [{"name": "user", "join_id": "user_id"}]}
    config = load_store({**data, "views": [{**view, "source": {"type": "parquet", "path": "built"}}]})
    with pytest.raises(ConfigError, match="'r' of view 'made' is int64, but what is built for it is double"):
        build(config, "made")
    (here / "built").mkdir()
    (here / "built" / "mine.txt").write_text("precious")
    with pytest.raises(EasyRecError, match=r"built/mine.txt was not built of view 'made'"):
        build(load_store({**data, "views": [{**view, "fields": [{"name": "r", "type": "double"}], "source": {"type": "parquet", "path": "built"}}]}), "made")  # fmt: skip
    assert (here / "built" / "mine.txt").read_text() == "precious"


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="needs limits of files")
def test_a_full_disk_leaves_no_training_set(here, capsys):
    pq.write_table(pa.table({"user_id": range(50_000), "event_time": [NOW + 5] * 50_000}), "spine.parquet")
    words = ["store", "training-set", "-c", "store.yaml", "m", "--spine", "spine.parquet", "--output", "train.parquet"]
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        code = main(words)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert code == 1
    assert capsys.readouterr().err.strip() == "cannot write train.parquet: File too large"
    assert not list(here.glob("*train*"))
    assert main(words) == 0
