"""The other calls of a predictor: the best k, awaited, with a deadline, explained; with a cache of users and of items."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from easyrec.errors import ConfigError, DataError, DeadlineError, RunError
from serving import Catalogue, ItemCache, Limits, Predictor, UserCache
from serving.course import Course
from serving.top import best, top
from serving.user_cache import KnownUser

USER = {
    "user_id": "u1",
    "level": 2,
    "click_seq": [{"item_id": "i1", "cate": "toy"}, {"item_id": "i2", "cate": "car"}, {"item_id": "i3", "cate": None}],
}
ITEM = {"item_id": "i1", "cate": "toy", "tags": ["t1", "t2"], "price": 3.5, "score": 0.25}
ITEMS = [ITEM, {**ITEM, "item_id": "i2", "cate": "book", "tags": []}, {**ITEM, "item_id": "i3", "price": None}]
CONTEXT = {"scene": "home"}
COLUMNS = list(ITEM)


@pytest.fixture(scope="module")
def plain(toys):
    return Predictor.load(toys("deepfm").bundle)


@pytest.fixture
def cached(toys):
    with Predictor.load(toys("deepfm").bundle, verify=False) as predictor:
        yield predictor


# ------------------------------------------------------------------------------------------------- best k


@given(st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0, float("nan"), -1.0]), max_size=30), st.integers(0, 35))
@settings(max_examples=200, deadline=None)
def test_the_best_are_those_that_a_stable_sort_puts_first(scores, k):
    ranked = sorted(
        range(len(scores)), key=lambda i: (scores[i] != scores[i], -scores[i] if scores[i] == scores[i] else 0)
    )
    assert best(np.array(scores, np.float32), k).tolist() == ranked[:k]


def test_top_k_names_places_and_scores_of_all_tasks():
    scores = {"click": np.array([0.1, 0.9, 0.5, 0.9], np.float32), "buy": np.array([1, 2, 3, 4], np.float32)}
    found = top(scores, 2, "click")
    assert (found.task, found.positions.tolist()) == ("click", [1, 3])
    assert found.scores["buy"].tolist() == [2, 4]
    assert len(found) == 2
    for task, told in ((None, "by which task"), ("clicks", "did you mean 'click'")):
        with pytest.raises(DataError, match=told):
            top(scores, 2, task)
    with pytest.raises(DataError, match="has 3 scores for each candidate"):
        top({"kind": np.zeros((4, 3), np.float32)}, 1, None)
    with pytest.raises(DataError, match="must not be negative"):
        top(scores, -1, "buy")


def test_top_k_of_a_predictor_is_the_order_of_its_scores(plain):
    scores = plain.predict(USER, ITEMS, CONTEXT)["click"]
    found = plain.top_k(USER, ITEMS, 2, CONTEXT)
    assert found.positions.tolist() == np.argsort(-scores, kind="stable")[:2].tolist()
    np.testing.assert_array_equal(found.scores["click"], scores[found.positions])
    assert found.keys is None


def test_top_k_of_keys_names_them(cached):
    cached.catalogue = Catalogue(cached, ITEMS, key="item_id")
    found = cached.top_k(USER, ["i3", "i1", "i2"], 3, CONTEXT)
    assert [["i3", "i1", "i2"][n] for n in found.positions] == found.keys


# ----------------------------------------------------------------------------------------- deadline, awaited


class Ticking:
    """A clock that is a second later at every look."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        self.now += 1.0
        return self.now


def test_a_deadline_is_looked_at_between_stages(plain):
    course = Course(2500.0, Ticking())
    with pytest.raises(DeadlineError, match="2500 ms passed in the stage 'features'") as caught:
        plain._stages.answer(USER, ITEMS, CONTEXT, course)
    assert caught.value.stage == "features"
    assert course.times == {"items": 1.0, "user": 1.0, "features": 1.0}
    assert course.left_s == 0.0


def test_without_a_deadline_none_passes(plain):
    course = Course(None, Ticking())
    staged = plain._stages.answer(USER, ITEMS, CONTEXT, course)
    assert set(course.times) == {"items", "user", "features", "lookup", "program"}
    assert course.left_s is None
    np.testing.assert_array_equal(staged.scores["click"], plain.predict(USER, ITEMS, CONTEXT)["click"])


