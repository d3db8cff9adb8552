"""The generator as a whole: sides, requests, order of features, bad rows, sameness of results."""

import threading
from itertools import pairwise

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from feature_generator import ConfigError, DataError, FeatureGenerator

SEP = "\x1d"
USER = {"type": "id", "name": "user_id", "expression": "user:user_id", "hash_bucket_size": 1000}
ITEM = {"type": "id", "name": "item_id", "expression": "item:item_id", "hash_bucket_size": 1000}
PRICE = {"type": "raw", "name": "price", "expression": "item:price"}
AGE = {"type": "raw", "name": "age", "expression": "user:age", "value_dim": 2}
HOUR = {"type": "raw", "name": "hour", "expression": "context:hour", "boundaries": [6, 12, 18]}
CROSS = {"type": "combo", "name": "cross", "expression": ["user:user_id", "item:item_id"], "hash_bucket_size": 1000}
CLICKS = {
    "type": "sequence",
    "name": "clicks",
    "sequence_length": 3,
    "features": [
        {
            "type": "id",
            "name": "item_id",
            "expression": "item:item_id",
            "embedding_name": "item_id",
            "hash_bucket_size": 1000,
        },
        {"type": "raw", "name": "price", "expression": "item:price"},
    ],
}
ALL = [USER, ITEM, PRICE, AGE, HOUR, CROSS, CLICKS]


@pytest.fixture(scope="module")
def generator():
    return FeatureGenerator.load({"features": ALL})


def flat_batch(users, items, context):
    """The request as training data: every row repeats the user and the context."""
    k = len(items["item_id"])
    columns = {name: [value] * k for name, value in {**users, **context}.items()}
    return columns | items


USER_ROW = {"user_id": "u7", "age": [30.0, 2.0], "clicks__item_id": "a;b;;d", "clicks__price": "1;2;3;4"}
ITEM_ROWS = {"item_id": ["a", "b", None, "c"], "price": [1.0, 2.0, None, 4.5]}
CONTEXT_ROW = {"hour": 13}


def test_a_request_equals_the_same_rows_flat(generator, kit):
    items = [dict(zip(ITEM_ROWS, row, strict=True)) for row in zip(*ITEM_ROWS.values(), strict=True)]
    table = generator.request(USER_ROW, CONTEXT_ROW).score_items(items, tile=True)
    kit.equal(table, generator.transform(flat_batch(USER_ROW, ITEM_ROWS, CONTEXT_ROW)))


def test_an_untiled_request_has_one_row_for_the_user_and_k_for_the_items(generator, kit):
    request = generator.request(USER_ROW, CONTEXT_ROW)
    user, items = request.user, request.score_items(pd.DataFrame(ITEM_ROWS))
    whole = generator.transform(flat_batch(USER_ROW, ITEM_ROWS, CONTEXT_ROW))
    assert (user.num_rows, items.num_rows) == (1, 4)
    assert set(user) == {"user_id", "age", "hour", "clicks__item_id", "clicks__price"}
    assert set(items) == {"item_id", "price", "cross"}
    assert set(user) | set(items) == set(whole)
    for name in user:
        one, all_rows = user[name], whole.take([0])[name]
        np.testing.assert_array_equal(one.values, all_rows.values)
    np.testing.assert_array_equal(items["cross"].values, whole["cross"].values)
    np.testing.assert_array_equal(items["price"].values, whole["price"].values)


def test_a_request_without_items_has_no_rows(generator):
    table = generator.request(USER_ROW, CONTEXT_ROW).score_items([], tile=True)
    assert table.num_rows == 0
    assert table.dense.shape == (0, 3)
    assert table["clicks__item_id"].lengths.tolist() == []


def test_a_request_with_one_item_is_one_row(generator, kit):
    table = generator.request(USER_ROW, CONTEXT_ROW).score_items([{"item_id": "a", "price": 1.0}], tile=True)
    one = {name: values[:1] for name, values in ITEM_ROWS.items()}
    kit.equal(table, generator.transform(flat_batch(USER_ROW, one, CONTEXT_ROW)))


