"""How many of the first five items have the category and the price that a question asks for, with and without `filters`.

python benchmarks/rag_guide.py [--questions 400]
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from record import save

from easyrec.data.shop import generate
from rag.config import load_rag
from rag.items import add_items
from rag.rag import Rag

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "examples" / "shopping_guide"))
FIRST = 5
FORMS = {
    "english": "a {name} between {low} and {high} euros",
    "chinese": "{low}到{high}元的{name}",
}


def questions(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Questions with what they ask for; at least five items have it."""
    draw = np.random.default_rng(seed)
    shop = generate(100, 0)
    prices: dict[int, list[float]] = {}
    for cate, price in zip(shop.items["cate"].to_pylist(), shop.items["price"].to_pylist(), strict=True):
        prices.setdefault(cate, []).append(price)
    made: list[dict[str, Any]] = []
    rows = [row for row in shop.categories.to_pylist() if len(prices.get(row["cate"], ())) >= 2 * FIRST]
    while len(made) < count:
        row = rows[int(draw.integers(len(rows)))]
        language, kind = str(draw.choice(list(FORMS))), str(draw.choice(["name", "other"]))
        own = sorted(prices[row["cate"]])
        start = int(draw.integers(len(own) - FIRST))
        low, high = int(own[start]), int(own[min(len(own) - 1, start + FIRST + 2)]) + 1
        name = row[language + ("" if kind == "name" else "_paraphrase")]
        text = FORMS[language].format(name=name, low=low, high=high)
        made.append({"text": text, "cate": row["english"], "low": low, "high": high, "kind": kind})
    return made


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--questions", type=int, default=400)
    parser.add_argument("--dry", action="store_true", help="write no result")
    args = parser.parse_args()
    from catalogue import catalogue  # noqa: PLC0415 (an example)

    asked = questions(args.questions)
    found: dict[str, Any] = {"questions": len(asked)}
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "items.parquet"
        pq.write_table(catalogue(), table)
        items = {
            "path": str(table),
            "text": "{title}\n{category}, {department}\nprice: {price} euros\ngood for: {tags}",
            "facts": ["price", "category", "department"],
        }
        filters = {
            "type": "filters",
            "numbers": {"price": ["euros", "元"]},
            "names": ["category", "department"],
        }
        for name, steps in {"words": ["search", "answer"], "filters": [filters, "search", "answer"]}.items():
            config = load_rag(
                {
                    "knowledge": {"path": f"{folder}/kb"},
                    "items": items,
                    "search": {"mode": "keyword", "k": FIRST},
                    "pipeline": steps,
                    "llm": {"base_url": "http://127.0.0.1:9/v1", "model": "none"},
                }
            )
            with Rag(config) as rag:
                assert config.items is not None
                add_items(rag.base, config.items)
                right: dict[str, list[float]] = {"name": [], "other": []}
                for question in asked:
                    hits = rag.search(question["text"]).hits
                    fit = [
                        question["cate"] in hit.part.facts["category"]
                        and question["low"] <= hit.part.facts["price"][0] <= question["high"]  # type: ignore[operator]
                        for hit in hits
                    ]
                    right[question["kind"]].append(sum(fit) / FIRST)
            found[name] = {kind: sum(values) / len(values) for kind, values in right.items()}
    print(json.dumps(found, indent=1))
    if not args.dry:
        save("rag_guide", found)


if __name__ == "__main__":
    main()
