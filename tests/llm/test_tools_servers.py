"""Every tool beside a server that has a bad day: malformed JSON, refusals, cut answers, slow ones, storms of 429 and 500."""

import json
from pathlib import Path

import pytest
import yaml

from easyrec.cli import main
from easyrec.llm.config import FAMILY
from feature_generator.config import members

TEXTS = [f"text number {n}" for n in range(20)]
BAD = {"text number 3", "text number 8"}


@pytest.fixture
def run(server, tmp_path, tool_cases):
    """Runs a tool by its command: its exit code, its case, and its report where there is one."""

    def make(tool, *, max_failed=None, **model):
        own = tool_cases[tool]()
        endpoint = {
            "base_url": server.url,
            "model": "m",
            "key_env": "MODEL_KEY",
            "first_wait_s": 0.01,
            "longest_wait_s": 0.02,
            "timeout_s": 5.0,
            **model,
        }
        section = own.section(tmp_path, TEXTS)
        if max_failed is not None and own.answers:
            section["max_failed"] = max_failed
        config = {"model": endpoint, "embedder": {"type": "server", **endpoint}, tool: section}
        (tmp_path / "llm.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
        code = main(["llm", tool, "-c", str(tmp_path / "llm.yaml")])
        output = Path(section["output"])
        report = output.with_name(f"{output.name}.report.json")
        return code, own, json.loads(report.read_text()) if code == 0 else None

    return make


def good(server, own, path, body):
    return server.says(own.good(body)) if path == "/chat/completions" else server.word_vectors(path, body)


def says(server, tool_cases, tool, odd):
    """The server says what is right, and `odd` where a bad text is told."""

    def answer(path, body):
        told = json.dumps(body["messages"]) if "messages" in body else ""
        if any(f'{text}\\"' in told.replace('\\\\"', '\\"') for text in BAD):
            return odd(body)
        return good(server, tool_cases[tool](), path, body)

    server.answer = answer


def counted(report, kind):
    return sum(one[kind] for one in report["prompts"].values())


ODD = {
    "malformed": ("unparsed", lambda server: server.says('{"why": "so", "grade": ')),
    "no JSON": ("unparsed", lambda server: server.says("I would say four of five.")),
    "refused": ("refused", lambda server: server.says(None, refusal="I cannot help with that.")),
    "filtered": ("refused", lambda server: server.says("", finish="content_filter")),
    "cut": ("cut", lambda server: server.says('{"why": "it goes on and', finish="length")),
}


@pytest.mark.parametrize("tool", members(FAMILY))
@pytest.mark.parametrize("name", ODD)
def test_answers_that_cannot_be_used_are_counted_and_are_no_results(
    tool, name, run, server, tool_cases, tmp_path, capsys
):
    kind, odd = ODD[name]
    says(server, tool_cases, tool, lambda body: odd(server))
    code, own, report = run(tool, max_failed=0.5)
    assert code == 0, capsys.readouterr().err
    if own.answers:
        assert counted(report, kind) >= len(BAD)
        assert counted(report, "asked") == counted(report, "answered") + counted(report, kind)
        assert own.failed(tmp_path) == len(BAD)
    own.holds(tmp_path, TEXTS)


@pytest.mark.parametrize("tool", members(FAMILY))
def test_too_many_of_them_end_it(tool, run, server, tool_cases, capsys):
    server.answer = lambda path, body: (
        server.says("I do not speak JSON") if "messages" in body else server.word_vectors(path, body)
    )
    code, own, _ = run(tool)
    if own.answers:
        assert code == 3
        assert "answers cannot be used" in capsys.readouterr().err


@pytest.mark.parametrize("tool", members(FAMILY))
def test_storms_are_waited_out(tool, run, server, tool_cases, tmp_path, capsys):
    for number in range(30):
        state, headers = (429, {"Retry-After": "0"}) if number % 3 else (500, {})
        server.script.append(server.Reply({"error": {"message": "storm"}}, status=state, headers=headers))
    server.answer = lambda path, body: good(server, tool_cases[tool](), path, body)
    code, own, report = run(tool, tries=40)
    assert code == 0, capsys.readouterr().err
    assert report["tokens"]["tries_again"] == 30
    own.holds(tmp_path, TEXTS)


@pytest.mark.parametrize("tool", members(FAMILY))
def test_a_server_that_stays_broken_is_told_and_what_it_said_is_kept(tool, run, server, tool_cases, capsys):
    own, answered = tool_cases[tool](), []

    def answer(path, body):
        if len(answered) >= 4:
            return server.Reply({"error": {"message": "down"}}, status=503)
        answered.append(body)
        return good(server, own, path, body)

    server.answer = answer
    code, _, _ = run(tool, tries=2, concurrency=1)
    assert code == 1
    assert "503" in capsys.readouterr().err
    server.answer = lambda path, body: good(server, own, path, body)
    before = len(server.asked)
    code, _, _ = run(tool, concurrency=1)
    assert code == 0
    again = [body for _, body in server.asked[before:]]
    assert not [body for body in again if body in answered]


@pytest.mark.parametrize("tool", members(FAMILY))
def test_slow_answers_are_given_up_and_asked_again(tool, run, server, tool_cases, tmp_path, capsys):
    own = tool_cases[tool]()
    late = iter([True, True])

    def answer(path, body):
        told = good(server, own, path, body)
        return server.Reply(told, wait=0.8) if next(late, False) else told

    server.answer = answer
    code, _, report = run(tool, timeout_s=0.3, tries=5)
    assert code == 0, capsys.readouterr().err
    assert report["tokens"]["tries_again"] >= 2
    own.holds(tmp_path, TEXTS)


@pytest.mark.parametrize("tool", members(FAMILY))
def test_a_second_run_sends_nothing_and_says_the_same(tool, run, server, tool_cases, tmp_path):
    server.answer = lambda path, body: good(server, tool_cases[tool](), path, body)
    code, _, first = run(tool)
    before = len(server.asked)
    again, _, second = run(tool)
    assert (code, again, len(server.asked)) == (0, 0, before)
    assert second["tokens"]["calls"] == 0
    for kind in ("asked", "answered"):
        assert counted(first, kind) == counted(second, kind)


@pytest.mark.parametrize("tool", members(FAMILY))
def test_a_budget_ends_it_and_a_larger_one_goes_on(tool, run, server, tool_cases, tmp_path, capsys):
    own = tool_cases[tool]()
    server.answer = lambda path, body: good(server, own, path, body)
    code, _, _ = run(tool, budget={"tokens": 700}, max_tokens=64, concurrency=1)
    if not own.answers:
        return
    assert code == 1
    assert "the budget is 700" in capsys.readouterr().err
    paid = [body for _, body in server.asked]
    code, _, _ = run(tool, max_tokens=64, concurrency=1)
    assert code == 0
    assert not [body for _, body in server.asked[len(paid) :] if body in paid]
