"""A language model puts candidates in order: whatever it says each of them comes out once, and places alone move nothing."""

import asyncio
import json
import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from easyrec.errors import DataError, DeadlineError
from easyrec.llm.client import Client
from easyrec.llm.ranking import Case, Listwise, LlmRanker, Pairwise, Pointwise, Shot
from easyrec.llm.ranking.prompts import Better, Grade, Likely, expected, order_of


def case_of(count, key="r", shots=()):
    return Case(key, [f"item {n}" for n in range(count)], [{"took": "item before"}], shots=shots)


def shown_in(prompt):
    """The numbers of the items that a prompt shows, in its order."""
    lines = [json.loads(line) for line in prompt.talk()[-1].content.split("\n")]
    return [int(n) for one in lines for text in one.values() for n in re.findall(r"^item (\d+)$", str(text))]


def run(way, case, answer, seed=0):
    """The order when `answer` says what comes back of a prompt; also all prompts."""
    steps, prompts = way.steps(case, None, seed), []
    try:
        some = next(steps)
        while True:
            prompts += some
            some = steps.send([answer(prompt) for prompt in some])
    except StopIteration as done:
        return done.value, prompts


def knowing(worth):
    """A model that knows what items are worth."""

    def answer(prompt):
        shown = shown_in(prompt)
        if prompt.schema is Better:
            return Better(better="A" if worth[shown[0]] > worth[shown[1]] else "B")
        if prompt.schema is Grade:
            return Grade(grade=worth[shown[0]])
        places = sorted(range(len(shown)), key=lambda place: -worth[shown[place]])
        return prompt.schema(order=[place + 1 for place in places])

    return answer


def test_a_sound_model_puts_the_best_first_listwise():
    worth = np.random.default_rng(0).permutation(12)
    ranked, prompts = run(Listwise(shuffles=3), case_of(12), knowing(worth))
    assert ranked.order == sorted(range(12), key=lambda one: -worth[one])
    assert (ranked.prompts, ranked.failed, ranked.missing, ranked.unknown) == (3, 0, 0, 0)
    assert [ranked.scores[one] for one in ranked.order] == sorted(ranked.scores, reverse=True)
    shows = [shown_in(prompt) for prompt in prompts]
    assert shows[1] == shows[0][::-1]
    assert all(sorted(show) == list(range(12)) for show in shows)


@pytest.mark.parametrize("shuffles", [2, 4])
@pytest.mark.parametrize("named", [None, 4])
def test_a_model_that_looks_at_places_alone_changes_nothing(shuffles, named):
    def echo(prompt):
        return prompt.schema(order=list(range(1, (named or 9) + 1)))

    ranked, _ = run(Listwise(shuffles=shuffles, named=named), case_of(9), echo)
    if named is None:
        assert ranked.order == list(range(9))
    else:
        assert sorted(ranked.order) == list(range(9))
    pairwise, _ = run(Pairwise(top=9), case_of(9), lambda prompt: Better(better="A"))
    assert pairwise.order == list(range(9))
    assert all(look.turned for look in pairwise.looks)


def test_windows_bring_the_best_of_a_long_list_to_its_top():
    worth = np.arange(50)  # the last ones of the list are the best
    ranked, prompts = run(Listwise(shuffles=1, window=10, step=5), case_of(50), knowing(worth))
    assert ranked.order[:5] == [49, 48, 47, 46, 45]
    assert sorted(ranked.order) == list(range(50))
    assert len(prompts) == 9
    assert all(len(shown_in(prompt)) == 10 for prompt in prompts)


@given(
    st.lists(st.lists(st.integers(0, 999), max_size=14), min_size=4, max_size=4),
    st.integers(2, 9),
    st.sampled_from([None, 3]),
)
@settings(max_examples=60, deadline=None)
def test_each_candidate_comes_out_once_whatever_is_said(said, count, named):
    answers = iter(said * 3)
    way = Listwise(shuffles=2, window=5, step=3, named=named)
    ranked, _ = run(way, case_of(count), lambda prompt: order_of(7)(order=next(answers)))
    assert sorted(ranked.order) == list(range(count))


def test_what_is_odd_about_an_answer_is_counted():
    ranked, prompts = run(
        Listwise(shuffles=1, first="as they are"), case_of(5), lambda prompt: prompt.schema(order=[4, 4, 0, 9, 2])
    )
    assert shown_in(prompts[0]) == [0, 1, 2, 3, 4]
    assert ranked.order == [3, 1, 0, 2, 4]  # what is not named follows as it stood
    assert (ranked.missing, ranked.doubled, ranked.unknown) == (3, 1, 2)


