"""Keyword search: which words a text has, what is found, and what is there after changes and crashes."""

import math
import os
import signal
import subprocess
import sys
import time
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from easyrec.errors import ConfigError, RunError
from easyrec.retrieval.filters import Range, conditions_of, facts_of, passes

tantivy = pytest.importorskip("tantivy")
pytest.importorskip("Stemmer")

from easyrec.retrieval.keyword.index import KeywordIndex  # noqa: E402 (needs what is asked for above)
from easyrec.retrieval.keyword.terms import range_terms, term_of, terms_of  # noqa: E402
from easyrec.retrieval.keyword.words import Words  # noqa: E402


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The running dogs", ["run", "dog"]),
        ("Ann's book, don't", ["ann", "book", "dont"]),
        ("Café ÜBER naïve", ["cafe", "uber", "naiv"]),
        ("ＷＩＤＥ １２３", ["wide", "123"]),
        ("北京大学", ["北", "京", "大", "学", "北京", "京大", "大学"]),
        ("iPhone手机", ["iphon", "手", "机", "手机"]),
        ("한국 さくら", ["한", "국", "한국", "さ", "く", "ら", "さく", "くら"]),
        ("Москва й", ["москва", "й"]),
        ("a_b 3.5 x" + "z" * 100, ["b", "3", "5", "x" + "z" * 63]),
        ("", []),
        ("the of \u3000!?", []),
    ],
)
def test_words(text, words):
    assert Words("english")(text) == words


def test_words_of_no_language_keep_their_endings():
    assert Words(None)("the running dogs") == ["the", "running", "dogs"]
    with pytest.raises(ConfigError, match="did you mean 'english'"):
        Words("englsh")


@given(st.text(max_size=200))
def test_any_text_has_words(text):
    words = Words("english")(text)
    assert all(word and len(word) <= 64 and not any(c.isspace() for c in word) for word in words)


TEXTS = [
    "rain falls on the town", "the town sleeps", "rain rain rain", "sun over towns and towns", "北京的雨", "nothing here at all"
]  # fmt: skip


def bm25(query, texts):
    """The formula, in plain Python. Lengths of up to 40 words are exact in the index."""
    words = Words("english")
    bags = [Counter(words(text)) for text in texts]
    average = sum(sum(bag.values()) for bag in bags) / len(bags)
    scores = np.zeros(len(texts))
    for word in words(query):
        df = sum(word in bag for bag in bags)
        idf = math.log(1 + (len(texts) - df + 0.5) / (df + 0.5))
        for row, bag in enumerate(bags):
            length = sum(bag.values()) / average
            scores[row] += idf * bag[word] * 2.2 / (bag[word] + 1.2 * (0.25 + 0.75 * length)) if bag[word] else 0.0
    return scores


def test_scores_equal_the_formula(tmp_path):
    with KeywordIndex(tmp_path / "k") as index:
        index.add(range(len(TEXTS)), TEXTS)
        index.commit()
        for query in ("rain", "towns in rain", "雨", "rain rain town"):
            numbers, scores = index.search(query)
            want = bm25(query, TEXTS)
            np.testing.assert_allclose(scores, want[numbers], rtol=1e-5)
            assert set(numbers) == set(np.flatnonzero(want))
            assert (np.diff(scores) <= 0).all()
        assert index.search("unknown")[0].size == 0
        assert index.search("the")[0].size == 0
        assert index.search("rain", 0)[0].size == 0
        assert list(index.search("rain", 1)[0]) == [2]


def test_an_entry_is_replaced_and_removed(tmp_path):
    with KeywordIndex(tmp_path / "k") as index:
        index.add([1, 2], ["old words", "other words"])
        assert index.search("words")[0].size == 0, "not before it is committed"
        index.commit()
        index.add([1], ["new text"])
        index.rollback()
        index.add([2], ["changed text"])
        index.commit()
        assert list(index.search("old words")[0]) == [1]
        assert list(index.search("changed other")[0]) == [2]
        assert index.search("other")[0].size == 0
        index.remove([2, 77])
        index.commit()
        assert (len(index), index.search("changed")[0].size) == (1, 0)


def test_it_is_there_when_it_is_opened_again_with_its_language(tmp_path):
    with KeywordIndex(tmp_path / "k", "german") as index:
        index.add([5], ["die Häuser"])
        index.commit()
        index.add([6], ["vergessen"])
    with KeywordIndex(tmp_path / "k") as index:
        assert index.words.language == "german"
        assert list(index.search("Haus Häuser")[0]) == [5]
        assert len(index) == 1


