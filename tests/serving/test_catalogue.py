import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from easyrec.errors import BundleError, ConfigError, DataError
from serving import Catalogue, Predictor

USER = {
    "user_id": "u1",
    "level": 2,
    "click_seq": [{"item_id": "i1", "cate": "toy"}, {"item_id": "i2", "cate": "car"}, {"item_id": "i3", "cate": None}],
}
CONTEXT = {"scene": "home"}
ITEM = ["item_id", "cate", "tags", "price", "score"]


def items_of(rows, count=None, start=0):
    """Raw rows as items with keys of their own."""
    batch = rows.select(ITEM)
    batch = batch.slice(0, count if count is not None else batch.num_rows)
    return batch.set_column(0, "item_id", pa.array([f"i{start + n}" for n in range(batch.num_rows)]))


def same(a, b):
    assert a.keys() == b.keys()
    for task in a:
        np.testing.assert_array_equal(a[task], b[task])


@pytest.fixture(scope="module")
def predictors(toys):
    """A predictor without caches and one to give some, by model."""
    made = {}

    def pair(model):
        if model not in made:
            made[model] = Predictor.load(toys(model).bundle), Predictor.load(toys(model).bundle, verify=False)
        made[model][1].catalogue = None
        return made[model]

    return pair


@pytest.fixture(scope="module")
def apart(toys, make_toy, tmp_path_factory):
    """Predictors as `predictors` has them, of models without features of both sides."""
    made = {}

    def pair(model):
        if model not in made:
            features = [
                f.model_dump(mode="json", exclude_unset=True) for f in toys("deepfm").experiment.generator.features
            ]
            features = [feature for feature in features if feature["name"] != "level_x_cate"]
            names = [feature["name"] for feature in features if feature["type"] != "sequence"]
            sequences = {"sequences": [{"sequence": "click_seq"}]} if model == "din" else {}
            config = {"type": model, "groups": {"deep": {"features": names, **sequences}}}
            if model != "fm":
                config["hidden"] = [16, 8]
            toy = make_toy(config, tmp_path_factory.mktemp(model) / "bundle", features=features)
            made[model] = Predictor.load(toy.bundle), Predictor.load(toy.bundle, verify=False)
        return made[model]

    return pair


def asked(items, counts=(0, 1, 2, 7, 200)):
    """Rows of candidates, and their keys."""
    random = np.random.default_rng(1)
    for count in counts:
        rows = random.integers(items.num_rows, size=count)
        yield items.take(pa.array(rows, pa.int64())), [f"i{n}" for n in rows]


@pytest.mark.parametrize("model", ["deepfm", "din", "eta"])
def test_by_key_is_by_columns_bit_for_bit(predictors, toy_rows, model):
    plain, cached = predictors(model)
    items = items_of(toy_rows(80, seed=6))
    cached.catalogue = catalogue = Catalogue(cached, items, key="item_id")
    assert catalogue.ahead == "features"  # a feature of both sides has a say in what is looked up
    for rows, keys in asked(items):
        same(cached.predict(USER, keys, CONTEXT), plain.predict(USER, rows, CONTEXT))


@pytest.mark.parametrize("ahead", ["features", "embeddings"])
@pytest.mark.parametrize("model", ["deepfm", "din"])
def test_by_key_is_by_columns_however_far_ahead_it_was_computed(apart, toy_rows, model, ahead):
    plain, cached = apart(model)
    items = items_of(toy_rows(80, seed=6))
    cached.catalogue = catalogue = Catalogue(cached, items.slice(0, 50), key="item_id", ahead=ahead)
    catalogue.upsert(items.slice(30))
    assert catalogue.ahead == ahead
    for rows, keys in asked(items):
        same(cached.predict(USER, keys, CONTEXT), plain.predict(USER, rows, CONTEXT))


