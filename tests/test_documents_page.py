"""docs/guide/documents.md and language_models.md: configs are read, commands and programs run."""

import re
import shlex
from pathlib import Path

import pytest

from easyrec.cli import main
from rag.config import load_rag

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "guide" / "documents.md").read_text(encoding="utf-8")
CLIENT = (ROOT / "docs" / "guide" / "language_models.md").read_text(encoding="utf-8")


def parts(page, kind):
    return re.findall(rf"```{kind}\n(.*?)```", page, re.DOTALL)


def spoken(text):
    pieces = [{"choices": [{"delta": {"content": text}, "finish_reason": "stop"}]}]
    return [*pieces, {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 3}}]


@pytest.fixture
def here(tmp_path, monkeypatch, model_server):
    pytest.importorskip("tantivy", reason="needs the extra 'rag'")
    pytest.importorskip("markdown_it")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MODEL_URL", model_server.url)
    (tmp_path / "rag.yaml").write_text(parts(PAGE, "yaml")[0])
    (tmp_path / "handbook").mkdir()
    (tmp_path / "handbook" / "refunds.md").write_text("# Shop\n\n## Refunds\n\nA refund takes five days.\n")
    (tmp_path / "prices.csv").write_text("item,price\nchair,10\n")
    return model_server


def test_commands_and_program_run(here, capsys):
    here.answer = lambda path, body: here.Reply(pieces=spoken("Five days [1]."))
    for command in parts(PAGE, "bash")[0].splitlines():
        assert main(shlex.split(command)[1:]) == 0
    told = capsys.readouterr().out
    assert "[1] handbook/refunds.md, line 5 (Shop > Refunds)" in told
    for program in parts(PAGE, "python"):
        exec(compile(program, "documents.md", "exec"), {})
    assert "Refunds of vouchers take a day. notes/refunds" in capsys.readouterr().out


@pytest.mark.parametrize("number", range(len(parts(PAGE, "yaml"))))
def test_configs_are_read(here, number):
    Path("other.yaml").write_text(parts(PAGE, "yaml")[number])
    load_rag("other.yaml")


def test_the_client_runs(here, capsys):
    def answer(path, body):
        if path == "/embeddings":
            return here.word_vectors(path, body)
        if body.get("stream"):
            return here.Reply(pieces=spoken("It is blue."))
        return here.says('{"score": 4, "reason": "blue"}' if "response_format" in body else "blue")

    here.answer = answer
    (program,) = parts(CLIENT, "python")
    exec(compile(program, "language_models.md", "exec"), {})
    assert "4 (2, 64) Usage(" in capsys.readouterr().out
