"""The page about training day after day: its commands run, and what is served is what was trained."""

import contextlib
import json
import re
import shlex
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from easyrec.cli import main
from easyrec.config import load_experiment
from serving import Predictor

PAGE = (Path(__file__).parents[1] / "docs" / "guide" / "daily.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def commands(block):
    return [shlex.split(line)[1:] for line in block.replace("\\\n", "").splitlines()]


def test_the_config_is_one():
    experiment = load_experiment(yaml.safe_load(blocks("yaml")[0]))
    assert experiment.data.event_time == "time"
    assert experiment.train.checkpoint.best is False


@pytest.mark.slow
def test_the_commands_of_the_page_run(tmp_path, capsys):
    train, evaluate, deltas = (commands(block) for block in blocks("bash"))
    with contextlib.chdir(tmp_path):
        exec(blocks("python")[0], {})
        Path("daily.yaml").write_text(blocks("yaml")[0])
        for words in (*train, *evaluate, *deltas):
            assert main(words) == 0, capsys.readouterr().err
        assert re.search(r"tables/0\.npy +whole", capsys.readouterr().out)
        days = [Path(f"runs/day-2026010{day}") for day in (1, 2, 3)]
        aucs = [json.loads((day / "metrics.json").read_text())["test"]["auc"] for day in days]
        assert aucs[0] + 0.01 < aucs[1] < aucs[2]  # users are known better every day
        newest = json.loads((days[1] / "checkpoints" / "step-20" / "state.json").read_text())["event_time"]
        assert newest == pq.read_table("log/dt=20260102")["time"].to_pylist()[-1]
        row = {"user": {"user_id": 7}, "items": [{"item_id": item} for item in range(200, 500)]}
        with Predictor.load("served/20260103") as served, Predictor.load(days[2] / "bundle") as trained:
            assert served.predict(**row)["click"].tolist() == trained.predict(**row)["click"].tolist()
        files = [path.relative_to(days[2] / "bundle") for path in (days[2] / "bundle").rglob("*") if path.is_file()]
        assert all((Path("served/20260103") / f).read_bytes() == (days[2] / "bundle" / f).read_bytes() for f in files)
        assert main([*train[1], "--resume"]) == 0
        assert main(train[1]) == 1
    assert "runs/day-20260102 exists" in capsys.readouterr().err


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)#]+)", PAGE))
def test_its_links_lead_somewhere(link):
    assert (Path(__file__).parents[1] / "docs" / "guide" / link).exists()
