import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

from easyrec.errors import BundleError, DataError, RunError
from serving import Limits, Predictor
from serving.proof import prove

ALL = ["lr", "fm", "wide_and_deep", "deepfm", "dcn_v2", "din"]
USER = {
    "user_id": "u1",
    "level": 2,
    "click_seq": [{"item_id": "i1", "cate": "toy"}, {"item_id": "i2", "cate": "car"}, {"item_id": "i3", "cate": None}],
}
ITEM = {"item_id": "i1", "cate": "toy", "tags": ["t1", "t2"], "price": 3.5, "score": 0.25}
ITEMS = [ITEM, {**ITEM, "item_id": "i2", "cate": "book", "tags": []}, {**ITEM, "item_id": "i3", "price": None}]
CONTEXT = {"scene": "home"}


@pytest.fixture(scope="module")
def predictor(toys):
    return Predictor.load(toys("deepfm").bundle)


def as_requests(batch):
    """Each row as a request of one item."""
    users = ["user_id", "level", "click_seq__item_id", "click_seq__cate"]
    items = ["item_id", "cate", "tags", "price", "score"]
    for row in batch.to_pylist():
        yield {k: row[k] for k in users}, [{k: row[k] for k in items}], {"scene": row["scene"]}


def as_one_row(user, item, context):
    """What `predict_batch` reads of one candidate of a request."""
    steps = user["click_seq"]
    parts = {f"click_seq__{k}": [step[k] for step in steps] for k in ("item_id", "cate")}
    return {**{k: v for k, v in user.items() if k != "click_seq"}, **parts, **item, **context}


@pytest.mark.parametrize("model", ALL)
def test_predictor_scores_equal_the_trainer(toys, toy_rows, model):
    toy, batch = toys(model), toy_rows(400, seed=5)
    trained = toy.scores(batch)["click"]
    assert np.ptp(trained[(trained > 0.01) & (trained < 0.99)]) > 0.2  # scores that saturate would prove nothing
    with Predictor.load(toy.bundle) as predictor:
        served = predictor.predict_batch(batch)["click"]
        np.testing.assert_allclose(served, trained, rtol=0, atol=1e-6)
        assert served.dtype == np.float32
        asked = [predictor.predict(*request)["click"] for request in as_requests(batch.slice(0, 40))]
    np.testing.assert_allclose(np.concatenate(asked), trained[:40], rtol=0, atol=1e-6)


@pytest.mark.parametrize("model", ["deepfm", "din"])
def test_a_request_equals_its_rows_whatever_their_number(toys, model):
    with Predictor.load(toys(model).bundle) as predictor:
        for count in (1, 2, 3, 50):
            items = (ITEMS * 20)[:count]
            scores = predictor.predict(USER, items, CONTEXT)["click"]
            rows = [as_one_row(USER, item, CONTEXT) for item in items]
            assert scores.shape == (count,)
            np.testing.assert_allclose(scores, predictor.predict_batch(rows)["click"], rtol=0, atol=1e-6)


@pytest.mark.parametrize(("model", "apart"), [("deepfm", []), ("din", ["deep/click_seq"])])
def test_what_a_request_has_once_is_looked_up_once_and_proven(toys, model, apart):
    predictor = Predictor.load(toys(model).bundle)
    split = predictor.manifest.split
    assert {"user_id", "level"} <= set(split.user)
    assert split.apart == apart
    weights = predictor._parts[2]._dense.program.weights
    next(iter(weights.values())).add_(1.0)
    with pytest.raises(BundleError, match="does not score as trained"):
        prove(predictor)


def test_a_request_without_items_has_no_scores(predictor):
    scores = predictor.predict(USER, [], CONTEXT)["click"]
    assert (scores.shape, scores.dtype) == ((0,), np.float32)


def test_a_batch_without_rows_has_no_scores(predictor, toy_rows):
    assert predictor.predict_batch(toy_rows(5).slice(0, 0))["click"].shape == (0,)


