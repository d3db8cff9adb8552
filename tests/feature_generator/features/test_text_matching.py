"""`overlap` and `bm25`: two lists of words against each other."""

import random
from typing import get_args

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_generator import ConfigError, FeatureGenerator
from feature_generator.features.overlap import Method

METHODS = st.sampled_from(get_args(Method))
WORDS = st.lists(st.sampled_from(["a", "b", "c", "d", "7", "中", ""]), max_size=9)
NUMBERS = st.lists(st.sampled_from([1, 7, 8]), max_size=4)


@st.composite
def overlaps(draw, name, query, title):
    config = {"type": "overlap", "name": name, "query": query, "title": title, "method": draw(METHODS)}
    config["boundaries"] = draw(st.sampled_from([None, None, [0.0, 0.5, 1.0, 3.0]]))
    config["normalizer"] = draw(st.sampled_from(["", "method=minmax,min=-1,max=9"]))
    return config | draw(st.sampled_from([{}, {"separator": "|"}]))


@st.composite
def bm25s(draw, name, query, title):
    config = {"type": "bm25", "name": name, "query": query, "title": title, "doc_count": 50}
    config |= {"k1": draw(st.floats(0, 3)), "b": draw(st.floats(0, 1)), "avg_length": draw(st.floats(0.5, 9))}
    config["default_value"] = draw(st.sampled_from(["0", "", "-1.5"]))
    return config | {"doc_freq": {"a": 50, "b": draw(st.integers(0, 50)), "7": 1, "中": 9}}


def pair(name, query, title):
    return st.one_of(overlaps(name, query, title), bm25s(name, query, title))


@st.composite
def word_columns(draw, rows):
    cells = draw(st.lists(st.none() | WORDS, min_size=rows, max_size=rows))
    kind = draw(st.sampled_from(["text", "bars", "lists", "numbers"]))
    if kind == "lists":
        return pa.array(cells, pa.list_(pa.string()))
    if kind == "numbers":
        numbers = draw(st.lists(st.none() | NUMBERS, min_size=rows, max_size=rows))
        return pa.array(numbers, pa.list_(pa.int64()))
    sign = "|" if kind == "bars" else "\x1d"
    return pa.array([None if cell is None else sign.join(cell) for cell in cells], pa.string())


@given(st.data())
@settings(max_examples=settings.default.max_examples * 3 // 2)
def test_compiled_equals_reference(kit, data):
    config = data.draw(pair("f", "user:q", "item:t"))
    rows = data.draw(st.integers(1, 12))
    columns = {
        "q": data.draw(word_columns(data.draw(st.sampled_from([rows, 1])))),
        "t": data.draw(word_columns(rows)),
    }
    generator = kit.load([config])
    kit.compare(generator, columns, generator.transform(columns))


@given(st.data())
def test_compiled_equals_reference_on_any_column(kit, data):
    config = data.draw(pair("f", "user:q", "item:t"))
    rows = data.draw(st.integers(0, 20))
    columns = {name: data.draw(kit.arrays(kit.plain, rows)) for name in ("q", "t")}
    generator = kit.load([config])
    kit.compare(generator, columns, generator.transform(columns, bad_rows="default"))


@given(st.data())
def test_compiled_equals_reference_in_sequences(kit, data):
    """The steps are queries or titles; what is no sequence stands beside each."""
    query, title = data.draw(st.sampled_from([("item:s", "user:t"), ("user:t", "item:s"), ("item:s", "item:s")]))
    config, shape = data.draw(pair("f", query, title)), data.draw(kit.sequences)
    grouped = data.draw(st.booleans())
    rows = data.draw(st.integers(0, 8))
    cells = st.lists(WORDS.map("\x1d".join), max_size=4).map(shape["sequence_delim"].join)
    steps = pa.array(data.draw(st.lists(st.none() | cells, min_size=rows, max_size=rows)), pa.string())
    columns = {"g__s" if grouped else "s": steps, "t": data.draw(word_columns(rows))}
    if "t" not in query + title:
        del columns["t"]
    generator = kit.load(
        [{"type": "sequence", "name": "g", "features": [config], **shape} if grouped else config | shape]
    )
    kit.compare(generator, columns, generator.transform(columns, bad_rows="default"))


@pytest.mark.parametrize("method", get_args(Method))
def test_ten_thousand_rows_in_blocks_and_on_threads(kit, method):
    draw = random.Random(5)
    columns = {
        name: pa.array([" ".join(draw.choices("abcdefg", k=draw.randrange(most))) for _ in range(10_000)])
        for name, most in (("q", 5), ("t", 14))
    }
    config = {"type": "overlap", "name": "f", "query": "user:q", "title": "item:t", "separator": " "}
    generator = kit.load([config | {"method": method}])
    table = generator.transform(columns, threads=2)
    kit.compare(generator, columns, table)
    kit.equal(table, generator.transform(columns))


@pytest.mark.parametrize(
    ("method", "query", "title", "expected"),
    [
        ("query_common_ratio", "a a b", "a x", 0.5),
        ("title_common_ratio", "a", "a a b x", 1 / 3),
        ("is_contain", "a b a c", "a b a b a c", 1),
        ("is_contain", "a c", "a b c", 0),
        ("index_of", "a b a c", "a b a b a c", 2),
        ("proximity_min_cover", "a b", "a x x b x a a b", 2),
        ("proximity_min_dist", "a b c", "a x b x x c", 2),
        ("proximity_max_dist", "a b c", "a x b x x c", 5),
        ("proximity_avg_dist", "a b c", "a x b x x c", 10 / 3),
        ("proximity_avg_dist", "a a", "a x a", 4),
        ("index_of", "", "a", 0),
        ("proximity_min_dist", "a", "", 0),
    ],
)
def test_worked_by_hand(kit, method, query, title, expected):
    config = {"type": "overlap", "name": "f", "query": "user:q", "title": "item:t", "separator": " "}
    table = kit.load([config | {"method": method}]).transform({"q": [query], "t": [title]})
    assert table["f"].values[0, 0] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "min_cover"}, "method\n.*must be"),
        ({"method": None}, "this key is required; known: query_common_ratio"),
        ({"query": "q"}, "query\n.*must be side:name"),
        ({"default_value": "1"}, "a missing query or title gives 0 in every overlap"),
        ({"value_dim": 2}, "value_dim\n"),
    ],
)
def test_a_wrong_overlap_is_told(kit, change, message):
    config = {"type": "overlap", "name": "f", "query": "user:q", "title": "item:t", "method": "is_equal"}
    with pytest.raises(ConfigError, match=message):
        kit.load([config | change])


