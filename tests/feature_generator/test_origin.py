"""Which generator made a file, and what is said where another one reads it."""

from importlib.metadata import packages_distributions

import pytest

from feature_generator import ConfigError, DataError, FeatureGenerator
from feature_generator.errors import distribution
from feature_generator.origin import KEY, check_origin, metadata, read_origin

ID = {"type": "id", "name": "user", "expression": "user:user", "hash_bucket_size": 100}
PRICE = {"type": "raw", "name": "price", "expression": "item:price", "boundaries": [1, 2]}
SEQUENCE = {
    "type": "sequence",
    "name": "clicks",
    "sequence_length": 5,
    "features": [{"type": "id", "name": "item", "expression": "item:item", "hash_bucket_size": 100}],
}
STUB = {"type": "id", "name": "words", "expression": "user:w", "stub_type": True}
CROSS = {"type": "combo", "name": "cross", "expression": ["feature:words", "user:user"], "hash_bucket_size": 9}
ALL = [ID, PRICE, SEQUENCE, STUB, CROSS]


def load(features, mode="encoded", **more):
    return FeatureGenerator.load({"features": features, **more}, mode=mode)


@pytest.fixture(scope="module")
def origin():
    return read_origin(metadata(load(ALL, "raw")))


def test_the_metadata_name_the_generator(origin):
    generator = load(ALL, "raw")
    assert origin.fingerprint == generator.fingerprint
    assert set(origin.features) == {"user", "price", "clicks", "clicks__item", "words", "cross"}


def test_files_of_others_have_no_origin_and_damaged_metadata_are_told():
    assert read_origin(None) is None
    assert read_origin({b"pandas": b"{}"}) is None
    for content in (b"{", b"[]", b'{"fingerprint": "x", "version": "1", "generator": {}}'):
        with pytest.raises(DataError, match=r"x.parquet: the metadata 'feature_generator' of the schema is damaged"):
            read_origin({KEY: content}, "x.parquet")


@pytest.mark.parametrize(
    "features",
    [
        ALL,
        ALL[::-1],
        [PRICE],
        [ID | {"embedding_dim": 32, "embedding_name": "u", "pooling": "mean", "trainable": False}],
        [PRICE | {"embedding_dim": 8}, SEQUENCE],
        [ID | {"fg_encoded_default_value": "3"}],
    ],
    ids=["all", "another-order", "fewer", "other-embeddings", "a-sequence", "a-default-of-encoded-columns"],
)
def test_what_makes_no_other_columns_is_accepted(origin, features):
    check_origin(origin, load(features), "x.parquet")


@pytest.mark.parametrize(
    ("features", "told"),
    [
        ([ID | {"hash_bucket_size": 200}], ["'user': hash_bucket_size 100 in the file, 200 here"]),
        (
            [PRICE | {"boundaries": [1, 3], "default_value": "5"}],
            [
                "'price': boundaries [1.0, 2.0] in the file, [1.0, 3.0] here; default_value unset in the file, \"5\" here"
            ],
        ),
        ([SEQUENCE | {"sequence_length": 6}], ["'clicks': sequence_length 5 in the file, 6 here"]),
        (
            [SEQUENCE | {"features": [SEQUENCE["features"][0] | {"hash_bucket_size": 7}]}],
            ["'clicks__item': hash_bucket_size 100 in the file, 7 here"],
        ),
        ([STUB | {"separator": "|"}, CROSS], ["'words': separator unset in the file, \"|\" here"]),
        ([ID | {"name": "users"}], ["'users': not in the file; did you mean 'user'?"]),
        (
            [ID | {"hash_bucket_size": 2}, PRICE | {"boundaries": [9]}],
            ["'user': hash_bucket_size 100", "'price': boundaries"],
        ),
    ],
    ids=["ids", "two-keys", "sequence", "child", "below-another", "unknown", "two-features"],
)
def test_what_differs_is_named(origin, features, told):
    with pytest.raises(ConfigError) as caught:
        check_origin(origin, load(features), "x.parquet")
    assert "x.parquet was made with other features" in str(caught.value)
    for text in told:
        assert text in str(caught.value)


def test_another_hash_is_named(origin):
    with pytest.raises(ConfigError, match="hash: murmur64a in the file, farmhash in the config"):
        check_origin(origin, load(ALL, hash="farmhash"), "x.parquet")


def test_a_vocabulary_file_counts_by_its_content_not_its_name(tmp_path):
    def at(name, content):
        (tmp_path / name).write_text(content)
        words = {"type": "id", "name": "w", "vocab_file": str(tmp_path / name), "default_bucketize_value": 0}
        return [words]

    origin = read_origin(metadata(load(at("one.txt", "a\nb\n"), "raw")))
    check_origin(origin, load(at("two.txt", "a\nb\n")), "x.parquet")
    with pytest.raises(ConfigError, match="'w': vocab_file"):
        check_origin(origin, load(at("one.txt", "a\nc\n")), "x.parquet")


def test_encoded_columns_read_as_raw_ones_are_refused(origin):
    with pytest.raises(ConfigError, match=r"'user' among them[^\n]*read as raw columns\n.*data.fg: encoded"):
        check_origin(origin, load([ID], "raw"), "x.parquet")
    check_origin(origin, load([ID | {"hash_bucket_size": 7}], "raw"), "x.parquet")  # a second generator behind it


def test_the_distribution_is_the_one_that_brought_the_package():
    known = packages_distributions().get("feature_generator", ["easyrec-torch"])
    distribution.cache_clear()
    assert distribution() == known[0]