def test_without_an_answer_the_order_stays():
    for way in (Listwise(), Pairwise(), Pointwise()):
        ranked, _ = run(way, case_of(6), lambda prompt: None)
        assert ranked.order == list(range(6))
        assert not ranked.answered
        assert run(way, case_of(1), None)[0].order == [0]
        assert run(way, case_of(0), None)[0].order == []


def test_a_tournament_finds_the_best_with_fewer_comparisons_than_sorting():
    for seed in range(5):
        worth = np.random.default_rng(seed).permutation(30)
        ranked, prompts = run(Pairwise(top=4, comparisons=1000), case_of(30), knowing(worth))
        assert ranked.order[:4] == sorted(range(30), key=lambda one: -worth[one])[:4]
        assert ranked.order[4:] == sorted(ranked.order[4:])  # the others as they stood
        assert len(prompts) == 2 * len({frozenset(shown_in(prompt)) for prompt in prompts})  # no pair twice
        assert len(prompts) / 2 <= 29 + 3 * 5


def test_comparisons_are_bounded_and_the_order_holds_then():
    ranked, prompts = run(Pairwise(top=10, comparisons=7), case_of(40), knowing(np.arange(40)))
    assert len(prompts) == 14
    assert sorted(ranked.order) == list(range(40))
    assert ranked.order[:4] == [
        1,
        0,
        3,
        2,
    ]  # 0 met 1 and lost, 2 met 3; the winners did not meet, and stand as they stood


def test_a_half_answered_pair_decides_nothing():
    ranked, _ = run(
        Pairwise(top=1), case_of(2), lambda prompt: Better(better="B") if shown_in(prompt)[0] == 0 else None
    )
    assert ranked.order == [0, 1]
    assert ranked.failed == 1


def test_equal_grades_stay_as_they_stood_and_one_without_is_as_the_mean():
    grades = {0: 2, 1: 5, 2: 2, 3: None, 4: 4}

    def answer(prompt):
        grade = grades[shown_in(prompt)[0]]
        return None if grade is None else Grade(grade=grade)

    ranked, _ = run(Pointwise(), case_of(5), answer)
    assert ranked.order == [1, 4, 3, 0, 2]  # the mean of the others is 3.25
    assert math.isnan(ranked.scores[3])


def test_log_probabilities_make_finer_grades(model_server):
    def answer(path, body):
        item = int(json.loads(body["messages"][-1]["content"].split("\n")[-1])["candidate"].split()[1])
        assert (body["logprobs"], body["top_logprobs"]) == (True, 5)
        said = model_server.says('{"grade": 4}')
        tops = [
            {"token": "4", "logprob": math.log(0.6 - 0.1 * item)},
            {"token": " 5", "logprob": math.log(0.2 + 0.1 * item)},
        ]
        tops.append({"token": "x", "logprob": -1.0})
        content = [{"token": '{"grade": ', "logprob": 0.0, "top_logprobs": []}]
        content += [{"token": "4", "logprob": math.log(0.5), "top_logprobs": tops}, {"token": "}", "logprob": 0.0}]
        said["choices"][0]["logprobs"] = {"content": content}
        return said

    model_server.answer = answer
    with client_of(model_server) as client:
        (ranked,), _ = LlmRanker(client, Pointwise(logprobs=True)).rank([case_of(3)])
    assert ranked.order == [2, 1, 0]
    assert ranked.scores == pytest.approx(
        [(4 * 0.6 + 5 * 0.2) / 0.8, (4 * 0.5 + 5 * 0.3) / 0.8, (4 * 0.4 + 5 * 0.4) / 0.8]
    )


def test_a_server_without_them_gives_plain_grades(model_server):
    model_server.answer = lambda path, body: {**model_server.says('{"grade": 2}'), "logprobs": None}
    with client_of(model_server) as client:
        (ranked,), _ = LlmRanker(client, Pointwise(logprobs=True)).rank([case_of(3)])
    assert ranked.scores == [2.0, 2.0, 2.0]


