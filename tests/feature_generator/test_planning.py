"""Broken feature configs: each is one report that names the line, the feature and the way out."""

import pytest

from feature_generator import ConfigError, FeatureGenerator

ID = {"type": "id", "name": "f", "expression": "user:a", "hash_bucket_size": 10}
RAW = {"type": "raw", "name": "f", "expression": "user:a"}
COMBO = {"type": "combo", "name": "f", "expression": ["user:a", "user:b"], "hash_bucket_size": 10}
SEQUENCE = {"type": "sequence", "name": "s", "features": [{**ID, "name": "i"}]}

BROKEN = {
    "two-discretizers": ([{**ID, "num_buckets": 3}], "give exactly one of hash_bucket_size, dynamic, num_buckets"),
    "no-discretizer": ([{"type": "id", "name": "f", "expression": "user:a"}], "needs one of hash_bucket_size"),
    "unknown-key": ([{**ID, "hash_bucket": 3}], "unknown key"),
    "key-of-another-library": ([{**ID, "init_fn": "nn.init.zeros_"}], "unknown key; tables all start alike; leave it out"),
    "sequence-key-of-another-library": ([{**SEQUENCE, "sequence_pk": "user:pk"}], "unknown key; requests carry the sequence"),
    "words-without-ids": ([{"type": "lookup", "name": "f", "map": "user:m", "key": "user:k", "need_discrete": True}], "words need one of hash_bucket_size"),
    "words-of-a-match-without-ids": ([{"type": "match", "name": "f", "nested_map": "user:m", "pkey": "user:p", "skey": "ALL", "need_discrete": True}], "words need one of hash_bucket_size"),
    "sibling-and-column": (
        [{**SEQUENCE, "features": [{**ID, "name": "i"}, {**COMBO, "name": "c", "expression": ["feature:i", "item:a"]}]}],
        "reads a sibling and the sequence 's__a': make that a sibling too",
    ),
    "unknown-type": ([{**ID, "type": "ids"}], "unknown type 'ids'; did you mean 'id'"),
    "boundaries-fall": ([{**RAW, "boundaries": [18, 65, 18]}], "must ascend, but 65.0 is followed by 18.0"),
    "boundaries-equal-in-float32": ([{**RAW, "boundaries": [1, 1.00000001]}], "same number in float32"),
    "no-side": ([{**ID, "expression": "age"}], "must be side:name, e.g. user:age"),
    "wrong-side": ([{**ID, "expression": "usr:age"}], "'usr' is no side; known: user, item, context"),
    "no-column": ([{**ID, "expression": "user:"}], "names no column"),
    "one-column-combo": ([{**COMBO, "expression": ["user:a"]}], "needs two or more columns"),
    "combo-of-numbers": ([{"type": "combo", "name": "f", "expression": ["user:a", "user:b"], "num_buckets": 9}], "use hash_bucket_size"),
    "name-twice": ([ID, RAW], "the name 'f' is given twice"),
    "name-twice-in-sequence": ([{**SEQUENCE, "features": [{**ID, "name": "i"}, {**RAW, "name": "i"}]}], "the name 's__i' is given twice"),
    "unknown-feature": ([ID, {**COMBO, "name": "c", "expression": ["feature:g", "user:a"]}], "no feature is called 'g'"),
    "column-of-two-sides": ([ID, {**RAW, "name": "g", "expression": "item:a"}], "column 'a' belongs to one side, but is user's for 'f' and item's here"),
    "default-is-no-number": ([{"type": "id", "name": "f", "expression": "user:a", "num_buckets": 9, "default_value": "x"}], "'x' is not a whole number"),
    "default-out-of-range": ([{"type": "id", "name": "f", "expression": "user:a", "num_buckets": 9, "default_value": 9}], "9 lies outside 0 .. 8"),
    "default-of-wrong-length": ([{**RAW, "value_dim": 3, "default_value": [1, 2]}], "holds 2 numbers, but value_dim is 3"),
    "default-no-number": ([{**RAW, "default_value": "none"}], "'none' is not a number"),
    "bucketize-value-alone": ([{**ID, "default_bucketize_value": 1}], "goes with a vocabulary"),
    "bucketize-value-too-large": ([{"type": "id", "name": "f", "expression": "user:a", "vocab_list": ["a"], "default_bucketize_value": 1}], "must be below the 1 words"),
    "vocab-file-without-oov": ([{"type": "id", "name": "f", "expression": "user:a", "vocab_file": "v"}], "needs default_bucketize_value"),
    "vocab-file-missing": ([{"type": "id", "name": "f", "expression": "user:a", "vocab_file": "none.txt", "default_bucketize_value": 0}], "cannot read 'none.txt'"),
    "word-twice": ([{"type": "id", "name": "f", "expression": "user:a", "vocab_list": ["a", "a"]}], "the word 'a' is listed twice"),
    "out-of-range-of-a-hash": ([{**ID, "out_of_range": "clip"}], "goes with num_buckets"),
    "normalizer": ([{**RAW, "normalizer": "method=z"}], "unknown method 'z'; known: log10, zscore, minmax"),
    "normalizer-parameter": ([{**RAW, "normalizer": "method=minmax,min=0"}], "minmax needs max"),
    "normalizer-range": ([{**RAW, "normalizer": "method=minmax,min=1,max=1"}], "max must lie above min"),
    "dense-embedding-alone": ([{**RAW, "dense_embedding": "linear"}], "goes with embedding_dim"),
    "separator": ([{**ID, "separator": "||"}], "at most 1 character"),
    "separator-not-ascii": ([{**ID, "separator": "，"}], "one ASCII character"),
    "no-sequence-input": ([{**SEQUENCE, "features": [{**COMBO, "name": "c"}]}], "none of its inputs is a sequence"),
    "sequence-in-sequence": ([{**SEQUENCE, "features": [SEQUENCE]}], "a sequence cannot stand in a sequence"),
    "sequence-in-its-child": ([{**SEQUENCE, "features": [{**ID, "sequence_length": 3}]}], "the sequence itself says"),
    "value-dim-of-ids": ([{**ID, "value_dim": 2}], "0 keeps all ids, 1 the first"),
    "no-features": ([], "at least 1 item"),
}  # fmt: skip


