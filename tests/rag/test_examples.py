"""The examples: a handbook in two languages, a tutor, a guide of a shop."""

import shutil
import sys
from pathlib import Path

import pytest

from easyrec.cli import main
from rag.config import load_rag
from rag.evaluation.questions import read_questions
from rag.knowledge import KnowledgeBase
from rag.rag import Rag

pytest.importorskip("tantivy")

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def inside(tmp_path, monkeypatch):
    """Goes into a copy of an example."""

    def go(name):
        shutil.copytree(EXAMPLES / name, tmp_path / name)
        monkeypatch.chdir(tmp_path / name)
        for name in ("MODEL_URL", "MODEL_NAME"):  # what asks no model runs as printed
            monkeypatch.delenv(name, raising=False)

    return go


def test_the_handbook_has_what_is_asked_of_it(inside, capsys):
    inside("handbook")
    for language in ("en", "zh"):
        assert main(["rag", "ingest", "-c", "rag.yaml", language, "--fact", f"language={language}"]) == 0
    assert "failed" in capsys.readouterr().out
    config = load_rag("rag.yaml")
    missed = []
    with KnowledgeBase(config.knowledge) as base:
        assert {each.source for each in base.documents()} == {
            path.as_posix() for language in ("en", "zh") for path in Path(language).iterdir()
        }
        for asked in read_questions("questions.jsonl"):
            hits = base.search(asked.question, config.search, filter={"language": asked.id[:2]})
            if not all(any(one.is_in(hit.part.source, hit.text) for hit in hits) for one in asked.references):
                missed.append(asked.question)
    assert not missed
    assert main(["rag", "eval", "-c", "rag.yaml", "--questions", "questions.jsonl", "--search-only"]) == 0


def test_the_tutor_finds_exercises_and_lessons(inside):
    inside("tutor")
    assert main(["rag", "items", "-c", "tutor.yaml"]) == 0
    with Rag(load_rag("tutor.yaml")) as rag:
        found = rag.search("how long is the hypotenuse with legs of 6 and 8?")
        assert "c = 10 cm" in found.hits[0].text
        assert "page 9" in found.hits[0].text
        lesson = found.trace.steps[-1].outputs["related"][0]
        assert lesson["source"] == "exercise:le04"


def test_the_guide_keeps_to_the_price(inside, monkeypatch):
    inside("shopping_guide")
    monkeypatch.setattr(sys, "argv", ["catalogue.py"])
    monkeypatch.syspath_prepend(".")
    import catalogue
    import pyarrow.parquet as pq

    pq.write_table(catalogue.catalogue().slice(0, 2000), "items.parquet")
    assert main(["rag", "items", "-c", "guide.yaml"]) == 0
    with Rag(load_rag("guide.yaml")) as rag:
        for question in ("a dress for a party under 50 euros", "50元以内的连衣裙"):
            hits = rag.search(question).hits
            assert len(hits) == 8
            assert all("dresses" in hit.part.facts["category"] for hit in hits)
            assert all(hit.part.facts["price"][0] <= 50 for hit in hits)