def test_scores_within_the_deadline_are_those_without(plain):
    expected = plain.predict(USER, ITEMS, CONTEXT)["click"]
    np.testing.assert_array_equal(plain.predict(USER, ITEMS, CONTEXT, deadline_ms=60_000)["click"], expected)
    with pytest.raises(DeadlineError):
        plain.predict(USER, ITEMS, CONTEXT, deadline_ms=1e-6)
    with pytest.raises(DeadlineError):
        plain.top_k(USER, ITEMS, 1, CONTEXT, deadline_ms=1e-6)


def test_awaited_answers_are_the_others(toys, plain):
    async def ask(predictor):
        awaited = [predictor.predict_async({**USER, "level": n % 5}, ITEMS, CONTEXT) for n in range(20)]
        return await asyncio.gather(*awaited)

    with Predictor.load(toys("deepfm").bundle, verify=False, sessions=3) as predictor:
        found = asyncio.run(ask(predictor))
        assert predictor._group.sessions == 3
    for n, scores in enumerate(found):
        expected = plain.predict({**USER, "level": n % 5}, ITEMS, CONTEXT)["click"]
        np.testing.assert_array_equal(scores["click"], expected)


def test_an_awaited_request_that_waits_too_long_is_never_begun(toys):
    with Predictor.load(toys("deepfm").bundle, verify=False, sessions=1) as predictor:
        busy, go = threading.Event(), threading.Event()

        async def ask():
            def hold():
                busy.set()
                go.wait(30)

            first = asyncio.ensure_future(predictor._group.run(hold, Course()))
            await asyncio.to_thread(busy.wait, 30)
            with pytest.raises(DeadlineError):
                await predictor.predict_async(USER, ITEMS, CONTEXT, deadline_ms=20)
            go.set()
            await first
            await predictor.predict_async(USER, ITEMS, CONTEXT, deadline_ms=60_000)

        asyncio.run(ask())
        assert predictor.stats.requests == 1
    with pytest.raises(RunError, match="was closed"):
        asyncio.run(predictor.predict_async(USER, ITEMS, CONTEXT))


def test_an_awaited_error_is_raised(plain):
    with pytest.raises(DataError, match="the column is missing"):
        asyncio.run(plain.predict_async({"user_id": "u1"}, ITEMS, CONTEXT))


# ----------------------------------------------------------------------------------------------- explained


def test_explained_scores_are_the_others_and_tell_why(plain):
    items = [*ITEMS, {**ITEM, "cate": "car"}]
    told = plain.predict({**USER, "level": None}, items, CONTEXT, explain=True)
    np.testing.assert_array_equal(told.scores["click"], plain.predict({**USER, "level": None}, items, CONTEXT)["click"])
    assert told.features.num_rows == 4
    np.testing.assert_array_equal(
        told.features["price"].values, plain.features({**USER, "level": None}, items, CONTEXT)["price"].values
    )
    assert {(d.side, d.column, tuple(d.rows)) for d in told.defaults} == {
        ("user", "level", (0,)),
        ("item", "price", (2,)),
    }
    assert told.defaults[0].features == {"level": "0", "level_x_cate": ""}
    assert told.unknown == {"cate": 1, "click_seq__cate": 1}
    assert told.missing == {"level": 1, "price": 1}
    text = str(told)
    for word in ("stage", "program", "total", "click", "price", "level='0'", "unknown", "click_seq__item_id"):
        assert word in text


def test_bad_values_are_told_where_they_take_the_default(toys):
    with Predictor.load(toys("deepfm").bundle, verify=False, bad_values="default") as predictor:
        told = predictor.predict(USER, [ITEM, {**ITEM, "score": "much"}], CONTEXT, explain=True)
        assert [(bad.column, bad.row) for bad in told.bad] == [("score", 1)]
        assert "much" in str(told)
        assert predictor.stats.bad == {"score": 1}


def test_limits_hold_for_rows_too(toys, toy_rows):
    with Predictor.load(toys("deepfm").bundle, verify=False, limits=Limits(items=10, text_bytes=50)) as predictor:
        predictor.predict_batch(toy_rows(10))
        with pytest.raises(DataError, match="at most 10 are allowed"):
            predictor.predict_batch(toy_rows(11))
        rows = toy_rows(10).to_pylist()
        with pytest.raises(DataError, match="has 60 bytes, but at most 50 are allowed"):
            predictor.predict_batch([*rows[1:], {**rows[0], "item_id": "i" * 60}])
        assert predictor.stats.refused == 2


# ------------------------------------------------------------------------------------------------- users


