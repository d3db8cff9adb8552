"""`easyrec store` from the command line: definitions that are applied, rows that are published and read."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from easyrec.cli import main, tools

ROOT = Path(__file__).parents[1]
CONFIG = """\
project: shop
online: {type: sqlite, path: online.db}
entities:
  - {name: user, join_id: user_id}
views:
  - name: profile
    entity: user
    owner: anna
    event_time: ts
    ttl: 30000d
    fields:
      - {name: age, type: int64}
      - {name: tags, type: "array<string>"}
models:
  - {name: ctr, features: [{view: profile, alias: {age: user_age}}]}
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "store.yaml").write_text(CONFIG)
    return tmp_path


def rows(path, ages, second=1_600_000_000):
    table = {"user_id": list(ages), "age": list(ages.values()), "tags": [["x"]] * len(ages), "ts": [second] * len(ages)}
    pq.write_table(pa.table(table), path)


def store(tool, *words):
    return main(["store", tool, "-c", "store.yaml", *words])


@pytest.mark.slow
@pytest.mark.parametrize("tool", sorted(tools("store")))
def test_every_tool_explains_itself_without_torch(tool):
    code = (
        "import sys\nfrom easyrec.cli import main\n"
        f"assert main(['store', {tool!r}, '--help']) == 0\n"
        "assert not {'torch', 'redis', 'lmdb'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert f"usage: easyrec store {tool}" in done.stdout


def test_rows_are_published_read_and_taken_back(here, capsys):
    rows("one.parquet", {7: 30, 8: 40})
    rows("two.parquet", {7: 31})
    assert store("publish", "profile", "--input", "one.parquet") == 0
    out = capsys.readouterr().out
    assert "published, and read now from online.db" in out
    assert re.search(r"profile +1 +2 +0 +2020-09-13 12:26:40 UTC ", out)
    assert store("publish", "profile", "--input", "two.parquet", "--merge") == 0
    capsys.readouterr()
    assert store("read", "ctr", "user_id=7,8,9", "--json") == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["user_id"], row["user_age"], row["tags"]) for row in found] == [
        ("7", 31, ["x"]),
        ("8", 40, ["x"]),
        ("9", None, None),
    ]
    assert store("rollback", "profile") == 0
    assert store("read", "ctr", "user_id=7") == 0
    assert "user_age" in (out := capsys.readouterr().out)
    assert " 30" in out
    assert store("sweep") == 0
    assert "user: 2 keys were looked at" in capsys.readouterr().out
    assert store("show") == 0
    out = capsys.readouterr().out
    assert "anna" in out
    assert "nothing was applied yet" in out
    assert "2020-09-13 12:26:40 UTC" in out


def test_a_publish_that_was_stopped_is_shown_and_gone_on_with(here, capsys):
    from easyrec.data.content import content_of
    from easyrec.data.feed import source_of
    from easyrec.store.definitions import load_store
    from easyrec.store.writer import Writer

    rows("one.parquet", dict.fromkeys(range(3000), 30))
    config = load_store("store.yaml")
    online = config.online.open(config.project)

    def stopped():
        yield pq.read_table("one.parquet").slice(0, 2000).to_batches()[0]
        raise KeyboardInterrupt

    content = content_of(source_of("one.parquet", []).open(), ["user_id", "age", "tags", "ts"])
    with pytest.raises(KeyboardInterrupt):
        Writer(config, online).publish("profile", stopped(), source=content)
    online.close()
    assert store("show") == 0
    assert re.search(r"profile: generation 1 is being written by \S+-\d+, which gave its last", capsys.readouterr().out)
    assert store("publish", "profile", "--input", "one.parquet", "--rows-per-second", "4000") == 0
    assert re.search(r"profile +1 +3,000 +2,000 ", capsys.readouterr().out)


def test_definitions_are_compared_and_applied(here, capsys):
    assert store("diff") == 0
    assert store("apply", "--note", "first") == 0
    assert "version 1 of project 'shop' holds" in capsys.readouterr().out
    assert store("apply") == 0
    assert "version 1 of project 'shop' holds, as before" in capsys.readouterr().out
    path = here / "store.yaml"
    path.write_text(
        CONFIG.replace(
            "      - {name: age, type: int64}", "      - {name: age, type: int64}\n      - {name: city, type: string}"
        )
    )
    assert store("diff") == 0
    assert "view 'profile' . field 'city'" in capsys.readouterr().out
    assert store("apply") == 0
    path.write_text(CONFIG.replace("type: int64", "type: string"))
    assert store("diff") == 1
    capsys.readouterr()
    assert store("apply") == 1
    told = capsys.readouterr().err
    assert (
        "view 'profile' . field 'age': changed; rows that are there hold the former type: give the field another name"
        in told
    )
    assert "view 'profile' . field 'city': removed; who reads this field finds it no more" in told
    assert store("apply", "--force") == 0
    assert store("show") == 0
    assert "first" in capsys.readouterr().out


