"""The page about streams: its definitions are read, its example counts, and it names what there is."""

import json
import re
from pathlib import Path

import pytest

from easyrec.cli import main
from easyrec.store.definitions import load_store
from easyrec.store.streams import Aggregate, EventsConfig, StreamConfig, Window, WriteConfig
from easyrec.stream.figures import LEVELS, TOTALS
from feature_generator.config import member, members

PAGE = (Path(__file__).parents[1] / "docs" / "guide" / "streams.md").read_text(encoding="utf-8")


def block(language):
    return re.search(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)[1]


def test_the_example_counts_and_is_read(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "store.yaml").write_text(block("yaml"))
    exec(compile(block("python"), "streams.md", "exec"), {})
    for line in block("bash").splitlines():
        assert main(line.split()[1:]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    seven, eight = found
    assert (seven["clicks_1h"], seven["session_clicks"], seven["last_items"]) == (2, 1, ["a", "b"])
    assert (eight["clicks_1h"], eight["session_clicks"], eight["last_items"]) == (1, 1, ["c"])
    assert seven["heat"] == pytest.approx(0.5 ** (3000 / 21600) + 1, abs=0.02)


@pytest.mark.parametrize("family", ["easyrec.stream.sources", "easyrec.stream.state"])
def test_every_member_and_its_keys_are_named(family):
    for name in members(family):
        row = re.search(rf"^\| `{name}` \| .*$", PAGE, re.MULTILINE)
        assert row, name
        for key in member(family, name).Config.model_fields.keys() - {"type"}:
            assert f"`{key}`" in row[0], (name, key)


@pytest.mark.parametrize("model", [EventsConfig, StreamConfig, WriteConfig, Window, Aggregate])
def test_every_key_is_named(model):
    for key in model.model_fields.keys() - {"name", "type", "description", "aggregates"}:
        assert f"`{key}`" in PAGE, key


def test_every_figure_is_named():
    for name in [*(f"{name}_total" for name in TOTALS), *LEVELS]:
        assert f"`{name}`" in PAGE, name


def test_definitions_have_the_fields_that_the_page_says():
    import yaml

    (view,) = load_store(yaml.safe_load(block("yaml"))).views
    assert [field.type for field in view.fields] == [
        "steps<int64>",
        "steps<double>",
        "steps<int64>",
        "steps<array<string>>",
        "decay<21600>",
    ]
