"""Attacks in the texts of items, on every tool: what the model is told, and what comes of one that obeys.

`attacks.jsonl` has them. Each is the text of one item: it is told as that item's value in a line of JSON, and nothing else of
a request is any different. The scripted server then plays a model that does whatever the attack wants.
"""

import json
import unicodedata
from collections import Counter
from pathlib import Path

import pytest
import yaml

from easyrec.cli import main
from easyrec.llm.config import FAMILY
from easyrec.llm.telling import seen
from feature_generator.config import members

ATTACKS = [
    json.loads(line)
    for line in (Path(__file__).parent / "attacks.jsonl").read_text(encoding="utf-8").split("\n")
    if line
]
TEXTS = [attack["payload"] * attack.get("times", 1) for attack in ATTACKS]
MARKS = (
    "<|",
    "|>",
    "<｜",
    "｜>",
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


STARTS = [(attack, seen(text)[:150]) for attack, text in zip(ATTACKS, TEXTS, strict=True)]


def plain(n):
    """What stands where an attack will stand."""
    return f"harmless-{n:03d}."


@pytest.fixture
def ask(server, tmp_path):
    """Runs a tool over texts and gives what the server was asked, in order."""

    def run(case, texts, answer, folder):
        (tmp_path / folder).mkdir()
        endpoint = {"base_url": server.url, "model": "m", "key_env": "MODEL_KEY", "concurrency": 1}
        section = {"max_failed": 1.0, **case.section(tmp_path / folder, texts)}
        (tmp_path / folder / "llm.yaml").write_text(
            yaml.safe_dump({"model": endpoint, case.tool: section}, allow_unicode=True), encoding="utf-8"
        )
        server.answer, before = answer, len(server.asked)
        code = main(["llm", case.tool, "-c", str(tmp_path / folder / "llm.yaml")])
        return code, [body for _, body in server.asked[before:]]

    return run


def walk(first, second, found):
    """Both values are the same but for texts in which an attack stands where something harmless stood."""
    assert type(first) is type(second)
    if isinstance(first, dict):
        assert list(first) == list(second)
        for key in first:
            walk(first[key], second[key], found)
    elif isinstance(first, list):
        assert len(first) == len(second)
        for a, b in zip(first, second, strict=True):
            walk(a, b, found)
    elif first != second:
        (n,) = [n for n in range(len(TEXTS)) if plain(n) in first]
        whole = first.replace(plain(n), seen(TEXTS[n]))
        assert second in (whole, whole.strip()) or (len(second) >= 200 and whole.startswith(second.removesuffix("…")))
        found[n] += 1


def texts_in(value):
    """All texts of a value."""
    if isinstance(value, str):
        yield value
    for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from texts_in(one)


def obedient(server, case, *, formed):
    """A model that does what a text wants of it: within the schema, or whatever that is."""

    def answer(path, body):
        told = list(texts_in([json.loads(line) for line in case.told(body).split("\n")]))
        obeyed = [attack for attack, text in STARTS if any(text in one for one in told)]
        if not obeyed:
            return server.says(case.good(body))
        return server.says(case.formed(body, obeyed[0]) if formed else obeyed[0]["obeys"])

    return answer


def test_an_attack_is_data_and_whoever_obeys_it_does_no_harm(case, ask, server, tmp_path):
    # each harmless text is as different from the others as an attack is, so that none is asked twice
    harmless = [plain(n) for n in range(len(TEXTS))]
    _, before = ask(case, harmless, lambda path, body: server.says(case.good(body)), "before")
    code, after = ask(case, TEXTS, obedient(server, case, formed=True), "after")
    assert code == 0
    assert len(before) == len(after) > 0
    found = Counter()
    for first, second in zip(before, after, strict=True):
        rest = [{key: value for key, value in body.items() if key != "messages"} for body in (first, second)]
        assert rest[0] == rest[1]  # the schema among it
        *rules, told = second["messages"]
        assert rules == first["messages"][:-1]
        assert (rules[0]["role"], told["role"]) == ("system", "user")
        text = told["content"]
        assert not [mark for mark in MARKS if mark in text]
        kinds = ("Cc", "Cf", "Zl", "Zp", "Co", "Cn")
        assert [c for c in text if c != "\n" and unicodedata.category(c) in kinds] == []
        lines = [body["messages"][-1]["content"].split("\n") for body in (first, second)]
        assert lines[1] == text.splitlines()
        assert len(lines[0]) == len(lines[1])
        for a, b in zip(*lines, strict=True):
            walk(json.loads(a), json.loads(b), found)
    assert sorted(found) == list(range(len(TEXTS)))  # all of them were told
    case.holds(tmp_path / "after", TEXTS)
    assert case.failed(tmp_path / "after", TEXTS) < len(TEXTS) / 4  # what it says is there to be looked at


@pytest.mark.slow
def test_a_model_that_says_whatever_an_attack_wants_does_no_harm(case, ask, server, tmp_path):
    code, bodies = ask(case, TEXTS, obedient(server, case, formed=False), "out")
    assert code == 0
    assert bodies
    case.holds(tmp_path / "out", TEXTS)


def test_there_are_enough_attacks_of_each_kind():
    kinds = Counter(attack["kind"] for attack in ATTACKS)
    assert len(ATTACKS) >= 50
    assert len({attack["name"] for attack in ATTACKS}) == len(ATTACKS)
    assert set(kinds) >= {"instructions", "turns", "json", "schema", "ids", "unicode", "coded", "languages", "leaks"}
    assert min(kinds[kind] for kind in ("instructions", "turns", "json", "schema", "ids", "unicode")) >= 5


def test_every_tool_has_a_case(tool_cases):
    assert {case.tool for case in tool_cases.values() if case.whole} == set(members(FAMILY))
