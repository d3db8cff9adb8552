"""The page about automatic features names every key, and its config is searched to a config that trains."""

import csv
import re
from pathlib import Path

import pytest
import yaml

from easyrec.cli import main
from easyrec.config.cross import (
    AggregatesConfig,
    BoundariesConfig,
    CrossConfig,
    CrossesConfig,
    HashingConfig,
    TimeCheckConfig,
)
from feature_generator import FeatureGenerator

PAGE = (Path(__file__).parents[1] / "docs" / "guide" / "auto_features.md").read_text(encoding="utf-8")
CONFIG, TABLE = (yaml.safe_load(text) for text in re.findall(r"^```yaml\n(.*?)^```", PAGE, re.M | re.S))
PARTS = {
    "time_check": TimeCheckConfig,
    "boundaries": BoundariesConfig,
    "crosses": CrossesConfig,
    "aggregates": AggregatesConfig,
    "hashing": HashingConfig,
}


def row(key):
    section = PAGE.partition("## The section")[2]
    return next(line for line in section.splitlines() if line.startswith(f"| `{key}` |"))


@pytest.mark.parametrize("key", CrossConfig.model_fields)
def test_every_key_is_listed_with_its_default(key):
    default = CrossConfig.model_fields[key].default
    if isinstance(default, int | float):
        assert f"| {default:,} |" in row(key) or f"| {default:.5f} |" in row(key) or f"| {default:g} |" in row(key)
    for name, field in PARTS[key].model_fields.items() if key in PARTS else ():
        told = (
            f"`{name}: {field.default:g}`"
            if isinstance(field.default, int | float) and field.default < 1e5
            else f"`{name}"
        )
        assert told in row(key) or (name == "every" and "`every: 1d`" in row(key)), name


def test_the_table_of_an_aggregate_is_read_as_it_is_told(tmp_path):
    file = tmp_path / "table.txt"
    file.write_text("7_25\t3\n7_26\t4\n")
    clock, feature = TABLE["features"]
    generator = FeatureGenerator.load({"features": [clock, {**feature, "vocab_file": str(file)}]})

    found = generator.transform({"user_id": [7, 7, 7, 8], "timestamp": [1704067200 + 25.5 * 86400, 2e9, None, 2e9]})

    assert found[feature["name"]].values.tolist() == [3, 4, 4, 0]


def test_the_commands_run_one_after_the_other(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for part in ("train", "valid", "test"):
        CONFIG["data"][part]["rows"] = 40_000
    CONFIG["cross"] |= {"crosses": {"beam": 1, "order": 2}, "min_z": 2.0}
    Path("features.yaml").write_text(yaml.safe_dump(CONFIG))
    for line in re.search(r"^```bash\n(.*?)^```", PAGE, re.M | re.S)[1].splitlines():
        assert main([*line.split()[1:], *(["--no-bar"] if " train " in line else [])]) == 0, line

    made = tmp_path / "runs" / "shop_features-cross"
    assert (tmp_path / "runs" / "shop_features_crossed" / "metrics.json").exists()
    listed = re.findall(r"^\| `([\w./]+)` \|", PAGE.partition("## The folder of")[2].partition("## Inter")[0], re.M)
    assert len(listed) == 6
    assert [name for name in listed if not (made / name).exists() and name != "tables/"] == []
    told = {row["name"]: row for row in csv.DictReader((made / "proposals.csv").read_text().splitlines())}
    assert told["buy"]["reason"].startswith("time check: has values whose rows are positive in 100%")
    assert told["age_x_cate"]["state"] == "accepted"
