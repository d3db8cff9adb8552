"""The joiner over files: whole logs, stops and kills, features as they were, what is wrong."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from easyrec.cli import main
from easyrec.errors import ConfigError, StoreError
from easyrec.store.definitions import load_store
from easyrec.store.writer import Writer
from easyrec.stream.dialects import dialect
from easyrec.stream.joining import Joining
from easyrec.stream.sample_sql import sample_sql

sys.path.insert(0, str(Path(__file__).parent))
from events import BEGIN, definitions, write

ROOT = Path(__file__).parents[2]
NAMES = [
    "id",
    "request_id",
    "user_id",
    "item_id",
    "ts",
    "position",
    "click",
    "click_time",
    "buy",
    "buy_time",
    "correction",
]


def join(config, *, flush=True):
    """All that there is, and the counts."""
    joining = Joining(config, "ctr", until_end=True)
    try:
        joining.run()
        if flush:
            joining.flush()
        return joining.counts
    finally:
        joining.close()


def samples(folder):
    """The rows of a folder's samples, each exactly once."""
    found = pq.read_table(folder / "samples", partitioning=None).select(NAMES).sort_by("id")
    assert len(found["id"].unique()) == found.num_rows
    return found


def by_duckdb(config):
    duckdb = pytest.importorskip("duckdb", reason="needs the extra 'store'")
    with duckdb.connect() as db:
        db.execute("SET TimeZone = 'UTC'; SET threads = 1")
        return db.sql(sample_sql(config.samples[0], dialect("duckdb"))).to_arrow_table().select(NAMES).sort_by("id")


def test_samples_of_files_are_duckdb_s(tmp_path):
    total = write(tmp_path, 6000)
    config = load_store(definitions(tmp_path, batch_rows=1000))
    counts = join(config)
    found = samples(tmp_path)
    assert found.equals(by_duckdb(config).cast(found.schema))
    assert sum(counts[f"{kind}.read"] for kind in ("exposure", "click", "buy")) == total
    assert counts["exposure.duplicates"] == 120
    assert 0 < counts["buy.positives"] < counts["click.positives"] < counts["samples"] == found.num_rows == 6000
    assert not sum(counts[f"{kind}.late"] for kind in ("exposure", "click", "buy"))
    folders = sorted(path.relative_to(tmp_path / "samples").as_posix() for path in (tmp_path / "samples").glob("*/*"))
    assert folders[:2] == ["ds=20231114/hour=22", "ds=20231114/hour=23"]


def killed(folder, kills, seed, rows, batch_rows, seconds):
    """Samples after kills, and how many kills met one at work."""
    write(folder, rows, seed)
    path = os.pathsep.join([str(ROOT), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))])
    words = [
        str(Path(__file__).with_name("killed_join.py")),
        str(folder),
        str(kills),
        str(seed),
        str(batch_rows),
        str(seconds),
    ]
    env = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False, env=env)
    assert done.returncode == 0, done.stderr
    return samples(folder), int(done.stdout)


@pytest.mark.parametrize(
    ("kills", "rows", "seconds"),
    [(2, 1000, 0.01), pytest.param(20, 120_000, 0.3, marks=pytest.mark.slow)],
    ids=["few", "twenty"],
)
def test_each_event_counts_once_whenever_it_is_killed(tmp_path, kills, rows, seconds):
    found, met = killed(tmp_path, kills, kills, rows, 200, seconds)
    assert met >= kills // 2  # else most of them came too late to prove anything
    assert found.equals(by_duckdb(load_store(definitions(tmp_path))).cast(found.schema))
    assert not list((tmp_path / "samples").rglob("*.writing"))


def test_what_waits_is_gone_on_with_when_more_comes(tmp_path):
    write(tmp_path, 1000)
    whole = {kind: pq.read_table(tmp_path / f"{kind}.parquet") for kind in ("exposure", "click", "buy")}
    config = definitions(tmp_path)
    for events in (config["samples"][0]["exposures"], *config["samples"][0]["labels"]):
        events["source"]["path"] = events["source"]["path"].removesuffix(".parquet")
    config = load_store(config)
    for part in range(4):
        for kind, table in whole.items():
            times = table["ts"].cast(pa.int64()).to_numpy()
            (tmp_path / kind).mkdir(exist_ok=True)
            hour = BEGIN + part * 3_600_000_000
            some = table.filter(pa.array((times >= hour) & ((times < hour + 3_600_000_000) | (part == 3))))
            pq.write_table(some, tmp_path / kind / f"{part}.parquet")
        counts = join(config, flush=part == 3)
    found = samples(tmp_path)
    assert found.num_rows == counts["samples"] == 1000
    assert found.equals(by_duckdb(config).cast(found.schema))


def test_features_are_those_that_were_read_when_it_was_shown(tmp_path):
    write(tmp_path, 100)
    told = definitions(tmp_path)
    told["project"] = "snapshot"
    told["samples"][0]["exposures"]["features"] = "seen"
    config = load_store(told)
    writer = Writer(config, config.online.open("snapshot"))
    writer.publish("profile", [pa.record_batch({"user_id": [0, 1], "age": [30, 40]})])
    joining = Joining(config, "ctr", until_end=True)
    joining.run()
    writer.publish("profile", [pa.record_batch({"user_id": [0, 1], "age": [31, 41]})])
    joining.flush()
    joining.close()
    found = pq.read_table(tmp_path / "samples", partitioning=None)
    ages = {user: set() for user in range(5)}
    for user, age in zip(found["user_id"].to_pylist(), found["age"].to_pylist(), strict=True):
        ages[user].add(age)
    assert ages == {0: {30}, 1: {40}, 2: {None}, 3: {None}, 4: {None}}


