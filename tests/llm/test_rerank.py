"""`easyrec llm rerank`: candidates of requests, what is told of them, and what orders are worth."""

import datetime
import json
import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from easyrec.errors import ConfigError, DataError
from easyrec.llm.config import load_llm
from easyrec.llm.ranking.cases import Look, Ranked
from easyrec.llm.tools._rerank.measures import bias_of, measured
from easyrec.llm.tools.rerank import rerank

TITLES = [f"item {n}" for n in range(8)]


@pytest.fixture
def run(model_server, tmp_path):
    """Runs the tool over rows; gives what came of it, its rows by request, and the questions, as lines."""

    def make(
        rows, answer=lambda lines: {"order": [1]}, *, events=(), shots=None, candidates=None, titles=TITLES, **fields
    ):
        def write(name, some):
            pq.write_table(pa.Table.from_pylist(list(some)), tmp_path / f"{name}.parquet")
            return str(tmp_path / f"{name}.parquet")

        def said(path, body):
            return model_server.says(json.dumps(answer(lines_of(body))))

        items = [{"item_id": n, "title": title} for n, title in enumerate(titles)]
        section = {
            "candidates": {"path": write("candidates", rows), **(candidates or {})},
            "items": {"path": write("items", items), "text": "{title}"},
            "output": str(tmp_path / "out.parquet"),
            "how": {"type": "listwise", "shuffles": 1, "first": "as they are"},
            "at": [1, 2],
            **fields,
        }
        if events:
            section["events"] = {"path": write("events", events), "last": 3}
            section["candidates"] |= {"user": "user_id", "time": "time"}
        if shots is not None:
            section["shots"] = {"path": write("shots", shots), **fields.get("shots", {})}
        model_server.answer, before = said, len(model_server.asked)
        model = {"base_url": model_server.url, "model": "m", "key_env": "MODEL_KEY", "concurrency": 1}
        model["cache"] = str(tmp_path / f"{before}.db")
        done = rerank(*load_llm({"model": model, "rerank": section}, "rerank"))
        found = {}
        for row in pq.read_table(tmp_path / "out.parquet").to_pylist():
            found.setdefault(row["request_id"], []).append(row)
        return done, found, model_server.bodies()[before:]

    return make


def lines_of(body):
    return [json.loads(line) for line in body["messages"][-1]["content"].split("\n")]


def shown(lines):
    return [line["text"] for line in lines if "candidate" in line]


def best_last(lines):
    """Names the candidates from the last one on."""
    return {"order": list(range(len(shown(lines)), 0, -1))}


def row(request, item, score, *, label=0.0, user="u", time=50, query="boots"):
    return {
        "request_id": request, "item_id": item, "score": score, "label": label, "user_id": user, "time": time, "q": query,
    }  # fmt: skip


SEARCH = {"query": "{q}"}


def test_candidates_stand_in_the_rankers_order_and_come_out_in_the_models(run):
    rows = [row("b", 1, 0.5), row("a", 3, 0.1), row("b", 2, 0.9), row("b", 5, None), row("a", 4, 0.2)]
    done, found, bodies = run(rows, best_last, candidates=SEARCH)
    assert [shown(lines_of(body)) for body in bodies] == [["item 2", "item 1", "item 5"], ["item 4", "item 3"]]
    assert [lines_of(body)[0] for body in bodies] == [{"search": "boots"}] * 2
    assert [(one["item_id"], one["place"], one["former_place"]) for one in found["b"]] == [
        (5, 0, 2),
        (1, 1, 1),
        (2, 2, 0),
    ]
    assert [one["model_score"] for one in found["b"]] == [-0.0, -1.0, -2.0]
    assert (done.requests, done.measures, {one["state"] for own in found.values() for one in own}) == (
        2,
        None,
        {"answered"},
    )


def test_those_beyond_the_bound_and_those_without_a_text_follow(run):
    titles = [*TITLES[:3], None, *TITLES[4:]]
    rows = [row("a", n, -n) for n in (3, 4, 5, 6, 77)]
    done, found, (body,) = run(rows, best_last, candidates={**SEARCH, "most": 2}, titles=titles)
    assert shown(lines_of(body)) == ["item 4", "item 5"]
    assert [one["item_id"] for one in found["a"]] == [5, 4, 3, 6, 77]
    assert [one["model_score"] is None for one in found["a"]] == [False, False, True, True, True]
    assert done.report["without_text"] == 2


