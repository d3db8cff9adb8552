"""A catalogue in a knowledge base, filters out of questions, and what goes with an answer."""

import json

import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from easyrec.cli import main
from easyrec.errors import ConfigError, DataError
from easyrec.retrieval.filters import conditions_of
from rag.config import ItemsConfig, load_rag
from rag.items import add_items
from rag.knowledge import KnowledgeBase
from rag.rag import Rag
from rag.wishes import Names, numbers_wished, told

pytest.importorskip("tantivy")

EUROS = {"price": ["€", "eur", "euro", "euros", "元", "块钱", "块"]}
ROWS = [
    {"item_id": 1, "title": "Nora light dress", "category": ["dresses", "连衣裙"], "price": 30.5, "tags": ["party"]},
    {"item_id": 2, "title": "Mira warm dress", "category": ["dresses", "连衣裙"], "price": 80.0, "tags": ["office"]},
    {"item_id": 3, "title": "Sol cat food", "category": ["cat food", "猫粮"], "price": 12.0, "tags": None},
    {
        "item_id": 4,
        "title": "Nora leather shoes for a dress",
        "category": ["shoes", "鞋"],
        "price": 45.0,
        "tags": ["party"],
    },
]
TEXT = "{title}\n{category}\nprice: {price}\n{tags}"


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "items.parquet"
    pq.write_table(pa.Table.from_pylist(ROWS), path)
    return path


def config_of(tmp_path, table, **more):
    items = {"path": str(table), "text": TEXT, "facts": ["price", "category", "tags"]}
    return load_rag(
        {"knowledge": {"path": str(tmp_path / "kb")}, "items": items, "search": {"mode": "keyword"}, **more}
    )


def sources(hits):
    return [hit.part.source for hit in hits]


def test_a_table_is_followed(tmp_path, table):
    config = config_of(tmp_path, table)
    with KnowledgeBase(config.knowledge) as base:
        report, gone = add_items(base, config.items)
        assert (len(report.added), gone) == (4, 0)
        (hit,) = base.search("Mira")
        assert hit.text == "Mira warm dress\ndresses, 连衣裙\nprice: 80\noffice"
        assert hit.part.facts == {"price": [80.0], "category": ["dresses", "连衣裙"], "tags": ["office"], "item": [2]}
        base.add_text("about.md", "We also mend dresses.")
        report, gone = add_items(base, config.items)
        assert (report.added, report.updated, len(report.unchanged), gone) == ([], [], 4, 0)
        rows = [{**ROWS[0], "price": 20.0}, *ROWS[2:]]
        pq.write_table(pa.Table.from_pylist(rows), table)
        report, gone = add_items(base, config.items)
        assert (report.updated, gone) == (["item:1"], 1)
        assert sources(base.search("dress", filter={"category": "dresses"})) == ["item:1"]
        assert [each.source for each in base.documents()] == ["about.md", "item:1", "item:3", "item:4"]
        assert base.count({"price": {"lt": 21}}) == 2
        assert base.records.values("category", 2) == ["cat food", "dresses"]


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl"])
def test_other_tables(tmp_path, ending):
    rows = pa.Table.from_pylist([{key: row[key] for key in ("item_id", "title", "price")} for row in ROWS])
    path = tmp_path / f"items.{ending}"
    if ending == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows.to_pylist()))
    else:
        pc.write_csv(rows, path, pc.WriteOptions(delimiter="\t" if ending == "tsv" else ","))
    with KnowledgeBase(load_rag({"knowledge": {"path": str(tmp_path / "kb")}}).knowledge) as base:
        report, _ = add_items(base, ItemsConfig(path=str(path), text="{title}", facts=["price"]))
        assert len(report.added) == 4
        assert sources(base.search("dress", filter={"price": {"lt": 40}})) == ["item:1"]


