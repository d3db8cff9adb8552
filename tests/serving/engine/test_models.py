"""Scenes with models: scores are those of the bundles, whatever is swapped meanwhile."""

import hashlib
import json
import os
import shutil
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from serving import Predictor
from serving.engine.ask import Question
from serving.engine.record import exposure_lines
from serving.server.config import LimitsConfig
from serving.server.models import Loaded

pytestmark = pytest.mark.slow
SCORE = "ctr * pow(1 + cvr, 0.5) + 0.001 * price"


@pytest.fixture
def models(trained, tmp_path):
    """A scene of all stages, over bundles that may be swapped."""
    shutil.copytree(trained.items, tmp_path / "vectors")
    (tmp_path / "tower").write_text(str(trained.tower))
    (tmp_path / "rank").write_text(str(trained.rank))
    scene = {
        "size": 10,
        "prerank": {"model": "tower", "items": str(tmp_path / "vectors"), "count": 30},
        "rank": {"model": "rank", "score": SCORE},
    }
    recall = [
        {"type": "vector", "name": "ann", "model": "tower", "items": str(tmp_path / "vectors"), "count": 40},
        {"type": "popular", "by": "sales", "count": 60},
    ]
    config = {
        "models": [
            {"name": "tower", "bundle": str(tmp_path / "tower")},
            {"name": "rank", "bundle": str(tmp_path / "rank")},
        ],
        "history": {"type": "memory", "columns": {"clicked_items": "item_id"}},
    }
    return recall, scene, config


def test_scores_are_those_of_the_bundle(engine_of, models, trained):
    recall, scene, config = models
    engine = engine_of(recall, scene, **config)
    engine.history.add([("7", 1030, 1000, 1.0), ("7", 1031, 2000, 1.0)])
    listed = engine.recommend(Question("feed", 7, context={"hour": 9}, time=3000))
    assert listed.degraded == ()
    rows = engine.plan("").rows
    with Predictor.load(trained.rank) as predictor:
        items = rows.batch(listed.candidates.rows, ["item_id", "cate", "price"]).to_pylist()
        expected = predictor.predict({"user_id": 7, "clicked_items": [1030, 1031]}, items, {"hour": 9})
    price = np.array([item["price"] for item in items])
    score = expected["ctr"] * np.sqrt(1.0 + expected["cvr"]) + 0.001 * price
    np.testing.assert_allclose(listed.candidates.scores, score, rtol=1e-5)
    assert (np.diff(listed.candidates.scores) <= 0).all()
    once, each = listed.plan.raw(listed.ask, listed.candidates.rows)
    assert once == {"user_id": 7, "clicked_items": [1030, 1031], "hour": 9}
    assert set(each[0]) == {"item_id", "cate", "price"}
    # a list is written down though a column that a client sent is none that a model could read
    odd = Question("feed", 7, user={"clicked_items": [1, "a"]}, context={"hour": 9}, time=3000)
    listed = engine.recommend(odd)
    lines = [json.loads(line) for line in exposure_lines(listed, listed.answer(), True)]
    assert [line["item_id"] for line in lines] == [item["item_id"] for item in listed.answer()["items"]]
    assert len(lines) == 10
    assert not lines[0]["features"]


def test_the_former_tower_answers_until_its_vectors_are_replaced(engine_of, models, trained, tmp_path):
    recall, scene, config = models
    engine = engine_of(recall, scene, **config)
    service = engine.models
    before = engine.recommend(Question("feed", 7, context={"hour": 9}, time=1))
    other = tmp_path / "other_tower"
    shutil.copytree(trained.tower, other)
    manifest = json.loads((other / "manifest.json").read_text())
    manifest["tower_of"] = "f" * 64
    text = json.dumps(manifest)
    (other / "manifest.json").write_text(text)
    (other / "manifest.sha256").write_text(hashlib.sha256(text.encode()).hexdigest() + "  manifest.json\n")
    model = service.get("tower")
    model.main.swap(Loaded(other, model.config, LimitsConfig()))
    during = engine.recommend(Question("feed", 7, context={"hour": 9}, time=1))
    assert during.degraded == ()
    assert during.candidates.rows.tolist() == before.candidates.rows.tolist()
    about = json.loads((tmp_path / "vectors" / "items.json").read_text())
    about["model"] = "f" * 64
    (tmp_path / "vectors" / "items.json").write_text(json.dumps(about))
    os.utime(tmp_path / "vectors" / "items.json", ns=(time.time_ns(), time.time_ns()))
    engine.watch()
    after = engine.recommend(Question("feed", 7, context={"hour": 9}, time=1))
    assert after.degraded == ()
    held = engine.world.shared(("vectors", str(tmp_path / "vectors")), None).held
    assert held.items.model == "f" * 64


def test_an_item_that_a_model_does_not_know_yet_is_scored_by_its_columns(engine_of, models, shop):
    recall, scene, config = models
    config["catalogue"] = {"source": {"path": str(shop / "items.parquet")}, "key": "item_id", "refresh_s": 1e-9}
    config["models"][1]["catalogue"] = {
        "source": {"path": str(shop / "frozen.parquet")},
        "key": "item_id",
        "refresh_s": 0,
    }
    shutil.copy(shop / "items.parquet", shop / "frozen.parquet")
    engine = engine_of(recall, scene, **config)
    table = pq.read_table(shop / "items.parquet")
    new = pa.Table.from_pylist([{**table.slice(0, 1).to_pylist()[0], "item_id": 9999, "sales": 1e9}], table.schema)
    pq.write_table(pa.concat_tables([table, new]), shop / "items.parquet")
    os.utime(shop / "items.parquet", ns=(time.time_ns(), time.time_ns()))
    engine.watch()
    question = Question("feed", 7, context={"hour": 9}, parameters={"prerank": None, "size": 90})
    listed = engine.recommend(question)
    assert listed.degraded == ()
    rows = listed.plan.rows
    keys = rows.keys_of(listed.candidates.rows)
    assert 9999 in keys
    twin = dict(zip(keys, listed.candidates.scores.tolist(), strict=True))
    assert np.isfinite(twin[9999])
