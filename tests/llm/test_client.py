"""The client of language models, beside a server that says what is written down."""

import asyncio
import base64
import json
import threading
import time

import numpy as np
import pytest
from pydantic import BaseModel, ConfigDict

from easyrec.errors import AnswerError, BudgetError, ConfigError, DataError, ModelError
from easyrec.llm.client import AsyncClient, Budget, Client, Image, Price, system, user
from easyrec.llm.client.answers import usage_of
from easyrec.llm.client.tape import Tape


class Verdict(BaseModel):
    model_config = ConfigDict(extra="forbid")
    score: int
    reason: str


def vectors_of(path, body):
    """Three numbers that only this text has."""
    data = [{"index": i, "embedding": [float(len(t)), float(ord(t[-1])), 1.0]} for i, t in enumerate(body["input"])]
    return {"data": data[::-1], "usage": {"prompt_tokens": 7 * len(data)}}


def test_a_question_is_answered_and_counted(server, endpoint):
    server.answer = lambda path, body: server.says("blue", usage=(12, 3))
    with Client(endpoint(price=Price(input=1.0, output=2.0))) as client:
        answer = client.chat(
            [system("be brief"), user("which colour?")], max_tokens=5, temperature=0.5, seed=3, stop=["."]
        )
        assert (answer.text, answer.finish, answer.model, answer.cached) == ("blue", "stop", "small-1", False)
        assert (answer.usage.input, answer.usage.output, answer.usage.calls) == (12, 3, 1)
        assert client.ledger.spent == answer.usage
        assert client.ledger.cost() == pytest.approx((12 * 1.0 + 3 * 2.0) / 1e6)
    (body,) = server.bodies()
    assert body == {
        "model": "small",
        "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "which colour?"}],
        "max_tokens": 5,
        "temperature": 0.5,
        "seed": 3,
        "stop": ["."],
    }


def test_pictures_go_as_data(server, endpoint):
    with Client(endpoint()) as client:
        client.chat([user("what is it?", Image(b"\x89PNG...."))])
        with pytest.raises(ValueError, match="neither PNG"):
            client.chat([user("what is it?", Image(b"MZ"))])
    (body,) = server.bodies()
    text, picture = body["messages"][0]["content"]
    assert text == {"type": "text", "text": "what is it?"}
    assert base64.b64decode(picture["image_url"]["url"].removeprefix("data:image/png;base64,")) == b"\x89PNG...."


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_busy_or_broken_server_is_asked_again(server, endpoint, status):
    server.script.extend([server.Reply({"error": {"message": "later"}}, status=status)] * 2)
    with Client(endpoint()) as client:
        answer = client.chat("?")
    assert (answer.text, answer.usage.tries, len(server.asked)) == ("yes", 2, 3)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_a_refusal_is_told_at_once_without_the_key(server, endpoint, key, status):
    server.script.append(server.Reply({"error": {"message": f"no: {key}\n" + "x" * 5000}}, status=status))
    with Client(endpoint()) as client, pytest.raises(ModelError, match=f"HTTP {status}: no: ") as told:
        client.chat("my private words")
    assert told.value.status == status
    assert len(server.asked) == 1
    text = str(told.value)
    assert key not in text
    assert "private" not in text
    assert len(text) < 500


def test_a_wrong_key_is_told(server, endpoint, monkeypatch):
    monkeypatch.setenv("MODEL_KEY", "another-secret")
    with Client(endpoint()) as client, pytest.raises(ModelError, match=r"HTTP 401: bad key: Bearer \*\*\*"):
        client.chat("?")
    monkeypatch.delenv("MODEL_KEY")
    with pytest.raises(ConfigError, match="'MODEL_KEY' is not set"):
        Client(endpoint())


def test_tries_end(server, endpoint):
    server.answer = lambda path, body: server.Reply({"message": "overloaded"}, status=503)
    with Client(endpoint(tries=3)) as client, pytest.raises(ModelError, match=r"overloaded \(3 tries\)"):
        client.chat("?")
    assert len(server.asked) == 3


