"""The pages of losses and metrics list every one, with the tasks that it is for, and their configs are configs."""

import re
from pathlib import Path

import pytest
import yaml

from easyrec.config import load_experiment
from feature_generator.config import member, members

ROOT = Path(__file__).parents[1]
PAGES = {"easyrec.losses": "losses.md", "easyrec.metrics": "metrics.md"}


def page(name):
    return (ROOT / "docs" / "reference" / name).read_text()


def listed(text):
    """Types in the first column of a table -> task types in the second."""
    found = {}
    for names, kinds in re.findall(r"^\| ((?:`\w+`(?:, )?)+) \| ([\w, ]+) \|", text, re.MULTILINE):
        for name in re.findall(r"`(\w+)`", names):
            found[name] = set(kinds.split(", "))
    return found


@pytest.mark.parametrize(("family", "file"), list(PAGES.items()))
def test_every_member_is_listed_with_its_tasks(family, file):
    found = listed(page(file))
    for name in members(family):
        if name != "sum":
            assert found[name] == member(family, name).Config.task_types, name
    assert "type: sum" in page("losses.md")


@pytest.mark.parametrize("file", list(PAGES.values()))
def test_every_key_is_told(file):
    text = page(file)
    family = next(family for family, name in PAGES.items() if name == file)
    for name in members(family):
        for key in member(family, name).Config.model_fields:
            assert f"`{key}`" in text or f"{key}:" in text, (name, key)


def test_losses_of_a_teacher_are_listed_with_their_tasks_and_keys():
    text = page("losses.md").partition("## Losses of a teacher")[2].partition("\n## ")[0]
    rows = dict(re.findall(r"^\| `(\w+)` (\|.*)$", text, re.MULTILINE))
    assert set(rows) == set(members("easyrec.losses.distill"))
    for name, row in rows.items():
        config = member("easyrec.losses.distill", name).Config
        keys = set(config.model_fields) - {"type", "weight"}
        assert {key for key in keys if f"`{key}`" not in row} == set(), name
        assert config.of_layers or set(row.split("|")[1].strip().split(", ")) == config.task_types, name


def blocks():
    for file in PAGES.values():
        for index, block in enumerate(re.findall(r"```yaml\n(.*?)```", page(file), re.DOTALL)):
            yield pytest.param(yaml.safe_load(block), id=f"{file}-{index}")


@pytest.mark.parametrize("block", list(blocks()))
def test_configs_load_over_the_shop(block, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    base = {"base": str(ROOT / "configs" / "shop" / "deepfm.yaml")}
    path = tmp_path / "page.yaml"
    path.write_text(yaml.safe_dump({**block, **base}))
    assert load_experiment(path).tasks