def test_one_process_writes_and_others_see_it_when_they_look(tmp_path):
    with KeywordIndex(tmp_path / "k") as writer:
        writer.add([1], ["one"])
        writer.commit()
        with KeywordIndex(tmp_path / "k") as reader:
            with pytest.raises(RunError, match="another process writes"):
                reader.add([2], ["two"])
            writer.add([2], ["two"])
            writer.commit()
            reader.reload()
            assert list(reader.search("two")[0]) == [2]


@pytest.mark.parametrize("make", ["other", "version", "broken"])
def test_folders_of_something_else(tmp_path, make):
    folder = tmp_path / "k"
    if make == "other":
        folder.mkdir()
        (folder / "x").write_text("x")
    else:
        KeywordIndex(folder).close()
        (folder / "keyword.json").write_text('{"format": 99}' if make == "version" else "{")
    with pytest.raises(RunError, match=str(folder)):
        KeywordIndex(folder)


FACTS = [
    {"team": "ads", "year": 2020, "tags": ["a", "b"], "price": 1.5, "open": True},
    {"team": "Search team", "year": 2021, "tags": ["b"], "price": -3, "open": False},
    {"team": "ads", "year": 2022, "tags": [], "price": 2},
    {"year": 2023.0, "tags": ["雨 x", "a:b\"'\\"]},
    {},
]


@pytest.mark.parametrize(
    ("filter", "found"),
    [
        ({"team": "ads"}, [0, 2]),
        ({"team": "Search team"}, [1]),
        ({"team": "search"}, []),
        ({"tags": ["a", "雨 x"]}, [0, 3]),
        ({"tags": "a:b\"'\\"}, [3]),
        ({"year": 2023}, [3]),
        ({"year": 2020.0}, [0]),
        ({"open": True}, [0]),
        ({"open": False}, [1]),
        ({"year": {"gte": 2021}}, [1, 2, 3]),
        ({"year": {"gt": 2021, "lt": 2023}}, [2]),
        ({"price": {"lte": 1.5}}, [0, 1]),
        ({"price": {"gt": -3}}, [0, 2]),
        ({"price": {"gte": -3, "lt": 1.5}}, [1]),
        ({"team": {"none": ["ads"]}}, [1, 3, 4]),
        ({"tags": {"none": ["a", "zz"]}, "team": "ads"}, [2]),
        ({"missing": 1}, []),
        ({"missing": {"none": [1]}}, [0, 1, 2, 3, 4]),
        ({"tags": {"any": ["b"], "none": ["a"]}}, [1]),
        ({}, [0, 1, 2, 3, 4]),
    ],
)
def test_filters(tmp_path, filter, found):
    with KeywordIndex(tmp_path / "k") as index:
        index.add(range(5), ["rain"] * 5, FACTS)
        index.commit()
        numbers, scores = index.search("rain", filter=filter)
        assert sorted(numbers) == found
        assert list(numbers) == found, "equal scores come in the order of their numbers"
        np.testing.assert_allclose(scores, index.search("rain")[1][: len(found)], err_msg="a filter changes no score")
    assert [i for i, facts in enumerate(FACTS) if passes(facts_of(facts), conditions_of(filter))] == found


NAMES = st.sampled_from(["a", "b_1"])
VALUES = st.one_of(
    st.sampled_from(["x", "y z", "雨", "", "*", "[1 TO 2]"]),
    st.integers(-5, 5),
    st.sampled_from([0.5, -1.5]),
    st.booleans(),
)
KNOWN = st.dictionaries(NAMES, st.one_of(VALUES, st.lists(VALUES, max_size=3)), max_size=2)
BOUND = st.one_of(st.integers(-5, 5), st.sampled_from([0.5, -1.5]))
ASKED = st.dictionaries(
    NAMES,
    st.one_of(
        VALUES,
        st.lists(VALUES, min_size=1, max_size=3),
        st.fixed_dictionaries({"none": st.lists(VALUES, min_size=1, max_size=2)}),
        st.fixed_dictionaries({"gte": BOUND}, optional={"lt": BOUND}),
        st.fixed_dictionaries({"gt": BOUND}, optional={"lte": BOUND}),
    ),
    max_size=2,
)