@pytest.mark.parametrize("how", ["cut", "no json", "a list", "silent"])
def test_a_broken_answer_is_asked_for_again(server, endpoint, how):
    broken = {
        "cut": server.Reply(server.says("half"), cut=True),
        "no json": server.Reply(raw=b"<html>bad gateway</html>"),
        "a list": server.Reply([1, 2]),
        "silent": server.Reply(server.says("late"), wait=1.0),
    }
    server.script.append(broken[how])
    with Client(endpoint(timeout_s=0.3)) as client:
        assert client.chat("?").text == "yes"
    assert len(server.asked) == 2


def test_no_server(endpoint):
    nowhere = endpoint().model_copy(update={"base_url": "http://127.0.0.1:9/v1", "tries": 2})
    with Client(nowhere) as client, pytest.raises(ModelError, match=r"127.0.0.1:9/v1: .*\(2 tries\)"):
        client.chat("?")


def test_patience_bounds_all_tries(server, endpoint):
    server.answer = lambda path, body: server.Reply(server.says("late"), wait=0.6)
    begun = time.monotonic()
    with Client(endpoint(patience_s=0.3)) as client, pytest.raises(ModelError, match=r"no answer within 0.3 s"):
        client.chat("?")
    assert time.monotonic() - begun < 0.6


def test_all_wait_where_the_server_asks_for_it(server, endpoint):
    server.script.append(server.Reply({}, status=429, headers={"Retry-After": "0.3"}))
    begun = time.monotonic()
    with Client(endpoint(concurrency=1)) as client:
        assert client.each(["a", "b"], lambda c, text: c.chat(text))
    assert time.monotonic() - begun >= 0.3


def test_large_answers_are_not_read(server, endpoint):
    server.answer = lambda path, body: server.says("x" * 5000)
    with Client(endpoint(answer_bytes=4096)) as client, pytest.raises(ModelError, match="larger than 4096 bytes"):
        client.chat("?")


@pytest.mark.parametrize("body", [{}, {"choices": []}, {"choices": [{"message": None}]}, {"choices": "x"}])
def test_an_answer_without_a_message_is_none(server, endpoint, body):
    server.answer = lambda path, asked: body
    with Client(endpoint()) as client, pytest.raises(ModelError, match="holds no message"):
        client.chat("?")


def test_calls_run_side_by_side_up_to_the_limit_and_keep_their_order(server, endpoint):
    server.answer = lambda path, body: server.Reply(server.says(body["messages"][0]["content"]), wait=0.03)
    with Client(endpoint(concurrency=4)) as client:
        answers = client.each([str(i) for i in range(16)], lambda c, text: c.chat(text))
    assert [answer.text for answer in answers] == [str(i) for i in range(16)]
    assert server.most == 4


def test_the_first_error_ends_the_others(server, endpoint):
    def answer(path, body):
        text = body["messages"][0]["content"]
        return server.Reply({"error": "bad"}, status=400) if text == "3" else server.Reply(server.says(text), wait=0.02)

    server.answer = answer
    with Client(endpoint(concurrency=2)) as client, pytest.raises(ModelError, match="HTTP 400"):
        client.each([str(i) for i in range(100)], lambda c, text: c.chat(text))
    assert len(server.asked) < 10


# ------------------------------------------------------------------------------------------------- streams


def pieces(*texts, finish="stop", usage=True):
    made = [{"model": "small-1", "choices": [{"delta": {"content": t}, "finish_reason": None}]} for t in texts]
    made.append({"choices": [{"delta": {}, "finish_reason": finish}]})
    if usage:
        made.append({"choices": [], "usage": {"prompt_tokens": 4, "completion_tokens": 2}})
    return made


def test_an_answer_comes_in_pieces(server, endpoint):
    told = [": a comment\n\n", *pieces("Gr", "üße\u2028", " 你好")]
    server.script.append(server.Reply(pieces=told))
    with Client(endpoint()) as client:
        *parts, last = client.stream("?")
        assert [part.text for part in parts] == ["Gr", "üße\u2028", " 你好"]
        assert last.answer.text == "Grüße\u2028 你好"
        assert (last.answer.finish, last.answer.usage.tokens) == ("stop", 6)
        assert client.ledger.spent.tokens == 6
    assert server.bodies()[0]["stream_options"] == {"include_usage": True}


