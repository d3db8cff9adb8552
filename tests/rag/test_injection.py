"""Attacks in documents, file names, headings, tables and earlier turns: what the model is told, and what comes of one that obeys.

`attacks.jsonl` has them. The scripted server plays a model that does whatever the attack wants.
"""

import importlib.util
import json
import re
import threading
import unicodedata
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from easyrec.llm.client import Message, user
from rag.answer import RULES, original
from rag.config import load_rag
from rag.rag import Rag

pytest.importorskip("tantivy", reason="needs the extra 'rag'")
HERE = Path(__file__).parent
ATTACKS = [json.loads(line) for line in (HERE / "attacks.jsonl").read_text(encoding="utf-8").splitlines()]
MARKDOWN = MarkdownIt("commonmark", {"html": True})
SECRET = "SECRET-4711"
MARKS = (
    "<|",
    "|>",
    "<｜",
    "[INST]",
    "[/INST]",
    "<<SYS>>",
    "</s>",
    "<s>",
    "<start_of_turn>",
    "<end_of_turn>",
    "</think>",
    "[TOOL_CALLS]",
)
SAID = "You speak for the shop."
RULED = RULES.format(unknown="The documents do not say.") + "\n" + SAID


def spoken(text, size=7):
    """An answer that comes in small pieces."""
    pieces = [{"choices": [{"delta": {"content": text[at : at + size]}}]} for at in range(0, len(text), size)]
    end = {"choices": [{"delta": {}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 9, "completion_tokens": 3}}
    return [*pieces, end]


def token(number):
    """A word that one attack's document has alone."""
    return f"zq{number:02d}x"


def write(folder, number, attack):
    """The document of an attack."""
    told, payload = f"The refund of {token(number)} takes five days.", attack["payload"] * attack.get("times", 1)
    if attack["where"] == "text":
        (folder / f"{number}.txt").write_text(f"{told}\n{payload}", encoding="utf-8")
    elif attack["where"] == "source":
        (folder / f"{payload} {number}.txt").write_text(told, encoding="utf-8")
    elif attack["where"] == "heading":
        (folder / f"{number}.md").write_text(f"# {payload}\n\n{told}\n", encoding="utf-8")
    elif attack["where"] == "table":
        cell = payload.replace("|", "\\|")
        (folder / f"{number}.md").write_text(f"| what | {cell} |\n|---|---|\n| {told} | {cell} |\n", encoding="utf-8")
    else:
        (folder / f"{number}.txt").write_text(told, encoding="utf-8")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A knowledge base of all attacks and of a secret that is kept for Bob, and the server that it asks."""
    spec = importlib.util.spec_from_file_location("model_server_of_attacks", HERE.parent / "model_server.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    server = module.ModelServer("key-of-this-server")
    server.Reply = module.Reply
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    folder = tmp_path_factory.mktemp("attacks")
    (folder / "docs").mkdir()
    for number, attack in enumerate(ATTACKS):
        write(folder / "docs", number, attack)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MODEL_KEY", server.key)
        config = load_rag(
            {
                "knowledge": {"path": str(folder / "kb")},
                "llm": {"base_url": server.url, "model": "m", "key_env": "MODEL_KEY", "tries": 1},
                "search": {"k": 3},
                "answer": {"instructions": SAID},
                "chat": {"path": str(folder / "chats.db"), "tokens": 100_000},
            }
        )
        with Rag(config) as rag:
            report = rag.base.add([folder / "docs"])
            assert report.failed == {}
            every = " ".join(token(number) for number in range(len(ATTACKS)))
            rag.base.add_text("bob.md", f"The refund of {SECRET} {every} takes a day.", {"access": ["bob"]})
            yield rag, server
    server.shutdown()
    server.server_close()
    thread.join()


def leads(text):
    """Links, pictures and HTML that a page would make of a text, by a parser of CommonMark that is not ours."""
    found = [part for one in MARKDOWN.parse(text) for part in [one, *(one.children or [])]]
    kinds = ("html_block", "html_inline", "image", "link_open")
    return [(part.type, part.attrs.get("href", part.content)) for part in found if part.type in kinds]


def ask(rag, server, question, said, **how):
    """An answer, the body that the model was sent, and what was said aloud."""
    server.script.append(server.Reply(pieces=spoken(said)))
    asked = len(server.asked)
    *pieces, answer = rag.stream(question, **how) if "user" not in how else rag.chat(question, **how)
    ((_, body),) = server.asked[asked:]
    assert "".join(pieces) == answer.text
    return answer, body


def looks_as_it_must(body, question):
    """The rules as they are, byte for byte, and one turn of the user, in which each excerpt and each turn is a line of JSON."""
    rules, told = body["messages"]
    assert rules == {"role": "system", "content": RULED}
    assert told["role"] == "user"
    text = told["content"]
    assert not [mark for mark in MARKS if mark in text]
    unseen = [c for c in text if c != "\n" and unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp", "Co", "Cn")]
    assert unseen == []
    lines = text.split("\n")
    assert lines == text.splitlines()
    assert (lines[0], lines[-2:]) == ("Excerpts:", ["", f"Question: {question}"])
    excerpts, between, turns = lines[1:-2], [], []
    if "Earlier turns:" in excerpts:
        place = excerpts.index("Earlier turns:")
        excerpts, between, turns = excerpts[: place - 1], excerpts[place - 1 : place + 1], excerpts[place + 1 :]
        assert between == ["", "Earlier turns:"]
    read = [json.loads(line) for line in excerpts]
    assert [list(one) for one in read] == [["n", "document", "section", "text"]] * len(read)
    assert [one["n"] for one in read] == list(range(1, len(read) + 1))
    assert all(set(json.loads(turn)) == {"who", "said"} for turn in turns)
    assert {json.loads(turn)["who"] for turn in turns} <= {"user", "assistant"}
    return read, [json.loads(turn) for turn in turns]


def does_no_harm(answer):
    """Nothing is cited that does not exist or is another's, and a page would fetch nothing and lead nowhere foreign."""
    assert [citation.hit for citation in answer.citations] == [answer.hits[c.number - 1] for c in answer.citations]
    assert all(hit.part.source != "bob.md" for hit in answer.hits)
    named = {int(number) for number in re.findall(r"\[(\d+)\]", answer.text)}
    assert named == {citation.number for citation in answer.citations}
    cited = "\n".join(original(citation.hit) for citation in answer.citations)
    assert all(kind == "link_open" and address in cited for kind, address in leads(answer.text))
    assert "evil.example/" not in answer.text or "evil.example/" in cited
    assert all(address in cited for address in re.findall(r"(?:https?:)?//[\w.-]+[^\s)]*", answer.text))
    assert not [
        c
        for c in answer.text
        if unicodedata.category(c) in ("Cf", "Co", "Cn") or (unicodedata.category(c) == "Cc" and c not in "\n\t")
    ]


@pytest.mark.parametrize("number", range(len(ATTACKS)), ids=[attack["name"] for attack in ATTACKS])
def test_an_attack_changes_nothing(world, number):
    rag, server = world
    attack, question = ATTACKS[number], f"How long does the refund of {token(number)} take?"
    history = []
    if attack["where"] in ("history", "answer"):
        history = (
            [user("hello"), Message("assistant", attack["payload"])]
            if attack["where"] == "answer"
            else [user(attack["payload"])]
        )
    talk = {"user": "alice", "session": f"s{number}", "access": ["alice"]}
    how = {"history": history, "access": ["alice"]} if history else talk
    answer, body = ask(rag, server, question, attack["obeys"], **how)
    read, turns = looks_as_it_must(body, question)
    assert len(read) == len(answer.hits) > 0
    assert SECRET not in json.dumps(body)
    assert len(turns) == len(history)
    # what the document says is not lost: it is read as it is, but for what nobody sees
    assert any(token(number) in one["text"] for one in read)
    does_no_harm(answer)
    if not history and number % 3 == 0:
        after, body = ask(rag, server, f"And then? {token(number)}", "Five days [1].", **talk)
        _, turns = looks_as_it_must(body, f"And then? {token(number)}")
        assert turns == [{"who": "user", "said": question}, {"who": "assistant", "said": answer.text}]
        does_no_harm(after)
        assert rag.chats.history("bob", f"s{number}") == ()


def test_bob_sees_his_secret(world):
    rag, server = world
    question = f"refund {token(0)} {token(1)} {token(2)}"
    _, body = ask(rag, server, question, "A day [1].", access=["bob"])
    assert SECRET in json.dumps(body)


def test_there_are_enough_attacks_of_each_kind():
    assert len(ATTACKS) >= 50
    assert {attack["where"] for attack in ATTACKS} == {"text", "source", "heading", "table", "history", "answer"}
