"""docs/guide/llm_judge.md: its config is read, its commands and its program run, every key is described."""

import json
import re
import shlex
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from easyrec.cli import main
from easyrec.llm.config import load_llm
from easyrec.llm.tools.judge import Config

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "guide" / "llm_judge.md").read_text(encoding="utf-8")


def parts(kind):
    return re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def here(tmp_path, monkeypatch, model_server):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MODEL_URL", model_server.url)
    rows = [
        {
            "request": n,
            "system": system,
            "bought": ["boots", "socks"],
            "item": f"laces {n}",
            "text": f"{system} text {n}",
        }
        for n in range(8)
        for system in ("rules", "model")
    ]
    labels = [
        {"request": n, "system": "rules", "stars": 1 + (n + len(who)) % 5, "who": who}
        for n in range(6)
        for who in ("ann", "bo")
    ]
    pq.write_table(pa.Table.from_pylist(rows), "explanations.parquet")
    pq.write_table(pa.Table.from_pylist(labels), "labels.parquet")

    def answer(path, body):
        if body["response_format"]["json_schema"]["name"] == "Verdict":
            return model_server.says(json.dumps({"why": "shorter", "better": "A"}))
        number = len(body["messages"][1]["content"])
        grades = {"grounded": 1 + number % 3, "useful": 1 + number % 5}
        return model_server.says(json.dumps({name: {"why": "so", "grade": grade} for name, grade in grades.items()}))

    model_server.answer = answer
    return tmp_path


def test_the_config_is_read_the_commands_and_the_program_run(here, capsys):
    (text,) = parts("yaml")
    (here / "llm.yaml").write_text(text)
    load_llm("llm.yaml", "judge")
    for command in "".join(parts("bash")).splitlines():
        assert main(shlex.split(command)[1:]) == 0, capsys.readouterr().err
    capsys.readouterr()
    for program in parts("python"):
        exec(compile(program, "page.md", "exec"), {})
    assert "overall model" in capsys.readouterr().out
    for name in re.findall(r"`((?:judged)\.[\w.]+)`", PAGE):
        assert (here / name).exists(), name


def test_every_key_is_described():
    rows = re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} >= set(Config.model_fields)