def test_what_is_told_of_a_user_lies_before_the_request(run):
    events = [
        {"user_id": u, "item_id": i, "timestamp": t}
        for u, i, t in [("u", 0, 49), ("u", 1, 50), ("v", 2, 1), ("u", 3, 9)]
    ]
    _, _, (body,) = run([row("a", 4, 1.0), row("a", 5, 0.5)], events=events)
    assert [line["took"] for line in lines_of(body) if "took" in line] == ["item 3", "item 0"]


def test_measures_are_those_of_the_formulas(run):
    # of request a the ranker's second was taken, of b its first; the model turns both lists round
    rows = [row("a", 0, 3.0), row("a", 1, 2.0, label=1.0), row("a", 2, 1.0)]
    rows += [row("b", 3, 3.0, label=1.0), row("b", 4, 2.0, label=2.0), row("c", 5, 1.0), row("c", 6, 0.0)]
    events = [
        {"user_id": "x", "item_id": i, "timestamp": t} for i, t in [(2, 1), (4, 2), (4, 3), (3, 60), (3, 61), (3, 62)]
    ]
    events += [{"user_id": "u", "item_id": 7, "timestamp": 1}]
    done, _, _ = run(rows, best_last, events=events, candidates={"label": "label"}, draws=400)
    mean = {name: {key: one["mean"] for key, one in own.items()} for name, own in done.measures.items()}
    second = 1.0 / math.log2(3)
    b_ideal = 3.0 + second
    assert mean["ranker"]["ndcg@2"] == pytest.approx((second + (1.0 + 3.0 * second) / b_ideal) / 2)
    assert mean["model"]["ndcg@2"] == pytest.approx((second + 1.0) / 2)
    assert mean["ranker"]["hit_rate@1"] == 0.5
    assert mean["ranker"]["recall@1"] == 0.25
    assert mean["model"]["recall@1"] == pytest.approx(0.25)
    assert mean["popular"]["ndcg@2"] == pytest.approx((0.0 + 1.0) / 2)  # what came after the request does not count
    assert mean["popular"]["recall@1"] == pytest.approx(0.25)
    assert mean["random"]["hit_rate@1"] == pytest.approx((1 / 3 + 1.0) / 2, abs=0.03)
    assert done.report["measured_requests"] == 2  # in c nothing was taken
    assert done.differences["ranker"]["ndcg@2"]["mean"] == pytest.approx(
        mean["model"]["ndcg@2"] - mean["ranker"]["ndcg@2"]
    )


def test_popularity_does_not_know_what_came_later(run):
    rows = [row("a", 3, 1.0, label=1.0), row("a", 4, 2.0)]
    late = [{"user_id": "x", "item_id": 3, "timestamp": 50 + n} for n in range(9)]
    events = [*late, {"user_id": "u", "item_id": 4, "timestamp": 3}]
    done, _, _ = run(rows, events=events, candidates={"label": "label"})
    assert done.measures["popular"]["hit_rate@1"]["mean"] == 0.0


def test_examples_are_answered_requests_of_earlier_moments_alone(run):
    rows = [row("now", 4, 1.0), row("now", 5, 0.5)]
    shots = [row("now", 0, 1.0, label=1.0, time=1), row("now", 1, 0.5, time=1)]
    shots += [row("early", 2, 1.0, time=7), row("early", 3, 0.5, time=7, label=1.0)]
    shots += [row("late", 6, 1.0, time=50), row("late", 7, 0.5, time=50, label=1.0)]
    shots += [row("bare", 6, 1.0, time=3), row("bare", 7, 0.5, time=3)]
    events = [{"user_id": "u", "item_id": 0, "timestamp": 6}, {"user_id": "u", "item_id": 1, "timestamp": 8}]
    done, _, (body,) = run(rows, events=events, shots=shots, candidates={"label": "label"})
    assert (done.measures, done.report["measured_requests"]) == (None, 0)  # of these requests the outcome is not known
    _, example, answer, _ = body["messages"]
    lines = [json.loads(line) for line in example["content"].split("\n")]
    assert sorted(shown(lines)) == ["item 2", "item 3"]
    assert [line["took"] for line in lines if "took" in line] == ["item 0"]
    assert json.loads(answer["content"]) == {"order": [shown(lines).index("item 3") + 1]}


