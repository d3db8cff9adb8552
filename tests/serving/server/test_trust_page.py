"""The page about trust: its commands and its config do what it says."""

import re
import shlex
import shutil
from pathlib import Path

import pytest
import yaml

from easyrec.cli import main
from easyrec.export.delta import make_delta

PAGE = (Path(__file__).parents[3] / "docs" / "guide" / "trust.md").read_text(encoding="utf-8")
SECRET = "a secret of the tests, long enough"


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.M | re.S)


def test_the_commands_sign_and_the_config_serves_what_they_signed(
    toys, other_toy, with_app, request_parts, tmp_path, monkeypatch, capsys
):
    pytest.importorskip("cryptography", reason="needs cryptography, as the extra 'trust' brings it")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BUNDLE_SECRET", SECRET)
    assert main(["sign", "key", "--output", "keys/release-2027"]) == 0
    shutil.copytree(toys("deepfm").bundle, "bundles/today")
    config = blocks("yaml")[0]
    Path("serving.yaml").write_text(config)
    commands = [shlex.split(line, comments=True)[1:] for line in blocks("bash")[0].splitlines() if "easyrec " in line]
    assert len(commands) == 3
    assert [main(words) for words in commands] == [0, 0, 0]
    assert "signed by 'release-2026'" in capsys.readouterr().out
    make_delta("bundles/today", other_toy.bundle, "deltas/tuesday")
    assert (
        main(["delta", "apply", "bundles/today", "deltas/tuesday", "--output", "out", "--trust", "serving.yaml"]) == 3
    )
    assert main([*commands[1][:1], "--bundle", "deltas/tuesday", *commands[1][3:]]) == 0
    assert (
        main(["delta", "apply", "bundles/today", "deltas/tuesday", "--output", "out", "--trust", "serving.yaml"]) == 0
    )
    exec(blocks("python")[0], {})

    async def work(client):
        user, items, context = request_parts
        return await client.post("/predict", json={"user": user, "items": items, "context": context})

    answer = with_app(work, **yaml.safe_load(config.replace("${BUNDLE_SECRET}", SECRET)), watch_s=0)
    assert answer.status_code == 200, answer.text
