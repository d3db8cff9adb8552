"""The embedded shop hides three crosses, and a search finds them."""

import pyarrow as pa
import pytest

import easyrec
from easyrec.data.shop import generate

FEATURES = {
    "user_id": "user", "age": "user", "gender": "user", "city": "user", "level": "user", "item_id": "item", "cate": "item",
    "brand": "item", "tags": "item", "position": "item", "hour": "context", "weekday": "context", "scene": "context",
}  # fmt: skip


@pytest.mark.slow
def test_the_three_crosses_of_the_shop_are_found_and_buying_is_known_too_late(tmp_path):
    shop = generate(1_000_000, seed=7)
    columns = [*FEATURES, "price", "buy", "click", "timestamp"]
    features = [
        {"type": "id", "name": name, "expression": f"{side}:{name}", "hash_bucket_size": 40_000}
        for name, side in FEATURES.items()
    ]
    config = {
        "name": "shop",
        "data": {"labels": ["click"], "event_time": "timestamp"},
        "features": [*features, {"type": "raw", "name": "price", "expression": "item:price"}],
        "model": {"type": "lr"},
        "cross": {"columns": ["item:buy"], "aggregates": False},
    }
    data = {part: pa.table(shop.table(part, columns)) for part in ("train", "valid")}

    found = easyrec.cross(config, data=data, run_dir=tmp_path / "s")

    crosses = [set(p.reads) for p in found.accepted if p.kind == "cross"]
    for planted in ({"age", "cate"}, {"city", "brand"}, {"hour", "tags"}):
        assert planted in crosses
    assert len(crosses) <= 7
    assert {p.name: p.reason for p in found.proposals}["buy"].startswith("time check: ")
    assert found.quality["valid"]["auc_after"] - found.quality["valid"]["auc_before"] > 0.02