def test_objects_in_a_request_are_the_columns_of_a_sequence(generator, kit):
    steps = [{"item_id": "a", "price": 1}, {"item_id": "b", "price": 2}, {"price": 3}, {"item_id": "d", "price": 4}]
    row = {"user_id": "u7", "age": [30.0, 2.0], "clicks": steps}
    items = [{"item_id": "a", "price": 1.0}]
    kit.equal(
        generator.request(row, CONTEXT_ROW).score_items(items, tile=True),
        generator.request(USER_ROW, CONTEXT_ROW).score_items(items, tile=True),
    )


@pytest.mark.parametrize(
    ("user", "context", "text"),
    [
        (pd.DataFrame({"user_id": ["a", "b"]}), CONTEXT_ROW, "the column is missing"),
        ([USER_ROW, USER_ROW], CONTEXT_ROW, "is one row, but has 2"),
        (USER_ROW, None, "the request has no context"),
    ],
    ids=["missing-column", "two-users", "no-context"],
)
def test_an_incomplete_request_says_what_is_missing(generator, user, context, text):
    with pytest.raises(DataError, match=text):
        generator.request(user, context).score_items([{"item_id": "a", "price": 1.0}])


def test_sides_follow_from_what_a_feature_reads(generator):
    sides = {name: (spec.side, spec.mixed) for name, spec in generator.outputs.items()}
    assert sides["user_id"] == sides["hour"] == sides["clicks__item_id"] == ("user", False)
    assert sides["item_id"] == ("item", False)
    assert sides["cross"] == ("item", True)
    assert generator.inputs["clicks__item_id"] == "user"
    assert generator.inputs["hour"] == "context"


def test_output_specs_say_what_models_need(generator):
    outputs = generator.outputs
    assert outputs["clicks__item_id"].kind == "sparse_sequence"
    assert outputs["clicks__item_id"].sequence == "clicks"
    assert outputs["clicks__item_id"].embedding_name == "item_id"
    assert outputs["clicks__price"].kind == "dense_sequence"
    assert (outputs["hour"].kind, outputs["hour"].num_embeddings) == ("sparse", 4)
    assert (outputs["age"].kind, outputs["age"].value_dim, outputs["age"].num_embeddings) == ("dense", 2, None)


def test_features_may_stand_in_any_order(kit):
    double = {
        "type": "combo",
        "name": "double",
        "expression": ["feature:words", "feature:words"],
        "hash_bucket_size": 99,
    }
    words = {"type": "id", "name": "words", "expression": "user:w", "stub_type": True}
    first = FeatureGenerator.load({"features": [double, words]}).transform({"w": ["a", f"a{SEP}b", None]})
    second = FeatureGenerator.load({"features": [words, double]}).transform({"w": ["a", f"a{SEP}b", None]})
    kit.equal(first, second)
    assert list(first) == ["double"]
    assert first["double"].lengths.tolist() == [1, 4, 0]


def test_a_constant_stands_for_every_row():
    generator = FeatureGenerator.load({"features": [CONST, PRICE]})
    table = generator.transform({"price": [1.0, 2.0, 3.0]})
    assert table["const"].values.tolist() == [33, 33, 33]  # golden: "abc" mod 100
    assert "abc" not in generator.inputs


CONST = {"type": "id", "name": "const", "expression": "const:abc", "hash_bucket_size": 100}


# ------------------------------------------------------------------------------------------- bad values

