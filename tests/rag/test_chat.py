"""Talks: nobody reads another's, old ones go, long ones are summed up, and a model that fails costs nothing but the summary."""

import json

import pytest

from easyrec.errors import DataError
from easyrec.llm.client import Client, Endpoint
from rag.chat import Chats
from rag.config import ChatConfig


@pytest.fixture
def chats(tmp_path):
    clock = [1000.0]
    how = {"turns": 5, "sessions": 3, "expire_s": 100.0, "tokens": 64, "summary_tokens": 32, "verbatim": 2}
    with Chats(ChatConfig(path=str(tmp_path / "chats.db"), **how), now=lambda: clock[0]) as opened:
        opened.clock = clock
        yield opened


@pytest.fixture
def client(model_server):
    endpoint = Endpoint(base_url=model_server.url, model="m", key_env="MODEL_KEY", tries=1)
    with Client(endpoint) as opened:
        yield opened


def told(chats, who, session="s"):
    return [(turn.role, turn.content) for turn in chats.history(who, session)]


def test_nobody_reads_another_s(chats):
    chats.add("alice", "s", "a?", "a!")
    chats.add("bob", "s", "b?", "b!")
    assert told(chats, "alice") == [("user", "a?"), ("assistant", "a!")]
    assert told(chats, "bob") == [("user", "b?"), ("assistant", "b!")]
    assert told(chats, "eve") == []
    assert chats.turns("eve", "s") == []
    assert [one.name for one in chats.sessions("alice")] == ["s"]
    assert chats.sessions("eve") == []
    assert not chats.drop("eve", "s")
    assert chats.drop("bob", "s")
    assert told(chats, "bob") == []
    assert told(chats, "alice") != []


@pytest.mark.parametrize("name", ["", "a b", "a/b", "x" * 129, "a\n", "'; DROP TABLE turns; --", "a%"])
def test_names_are_checked(chats, name):
    for call in (
        lambda: chats.history(name, "s"),
        lambda: chats.add("a", name, "q", "a"),
        lambda: chats.sessions(name),
    ):
        with pytest.raises(DataError, match="is no name of a user or a session"):
            call()


def test_what_is_too_old_or_too_much_is_forgotten(chats):
    for number in range(7):
        chats.add("alice", "s", f"q{number}", "a")
    assert [turn.question for turn in chats.turns("alice", "s")] == [f"q{n}" for n in range(2, 7)]
    for number in range(4):
        chats.clock[0] += 1
        chats.add("alice", f"s{number}", "q", "a")
    assert [one.name for one in chats.sessions("alice")] == ["s3", "s2", "s1"]
    chats.clock[0] += 99.5
    assert [one.name for one in chats.sessions("alice")] == ["s3"]
    assert told(chats, "alice", "s2") == []
    chats.clock[0] += 1
    chats.add("bob", "s", "q", "a")
    assert told(chats, "alice", "s3") == []
    assert chats.forget("bob") == 1
    assert chats._ask("SELECT count(*) FROM turns", ()) == [(0,)]


LONG = "five days and more words than that are told here so that it grows long"


def test_a_long_talk_is_summed_up(chats, client, model_server):
    asked = []

    def answer(path, body):
        asked.append(body["messages"][1]["content"].split("\n"))
        return model_server.says(json.dumps({"summary": f"summary {len(asked)} " + "word " * 100}))

    model_server.answer = answer
    for number in range(8):
        chats.add("alice", "s", f"q{number}", LONG, client)
    assert len(asked) >= 2
    assert json.loads(asked[0][0])["question"] == "q0"
    assert "summary 1" in json.loads(asked[1][0])["summary"]
    first, *rest = told(chats, "alice")
    assert first[0] == "assistant"
    assert f"summary {len(asked)}" in first[1]
    assert len(first[1].split()) < 50, "it is bounded, whatever the model says"
    assert [text for role, text in rest if role == "user"][-2:] == ["q6", "q7"]
    assert len(chats.turns("alice", "s")) == 5, "people still see all of it"


def test_without_a_summary_the_last_turns_are_told(chats, client, model_server):
    model_server.answer = lambda path, body: model_server.Reply({}, status=500)
    for number in range(5):
        chats.add("alice", "s", f"q{number}", LONG, client if number % 2 else None)
    assert [text for role, text in told(chats, "alice") if role == "user"][-2:] == ["q3", "q4"]
    assert len(told(chats, "alice")) <= 6


def test_talks_last_longer_than_the_process(tmp_path):
    config = ChatConfig(path=str(tmp_path / "chats.db"))
    with Chats(config) as chats:
        chats.add("alice", "s", "q", "a")
    with Chats(config) as chats:
        assert told(chats, "alice") == [("user", "q"), ("assistant", "a")]