@pytest.mark.parametrize("model", ["deepfm", "din"])
def test_layers_of_items_score_as_the_whole_program_within_rounding(apart, toy_rows, model):
    plain, cached = apart(model)
    items = items_of(toy_rows(80, seed=6))
    cached.catalogue = catalogue = Catalogue(cached, items.slice(0, 50), key="item_id", ahead="layers")
    catalogue.upsert(items.slice(30))
    assert catalogue.ahead == "layers"
    for rows, keys in asked(items):
        expected, found = plain.predict(USER, rows, CONTEXT)["click"], cached.predict(USER, keys, CONTEXT)["click"]
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
        if keys:
            np.testing.assert_array_equal(cached.predict(USER, keys, CONTEXT, explain=True).scores["click"], found)


def test_layers_that_score_otherwise_are_refused(apart, toy_rows, monkeypatch):
    _, cached = apart("deepfm")
    split = cached._open()[2]
    run = split.run
    monkeypatch.setattr(split, "run", lambda inputs: {task: scores + 1e-4 for task, scores in run(inputs).items()})
    with pytest.raises(BundleError, match="with layers computed ahead task 'click' differs by"):
        Catalogue(cached, items_of(toy_rows(20)), key="item_id", ahead="layers")


@given(
    changes=st.lists(
        st.one_of(
            st.tuples(
                st.just("upsert"), st.lists(st.integers(0, 30), min_size=1, max_size=6, unique=True), st.integers(0, 59)
            ),
            st.tuples(st.just("remove"), st.lists(st.integers(0, 30), min_size=1, max_size=6), st.just(0)),
        ),
        max_size=8,
    )
)
@settings(max_examples=20, deadline=None)
@pytest.mark.parametrize("ahead", ["features", "embeddings"])
def test_whatever_was_changed_by_key_is_by_columns(apart, toy_rows, ahead, changes):
    plain, cached = apart("deepfm")
    rows = toy_rows(100, seed=8).select(ITEM).to_pylist()
    held = {n: {**rows[n], "item_id": f"i{n}"} for n in range(10)}
    schema = toy_rows(1).select(ITEM).schema
    cached.catalogue = catalogue = Catalogue(
        cached, pa.RecordBatch.from_pylist(list(held.values()), schema=schema), key="item_id", ahead=ahead
    )
    for what, numbers, shift in changes:
        if what == "upsert":
            fresh = {n: {**rows[n + shift], "item_id": f"i{n}"} for n in numbers}
            held |= fresh
            assert catalogue.upsert(list(fresh.values())) == len(fresh)
        else:
            gone = held.keys() & set(numbers)
            assert catalogue.remove([f"i{n}" for n in numbers]) == len(gone)
            held = {n: row for n, row in held.items() if n not in gone}
        assert len(catalogue) == len(held)
        chosen = sorted(held)[::2]
        wanted = pa.RecordBatch.from_pylist([held[n] for n in chosen], schema=schema)
        same(cached.predict(USER, [f"i{n}" for n in chosen], CONTEXT), plain.predict(USER, wanted, CONTEXT))


def test_keys_may_come_in_any_form(predictors, toy_rows):
    _, cached = predictors("deepfm")
    cached.catalogue = Catalogue(cached, items_of(toy_rows(20)), key="item_id")
    keys = ["i3", "i1", "i3"]
    expected = cached.predict(USER, keys, CONTEXT)
    for given_keys in (
        tuple(keys),
        np.array(keys),
        pa.array(keys),
        pa.array(keys).dictionary_encode(),
        [{"item_id": key} for key in keys],
        {"item_id": keys},
        {"item_id": np.array(keys)},
        pa.record_batch({"item_id": keys}),
        pa.table({"item_id": keys}),
        pd.DataFrame({"item_id": keys}),
    ):
        same(cached.predict(USER, given_keys, CONTEXT), expected)


def test_items_with_all_their_columns_are_computed_as_before(predictors, toy_rows):
    plain, cached = predictors("deepfm")
    items = items_of(toy_rows(20))
    cached.catalogue = Catalogue(cached, items.slice(0, 5), key="item_id")
    same(cached.predict(USER, items, CONTEXT), plain.predict(USER, items, CONTEXT))