STRICT = [
    {
        "type": "id",
        "name": "id",
        "expression": "user:id",
        "num_buckets": 10,
        "out_of_range": "error",
        "default_value": "3",
    },
    {"type": "raw", "name": "x", "expression": "user:x", "default_value": "0.5"},
    {"type": "raw", "name": "v", "expression": "user:v", "value_dim": 2},
]
DATA = {
    "id": ["1", "x", "3", "99", None, "5"],
    "x": [1.0, 2.0, float("nan"), 4.0, None, float("inf")],
    "v": ["1" + SEP + "2", "1" + SEP + "2", "1" + SEP + "2", "1" + SEP + "2", "7", ""],
}


def test_bad_values_fail_with_row_and_column():
    generator = FeatureGenerator.load({"features": STRICT})
    with pytest.raises(DataError, match="row 1, column 'id': 'x' is not a whole number") as caught:
        generator.transform(DATA)
    assert (caught.value.row, caught.value.column, caught.value.exit_code) == (1, "id", 3)


def test_bad_values_become_the_default_and_are_listed():
    table = FeatureGenerator.load({"features": STRICT}).transform(DATA, bad_rows="default")
    assert table["id"].values.tolist() == [1, 3, 3, 3, 3, 5]
    np.testing.assert_array_equal(table["x"].values[:, 0], np.float32([1, 2, 0.5, 4, 0.5, 0.5]))
    np.testing.assert_array_equal(table["v"].values[4:], [[0, 0], [0, 0]])
    assert [(b.row, b.column) for b in table.bad] == [(1, "id"), (2, "x"), (3, "id"), (4, "v"), (5, "x")]
    reasons = [b.reason for b in table.bad]
    assert reasons[1:] == [
        "nan is not a finite number",
        "99 lies outside 0 .. 9",
        "has 1 values, but value_dim is 2",
        "inf is not a finite number",
    ]


def test_rows_with_bad_values_are_skipped_and_named():
    table = FeatureGenerator.load({"features": STRICT}).transform(DATA, bad_rows="skip")
    assert table.num_rows == 1
    assert table.kept.tolist() == [0]
    assert sorted({b.row for b in table.bad}) == [1, 2, 3, 4, 5]


def test_without_bad_values_nothing_is_dropped():
    table = FeatureGenerator.load({"features": STRICT}).transform({k: v[:1] for k, v in DATA.items()}, bad_rows="skip")
    assert table.kept is None
    assert table.bad == []


def test_unequal_sequences_name_their_row_and_column(generator):
    data = flat_batch(USER_ROW, ITEM_ROWS, CONTEXT_ROW)
    data["clicks__price"] = ["1;2;3;4", "1;2;3;4", "1;2", "1;2;3;4"]
    with pytest.raises(DataError, match="row 2, column 'clicks__price': has 2 elements") as caught:
        generator.transform(data)
    assert caught.value.row == 2
    table = generator.transform(data, bad_rows="default")
    assert table["clicks__item_id"].lengths.tolist() == [3, 3, 2, 3]


def test_lengths_shortest_cuts_unequal_sequences_silently():
    generator = FeatureGenerator.load({"features": [{**CLICKS, "lengths": "shortest"}]})
    table = generator.transform({"clicks__item_id": ["a;b;c"], "clicks__price": ["1;2"]})
    assert table["clicks__item_id"].lengths.tolist() == table["clicks__price"].lengths.tolist() == [2]
    assert table.bad == []


@pytest.mark.parametrize(
    ("order", "truncate", "kept"),
    [
        ("oldest_first", "newest", [2, 3, 4]),
        ("oldest_first", "oldest", [0, 1, 2]),
        ("newest_first", "newest", [2, 1, 0]),
        ("newest_first", "oldest", [4, 3, 2]),
    ],
)
def test_truncation_keeps_the_named_end_and_sorts_oldest_first(order, truncate, kept):
    feature = {
        "type": "id",
        "name": "s",
        "expression": "user:s",
        "num_buckets": 9,
        "sequence_length": 3,
        "order": order,
        "truncate": truncate,
    }
    table = FeatureGenerator.load({"features": [feature]}).transform({"s": ["0;1;2;3;4"]})
    assert table["s"].values.tolist() == kept