def test_a_cached_user_scores_and_counts_as_one_that_is_computed(toys, plain, toy_rows):
    rows = toy_rows(30, seed=4)
    with Predictor.load(toys("din").bundle, verify=False) as computed, Predictor.load(toys("din").bundle) as cached:
        cached.user_cache = UserCache("user_id", age_s=3600)
        for _ in range(2):
            for n in range(0, 30, 3):
                user = rows.slice(n, 1).select(["user_id", "level", "click_seq__item_id", "click_seq__cate"])
                items, context = rows.slice(0, 7).select(COLUMNS), rows.slice(n, 1).select(["scene"])
                for form in (user, user.to_pylist()[0]):
                    a, b = (p.predict(form, items, context) for p in (cached, computed))
                    np.testing.assert_array_equal(a["click"], b["click"])
        assert cached.stats == computed.stats
        assert cached.user_cache.stats.hits


@pytest.mark.parametrize(
    "change",
    [{"level": 3}, {"user_id": "u2"}, {"click_seq": USER["click_seq"][:2]}, {"click_seq": []}, {"level": "2.0"}],
)
def test_a_user_that_has_changed_is_computed_anew(plain, cached, change):
    cached.user_cache = UserCache("user_id", age_s=3600)
    cached.predict(USER, ITEMS, CONTEXT)
    cached.predict(USER, ITEMS, CONTEXT)
    assert (cached.user_cache.stats.hits, cached.user_cache.stats.misses) == (1, 1)
    try:
        expected = plain.predict({**USER, **change}, ITEMS, CONTEXT)["click"]
    except DataError:
        with pytest.raises(DataError):
            cached.predict({**USER, **change}, ITEMS, CONTEXT)
        return
    np.testing.assert_array_equal(cached.predict({**USER, **change}, ITEMS, CONTEXT)["click"], expected)
    assert cached.user_cache.stats.misses == 2
    cached.predict(USER, ITEMS, {"scene": "search"})
    assert cached.user_cache.stats.misses == 3
    assert cached.user_cache.stats.rows == (2 if "user_id" in change else 1)


def test_users_grow_old_and_make_room():
    now = [0.0]
    cache = UserCache(rows=2, age_s=10.0, now=lambda: now[0])
    made = []

    def get(key, content=b""):
        return cache.get(key, content, lambda: made.append(key) or KnownUser(len(made), None)).request

    assert [get("a"), get("b"), get("a")] == [1, 2, 1]
    assert [get("c"), get("a"), get("b")] == [3, 1, 4]  # b was asked for longest ago
    assert get("b", b"other") == 5
    now[0] = 10.0
    assert get("b", b"other") == 5
    now[0] = 10.1
    assert get("b", b"other") == 6
    assert (len(cache), cache.stats.evicted) == (2, 2)
    cache.clear()
    assert len(cache) == 0
    with pytest.raises(ValueError, match="at least one row"):
        UserCache(rows=0)


def test_of_several_that_ask_for_a_user_one_computes_it():
    cache, begun, go, made = UserCache(), threading.Event(), threading.Event(), []

    def make():
        begun.set()
        go.wait(30)
        made.append(1)
        return object()

    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(cache.get, "u", b"1", make)
        assert begun.wait(30)
        others = [pool.submit(cache.get, "u", b"1", make) for _ in range(7)]
        with pytest.raises(DeadlineError):
            cache.get("u", b"1", make, timeout_s=0.01)
        go.set()
        found = {id(one.result()) for one in (first, *others)}
    assert (len(found), len(made)) == (1, 1)


def test_a_user_that_cannot_be_computed_is_not_kept(cached):
    cached.user_cache = UserCache("user_id")
    for _ in range(2):
        with pytest.raises(DataError, match="the column is missing"):
            cached.predict({"user_id": "u1"}, ITEMS, CONTEXT)
    assert (len(cached.user_cache), cached.user_cache.stats.misses) == (0, 2)


# ------------------------------------------------------------------------------------------------- items


@given(st.lists(st.lists(st.integers(0, 59), max_size=12), min_size=1, max_size=8))
@settings(max_examples=25, deadline=None)
def test_cached_items_score_as_computed_ones(toys, plain, toy_rows, requests):
    rows = toy_rows(60, seed=11).select(COLUMNS)
    with Predictor.load(toys("deepfm").bundle, verify=False) as cached:
        cached.item_cache = ItemCache(cached, "item_id", rows=20)
        for numbers in requests:
            items = rows.take(pa.array(numbers, pa.int64()))
            a, b = (p.predict(USER, items, CONTEXT)["click"] for p in (cached, plain))
            np.testing.assert_array_equal(a, b)
        assert len(cached.item_cache) <= 20


