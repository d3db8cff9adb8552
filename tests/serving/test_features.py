"""Requests that hold ids alone are scored as those that hold all columns, bit for bit; what they hold wins."""

import numpy as np
import pyarrow as pa
import pytest

from easyrec.errors import ConfigError, DataError, StoreError
from easyrec.store.definitions import load_store
from easyrec.store.writer import Writer
from serving import Catalogue, FeatureSource, Predictor, StoreFeatures, UserCache

SCENE = {"scene": "home"}
USERS = {
    "u1": {"level": 2, "click_seq__item_id": ["i1", "i2", "i3"], "click_seq__cate": ["toy", "car", None]},
    "用户": {"level": None, "click_seq__item_id": [], "click_seq__cate": []},
}
ITEMS = {
    "i1": {"cate": "toy", "tags": ["t1", "t2"], "price": 3.5, "score": 0.25},
    "i2": {"cate": "book", "tags": [], "price": None, "score": -1.5},
    "i3": {"cate": None, "tags": ["t9"], "price": 25.0, "score": 3.25},
}
NOTHING = {"cate": None, "tags": None, "price": None, "score": None}
DEFAULT = {"cate": "food", "tags": ["t1"], "price": 2.0, "score": None}
DEFINED = {
    "project": "toy",
    "online": {"type": "memory"},
    "entities": [{"name": "user", "join_id": "user_id"}, {"name": "item", "join_id": "item_id"}],
    "views": [
        {
            "name": "users",
            "entity": "user",
            "fields": [
                {"name": "level", "type": "int64"},
                {"name": "click_seq__item_id", "type": "array<string>"},
                {"name": "click_seq__cate", "type": "array<string>"},
                {"name": "nobody_reads", "type": "int64"},
            ],
        },
        {
            "name": "items",
            "entity": "item",
            "fields": [
                {"name": "cate", "type": "string", "default": "food"},
                {"name": "tags", "type": "array<string>", "default": ["t1"]},
                {"name": "price", "type": "double", "default": 2},
                {"name": "score", "type": "float"},
            ],
        },
    ],
    "models": [{"name": "ctr", "features": [{"view": "users"}, {"view": "items"}]}],
}


@pytest.fixture(scope="module")
def source():
    config = load_store(DEFINED)
    made = FeatureSource(config, "ctr")
    writer = Writer(config, made.near.store)
    kinds = {"level": pa.int64(), "score": pa.float32(), "price": pa.float64(), "cate": pa.string()}
    for view, join, rows in (("users", "user_id", USERS), ("items", "item_id", ITEMS)):
        names = next(iter(rows.values()))
        columns = {n: pa.array([row[n] for row in rows.values()], kinds.get(n, pa.list_(pa.string()))) for n in names}
        if view == "users":
            columns["nobody_reads"] = pa.nulls(len(rows), pa.int64())
        writer.publish(view, [pa.record_batch({join: list(rows), **columns})])
    return made


@pytest.fixture(scope="module")
def plain(toys):
    return Predictor.load(toys("din").bundle)


@pytest.fixture
def by_ids(toys, source):
    made = Predictor.load(toys("din").bundle)
    made.store = StoreFeatures(made, source)
    return made


def user(name, **more):
    return {"user_id": name, **USERS[name], **more}


def items(*names):
    return [{"item_id": name, **ITEMS.get(name, NOTHING)} for name in names]


def same(found, known):
    assert found.keys() == known.keys()
    for task, scores in known.items():
        np.testing.assert_array_equal(found[task], scores)