@pytest.mark.parametrize(("features", "text"), BROKEN.values(), ids=BROKEN)
def test_a_broken_config_is_told_in_words(features, text):
    with pytest.raises(ConfigError) as caught:
        FeatureGenerator.load({"features": features})
    assert text in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_circle_is_named_once_with_its_features():
    features = [
        {**COMBO, "name": "a", "expression": ["feature:b", "user:x"]},
        {**COMBO, "name": "b", "expression": ["feature:c", "user:x"]},
        {**COMBO, "name": "c", "expression": ["feature:a", "user:x"]},
    ]
    with pytest.raises(ConfigError) as caught:
        FeatureGenerator.load({"features": features})
    assert len(caught.value.problems) == 1
    assert "features read each other in a circle: a -> b -> c -> a" in str(caught.value)


def test_a_feature_that_reads_itself_is_a_circle():
    with pytest.raises(ConfigError, match="circle: f -> f"):
        FeatureGenerator.load({"features": [{**COMBO, "expression": ["feature:f", "user:x"]}]})


def test_all_problems_of_a_file_come_at_once_with_their_lines(tmp_path):
    path = tmp_path / "features.yaml"
    path.write_text(
        "features:\n"
        "  - {type: id, name: a, expression: user:a, hash_bucket_size: 0}\n"
        "  - type: raw\n"
        "    name: b\n"
        "    expression: user:b\n"
        "    boundaries: [3, 2]\n"
        "  - {type: id, name: c, expression: user:c, hash_bucket_sise: 3}\n"
    )
    with pytest.raises(ConfigError) as caught:
        FeatureGenerator.load(path)
    assert [problem.line for problem in caught.value.problems][:2] == [2, 6]
    assert str(path) in str(caught.value)


def test_ranges_of_names_are_repeated_in_sequences_too():
    features = [
        {"type": "raw", "names": ["int_0 .. int_2"], "expression": "user:{name}"},
        {
            "type": "sequence",
            "name": "s",
            "features": [{"type": "id", "names": ["c_0 .. c_1"], "expression": "item:{name}", "hash_bucket_size": 9}],
        },
    ]
    generator = FeatureGenerator.load({"features": features})
    assert list(generator.outputs) == ["int_0", "int_1", "int_2", "s__c_0", "s__c_1"]
    assert set(generator.inputs) == {"int_0", "int_1", "int_2", "s__c_0", "s__c_1"}


def test_the_sections_of_an_experiment_are_left_alone_but_typos_are_not():
    assert FeatureGenerator.load({"name": "x", "model": {"type": "nothing"}, "features": [ID]}).outputs
    with pytest.raises(ConfigError, match="did you mean 'hash'"):
        FeatureGenerator.load({"features": [ID], "hahs": "farmhash"})
