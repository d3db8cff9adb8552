"""Parts of rewriting: forms, names, bid words, rules, tables and measures, each by itself."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from easyrec.errors import ConfigError, DataError
from easyrec.llm.client.cache import Cache
from easyrec.llm.examples import ExampleIndex
from easyrec.llm.rewriting.bid_words import BidWords
from easyrec.llm.rewriting.config import ExamplesConfig, FiltersConfig, QueriesConfig
from easyrec.llm.rewriting.filters import Filters
from easyrec.llm.rewriting.forms import Forms, cleaned
from easyrec.llm.rewriting.quality import measured
from easyrec.llm.rewriting.rewrites import Ask, Made, Rejected, Rewrite
from easyrec.llm.rewriting.tables import read_examples, read_queries
from easyrec.llm.rewriting.tagger import Tagger
from easyrec.llm.rewriting.vectors import remembered

FORMS = Forms("english")


@pytest.mark.parametrize(
    ("text", "normal", "bag"),
    [
        ("Running SHOES!", "running shoes", "run shoe"),
        ("shoes for running", "shoes for running", "run shoe"),
        ("Caf\u00e9-Tasse", "cafe tasse", "cafe tass"),
        ("\uff32\uff35\uff2e", "run", "run"),
        ("the of", "the of", "the of"),
        ("\u624b\u673a\u58f3 red", "\u624b\u673a\u58f3 red", "red \u58f3 \u624b \u673a"),
        ("!?", "", ""),
    ],
)
def test_forms_of_queries(text, normal, bag):
    assert (FORMS.normal(text), FORMS.bag(text)) == (normal, bag)
    assert cleaned(f" a\u202e \n b{text[:0]}") == "a b"


def test_the_longest_name_counts_and_numbers_are_none():
    found = Tagger(["Apple", "Apple Tree", "trail shoes", "\u534e\u4e3a", "12", "The", ""], FORMS)
    assert found("apple trees and apples") == {"Apple Tree", "Apple"}
    assert found("APPLE TREE") == {"Apple Tree"}
    assert found("shoe for the trail") == frozenset()
    assert found("a trail shoe 12") == {"trail shoes"}
    assert found("\u4e70\u534e\u4e3a\u624b\u673a") == {"\u534e\u4e3a"}
    assert found.same("apple") == "Apple"
    assert found.same("pear") == "pear"


def test_bid_words_match_as_closely_as_can_be():
    with BidWords(["Nike Shoes", "nike shoes", "shoe polish", "red caf\u00e9 cup"], FORMS) as words:
        assert words.match("nike shoes") == ("nike shoes", "exact")
        assert words.match("NIKE-shoes") == ("Nike Shoes", "normalised"), "the first of those that are alike"
        assert words.match("shoe by nike") == ("Nike Shoes", "words")
        assert words.match("shoe by nike", "normalised") is None
        assert words.match("red cafe cup", "normalised") == ("red caf\u00e9 cup", "normalised")
        assert words.match("nike") is None
        found = words.inside("polish my nike shoes", 5)
        assert sorted(found) == [("Nike Shoes", 2 / 3), ("nike shoes", 2 / 3), ("shoe polish", 2 / 3)]
        assert words.inside("nike", 5) == []
        assert set(words.near("shoes", 2)) <= {"Nike Shoes", "nike shoes", "shoe polish"}


QUERIES = ["running shoes", "trail shoes", "garlic press", "garlic crusher"]
CATEGORIES = ["shoes", "shoes", "kitchen", "kitchen"]
VECTORS = np.array([[1, 0.1, 0], [1, -0.1, 0], [0, 1, 0.1], [0, 1, -0.1]], np.float32)


def filters(**config):
    index = ExampleIndex(QUERIES, CATEGORIES, VECTORS)
    brands, categories = Tagger(["nike", "adidas"], FORMS), Tagger(["shoes", "kitchen"], FORMS)
    return Filters(FiltersConfig(**config), FORMS, brands, categories, index)


def reasons(own, ask, *texts, vectors=None):
    kept, rejected = own.sort(ask, list(texts), VECTORS[0], vectors)
    return {**{one.text: None for one in kept}, **{one.text: one.reason for one in rejected}}


def test_a_rewrite_may_name_no_other_category_or_must_be_of_the_same_one():
    ask = Ask("joggers", "shoes")
    texts = ("kitchen things", "sneakers", "presses", "between", "shoes for sport")
    vectors = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0], [0.7, 0.7, 0], [0, 1, 0]], np.float32)
    assert reasons(filters(low=-1), ask, *texts, vectors=vectors) == {
        "kitchen things": "category",
        "sneakers": None,
        "presses": None,
        "between": None,
        "shoes for sport": None,
    }
    assert reasons(filters(low=-1, category="same"), ask, *texts, vectors=vectors) == {
        "kitchen things": "category",
        "sneakers": None,
        "presses": "category",
        "between": "category",
        "shoes for sport": None,
    }
    assert set(reasons(filters(low=-1, category="any"), ask, *texts, vectors=vectors).values()) == {None}
    assert set(reasons(filters(low=-1), Ask("joggers"), *texts, vectors=vectors).values()) == {None}


def test_brands_are_those_of_the_query_and_of_its_column():
    texts = ("nike shoes", "adidas shoes", "sport shoes", "nike adidas shoes")
    for ask in (Ask("nike runners"), Ask("swoosh runners", brand="Nike")):
        assert list(reasons(filters(), ask, *texts).values()) == [None, None, "brand", "brand"]
        told = reasons(filters(brand="same"), ask, *texts)
        assert [told[text] for text in texts] == [None, "brand", "brand", "brand"]
    assert set(reasons(filters(brand="any"), Ask("nike runners"), *texts).values()) == {None}


def test_nearness_has_two_ends():
    vectors = np.array([[1, 0, 0], [0.8, 0.6, 0], [0.3, 0.9, 0]], np.float32)
    told = reasons(filters(low=0.5, high=0.9), Ask("joggers"), "one", "two", "three", vectors=vectors)
    assert told == {"two": None, "one": "near", "three": "far"}
    kept, _ = filters().sort(Ask("joggers"), ["two", "one"], VECTORS[0], vectors[[1, 0]])
    assert [one.text for one in kept] == ["one", "two"], "the nearer one first"
    assert kept[0].score == pytest.approx(0.8, abs=0.01), "0.8: it is no bid word"


def test_a_category_that_is_not_known_is_found_where_that_is_sure():
    own = filters()
    assert own.completed(Ask("a pair of shoes"), None).category == "shoes"
    assert own.completed(Ask("sneakers"), np.array([1.0, 0, 0])).category == "shoes"
    assert own.completed(Ask("things"), np.array([0.7, 0.7, 0])).category is None
    assert own.completed(Ask("shoes of the kitchen"), None).category is None
    assert own.completed(Ask("sneakers", "toys", "nike", 3.0), np.array([1.0, 0, 0])) == Ask(
        "sneakers", "toys", "nike", 3.0
    )


def test_equal_queries_are_one_and_the_most_frequent_come_first(tmp_path):
    rows = {"q": ["a", "b", "a", "c", None, " "], "cat": [1, 2, 1, None, 1, 1], "n": [1, 4, 2, 3, 9, 9]}
    pq.write_table(pa.table(rows), tmp_path / "q.parquet")
    told = QueriesConfig(path=str(tmp_path / "q.parquet"), query="q", category="cat", count="n")
    asks, names, searches = read_queries(told, 2)
    assert asks == [Ask("b", "2", None, 4.0), Ask("a", "1", None, 3.0)]
    assert (names.categories, searches) == (["1", "2"], 10.0)
    asks, _, _ = read_queries(told.model_copy(update={"count": None}), 3)
    assert [ask.query for ask in asks] == ["a", "b", "c"]
    with pytest.raises(ConfigError, match="no column 'qq'; did you mean 'q'"):
        read_queries(told.model_copy(update={"query": "qq"}), 2)
    with pytest.raises(DataError, match="numbers are needed"):
        read_queries(told.model_copy(update={"count": "q"}), 2)


def test_examples_have_their_best_rewrites(tmp_path):
    rows = {
        "query": ["a", "a", "a", "a", "b", "b"],
        "rewrite": ["w", "x", "y", "x", "", None],
        "category": ["c", "c", "c", "d", "c", "c"],
        "n": [1, 3, 2, 9, 5, 5],
    }
    pq.write_table(pa.table(rows), tmp_path / "e.parquet")
    found = read_examples(ExamplesConfig(path=str(tmp_path / "e.parquet"), category="category", count="n", rewrites=2))
    assert dict(zip(zip(found.queries, found.categories, strict=True), found.rewrites, strict=True)) == {
        ("a", "d"): ("x",),
        ("a", "c"): ("x", "y"),
    }


def test_measures_of_a_worked_case():
    made = [
        Made(
            Ask("q", count=3.0),
            (Rewrite("red shoes", 0.9, "red shoes", "exact", 0.9), Rewrite("red boots", 0.5, None, None, 0.5)),
            (Rejected("x", "far", "x", "exact", 0.1), Rejected("y", "far", None, None, 0.1)),
        ),
        Made(Ask("r", count=1.0), (), (), answered=False),
    ]
    vectors = np.array([[1.0, 0.0], [0.6, 0.8]], np.float32)
    found = measured(made, FORMS, lambda texts: vectors)
    means = {name: (one.mean, one.count) for name, one in found.means.items()}
    assert means == {
        "coverage": (0.5, 2),
        "bid_coverage": (0.5, 2),
        "bid_rate": (0.5, 1),
        "bid_rate_written": (0.5, 1),
        "taken": (0.5, 1),
        "similarity": (pytest.approx(0.7), 1),
        "distance": (pytest.approx(0.4), 1),
        "distinct": (0.75, 1),
    }
    assert (found.queries, found.traffic) == (2, 0.75)
    assert found.means["coverage"].low < 0.5 < found.means["coverage"].high
    assert measured([], FORMS, lambda texts: None).means["coverage"].count == 0


def test_vectors_are_made_once(tmp_path):
    class Counting:
        digest = "d"
        made: list[str] = []

        def queries(self, texts):
            self.made += texts
            return np.array([[len(text), 1.0] for text in texts], np.float32)

    cache, embedder = Cache(tmp_path / "v.db"), Counting()
    first = remembered(embedder, cache, ["aa", "b", "aa"])
    again = remembered(embedder, cache, ["b", "ccc"])
    assert first.tolist() == [[2, 1], [1, 1], [2, 1]]
    assert again.tolist() == [[1, 1], [3, 1]]
    assert embedder.made == ["aa", "b", "ccc"]
    assert remembered(embedder, cache, []).shape == (0, 0)
    cache.close()
