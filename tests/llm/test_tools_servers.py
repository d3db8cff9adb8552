"""Every tool beside a server that has a bad day: malformed JSON, refusals, cut answers, slow ones, storms of 429 and 500."""

import pytest
import yaml

from easyrec.cli import main

TEXTS = [f"text number {n}" for n in range(10)]
BAD = {"text number 3", "text number 8"}


@pytest.fixture
def run(server, tmp_path):
    """Runs a tool by its command, and gives the exit code."""

    def make(case, *, max_failed=None, **model):
        endpoint = {
            "base_url": server.url,
            "model": "m",
            "key_env": "MODEL_KEY",
            "first_wait_s": 0.01,
            "longest_wait_s": 0.02,
            "timeout_s": 5.0,
            **model,
        }
        section = case.section(tmp_path, TEXTS)
        if max_failed is not None:
            section["max_failed"] = max_failed
        config = {"model": endpoint, case.tool: section}
        if case.embeds:
            config["embedder"] = {"type": "server", "batch": 2, **endpoint}
        (tmp_path / "llm.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
        return main(["llm", case.tool, "-c", str(tmp_path / "llm.yaml")])

    return make


def good(server, case, usage=(10, 5)):
    def answer(path, body):
        return (
            server.says(case.good(body), usage=usage)
            if path == "/chat/completions"
            else server.word_vectors(path, body)
        )

    return answer


def unlucky(server, case, odd):
    """The server says what is right, and `odd` where a bad text is told."""
    right = good(server, case)

    def answer(path, body):
        return odd() if any(f'"{text}"' in case.told(body) for text in BAD) else right(path, body)

    return answer


def counted(report, kind):
    return sum(one[kind] for one in report["prompts"].values())


ODD = {
    "malformed": ("unparsed", lambda server: server.says('{"why": "so", "grade": ')),
    "no JSON": ("unparsed", lambda server: server.says("I would say four of five.")),
    "refused": ("refused", lambda server: server.says(None, refusal="I cannot help with that.")),
    "filtered": ("refused", lambda server: server.says("", finish="content_filter")),
    "cut": ("cut", lambda server: server.says('{"why": "it goes on and', finish="length")),
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in ("no JSON", "filtered") else ()) for name in ODD]
)
def test_answers_that_cannot_be_used_are_counted_and_are_no_results(asking, name, run, server, tmp_path, capsys):
    kind, odd = ODD[name]
    server.answer = unlucky(server, asking, lambda: odd(server))
    assert run(asking, max_failed=0.5) == 0, capsys.readouterr().err
    report = asking.report(tmp_path)
    assert counted(report, kind) >= len(BAD)
    assert counted(report, "asked") == counted(report, "answered") + counted(report, kind)
    assert asking.failed(tmp_path, TEXTS) == len(BAD)
    asking.holds(tmp_path, TEXTS)


def test_too_many_of_them_end_it(asking, run, server, capsys):
    server.answer = lambda path, body: server.says("I do not speak JSON")
    assert run(asking) == 3
    assert "answers cannot be used" in capsys.readouterr().err


def test_storms_are_waited_out(tool, run, server, tmp_path, capsys):
    for number in range(12):
        state, headers = (429, {"Retry-After": "0"}) if number % 3 else (500, {})
        server.script.append(server.Reply({"error": {"message": "storm"}}, status=state, headers=headers))
    server.answer = good(server, tool)
    assert run(tool, tries=40) == 0, capsys.readouterr().err
    assert not server.script
    tool.holds(tmp_path, TEXTS)
    if tool.answers:
        assert tool.report(tmp_path)["tokens"]["tries_again"] == 12


@pytest.mark.slow
def test_a_server_that_stays_broken_is_told_and_what_it_said_is_kept(tool, run, server, tmp_path, capsys):
    answered, right = [], good(server, tool)

    def answer(path, body):
        if len(answered) >= 4:
            return server.Reply({"error": {"message": "down"}}, status=503)
        answered.append(body)
        return right(path, body)

    server.answer = answer
    assert run(tool, tries=2, concurrency=1) == 1
    assert "503" in capsys.readouterr().err
    server.answer, before = right, len(server.asked)
    assert run(tool, tries=2, concurrency=1) == 0
    assert not [body for _, body in server.asked[before:] if body in answered]
    tool.holds(tmp_path, TEXTS)


@pytest.mark.slow
def test_slow_answers_are_given_up_and_asked_again(tool, run, server, tmp_path, capsys):
    late, right = iter([True, True]), good(server, tool)

    def answer(path, body):
        told = right(path, body)
        return server.Reply(told, wait=0.8) if next(late, False) else told

    server.answer = answer
    assert run(tool, timeout_s=0.3, tries=5) == 0, capsys.readouterr().err
    tool.holds(tmp_path, TEXTS)
    if tool.answers:
        assert tool.report(tmp_path)["tokens"]["tries_again"] >= 2


def test_vectors_that_are_none_end_it_and_nothing_is_written(embedding, run, server, tmp_path, capsys):
    for wrong in ({"data": "?"}, {"data": []}, {"data": [{"index": 0, "embedding": [float("nan")]}]}):
        server.answer = lambda path, body, wrong=wrong: wrong
        assert run(embedding) == 1
        assert not embedding.output(tmp_path).exists()
        assert "gave" in (told := capsys.readouterr().err) or "no vectors" in told


def test_a_second_run_sends_nothing_and_says_the_same(tool, run, server, tmp_path):
    server.answer = good(server, tool)
    assert run(tool) == 0
    first, before = tool.output(tmp_path).read_bytes(), len(server.asked)
    assert run(tool) == 0
    assert len(server.asked) == before
    assert tool.output(tmp_path).read_bytes() == first


def test_a_budget_ends_it_and_a_larger_one_goes_on(asking, run, server, tmp_path, capsys):
    server.answer = good(server, asking, usage=(400, 80))
    assert run(asking, budget={"tokens": 2500}, max_tokens=64, concurrency=1) == 1
    assert "the budget is 2500" in capsys.readouterr().err
    paid = [body for _, body in server.asked]
    assert paid
    assert run(asking, max_tokens=64, concurrency=1) == 0
    assert not [body for _, body in server.asked[len(paid) :] if body in paid]
    asking.holds(tmp_path, TEXTS)
