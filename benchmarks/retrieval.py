"""A catalogue of a million items: how long embedding and indexing take, and how fast and how well HNSW finds.

`python benchmarks/retrieval.py [--page]`

Writes a synthetic shop under `.data/retrieval`: a million items in 2,000 categories, 100,000 users who like ten of them
that are near to their taste, and eight million clicks. `configs/retrieval/million.yaml` is trained on them for some steps, so that the vectors are those
of a trained tower. Then `easyrec embed` runs in a process of its own, from files to index, and the index is asked for the
100 nearest items of users, one by one, on one thread. Where others share the machine, the clock on the wall tells of them
too; processor time stands beside it. A stopped script goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from record import RESULTS, ROOT, digest, save, section, table

import easyrec

OUT = ROOT / ".data" / "retrieval"
CONFIG = ROOT / "configs" / "retrieval" / "million.yaml"
ITEMS, USERS, CATES, CLICKS = 1_000_000, 100_000, 2_000, 8_000_000
TASTES, LIKED = 8, 10
K, RECALL = 100, 0.95


MEASURED = ("easyrec/train/embed.py", "easyrec/retrieval/items.py", "easyrec/data/intake.py")
"""Files whose change makes embedding worth another look, beside those of the indexes."""


def stage(name: str, run: Callable[[], dict[str, Any]], *paths: Path) -> dict[str, Any]:
    """What a stage gave, from its file where neither the config nor these files have changed."""
    path = OUT / f"{name}-{digest(CONFIG.read_text(), paths)}.json"
    if not path.exists():
        path.write_text(json.dumps(run()))
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def prepare() -> None:
    """Write items, users and clicks: categories and users lie in one space of tastes, users like what is near."""
    if (OUT / "users.parquet").exists():
        return
    OUT.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(2026)
    shares = 1.0 / np.arange(10, CATES + 10)
    cates = np.sort(random.choice(CATES, ITEMS, p=shares / shares.sum()))
    names = random.permutation(ITEMS)  # the number of an item says nothing
    first = np.searchsorted(cates, np.arange(CATES + 1))
    items = {"item_id": np.arange(ITEMS), "cate": cates[np.argsort(names)]}
    pq.write_table(pa.table(items), OUT / "items.parquet", row_group_size=1 << 17)
    about = random.normal(size=(TASTES, CATES)).astype(np.float32)
    liked = np.empty((USERS, LIKED), np.int64)
    for start in range(0, USERS, 4000):
        chances = random.normal(size=(4000, TASTES)).astype(np.float32) @ about
        chances += np.log(np.diff(first) + 1e-9) + random.gumbel(size=chances.shape)
        liked[start : start + 4000] = np.argsort(-chances, axis=1)[:, :LIKED]  # drawn in proportion to the chances
    who = random.integers(0, USERS, CLICKS)
    cate = liked[who, (LIKED * random.random(CLICKS) ** 2).astype(np.int64)]
    size = first[cate + 1] - first[cate]
    at = first[cate] + (size * random.random(CLICKS) ** 2).astype(np.int64)
    clicks = pa.table({"user_id": who, "item_id": names[at]})
    pq.write_table(clicks.slice(2000), OUT / "clicks.parquet", row_group_size=1 << 17)
    pq.write_table(clicks.slice(0, 2000), OUT / "users.parquet")  # in random order, so that any will do


def train() -> dict[str, Any]:
    """Train the towers, or go on."""
    found = easyrec.train(CONFIG, run_dir=OUT / "run", resume=True, export=False).metrics
    return {"seconds": found["seconds"], "steps": found["best_step"], "test": found["test"]}


def embed() -> dict[str, Any]:
    """`easyrec embed` from nothing to vectors and index."""
    target = OUT / "items"
    shutil.rmtree(target, ignore_errors=True)
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.time()
    subprocess.run(
        [sys.executable, "-m", "easyrec", "embed", "-c", str(OUT / "run"), "--output", str(target)], check=True
    )
    end, after = time.time(), resource.getrusage(resource.RUSAGE_CHILDREN)
    vectors = max(path.stat().st_mtime for path in (target / "parts").glob("*.parquet")) - start
    processor = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    peak = after.ru_maxrss / 2**20
    return {"seconds": end - start, "vectors_seconds": vectors, "processor_seconds": processor, "peak_gib": peak}


def find() -> dict[str, Any]:
    """What the index finds at each setting, and at its default."""
    found = easyrec.choose_index(OUT / "run", k=K, recall=RECALL, items=OUT / "items", queries=1000, seconds=10.0)
    return {"points": found["points"], "suggested": found["suggested"], "environment": found["environment"]}


def rows(result: dict[str, Any]) -> list[dict[str, Any]]:
    """The settings of HNSW, as a table."""
    return [
        {
            "ef_search": p["config"]["ef_search"],
            "recall@100": f"{p['recall']:.4f}",
            "p50 ms": f"{p['p50_ms']:.2f}",
            "p95 ms": f"{p['p95_ms']:.2f}",
            "processor ms": f"{p['processor_ms']:.2f}",
        }
        for p in sorted(result["points"], key=lambda p: p["recall"])
    ]


def built(result: dict[str, Any]) -> list[dict[str, Any]]:
    """What embedding cost."""
    made = result["embed"]
    return [
        {
            "command": "easyrec embed",
            "items": f"{ITEMS:,}",
            "seconds": f"{made['seconds']:.0f}",
            "of these, vectors": f"{made['vectors_seconds']:.0f}",
            "processor seconds": f"{made['processor_seconds']:.0f}",
            "peak GiB": f"{made['peak_gib']:.1f}",
        }
    ]


def page() -> None:
    """Fill the page from the newest result."""
    newest = sorted(RESULTS.glob("retrieval-*.json"))
    result = json.loads(newest[-1].read_text()) if newest else {"points": []}
    section("retrieval-embed", built(result) if newest else [])
    section("retrieval-hnsw", rows(result))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--page", action="store_true", help="only write the newest result into the page")
    args = parser.parse_args()
    if args.page:
        page()
        return
    os.environ["EASYREC_RETRIEVAL"] = str(OUT)
    prepare()
    indexes = sorted((ROOT / "easyrec" / "retrieval" / "indexes").glob("*.py"))
    measured = [*indexes, *(ROOT / path for path in MEASURED)]
    trained = stage("train", train)
    made = stage("embed", embed, *measured)
    found = stage("find", find, *measured, ROOT / "easyrec" / "retrieval" / "tuning.py")
    result = {"items": ITEMS, "dim": 64, "k": K, "train": trained, "embed": made, **found}
    table(built(result))
    table(rows(result))
    save("retrieval", result)
    page()


if __name__ == "__main__":
    main()
