"""The embedded shop as the data of a first config."""

from __future__ import annotations

from typing import Any

from easyrec.starter.rows import Rows


def shop() -> Rows:
    """Features of users, items and requests, and the clicks step by step."""
    cate = {"num_buckets": 200, "embedding_name": "cate"}
    features: list[dict[str, Any]] = [
        {"type": "id", "name": "user_id", "expression": "user:user_id", "num_buckets": 20000},
        {"type": "raw", "name": "age", "expression": "user:age", "boundaries": [20, 25, 30, 36, 43, 52, 62]},
        {"type": "id", "name": "gender", "expression": "user:gender", "vocab_list": ["female", "male", "unknown"]},
        {"type": "id", "name": "city", "expression": "user:city", "num_buckets": 300},
        {"type": "id", "name": "item_id", "expression": "item:item_id", "num_buckets": 10000},
        {"type": "id", "name": "cate", "expression": "item:cate", **cate},
        {"type": "id", "name": "brand", "expression": "item:brand", "num_buckets": 2000},
        {"type": "id", "name": "tags", "expression": "item:tags", "hash_bucket_size": 1000},
        {
            "type": "raw",
            "name": "price",
            "expression": "item:price",
            "boundaries": [8, 14, 20, 27, 35, 45, 58, 75, 100],
        },
        {"type": "id", "name": "hour", "expression": "context:hour", "num_buckets": 24},
        {"type": "id", "name": "scene", "expression": "context:scene", "vocab_list": ["home", "detail", "cart"]},
        {
            "type": "sequence",
            "name": "click_seq",
            "sequence_length": 50,
            "features": [
                {"type": "id", "name": "cate", "expression": "item:cate", **cate},
                {"type": "raw", "name": "hours_ago", "expression": "user:hours_ago", "boundaries": [1, 4, 12, 48, 168]},
            ],
        },
    ]
    sides = {f["name"]: f["expression"].partition(":")[0] for f in features if "expression" in f}
    return Rows(
        sources=[
            "  # The embedded shop: data to learn with. Your own: {type: parquet, path: folder_or_file.parquet}, also csv.",
            "  train: {type: synthetic, name: shop, split: train}",
            "  valid: {type: synthetic, name: shop, split: valid}",
            "  test: {type: synthetic, name: shop, split: test}",
        ],
        labels=["click", "buy"],
        features=features,
        sides=sides,
        sequences={"click_seq": ["cate"]},
        domain=["scene"],
        user="user_id",
        reserved=["user_id", "item_id"],
        about=["From columns to ids, numbers and sequences; docs/reference/feature_generator.md has every type."],
    )
