"""Many prompts: what is counted, what is paid, and when one stops."""

import json
import signal
import threading
from collections import Counter

import pytest
from pydantic import BaseModel, Field

from easyrec.errors import BudgetError, DataError, ModelError
from easyrec.llm.asking import ask_each, client_for, report_path, write_report
from easyrec.llm.client import Budget, Client, Price, system, user


class Named(BaseModel):
    n: int = Field(ge=0)


class Section(BaseModel):
    top: int = 3


def talk_of(n):
    return [system("Say the number."), user(str(n))]


def number_in(body):
    return int(body["messages"][1]["content"])


@pytest.fixture
def talks(server):
    """The server says each number as it is, or what `odd` has for it."""
    odd = {}

    def answer(path, body):
        told = odd.get(number_in(body), lambda: server.says(json.dumps({"n": number_in(body)})))
        return told()

    server.answer = answer
    return odd


def test_all_kinds_are_counted_and_answers_keep_their_order(server, endpoint, talks):
    talks[1] = lambda: server.says("no JSON at all")
    talks[2] = lambda: server.says("", refusal="I will not")
    talks[3] = lambda: server.says('{"n": ', finish="length")
    talks[4] = lambda: server.Reply({"error": {"message": "too long"}}, status=400)
    done = []
    with Client(endpoint(price=Price(input=1.0, output=2.0), concurrency=3)) as client:
        asked = ask_each(
            client,
            range(12),
            talk_of,
            Named,
            max_failed=0.5,
            check=lambda n, said: "names what was not shown" if n == 5 else None,
            progress=done.append,
        )
        assert asked.spent == client.ledger.spent
        assert asked.cost == pytest.approx(client.ledger.cost())
    assert [one and one.n for one in asked.values] == [0, None, None, None, None, None, 6, 7, 8, 9, 10, 11]
    assert asked.kinds == Counter(answered=7, unparsed=1, refused=1, cut=1, failed=1, rejected=1)
    assert (asked.count, asked.failed, sum(done)) == (12, 5, 12)
    # one answer of 10 and 5 tokens each, three where it was asked again, none where it was not taken
    assert (asked.spent.input, asked.spent.output) == (150, 75)
    assert "names what was not shown" in asked.whys["rejected"]


def test_the_second_run_sends_nothing(server, endpoint, talks, tmp_path):
    talks[1] = lambda: server.says("no JSON")
    found = []
    for _ in range(2):
        with client_for(endpoint(), tmp_path / "out.parquet") as client:
            found.append(ask_each(client, range(8), talk_of, Named))
        assert len(server.asked) == 7 + 2  # to be told twice that it is no JSON is the same question
    first, second = found
    assert first.values == second.values
    assert first.kinds == second.kinds
    assert (first.cached, second.cached, second.spent.tokens, second.spent.hits) == (0, 8, 0, 10)
    assert (tmp_path / "out.parquet.answers.db").exists()


def test_samples_are_different_questions(server, endpoint, tmp_path):
    server.answer = lambda path, body: server.says(json.dumps({"n": body["seed"]}))
    with client_for(endpoint(), tmp_path / "out") as client:
        pairs = [(item, sample) for item in range(2) for sample in range(3)]
        asked = ask_each(
            client, pairs, lambda p: talk_of(p[0]), Named, sample_of=lambda p: p[1], temperature=0.7, seed=100
        )
    assert [one.n for one in asked.values] == [100, 101, 102] * 2
    assert {body["temperature"] for body in server.bodies()} == {0.7}


def test_an_item_may_have_a_schema_of_its_own(server, endpoint, talks):
    class Small(Named):
        n: int = Field(le=3)

    with Client(endpoint()) as client:
        asked = ask_each(client, range(6), talk_of, lambda n: Small if n % 2 else Named, max_failed=0.5)
    assert [one and one.n for one in asked.values] == [0, 1, 2, 3, 4, None]


