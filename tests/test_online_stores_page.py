"""The page about online stores: it names all of them, and its example runs."""

import contextlib
import re
from pathlib import Path

import yaml

from easyrec.store.definitions import load_store
from feature_generator.config import members

PAGE = (Path(__file__).parents[1] / "docs" / "guide" / "online_stores.md").read_text(encoding="utf-8")


def block(kind):
    return re.search(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)[1]


def test_every_store_is_named():
    assert set(re.findall(r"^\| `(\w+)` \| ", PAGE, re.MULTILINE)) - {"type"} == set(members("easyrec.store.online"))


def test_the_settings_are_read(monkeypatch):
    monkeypatch.setenv("SHOP_PASSWORD", "hunter2")
    views = [{"name": "v", "entity": "user", "fields": [{"name": "age", "type": "int64"}]}]
    entities = [{"name": "user", "join_id": "user_id"}]
    config = load_store({**yaml.safe_load(block("yaml")), "entities": entities, "views": views})
    assert config.online.url == config.registry == "postgresql://shop:hunter2@db.internal:5432/shop"
    assert "hunter2" not in str(config.written())


def test_the_example_goes_on_where_it_was_stopped(tmp_path, capsys):
    code = block("python")
    with contextlib.chdir(tmp_path):
        exec(compile(code, "online_stores.md", "exec"), {})
    assert capsys.readouterr().out.strip() == re.search(r"print\(.*\)  # (.*)", code)[1]
