"""The page about the feature store: its definitions are read, and its rows are found again."""

import re
from pathlib import Path

import yaml

from easyrec.store.definitions import load_store
from feature_generator.config import members

PAGE = (Path(__file__).parents[1] / "docs" / "guide" / "feature_store.md").read_text(encoding="utf-8")


def test_the_example_publishes_and_reads(tmp_path, monkeypatch, capsys):
    definitions, code = (re.search(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)[1] for kind in ("yaml", "python"))
    (tmp_path / "store.yaml").write_text(definitions)
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "feature_store.md", "exec"), {})
    shown = re.search(r"# (\[.*\])", code)[1]
    assert capsys.readouterr().out == shown + "\n"


def test_every_yaml_is_read():
    blocks = [yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]
    first = {"project": "p", "entities": blocks[0]["entities"]}
    for block in blocks:
        assert load_store({**first, **block}).views


def test_every_store_is_named():
    assert set(re.findall(r"^\| `(\w+)` \| ", PAGE, re.MULTILINE)) >= set(members("easyrec.store.online"))
