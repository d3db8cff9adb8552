"""Write the catalogue of the embedded shop as `items.parquet`, with the names of categories in English and Chinese.

python examples/shopping_guide/catalogue.py items.parquet
"""

from __future__ import annotations

import sys

import pyarrow as pa
import pyarrow.parquet as pq

from easyrec.data.shop import generate


def catalogue(seed: int = 0) -> pa.Table:
    """The items (10,000), with `category` and `department` as lists of their names."""
    shop = generate(100, seed)
    rows = {row["cate"]: row for row in shop.categories.to_pylist()}
    cates = shop.items["cate"].to_pylist()
    names = [[rows[cate]["english"], rows[cate]["chinese"]] for cate in cates]
    parents = [[rows[cate]["parent_english"], rows[cate]["parent_chinese"]] for cate in cates]
    return shop.items.append_column("category", pa.array(names)).append_column("department", pa.array(parents))


if __name__ == "__main__":
    pq.write_table(catalogue(), sys.argv[1] if len(sys.argv) > 1 else "items.parquet")