def test_items_may_come_as_rows_arrays_arrow_or_pandas(predictor):
    expected = predictor.predict(USER, ITEMS, CONTEXT)["click"]
    columns = {name: [item[name] for item in ITEMS] for name in ITEM}
    for items in (columns, pa.RecordBatch.from_pydict(columns), pa.table(columns), pd.DataFrame(columns)):
        assert np.array_equal(predictor.predict(USER, items, CONTEXT)["click"], expected)


def test_a_user_of_lists_alone_is_one_row(toys, predictor):
    user = {**USER, "level": [2], "user_id": ["u1"]}
    assert np.array_equal(
        predictor.predict(user, ITEMS, CONTEXT)["click"], predictor.predict(USER, ITEMS, CONTEXT)["click"]
    )


def test_numbers_and_their_text_are_the_same_value(predictor):
    other = {**ITEM, "price": "3.5", "score": "0.25"}
    assert np.array_equal(
        predictor.predict({**USER, "level": "2"}, [other], CONTEXT)["click"],
        predictor.predict(USER, [ITEM], CONTEXT)["click"],
    )


def test_eight_threads_get_the_same_answers(predictor, toy_rows):
    requests = list(as_requests(toy_rows(64, seed=3)))
    alone = [predictor.predict(*request)["click"] for request in requests]
    before = predictor.stats
    with ThreadPoolExecutor(8) as pool:
        rounds = [list(pool.map(lambda request: predictor.predict(*request)["click"], requests)) for _ in range(4)]
    for together in rounds:
        assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))
    after = predictor.stats
    assert (after.requests - before.requests, after.items - before.items) == (256, 256)


# ------------------------------------------------------------------------------------- unknown and missing


def test_unknown_users_and_items_are_scored_by_their_hash(predictor):
    scores = predictor.predict({**USER, "user_id": "never seen"}, [{**ITEM, "item_id": "nor this"}], CONTEXT)["click"]
    assert np.isfinite(scores).all()


def test_unknown_words_are_one_value_and_counted(toys):
    with Predictor.load(toys("deepfm").bundle) as predictor:
        items = [{**ITEM, "cate": cate} for cate in ("submarine", "zeppelin", "toy")]
        submarine, zeppelin, toy = predictor.predict({**USER, "click_seq": []}, items, CONTEXT)["click"]
        assert len({submarine, zeppelin, toy}) == 3  # the cross of level and word is a hash: it tells words apart
        assert predictor.stats.unknown == {"cate": 2}
        predictor.predict(USER, [ITEM], CONTEXT)
        assert predictor.stats.unknown == {"cate": 2, "click_seq__cate": 1}


def test_numbers_outside_their_range_take_the_default_and_are_counted(toys):
    with Predictor.load(toys("fm").bundle) as predictor:
        outside = predictor.predict({**USER, "level": 7}, [ITEM], CONTEXT)["click"]
        assert predictor.stats.unknown.get("level") == 1
        for text in ("5", "-1"):
            predictor.predict({**USER, "level": text}, [ITEM], CONTEXT)
        assert predictor.stats.unknown.get("level") == 3
        assert np.isfinite(outside).all()


def test_null_and_empty_text_are_the_default_and_counted(toys):
    with Predictor.load(toys("deepfm").bundle) as predictor:
        null = predictor.predict({**USER, "user_id": None}, ITEMS, CONTEXT)["click"]
        empty = predictor.predict({**USER, "user_id": ""}, ITEMS, CONTEXT)["click"]
        assert np.array_equal(null, empty)
        assert predictor.stats.missing == {"user_id": 2, "price": 2}


def test_statistics_count_what_was_answered(toys, toy_rows):
    with Predictor.load(toys("lr").bundle) as predictor:
        assert predictor.stats.requests == predictor.stats.rows == 0  # the warm-up is not counted
        predictor.predict(USER, ITEMS, CONTEXT)
        predictor.predict(USER, [], CONTEXT)
        predictor.predict_batch(toy_rows(7))
        with pytest.raises(DataError):
            predictor.predict(USER, [{}], CONTEXT)
        stats = predictor.stats
        assert (stats.requests, stats.items, stats.batches, stats.rows, stats.refused) == (2, 3, 1, 7, 1)


# ---------------------------------------------------------------------------------------------- bad requests