def test_it_stops_where_too_many_cannot_be_used(server, endpoint, talks):
    talks.update({n: lambda: server.says("", refusal="no") for n in range(100)})
    with (
        Client(endpoint(concurrency=2)) as client,
        pytest.raises(DataError, match=r"[67] of 50 answers cannot be used") as error,
    ):
        ask_each(client, range(50), talk_of, Named, max_failed=0.1)
    assert error.value.exit_code == 3
    assert "refused (the model refused)" in str(error.value)
    assert len(server.asked) <= 7


def test_a_share_is_met_exactly(server, endpoint, talks):
    talks.update({n: lambda: server.says("", refusal="no") for n in range(2)})
    with Client(endpoint()) as client:
        assert ask_each(client, range(10), talk_of, Named, max_failed=0.2).failed == 2
        with pytest.raises(DataError, match="2 of 10"):
            ask_each(client, range(10), talk_of, Named, max_failed=0.19)


def test_a_spent_budget_keeps_what_was_paid(server, endpoint, talks, tmp_path):
    cache = str(tmp_path / "answers.db")
    # an answer takes 15 tokens and reserves about 50: some at a time have begun when there is no room for one more
    with Client(endpoint(budget=Budget(tokens=200), max_tokens=16, cache=cache, concurrency=4)) as client:
        with pytest.raises(BudgetError, match=r"the answers are kept in .*answers\.db") as error:
            ask_each(client, range(100), talk_of, Named)
        paid = client.ledger.spent.calls
    assert f"{paid} of 100 prompts were answered" in str(error.value)
    assert 0 < paid == len(server.asked) < 100
    with Client(endpoint(max_tokens=16, cache=cache)) as client:
        asked = ask_each(client, range(100), talk_of, Named)
    assert (asked.cached, len(server.asked)) == (paid, 100)


def test_a_server_that_is_gone_is_told_and_what_was_answered_stays(server, endpoint, talks, tmp_path):
    talks[40] = lambda: server.Reply({"error": {"message": "down"}}, status=500)
    cache = str(tmp_path / "answers.db")
    with Client(endpoint(cache=cache, tries=2, concurrency=4)) as client:
        with pytest.raises(ModelError, match="prompts were answered, and the answers are kept"):
            ask_each(client, range(100), talk_of, Named)
        done = client.ledger.spent.calls
    assert 40 <= done < 60
    del talks[40]
    with Client(endpoint(cache=cache)) as client:
        assert ask_each(client, range(100), talk_of, Named).cached == done


def test_storms_are_waited_out(server, endpoint, talks):
    for n in range(20):
        server.script.append(server.Reply({}, status=429 if n % 2 else 500, headers={"Retry-After": "0"}))
    with Client(endpoint(tries=30, longest_wait_s=0.02)) as client:
        asked = ask_each(client, range(10), talk_of, Named)
    assert asked.kinds == Counter(answered=10)
    assert asked.spent.tries == 20


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_ends_what_runs(server, endpoint, talks):
    once = iter([True])

    def interrupt(_):
        if next(once, False):
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    with Client(endpoint(concurrency=2)) as client:
        with pytest.raises(KeyboardInterrupt):
            ask_each(client, range(10_000), talk_of, Named, progress=interrupt)
        assert len(server.asked) < 1000
        assert ask_each(client, [1], talk_of, Named).kinds == Counter(answered=1)  # it is still of use


def test_the_report_says_what_it_took(server, endpoint, talks, tmp_path):
    output = tmp_path / "out.parquet"
    with client_for(endpoint(price=Price(input=2.0)), output) as client:
        asked = ask_each(client, range(4), talk_of, Named)
    told = write_report(output, "pair", Section(), {"pairs": ("small", asked)}, {"lift": float("nan"), "x": "\ud800"})
    assert json.loads(report_path(output).read_text()) == told
    assert report_path(output).name == "out.parquet.report.json"
    assert told["tokens"]["input"] == 40
    assert told["cost"] == pytest.approx(80e-6)
    assert (told["lift"], told["x"], told["models"]) == (None, "?", ["small"])
    assert told["prompts"]["pairs"]["answered"] == 4
    other = write_report(output, "pair", Section(top=4), {"pairs": ("small", asked)})
    assert other["config"] != told["config"]
