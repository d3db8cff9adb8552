"""How far a judge agrees with people."""

import json

import pytest
import yaml

from easyrec.cli import main
from easyrec.errors import DataError
from rag.evaluation.labelled import agreement, read_labelled

LINES = [
    {"question": f"q{n}", "answer": "right", "said": f"answer {n}", "labels": {"correctness": label}}
    for n, label in enumerate([1.0, 0.75, 0.0, 0.5])
]


def written(path, lines):
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


def play(server):
    scores = {"answer 0": 5, "answer 1": 5, "answer 2": 4}

    def answer(path, body):
        lines = [line for line in map(json.loads, body["messages"][1]["content"].split("\n")) if "n" in line]
        if not any(line["answer"] in scores for line in lines):
            return server.says("who knows")
        told = [{"n": line["n"], "reason": "r", "score": scores.get(line["answer"], 1)} for line in lines]
        return server.says(json.dumps({"scores": told}))

    server.answer = answer


def test_agreement_by_hand(tmp_path, judge, model_server):
    play(model_server)
    (found,) = agreement(read_labelled(written(tmp_path / "l.jsonl", LINES)), judge())
    assert found.name == "correctness"
    assert found.states == {"measured": 3, "unparsed": 1}
    assert (found.near.mean, found.near.count) == (pytest.approx(2 / 3), 3)  # 1 and 1, 1 and .75, .75 and 0
    assert found.distance == pytest.approx((0 + 0.25 + 0.75) / 3)
    assert found.bias == pytest.approx((0 + 0.25 + 0.75) / 3)
    assert 0.9 < found.correlation < 1.0


def test_the_command(tmp_path, model_server, capsys):
    play(model_server)
    judge = {"base_url": model_server.url, "model": "m", "key_env": "MODEL_KEY", "first_wait_s": 0.01}
    (tmp_path / "rag.yaml").write_text(
        yaml.safe_dump({"knowledge": {"path": str(tmp_path / "kb")}, "evaluation": {"judge": judge}})
    )
    words = ["rag", "judge", "-c", str(tmp_path / "rag.yaml"), "--labelled"]
    path = str(written(tmp_path / "l.jsonl", LINES))
    assert main([*words, path]) == 0
    assert "1 unparsed" in capsys.readouterr().out
    assert main([*words, path, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["near"]["count"] == 3
    bad = written(tmp_path / "bad.jsonl", [{**LINES[0], "labels": {"correctnes": 1}}])
    assert main([*words, str(bad)]) == 2
    assert "did you mean 'correctness'" in capsys.readouterr().err
    with pytest.raises(DataError, match="from 0 to 1"):
        read_labelled(written(tmp_path / "bad.jsonl", [{**LINES[0], "labels": {"correctness": 5}}]))
