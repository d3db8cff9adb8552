"""The page about training sets: its example runs, its configs are read, and all members are named."""

import re
from pathlib import Path

import pytest
import yaml

from easyrec.cli import main
from easyrec.store.definitions import load_store
from feature_generator.config import members

PAGE = (Path(__file__).parents[1] / "docs" / "guide" / "training_sets.md").read_text(encoding="utf-8")
CODE = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
CONFIGS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
COMMANDS = re.findall(r"^easyrec (store .*)$", PAGE, re.MULTILINE)


def test_the_example_runs(tmp_path, monkeypatch, capsys):
    pytest.importorskip("duckdb", reason="needs the extra 'store'")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "store.yaml").write_text(CONFIGS[0])
    (tmp_path / "features.yaml").write_text("features: [{type: raw, name: age, expression: 'user:age'}]\n")
    exec(compile(CODE[0], "training_sets.md", "exec"), {})
    local = [command for command in COMMANDS if "--engine" not in command]
    assert len(local) == 4
    for command in local:
        assert main(command.split()) == 0, command
    capsys.readouterr()
    exec(compile(CODE[1], "training_sets.md", "exec"), {})
    told = capsys.readouterr().out
    assert told.startswith("5000 ['user_id', 'item_id', 'shown_at', 'click', 'position', 'age', 'shown_1d'")
    query = {**yaml.safe_load(CONFIGS[0]), **yaml.safe_load(CONFIGS[3])}
    (tmp_path / "query.yaml").write_text(yaml.safe_dump({**query, "models": []}))
    assert main(["store", "build", "-c", "query.yaml"]) == 0
    assert "user_price" in capsys.readouterr().out


def test_every_config_is_read(monkeypatch):
    for name in ("S3_KEY", "S3_SECRET"):
        monkeypatch.setenv(name, "x")
    first = yaml.safe_load(CONFIGS[0])
    for text in CONFIGS:
        assert load_store({"project": "p", "entities": first["entities"], **yaml.safe_load(text)}).views


def test_every_source_and_transform_is_named():
    rows = set(re.findall(r"^\| `(\w+)`", PAGE, re.MULTILINE))
    assert rows >= {*members("easyrec.store.offline"), *members("easyrec.store.transforms")}