@pytest.mark.parametrize("name", USERS)
@pytest.mark.parametrize(
    "form",
    [
        list,
        pa.array,
        np.array,
        lambda ids: [{"item_id": one} for one in ids],
        lambda ids: {"item_id": list(ids)},
        lambda ids: pa.record_batch({"item_id": list(ids)}),
        lambda ids: pytest.importorskip("pandas").DataFrame({"item_id": list(ids)}),
    ],
    ids=["list", "array", "numpy", "rows", "columns", "batch", "frame"],
)
def test_ids_alone_score_as_all_columns_do(plain, by_ids, name, form):
    ids = ("i3", "i1", "nobody", "i2", "i1")
    known = plain.predict(user(name), items(*ids), SCENE)
    assert len(np.unique(known["click"])) >= 4
    same(by_ids.predict({"user_id": name}, form(ids), SCENE), known)
    same(by_ids.predict({"user_id": name}, form(ids), SCENE, deadline_ms=5000), known)


def test_columns_that_come_with_the_request_win(plain, by_ids):
    asked = items("i1", "i2")
    for item in asked:
        item["price"] = 19.0
    known = plain.predict(user("u1", level=4), asked, SCENE)
    same(by_ids.predict({"user_id": "u1", "level": 4}, [{"item_id": "i1", "price": 19.0}, {"item_id": "i2", "price": 19}], SCENE), known)  # fmt: skip
    same(by_ids.predict({"user_id": "u1", "level": 4}, {"item_id": ["i1", "i2"], "price": [19.0, 19.0]}, SCENE), known)


def test_of_a_column_that_some_rows_hold_the_others_come_from_the_store(plain, by_ids):
    asked = items("i1", "i3")
    asked[1] |= {"price": None, "tags": ["t5", "t6"], "cate": "book"}
    given = [{"item_id": "i1"}, {"item_id": "i3", "price": None, "tags": ["t5", "t6"], "cate": "book"}]
    same(by_ids.predict({"user_id": "u1"}, given, SCENE), plain.predict(user("u1"), asked, SCENE))
    with pytest.raises(
        DataError, match=r"column 'cate': is list.* in the request, which is no string as the store has it"
    ):
        by_ids.predict({"user_id": "u1"}, [{"item_id": "i1"}, {"item_id": "i3", "cate": [1]}], SCENE)


def test_a_sequence_that_comes_as_objects_wins(plain, by_ids):
    steps = [{"item_id": "i9", "cate": "book"}, {"item_id": "i8", "cate": "toy"}]
    known = plain.predict({"user_id": "u1", "level": 2, "click_seq": steps}, items("i1"), SCENE)
    same(by_ids.predict({"user_id": "u1", "click_seq": steps}, ["i1"], SCENE), known)


def test_a_user_without_an_id_is_known_by_nothing(plain, by_ids):
    nobody = {"user_id": None, "level": None, "click_seq__item_id": None, "click_seq__cate": None}
    same(by_ids.predict({"user_id": None}, ["i1"], SCENE), plain.predict(nobody, items("i1"), SCENE))


def test_an_id_that_is_missing_is_told_unless_missing_columns_take_defaults(toys, source, by_ids):
    with pytest.raises(
        DataError, match="column 'user_id': the id is missing, by which the store knows level, click_seq"
    ):
        by_ids.predict({}, ["i1"], SCENE)
    with pytest.raises(DataError, match="column 'item_id': the id is missing, by which the store knows"):
        by_ids.predict({"user_id": "u1"}, [{"price": 1.0}], SCENE)
    with pytest.raises(DataError, match="column 'scene'"):
        by_ids.predict({"user_id": "u1"}, ["i1"], {})
    lenient = Predictor.load(toys("din").bundle, missing_columns="default")
    nobody = lenient.predict({}, [{"item_id": "i1"}], SCENE)
    lenient.store = StoreFeatures(lenient, source)
    lacking = {"item_id": "i1", **NOTHING}
    same(lenient.predict({}, [lacking], SCENE), nobody)


def test_requests_that_hold_everything_ask_the_store_nothing(plain, by_ids, source, monkeypatch):
    monkeypatch.setattr(source.near.store, "read", failing)
    same(by_ids.predict(user("u1"), items("i1"), SCENE), plain.predict(user("u1"), items("i1"), SCENE))
    with pytest.raises(StoreError, match="away"):
        by_ids.predict(user("u1"), ["i1"], SCENE)


