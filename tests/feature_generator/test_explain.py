"""Every rule that gives something else than the value itself is named; nothing else is."""

import pytest

from feature_generator import ConfigError, DataError, FeatureGenerator
from feature_generator.explain import explain

SEP = "\x1d"


def one(feature, cell, **more):
    """The explanation of a feature `f` over a column `a`."""
    config = {"type": "id", "name": "f", "expression": "user:a", **feature}
    generator = FeatureGenerator.load({"features": [config, *more.get("others", [])]})
    (found,) = explain(generator, {"a": [cell]}, features=["f"])
    return found


@pytest.mark.parametrize(
    ("feature", "cell", "notes", "output"),
    [
        ({"num_buckets": 9}, "3", [], [3]),
        ({"num_buckets": 9}, None, ["no value: nothing comes out"], []),
        ({"num_buckets": 9, "default_value": "4"}, "", ["no value: the default '4' stands for it"], [4]),
        (
            {"num_buckets": 9, "default_value": "4"},
            "12",
            ["12 lies outside 0 .. 8: the default '4' stands for it"],
            [4],
        ),
        (
            {"num_buckets": 9, "out_of_range": "clip"},
            "12",
            ["12 lies outside 0 .. 8: the nearest inside stands for it"],
            [8],
        ),
        (
            {"num_buckets": 9},
            "x",
            ["bad value in 'a': 'x' is not a whole number", "'x' is not a whole number: nothing comes out"],
            [],
        ),
        ({"vocab_list": ["p", "q"]}, f"q{SEP}z", ["'z' is not in the vocabulary: id 1"], [3, 1]),
        (
            {"vocab_list": ["p", "q"], "value_dim": 1},
            f"q{SEP}z",
            ["only the first of 2 values counts (value_dim)"],
            [3],
        ),
        (
            {"num_buckets": 9, "sequence_length": 2},
            "1;2;3",
            ["cut from 3 elements to the 2 newest (sequence_length)"],
            [2, 3],
        ),
        (
            {"num_buckets": 9, "sequence_length": 2, "truncate": "oldest"},
            "1;2;3",
            ["cut from 3 elements to the 2 oldest (sequence_length)"],
            [1, 2],
        ),
        ({"num_buckets": 9, "sequence_length": 2}, "", ["empty sequence"], []),
        (
            {"num_buckets": 9, "sequence_length": 2, "empty": "default"},
            None,
            ["empty sequence: one element holds the default (empty: default)"],
            [[0]],
        ),
        (
            {"num_buckets": 9, "sequence_length": 9},
            "1;;12",
            [
                "element 1: no value: the default '0' stands for it",
                "element 2: 12 lies outside 0 .. 8: the default '0' stands for it",
            ],
            [[1], [0], [0]],
        ),
    ],
)
def test_the_rule_that_gave_the_output_is_named(feature, cell, notes, output):
    found = one(feature, cell)
    assert list(found.notes) == notes
    assert found.output == output


def test_numbers_are_shown_before_and_after_the_normalizer():
    found = one({"type": "raw", "normalizer": "method=log10", "boundaries": [1, 3]}, "1000")
    assert (found.values, found.numbers, found.output) == ([1000.0], [3.0], [2])
    assert found.table == "f"
    dense = one({"type": "raw", "normalizer": "method=log10"}, "1000")
    assert (dense.values, dense.numbers, dense.output, dense.table) == ([1000.0], None, [3.0], "")


def test_a_bad_number_is_told_with_its_default():
    found = one({"type": "raw", "default_value": "7"}, "cheap")
    assert found.output == [7.0]
    assert "bad value in 'a': 'cheap' is not a number" in found.notes


def test_weights_stand_beside_their_ids():
    found = one({"hash_bucket_size": 100, "weighted": True}, f"x:2{SEP}y:0.5")
    assert [weight for _, weight in found.output] == [2.0, 0.5]


def test_inputs_are_cells_constants_and_what_other_features_hand_on():
    features = [
        {"type": "id", "name": "w", "expression": "user:a", "stub_type": True},
        {"type": "combo", "name": "x", "expression": ["feature:w", "item:b", "const:k"], "hash_bucket_size": 9},
    ]
    generator = FeatureGenerator.load({"features": features})
    stub, cross = explain(generator, {"a": [None, f"p{SEP}q"], "b": [1, 2]}, row=1)
    assert (stub.feature, stub.output, stub.table) == ("w", None, "")
    assert [(cell.source, cell.value) for cell in cross.inputs] == [
        ("feature:w", ["p", "q"]),
        ("item:b", 2),
        ("const:k", "k"),
    ]
    assert cross.values == ["p_2_k", "q_2_k"]
    assert len(cross.output) == 2


def test_the_children_of_a_sequence_are_named_and_found_by_its_name():
    children = [{"type": "id", "name": n, "expression": f"item:{n}", "num_buckets": 9} for n in ("a", "b")]
    features = [
        {"type": "sequence", "name": "s", "sequence_length": 2, "features": children},
        {"type": "id", "name": "u", "expression": "user:u", "num_buckets": 9},
    ]
    generator = FeatureGenerator.load({"features": features})
    data = {"s__a": ["1;2;3"], "s__b": ["4;5;6"], "u": [1]}
    found = explain(generator, data, features=["s"])
    assert [e.feature for e in found] == ["s__a", "s__b"]
    assert [e.output for e in found] == [[2, 3], [5, 6]]
    assert all("cut from 3" in e.notes[0] for e in found)


def test_many_notes_of_one_kind_are_counted():
    found = one({"vocab_list": ["p"]}, SEP.join("abcdefgh"))
    assert len(found.notes) == 6
    assert found.notes[-1] == "and 3 more of the kind"


def test_what_is_not_there_is_told():
    generator = FeatureGenerator.load(
        {"features": [{"type": "id", "name": "user", "expression": "user:a", "num_buckets": 9}]}
    )
    with pytest.raises(ConfigError, match=r"no feature 'usr'; did you mean 'user'\?"):
        explain(generator, {"a": [1]}, features=["usr"])
    with pytest.raises(DataError, match="there is no row 1: the data has 1"):
        explain(generator, {"a": [1]}, row=1)
    with pytest.raises(DataError, match="the column is missing"):
        explain(generator, {"b": [1]})
