"""`easyrec rag eval`: files of questions, what is told, comparisons, and gates that noise does not fail."""

import contextlib
import json
import re
import shutil

import numpy as np
import pytest
import yaml

from easyrec.cli import main
from easyrec.errors import ConfigError, DataError
from easyrec.intervals import interval
from rag.config import load_rag
from rag.evaluation.comparing import compare
from rag.evaluation.evaluate import Evaluator, metrics_of
from rag.evaluation.gates import check_drops, check_gates, read_gate
from rag.evaluation.questions import Question, digest_of, read_questions, write_questions
from rag.evaluation.results import STATES, Summary, read_report
from rag.knowledge import KnowledgeBase

pytest.importorskip("tantivy", reason="needs the extra 'rag'")

ANIMALS = ["otter", "heron", "badger", "lynx", "marten", "weasel", "beaver", "osprey"]


def summary(name, values, **states):
    counts = dict.fromkeys(STATES, 0) | {"measured": len(values)} | states
    return Summary(name, interval(values), counts)


# ------------------------------------------------------------------------------------------ questions


def test_questions_are_what_was_written(tmp_path):
    path = tmp_path / "qa.jsonl"
    made = [
        Question(question="How long?", answer="Five days.", references=[{"source": "a.md", "quote": "five days"}]),
        Question(question="And then?", kind="dialogue", history=[{"role": "user", "content": "Hi"}], id="x"),
    ]
    write_questions(path, made)
    found = read_questions(path)
    assert found[0].key == made[0].key
    assert found[0].references == made[0].references
    assert (found[1].key, found[1].history[0].content) == ("x", "Hi")
    path.write_text('\n{"question": "Only this?"}\n')
    assert read_questions(path)[0].kind == "single"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has no questions"),
        ('{"question": "a"}\n{"questio": "b"}', "line 2: question: this key is required"),
        ('{"question": "a"}\n\n{"question": "a"}', "line 3: is called .* as that of line 1"),
        ("{", "line 1"),
        ('{"question": "a", "kind": "triple"}', "line 1: kind"),
        ('{"question": "a", "references": [{"source": "x", "digest": "zz"}]}', "references.0.digest"),
        ('{"question": "' + "x" * (1 << 20) + '"}', "line 1: is longer than"),
    ],
)
def test_a_bad_line_is_named(tmp_path, text, said):
    path = tmp_path / "qa.jsonl"
    path.write_text(text)
    with pytest.raises(DataError, match=said):
        read_questions(path)
    with pytest.raises(DataError, match="cannot be read"):
        read_questions(tmp_path / "none.jsonl")


# ---------------------------------------------------------------------------------------------- gates


@pytest.mark.parametrize(
    ("gate", "values", "passed", "sure"),
    [
        ("x>=0.5", [1.0, 0.8] * 20, True, True),
        ("x>=0.88", [1.0, 0.7] * 20, True, False),
        ("x >= 0.95", [1.0, 0.5] * 20, False, True),
        ("x<=0.1", [0.0, 0.1] * 20, True, True),
        ("x<=.1", [0.5, 0.4] * 20, False, True),
        ("x>=0.9", [1.0] * 3, True, False),
        ("x>=0.1", [], False, True),
    ],
    ids=["held", "missed by chance", "missed", "most held", "most missed", "held by few", "nothing"],
)
def test_a_gate_fails_where_chance_cannot_have_made_it(gate, values, passed, sure):
    (found,) = check_gates([read_gate(gate)], [summary("x", values)], 0.8)
    assert (found.passed, found.sure) == (passed, sure)


def test_a_gate_wants_most_questions_to_have_a_value():
    few = summary("x", [1.0] * 10, unparsed=10, skipped=100)
    (found,) = check_gates([read_gate("x>=0.5")], [few], 0.8)
    assert not found.passed
    assert "50% of its questions" in found.why
    assert check_gates([read_gate("x>=0.5")], [few], 0.5)[0].passed


@pytest.mark.parametrize("text", ["x", "x>1", "x>=", ">=1", "x>=a", "x==1"])
def test_a_gate_that_is_none(text):
    with pytest.raises(ConfigError, match="metric>=value"):
        read_gate(text)


def drop(before, after, most):
    keys = [str(n) for n in range(len(before))]
    told = [{"x": dict(zip(keys, values, strict=True))} for values in (before, after)]
    return check_drops(compare(*told), most, 0.95)[0]