def test_what_is_wrong_with_a_table_is_told(tmp_path, table):
    with KnowledgeBase(load_rag({"knowledge": {"path": str(tmp_path / "kb")}}).knowledge) as base:
        base.add_text("item:9", "was there")
        with pytest.raises(ConfigError, match=r"items: .* has no column 'titel'; did you mean 'title'"):
            add_items(base, ItemsConfig(path=str(table), text="{titel}"))
        pq.write_table(pa.Table.from_pylist([*ROWS, ROWS[0]]), table)
        with pytest.raises(DataError, match=r"row 5: column 'item_id': 1 is there twice"):
            add_items(base, ItemsConfig(path=str(table), text="{title}"))
        pq.write_table(pa.Table.from_pylist([{**ROWS[0], "item_id": None}]), table)
        with pytest.raises(DataError, match=r"row 1: column 'item_id' is empty"):
            add_items(base, ItemsConfig(path=str(table), text="{title}"))
        table.write_bytes(b"no table")
        with pytest.raises(DataError, match=r"items\.parquet: cannot be read"):
            add_items(base, ItemsConfig(path=str(table), text="{title}"))
        assert base.records.document("item:9") is not None
    with pytest.raises(ConfigError, match="'source' cannot be a fact"):
        config_of(tmp_path, table, items={"path": "x", "text": "{y}", "facts": ["source"]})
    for text, wrong in (("{title", "a '{' without"), ("a}", "a '}' without"), ("{}", "no column"), ("x", "no column")):
        with pytest.raises(ConfigError, match=rf"items \. text\s+.*{wrong}"):
            load_rag({"knowledge": {"path": "kb"}, "items": {"path": "x", "text": text}})


@pytest.mark.parametrize(
    ("question", "bounds"),
    [
        ("a blouse under 50 euros", {"lt": 50}),
        ("between 20 and 40 euros", {"gte": 20, "lte": 40}),
        ("between 10 and 20", {"gte": 10, "lte": 20}),
        ("20-40€ jackets", {"gte": 20, "lte": 40}),
        ("€20 to €40", {"gte": 20, "lte": 40}),
        ("at most 1,299.50 euros", {"lte": 1299.5}),
        ("more than 1k euros", {"gt": 1000}),
        ("about 100 euros", {"gte": 80, "lte": 120}),
        ("under 30, above 10", {"lt": 30, "gt": 10}),
        ("iphone 14 under 500 euros", {"lt": 500}),
        ("something of 2 shops for 20 euros or less", {"lte": 20}),
        ("50元以下的连衣裙", {"lte": 50}),
        ("100到200元的猫粮", {"gte": 100, "lte": 200}),
        ("不超过300块的打印机", {"lte": 300}),
        ("价格在50到100元之间的裙子", {"gte": 50, "lte": 100}),
        ("200元左右", {"gte": 160, "lte": 240}),
        ("1.5万元以上", {"gte": 15000}),
        ("shoes for over 3 year olds", None),
        ("5 europeans", None),
        ("a dress of 1990", None),
        ("under 10 euros and over 20 euros", None),
        ("", None),
    ],
)
def test_bounds_in_questions(question, bounds):
    assert numbers_wished(question, EUROS).get("price") == bounds


@given(st.text(alphabet="0123456789.,-–to under元€ between andk万到以下", max_size=60))
@settings(max_examples=150, deadline=None)
def test_bounds_are_always_a_filter(question):
    found = numbers_wished(question, EUROS)
    assert len(conditions_of(found)) == len(found)
    told(found)


def test_names_in_questions():
    names = Names({"category": ["dresses", "cat food", "连衣裙", "裙"], "brand": ["Cat", 7], "mood": ["  "]})
    assert names("I want a dress, please") == {"category": ["dresses"]}
    assert names("CAT FOOD") == {"category": ["cat food"]}, "the longer name takes the word"
    assert names("what a cat eats, food") == {"brand": ["Cat"]}
    assert names("红色连衣裙") == {"category": ["连衣裙"]}
    assert (names("Dress"), names("hat")) == ({"category": ["dresses"]}, {})
    seen = lambda fact, value: value not in ("cat food", "连衣裙")  # noqa: E731
    assert names("CAT FOOD", seen) == {"brand": ["Cat"]}, "a name that is kept for others takes no word away"
    assert names("红色连衣裙", seen) == {"category": ["裙"]}


FILTERS = {"type": "filters", **{"numbers": EUROS, "names": ["category", "tags"]}}