def test_whole_numbers_and_their_texts_are_one_key(predictors, toy_rows):
    _, cached = predictors("deepfm")
    items = items_of(toy_rows(20)).set_column(0, "item_id", pa.array(range(100, 120)))
    cached.catalogue = Catalogue(cached, items, key="item_id")
    same(cached.predict(USER, [107, 119], CONTEXT), cached.predict(USER, ["107", "119"], CONTEXT))


@pytest.mark.parametrize(
    ("keys", "row", "told"),
    [
        (["i1", "i99"], 1, "no item 'i99'"),
        (["i1", "i2", None], 2, "whole number or a text"),
        ([1.5], 0, "whole number or a text"),
        ([True], 0, "whole number or a text"),
        (["i1", ""], 1, "whole number or a text"),
        ([["i1"]], 0, "whole number or a text"),
        (pa.array(["i1", None]), 1, "whole number or a text"),
        (pa.array([1.5]), 0, "whole number or a text"),
        (["\ud800"], 0, "whole number or a text"),
        ([10**5000], 0, "whole number or a text"),
    ],
    ids=["unknown", "none", "number", "boolean", "empty", "list", "null", "numbers", "no-utf-8", "endless"],
)
def test_a_key_that_is_none_or_unknown_is_named(predictors, toy_rows, keys, row, told):
    _, cached = predictors("deepfm")
    cached.catalogue = Catalogue(cached, items_of(toy_rows(20)), key="item_id")
    before = cached.stats.refused
    with pytest.raises(DataError, match=told) as caught:
        cached.predict(USER, keys, CONTEXT)
    assert (caught.value.row, caught.value.column) == (row, "item_id")
    assert cached.stats.refused == before + 1


def test_a_change_of_several_items_is_seen_whole_by_requests_that_run(apart, toy_rows):
    plain, cached = apart("deepfm")
    keys = [f"i{n}" for n in range(12)]
    versions = [items_of(toy_rows(60, seed=seed), 12) for seed in (1, 2, 3)]
    allowed = [plain.predict(USER, batch, CONTEXT)["click"].tobytes() for batch in versions]
    assert len(set(allowed)) == 3
    cached.catalogue = catalogue = Catalogue(cached, versions[0], key="item_id")
    stop = threading.Event()

    def ask():
        seen = set()
        while not stop.is_set():
            seen.add(cached.predict(USER, keys, CONTEXT)["click"].tobytes())
        return seen

    with ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(ask) for _ in range(4)]
        for turn in range(300):
            catalogue.upsert(versions[turn % 3])
            if turn % 50 == 0:  # what the one who changes it asks next is answered with the change
                assert cached.predict(USER, keys, CONTEXT)["click"].tobytes() == allowed[turn % 3]
        stop.set()
    seen = set().union(*(one.result() for one in asking))
    assert seen <= set(allowed)
    assert len(catalogue._held.items) < 3 * 12 + 2048  # 3,600 rows were written


def test_what_was_removed_and_replaced_gives_its_room_back(predictors, toy_rows):
    plain, cached = predictors("deepfm")
    items = items_of(toy_rows(1000))
    cached.catalogue = catalogue = Catalogue(cached, items, key="item_id")
    few = items_of(toy_rows(1000, seed=3), 3)
    whole, keys = pa.concat_batches([few, items.slice(500, 2)]), ["i0", "i1", "i2", "i500", "i501"]
    expected = plain.predict(USER, whole, CONTEXT)
    catalogue.remove([f"i{n}" for n in range(3, 1000) if n not in (500, 501)])
    for turn in range(500):
        catalogue.upsert(few)
        if turn % 40 == 0:  # those that were put there once move with the others
            same(cached.predict(USER, keys, CONTEXT), expected)
    same(cached.predict(USER, keys, CONTEXT), expected)
    assert len(catalogue) == catalogue.stats.rows == 5
    assert len(catalogue._held.items) <= 2 * 5 + 1024 + 3


