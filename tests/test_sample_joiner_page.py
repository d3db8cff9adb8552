"""The page about the sample joiner: its example makes the rows that it shows, and every key is described."""

import re
from datetime import datetime
from pathlib import Path

import pyarrow.parquet as pq

from easyrec.cli import main
from easyrec.store.samples import SampleConfig
from feature_generator.config import members

PAGE = (Path(__file__).parents[1] / "docs" / "guide" / "sample_joiner.md").read_text(encoding="utf-8")


def block(kind):
    return re.search(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)[1]


def shown():
    """The rows of the page's table, as texts."""
    head, _, *rows = re.findall(
        r"^\|(.*)\|$", PAGE[PAGE.index("| id | request_id |") :].partition("\n\n")[0], re.MULTILINE
    )
    names = [name.strip() for name in head.split("|")]
    return [dict(zip(names, (cell.strip() for cell in row.split("|")), strict=True)) for row in rows]


def text(value):
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def test_the_example_makes_the_rows_that_are_shown(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "store.yaml").write_text(block("yaml"))
    exec(compile(block("python"), "sample_joiner.md", "exec"), {})
    assert main(block("bash").split()[1:]) == 0
    assert "3 samples, 0 made again, 0 wait; in samples" in capsys.readouterr().out
    (part,) = (tmp_path / "samples" / "ds=20260101").iterdir()
    made = pq.read_table(part, partitioning=None).sort_by("id").to_pylist()
    assert [{name: text(value) for name, value in row.items()} for row in made] == shown()


def test_every_key_is_described():
    described = set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE))
    assert described >= set(SampleConfig.model_fields) - {"name", "description"}
    assert described >= set(members("easyrec.stream.sinks")) | set(members("easyrec.stream.dialects"))
