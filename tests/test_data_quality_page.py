"""docs/guide/data_quality.md: its config is read, its commands run, and its tables name what there is."""

import re
import shlex
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from easyrec.cli import main
from easyrec.store.definitions import load_store
from easyrec.store.quality import expectations

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "guide" / "data_quality.md").read_text(encoding="utf-8")


@pytest.fixture
def here(tmp_path, monkeypatch):
    pytest.importorskip("duckdb", reason="needs the extra 'store'")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STORE_TOKEN", "sixteen characters")
    (tmp_path / "store.yaml").write_text(re.search(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[1])
    rows, random = 5000, np.random.default_rng(0)
    ages = random.integers(18, 80, rows)
    ages[:20] = 999
    users = {
        "user_id": np.arange(rows),
        "age": ages,
        "gender": [None if place < 130 else "female" for place in range(rows)],
        "phone": [f"+49 {place}" for place in range(rows)],
        "updated": np.full(rows, int(time.time()) - 3600),
    }
    pq.write_table(pa.table(users), "users.parquet")
    return tmp_path


def test_every_command_runs_and_prints_what_the_page_shows(here, capsys):
    blocks = re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL)
    for command in blocks[0].splitlines():
        assert main(shlex.split(command)[1:]) == 0, command
    told = {" ".join(line.split()) for line in capsys.readouterr().out.splitlines()}
    shown = re.search(r"```text\n(.*?)```", PAGE, re.DOTALL)[1].splitlines()
    for line in shown[2:5]:
        assert " ".join(line.split()) in told, line
    assert any(line.startswith(shown[-1].partition("profile-")[0]) for line in told)
    code = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)[1]
    exec(compile(code, "data_quality.md", "exec"), {})
    assert capsys.readouterr().out == re.search(r"# (warned .*)", code)[1] + "\n"
    assert main(["store", "check", "-c", "store.yaml", "user_profile", "--input", "users.parquet", "--baseline"]) == 0
    assert "compared with these rows from now on: age" in capsys.readouterr().out
    pq.write_table(pq.read_table("users.parquet").slice(0, 500), "few.parquet")
    assert main(["store", "check", "-c", "store.yaml", "user_profile", "--input", "few.parquet", "--json"]) == 3
    assert '"verdict": "failed"' in capsys.readouterr().out


def test_every_expectation_is_named():
    named = re.findall(r"^\| `(\w+)` \| [^|]+ \| [^|]+ \|$", PAGE, re.MULTILINE)
    kinds = (getattr(expectations, name) for name in vars(expectations))
    known = {
        one.model_fields["type"].default
        for one in kinds
        if isinstance(one, type)
        and issubclass(one, expectations.OfRows | expectations.OfAll)
        and "type" in one.model_fields
    }
    assert set(named) == known


def test_the_config_expects_something_of_each_type(here):
    view = load_store("store.yaml").view("user_profile")
    assert len({one.type for one in view.expect}) == 7
