"""The page about tuning names every key, and its config is searched to a config that trains."""

import re
from pathlib import Path

import pytest
import yaml

from easyrec.cli import main
from easyrec.config.space import KINDS
from easyrec.config.tune import COSTS, Budget, Halving, Hyperband, Median, PrunerType, SamplerType, TuneConfig

pytest.importorskip("optuna", reason="needs the extra 'tune'")

PAGE = (Path(__file__).parents[1] / "docs" / "guide" / "tuning.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.M | re.S)
CONFIG, SHARED = yaml.safe_load(BLOCKS[0]), yaml.safe_load(BLOCKS[-1])


def row(key):
    return next(line for line in PAGE.splitlines() if line.startswith(f"| `{key}` |"))


@pytest.mark.parametrize("key", TuneConfig.model_fields)
def test_every_key_is_listed(key):
    assert row(key)


def test_every_choice_of_a_key_is_listed():
    for key, names in (("sampler", SamplerType), ("pruner", PrunerType)):
        assert all(f"`{name}`" in row(key) for name in names.__args__)
    assert all(f"`{name}`" in row("budget") for name in Budget.model_fields)
    assert all(f"`{name}`" in row("objectives") for name in COSTS)
    for config in (Median, Hyperband, Halving):
        defaults = {name: field.default for name, field in config.model_fields.items() if name != "type"}
        assert all(f"`{name}: {value}`" in row("pruner") for name, value in defaults.items())


def test_every_kind_of_space_is_listed():
    assert all(f"| `{{{kind}: [" in PAGE for kind in KINDS)


def test_the_shared_study_is_a_section(monkeypatch):
    assert TuneConfig.model_validate(SHARED["tune"]).study.name == "shop_search"


def test_shares_of_rows_are_a_section():
    first, second = (TuneConfig.model_validate(part["tune"]) for part in yaml.safe_load_all(BLOCKS[1]))
    assert first.rows.shares == second.rows.shares
    assert [config.pruned.type for config in (first, second)] == ["halving", "halving"]


def test_the_commands_run_one_after_the_other(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for part in ("train", "valid", "test"):
        CONFIG["data"][part]["rows"] = 4000
    CONFIG["train"]["epochs"] = 1
    CONFIG["tune"]["budget"]["trials"] = 2
    Path("search.yaml").write_text(yaml.safe_dump(CONFIG))
    for line in re.search(r"^```bash\n(.*?)^```", PAGE, re.M | re.S)[1].splitlines():
        words = [*line.split()[1:], "--no-bar"]

        assert main(words) == 0, line
    assert (tmp_path / "runs" / "shop_search" / "metrics.json").exists()
    listed = re.findall(
        r"^\| `([\w./]+)` \|", PAGE.partition("## The folder of a study")[2].partition("## Inter")[0], re.M
    )
    made = tmp_path / "runs" / "shop_search-tune"
    assert len(listed) == 7
    assert [name for name in listed if not (made / name.replace("00007", "00001")).exists()] == []
