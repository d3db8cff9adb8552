"""The page about learning online: its configs are valid, and its commands do what it says."""

import contextlib
import json
import re
import shlex
from pathlib import Path

import pytest
import yaml

from easyrec.cli import main
from easyrec.export.bundle import digest_of
from easyrec.loop.config import load_loop

PAGE = (Path(__file__).parents[1] / "docs" / "guide" / "loop.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def named(name):
    (found,) = [block for block in blocks("yaml") if block.startswith(f"# {name}.yaml\n")]
    return found


def commands(block):
    return [shlex.split(line.partition("#")[0])[1:] for line in block.splitlines() if line.strip()]


@pytest.mark.parametrize("name", ["loop", "loop-towers", "loop-tables"])
def test_the_configs_of_the_page_are_valid(name):
    assert load_loop(yaml.safe_load(named(name))).publish.to.startswith("served")


def test_each_key_is_on_the_page():
    config = load_loop(yaml.safe_load(named("loop")))
    for name in type(config).model_fields:
        assert f"`{name}`" in PAGE, name
    for section in ("join", "train", "gate", "publish"):
        for key in type(getattr(config, section)).model_fields:
            assert f"`{key}`" in PAGE, f"{section}.{key}"


@pytest.mark.slow
def test_the_commands_of_the_page_run(tmp_path, capsys):
    steps, back, jobs = (commands(block) for block in blocks("bash"))
    with contextlib.chdir(tmp_path):
        exec(blocks("python")[0], {})
        for name in ("experiment", "loop"):
            Path(f"{name}.yaml").write_text(named(name))
        for words in steps:
            assert main(words) == 0, capsys.readouterr().err
        told = capsys.readouterr().out
        assert "samples so far, in samples" in told
        assert "version 1 is served" in told
        assert re.search(r"served version +1 *\n", told)
        assert main(steps[1]) == 0
        assert "there is nothing to publish: too few samples that are new" in capsys.readouterr().out
        assert main(back[0]) == 1
        assert "version 1 is served, and no version was served before it" in capsys.readouterr().err
        assert main([*steps[2], "--json", "--html", "loop.html"]) == 0
        status = json.loads(capsys.readouterr().out)
        assert status["served"]["bundle"] == digest_of(Path("served/current"))
        assert "<svg" in Path("loop.html").read_text()
        for words in jobs[:5]:
            assert main(words) == 0, capsys.readouterr().err
        assert main(jobs[5]) == 1
        assert "the loop embeds no items" in capsys.readouterr().err
        assert main([*steps[1], "-o", "gate.metric=auk", "train.min_rows=2", "train.every=1s"]) in (0, 2)
