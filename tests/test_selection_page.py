"""The page about selection names every key, and its config is selected from to a config that trains."""

import re
from pathlib import Path

import pytest
import yaml

from easyrec.cli import main
from easyrec.config import load_experiment
from easyrec.config.select import SelectBudget, SelectConfig, SelectNoise
from easyrec.errors import ConfigError
from feature_generator.config import member, members

PAGE = (Path(__file__).parents[1] / "docs" / "guide" / "selection.md").read_text(encoding="utf-8")
CONFIG, GATED = (yaml.safe_load(text) for text in re.findall(r"^```yaml\n(.*?)^```", PAGE, re.M | re.S))


def row(key):
    return next(line for line in PAGE.splitlines() if line.startswith(f"| `{key}"))


@pytest.mark.parametrize("key", SelectConfig.model_fields)
def test_every_key_is_listed(key):
    assert row(key)


def test_every_budget_and_all_of_the_null_are_listed():
    assert all(f"`{name}`" in row("budget") and row(f"{name}: ") for name in SelectBudget.model_fields)
    assert all(f"`{name}`" in row("noise") for name in SelectNoise.model_fields)


@pytest.mark.parametrize("name", members("easyrec.tune.select.methods"))
def test_every_method_is_listed_with_its_keys(name):
    assert f"`{name}`" in row("method")
    found = next(line for line in PAGE.splitlines() if line.startswith(f"| `{name}` |"))
    for key, field in member("easyrec.tune.select.methods", name).Config.model_fields.items():
        if key != "type":
            assert (f"`{key}: {field.default}`" if field.default is not None else f"`{key}`") in found


@pytest.mark.parametrize("name", members("easyrec.modules.gates"))
def test_every_type_of_gates_is_listed(name):
    assert sum(line.startswith(f"| `{name}` |") for line in PAGE.splitlines()) == 1 + (name != "hard_concrete")


def test_gates_are_part_of_a_config():
    experiment = load_experiment({**{k: v for k, v in CONFIG.items() if k != "select"}, **GATED})
    assert experiment.model.feature_gates.penalty == 0.0001
    with pytest.raises(ConfigError, match="unknown type 'lasso'"):
        load_experiment({**CONFIG, "model": {**GATED["model"], "feature_gates": "lasso"}})


def test_the_commands_run_one_after_the_other(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for part in ("train", "valid", "test"):
        CONFIG["data"][part]["rows"] = 20_000
    CONFIG["select"] |= {"noise": 5, "beside": [], "verify": False}
    Path("features.yaml").write_text(yaml.safe_dump(CONFIG))
    select, train = re.search(r"^```bash\n(.*?)^```", PAGE, re.M | re.S)[1].splitlines()
    assert main(select.split()[1:]) == 0
    told = capsys.readouterr().out
    made = tmp_path / "runs" / "shop_features-select"
    listed = re.findall(r"^\| `([\w./]+)` \|", PAGE.partition("## The folder")[2].partition("## Inter")[0], re.M)
    assert len(listed) == 7
    assert [name for name in listed if not (made / name).exists()] == []
    best = yaml.safe_load((made / "best.yaml").read_text())
    names = {feature["name"] for feature in best["features"]}
    assert "position" in names
    assert len({"cate", "cate_hashed"} & names) == 1
    assert "repeats 'cate" in told
    assert main([*train.split()[1:], "-o", "train.steps=2", "--no-bar"]) == 0