def test_probabilities_come_back_from_the_cache(model_server, tmp_path):
    said = model_server.says('{"grade": 4}')
    tops = [{"token": "4", "logprob": -0.1}, {"token": "1", "logprob": -9999.0}, {"token": "5", "logprob": None}]
    said["choices"][0]["logprobs"] = {"content": [{"token": "4", "logprob": -0.1, "top_logprobs": tops}]}
    model_server.answer = lambda path, body: said
    scores = []
    for _ in range(2):
        with client_of(model_server, cache=str(tmp_path / "answers.db")) as client:
            (ranked,), _ = LlmRanker(client, Pointwise(logprobs=True)).rank([case_of(2)])
            scores.append(ranked.scores)
    assert scores[0] == scores[1] == [4.0, 4.0]
    assert len(model_server.asked) == 2


def client_of(server, **fields):
    from easyrec.llm.client import Endpoint

    return Client(Endpoint(base_url=server.url, model="m", key_env="MODEL_KEY", first_wait_s=0.01, **fields))


def ordering(server, worst=None):
    """Puts items in order by their numbers, the largest first; says nothing of use to a request with `worst`."""

    def answer(path, body):
        told = body["messages"][1]["content"]
        shown = [int(n) for n in re.findall(r'"text": "item (\d+)"', told)]
        if worst is not None and f"took {worst}" in told:
            return server.says("I would not know.")
        return server.says(json.dumps({"order": [p + 1 for p in sorted(range(len(shown)), key=lambda p: -shown[p])]}))

    return answer


def test_many_requests_go_on_together_and_a_few_may_fail(model_server):
    model_server.answer = ordering(model_server, worst=3)
    cases = [Case(f"r{n}", [f"item {i}" for i in range(4 + n)], [{"took": f"took {n}"}]) for n in range(8)]
    with client_of(model_server) as client:
        ranker = LlmRanker(client, Listwise(shuffles=2, window=6, step=3))
        ranked, asked = ranker.rank(cases, max_failed=0.3)
        assert [one.order[0] for one in ranked] == [3, 4, 5, 0, 7, 8, 9, 10]
        assert not ranked[3].answered
        assert asked.count == sum(one.prompts for one in ranked)
        assert asked.kinds["unparsed"] == ranked[3].prompts
        assert asked.spent.calls == len(model_server.asked)
        with pytest.raises(DataError, match="cannot be used"):
            ranker.rank(cases[3:4])


def test_a_deadline_ends_the_waiting(model_server):
    right = ordering(model_server)
    model_server.answer = lambda path, body: model_server.Reply(right(path, body), wait=0.4)
    with client_of(model_server) as client:
        ranker = LlmRanker(client, Listwise(shuffles=1))
        with pytest.raises(DeadlineError, match=r"longer than 0\.05 s"):
            ranker.order(case_of(4), timeout_s=0.05)
        assert ranker.order(case_of(4), timeout_s=5.0).order == [3, 2, 1, 0]


def test_examples_are_answered_turns_before_the_question():
    shot = Shot(Case("s", ["one", "two", "three"], [{"took": "zero"}]), [2])
    for way, answers in (
        (Listwise(shuffles=1), ['{"order": [3]}']),
        (Pairwise(top=1), ['{"better": "A"}']),
        (Pointwise(), ['{"grade": 5}', '{"grade": 1}']),
    ):
        _, prompts = run(way, case_of(2, shots=[shot]), lambda prompt: None)
        rules, *turns, _ = prompts[0].talk()
        assert rules.role == "system"
        assert [turn.content for turn in turns if turn.role == "assistant"] == answers
        assert all("zero" in turn.content for turn in turns if turn.role == "user")


def test_expected_grades_are_means_over_grades_alone():
    from easyrec.llm.client import Answer, Parsed, Usage
    from easyrec.llm.client.messages import Token

    tokens = [Token("3", math.log(0.5), {"3": math.log(0.5), "1": math.log(0.25), "hello": math.log(0.25)})]
    parsed = Parsed(Grade(grade=3), Answer("3", "stop", Usage(), "m", tokens=tokens), 0, Usage())
    made = expected((1, 2, 3, 4, 5))(parsed)
    assert isinstance(made, Likely)
    assert made.expected == pytest.approx((3 * 0.5 + 1 * 0.25) / 0.75)


def test_one_loop_serves_several_requests_at_a_time(model_server):
    model_server.answer = ordering(model_server)
    with client_of(model_server) as client:
        ranker = LlmRanker(client, Listwise(shuffles=2))

        async def several():
            return await asyncio.gather(*(asyncio.to_thread(ranker.order, case_of(3, f"r{n}"), 5.0) for n in range(4)))

        assert [one.order for one in asyncio.run(several())] == [[2, 1, 0]] * 4
