"""`easyrec queue`, and `easyrec fg run` with a queue, from the command line."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from easyrec.cli import main, tools
from easyrec.data.feed import source_of
from easyrec.data.queues import queue_config

ROOT = Path(__file__).parents[1]
CONFIG = """\
features:
  - {type: id, name: user_id, expression: "user:user_id", hash_bucket_size: 100, embedding_dim: 4}
  - {type: id, name: tags, expression: "item:tags", vocab_list: [a, b], embedding_dim: 4}
  - {type: raw, name: price, expression: "item:price"}
"""
RUN = ["fg", "run", "-c", "tiny.yaml", "--input", "rows.parquet", "--reserve", "click"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The working folder: features, and rows in six row groups."""
    rows = {
        "user_id": np.arange(600) % 30,
        "tags": [["a", "b", "c"][: n % 4] for n in range(600)],
        "price": (np.arange(600) / 10).astype(np.float32),
        "click": np.arange(600) % 2,
    }
    pd.DataFrame(rows).to_parquet(tmp_path / "rows.parquet", row_group_size=100)
    (tmp_path / "tiny.yaml").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def told(explained):
    return explained(*(["queue", tool] for tool in tools("queue")))


@pytest.mark.parametrize("tool", sorted(tools("queue")))
def test_every_tool_explains_itself_without_torch(told, tool):
    code, text, loaded = told[f"queue {tool}"]
    assert (code, loaded) == (0, [])
    assert f"usage: easyrec queue {tool}" in text


def test_features_in_parts_are_those_in_one_file(here, capfd):
    assert main([*RUN, "--output", "whole.parquet"]) == 0
    assert main([*RUN, "--output", "parts", "--queue", "work", "--slice-rows", "250"]) == 0
    out, err = capfd.readouterr()
    assert out.splitlines()[-1] == "parts"
    assert "3 slices with 600 rows are there, 3 of them done here" in err
    assert sorted(path.name for path in (here / "parts").iterdir()) == [
        "00000.parquet",
        "00001.parquet",
        "00002.parquet",
        "_JOB.json",
        "_SUCCESS",
    ]
    whole, parts = (
        pq.read_table("whole.parquet"),
        [pq.read_table(path) for path in sorted(Path("parts").glob("*.parquet"))],
    )
    assert pa.concat_tables(parts).equals(whole)
    assert all(part.schema.metadata == whole.schema.metadata for part in parts)
    assert source_of("parts", []).open().num_rows == 600  # what training reads
    assert json.loads(Path("parts/_SUCCESS").read_text())["rows"] == 600


def test_a_second_start_does_nothing_and_other_features_are_other_work(here, capfd):
    shared = ["--output", "parts", "--queue", "work"]
    assert main([*RUN, *shared]) == main([*RUN, *shared]) == 0
    assert "0 of them done here" in capfd.readouterr().err
    (here / "tiny.yaml").write_text(CONFIG.replace("100", "50"))
    assert main([*RUN, *shared]) == 1
    assert "parts holds parts of other work (features differ): name a new folder" in capfd.readouterr().err


def test_bad_rows_are_named_after_the_others_are_done_and_the_status_shows_them(here, capsys):
    rows = pd.read_parquet("rows.parquet")
    rows["price"] = rows["price"].astype(str)
    rows.loc[350, "price"] = "cheap"
    rows.to_parquet("rows.parquet", row_group_size=100)
    shared = ["--output", "parts", "--queue", "sqlite:q.db", "--slice-rows", "100", "--attempts", "2"]
    assert main([*RUN, *shared]) == 1
    err = capsys.readouterr().err
    assert "1 of 6 slices failed, the others are done:\n  00003, tried 2 times: rows.parquet, row group 3: " in err
    assert "row 350" in err
    assert main(["queue", "status", "sqlite:q.db"]) == 1
    out = capsys.readouterr().out
    assert "q.db (queue 'work', epoch 0)" in out
    assert [line.split()[1:3] for line in out.splitlines() if line.startswith(" done")] == [["5", "500"]]
    assert "2 of 2" in out


def test_the_status_shows_who_works_since_when(here, capsys):
    queue = queue_config("files:work?name=odd").open()
    queue.create("job", ["a", "b", "c", "d"])
    queue.complete(queue.lease("host-1", 60), 1234)
    queue.lease("host-2", 60)
    queue.fail(queue.lease("host-3", 60), "a [bold] reason")
    assert main(["queue", "files:work?name=odd"]) == 2  # a place is no tool
    assert main(["queue", "status", "files:work?name=odd"]) == 0
    lines = capsys.readouterr().out.splitlines()
    cells = [line.split() for line in lines]
    for row in (["done", "1", "1,234", "1"], ["leased", "1", "1"], ["waiting", "2", "1"], ["failed", "0", "0"]):
        assert row in cells
    assert ["b", "leased", "host-2", "0", "s", "1", "of", "3"] in cells
    assert ["c", "waiting", "1", "of", "3", "a", "[bold]", "reason"] in cells
    assert not [row for row in cells if row[:1] == ["d"]]
    assert main(["queue", "status", "files:work?name=odd", "--all"]) == 0
    assert ["d", "waiting", "0", "of", "3"] in [line.split() for line in capsys.readouterr().out.splitlines()]


def test_a_queue_is_removed(here, capsys):
    queue = queue_config("work").open()
    queue.create("job", ["a"])
    assert main(["queue", "remove", "work"]) == 0
    assert main(["queue", "status", "work"]) == 1
    assert "there is no such queue" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--no-wait"], "--wait is for work that is shared: name its --queue"),
        (["--attempts", "2"], "--attempts is for work that is shared"),
        (["--queue", "work", "--overwrite"], "--overwrite would remove what other workers have just written"),
        (["--queue", "rediz://h"], "did you mean 'redis'"),
        (["--queue", "redis://:secret@h"], "holds a password"),
    ],
)
def test_what_cannot_be_meant_is_told(here, capsys, words, told):
    assert main([*RUN, "--output", "parts", *words]) == 2
    err = capsys.readouterr().err
    assert told in err
    assert "secret" not in err