def test_a_drop_fails_where_it_is_sure():
    before = [1.0] * 40
    assert drop(before, before, 0.0).passed
    assert not drop(before, [0.0] * 20 + [1.0] * 20, 0.1).passed
    assert drop(before, [0.0] * 20 + [1.0] * 20, 0.6).passed
    noise = drop(before, [0.0] * 2 + [1.0] * 38, 0.0)
    assert noise.passed
    assert "chance" in noise.why
    assert drop([1.0], [0.0], 0.0).passed, "one question shows nothing"


def test_noise_fails_few_builds_and_a_real_loss_most():
    random = np.random.default_rng(11)
    keys = [str(n) for n in range(100)]

    def failed(loss):
        before, after = (random.random(100) < 0.7 for _ in range(2))
        after = after & (random.random(100) >= loss)
        told = [{"x": dict(zip(keys, map(float, values), strict=True))} for values in (before, after)]
        return not check_drops(compare(*told, resamples=300), 0.0, 0.95)[0].passed

    assert sum(failed(0.0) for _ in range(150)) <= 150 * 0.06
    assert sum(failed(0.5) for _ in range(40)) >= 36


# -------------------------------------------------------------------------------------------- the command


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A knowledge base of animals, and questions to it."""
    folder = tmp_path_factory.mktemp("animals")
    (folder / "animals").mkdir()
    questions = []
    for animal in ANIMALS:
        text = f"The {animal} eats {animal}food."
        (folder / "animals" / f"{animal}.txt").write_text(text)
        references = [{"source": f"animals/{animal}.txt", "digest": digest_of(text), "quote": text}]
        fields = {"id": animal, "answer": f"{animal}food", "references": references}
        questions.append(Question(question=f"What does the {animal} eat?", **fields))
    write_questions(folder / "qa.jsonl", questions)
    with contextlib.chdir(folder), KnowledgeBase(load_rag({"knowledge": {"path": "kb"}}).knowledge) as base:
        base.add(["animals"])
    return folder


@pytest.fixture
def here(made, tmp_path, monkeypatch, model_server):
    """A folder with those, a config that searches well, one that searches badly, and one that answers."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    llm = {"base_url": model_server.url, "model": "m", "key_env": "MODEL_KEY", "first_wait_s": 0.01}
    told = {"name": "good", "knowledge": {"path": "kb"}, "search": {"k": 3}, "evaluation": {"resamples": 500}}
    (tmp_path / "rag.yaml").write_text(yaml.safe_dump(told))
    (tmp_path / "full.yaml").write_text(yaml.safe_dump({**told, "llm": {**llm, "cache": "answers.db"}}))
    bad = {**told, "name": "bad", "search": {"k": 1, "min_score": 1000.0}}
    (tmp_path / "bad.yaml").write_text(yaml.safe_dump(bad))
    return tmp_path


def said(capsys, *words):
    code = main(["rag", "eval", "--questions", "qa.jsonl", *words])
    return code, capsys.readouterr()


def test_what_is_found_is_measured(here, capsys):
    code, told = said(
        capsys, "-c", "rag.yaml", "--output", "report.json", "--html", "page.html", "--metric", "mrr", "recall@1"
    )
    assert code == 0
    assert re.search(r"mrr@3 +1\.0000 +0\.\d+ \.\. 1\.0000 +8", told.out)
    report = json.loads((here / "report.json").read_text())
    assert [one["name"] for one in report["metrics"]] == ["mrr@3", "recall@1"]
    assert report["cases"][0]["hits"][0] == {"source": "animals/otter.txt", "path": [], "score": 1.0, "right": True} | {
        "score": report["cases"][0]["hits"][0]["score"]
    }
    page = (here / "page.html").read_text()
    assert "What does the otter eat?" in page
    assert page.count("<svg") >= 3
    assert "<script" not in page


def test_configs_are_compared_and_a_worse_one_fails_the_build(here, capsys):
    code, told = said(
        capsys, "-c", "rag.yaml", "--output", "report.json", "--against", "bad.yaml", "--metric", "hit_rate@1"
    )
    assert code == 0
    assert re.search(r"hit_rate@1 +1\.0000 +0\.0000 +-1\.0000", told.out)
    code, told = said(
        capsys, "-c", "bad.yaml", "--baseline", "report.json", "--metric", "hit_rate@1", "--html", "p.html"
    )
    assert code == 3
    assert "1 of 1 gates failed" in told.err
    assert "-1.000  otter  What does the otter eat?" in told.err
    assert "FAILED" in (here / "p.html").read_text()
    assert said(capsys, "-c", "rag.yaml", "--baseline", "report.json", "--metric", "hit_rate@1")[0] == 0
    code, told = said(capsys, "-c", "bad.yaml", "--gate", "hit_rate@1>=0.8", "--metric", "hit_rate@1")
    assert (code, "hit_rate@1 >= 0.8" in told.out) == (3, True)
    assert "worst by hit_rate@1:\n  0.000  badger  What does the badger eat?" in told.err
    code, told = said(capsys, "-c", "rag.yaml", "--gate", "hit_rate@1>=0.8", "--json", "--metric", "hit_rate@1")
    assert code == 0
    assert json.loads(told.out)["gates"][0]["passed"] is True


