"""docs/guide/rag_evaluation.md and enrichment.md: configs are read, commands and the program run, every key is described."""

import json
import re
import shlex
from pathlib import Path

import pytest

from easyrec.cli import main
from feature_generator.config import members
from rag.config import load_rag
from rag.evaluation.config import EvaluationConfig
from rag.evaluation.labelled import read_labelled
from rag.evaluation.questions import read_questions

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "guide" / "rag_evaluation.md").read_text(encoding="utf-8")
ENRICHMENT = (ROOT / "docs" / "guide" / "enrichment.md").read_text(encoding="utf-8")
ANIMALS = ["otter", "heron", "badger"]


def parts(page, kind):
    return re.findall(rf"```{kind}\n(.*?)```", page, re.DOTALL)


def value_of(name, lines):
    """What a model says that does well."""
    text = next((line["text"] for line in lines if "text" in line), "")
    animal = next((animal for animal in ANIMALS if animal in text), "cat")
    quote = f"mostly eats {animal}food"
    single = {"question": f"Which meals does a hungry {animal} have?", "answer": f"{animal}food", "quote": quote}
    return {
        "Single": single,
        "Unanswerable": {"missing": "weight", "question": f"How heavy is a grown {animal}?"},
        "Answers": {"evidence": "", "answered": False},
        "Dialogue": {"turns": [single, single, {**single, "question": f"And what food is it that the {animal} gets?"}]},
        "MultiHop": {"question": "?", "answer": "a", "first_quote": "x", "second_quote": "y"},
        "Claims": {"claims": []},
        "Relevances": {"verdicts": [{"n": line["n"], "verdict": "irrelevant"} for line in lines if "n" in line]},
        "Scores": {"scores": [{"n": n, "reason": "so", "score": 2} for n in (1, 2)]},
        "Verdicts": {
            "verdicts": [{"s": line["s"], "evidence": "", "verdict": "not_stated"} for line in lines if "s" in line]
        },
        "Questions": {"questions": ["Who eats what?"]},
        "Summary": {"summary": f"About the {animal}."},
        "Entities": {"entities": []},
    }[name]


@pytest.fixture
def here(tmp_path, monkeypatch, model_server):
    pytest.importorskip("tantivy", reason="needs the extra 'rag'")
    pytest.importorskip("markdown_it")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MODEL_URL", model_server.url)
    (tmp_path / "handbook").mkdir()
    for animal in ANIMALS:
        body = f"In the valley the {animal} sleeps long and mostly eats {animal}food near the old river bridge. "
        (tmp_path / "handbook" / f"{animal}.md").write_text(body + "Visitors watch it from the wooden tower. " * 8)

    def answer(path, body):
        if path == "/embeddings":
            return model_server.word_vectors(path, body)
        if body.get("stream"):
            pieces = [{"choices": [{"delta": {"content": "Food [1]."}, "finish_reason": "stop"}]}]
            return model_server.Reply(pieces=pieces)
        lines = [json.loads(line) for line in body["messages"][1]["content"].split("\n")]
        return model_server.says(json.dumps(value_of(body["response_format"]["json_schema"]["name"], lines)))

    model_server.answer = answer
    return tmp_path


@pytest.mark.parametrize("page", [PAGE, ENRICHMENT], ids=["evaluation", "enrichment"])
def test_configs_are_read_and_commands_run(here, page, capsys):
    for text in parts(page, "yaml"):
        (here / "rag.yaml").write_text(text)
        load_rag("rag.yaml")
    (here / "rag.yaml").write_text(parts(page, "yaml")[0])
    for command in parts(page, "bash")[0].splitlines():
        assert main(shlex.split(command)[1:]) == 0, capsys.readouterr().err
    for program in parts(page, "python"):
        exec(compile(program, "page.md", "exec"), {})
    for text in parts(page, "json"):
        read = read_labelled if "labels" in text else read_questions
        (here / "judged.jsonl").write_text(text)
        assert len(read("judged.jsonl")) == len(text.splitlines())
    for text in parts(page, "bash")[1:]:
        assert main(shlex.split(text)[1:]) == 0, capsys.readouterr().err


def test_every_key_and_metric_is_described():
    described = {
        name for row in re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)
    }
    assert described >= set(EvaluationConfig.model_fields)
    assert described >= set(members("rag.evaluation.metrics"))
    assert described >= set(members("rag.evaluation.generators"))
    assert all(f"`{kind}`" in ENRICHMENT for kind in members("rag.enrichment.kinds"))
