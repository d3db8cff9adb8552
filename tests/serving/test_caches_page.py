"""The page about caches: its examples run, one after another, and its table names the calls."""

import re
from pathlib import Path

import numpy as np
import pyarrow as pa

import serving
from serving import Predictor
from serving.cache_stats import CacheStats

PAGE = (Path(__file__).parents[2] / "docs" / "guide" / "serving_caches.md").read_text(encoding="utf-8")
FEATURES = [
    {"type": "id", "name": "user_id", "expression": "user:user_id", "hash_bucket_size": 100},
    {"type": "id", "name": "item_id", "expression": "item:item_id", "hash_bucket_size": 100},
    {"type": "id", "name": "position", "expression": "item:position", "num_buckets": 10, "default_value": "0"},
    {"type": "id", "name": "scene", "expression": "context:scene", "hash_bucket_size": 10},
]


def test_the_examples_run_one_after_another(make_toy, tmp_path, monkeypatch):
    numbers = np.arange(40)
    rows = pa.record_batch(
        {
            "user_id": [f"u{n % 7}" for n in numbers],
            "item_id": [f"i{n % 9}" for n in numbers],
            "position": numbers % 10,
            "scene": ["home"] * 40,
        }
    )
    toy = make_toy({"type": "fm"}, tmp_path / "runs" / "my_shop" / "bundle", rows=rows, features=FEATURES)
    monkeypatch.chdir(tmp_path)
    user, context, keys = {"user_id": "u1"}, {"scene": "home"}, [f"i{n}" for n in range(9)]
    names = {"user": user, "context": context, "items": {"item_id": keys, "position": [0] * 9}}
    first, second, *others = re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S)
    exec(first, names)
    expected = Predictor.load(toy.bundle).predict(user, [{"item_id": k, "position": 0} for k in ("i1", "i7")], context)
    np.testing.assert_array_equal(names["scores"]["click"], expected["click"])
    names["predictor"].catalogue = serving.Catalogue(names["predictor"], {"item_id": keys}, key="item_id")
    for block in (second, *others):
        exec(block, names)
    exec(second, names)
    assert names["predictor"].user_cache.stats.misses == 1
    assert names["predictor"].item_cache is not None
    assert "program" in str(names["predictor"].predict(user, [{"item_id": "i1", "position": 1}], context, explain=True))


def test_the_page_names_all_counts_and_calls():
    told = set(re.findall(r"`(\w+)", PAGE))
    assert set(CacheStats.__dataclass_fields__) <= told
    assert {"top_k", "predict_async", "Explained", "Top", "DeadlineError", "upsert", "remove", "replace"} <= told