@pytest.mark.parametrize(
    ("user", "items", "context", "named"),
    [
        ({"level": 1, "click_seq": []}, ITEMS, CONTEXT, "user_id"),
        ({}, ITEMS, CONTEXT, "user_id"),
        (None, ITEMS, CONTEXT, "user_id"),
        (USER, [{k: v for k, v in ITEM.items() if k != "price"}], CONTEXT, "price"),
        (USER, [{**{k: v for k, v in ITEM.items() if k != "price"}, "prize": 1}], CONTEXT, "did you mean 'prize'"),
        (USER, ITEMS, None, "scene"),
        (USER, ITEMS, {}, "scene"),
        ({"user_id": "u", "level": 1}, ITEMS, CONTEXT, "click_seq__"),
        (USER, pa.record_batch({"item_id": ["i1"]}), CONTEXT, "cate"),
    ],
    ids=["user", "empty-user", "no-user", "item", "typo", "no-context", "empty-context", "sequence", "arrow"],
)
def test_a_missing_column_is_named(predictor, user, items, context, named):
    with pytest.raises(DataError, match=named):
        predictor.predict(user, items, context)


def test_a_missing_column_can_be_the_default(toys):
    with Predictor.load(toys("deepfm").bundle, missing_columns="default") as predictor:
        given = predictor.predict({**USER, "level": None}, ITEMS, CONTEXT)["click"]
        absent = predictor.predict({k: v for k, v in USER.items() if k != "level"}, ITEMS, CONTEXT)["click"]
        assert np.array_equal(given, absent)
        assert predictor.stats.missing["level"] == 2


@pytest.mark.parametrize(
    ("change", "column"),
    [
        ({"price": "cheap"}, "price"),
        ({"price": float("nan")}, "price"),
        ({"score": "1e999"}, "score"),
        ({"score": [1.0, 2.0]}, "score"),
        ({"score": {"a": 1.0}}, "score"),
        ({"item_id": object()}, "item_id"),
    ],
    ids=["no-number", "nan", "infinite", "vector", "mapping", "object"],
)
def test_a_wrong_value_names_its_row_and_column(predictor, change, column):
    with pytest.raises(DataError) as caught:
        predictor.predict(USER, [ITEM, {**ITEM, **change}], CONTEXT)
    assert column in str(caught.value)
    assert caught.value.exit_code == 3


def test_a_bad_value_can_be_the_default(toys):
    with Predictor.load(toys("deepfm").bundle, bad_values="default") as predictor:
        bad = predictor.predict(USER, [ITEM, {**ITEM, "price": "cheap"}], CONTEXT)["click"]
        null = predictor.predict(USER, [ITEM, {**ITEM, "price": None}], CONTEXT)["click"]
        assert np.array_equal(bad, null)
        assert predictor.stats.bad == {"price": 1}


@pytest.mark.parametrize(
    ("user", "items", "message"),
    [
        (USER, "abc", "cannot read"),
        (USER, [1, 2], "must be a mapping"),
        (USER, 5, "cannot read"),
        ([USER, USER], ITEMS, "one row, but has 2"),
        ("abc", ITEMS, "cannot read"),
        ({**USER, "click_seq": [1, 2]}, ITEMS, "list of objects"),
        ({**USER, "click_seq": "i1"}, ITEMS, "list of objects"),
    ],
    ids=["items-text", "items-numbers", "items-number", "two-users", "user-text", "steps-numbers", "steps-text"],
)
def test_a_request_of_another_form_is_refused(predictor, user, items, message):
    with pytest.raises(DataError, match=message):
        predictor.predict(user, items, CONTEXT)


def test_unequal_sequences_name_their_columns(predictor):
    user = {"user_id": "u1", "level": 1, "click_seq__item_id": ["i1", "i2"], "click_seq__cate": ["toy"]}
    with pytest.raises(DataError, match="click_seq"):
        predictor.predict(user, ITEMS, CONTEXT)