BM25 = {"type": "bm25", "name": "f", "query": "user:q", "title": "item:t", "avg_length": 3, "doc_count": 9}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({}, "give exactly one of doc_freq and doc_freq_file"),
        ({"doc_freq": {"a": 1}, "doc_freq_file": "x"}, "not both"),
        ({"doc_freq": {"a": 10}}, "'a' is in 10 titles, but doc_count is 9"),
        ({"doc_freq": {"a": 1}, "doc_count": None}, "how many titles doc_freq was counted on"),
        ({"doc_freq": {"a": 1}, "avg_length": None}, "the words of an average title"),
        ({"doc_freq_file": "nowhere.tsv"}, "doc_freq_file\n.*cannot read 'nowhere.tsv'"),
    ],
)
def test_a_wrong_bm25_is_told(kit, change, message):
    with pytest.raises(ConfigError, match=message):
        kit.load([BM25 | change])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a 1\n", "line 1 of .* must be a word, a tab and a count"),
        ("a\t1\na\t2\n", "line 2 of .* has the word 'a' again"),
        ("a\t99\n", "'a' is in 99 titles"),
        ("\n", "holds no word"),
    ],
)
def test_a_wrong_file_of_counts_is_told(kit, tmp_path, content, message):
    (tmp_path / "counts.tsv").write_text(content)
    with pytest.raises(ConfigError, match=message):
        kit.load([BM25 | {"doc_freq_file": str(tmp_path / "counts.tsv")}])


def test_a_file_of_counts_is_part_of_the_generator(kit, tmp_path):
    file = tmp_path / "counts.tsv"
    file.write_text("red shoe\t3\nb\t4\n")
    generator = kit.load([BM25 | {"doc_freq_file": str(file)}])
    inline = kit.load([BM25 | {"doc_freq": {"red shoe": 3, "b": 4}}])
    data = {"q": [["red shoe", "z"]], "t": [["red shoe", "b", "z", "z"]]}
    kit.equal(generator.transform(data), inline.transform(data))
    before = generator.fingerprint
    generator.save(tmp_path / "saved")
    file.write_text("b\t4\n")
    assert kit.load([BM25 | {"doc_freq_file": str(file)}]).fingerprint != before
    kit.equal(FeatureGenerator.load(tmp_path / "saved").transform(data), inline.transform(data))