def test_a_question_is_a_filter(tmp_path, table):
    config = config_of(
        tmp_path, table, pipeline=[FILTERS, "search", "answer"], llm={"base_url": "http://127.0.0.1:9/v1", "model": "m"}
    )
    with Rag(config) as rag:
        add_items(rag.base, config.items)
        found = rag.search("a dress under 50 euros")
        assert sources(found.hits) == ["item:1"]
        assert found.trace.steps[0].notes == {"filter": "price < 50; category: dresses"}
        assert sources(rag.search("dress, 50 euros or more").hits) == ["item:2"]
        # Nobody sells a dress for the party at that price: the last name goes first.
        found = rag.search("a dress for a party, 70 euros or more")
        assert sources(found.hits) == ["item:2"]
        assert found.trace.steps[0].notes["left_out"] == ["tags"]
        # What was asked for otherwise stays as it is.
        assert sources(rag.search("a dress under 50 euros", filter={"price": {"gt": 50}}).hits) == ["item:2"]
        rag.base.add_text("item:5", "secret dress", {"category": "dresses", "price": 5, "access": ["staff"]})
        assert sources(rag.search("a secret dress under 10 euros", access=["me"]).hits) == []
        rag.base.add_text(
            "plan", "We buy Lanternfish.", {"category": ["lanternfishes", "dresses"], "access": ["staff"]}
        )
        told = [rag.search("lanternfish", access=who).trace.steps[0].notes.get("filter") for who in (["me"], ["staff"])]
        assert told == [None, "category: lanternfishes"], "that there is such a name is not told either"


def says(model_server, found):
    model_server.script.append(model_server.says(json.dumps(found)))


def test_a_model_reads_filters(tmp_path, table, model_server):
    llm = {"base_url": model_server.url, "model": "m", "key_env": "MODEL_KEY", "first_wait_s": 0.01, "tries": 1}
    config = config_of(
        tmp_path, table, pipeline=[{**FILTERS, "by": "model", "relax": False}, "search", "answer"], llm=llm
    )
    nothing = {"low": None, "high": None}
    with Rag(config) as rag:
        add_items(rag.base, config.items)
        says(model_server, {"price": {"low": None, "high": 50}, "category": ["Dress", "ball gowns"], "tags": []})
        found = rag.search("something to wear at a ball that does not cost a fortune, dress")
        assert sources(found.hits) == ["item:1"]
        assert found.trace.steps[0].notes == {"unknown_names": 1, "filter": "price ≤ 50; category: dresses"}
        rag.base.add_text("plan", "We buy gowns.", {"category": "ball gowns", "access": ["staff"]})
        for who, told in (
            (["me"], {"unknown_names": 1}),
            (["staff"], {"filter": "category: ball gowns"}),
            (None, {"filter": "category: ball gowns"}),
        ):
            says(model_server, {"price": nothing, "category": ["ball gown"], "tags": []})
            assert rag.search("something for a ball", access=who).trace.steps[0].notes == told
        says(model_server, {"price": {"low": 90, "high": 10}, "category": [], "tags": []})
        assert len(rag.search("dress").hits) == 3, "what cannot be is no filter"
        says(model_server, {"price": nothing, "category": [], "tags": [], "source": ["item:3"]})
        found = rag.search("dress under 50 euros")
        assert len(found.hits) == 3, "a fact that was not asked for is left out"
        model_server.answer = lambda *_: model_server.Reply(status=500, body={"error": {"message": "down"}})
        found = rag.search("dress under 50 euros")
        assert sources(found.hits) == ["item:1"]
        assert found.trace.steps[0].notes["fallbacks"] == 1


def test_what_goes_with_an_answer(tmp_path, table, model_server, capsys):
    related = {"type": "related", "other": ["category"], "same": ["tags"], "by": "found"}
    llm = {"base_url": model_server.url, "model": "m", "key_env": "MODEL_KEY"}
    config = config_of(tmp_path, table, pipeline=[FILTERS, "search", related, "answer"], llm=llm)
    path = tmp_path / "rag.yaml"
    path.write_text(yaml.safe_dump(config.model_dump(mode="json", exclude_unset=True)))
    assert main(["rag", "items", "-c", str(path)]) == 0
    assert "added" in capsys.readouterr().out
    model_server.answer = lambda *_: model_server.Reply(
        pieces=[{"choices": [{"delta": {"content": "Nora [1]"}, "finish_reason": "stop"}]}]
    )
    assert main(["rag", "ask", "-c", str(path), "a dress under 50 euros", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert [place["where"] for place in said["citations"]] == ["item:1"]
    assert [place["where"] for place in said["related"]] == ["item:4"]
    assert main(["rag", "ask", "-c", str(path), "a dress under 50 euros"]) == 0
    assert "see also: item:4" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("step", "text"),
    [
        ({"type": "filters"}, "names no fact"),
        ({"type": "filters", "numbers": {"a": []}, "names": ["a"]}, "'a' is in 'numbers' and in 'names'"),
        ({"type": "related", "same": ["a b"]}, "'a b' is no name of a fact"),
    ],
)
def test_steps_that_cannot_be(tmp_path, table, step, text):
    with pytest.raises(ConfigError, match=text):
        config_of(tmp_path, table, pipeline=[step, "search", "answer"])