@pytest.mark.parametrize(
    ("user", "items", "message"),
    [
        (USER, [ITEM] * 6, r"6 items, but at most 5"),
        (USER, pa.record_batch({k: [v] * 6 for k, v in ITEM.items()}), r"6 items, but at most 5"),
        ({**USER, "user_id": "é" * 20}, ITEMS, r"'user_id'.*40 bytes, but at most 32"),
        (USER, [ITEM, {**ITEM, "item_id": "x" * 33}], r"row 1.*'item_id'.*33 bytes"),
        (USER, [ITEM, {**ITEM, "tags": ["t"] * 9}], r"row 1.*'tags'.*9 elements, but at most 8"),
        (USER, [ITEM, {**ITEM, "tags": ["t" * 40]}], r"'tags'.*inside a list.*40 bytes"),
        ({**USER, "click_seq": [{"item_id": "i", "cate": "toy"}] * 9}, ITEMS, r"'click_seq__item_id'.*9 elements"),
    ],
    ids=["items", "arrow-items", "user-text", "item-text", "list", "text-in-list", "sequence"],
)
def test_a_request_over_a_limit_names_what_is_too_large(toys, user, items, message):
    limits = Limits(items=5, text_bytes=32, list_length=8)
    with Predictor.load(toys("deepfm").bundle, limits=limits) as predictor:
        assert predictor.predict(USER, ITEMS, CONTEXT)["click"].shape == (3,)
        with pytest.raises(DataError, match=message):
            predictor.predict(user, items, CONTEXT)


@pytest.mark.parametrize("kind", [pa.list_(pa.null()), pa.large_list(pa.null()), pa.list_(pa.list_(pa.null()))])
def test_elements_that_take_no_memory_count_too(kind):
    long = [None] * 9 if not pa.types.is_list(kind.value_type) else [[None] * 9]
    with pytest.raises(DataError, match="9 elements"):
        Limits(list_length=8).check(pa.record_batch({"steps": pa.array([long], kind)}))


def test_a_map_has_a_length_too():
    batch = pa.record_batch(
        {"weights": pa.array([[("a", 1.0)], [(f"k{i}", 1.0) for i in range(9)]], pa.map_(pa.string(), pa.float64()))}
    )
    with pytest.raises(DataError, match=r"row 1.*'weights'.*9 elements"):
        Limits(list_length=8).check(batch)


def test_a_closed_predictor_refuses(toys):
    predictor = Predictor.load(toys("lr").bundle)
    predictor.close()
    with pytest.raises(RunError, match="closed"):
        predictor.predict(USER, ITEMS, CONTEXT)
    predictor.close()


def test_an_unknown_runtime_lists_those_there_are(toys):
    with pytest.raises(BundleError, match="no runtime 'onnx', only torch_export"):
        Predictor.load(toys("lr").bundle, runtime="onnx")


# -------------------------------------------------------------------------------------------------- the rest


def test_the_number_of_torch_threads_stays_the_callers(toys):
    before = torch.get_num_threads()
    Predictor.load(toys("lr").bundle).predict(USER, ITEMS, CONTEXT)
    assert torch.get_num_threads() == before


def test_importing_serving_loads_no_torch():
    code = "import serving, sys; assert 'torch' not in sys.modules, 'torch'"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_serving_loads_no_part_of_training(toys):
    code = (
        "import sys, json; from serving import Predictor\n"
        f"p = Predictor.load({str(toys('deepfm').bundle)!r})\n"
        f"p.predict(*json.loads({json.dumps([USER, ITEMS, CONTEXT])!r}))\n"
        "rooms = ('models', 'train', 'data', 'tune', 'losses', 'metrics', 'embedding.collection', 'export.program')\n"
        "found = [r for r in rooms if f'easyrec.{r}' in sys.modules]\n"
        "assert not found, found\n"
        "assert 'sympy' not in sys.modules and 'torch._dynamo' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_features_of_a_request_are_those_of_its_flat_rows(predictor):
    table = predictor.features(USER, ITEMS, CONTEXT)
    flat = predictor.generator.transform([as_one_row(USER, item, CONTEXT) for item in ITEMS])
    assert list(table) == list(flat)
    for name in flat:
        np.testing.assert_array_equal(table[name].values, flat[name].values, err_msg=name)
