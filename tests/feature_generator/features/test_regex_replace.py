import random

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_generator import ConfigError, FeatureGenerator

PATTERNS = st.sampled_from(["a", "[ab1]+", "(a)(b)?", "x*", "^.", "[^0-9]", ";", "(?i)ABC", "é|中"])
REPLACEMENTS = st.sampled_from(["", "-", "7", r"\0\0", r"<\0>"])
DISCRETIZERS = st.sampled_from(
    [{"hash_bucket_size": 100}, {"num_buckets": 80}, {"vocab_list": ["a", "b", "7", "-"]}, {"vocab_dict": {"a": 3}}]
)


@st.composite
def features(draw, column):
    config = {
        "type": "regex_replace",
        "name": "f",
        "expression": f"item:{column}",
        "regex_pattern": draw(PATTERNS | st.lists(PATTERNS, min_size=1, max_size=3)),
        "replace_all": draw(st.booleans()),
        "icase": draw(st.booleans()),
        "replacement": draw(REPLACEMENTS),
        "value_dim": draw(st.sampled_from([None, 0, 1])),
        "default_value": draw(st.sampled_from(["", "7"])),
    }
    return config | draw(DISCRETIZERS) | {"separator": draw(st.sampled_from(["\x1d", "|"]))}


@given(st.data())
@settings(max_examples=3 * settings.default.max_examples)
def test_compiled_equals_reference_in_every_shape(kit, data):
    config = data.draw(features("c"))
    shape = data.draw(st.sampled_from(["plain", "simple", "group"]))
    column = "c"
    if shape == "simple":
        config |= data.draw(kit.sequences)
    if shape == "group":
        config = {"type": "sequence", "name": "s", "features": [config], **data.draw(kit.sequences)}
        column = "s__c"
    kinds = kit.plain if shape == "plain" else kit.plain | kit.nested
    columns = {column: data.draw(kit.arrays(kinds, data.draw(st.integers(0, 40))))}
    generator = kit.load([config])
    kit.compare(generator, columns, generator.transform(columns, bad_rows="default"))


@pytest.mark.parametrize("shape", [{}, {"sequence_length": 3, "value_dim": 0}], ids=["plain", "sequence"])
def test_ten_thousand_texts_in_blocks_and_on_threads(kit, shape):
    draw = random.Random(3)
    texts = ["".join(draw.choices("ab1;\x1d中é", k=draw.randrange(9))) for _ in range(10_000)]
    config = {"type": "regex_replace", "name": "f", "expression": "user:c", "hash_bucket_size": 1000, **shape}
    generator = kit.load([config | {"regex_pattern": "(a+)1|b", "replacement": r"\1_"}])
    table = generator.transform({"c": pa.array(texts)}, threads=2)
    kit.compare(generator, {"c": pa.array(texts)}, table)
    single = generator.transform({"c": pa.array(texts)})
    kit.equal(table, single)


def words(kit, values, **config):
    generator = kit.load(
        [{"type": "regex_replace", "name": "f", "expression": "item:c", "hash_bucket_size": 9, **config}]
    )
    return generator.values({"c": pa.array(values)})["f"].to_pylist()


def test_every_value_is_replaced_alone_and_an_empty_result_is_no_value(kit):
    made = words(kit, ["a1\x1d22\x1db", "33", None], regex_pattern="[0-9]+", default_value="d")
    assert made == [["a", "b"], [], []]


def test_several_patterns_are_replaced_one_after_another(kit):
    assert words(kit, ["a|b#c(d)", "abc"], regex_pattern=[r"\|", "#", r"\(.*\)"]) == [["abc"], ["abc"]]
    assert words(kit, ["ab"], regex_pattern=["a", "bb"], replacement="b") == [["b"]]


def test_only_the_first_match_of_each_pattern_is_replaced_where_that_is_asked_for(kit):
    made = words(kit, ["1|2|3", "4\x1d5|6"], regex_pattern=r"\|", replacement=" ", replace_all=False)
    assert made == [["1 2|3"], ["4", "5 6"]]


def test_case_can_be_ignored(kit):
    assert words(kit, ["ABCd", "abcD"], regex_pattern="abc", replacement="x", icase=True) == [["xd"], ["xD"]]


def test_numbers_are_their_text(kit):
    assert words(kit, [12, 305], regex_pattern="0", replacement="o") == [["12"], ["3o5"]]
    assert words(kit, [1.5, 2.0], regex_pattern=r"\.", replacement="_") == [["1_5"], ["2"]]


def test_the_default_is_not_replaced(kit):
    config = {"type": "regex_replace", "name": "f", "expression": "item:c", "regex_pattern": "x", "replacement": "y"}
    generator = kit.load([config | {"vocab_list": ["x", "y"], "default_value": "x", "default_bucketize_value": 0}])
    assert generator.transform({"c": pa.array(["x", None])})["f"].values.tolist() == [1, 0]


def test_bytes_that_are_no_utf8_become_the_replacement_character(kit):
    config = {"type": "regex_replace", "name": "f", "expression": "item:c", "regex_pattern": "a", "hash_bucket_size": 9}
    generator = kit.load([config])
    column = pa.array([b"a\xffb", b"\xe4\xb8a"], pa.binary())
    assert generator.values({"c": column})["f"].to_pylist() == [["\ufffdb"], ["\ufffd"]]


@pytest.mark.parametrize(
    ("config", "key", "message"),
    [
        ({"regex_pattern": "a(?=b)"}, "regex_pattern", r"invalid perl operator: \(\?=, at character 2"),
        ({"regex_pattern": "(a)", "replacement": r"\2"}, "replacement", r"names the group \\2, but the pattern has 1"),
        ({"regex_pattern": ""}, "regex_pattern", "at least 1 character"),
        ({"regex_pattern": []}, "regex_pattern", "this key is required"),
        ({"regex_pattern": ["a", "(b"]}, "regex_pattern", "missing \\)"),
        ({}, "regex_pattern", "(?i)required|missing|needs"),
    ],
    ids=["pattern", "group", "empty", "empty-list", "second", "none"],
)
def test_a_wrong_config_is_told_at_load(kit, config, key, message):
    with pytest.raises(ConfigError, match=message) as caught:
        kit.load([{"type": "regex_replace", "name": "f", "hash_bucket_size": 9, **config}])
    assert [problem.where.rpartition(" ")[2] for problem in caught.value.problems] == [key]


def test_an_encoded_column_needs_no_pattern():
    config = {"type": "regex_replace", "name": "f", "hash_bucket_size": 9}
    generator = FeatureGenerator.load({"features": [config]}, mode="encoded")
    assert generator.transform({"f": ["1\x032", "", None]})["f"].values.tolist() == [1, 2]