WRONG = [
    (["--gate", "hitrate@1>=1"], 2, "'hitrate@1' is not measured"),
    (["--gate", "x"], 2, "metric>=value"),
    (["--max-drop", "1"], 2, "needs --baseline"),
    (["--max-drop", "nan", "--baseline", "report.json"], 2, "must be a number from 0 on"),
    (["--max-drop", "-1", "--baseline", "report.json"], 2, "must be a number from 0 on"),
    (["--metric", "abstention", "--search-only"], 2, "nothing is left to measure: abstention"),
    (["--output", "nowhere/r.json"], 2, "there is no folder nowhere"),
    (["--html", "animals"], 2, "is a folder"),
    (["--metric", "mmr"], 2, "did you mean 'mrr'"),
    (["--metric", "mrr@0"], 2, "no such number"),
    (["--metric", "faithfulness"], 2, "needs 'llm'"),
    (["--metric", "similarity"], 2, "needs 'llm'"),
    (["--metric", "mrr", "mrr"], 2, "is there twice"),
    (["--baseline", "rag.yaml"], 3, "is no report"),
    (["--baseline", "none.json"], 3, "cannot be read"),
    (["--limit", "0"], 2, "--limit"),
    (["--against", "none.yaml"], 2, "none.yaml"),
]


def test_what_is_wrong_is_told_before_anything_is_asked(here, capsys):
    for words, code, text in WRONG:
        got, told = said(capsys, "-c", "rag.yaml", *words)
        assert got == code, told.err
        assert text in told.err


def test_a_document_that_changed_does_not_orphan_questions_and_one_that_went_is_told(here, capsys):
    with KnowledgeBase(load_rag("rag.yaml").knowledge) as base:
        (here / "animals" / "otter.txt").write_text("The  otter eats\notterfood!\n\nIt is small.")
        base.add(["animals"])
        base.remove("animals/heron.txt")
    _, told = said(capsys, "-c", "rag.yaml", "--metric", "hit_rate")
    assert "1 of 8 questions rest on what no document says any more" in told.out
    assert re.search(r"hit_rate@3 +1\.0000 .* 7", told.out)


def spoken(server, text):
    pieces = [{"choices": [{"delta": {"content": text}, "finish_reason": "stop"}]}]
    return server.Reply(pieces=[*pieces, {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 3}}])


def play(server):
    """One who answers, and one who judges; the latter says yes to whatever the former says of the first excerpt."""

    def answer(path, body):
        if body.get("stream"):
            return spoken(server, json.loads(body["messages"][1]["content"].split("\n")[1])["text"] + " [1]")
        lines = [json.loads(line) for line in body["messages"][1]["content"].split("\n")]
        name = body["response_format"]["json_schema"]["name"]
        if name == "Claims":
            return server.says(json.dumps({"claims": [lines[-1]["answer"]]}))
        if name == "Scores":
            scores = [
                {"n": one["n"], "reason": "r", "score": 5 if "food" in one["answer"] else 1}
                for one in lines
                if "n" in one
            ]
            return server.says(json.dumps({"scores": scores}))
        if name == "Relevances":
            right = lines[0]["question"].split()[3]
            verdicts = [
                {"n": one["n"], "verdict": "relevant" if right in one["text"] else "irrelevant"} for one in lines[1:]
            ]
            return server.says(json.dumps({"verdicts": verdicts}))
        texts = [one["text"] for one in lines if "n" in one]
        statements = [one for one in lines if "s" in one]
        verdicts = [
            {
                "s": one["s"],
                "evidence": one["statement"],
                "verdict": "supported" if any(one["statement"].rstrip(".") in t for t in texts) else "not_stated",
            }
            for one in statements
        ]
        return server.says(json.dumps({"verdicts": verdicts}))

    server.answer = answer


