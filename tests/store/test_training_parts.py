"""Training sets in parts, of label tables, and through a generator."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from easyrec.errors import ConfigError, DataError, StoreError
from easyrec.store.definitions import load_store
from feature_generator import FeatureGenerator, offline
from feature_generator.errors import OutputError

pytest.importorskip("duckdb", reason="needs the extra 'store'")
from easyrec.store import duck
from easyrec.store import training_parts as module
from easyrec.store.point_in_time import Encoding, training_set
from easyrec.store.training_parts import training_parts

START, DAY = 1_767_225_600, 86_400
FEATURES = [
    {"type": "id", "name": "user_id", "expression": "user:user_id", "num_buckets": 100},
    {"type": "raw", "name": "age", "expression": "user:age", "default_value": "7"},
    {"type": "id", "name": "city", "expression": "user:city", "hash_bucket_size": 50},
]


def times(rng, rows, kind):
    seconds = START + rng.integers(0, 3 * DAY, rows)
    return pa.array(seconds * 1_000_000, pa.timestamp("us", "UTC")) if kind == "zoned" else pa.array(seconds)


@pytest.fixture(params=["zoned", pytest.param("seconds", marks=pytest.mark.slow)])
def folder(request, tmp_path):
    rng = np.random.default_rng(4)
    users = {"user_id": rng.integers(0, 50, 900), "ts": times(rng, 900, request.param), "age": rng.integers(0, 90, 900)}
    users["city"] = pa.array([f"c{n % 13}" for n in range(900)])
    pq.write_table(pa.table(users), tmp_path / "users.parquet")
    clicks = {"user_id": rng.integers(0, 60, 800), "shown": times(rng, 800, request.param)}
    clicks |= {"click": rng.integers(0, 2, 800), "position": np.arange(800), "noise": rng.random(800)}
    pq.write_table(pa.table(clicks), tmp_path / "clicks.parquet")
    return tmp_path


def project(folder, ttl="6h", **label):
    clicks = {"source": {"type": "parquet", "path": str(folder / "clicks.parquet")}, "event_time": "shown"}
    view = {"name": "users", "entity": "user", "source": {"type": "parquet", "path": str(folder / "users.parquet")}}
    fields = [{"name": "age", "type": "int64"}, {"name": "city", "type": "string"}]
    return load_store(
        {
            "project": "p",
            "entities": [{"name": "user", "join_id": "user_id"}],
            "views": [{**view, "event_time": "ts", "ttl": ttl, "fields": fields}],
            "labels": [
                {
                    **clicks,
                    "name": "clicks",
                    "join_ids": ["user_id"],
                    "labels": ["click"],
                    "keep": ["position"],
                    **label,
                }
            ],
            "models": [{"name": "m", "features": [{"view": "users"}], "label": "clicks"}],
        }
    )


def rows_of(folder):
    files = sorted(folder.glob("ds=*/*.parquet"))
    return pa.concat_tables([pq.read_table(file, partitioning=None) for file in files])


def test_a_label_table_is_a_spine_of_its_columns_alone(folder):
    config = project(folder)
    made = training_set(config, "m", config.label("clicks"))
    assert made.columns == ["user_id", "shown", "click", "position", "age", "city"]
    assert made.table["position"].to_pylist() == list(range(800))
    assert made.found == {"users": 800 - made.table["age"].null_count}
    with pytest.raises(DataError, match="column 'clik': label table 'clicks' has no such column; did you mean 'click'"):
        training_set(config, "m", project(folder, labels=["clik"]).label("clicks"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "users"}, "a view is called 'users' too"),
        ({"name": "clik"}, "did you mean 'clik'?"),
        ({"labels": []}, "must have at least 1 item"),
    ],
)
def test_a_label_table_that_cannot_be_meant_is_told(folder, change, message):
    with pytest.raises(ConfigError, match=message):
        project(folder, **change)


@pytest.mark.parametrize(
    ("unit", "parts"), [("day", 3), ("month", 1), pytest.param("hour", 72, marks=pytest.mark.slow)]
)
def test_parts_together_are_the_whole(folder, unit, parts):
    config = project(folder)
    label = config.label("clicks")
    whole = training_set(config, "m", label)
    told = []
    made = training_parts(
        config, "m", label, folder / "out", unit=unit, progress=lambda rows, share: told.append((rows, share))
    )
    assert len(made.parts) == parts
    assert made.rows == 800
    assert made.found == whole.found
    assert told[-1] == (800, 1.0)
    assert rows_of(folder / "out").sort_by("position").equals(whole.table)
    assert json.loads((folder / "out" / "_SUCCESS").read_text())["rows"] == 800
    first = pq.read_table(folder / "out" / made.parts[0].name / "0.parquet", partitioning=None)
    assert made.parts[0].name == {"day": "ds=20260101", "month": "ds=202601", "hour": "ds=2026010100"}[unit]
    assert first["position"].to_pylist() == sorted(first["position"].to_pylist())


def test_a_run_that_was_stopped_goes_on(folder, monkeypatch):
    config = project(folder)
    label, written = config.label("clicks"), []
    whole = training_set(config, "m", label).table
    write = module.Joiner.write

    def stopped(self, output, *more):
        written.append(output.parent.name)
        if len(written) == 2:
            raise KeyboardInterrupt
        write(self, output, *more)

    monkeypatch.setattr(module.Joiner, "write", stopped)
    with pytest.raises(KeyboardInterrupt):
        training_parts(config, "m", label, folder / "out")
    assert not (folder / "out" / "_SUCCESS").exists()
    made = training_parts(config, "m", label, folder / "out")
    assert written == ["ds=20260101", "ds=20260102", "ds=20260102", "ds=20260103"]
    assert [part.kept for part in made.parts] == [True, False, False]
    assert rows_of(folder / "out").sort_by("position").equals(whole)


def test_a_part_that_is_broken_is_made_again(folder):
    config = project(folder)
    training_parts(config, "m", config.label("clicks"), folder / "out")
    before = rows_of(folder / "out")
    (folder / "out" / "ds=20260102" / "0.parquet").write_bytes(b"half")
    made = training_parts(config, "m", config.label("clicks"), folder / "out")
    assert [part.kept for part in made.parts] == [True, False, True]
    assert rows_of(folder / "out").equals(before)


def test_a_folder_of_other_work_is_refused(folder):
    config = project(folder)
    label = config.label("clicks")
    training_parts(config, "m", label, folder / "out")
    with pytest.raises(StoreError, match="holds a training set of other definitions: take another folder"):
        training_parts(project(folder, ttl="1h"), "m", label, folder / "out")
    with pytest.raises(StoreError, match="other unit"):
        training_parts(config, "m", label, folder / "out", unit="hour")
    with pytest.raises(StoreError, match="holds something else"):
        training_parts(config, "m", label, folder)
    with pytest.raises(StoreError, match="is called 'click' already"):
        training_parts(config, "m", label, folder / "new", column="click")


def test_features_are_those_of_the_joined_table_bit_for_bit(folder):
    config, generator = project(folder), FeatureGenerator.load({"features": FEATURES})
    label, encoding = config.label("clicks"), Encoding(generator, ("click", "position"))
    training_set(config, "m", label, folder / "joined.parquet")
    offline.run(generator, folder / "joined.parquet", folder / "expected.parquet", reserve=["click", "position"])
    expected = pq.read_table(folder / "expected.parquet")
    made = training_set(config, "m", label, folder / "encoded.parquet", encoding=encoding)
    assert made.rows == 800
    found = pq.read_table(folder / "encoded.parquet")
    assert found.equals(expected)
    assert found.schema.equals(expected.schema, check_metadata=True)  # it says which generator made it
    training_parts(config, "m", label, folder / "parts", encoding=encoding)
    assert rows_of(folder / "parts").sort_by("position").equals(expected)


def test_how_far_it_is_is_told(folder, monkeypatch):
    monkeypatch.setattr(duck, "WATCHED_SECONDS", 0.001)
    config, told = project(folder), []
    training_set(config, "m", config.label("clicks"), folder / "x.parquet", progress=lambda *done: told.append(done))
    assert told
    assert all(0 <= share <= 1 and rows in (0, 800) for rows, share in told)


def test_an_empty_spine_gives_empty_features(folder):
    config, generator = project(folder), FeatureGenerator.load({"features": FEATURES})
    none = pq.read_table(folder / "clicks.parquet").slice(0, 0)
    training_set(
        config, "m", none, folder / "none.parquet", event_time="shown", encoding=Encoding(generator, ("click",))
    )
    assert pq.read_table(folder / "none.parquet").num_rows == 0
    assert training_parts(config, "m", none, folder / "no", event_time="shown").parts == []


def test_a_file_that_is_there_is_kept_where_that_is_wanted(folder):
    config = project(folder)
    training_set(config, "m", config.label("clicks"), folder / "x.parquet")
    with pytest.raises(OutputError, match="is there already"):
        training_set(config, "m", config.label("clicks"), folder / "x.parquet", overwrite=False)