def test_replace_forgets_the_rest(predictors, toy_rows):
    _, cached = predictors("deepfm")
    now = [0.0]
    cached.catalogue = catalogue = Catalogue(cached, items_of(toy_rows(20)), key="item_id", now=lambda: now[0])
    now[0] = 7.0
    assert catalogue.stats.age_s == 7.0
    catalogue.replace(items_of(toy_rows(20), 5, start=50))
    assert catalogue.stats.age_s == 0.0
    cached.predict(USER, ["i50", "i54"], CONTEXT)
    with pytest.raises(DataError, match="no item 'i1'"):
        cached.predict(USER, ["i1"], CONTEXT)
    assert (catalogue.stats.rows, catalogue.stats.hits, catalogue.stats.misses) == (5, 2, 1)


@pytest.mark.parametrize(
    ("change", "told", "row"),
    [
        ({"item_id": ["i7", "i7"]}, "the item 'i7' is there twice", 1),
        ({"item_id": ["i7", None]}, "whole number or a text", 1),
        ({"price": ["cheap", "3"]}, "must be double, as in the other items", 0),
        ({"price": ["3", "cheap"]}, "must be double, as in the other items", 1),
        ({"score": [0.5, float("nan")]}, "nan", 1),
    ],
    ids=["twice", "no-key", "type", "type-below", "bad"],
)
def test_rows_that_cannot_be_taken_leave_everything_as_it_is(predictors, toy_rows, change, told, row):
    _, cached = predictors("deepfm")
    cached.catalogue = catalogue = Catalogue(cached, items_of(toy_rows(20)), key="item_id")
    before = cached.predict(USER, ["i7", "i8"], CONTEXT)
    rows = {name: [None, None] for name in ITEM} | {"item_id": ["i7", "i8"], "score": [0.5, 0.5]} | change
    with pytest.raises(DataError, match=told) as caught:
        catalogue.upsert(rows)
    assert row is None or caught.value.row == row
    same(cached.predict(USER, ["i7", "i8"], CONTEXT), before)
    assert len(catalogue) == 20


def test_values_take_the_types_of_the_first_rows(predictors, toy_rows):
    plain, cached = predictors("deepfm")
    cached.catalogue = catalogue = Catalogue(cached, items_of(toy_rows(20)), key="item_id")
    row = {"item_id": "new", "cate": "toy", "tags": ["t1"], "price": 9, "score": 1}  # whole numbers for numbers
    catalogue.upsert([row])
    wanted = pa.RecordBatch.from_pylist([{**row, "price": 9.0}], schema=toy_rows(1).select(ITEM).schema)
    same(cached.predict(USER, ["new"], CONTEXT), plain.predict(USER, wanted, CONTEXT))


def test_a_catalogue_may_begin_empty(predictors):
    plain, cached = predictors("deepfm")
    cached.catalogue = catalogue = Catalogue(cached, key="item_id")
    item = {"item_id": "i1", "cate": "toy", "tags": ["t1", "t2"], "price": 3.5, "score": 0.25}
    catalogue.upsert([item])
    same(cached.predict(USER, ["i1"], CONTEXT), plain.predict(USER, [item], CONTEXT))


def test_what_is_missing_in_items_is_counted_when_they_come(predictors, toy_rows):
    _, cached = predictors("deepfm")
    items, before = items_of(toy_rows(50, seed=2)), cached.stats
    cached.catalogue = Catalogue(cached, items, key="item_id")
    counted = cached.stats
    nulls = items.column("cate").null_count
    assert nulls
    assert counted.missing["cate"] - before.missing.get("cate", 0) == nulls
    assert counted.requests == before.requests
    cached.predict(USER, [f"i{n}" for n in range(50)], CONTEXT)
    assert cached.stats.missing.get("cate") == counted.missing["cate"]
    assert cached.stats.items == counted.items + 50


FEATURES = [
    {"type": "id", "name": "user_id", "expression": "user:user_id", "hash_bucket_size": 100},
    {"type": "id", "name": "item_id", "expression": "item:item_id", "hash_bucket_size": 100},
    {"type": "id", "name": "position", "expression": "item:position", "num_buckets": 10, "default_value": "0"},
    {"type": "id", "name": "title", "expression": "item:title", "hash_bucket_size": 100},
    {"type": "combo", "name": "title_x_position", "expression": ["item:title", "item:position"], "hash_bucket_size": 100},
    {"type": "combo", "name": "user_x_title", "expression": ["user:user_id", "item:title"], "hash_bucket_size": 100},
    {"type": "raw", "name": "price", "expression": "item:price"},
]  # fmt: skip