def test_a_server_that_does_not_stream_answers_in_one_piece(server, endpoint):
    server.script.append(server.says("two words", finish=None))
    server.script.append(server.Reply({"error": {"message": "busy"}}))
    server.script.append(server.says(None, refusal="no"))
    with Client(endpoint()) as client:
        piece, last = client.stream("?")
        assert (piece.text, last.answer.text, last.answer.finish) == ("two words", "two words", "stop")
        assert client.ledger.spent.tokens == 15
        (last,) = client.stream("?")
        assert (last.answer.text, last.answer.refusal) == ("", "no")
    assert len(server.asked) == 3, "an error is asked again"


def test_a_stream_that_breaks_off_is_told_and_counted(server, endpoint):
    server.script.append(server.Reply(pieces=pieces("one ", "two ")[:2], cut=True))
    with Client(endpoint()) as client:
        heard = []
        with pytest.raises(ModelError, match="broke off"):
            heard.extend(client.stream("?"))
        assert client.ledger.spent.estimated > 0
    assert len(server.asked) == 1


def test_a_stream_is_asked_for_again_only_before_its_first_piece(server, endpoint):
    server.script.extend([server.Reply({}, status=500), server.Reply(pieces=[{"error": {"message": "busy"}}])])
    server.script.append(server.Reply(pieces=[*pieces("a")[:1], {"error": {"message": "out of memory"}}]))
    with Client(endpoint()) as client:
        heard = client.stream("?")
        assert next(heard).text == "a"
        with pytest.raises(ModelError, match="out of memory"):
            list(heard)
    assert len(server.asked) == 3


def test_leaving_a_stream_ends_it(server, endpoint):
    server.script.append(server.Reply(pieces=pieces(*"abcdefghij" * 20), wait=0.01))
    with Client(endpoint()) as client:
        for piece in client.stream("?"):
            if piece.text == "c":
                break
        assert client.chat("still there?").text == "yes"
        assert client.ledger.spent.calls == 2
    deadline = time.monotonic() + 5.0
    while server.now and time.monotonic() < deadline:
        time.sleep(0.01)
    assert server.now == 0


# ------------------------------------------------------------------------------------------------ structured


def test_a_value_is_asked_for_by_its_schema(server, endpoint):
    server.answer = lambda path, body: server.says('{"score": 4, "reason": "good"}')
    with Client(endpoint()) as client:
        parsed = client.structured("judge it", Verdict)
    assert parsed.value == Verdict(score=4, reason="good")
    assert parsed.repairs == 0
    form = server.bodies()[0]["response_format"]["json_schema"]
    assert form["strict"] is True
    assert form["schema"]["required"] == ["score", "reason"]
    assert form["schema"]["additionalProperties"] is False


@pytest.mark.parametrize(
    "text",
    [
        '```json\n{"score": 4, "reason": "good"}\n```',
        'Sure! {see below} Here: {"score": 4, "reason": "good"} Anything else?',
        '<think>{"score": "?"}</think>\n{"score": 4, "reason": "good"}',
    ],
    ids=["fenced", "among-words", "after-thoughts"],
)
def test_a_value_is_found_among_words(server, endpoint, text):
    server.answer = lambda path, body: server.says(text)
    with Client(endpoint(json_by="prompt")) as client:
        assert client.structured("judge it", Verdict).value.score == 4
    (body,) = server.bodies()
    assert "response_format" not in body
    assert "JSON schema" in body["messages"][0]["content"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("four", "there is no JSON object"),
        ('{"score": "many", "reason": "x"}', "score: Input should be a valid integer"),
        ('{"score": 4}', "reason: Field required"),
        ('{"score": 4, "reason": "x", "and": 1}', "and: Extra inputs"),
        ("{" * 3000, "there is no JSON object"),
    ],
)
def test_a_wrong_value_is_asked_for_again_with_the_reason(server, endpoint, text, reason):
    server.script.extend([server.says(text), server.says('{"score": 1, "reason": "y"}')])
    with Client(endpoint()) as client:
        parsed = client.structured("judge it", Verdict)
        assert (parsed.value.score, parsed.repairs) == (1, 1)
        assert parsed.usage.calls == 2
    first, second, third = server.bodies()[1]["messages"]
    assert first["content"] == "judge it"
    assert second["role"] == "assistant"
    assert reason in third["content"]


