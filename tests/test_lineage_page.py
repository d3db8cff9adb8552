"""docs/guide/lineage.md: its configs are read, its commands run, and its picture is that of the page."""

import re
import shlex
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from easyrec.cli import main

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "guide" / "lineage.md").read_text(encoding="utf-8")


@pytest.fixture
def here(tmp_path, monkeypatch):
    pytest.importorskip("sqlglot", reason="needs the extra 'lineage'")
    pytest.importorskip("duckdb", reason="needs the extra 'store'")
    monkeypatch.chdir(tmp_path)
    for name, text in re.findall(r"```yaml\n# (\S+)\n(.*?)```", PAGE, re.DOTALL):
        (tmp_path / name).write_text(text)
    tables = {
        "users": {"user_id": [1, 2], "age": [30, 40], "city": ["Bonn", "Ulm"]},
        "orders": {"order_id": [1, 2, 3], "user_id": [1, 1, 2], "paid": [True, True, False]},
        "items": {"item_id": [1], "cate": ["book"], "price": [3.5]},
    }
    for name, columns in tables.items():
        (tmp_path / "warehouse" / name).mkdir(parents=True)
        pq.write_table(pa.table(columns), tmp_path / "warehouse" / name / "part.parquet")
    return tmp_path


def commands():
    return [line for block in re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]


def test_every_command_runs(here, capsys):
    for command in commands():
        program, *words = shlex.split(command)
        assert program == "easyrec"
        assert main(words) == int("--impact" in words), command
    told = capsys.readouterr().out
    for line in re.search(r"```text\n(.*?)```", PAGE, re.DOTALL)[1].splitlines():
        if line.strip() and "─" not in line:
            assert " ".join(line.split()) in {" ".join(one.split()) for one in told.splitlines()}, line
    assert (here / "lineage.html").stat().st_size > 10_000
    assert len((here / "events.jsonl").read_text().splitlines()) == 4


def test_the_python_of_the_page_prints_what_it_says(here, capsys):
    code = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)[1]
    exec(compile(code, "lineage.md", "exec"), {})
    assert capsys.readouterr().out.splitlines() == re.findall(r"# (\[.*\])$", code, re.MULTILINE)


def test_the_picture_is_that_of_the_page(here, browser):
    assert main(["store", "lineage", "-c", "store.yaml", "--config", "ctr.yaml", "--html", "lineage.html"]) == 0
    browser.open(f"file://{here}/lineage.html#column%3Awarehouse%2Forders.paid", 1400, 620)
    browser.run("document.getElementById('gone').click()")
    assert browser.run("document.getElementById('told').textContent") == (
        "without warehouse/orders.paid: models broken: ctr"
    )
    browser.picture(here / "lineage_page.png")
    sizes = [
        path.read_bytes()[16:24] for path in (here / "lineage_page.png", ROOT / "docs" / "guide" / "lineage_page.png")
    ]
    assert sizes[0] == sizes[1]