def test_an_item_that_has_changed_in_any_column_is_computed_anew(plain, cached):
    cached.item_cache = cache = ItemCache(cached, "item_id")
    cached.predict(USER, ITEMS, CONTEXT)
    cached.predict(USER, ITEMS, CONTEXT)
    assert (cache.stats.hits, cache.stats.misses, len(cache)) == (3, 3, 3)
    changed = [{**ITEMS[0], "tags": ["t2", "t1"]}, {**ITEMS[1], "price": 7.0}, {**ITEMS[2], "cate": None}]
    for items in (changed, ITEMS):
        a, b = (p.predict(USER, items, CONTEXT)["click"] for p in (cached, plain))
        np.testing.assert_array_equal(a, b)
    assert cache.stats.misses == 6


def test_with_a_version_only_key_and_version_are_compared(plain, cached):
    cached.item_cache = cache = ItemCache(cached, "item_id", version="score")
    before = cached.predict(USER, ITEMS, CONTEXT)["click"]
    changed = [{**item, "cate": "food"} for item in ITEMS]
    same_version = cached.predict(USER, [{**one, "price": 1.0 if one["price"] else None} for one in ITEMS], CONTEXT)[
        "click"
    ]
    np.testing.assert_array_equal(same_version, before)
    newer = [{**item, "score": 0.5} for item in changed]
    np.testing.assert_array_equal(
        cached.predict(USER, newer, CONTEXT)["click"], plain.predict(USER, newer, CONTEXT)["click"]
    )
    assert (cache.stats.hits, cache.stats.misses) == (3, 6)


def test_bad_items_are_told_every_time(toys, cached):
    cached.item_cache = ItemCache(cached, "item_id")
    cached.predict(USER, ITEMS[:1], CONTEXT)
    bad = [*ITEMS, {**ITEM, "item_id": "i9", "score": float("nan")}]
    for _ in range(2):
        with pytest.raises(DataError) as caught:
            cached.predict(USER, bad, CONTEXT)
        assert (caught.value.row, caught.value.column) == (3, "score")
    with Predictor.load(toys("deepfm").bundle, verify=False, bad_values="default") as lenient:
        lenient.item_cache = ItemCache(lenient, "item_id")
        for _ in range(2):
            lenient.predict(USER, bad, CONTEXT)
        assert lenient.stats.bad == {"score": 2}


def test_more_items_than_there_is_room_for_are_computed(plain, cached, toy_rows):
    cached.item_cache = ItemCache(cached, "item_id", rows=5)
    items = toy_rows(40, seed=2).select(COLUMNS)
    for _ in range(2):
        a, b = (p.predict(USER, items, CONTEXT)["click"] for p in (cached, plain))
        np.testing.assert_array_equal(a, b)
    assert len(cached.item_cache) == 5
    assert cached.item_cache.stats.evicted


def test_evicted_items_give_their_room_back(plain, cached, toy_rows):
    cached.item_cache = cache = ItemCache(cached, "item_id", rows=10)
    rows = toy_rows(3000, seed=2).select(COLUMNS)
    for start in range(0, 3000, 6):
        items = rows.slice(start, 6)
        scores = cached.predict(USER, items, CONTEXT)["click"]
        if start % 300 == 0:
            np.testing.assert_array_equal(scores, plain.predict(USER, items, CONTEXT)["click"])
    assert len(cache._store) <= 2 * 10 + 1024 + 6


def test_eight_threads_share_all_caches(plain, cached, toy_rows):
    rows = toy_rows(64, seed=3)
    items = rows.select(COLUMNS)
    expected = [plain.predict(USER, items.slice(n, 4), CONTEXT)["click"] for n in range(60)]
    cached.user_cache, cached.item_cache = UserCache("user_id"), ItemCache(cached, "item_id", rows=16)

    def ask(n):
        return n, cached.predict(USER, items.slice(n % 60, 4), CONTEXT)["click"]

    with ThreadPoolExecutor(8) as pool:
        for n, scores in pool.map(ask, range(600)):
            np.testing.assert_array_equal(scores, expected[n % 60])


def test_a_cache_of_items_needs_columns_that_are_read(cached):
    for options in ({"key": "sku"}, {"key": "item_id", "version": "updated"}):
        with pytest.raises(ConfigError, match="no feature of items reads the column"):
            ItemCache(cached, **options)