def test_repairs_end_and_the_words_stay_out_of_the_error(server, endpoint):
    server.answer = lambda path, body: server.says("a private answer")
    with Client(endpoint()) as client, pytest.raises(AnswerError, match=r"\(3 times\)") as told:
        client.structured("judge it", Verdict)
    assert (told.value.kind, told.value.said) == ("unparsed", "a private answer")
    assert "private" not in str(told.value)
    assert len(server.asked) == 3
    assert len(server.bodies()[2]["messages"]) == 3, "only the last wrong answer is shown again"


def test_a_cut_value_gets_more_room(server, endpoint):
    server.script.extend(
        [server.says('{"score": 4, "rea', finish="length"), server.says('{"score": 4, "reason": "y"}')]
    )
    with Client(endpoint()) as client:
        assert client.structured("judge it", Verdict, max_tokens=8).repairs == 1
    assert [body["max_tokens"] for body in server.bodies()] == [8, 16]
    assert len(server.bodies()[1]["messages"]) == 1


@pytest.mark.parametrize("fields", [{"refusal": "I cannot"}, {"finish": "content_filter"}])
def test_a_refusal_is_not_asked_again(server, endpoint, fields):
    server.answer = lambda path, body: server.says("I cannot", **fields)
    with Client(endpoint()) as client, pytest.raises(AnswerError, match="refused") as told:
        client.structured("judge it", Verdict)
    assert (told.value.kind, len(server.asked)) == ("refused", 1)


# ------------------------------------------------------------------------------------- embeddings and ranks


def test_texts_become_vectors_in_their_order_and_equal_ones_are_sent_once(server, endpoint):
    server.answer = vectors_of
    texts = ["a", "bb", "a", "ccc", "dddd", "bb"]
    done = []
    with Client(endpoint(batch=2)) as client:
        made = client.embed(texts, prefix="q: ", progress=done.append)
        assert client.embed([]).shape == (0, 0)
    np.testing.assert_array_equal(made, np.float32([[len(t) + 3, ord(t[-1]), 1] for t in texts]))
    assert sorted(text for body in server.bodies() for text in body["input"]) == ["q: a", "q: bb", "q: ccc", "q: dddd"]
    assert sum(done) == len(texts)
    assert client.ledger.spent.input == 4 * 7


def test_vectors_as_bytes_are_the_same(server, endpoint):
    def answer(path, body):
        assert body["encoding_format"] == "base64"
        return {"data": [{"index": 0, "embedding": base64.b64encode(np.float32([1.5, -2.0]).tobytes()).decode()}]}

    server.answer = answer
    with Client(endpoint()) as client:
        np.testing.assert_array_equal(client.embed(["x"]), np.float32([[1.5, -2.0]]))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ([], "0 vectors for 2 texts"),
        ([{"index": 0, "embedding": [1.0]}, {"index": 0, "embedding": [1.0]}], "2 vectors for 2 texts"),
        ([{"index": 0, "embedding": [1.0]}, {"index": 1, "embedding": [1.0, 2.0]}], "holds no vectors"),
        ([{"index": 0, "embedding": [1.0]}, {"index": 1, "embedding": [float("nan")]}], "not finite"),
        ([{"index": 0, "embedding": "?"}, {"index": 1, "embedding": "?"}], "holds no vectors"),
        ("x", "holds no vectors"),
    ],
)
def test_vectors_that_are_none(server, endpoint, data, reason):
    server.answer = lambda path, body: {"data": data}
    with Client(endpoint()) as client, pytest.raises(ModelError, match=reason):
        client.embed(["a", "b"])


def test_documents_are_ranked(server, endpoint):
    def answer(path, body):
        order = sorted(range(len(body["documents"])), key=lambda i: -len(body["documents"][i]))
        return {"results": [{"index": i, "relevance_score": len(body["documents"][i])} for i in order]}

    server.answer = answer
    with Client(endpoint(batch=2)) as client:
        np.testing.assert_array_equal(client.rerank("q", ["a", "bbb", "cc"]), np.float32([1, 3, 2]))
        server.answer = lambda path, body: {"results": [{"index": 7, "relevance_score": 1.0}]}
        with pytest.raises(ModelError, match="ranked document 7 of 2"):
            client.rerank("q", ["a", "b"])
        server.answer = lambda path, body: {"results": [{"index": 0, "relevance_score": 1.0}]}
        with pytest.raises(ModelError, match="did not rank every document"):
            client.rerank("q", ["a", "b"])