def test_answers_are_measured_once_and_paid_once(here, capsys, model_server):
    play(model_server)
    code, told = said(capsys, "-c", "full.yaml", "--limit", "4", "--output", "report.json")
    assert code == 0, told.err
    report = json.loads((here / "report.json").read_text())
    means = {one["name"]: one["mean"] for one in report["metrics"]}
    assert set(means) == {
        *("hit_rate@3", "mrr@3", "precision@3", "recall@3", "ndcg@3", "abstention", "citation_precision"),
        *("faithfulness", "correctness", "context_relevance"),
    }
    assert means["faithfulness"] == means["correctness"] == means["citation_precision"] == means["abstention"] == 1.0
    assert report["cases"][0]["answer"] == "The otter eats otterfood. [1]"
    assert report["usage"]["answers"]["calls"] == 4
    assert any("judges itself" in note for note in report["notes"])
    asked = len(model_server.asked)
    code, told = said(capsys, "-c", "full.yaml", "--limit", "4")
    assert len(model_server.asked) == asked, "what was answered is in the cache, streams too"
    assert said(capsys, "-c", "full.yaml", "--limit", "4", "--search-only")[0] == 0


def test_a_question_that_is_refused_is_counted_and_the_others_go_on(here, capsys, model_server):
    play(model_server)
    own = model_server.answer

    def answer(path, body):
        if body.get("stream") and "heron eat" in body["messages"][1]["content"].split("\n")[-1]:
            return model_server.Reply({"error": {"message": "too long"}}, status=400)
        return own(path, body)

    model_server.answer = answer
    code, told = said(capsys, "-c", "full.yaml", "--metric", "abstention", "hit_rate", "--output", "report.json")
    assert code == 0
    assert "1 of 8 questions could not be asked" in told.out
    report = json.loads((here / "report.json").read_text())
    assert report["metrics"][0]["states"]["failed"] == 1
    assert report["metrics"][1]["states"]["failed"] == 0, "it was found"
    model_server.answer = lambda path, body: model_server.Reply({"error": {"message": "bad model"}}, status=400)
    code, told = said(capsys, "-c", "full.yaml", "--metric", "abstention", "-o", "llm.cache=null")
    assert code == 1
    assert "no question could be asked, the first: " in told.err

    def shut(path, body):
        closed = body.get("stream") and "heron eat" in body["messages"][1]["content"].split("\n")[-1]
        return model_server.Reply({"error": {"message": "no"}}, status=401) if closed else own(path, body)

    model_server.answer = shut
    code, told = said(capsys, "-c", "full.yaml", "--metric", "abstention", "-o", "llm.cache=null")
    assert code == 1
    assert "HTTP 401" in told.err
    assert "no question could be asked" not in told.err


def test_metrics_need_what_they_need(config):
    own = config()
    assert [one.type for one in metrics_of(own, answers=False)] == ["hit_rate", "mrr", "precision", "recall", "ndcg"]
    assert "similarity" not in [one.type for one in metrics_of(own)]
    with pytest.raises(ConfigError, match=r"needs 'knowledge\.embedder'"):
        metrics_of(own, ["similarity"])
    named = config(evaluation={"metrics": [{"type": "ndcg", "k": 10}, {"type": "ndcg", "k": 10, "name": "again"}]})
    assert [one.key(3) for one in metrics_of(named)] == ["ndcg@10", "again"]
    with pytest.raises(ConfigError, match="did you mean 'faithfulness'"):
        config(evaluation={"metrics": ["faithfullness"]})


def test_a_metric_that_looks_deeper_has_more_searched(here):
    own = load_rag("rag.yaml", ["search.k=1", "evaluation.metrics=[{type: recall, k: 5}]"])
    question = Question(question="What eats?", references=[{"source": f"animals/{one}.txt"} for one in ANIMALS[:4]])
    with Evaluator(own) as evaluator:
        found = evaluator.evaluate([question])
    assert len(found.cases[0].hits) == 5


def test_a_question_that_is_worded_anew_is_not_compared_with_what_it_was(here, capsys):
    def asked(word):
        lines = [{"id": "a", "question": f"{word} otter eat?", "references": [{"source": "animals/otter.txt"}]}]
        lines.append({"id": "b", "question": "What does the lynx eat?", "references": [{"source": "animals/lynx.txt"}]})
        (here / "qa.jsonl").write_text("\n".join(map(json.dumps, lines)))

    words = ["-c", "rag.yaml", "--metric", "mrr"]
    asked("What does the")
    assert said(capsys, *words, "--output", "former.json")[0] == 0
    asked("And the")
    code, told = said(capsys, *words, "--baseline", "former.json", "--json")
    assert code == 0
    told = json.loads(told.out)
    assert "1 questions ask something else than in the baseline, and are not compared: a" in told["notes"]
    ((compared,),) = told["compared"].values()
    assert list(compared["questions"]) == ["b"]


def test_a_former_report_may_know_more(tmp_path):
    path = tmp_path / "r.json"
    path.write_text('{"format": 1, "future": 3, "cases": [{"id": "a", "values": {"x": 0.5, "y": null}, "z": 1}]}')
    assert read_report(path).by_question() == {"x": {"a": 0.5}}
