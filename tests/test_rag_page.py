"""docs/guide/rag.md: configs are read, commands and the program run."""

import json
import re
import shlex
from pathlib import Path

import pytest

from easyrec.cli import main
from feature_generator.config import members
from rag.config import load_rag

PAGE = (Path(__file__).parents[1] / "docs" / "guide" / "rag.md").read_text(encoding="utf-8")
VALUES = {"question": "How long does a refund take?", "queries": ["refund"], "summary": "Refunds."}


def parts(kind):
    return re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def here(tmp_path, monkeypatch, model_server):
    pytest.importorskip("tantivy", reason="needs the extra 'rag'")
    pytest.importorskip("markdown_it")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MODEL_URL", model_server.url)

    def answer(path, body):
        if not body.get("stream"):
            wanted = body["response_format"]["json_schema"]["schema"]["properties"]
            return model_server.says(json.dumps({name: VALUES[name] for name in wanted}))
        end = {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 3}}
        pieces = [{"choices": [{"delta": {"content": "A refund takes five days [1]."}, "finish_reason": "stop"}]}, end]
        return model_server.Reply(pieces=pieces)

    model_server.answer = answer
    (tmp_path / "handbook").mkdir()
    (tmp_path / "handbook" / "refunds.md").write_text("# Shop\n\n## Refunds\n\nA refund takes five days.\n")
    return tmp_path


def test_commands_and_program_run(here, capsys):
    (here / "rag.yaml").write_text(parts("yaml")[0])
    for command in parts("bash")[0].splitlines():
        assert main(shlex.split(command)[1:]) == 0, command
    told = capsys.readouterr()
    assert "flowchart TD" in told.out
    assert "[1] handbook/refunds.md, line 5 (Shop > Refunds)" in told.out
    assert "fallbacks 0" in told.err
    (program,) = parts("python")
    exec(compile(program, "rag.md", "exec"), {})
    assert capsys.readouterr().out == "A refund takes five days [1].['handbook/refunds.md'] 0\n"


@pytest.mark.parametrize("number", range(len(parts("yaml"))))
def test_configs_are_read(here, number):
    (here / "rag.yaml").write_text(parts("yaml")[number])
    assert load_rag(here / "rag.yaml").steps()


def test_every_step_is_told_of():
    assert [name for name in members("rag.steps") if f"`{name}`" not in PAGE and f"type: {name}" not in PAGE] == []
