"""The second job of `fg_throughput`: the first one's 20 features, and five of the kinds that read two sides.

A lookup of the item's category in the user's counts (20 of them), a match of category and brand in nested counts (5 x 4),
an expression over three numbers, the overlap of a query with a title, and a grouped sequence of 50 steps with three
children: item ids and categories hashed, prices into buckets. All that has several values a row is delimited text, as the
first job's is and as it leaves most feature stores. Polars has no lookups in such text: its fastest way here is to find
the key between separators and cut the number that follows; of lists it is fastest on the exploded values.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

SEP = "\x1d"
PRICES = [1.0, 5.0, 10.0, 20.0, 50.0, 100.0]
STEPS, IDS = 50, 1_000_000
CROSSED = ("lookup", "match", "expr", "overlap", "user_cate", "user_brand")
SEQUENCE = ("clicks__item", "clicks__cate", "clicks__price")


def columns(rows: int, seed: int = 1) -> dict[str, Any]:
    """The columns that the second job adds."""
    rng = np.random.default_rng(seed)
    cates, brands = [f"c{i}" for i in range(200)], [f"b{i}" for i in range(500)]
    words = [f"w{i}" for i in range(2000)]

    def counts(names: list[str], many: int) -> list[str]:
        return [
            f"{names[k]}:{n}"
            for k, n in zip(rng.choice(len(names), many, False), rng.integers(1, 99, many), strict=True)
        ]

    # A few thousand users, drawn from: the texts differ, and making them takes seconds instead of minutes.
    users = 2000
    flat = [SEP.join(counts(cates, 20)) for _ in range(users)]
    nested = [
        "|".join(f"{cates[k]}^{','.join(counts(brands, 4))}" for k in rng.choice(200, 5, False)) for _ in range(users)
    ]
    texts = [SEP.join(rng.choice(words, rng.integers(2, 6))) for _ in range(users)]
    titles = [SEP.join(rng.choice(words, rng.integers(6, 13))) for _ in range(users)]
    draw = [rng.integers(0, users, rows) for _ in range(4)]
    lengths = np.full(rows, STEPS)
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))

    def steps(values: Any) -> pa.Array:
        texts = pc.cast(pa.array(values), pa.string())
        return pc.cast(pc.binary_join(pa.LargeListArray.from_arrays(offsets, texts), ";"), pa.string())

    return {
        "kv": pa.array(flat).take(pa.array(draw[0])),
        "nested": pa.array(nested).take(pa.array(draw[1])),
        "query": pa.array(texts).take(pa.array(draw[2])),
        "title": pa.array(titles).take(pa.array(draw[3])),
        "cate": pa.array(cates).take(pa.array(rng.integers(0, 200, rows))),
        "brand": pa.array(brands).take(pa.array(rng.integers(0, 500, rows))),
        "age": pa.array(rng.integers(10, 80, rows).astype(np.float64)),
        "price": pa.array(rng.lognormal(2, 1, rows)),
        "ctr": pa.array(rng.random(rows)),
        "uid": pa.array(rng.integers(0, 10_000_000, rows)),
        "clicks__iid": steps(rng.integers(0, 10_000_000, rows * STEPS)),
        "clicks__cate": steps(np.array(cates, object)[rng.integers(0, 200, rows * STEPS)]),
        "clicks__price": steps(np.round(rng.lognormal(2, 1, rows * STEPS), 2)),
    }


def features() -> list[dict[str, Any]]:
    """The features that the second job adds."""
    return [
        {"type": "lookup", "name": "lookup", "map": "user:kv", "key": "item:cate"},
        {"type": "match", "name": "match", "nested_map": "user:nested", "pkey": "item:cate", "skey": "item:brand"},
        {
            "type": "expr",
            "name": "expr",
            "expression": "log(price + 1) * ctr - sigmoid((age - 30) / 10)",
            "variables": ["user:age", "item:price", "item:ctr"],
        },
        {
            "type": "overlap",
            "name": "overlap",
            "query": "user:query",
            "title": "item:title",
            "method": "query_common_ratio",
        },
        {"type": "combo", "name": "user_cate", "expression": ["user:uid", "item:cate"], "hash_bucket_size": IDS},
        {"type": "combo", "name": "user_brand", "expression": ["user:uid", "item:brand"], "hash_bucket_size": IDS},
        {
            "type": "sequence",
            "name": "clicks",
            "sequence_length": STEPS,
            "features": [
                {"type": "id", "name": "item", "expression": "item:iid", "hash_bucket_size": IDS},
                {"type": "id", "name": "cate", "expression": "item:cate", "hash_bucket_size": 1000},
                {"type": "raw", "name": "price", "expression": "item:price", "boundaries": PRICES},
            ],
        },
    ]


def found(text: pl.Expr, key: pl.Expr) -> pl.Expr:
    """What follows `key` in `text`, up to the end; null where it is not there."""
    at = text.str.find(key, literal=True)
    return pl.when(at.is_not_null()).then(text.str.slice(at + key.str.len_bytes()))


def polars_rows() -> list[pl.Expr]:
    """The features of one value a row, as polars expressions."""
    number = r"^([0-9.]+)"
    flat = pl.concat_str(pl.lit(SEP), "kv")
    lookup = found(flat, pl.concat_str(pl.lit(SEP), "cate", pl.lit(":"))).str.extract(number).cast(pl.Float32)
    outer = pl.concat_str(pl.lit("|"), "nested")
    inner = found(outer, pl.concat_str(pl.lit("|"), "cate", pl.lit("^"))).str.extract(r"^([^|]*)")
    match = found(pl.concat_str(pl.lit(","), inner), pl.concat_str(pl.lit(","), "brand", pl.lit(":")))
    query, title = pl.col("query").str.split(SEP), pl.col("title").str.split(SEP)
    common = query.list.set_intersection(title).list.len() / query.list.n_unique()
    sigmoid = 1 / (1 + (-(pl.col("age") - 30) / 10).exp())
    return [
        lookup.fill_null(0).alias("lookup"),
        match.str.extract(number).cast(pl.Float32).fill_null(0).alias("match"),
        ((pl.col("price") + 1).log() * pl.col("ctr") - sigmoid).cast(pl.Float32).alias("expr"),
        common.cast(pl.Float32).alias("overlap"),
        (pl.concat_str("uid", "cate", separator="_").hash() % IDS).alias("user_cate"),
        (pl.concat_str("uid", "brand", separator="_").hash() % IDS).alias("user_brand"),
    ]


def polars_steps(frame: pl.DataFrame) -> list[pl.Series]:
    """The children of the sequence: polars is fastest on the flat values, whose offsets do not change."""
    flat = [frame[name].str.split(";").explode() for name in ("clicks__iid", "clicks__cate", "clicks__price")]
    edges = pl.Series(PRICES)
    made = pl.select(
        (pl.lit(flat[0]).hash() % IDS).alias("item"),
        (pl.lit(flat[1]).hash() % 1000).alias("cate"),
        pl.lit(edges).search_sorted(pl.lit(flat[2]).cast(pl.Float64), side="right").alias("price"),
    )
    return made.get_columns()
