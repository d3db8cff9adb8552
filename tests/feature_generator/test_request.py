"""A request in two steps gives what the same rows give at once, whatever is computed ahead."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_generator import DataError, FeatureGenerator

FEATURES = [
    {"type": "id", "name": "user", "expression": "user:uid", "hash_bucket_size": 1000},
    {"type": "raw", "name": "age", "expression": "user:age", "value_dim": 2, "default_value": "1"},
    {"type": "id", "name": "hour", "expression": "context:hour", "num_buckets": 24},
    {"type": "id", "name": "word", "expression": "const:abc", "hash_bucket_size": 1000},
    {"type": "id", "name": "item", "expression": "item:iid", "hash_bucket_size": 1000},
    {"type": "raw", "name": "price", "expression": "item:price"},
    {"type": "id", "name": "tags", "expression": "item:tags", "hash_bucket_size": 1000, "stub_type": True},
    {"type": "id", "name": "names", "expression": "user:uid", "stub_type": True},
    {"type": "raw", "name": "bucket", "expression": "item:price", "boundaries": [1, 2, 3], "stub_type": True},
    {"type": "combo", "name": "pair", "expression": ["user:uid", "item:iid"], "hash_bucket_size": 1000},
    {"type": "combo", "name": "far", "expression": ["feature:names", "feature:tags"], "hash_bucket_size": 1000},
    {"type": "combo", "name": "near", "expression": ["feature:bucket", "context:hour"], "hash_bucket_size": 1000},
    {"type": "raw", "name": "own", "expression": "feature:price", "boundaries": [1, 2]},
    {
        "type": "combo",
        "name": "steps",
        "expression": ["user:seen", "item:iid"],
        "sequence_fields": ["seen"],
        "sequence_length": 3,
        "hash_bucket_size": 100,
    },
    {
        "type": "sequence",
        "name": "clicks",
        "sequence_length": 2,
        "lengths": "shortest",
        "features": [
            {"type": "id", "name": "item", "expression": "item:iid", "hash_bucket_size": 100},
            {
                "type": "combo",
                "name": "cross",
                "expression": ["item:cate", "user:hobby"],
                "sequence_fields": ["cate"],
                "hash_bucket_size": 100,
            },
            {
                "type": "combo",
                "name": "beside",
                "expression": ["item:cate", "item:iid"],
                "sequence_fields": ["cate"],
                "hash_bucket_size": 100,
            },
        ],
    },
]
TEXT = st.one_of(st.none(), st.sampled_from(["", "a", "b\x1dc", "x;y;z", "d"]))
USER = st.fixed_dictionaries(
    {
        "uid": TEXT,
        "age": st.one_of(st.none(), st.lists(st.floats(0, 9), min_size=2, max_size=2)),
        "seen": TEXT,
        "hobby": TEXT,
        "clicks__iid": TEXT,
        "clicks__cate": TEXT,
    }
)
ITEMS = st.lists(
    st.fixed_dictionaries({"iid": TEXT, "price": st.one_of(st.none(), st.floats(0, 4)), "tags": TEXT}), max_size=5
)
CONTEXT = st.fixed_dictionaries({"hour": st.one_of(st.none(), st.integers(-1, 25))})


@pytest.fixture(scope="module")
def generator():
    return FeatureGenerator.load({"features": FEATURES})


@given(user=USER, items=ITEMS, context=CONTEXT)
def test_two_steps_equal_the_same_rows_at_once(generator, kit, user, items, context):
    flat = [{**user, **context, **item} for item in items] or [{**user, **context, "iid": "", "price": 0, "tags": ""}]
    whole = generator.transform(flat, bad_rows="default")
    if not items:
        whole = whole.take([])
    request = generator.request(user, context)
    kit.equal(request.score_items(items, tile=True), whole)
    kit.equal(request.score_items(generator.items(items), tile=True), whole)


def test_items_are_computed_ahead_and_picked_by_row(generator, kit):
    user = {"uid": "u", "age": None, "seen": "x", "hobby": "h", "clicks__iid": "a;b", "clicks__cate": "c;d"}
    items = [{"iid": f"i{i}", "price": float(i), "tags": f"t{i}"} for i in range(20)]
    request = generator.request(user, {"hour": 3})
    table = generator.items(pa.RecordBatch.from_pylist(items))
    assert len(table) == 20
    assert set(table.table) == {"item", "price", "own"}
    rows = [19, 3, 3, 0]
    kit.equal(request.score_items(table.take(rows)), request.score_items([items[r] for r in rows]))


def test_the_user_is_a_table_of_one_row(generator):
    user = {"uid": "u", "age": [3.0, 4.0], "seen": None, "hobby": "h", "clicks__iid": "a;b", "clicks__cate": "c;d"}
    table = generator.request(user, {"hour": 3}).user
    assert table.num_rows == 1
    assert set(table) == {"user", "age", "hour", "word", "clicks__item", "clicks__cross"}
    np.testing.assert_array_equal(table["age"].values, [[3.0, 4.0]])


def test_a_bad_value_can_refuse_either_step(generator):
    user = {"uid": "u", "age": ["x", "y"], "seen": None, "hobby": "h", "clicks__iid": "a", "clicks__cate": "c"}
    with pytest.raises(DataError, match="'x' is not a number"):
        generator.request(user, {"hour": 3}, bad_rows="fail")
    request = generator.request({**user, "age": None}, {"hour": 3}, bad_rows="fail")
    item = {"iid": "i", "price": "dear", "tags": ""}
    for items in ([item], generator.items([item])):
        with pytest.raises(DataError, match="'dear' is not a number"):
            request.score_items(items)
    with pytest.raises(DataError, match="'dear' is not a number"):
        generator.items([item], bad_rows="fail")


def test_features_of_the_same_values_may_become_different_things(kit):
    features = [
        {"type": "id", "name": "a", "expression": "user:x", "hash_bucket_size": 10},
        {"type": "id", "name": "b", "expression": "user:x", "vocab_list": ["p", "q"]},
        {"type": "id", "name": "c", "expression": "user:x", "hash_bucket_size": 1000, "value_dim": 1},
        {"type": "id", "name": "d", "expression": "user:x", "hash_bucket_size": 7, "separator": "|"},
        {"type": "raw", "name": "e", "expression": "user:n"},
        {"type": "id", "name": "f", "expression": "user:n", "hash_bucket_size": 99},
        {"type": "raw", "name": "g", "expression": "user:n", "boundaries": [2], "normalizer": "method=log10"},
    ]
    generator = kit.load(features)
    data = {"x": pa.array(["p\x1dq", None, "q|p", ""]), "n": pa.array([1.5, None, 7.0, 2.5], pa.float32())}
    together = generator.transform(data)
    kit.compare(generator, data, together)
    for config in features:
        alone = kit.load([config]).transform(data)[config["name"]]
        np.testing.assert_array_equal(together[config["name"]].values, alone.values)


def test_what_depends_on_no_column_is_computed_when_the_generator_is_built(kit):
    features = [
        {"type": "id", "name": "a", "expression": "const:p\x1dq", "hash_bucket_size": 100},
        {
            "type": "raw",
            "name": "b",
            "expression": "const:2.5",
            "normalizer": "method=zscore,mean=1,standard_deviation=3",
        },
        {"type": "raw", "name": "c", "expression": "const:1|2", "separator": "|", "value_dim": 2},
        {"type": "id", "name": "d", "expression": "const:x", "stub_type": True},
        {"type": "combo", "name": "e", "expression": ["feature:d", "const:y"], "hash_bucket_size": 100},
        {"type": "combo", "name": "f", "expression": ["feature:d", "user:x"], "hash_bucket_size": 100},
        {"type": "id", "name": "g", "expression": "const:", "vocab_list": ["w"], "default_value": "w"},
        {"type": "raw", "name": "h", "expression": "feature:b", "boundaries": [0, 1]},
    ]
    generator = kit.load(features)
    assert generator.inputs == {"x": "user"}
    data = {"x": pa.array(["p", None, "q"])}
    kit.compare(generator, data, generator.transform(data))
    assert generator._whole.program.constants == []
    assert generator.values(data)["e"].to_pylist() == [["x_y"]] * 3
    assert generator.request({"x": "p"}).user["f"].lengths.tolist() == [1]


def test_children_that_read_their_siblings_are_the_same_in_two_steps(kit):
    words = {"type": "regex_replace", "name": "words", "expression": "item:x", "regex_pattern": "x", "stub_type": True}
    number = {"type": "raw", "name": "number", "expression": "feature:words"}
    formula = {"type": "expr", "name": "formula", "expression": "number * p + h", "sequence_fields": ["number"]}
    formula["variables"] = ["feature:number", "item:p", "context:h"]
    children = [formula, number, words]
    group = {"type": "sequence", "name": "s", "sequence_length": 2, "order": "newest_first", "features": children}
    generator = FeatureGenerator.load({"features": [group]})
    user, items = {"s__x": "x1;2;3x"}, [{"p": 1.0}, {"p": 10.0}]
    whole = generator.transform([{**user, **item, "h": 100} for item in items])
    assert whole["s__formula"].values.ravel().tolist() == [102, 101, 120, 110]  # the newest two, oldest first
    request = generator.request(user, {"h": 100})
    kit.equal(request.score_items(items, tile=True), whole)
    kit.equal(request.score_items(generator.items(items), tile=True), whole)


CONSTANTS = [
    {"type": "id", "name": "kind", "expression": "const:abc", "stub_type": True},
    {"type": "id", "name": "rated", "expression": "const:abc:0.5", "weighted": True, "hash_bucket_size": 100},
    {"type": "combo", "name": "near", "expression": ["feature:kind", "item:x"], "hash_bucket_size": 1000},
    {"type": "combo", "name": "far", "expression": ["feature:rated", "feature:kind", "item:x"], "hash_bucket_size": 1000},
    {"type": "combo", "name": "both", "expression": ["feature:rated", "item:x", "user:u"], "hash_bucket_size": 1000},
]  # fmt: skip


def test_what_depends_on_no_column_is_known_where_there_is_no_user(kit):
    generator = FeatureGenerator.load({"features": CONSTANTS})
    items = [{"x": "a"}, {"x": None}, {"x": "b\x1dc"}]
    whole = generator.transform([{"u": 7, **item} for item in items])
    request = generator.request({"u": 7})
    kit.equal(request.score_items(items, tile=True), whole)
    kit.equal(request.score_items(generator.items(items), tile=True), whole)


@pytest.mark.parametrize(
    ("user", "items", "taste"),
    [
        ({"clicks": [{"item": 7}, {"item": 9}], "taste": [0.5, 2.0]}, [7, 9], [0.5, 2.0]),
        ({"clicks": [{"item": 7}], "taste": [0.5, 2.0]}, [7], [0.5, 2.0]),
        ({"clicks": [], "taste": []}, [], [0.0, 0.0]),
        ({"clicks__item": ["7;9"], "taste": [[0.5, 2.0]]}, [7, 9], [0.5, 2.0]),
    ],
    ids=["row", "row-of-one-click", "empty-row", "columns"],
)
def test_a_user_of_nothing_but_lists_is_one_row(kit, user, items, taste):
    item = {"type": "id", "name": "item", "expression": "item:item", "num_buckets": 10}
    vector = {"type": "raw", "name": "taste", "expression": "user:taste", "value_dim": 2}
    generator = kit.load([{"type": "sequence", "name": "clicks", "features": [item]}, vector])
    table = generator.request(user, {}).user
    assert table["clicks__item"].values.tolist() == items
    assert table["taste"].values.tolist() == [taste]


def test_a_column_of_one_map_is_no_row_of_objects(kit):
    lookup = {"type": "lookup", "name": "f", "map": "user:m", "key": "user:k"}
    table = kit.load([lookup]).request({"m": [{"a": 5}], "k": ["a"]}, {}).user
    assert table["f"].values.tolist() == [[5]]


STEP = st.sampled_from(["", "1", "2", "1;2", "3;;4", "5;6;7"]) | st.none()


@given(
    side=st.sampled_from(["user", "item"]),
    lengths=st.sampled_from(["equal", "shortest"]),
    user=st.fixed_dictionaries({"seen": STEP, "s__a": STEP, "s__b": STEP}),
    items=st.lists(
        st.fixed_dictionaries({"past": STEP, "x": STEP, "s__a": STEP, "s__b": STEP}), min_size=1, max_size=3
    ),
)
def test_children_that_read_other_sides_than_their_sequence(kit, side, lengths, user, items):
    children = [
        {"type": "id", "name": "a", "expression": "item:a", "num_buckets": 10},
        {"type": "id", "name": "seen", "expression": "feature:seen", "num_buckets": 10},
        {"type": "id", "name": "past", "expression": "feature:past", "num_buckets": 10},
        {"type": "combo", "name": "c", "expression": ["item:b", "item:x"], "sequence_fields": ["b"], "hash_bucket_size": 99},
    ]  # fmt: skip
    features = [
        {"type": "id", "name": "seen", "expression": "user:seen", "sequence_length": 5, "num_buckets": 10},
        {"type": "id", "name": "past", "expression": "item:past", "sequence_length": 5, "num_buckets": 10},
        {"type": "sequence", "name": "s", "side": side, "lengths": lengths, "features": children},
        {"type": "id", "name": "after", "expression": "feature:s__a", "sequence_length": 5, "num_buckets": 10},
    ]
    generator = FeatureGenerator.load({"features": features})
    rows = [{**user, **item} if side == "item" else {**item, **user} for item in items]
    whole = generator.transform(rows, bad_rows="default")
    for name in ("s__seen", "s__past", "s__c"):
        np.testing.assert_array_equal(whole[name].lengths, whole["s__a"].lengths)
    request = generator.request(user)
    kit.equal(request.score_items(items, tile=True), whole)
    kit.equal(request.score_items(generator.items(items), tile=True), whole)


def test_record_batches_of_a_request_may_need_a_cast(kit):
    features = [
        {"type": "sequence", "name": "s", "features": [{"type": "id", "name": "i", "num_buckets": 10}]},
        {"type": "raw", "name": "v", "expression": "item:v", "value_dim": 2},
        {"type": "combo", "name": "c", "expression": ["user:u", "item:d"], "hash_bucket_size": 1000},
    ]
    generator = FeatureGenerator.load({"features": features})
    user = pa.RecordBatch.from_pydict({"s": [[{"i": 1}, {"i": 2}]], "u": pa.array([7], pa.decimal128(5, 1))})
    vectors = pa.array([[1.0, 2.0], None], pa.list_(pa.float32(), 2))
    items = pa.RecordBatch.from_pydict({"v": vectors, "d": pa.array([1, 2], pa.decimal128(5, 1))})
    expected = generator.transform(
        [{"s__i": [1, 2], "u": 7, "v": v, "d": d} for v, d in (([1.0, 2.0], 1), (None, 2))], bad_rows="default"
    )
    request = generator.request(user)
    kit.equal(request.score_items(items, tile=True), expected)
    kit.equal(request.score_items(generator.items(items), tile=True), expected)


def test_what_is_wrong_with_an_item_is_told_where_it_is_taken():
    feature = {"type": "id", "name": "f", "expression": "item:v", "num_buckets": 10, "out_of_range": "error"}
    generator = FeatureGenerator.load({"features": [feature]})
    table = generator.items([{"v": 1}, {"v": 99}, {"v": 3}])
    taken = generator.request().score_items(table.take([2, 1, 0, 1]))
    assert [(bad.row, bad.column) for bad in taken.bad] == [(1, "v"), (3, "v")]
    assert not generator.request().score_items(table.take([])).bad


def test_items_of_which_nothing_is_read_are_still_counted():
    generator = FeatureGenerator.load(
        {"features": [{"type": "id", "name": "u", "expression": "user:u", "num_buckets": 9}]}
    )
    request = generator.request({"u": 1})
    data = {"a": [1, 2, 3], "b": [1, 2, 3]}
    for items in (data, pa.table(data), [{"a": 1}] * 3, generator.items(data), generator.items(data).take([0, 1, 2])):
        assert request.score_items(items, tile=True)["u"].values.tolist() == [1, 1, 1]


@pytest.mark.parametrize("count", [1, 2, 5000])
def test_a_bad_value_of_the_user_is_told_once_whatever_the_number_of_items(count):
    features = [
        {"type": "expr", "name": "e", "expression": "a + b", "variables": ["user:a", "item:b"]},
        {"type": "combo", "name": "s", "expression": ["user:w", "item:b"], "sequence_fields": ["w"], "sequence_length": 9, "hash_bucket_size": 9},
    ]  # fmt: skip
    generator = FeatureGenerator.load({"features": features})
    request = generator.request({"a": "oops", "w": "1;2"})
    table = request.score_items({"b": list(range(count))})
    assert [(bad.row, bad.column, bad.feature) for bad in table.bad] == [(0, "a", "e")]
    assert table["s"].lengths.tolist() == [2] * count


@pytest.mark.parametrize(
    "seen", [[], ["a"], ["a", "b"], np.array(["a", "b", "c"])], ids=["none", "one", "two", "numpy"]
)
def test_a_user_may_be_a_mapping_of_nothing_but_lists(seen):
    feature = {"type": "id", "name": "seen", "expression": "user:seen", "hash_bucket_size": 1000}
    generator = FeatureGenerator.load({"features": [feature]})
    expected = generator.transform([{"seen": seen, "of": "no list"}])["seen"]
    assert generator.request({"seen": seen}).user["seen"].values.tolist() == expected.values.tolist()
