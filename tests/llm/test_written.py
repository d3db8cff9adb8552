"""No tool of `easyrec llm` writes over a table that it reads, or one table over another."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from easyrec.cli import main
from easyrec.errors import ConfigError
from easyrec.llm.config import load_llm

RUBRIC = [{"name": "good", "question": "Is it?", "scale": {1: "no", 2: "yes"}}]
TABLE = {"name": "items", "path": "mine.parquet", "id": "id", "text": "{text}", "output": "out.parquet"}
EVENTS = {"path": "events.parquet", "items": "items", "time": "at"}
USERS = {"name": "users", "id": "user", "history": EVENTS, "text": "{history}", "output": "users.parquet"}


def embed(*tables):
    return {"embed": {"tables": list(tables)}}


@pytest.mark.parametrize(
    ("config", "told"),
    [
        (
            {
                "judge": {
                    "input": "mine.parquet",
                    "output": "./mine.parquet",
                    "id": "id",
                    "shown": {"a": "{text}"},
                    "rubric": RUBRIC,
                }
            },
            "line 3  judge . output\n           'judge.input' reads this file",
        ),
        ({"pair": {"output": "mine.parquet", "names": {"path": "mine.parquet"}}}, "'pair.names.path' reads this file"),
        (
            {
                "pair": {
                    "output": "p.parquet",
                    "names": {"path": "c.parquet"},
                    "items": {"path": "mine.parquet"},
                    "recall": {"output": "linked.parquet"},
                }
            },
            "pair . recall . output\n           'pair.items.path' reads",
        ),
        (
            {
                "rewrite": {
                    "output": "mine.parquet",
                    "queries": {"path": "q.parquet"},
                    "bid_words": {"path": "mine.parquet"},
                }
            },
            "'rewrite.bid_words.path' reads",
        ),
        (
            embed({**TABLE, "output": "mine.parquet"}),
            "embed . tables[0] 'items' . output\n           'embed.tables[0].path' reads",
        ),
        (embed(TABLE, {**USERS, "output": "mine.parquet"}), "'embed.tables[0].path' reads"),
        (embed(TABLE, {**USERS, "output": "events.parquet"}), "'embed.tables[1].history.path' reads"),
    ],
    ids=["judge", "pair", "recall-by-a-link", "rewrite", "embed", "table-before", "events"],
)
def test_a_table_that_is_read_is_never_written_over(config, told, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    pq.write_table(pa.table({"id": [1], "text": ["mine"]}), "mine.parquet")
    Path("linked.parquet").symlink_to("mine.parquet")
    (tool,) = config
    (tmp_path / "llm.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    assert main(["llm", tool, "-c", "llm.yaml"]) == 2
    assert told in capsys.readouterr().err
    assert pq.read_table("mine.parquet")["text"].to_pylist() == ["mine"]


def test_a_later_table_may_read_what_an_earlier_one_writes():
    later = {**TABLE, "name": "more", "path": "out.parquet", "output": "more.parquet"}
    load_llm(embed(TABLE, later), "embed")
    with pytest.raises(ConfigError, match=r"'embed.tables.0..output' is written to this file too"):
        load_llm(embed(TABLE, {**later, "output": "./out.parquet"}), "embed")
