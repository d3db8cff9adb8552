"""From an engine's logs to samples: each exposure once, with what followed it, whatever else is in the logs."""

import json
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from world import T0, World, loop

from easyrec.errors import ConfigError, DataError, RunError
from easyrec.loop import window
from easyrec.loop.config import load_loop
from easyrec.loop.joining import JOINED, LogJoiner, columns_of, store_type
from easyrec.loop.versions import Versions, held
from easyrec.loop.worker import join


def samples(folder):
    return pq.read_table(folder / "samples", partitioning=None).to_pylist()


def watermark(folder):
    return json.loads((folder / "samples" / JOINED).read_text())["watermark"] // 1000


def test_a_log_with_all_that_can_be_wrong_gives_each_sample_once(tmp_path):
    world = World(tmp_path / "logs")
    config = load_loop(loop(tmp_path, join={"lateness": "40s", "columns": {"hour": "int64"}}))
    world.pass_time(40)
    join(config, until_end=True)
    first = sorted((tmp_path / "logs").glob("exposures-*.jsonl"))[0]
    again = first.read_text().splitlines()[-3:]
    clicks = sorted((tmp_path / "logs").glob("events-*.jsonl"))[0].read_text().splitlines()
    poison = ["{", '{"event_id": "x", "time": "soon"}', "[]", '{"time": 1}', '{"event_id": null, "time": 5}', "\x00"]
    late = json.dumps(
        {"event_id": "old", "request_id": "r0", "user_id": 1, "item_id": 1, "time": T0 - 9_000_000, "features": {}}
    )
    world.write("exposures", [*again, *poison, late], "2-b")
    world.write("events", [*clicks, *poison, json.dumps({"event_id": "p", "type": "paid", "time": world.now})], "1-a")
    world.pass_time(40)
    world.pass_time(40, minutes=0.5, shuffled=True)
    world.pass_time(40)
    join(config, until_end=True)
    rows = samples(tmp_path)
    ended = watermark(tmp_path) - 60_000  # the window of clicks
    names = [row["event_id"] for row in rows]
    assert len(names) == len(set(names))
    assert len(names) > 300
    assert set(names) == {name for name, time in world.exposed if time < ended}
    assert "old" not in names
    assert {row["event_id"] for row in rows if row["click"]} == world.clicked & set(names)
    assert all(row["hour"] == row["time"] // 3_600_000 % 24 for row in rows)
    letters = (tmp_path / "state" / "dead_letters.jsonl").read_text().splitlines()
    assert len(letters) >= 2 * len(poison) - 2
    told = json.loads((tmp_path / "samples" / JOINED).read_text())
    assert told["counts"]["exposure.late"] == 1
    assert told["counts"]["exposure.duplicates"] == 3
    counts = told["counts"]
    assert counts["click.duplicates"] + counts["click.late"] == len(
        clicks
    )  # as long as they are remembered, or may follow
    assert told["backlog_bytes"] == 0


def test_types_are_those_that_are_said_that_the_model_knows_and_that_the_log_has(tmp_path):
    config = load_loop(loop(tmp_path, join={"columns": {"price": "double"}}))
    with pytest.raises(DataError, match="no exposures yet"):
        columns_of(config)
    (tmp_path / "logs").mkdir()
    line = {"event_id": "a", "user_id": "u1", "item_id": 7, "time": 1, "features": {"price": 1}}
    (tmp_path / "logs" / "exposures-1-a-1.jsonl").write_text(json.dumps(line))
    columns = columns_of(config)
    assert (columns["user_id"], columns["item_id"], columns["price"]) == ("string", "int64", "double")
    (tmp_path / "logs" / "exposures-1-a-1.jsonl").unlink()
    assert columns_of(config) == columns  # as they were told first


@pytest.mark.parametrize(
    ("arrow", "store"),
    [
        ("int64", "int64"),
        ("large_string", "string"),
        ("list<item: double>", "array<double>"),
        ("list<element: string not null>", "array<string>"),
        ("map<string, double>", None),
    ],
)
def test_types_of_a_model_are_types_of_events(arrow, store):
    assert store_type(arrow) == store


def test_exposures_of_which_nothing_is_clicked_become_samples_all_the_same(tmp_path):
    world = World(tmp_path / "logs")
    config = load_loop(loop(tmp_path, join={"idle": 0.05}))
    world.pass_time(20, clicks=False)
    joiner = LogJoiner(config)
    try:
        end = time.monotonic() + 20
        while not joiner.joining.counts["samples"] and time.monotonic() < end:
            joiner.step()
        joiner.tell()
    finally:
        joiner.close()
    assert not any(row["click"] for row in samples(tmp_path))
    assert len(samples(tmp_path)) > 50


def test_of_a_sample_that_was_made_again_the_last_one_is_learned(tmp_path):
    world = World(tmp_path / "logs")
    config = load_loop(loop(tmp_path, join={"late": "correct", "wait": "1s"}, train={"min_rows": 50}))
    world.pass_time(60)
    (path,) = (tmp_path / "logs").glob("events-2-b-*.jsonl")
    hidden = path.rename(path.with_suffix(".held"))
    join(config, until_end=True)
    hidden.rename(path)  # the clicks of one writer come after their samples
    join(config, until_end=True)
    rows = samples(tmp_path)
    assert any(row["correction"] for row in rows)
    versions = Versions(config.folder)
    due = window.window_of(config, versions)
    assert window.is_due(config, due)
    told = window.write_window(config, due, versions.at(1), "click")
    learned = [pq.read_table(versions.at(1) / name).to_pylist() for name in ("rows.parquet", "held.parquet")]
    names = [row["event_id"] for part in learned for row in part]
    assert len(names) == len(set(names)) == told["learned"] + told["held"]
    assert set(names) == {row["event_id"] for row in rows}
    clicked = {row["event_id"] for part in learned for row in part if row["click"]}
    assert clicked == {row["event_id"] for row in rows if row["click"]}
    assert len(clicked) > 20
    window.check(versions.at(1), told["digests"])
    (versions.at(1) / "rows.parquet").write_bytes(b"")
    with pytest.raises(DataError, match="is not what the version's plan says"):
        window.check(versions.at(1), told["digests"])


def test_two_processes_do_not_join(tmp_path):
    config = load_loop(loop(tmp_path))
    with (
        held(tmp_path / "state" / "join.lock", "joining"),
        pytest.raises(RunError, match="joining is done by another process"),
    ):
        join(config, until_end=True)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"join": {"windows": 1}}, r"join \. windows.*\n.*unknown key"),
        ({"join": {"labels": [{"name": "click", "window": "1m", "of": "buy"}]}}, "'buy' is no label before this one"),
        ({"train": {"every": None}}, "needs 'every', 'every_rows', or both"),
        ({"train": {"overrides": {"data.train": 1}}}, "is what the loop sets"),
        ({"publish": {"delta": False, "full_every": 3}}, "every version is published whole"),
        ({"logs": None}, "'join' needs it"),
        ({"join": {"columns": {"item_id": "double"}}}, "is a key"),
    ],
)
def test_what_is_wrong_is_told(tmp_path, changes, told):
    World(tmp_path / "logs").pass_time(3)
    with pytest.raises(ConfigError, match=told):
        join(load_loop(loop(tmp_path, **changes)), until_end=True)