@settings(max_examples=25)
@given(st.lists(KNOWN, min_size=1, max_size=8), st.lists(ASKED, min_size=1, max_size=8))
def test_filters_mean_the_same_as_in_plain_python(tmp_path_factory, known, asked):
    with KeywordIndex(tmp_path_factory.mktemp("k") / "k") as index:
        index.add(range(len(known)), ["rain"] * len(known), known)
        index.commit()
        for filter in asked:
            conditions = conditions_of(filter)
            want = [i for i, facts in enumerate(known) if passes(facts_of(facts), conditions)]
            assert list(index.search("rain", filter=filter)[0]) == want, filter


NUMBERS = st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.integers(-(2**53), 2**53))


@given(
    st.lists(NUMBERS, min_size=1, max_size=20), st.none() | NUMBERS, st.none() | NUMBERS, st.booleans(), st.booleans()
)
def test_a_range_is_made_of_beginnings(values, low, high, with_low, with_high):
    condition = Range("a", low, high, with_low, with_high)
    looked_up = set(range_terms(condition))
    assert len(looked_up) <= 2 * 16 * 15
    for value in values:
        assert bool(looked_up & set(terms_of({"a": (value,)}))) == condition.holds((value,))


def test_only_some_may_be_found(tmp_path):
    with KeywordIndex(tmp_path / "k") as index:
        index.add(range(5), ["rain"] * 5)
        index.commit()
        assert list(index.search("rain", among=[3, 1, 99])[0]) == [1, 3]
        assert list(index.search("rain", among=[])[0]) == []


@pytest.mark.parametrize(
    ("filter", "reason"),
    [
        ({"a": {"gtt": 1}}, "did you mean 'gt'"),
        ({"a": {}}, "unknown key ''"),
        ({"a": {"gte": "x"}}, "finite number"),
        ({"a": {"gte": 1, "gt": 2}}, "two bounds"),
        ({"a": []}, "0 values"),
        ({"a": [None]}, "a text, a finite number"),
        ({"a": float("nan")}, "a text, a finite number"),
        ({"a b": 1}, "no name of a fact"),
        ({"a:[* TO *] OR b": 1}, "no name of a fact"),
        ([1], "a filter is a mapping"),
    ],
)
def test_filters_that_are_none(filter, reason):
    with pytest.raises(ConfigError, match=reason):
        conditions_of(filter)


WRITER = """
import sys
from easyrec.retrieval.keyword.index import KeywordIndex
index = KeywordIndex(sys.argv[1])
for turn in range(10_000):
    index.add(range(turn * 10, turn * 10 + 10), ["rain"] * 10)
    index.commit()
    print(turn, flush=True)
"""


@pytest.mark.slow
def test_a_killed_writer_leaves_what_was_committed(tmp_path):
    done = -1
    for moment in (0.0, 0.013, 0.05, 0.11):
        command = [sys.executable, "-c", WRITER, str(tmp_path / "k")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            process.stdout.readline()
            time.sleep(moment)
            os.kill(process.pid, signal.SIGKILL)
            done = max([done, 0, *map(int, process.stdout.read().split())])
        with KeywordIndex(tmp_path / "k") as index:
            assert len(index) % 10 == 0
            assert len(index) >= 10 * (done + 1)
            index.add([10**9], ["sun"])
            index.commit()
            assert list(index.search("sun")[0]) == [10**9]
            index.remove([10**9])
            index.commit()


@pytest.mark.parametrize(
    "value", [10**400, -(10**5000), float("inf"), float("nan")], ids=["large", "digits", "inf", "nan"]
)
def test_numbers_that_no_double_holds_are_refused(value):
    for make in (
        lambda: facts_of({"n": value}),
        lambda: conditions_of({"n": value}),
        lambda: conditions_of({"n": {"gt": value}}),
    ):
        with pytest.raises(ConfigError, match=r"'n'.* but must be"):
            make()


def test_no_text_has_the_term_of_another():
    """Long ones, and those that engines do not take, are told by a digest, which is the term of no other text."""
    long = "x" * 300
    assert term_of("n", term_of("n", long).partition("=t")[2]) != term_of("n", long)
    terms = [term_of("n", text) for text in (long, long + "x", "a\0", "a\ud800", "a", "#a", "")]
    assert len(set(terms)) == 7
    assert not any("\0" in term or "\ud800" in term for term in terms)