def failing(*_):
    raise StoreError("the store is away")


def test_a_store_that_fails_is_answered_with_the_fields_defaults(plain, by_ids, source, monkeypatch):
    monkeypatch.setattr(source.near.store, "read", failing)
    monkeypatch.setattr(source, "deadline_ms", 50.0)
    nobody = {"user_id": "u1", "level": None, "click_seq__item_id": None, "click_seq__cate": None}
    known = plain.predict(nobody, [{"item_id": name, **DEFAULT} for name in ("i1", "i3")], SCENE)
    before = source.readers()[1].counts()["items"].defaulted
    same(by_ids.predict({"user_id": "u1"}, ["i1", "i3"], SCENE), known)
    assert source.readers()[1].counts()["items"].defaulted == before + 2


def test_other_ways_to_ask_are_filled_up_too(plain, by_ids):
    ids, rows = ["i3", "i1"], items("i3", "i1")
    top = by_ids.top_k({"user_id": "u1"}, ids, 1, SCENE)
    assert top.keys == [ids[int(np.argmax(plain.predict(user("u1"), rows, SCENE)["click"]))]]
    table = by_ids.features({"user_id": "u1"}, ids, SCENE)
    assert table.to_arrow().equals(plain.features(user("u1"), rows, SCENE).to_arrow())
    explained = by_ids.predict({"user_id": "u1"}, ids, SCENE, explain=True)
    same(explained.scores, plain.predict(user("u1"), rows, SCENE))
    assert "store" in explained.times_ms
    asked = [({"user_id": "u1"}, ids, SCENE), (user("用户"), rows, SCENE)]
    wanted = [(user("u1"), rows, SCENE), (user("用户"), rows, SCENE)]
    for found, known in zip(by_ids.predict_together(asked), plain.predict_together(wanted), strict=True):
        same(found, known)


def test_it_works_beside_a_cache_of_users_and_a_catalogue(plain, by_ids):
    known = plain.predict(user("u1"), items("i1", "i2"), SCENE)
    by_ids.user_cache = UserCache("user_id")
    for _ in range(2):
        same(by_ids.predict({"user_id": "u1"}, ["i1", "i2"], SCENE), known)
    assert by_ids.user_cache.stats.hits == 1
    by_ids.catalogue = Catalogue(by_ids, items("i1", "i2"), key="item_id")
    same(by_ids.predict({"user_id": "u1"}, ["i1", "i2"], SCENE), known)


def test_too_many_items_are_refused_before_the_store_is_asked(by_ids, source, monkeypatch):
    monkeypatch.setattr(source.near.store, "read", failing)
    with pytest.raises(DataError, match="20,000 items"):
        by_ids.predict(user("u1"), ["i1"] * 20_000, SCENE)


def test_a_store_that_has_nothing_of_a_model_is_told(plain):
    fields = [{"name": "pricee", "type": "double"}]
    views = [{"name": "items", "entity": "item", "fields": fields}]
    config = load_store(DEFINED | {"views": views, "models": [{"name": "ctr", "features": [{"view": "items"}]}]})
    with pytest.raises(ConfigError, match="no column that features read; did you mean 'price'"):
        StoreFeatures(plain, FeatureSource(config, "ctr"))
    with pytest.raises(ConfigError, match="unknown model 'cvr'"):
        FeatureSource(load_store(DEFINED), "cvr")


@pytest.mark.parametrize("none", [[], np.zeros(0, np.int64), pa.array([], pa.string())], ids=["list", "numpy", "arrow"])
def test_no_candidates_have_no_scores(by_ids, none):
    found = by_ids.predict({"user_id": "u1"}, none, SCENE)
    assert {task: len(scores) for task, scores in found.items()} == {"click": 0}