# --------------------------------------------------------------------------------------- budgets and caches


@pytest.mark.parametrize(
    ("told", "took"),
    [
        ({"prompt_tokens": 5, "completion_tokens": 2}, (5, 2, 0)),
        ({"total_tokens": 20}, (20, 0, 0)),
        ({"total_tokens": 20, "completion_tokens": 3}, (17, 3, 0)),
        ({"prompt_tokens": "many", "total_tokens": float("inf")}, (9, 2, 11)),
        ({}, (9, 2, 11)),
        (None, (9, 2, 11)),
    ],
    ids=["both", "the-sum-alone", "sum-and-output", "no-numbers", "nothing", "none"],
)
def test_what_a_server_does_not_count_is_estimated(told, took):
    usage = usage_of(told, 9, "words", 0)
    assert (usage.input, usage.output, usage.estimated) == took


def test_a_budget_is_never_passed(server, endpoint):
    server.answer = lambda path, body: server.says("x", usage=(10, 40))
    with Client(endpoint(budget=Budget(tokens=500), max_tokens=60, concurrency=8)) as client:
        with pytest.raises(BudgetError, match="the budget is 500"):
            client.each([str(i) for i in range(100)], lambda c, text: c.chat(text))
        assert 400 <= client.ledger.spent.tokens <= 500
        assert client.ledger.spent.calls == len(server.asked)


def test_a_call_waits_for_what_others_reserved_but_do_not_use(server, endpoint):
    server.answer = lambda path, body: server.Reply(server.says("x", usage=(1, 1)), wait=0.02)
    with Client(endpoint(budget=Budget(tokens=150), max_tokens=100, concurrency=4)) as client:
        assert len(client.each([str(i) for i in range(8)], lambda c, text: c.chat(text))) == 8
    assert server.most == 1


def test_money(server, endpoint):
    server.answer = lambda path, body: server.says("x", usage=(1000, 1000))
    with Client(
        endpoint(price=Price(input=1000.0, output=2000.0), budget=Budget(money=7.0), max_tokens=1000)
    ) as client:
        client.chat("1")
        client.chat("2")
        with pytest.raises(BudgetError, match="the budget is 7"):
            client.chat("3")
        assert client.ledger.cost() == pytest.approx(6.0)


def test_nothing_is_paid_for_twice(server, endpoint, tmp_path):
    counter = iter(range(100))
    server.answer = lambda path, body: server.says(str(next(counter)))
    config = endpoint(cache=str(tmp_path / "answers.db"))
    for again in (False, True):
        with Client(config) as client:
            first = client.chat("?")
            assert (first.text, first.cached) == ("0", again)
            assert client.chat("?", sample=1).text == "1"
            assert client.chat("?", temperature=0.5).text == "2"
            assert client.ledger.spent.hits == 3 * again
            assert client.ledger.spent.tokens == (0 if again else 45)
    assert len(server.asked) == 3


def test_equal_questions_at_a_time_are_one(server, endpoint, tmp_path):
    server.answer = lambda path, body: server.Reply(server.says("x"), wait=0.05)
    with Client(endpoint(cache=str(tmp_path / "answers.db"))) as client:
        assert len(client.each(["same"] * 6, lambda c, text: c.chat(text))) == 6
        assert (client.ledger.spent.calls, client.ledger.spent.hits) == (1, 5)
    assert len(server.asked) == 1


def test_errors_are_not_kept(server, endpoint, tmp_path):
    server.script.append(server.Reply({"error": "no"}, status=400))
    with Client(endpoint(cache=str(tmp_path / "answers.db"))) as client:
        with pytest.raises(ModelError):
            client.chat("?")
        assert client.chat("?").text == "yes"


def test_vectors_are_kept_as_they_come(server, endpoint, tmp_path):
    server.answer = vectors_of
    config = endpoint(cache=str(tmp_path / "answers.db"), batch=2, concurrency=1, tries=1)
    server.script.extend([vectors_of("", {"input": ["a", "b"]}), server.Reply({}, status=500)])
    texts = ["a", "b", "c", "d"]
    with Client(config) as client, pytest.raises(ModelError, match="HTTP 500"):
        client.embed(texts)
    with Client(config) as client:
        whole = client.embed(texts)
        assert (client.ledger.spent.hits, client.ledger.spent.calls) == (2, 1)
    np.testing.assert_array_equal(whole[:, 1], [ord(t) for t in texts])
    assert server.bodies()[-1]["input"] == ["c", "d"]


