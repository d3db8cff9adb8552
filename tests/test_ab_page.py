"""The page about experiments: its files load, its log is made and analysed, every key is described."""

import re
from pathlib import Path

import pytest

from easyrec.cli import main
from serving.ab import Experiments, load_experiments
from serving.ab.config import Experiment
from serving.ab.guardrail_config import KNOWN
from serving.ab.metric_config import MetricConfig

PAGE = (Path(__file__).parents[1] / "docs" / "guide" / "ab.md").read_text(encoding="utf-8")


def blocks(kind):
    return re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number, text in enumerate(blocks("yaml")):
        (tmp_path / ("experiments.yaml" if not number else f"{number}.yaml")).write_text(text)
    return tmp_path


def test_the_example_is_assigned_logged_and_analysed(here, capsys):
    for path in here.glob("*.yaml"):
        load_experiments(path)
    for text in blocks("python"):
        exec(compile(text, "ab.md", "exec"), {})
    for text in blocks("bash"):
        for line in text.splitlines():
            words = [word.strip('"') for word in re.findall(r'"[^"]*"|\S+', line)]
            assert main(words[1:]) == 0
    out = capsys.readouterr().out
    assert "deep: stopped" in out
    assert "the split is as it should be" in out
    assert (here / "report.html").stat().st_size > 20_000
    assert (
        Experiments.load("experiments.yaml").assign("anna", time_ms=1_772_400_000_000).variants["ranking"]
        == "deep/deep"
    )


def test_every_key_is_described():
    described = {
        name for row in re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)
    }
    assert described >= set(Experiment.model_fields) - {"name"}
    assert described >= set(MetricConfig.model_fields) - {"name"}
    assert described >= set(KNOWN)
