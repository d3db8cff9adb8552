"""Rewrites of queries, by a model that says what a test wrote down."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from easyrec.llm.config import load_llm
from easyrec.llm.rewriting.files import read, rejected_path
from easyrec.llm.tools.rewrite import rewrite

QUERIES = [
    ("red nike running shoes", "shoes", "nike", 50.0),
    ("garlic press", "kitchen", None, 30.0),
    ("adidas trail shoes", "shoes", "adidas", 20.0),
    ("tea kettle steel", "kitchen", None, 10.0),
]
EXAMPLES = [
    ("blue nike running shoes", "nike runners", "shoes", 9.0),
    ("blue nike running shoes", "nike jogging shoes", "shoes", 12.0),
    ("garlic crusher", "garlic press steel", "kitchen", 4.0),
    ("potato masher", "masher", "kitchen", 4.0),
]
BID_WORDS = ["nike running shoes", "Trail Shoes", "steel kettle", "garlic presses", "adidas trail shoe"]


@pytest.fixture
def tables(tmp_path):
    """Files that a config names."""
    columns = [list(column) for column in zip(*QUERIES, strict=True)]
    table = pa.table(dict(zip(["query", "category", "brand", "count"], columns, strict=True)))
    pq.write_table(table, tmp_path / "queries.parquet")
    columns = [list(column) for column in zip(*EXAMPLES, strict=True)]
    table = pa.table(dict(zip(["query", "rewrite", "category", "clicks"], columns, strict=True)))
    pq.write_table(table, tmp_path / "examples.parquet")
    pq.write_table(pa.table({"bid_word": BID_WORDS}), tmp_path / "bid_words.parquet")
    return tmp_path


@pytest.fixture
def config(tables, server):
    """Makes configs of the section, with a model that answers by what it is asked."""

    def make(**own):
        model = {
            "base_url": server.url,
            "model": "small",
            "key_env": "MODEL_KEY",
            "first_wait_s": 0.01,
            "timeout_s": 5.0,
        }
        section = {
            "queries": {
                "path": str(tables / "queries.parquet"),
                "category": "category",
                "brand": "brand",
                "count": "count",
            },
            "examples": {"path": str(tables / "examples.parquet"), "category": "category", "count": "clicks"},
            "bid_words": {"path": str(tables / "bid_words.parquet")},
            "output": str(tables / "rewrites.parquet"),
            "filters": {"low": None},
            **own,
        }
        embedder = {"type": "server", **model, "model": "vectors", "cache": str(tables / "server_vectors.db")}
        return {"model": model, "embedder": embedder, "rewrite": section}

    return make


def answers(server, told):
    """Let the model answer by the query that it is asked about, and make vectors by words."""

    def answer(path, body):
        if path == "/embeddings":
            return server.word_vectors(path, body)
        asked = json.loads(body["messages"][-1]["content"].splitlines()[-1])["query"]
        said = told[asked] if isinstance(told, dict) else told
        return said if not isinstance(said, list) else server.says(json.dumps({"rewrites": said}))

    server.answer = answer


def run(document, **options):
    return rewrite(*load_llm(document, "rewrite"), **options)


WRITTEN = {
    "red nike running shoes": [
        "nike running shoes",
        "Red NIKE shoes for running!",
        "adidas running shoes",
        "garlic press",
    ],
    "garlic press": ["garlic presses", "garlic steel press", "https://evil.example", "garlic press"],
    "adidas trail shoes": ["trail shoes", "adidas trail shoe", "", "trail " * 20],
    "tea kettle steel": [],
}


def test_the_head_is_written_with_what_was_not_taken_and_a_report(config, server, tables):
    answers(server, WRITTEN)
    done = run(config())
    made = {one.ask.query: one for one in read(tables / "rewrites.parquet")}
    assert [one.ask.query for one in done.made] == [query for query, *_ in QUERIES]
    shoes = made["red nike running shoes"]
    assert [(one.text, one.bid_word, one.match) for one in shoes.kept] == [
        ("nike running shoes", "nike running shoes", "exact")
    ]
    reasons = [(one.text, one.reason) for one in shoes.rejected]
    assert reasons == [
        ("Red NIKE shoes for running!", "duplicate"),
        ("adidas running shoes", "brand"),
        ("garlic press", "far"),
    ]
    assert [one.reason for one in made["garlic press"].rejected] == ["duplicate", "unfit", "duplicate"]
    assert [one.reason for one in made["adidas trail shoes"].rejected] == ["duplicate", "empty", "long"]
    assert made["tea kettle steel"].answered
    assert made["tea kettle steel"].kept == ()
    assert done.covered == 3
    report = json.loads((tables / "rewrites.parquet.report.json").read_text())
    assert report["rejected"] == dict(done.rejected)
    assert report["quality"]["coverage"]["mean"] == 0.75
    assert report["tokens"]["input"] == 40
    assert pq.read_table(rejected_path(tables / "rewrites.parquet"))["reason"].to_pylist().count("none") == 1
