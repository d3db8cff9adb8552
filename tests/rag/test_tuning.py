"""The fusion that is chosen is the one that finds best, measured on questions that it was not chosen by."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from easyrec.cli import main
from easyrec.errors import ConfigError, DataError
from rag.config import SearchConfig, load_rag
from rag.evaluation.questions import Question, read_questions
from rag.knowledge import KnowledgeBase
from rag.tuning import _rank, settings, tune

pytest.importorskip("tantivy", reason="needs the extra 'rag'")
SIZE = 40


def misleading(server):
    """Vectors by which each question is nearest to the document behind its own."""

    def answer(path, body):
        data = []
        for index, text in enumerate(body["input"]):
            number = int(text.split("number")[1].split()[0].rstrip("."))
            vector = np.zeros(SIZE)
            vector[number] = 1.0
            if text.startswith("which"):
                vector[(number + 1) % SIZE] = 2.0
            data.append({"index": index, "embedding": vector.tolist()})
        return {"data": data, "usage": {"prompt_tokens": 1}}

    return answer


@pytest.fixture
def there(tmp_path, model_server, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model_server.answer = misleading(model_server)
    embedder = {"type": "server", "base_url": model_server.url, "model": "e", "key_env": "MODEL_KEY"}
    search = {"fusion": {"type": "minmax", "keyword": 0.1}, "candidates": 20}
    (tmp_path / "rag.yaml").write_text(
        yaml.safe_dump({"knowledge": {"path": "kb", "embedder": embedder}, "search": search})
    )
    lines = [{"question": f"which is number{n}", "references": [{"source": f"docs/d{n}.txt"}]} for n in range(SIZE)]
    (tmp_path / "qa.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (tmp_path / "docs").mkdir()
    for n in range(SIZE):
        (tmp_path / "docs" / f"d{n}.txt").write_text(f"This is number{n} of all.")
    assert main(["rag", "ingest", "-c", "rag.yaml", "docs"]) == 0


def test_words_win_where_vectors_mislead(there, capsys):
    capsys.readouterr()
    assert main(["rag", "tune", "-c", "rag.yaml", "--questions", "qa.jsonl", "--output", "fusion.yaml"]) == 0
    told = capsys.readouterr().out
    assert "surely better" in told
    assert "not surely" not in told
    both = [yaml.safe_load(Path(name).read_text()) for name in ("rag.yaml", "fusion.yaml")]
    chosen = load_rag({**both[0], **both[1]}).search
    assert chosen.fusion != load_rag("rag.yaml").search.fusion
    with KnowledgeBase(load_rag("rag.yaml").knowledge) as base:
        tuned = tune(base, read_questions("qa.jsonl"), load_rag("rag.yaml").search)
        assert (tuned.keyword.mean, tuned.vector.mean) == (1.0, 0.5)
        assert (tuned.chosen.mean, tuned.before.mean) == (1.0, 0.5)
        assert tuned.gain.mean == 0.5
        best = tune(base, read_questions("qa.jsonl"), chosen)
        assert (best.best.fusion, best.gain.mean, best.surely_better) == (chosen.fusion, 0.0, False), (
            "what is as good stays"
        )
        with pytest.raises(DataError, match="0 questions name a place"):
            tune(base, [Question(question="why?")] * 50, chosen)


def test_what_cannot_be_tuned_is_told(tmp_path):
    with (
        KnowledgeBase(load_rag({"knowledge": {"path": str(tmp_path / "kb")}}).knowledge) as base,
        pytest.raises(ConfigError, match="without vectors"),
    ):
        tune(base, [], SearchConfig())


def test_settings_differ_and_ranks_are_reciprocal():
    assert len(set(map(repr, settings()))) == len(settings()) > 100
    assert _rank(np.array([5, 3, 9]), frozenset({9, 3})) == 0.5
    assert _rank(np.array([5]), frozenset({9})) == 0.0