@pytest.fixture(scope="module")
def positioned(make_toy, tmp_path_factory):
    random = np.random.default_rng(3)
    rows = pa.record_batch(
        {
            "user_id": [f"u{n}" for n in random.integers(9, size=100)],
            "item_id": [f"i{n}" for n in random.integers(40, size=100)],
            "position": random.integers(10, size=100),
            "title": [f"t{n}" for n in random.integers(20, size=100)],
            "price": random.random(100),
        }
    )
    folder = tmp_path_factory.mktemp("positioned") / "bundle"
    return make_toy({"type": "deepfm", "hidden": [16]}, folder, rows=rows, features=FEATURES)


@pytest.fixture
def catalogue_of_titles(positioned):
    plain, cached = Predictor.load(positioned.bundle), Predictor.load(positioned.bundle)
    held = {
        "item_id": [f"i{n}" for n in range(30)],
        "title": [f"t{n % 7}" for n in range(30)],
        "price": np.arange(30.0),
    }
    cached.catalogue = Catalogue(cached, held, key="item_id")
    return plain, cached, held


def test_columns_that_the_catalogue_lacks_come_with_the_request(catalogue_of_titles):
    plain, cached, held = catalogue_of_titles
    assert cached.catalogue.asked == ("position",)
    numbers, positions = [4, 9, 4], [1, 2, 3]
    whole = {name: [values[n] for n in numbers] for name, values in held.items()} | {"position": positions}
    expected = plain.predict({"user_id": "u1"}, whole)
    assert len(set(expected["click"].tolist())) == 3
    keys = [f"i{n}" for n in numbers]
    same(cached.predict({"user_id": "u1"}, {"item_id": keys, "position": positions}), expected)
    rows = [{"item_id": key, "position": position} for key, position in zip(keys, positions, strict=True)]
    same(cached.predict({"user_id": "u1"}, rows), expected)
    casts = pa.record_batch({"item_id": keys, "position": pa.array(positions, pa.decimal128(5, 0))})
    same(cached.predict({"user_id": "u1"}, casts), expected)
    cached.catalogue.upsert([{"item_id": "i4", "title": "t99", "price": 1.0}])
    whole["title"], whole["price"] = ["t99", whole["title"][1], "t99"], [1.0, whole["price"][1], 1.0]
    same(cached.predict({"user_id": "u1"}, rows), plain.predict({"user_id": "u1"}, whole))


def test_a_column_that_must_come_with_the_request_is_asked_for(catalogue_of_titles):
    _, cached, _ = catalogue_of_titles
    with pytest.raises(DataError, match="comes with each request") as caught:
        cached.predict({"user_id": "u1"}, ["i1"])
    assert caught.value.column == "position"
    with pytest.raises(DataError, match="the column is missing"):
        cached.predict({"user_id": "u1"}, [{"item_id": "i1"}])


def test_no_items_have_no_scores(catalogue_of_titles):
    _, cached, _ = catalogue_of_titles
    for items in ([], {"item_id": [], "position": []}):
        assert cached.predict({"user_id": "u1"}, items)["click"].shape == (0,)


def test_unknown_values_of_a_request_are_counted_with_it(catalogue_of_titles):
    _, cached, _ = catalogue_of_titles
    cached.predict({"user_id": "u1"}, [{"item_id": "i1", "position": 77}])
    assert cached.stats.unknown == {"position": 1}


def test_a_key_cannot_come_with_the_request(catalogue_of_titles):
    _, cached, held = catalogue_of_titles
    for asked in (["item_id"], ["user_id"]):
        with pytest.raises(ConfigError, match="cannot come with each request"):
            Catalogue(cached, held, key="item_id", asked=asked)


def test_keys_without_a_catalogue_are_refused(predictors):
    plain, _ = predictors("deepfm")
    with pytest.raises(DataError, match="a row must be a mapping"):
        plain.predict(USER, ["i1"], CONTEXT)
