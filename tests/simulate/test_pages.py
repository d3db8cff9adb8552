"""The pages about the simulator and off-policy evaluation show what is there, and what they show runs."""

import re
from pathlib import Path

import pytest

from easyrec.cli import main
from easyrec.simulate.config import BootstrapConfig, DriveConfig, PolicyConfig, WorldConfig

GUIDE = Path(__file__).parents[2] / "docs" / "guide"
SIMULATOR = (GUIDE / "simulator.md").read_text(encoding="utf-8")
OFF_POLICY = (GUIDE / "off_policy.md").read_text(encoding="utf-8")


def blocks(page, kind):
    return re.findall(rf"^```{kind}\n(.*?)^```", page, re.M | re.S)


@pytest.mark.parametrize("config", [WorldConfig, DriveConfig, BootstrapConfig])
def test_every_key_is_listed(config):
    heads = " ".join(line.split("|")[1] for line in SIMULATOR.splitlines() if line.startswith("| `"))
    assert [name for name in config.model_fields if f"`{name}`" not in heads] == []
    assert all(name in SIMULATOR for name in PolicyConfig.model_fields)


def test_the_simulation_of_the_page_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("simulate.yaml").write_text(blocks(SIMULATOR, "yaml")[0], encoding="utf-8")
    words = blocks(SIMULATOR, "bash")[0].partition("#")[0].split()
    assert main([*words[1:], "--days", "1", "-o", "drive.requests_per_day=100"]) == 0
    told = capsys.readouterr().out
    assert "best CTR" in told
    assert Path("runs/small-simulate/report.html").exists()
    exec(compile(blocks(SIMULATOR, "python")[0], "simulator.md", "exec"), {})
    first, best, upside_down = (float(number) for number in capsys.readouterr().out.split())
    assert 0.0 < first < 1.0
    assert best > upside_down


def test_the_estimate_of_the_page_runs(capsys):
    exec(compile(blocks(OFF_POLICY, "python")[0], "off_policy.md", "exec"), {})
    assert capsys.readouterr().out.startswith("0.")