def test_a_training_set_is_written(here, capsys):
    pytest.importorskip("duckdb", reason="needs the extra 'store'")
    rows("history.parquet", {7: 30, 8: 40})
    (here / "store.yaml").write_text(
        CONFIG.replace("    owner: anna", "    source: {type: parquet, path: history.parquet}")
    )
    pq.write_table(
        pa.table({"user_id": [8, 9, 7], "shown": [1_700_000_000, 1_700_000_000, 1_500_000_000]}), "spine.parquet"
    )
    words = ("ctr", "--spine", "spine.parquet", "--output", "train.parquet", "--event-time", "shown")
    assert store("training-set", *words) == 0
    assert "train.parquet: 3 rows, 4 columns" in capsys.readouterr().out
    assert pq.read_table("train.parquet")["user_age"].to_pylist() == [40, None, None]


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("type: int64", "type: int", 12, "unknown type 'int'; known: bool, int32"),
        ("ttl: 30000d", "ttl: 30 days", 10, "must be seconds, or a number with ms, s, m, h, d or w such as 30d"),
        ("entity: user\n", "entity: usr\n", 7, "unknown entity 'usr'; did you mean 'user'?"),
        ("alias: {age:", "alias: {aeg:", 15, "view 'profile' has no field 'aeg'; did you mean 'age'?"),
        ("type: sqlite", "type: sqlight", 2, "did you mean 'sqlite'?"),
        ("join_id: user_id", "join_id: user-id", 4, "must be letters, digits and _"),
        ("    event_time: ts\n", "", 9, "is counted from the event_time: name the column"),
    ],
    ids=["type", "ttl", "entity", "alias", "store", "name", "ttl-without-time"],
)
def test_what_is_wrong_with_definitions_is_told(here, capsys, old, new, line, message):
    (here / "store.yaml").write_text(CONFIG.replace(old, new))
    assert store("show") == 2
    told = capsys.readouterr().err
    assert message in told
    if line:
        assert f"line {line}" in told


def test_what_is_not_there_is_told(here, capsys):
    rows("one.parquet", {7: 30})
    assert store("publish", "profil", "--input", "one.parquet") == 2
    assert "unknown view 'profil'; did you mean 'profile'?" in capsys.readouterr().err
    pq.write_table(pa.table({"user_id": [1], "age": [2]}), "short.parquet")
    assert store("publish", "profile", "--input", "short.parquet") == 3
    assert (
        "short.parquet, column 'tags': the rows have no such column; they have: user_id, age" in capsys.readouterr().err
    )
    assert store("read", "ctrr", "user_id=7") == 2
    assert "unknown model 'ctrr'; did you mean 'ctr'?" in capsys.readouterr().err


@pytest.fixture
def shop(here):
    """Definitions with a label table, a view that is built, and an experiment's features."""
    (here / "store.yaml").write_text(
        """\
project: shop
entities: [{name: item, join_id: item_id}]
labels:
  - {name: clicks, source: {type: parquet, path: clicks.parquet}, event_time: ts, join_ids: [item_id], labels: [click]}
views:
  - name: item_clicks
    entity: item
    event_time: at
    source: {type: parquet, path: built/item_clicks}
    fields: [{name: shown, type: int64}, {name: rate, type: float}]
    transform:
      type: windows
      input: clicks
      features:
        - {type: count, name: shown, over: 7d}
        - {type: rate, name: rate, of: click, over: 7d}
models: [{name: ctr, features: [{view: item_clicks}], label: clicks}]
"""
    )
    (here / "features.yaml").write_text("features: [{type: raw, name: shown, expression: 'item:shown'}]\n")
    days = [1_767_225_600 + day * 86_400 + 60 for day in range(3)]
    table = {"item_id": [1, 2, 1, 1], "ts": [days[0], days[0], days[1], days[2]], "click": [1, 0, 0, 1]}
    pq.write_table(pa.table(table), "clicks.parquet")
    return here


def test_a_view_is_built_joined_encoded_and_published(shop, capsys):
    pytest.importorskip("duckdb", reason="needs the extra 'store'")
    assert store("build", "--publish") == 0
    told = capsys.readouterr().out
    assert "built/item_clicks" in told
    assert "item_clicks: generation 1 with 2 rows is read now" in told
    assert store("read", "ctr", "item_id=1") == 0
    assert re.search(r"shown\b.*\b3\b", capsys.readouterr().out, re.DOTALL)
    assert store("training-set", "ctr", "--output", "train", "--by", "day", "--features", "features.yaml") == 0
    told = capsys.readouterr().out
    assert "train: 4 rows, 5 columns, 3 parts" in told
    assert "item_clicks" in told
    files = sorted((shop / "train").glob("ds=*/0.parquet"))
    found = pa.concat_tables([pq.read_table(file, partitioning=None) for file in files])
    assert found.column_names == ["shown", "click"]
    assert [value.as_py() for value in found["click"]] == [1, 0, 0, 1]
    assert store("training-set", "ctr", "--output", "train", "--by", "day", "--features", "features.yaml") == 0
    assert capsys.readouterr().out.count("of a former run") == 3


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("build", "item_click"), 2, "unknown view 'item_click'; did you mean 'item_clicks'?"),
        (
            ("training-set", "ctr", "--spine", "x.parquet", "--output", "o", "--reserve", "click"),
            2,
            "name their config",
        ),
        (("training-set", "ctr", "--output", "o", "--engine", "ray"), 2, "by local or spark, not by 'ray'"),
        (
            ("training-set", "ctr", "--output", "o", "--engine", "spark", "--memory", "1GB"),
            2,
            "--memory is for one process",
        ),
    ],
)
def test_what_a_training_set_cannot_be_is_told(shop, capsys, words, code, message):
    pytest.importorskip("duckdb", reason="needs the extra 'store'")
    assert store(*words) == code
    assert message in capsys.readouterr().err
