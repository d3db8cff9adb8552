"""A language model as a stage of the engine: it changes the order in time, or nothing."""

import json
import time

import pytest

pytest.importorskip("httpx", reason="needs the extra 'llm'")

from serving.engine.ask import Question


def stage_of(server, **fields):
    model = {"base_url": server.url, "model": "m", "key_env": "MODEL_KEY", "tries": 1}
    how = {"type": "listwise", "shuffles": 1, "named": 3, "first": "as they are"}
    return {"type": "language_model", "model": model, "text": "{title}, {cate}", "how": how, "count": 8, **fields}


@pytest.fixture
def asked(engine_of, model_server):
    """Makes an engine with the stage in which user 7 took item 1005, and lists for a question."""

    def make(**fields):
        engine = engine_of(scene={"rerank": [stage_of(model_server, **fields)]})
        engine.history.add([("7", 1005, time.time_ns() // 1_000_000, 1.0)])
        return lambda user=7: engine.recommend(Question("feed", user, size=10))

    return make


def items_of(listed):
    return listed.candidates.rows.tolist()


def test_the_model_puts_first_what_it_names(asked, model_server):
    model_server.answer = lambda path, body: model_server.says(json.dumps({"order": [5, 2, 5, 99]}))
    listed = asked()()
    former = sorted(items_of(listed))
    assert items_of(listed)[:2] == [former[4], former[1]]  # popular ones stand in the order of the catalogue
    assert sorted(items_of(listed)) == former
    assert not listed.degraded
    (body,) = model_server.bodies()
    lines = [json.loads(line) for line in body["messages"][-1]["content"].split("\n")]
    assert lines[0] == {"took": "thing 5, c5"}
    assert [line.get("candidate") for line in lines[1:]] == list(range(1, 9))
    assert lines[1]["text"] == "thing 0, c0"


def test_who_took_nothing_costs_nothing(asked, model_server):
    listed = asked()(user=8)
    assert len(items_of(listed)) == 10
    assert model_server.asked == []


@pytest.mark.parametrize(
    ("answer", "fields"),
    [
        (lambda server: server.says("I like them all."), {}),
        (lambda server: server.says(None, refusal="no"), {}),
        (lambda server: server.Reply({"error": {"message": "down"}}, status=500), {}),
        (lambda server: server.Reply(server.says(json.dumps({"order": [5]})), wait=0.5), {"timeout_ms": 50}),
    ],
    ids=["no JSON", "refused", "broken", "late"],
)
def test_else_the_order_stays_and_the_list_says_so(asked, model_server, answer, fields):
    model_server.answer = lambda path, body: answer(model_server)
    ask = asked(**fields)
    began = time.monotonic()
    listed = ask()
    assert items_of(listed) == sorted(items_of(listed))
    assert len(items_of(listed)) == 10
    assert any(why.startswith("rerank.language_model") for why in listed.degraded)
    if "timeout_ms" in fields:
        assert time.monotonic() - began < 0.4


def test_a_model_that_fails_again_and_again_is_left_alone_for_a_while(asked, model_server):
    model_server.answer = lambda path, body: model_server.says("no JSON")
    ask = asked(rest_s=60)
    for _ in range(5):
        ask()
    assert len(model_server.asked) == 3


def test_a_column_that_the_catalogue_lacks_is_an_error(asked):
    with pytest.raises(Exception, match="tells of 'titel', which the catalogue does not have; did you mean 'title'"):
        asked(text="{titel}")