def test_rows_of_a_request_must_agree(run):
    events = [{"user_id": "u", "item_id": 0, "timestamp": 1}]
    for other, name in (({"user": "v"}, "user_id"), ({"time": 51}, "time")):
        rows = [row("a", 4, 1.0), row("a", 5, 0.5, **other)]
        with pytest.raises(DataError, match=f"{name}.*rows of a request do not say the same"):
            run(rows, events=events)
    with pytest.raises(DataError, match="has item 4 twice"):
        run([row("a", 4, 1.0), row("a", 4, 0.5)], candidates=SEARCH)


def test_times_of_another_kind_are_refused(run):
    date = datetime.datetime(1970, 1, 1)
    numbers = [{"user_id": "u", "item_id": 0, "timestamp": 1}]
    with pytest.raises(DataError, match=r"candidates\.parquet.*timestamp.*cannot be compared with int64"):
        run([row("a", 4, 1.0, time=date), row("a", 5, 0.5, time=date)], events=numbers)
    shots = [row("early", 2, 1.0, time=date), row("early", 3, 0.5, time=date, label=1.0)]
    with pytest.raises(DataError, match=r"shots\.parquet.*cannot be compared with int64"):
        run([row("a", 4, 1.0), row("a", 5, 0.5)], events=numbers, shots=shots, candidates={"label": "label"})


def test_so_many_requests_are_drawn(run):
    rows = [row(n, item, -item) for n in range(20) for item in (1, 2)]
    _, found, _ = run(rows, candidates={**SEARCH, "limit": 5})
    assert len(found) == 5
    assert all(len(own) == 2 for own in found.values())
    assert list(found) != [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, "needs 'events', or 'query'"),
        ({"events": {"path": "e"}}, "candidates.*user"),
        ({"shots": {"path": "s"}, "candidates": SEARCH}, "candidates.*label"),
        ({"how": {"type": "listwise", "window": 5, "step": 5}, "candidates": SEARCH}, "must be below 'window'"),
        ({"how": {"type": "listwize"}, "candidates": SEARCH}, "listwise"),
    ],
)
def test_sections_that_cannot_be_are_refused(fields, told):
    section = {"candidates": {}, "items": {"path": "i", "text": "{title}"}, "output": "o.parquet", **fields}
    section["candidates"] = {"path": "c", **section["candidates"]}
    with pytest.raises(ConfigError, match=told):
        load_llm({"rerank": section}, "rerank")


def test_gains_beyond_bounds_and_lists_of_unequal_lengths():
    labels = [np.array([0.0, 1.0]), np.array([1.0]), np.array([0.0, 0.0, 5000.0])]
    found = measured(labels, [1, 5])
    assert found["hit_rate@1"].tolist() == [0.0, 1.0, 0.0]
    assert found["ndcg@5"] == pytest.approx([1 / math.log2(3), 1.0, 0.5])
    assert found["recall@5"].tolist() == [1.0, 1.0, 1.0]


def test_what_places_do_is_told_by_correlation_and_chance():
    def of(*looks):
        return bias_of([Ranked([], [], looks=list(looks))], 0.95)

    echo = of(Look((0, 1, 2, 3), 4), Look((0, 1), 4))
    assert (echo["place"]["mean"], echo["first"]["mean"], echo["first_by_chance"]) == (1.0, 1.0, 0.25)
    assert of(Look((3, 2, 1, 0), 4))["place"]["mean"] == -1.0
    pairs = of(Look(turned=True, firsts=2), Look(turned=False, firsts=1))
    assert (pairs["turned"]["mean"], pairs["firsts"]["mean"]) == (0.5, 0.75)
    assert of() == {}