def test_an_empty_sequence_has_no_element_unless_it_asks_for_the_default():
    for empty, lengths in (("none", [0, 0, 1]), ("default", [1, 1, 1])):
        feature = {
            "type": "id",
            "name": "s",
            "expression": "user:s",
            "num_buckets": 9,
            "sequence_length": 3,
            "empty": empty,
        }
        table = FeatureGenerator.load({"features": [feature]}).transform({"s": ["", None, "4"]})
        assert table["s"].lengths.tolist() == lengths


# -------------------------------------------------------------------------------------------- sameness


def random_batch(rows, seed=3):
    """Rows with nulls, empty text, multi-values, unicode and numbers out of range."""
    rng = np.random.default_rng(seed)
    words = np.array(
        ["", "a", "中文", "é à", "x" * 40, f"a{SEP}b{SEP}c", f"{SEP}", "7", "-1", "1e3", " 5 ", "a:0.5"], object
    )

    def texts(*extra):
        picked = rng.choice(np.concatenate([words, np.array(extra, object)]), rows)
        return pa.array([None if rng.random() < 0.05 else w for w in picked], pa.string())

    def steps(kind):
        values = {"text": rng.choice(words, rows * 9), "number": rng.integers(-5, 50, rows * 9).astype(str)}[kind]
        lengths = rng.integers(0, 9, rows)
        return [";".join(values[r * 9 : r * 9 + n]) for r, n in enumerate(lengths)], lengths

    items, lengths = steps("text")
    prices = [";".join(map(str, rng.integers(0, 99, n))) for n in lengths]
    # An element of an empty sequence's text is no element: keep both children empty together.
    items = [t if t else "" for t in items]
    prices = [p if t else "" for p, t in zip(prices, items, strict=True)]
    return pa.RecordBatch.from_pydict(
        {
            "user_id": texts("u1", "u2"),
            "item_id": pa.array(rng.integers(-5, 2000, rows), pa.int64(), mask=rng.random(rows) < 0.05),
            "price": pa.array(rng.normal(0, 1e3, rows), pa.float64(), mask=rng.random(rows) < 0.05),
            "age": pa.array(
                [[float(a), 1.0] if a else None for a in rng.integers(0, 90, rows)], pa.list_(pa.float32())
            ),
            "hour": pa.array(rng.integers(-2, 30, rows), pa.int8()),
            "clicks__item_id": items,
            "clicks__price": prices,
        }
    )


SAME = [
    *ALL[:-1],
    {**CLICKS, "lengths": "shortest"},
    {**USER, "name": "w", "weighted": True, "value_dim": 0},
    {**ITEM, "name": "n", "hash_bucket_size": None, "num_buckets": 500},
]


