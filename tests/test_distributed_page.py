"""The page about training by several workers: its config is one that they can train, and its command runs."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from easyrec.config import load_experiment
from easyrec.config.distributed import Distributed

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "guide" / "distributed.md").read_text(encoding="utf-8")
CONFIG, MOVING = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def test_the_config_is_one_for_several_workers():
    experiment = load_experiment(yaml.safe_load(CONFIG))
    experiment.require_distributed()
    assert experiment.train.distributed is not None
    assert experiment.train.distributed.of("user_id:first") == "row"
    assert experiment.train.distributed.of("item_id") == "auto"


def test_so_is_the_one_with_dynamic_tables(tmp_path):
    (tmp_path / "my.yaml").write_text(CONFIG)
    (tmp_path / "moving.yaml").write_text(MOVING)
    experiment = load_experiment(tmp_path / "moving.yaml")
    experiment.require_distributed()
    assert experiment.generator.outputs["item_id"].dynamic.capacity == 10_000


def test_every_key_is_described():
    listed = set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE))
    kinds = {"row", "table", "column", "data_parallel", "auto"}
    assert {*Distributed.model_fields, *kinds} <= listed


@pytest.mark.slow
@pytest.mark.parametrize(("file", "name"), [("my.yaml", "shop_shared"), ("moving.yaml", "shop_moving")])
def test_the_command_trains(tmp_path, file, name):
    (tmp_path / "my.yaml").write_text(CONFIG)
    (tmp_path / "moving.yaml").write_text(MOVING)
    command = next(line for line in PAGE.splitlines() if line.startswith("torchrun "))
    command = command.replace("my.yaml", file)
    words = command.replace("torchrun", f"{sys.executable} -m torch.distributed.run --standalone").split()
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"bundle: runs/{name}/bundle" in done.stdout
    assert (tmp_path / "runs" / name / "report.html").exists()