def test_a_file_of_something_else_is_no_cache(endpoint, tmp_path):
    (tmp_path / "x.db").write_bytes(b"not a database, but long enough to look at" * 100)
    with pytest.raises(ModelError, match=r"x\.db"):
        Client(endpoint(cache=str(tmp_path / "x.db")))


# --------------------------------------------------------------------------------------------------- tapes


def test_what_was_recorded_is_played_without_a_server(server, endpoint, tmp_path, key, monkeypatch):
    path = tmp_path / "tape.jsonl"
    server.script.extend([server.says("one"), server.says("two"), server.Reply(pieces=pieces("a", "b"))])
    with Client(endpoint(), tape=Tape(path, "record")) as client:
        assert [client.chat("?").text, client.chat("?").text] == ["one", "two"]
        assert list(client.stream("?"))[-1].answer.text == "ab"
    assert key not in path.read_text()
    monkeypatch.delenv("MODEL_KEY")
    asked = len(server.asked)
    with Client(endpoint(), tape=Tape(path)) as client:
        assert [client.chat("?").text for _ in range(3)] == ["one", "two", "two"]
        assert list(client.stream("?"))[-1].answer.text == "ab"
        with pytest.raises(ModelError, match="nobody has recorded"):
            client.chat("something else")
    assert len(server.asked) == asked
    path.write_text("{}\n")
    with pytest.raises(DataError, match="line 1"):
        Tape(path)


# --------------------------------------------------------------------------------------------------- closing


def test_a_closed_client_says_so(server, endpoint):
    client = Client(endpoint())
    client.close()
    client.close()
    with pytest.raises(ModelError, match="was closed"):
        client.chat("?")


def test_closing_ends_what_still_runs(server, endpoint):
    server.answer = lambda path, body: server.Reply(server.says("late"), wait=2.0)
    client, told = Client(endpoint()), []

    def ask():
        try:
            client.chat("?")
        except ModelError as error:
            told.append(str(error))

    thread = threading.Thread(target=ask)
    thread.start()
    while not server.asked:
        time.sleep(0.01)
    begun = time.monotonic()
    client.close()
    thread.join()
    assert told == ["the client was closed"]
    assert time.monotonic() - begun < 1.5


def test_closing_ends_who_hears_an_answer(server, endpoint):
    """Whoever asks the next piece in the very moment of the end was waiting for ever."""
    words = [{"choices": [{"delta": {"content": "a"}}]}] * 100

    def hear(client, told):
        try:
            for _ in client.stream("?"):
                pass
        except ModelError as error:
            told.append(str(error))

    for number in range(20):
        server.answer = lambda path, body: server.Reply(pieces=words, wait=0.02)
        client, told, asked = Client(endpoint()), [], len(server.asked)
        threads = [threading.Thread(target=hear, args=(client, told), daemon=True) for _ in range(3)]
        for thread in threads:
            thread.start()
        while len(server.asked) < asked + 3:
            time.sleep(0.002)
        time.sleep(number * 0.002)  # at another moment of the answer each time
        client.close()
        for thread in threads:
            thread.join(10)
            assert not thread.is_alive()
        assert told == ["the client was closed"] * 3


def test_many_calls_in_a_loop_of_ones_own(server, endpoint):
    async def both():
        async with AsyncClient(endpoint()) as client:
            return await asyncio.gather(client.chat("a"), client.chat("b"))

    assert [answer.text for answer in asyncio.run(both())] == ["yes", "yes"]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"base_url": "localhost:80"}, "begins with http"),
        ({"base_url": "http://u:p@host/v1"}, "holds a password"),
        ({"key_env": "sk-123 456"}, "pattern"),
        ({"budget": {"money": 1.0}}, "needs 'price'"),
    ],
)
def test_endpoints_that_cannot_be(endpoint, fields, reason):
    known = json.loads(endpoint().model_dump_json())
    with pytest.raises(ValueError, match=reason):
        type(endpoint())(**{**known, **fields})