def check_sameness(rows, row_by_row, tmp_path, kit):
    generator = FeatureGenerator.load({"features": SAME})
    batch = random_batch(rows)
    whole = generator.transform(batch, bad_rows="default")
    kit.equal(generator.transform(batch, threads=2, bad_rows="default"), whole)
    kit.equal(generator.transform(batch, threads=5, bad_rows="default"), whole)
    table_type = type(whole)
    cuts = [0, 1, 2, rows // 3, rows // 2 + 1, rows]
    parts = [generator.transform(batch.slice(a, b - a), bad_rows="default") for a, b in pairwise(cuts)]
    kit.equal(table_type.concat(parts), whole)
    ones = [generator.transform(batch.slice(r, 1), bad_rows="default") for r in range(row_by_row)]
    kit.equal(table_type.concat(ones), whole.slice(0, row_by_row))
    generator.save(tmp_path / "saved")
    kit.equal(FeatureGenerator.load(tmp_path / "saved").transform(batch, bad_rows="default"), whole)
    chunked = pa.Table.from_batches([batch.slice(a, b - a) for a, b in pairwise(cuts)])
    kit.equal(generator.transform(chunked, bad_rows="default"), whole)


def test_the_result_depends_on_no_thread_batch_or_copy(tmp_path, kit):
    check_sameness(6000, 200, tmp_path, kit)


@pytest.mark.slow
def test_the_result_depends_on_no_thread_batch_or_copy_at_100000_rows(tmp_path, kit):
    check_sameness(100_000, 100_000, tmp_path, kit)


def test_many_threads_may_use_one_generator(kit):
    generator = FeatureGenerator.load({"features": SAME})
    batch = random_batch(500)
    expected = generator.transform(batch, bad_rows="default")
    failures = []

    def work():
        try:
            for _ in range(5):
                kit.equal(generator.transform(batch, threads=2, bad_rows="default"), expected)
        except AssertionError as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_results_outlive_the_batch_and_the_generator():
    generator = FeatureGenerator.load({"features": SAME})
    batch = random_batch(300)
    expected = [int(v) for v in generator.transform(batch, bad_rows="default")["item_id"].values]
    table = generator.transform(batch, bad_rows="default")
    del generator, batch
    assert [int(v) for v in table["item_id"].values] == expected


# ---------------------------------------------------------------------------------------------- encoded


def test_encoded_whole_numbers_pass_without_a_copy():
    features = [{"type": "id", "name": "id", "num_buckets": 100}]
    column = pa.array(np.arange(50), pa.int64())
    table = FeatureGenerator.load({"features": features}, mode="encoded").transform(
        pa.RecordBatch.from_pydict({"id": column})
    )
    assert table["id"].offsets is None
    assert np.shares_memory(table["id"].values, column.to_numpy())
    np.testing.assert_array_equal(table["id"].values, np.arange(50))


def test_encoded_slices_pass_without_a_copy_and_outlive_the_batch():
    features = [{"type": "id", "name": "id", "num_buckets": 100}]
    batch = pa.RecordBatch.from_pydict({"id": pa.array(np.arange(50), pa.int64())}).slice(10, 20)
    table = FeatureGenerator.load({"features": features}, mode="encoded").transform(batch)
    assert np.shares_memory(table["id"].values, batch.column(0).to_numpy())
    del batch
    np.testing.assert_array_equal(table["id"].values, np.arange(10, 30))


@pytest.mark.parametrize("value", [-1, 100, 2**40])
def test_encoded_ids_are_checked_against_the_table(value):
    features = [{"type": "id", "name": "id", "num_buckets": 100, "out_of_range": "error"}]
    generator = FeatureGenerator.load({"features": features}, mode="encoded")
    with pytest.raises(DataError, match=r"lies outside 0 \.\. 99"):
        generator.transform({"id": np.array([1, value])})


def test_mode_encoded_needs_no_discretizer_but_raw_does():
    features = [{"type": "id", "name": "id"}]
    assert FeatureGenerator.load({"features": features}, mode="encoded").outputs["id"].num_embeddings is None
    with pytest.raises(ConfigError, match="needs one of hash_bucket_size"):
        FeatureGenerator.load({"features": features})


def test_a_cross_of_long_lists_is_a_bad_value(kit):
    config = {"type": "combo", "name": "f", "expression": ["user:a", "item:b"], "hash_bucket_size": 50}
    columns = {"a": pa.array([["x"] * 256, ["x"] * 257, ["y"]]), "b": pa.array([["z"] * 256] * 3)}
    generator = kit.load([config])
    table = generator.transform(columns, bad_rows="default")
    assert table["f"].lengths.tolist() == [65536, 0, 256]
    assert [(b.row, b.column) for b in table.bad] == [(1, "a")]
    assert "more than 65536" in table.bad[0].reason
    kit.compare(generator, columns, table)
    first = kit.load([config | {"value_dim": 1}]).transform(columns)
    assert first["f"].lengths.tolist() == [1, 1, 1]