def test_a_state_of_another_definition_is_refused(tmp_path):
    write(tmp_path, 50)
    join(load_store(definitions(tmp_path)))
    other = definitions(tmp_path, keys=["user_id", "item_id"])
    with pytest.raises(StoreError, match="is of another definition of samples 'ctr'"):
        Joining(load_store(other), "ctr")


@pytest.mark.parametrize(
    ("change", "path", "told"),
    [
        ({"keys": ["request"]}, "keys[0]", "'request' is not among the columns; did you mean 'request_id'?"),
        ({"labels.1.of": "clik"}, "labels[1] . of", "'clik' is no label before this one"),
        ({"labels.1.keys": ["position"]}, "labels[1] . keys", "'position' is no column of label 'buy'"),
        ({"labels.1.name": "item_id"}, "labels[1] . name", "a sample has a column 'item_id' already"),
        (
            {"labels.0.window": "10 minutes"},
            "labels[0] . window",
            "must be seconds, or a number with ms, s, m, h, d or w",
        ),
        ({"output": {"type": "parqet"}}, "output . type", "did you mean 'parquet'?"),
    ],
    ids=["key", "parent", "shared", "name", "window", "output"],
)
def test_what_is_wrong_with_samples_is_told(tmp_path, change, path, told):
    config = definitions(tmp_path)
    for dotted, value in change.items():
        *parts, last = dotted.split(".")
        place = config["samples"][0]
        for part in parts:
            place = place[int(part)] if part.isdecimal() else place[part]
        place[last] = value
    with pytest.raises(ConfigError) as caught:
        load_store(config)
    assert f"samples[0] . {path}" in re.sub(r"(\[\d\]) '\w+'", r"\1", str(caught.value))
    assert told in str(caught.value)


def test_the_command_line_joins_and_says_it_as_sql(tmp_path, monkeypatch, capsys):
    write(tmp_path, 500)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "store.yaml").write_text(json.dumps(definitions(tmp_path)))
    assert main(["stream", "join", "-c", "store.yaml", "ctr", "--until", "end"]) == 0
    assert "samples, 0 made again," in capsys.readouterr().out
    assert main(["stream", "join", "-c", "store.yaml", "ctr", "--until", "end", "--flush", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["samples"], told["waiting"]) == (500, 0)
    assert main(["stream", "join", "-c", "store.yaml", "cvr", "--until", "end"]) == 2
    assert "no samples are called 'cvr'; did you mean 'ctr'?; known: ctr" in capsys.readouterr().err.replace("\n", " ")
    assert main(["stream", "sql", "-c", "store.yaml", "ctr", "--dialect", "spark", "--table", "click=shop.clicks"]) == 0
    assert "FROM `shop`.`clicks` WHERE" in capsys.readouterr().out
    pytest.importorskip("duckdb", reason="needs the extra 'store'")
    assert main(["stream", "sql", "-c", "store.yaml", "ctr", "--output", "filled.parquet"]) == 0
    assert "filled.parquet: 500 rows" in capsys.readouterr().out
    assert pq.read_table("filled.parquet").sort_by("id")["buy"].equals(samples(tmp_path)["buy"])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["cvr"], "no stream view and no samples are called 'cvr'; did you mean 'ctr'?; known: ctr"),
        (["ctr", "--dialect", "sprak"], "unknown dialect 'sprak'; did you mean 'spark'?"),
        (["ctr", "--table", "clik=log"], "no events are called 'clik'; did you mean 'click'?"),
        (["ctr", "--table", "log"], "--table takes EVENTS=TABLE such as exposure=shop.log, not 'log'"),
        (["ctr", "--at", "2026-01-01"], "--at is of views, and 'ctr' are samples"),
        (["ctr", "--dialect", "spark", "--output", "x"], "--output is for what runs here: --dialect duckdb, not spark"),
    ],
    ids=["name", "dialect", "events", "table", "moment", "output"],
)
def test_what_is_wrong_with_a_wish_for_sql_is_told(tmp_path, monkeypatch, capsys, words, told):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "store.yaml").write_text(json.dumps(definitions(tmp_path)))
    assert main(["stream", "sql", "-c", "store.yaml", *words]) == 2
    assert told in " ".join(capsys.readouterr().err.split())


def test_logs_without_events_hold_up_nothing(tmp_path):
    write(tmp_path, 100)
    whole = {kind: pq.read_table(tmp_path / f"{kind}.parquet") for kind in ("exposure", "click", "buy")}
    for kind, table in whole.items():
        pq.write_table(table.slice(0, 0), tmp_path / f"{kind}.parquet")
    told = definitions(tmp_path)
    for events in (told["samples"][0]["exposures"], *told["samples"][0]["labels"]):
        events["source"]["path"] = events["source"]["path"].replace(".parquet", "*.parquet")
    config = load_store(told)
    assert join(config)["samples"] == 0
    for kind in ("exposure", "click"):  # nobody ever buys
        pq.write_table(whole[kind], tmp_path / f"{kind}_more.parquet")
    counts = join(config, flush=False)
    assert 0 < counts["samples"] < 100
    counts = join(config)
    assert (counts["samples"], counts["exposure.late"], counts["buy.positives"]) == (100, 0, 0)
