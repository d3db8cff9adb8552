"""Swing and the cosine of items: the time for a million interactions, and beside what one would write in Python and scipy.

`python benchmarks/swing.py [--threads 2] [--runs 3]`

A synthetic log whose items and users follow power laws, and MovieLens-1M where it is here. Python counts a part of the users
in which it ends within a minute; what both find must agree. Ratios are of the seconds of all processors.
"""

from __future__ import annotations

import argparse
import os
import time
from collections import defaultdict
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from record import ROOT, interleave, save, table
from scipy.sparse import csr_matrix, diags

from easyrec.statistics import build
from easyrec.statistics._statistic import Links, Taken
from feature_generator.config import member

GROUPS = {"user": ["user_id"], "item": ["item_id"]}
KEEP = 100
PYTHON_USERS = {"power law": 20_000, "ml-1m": 300}


def statistic(name: str, threads: int, **keys: Any) -> Any:
    return build(member("easyrec.statistics", name).Config(groups=GROUPS, neighbours=KEEP, **keys), threads)


def power_law(interactions: int = 1_000_000, users: int = 60_000, items: int = 30_000) -> Taken:
    """So many different pairs of a user and an item, both drawn by power laws."""
    random = np.random.default_rng(2026)
    pairs = np.zeros(0, np.int64)
    shares = [1.0 / (np.arange(1, n + 1) + 20.0) ** 0.8 for n in (users, items)]
    while len(pairs) < interactions:
        drawn = [np.searchsorted(np.cumsum(s) / s.sum(), random.random(interactions)) for s in shares]
        pairs = np.unique(np.concatenate([pairs, drawn[0] * items + drawn[1]]))
    pairs = np.sort(random.permutation(pairs)[:interactions])
    offsets = np.searchsorted(pairs, np.arange(users + 1) * items).astype(np.int64)
    return Taken((pairs % items).astype(np.int32), offsets, items)


def ml_1m() -> Taken | None:
    folder = Path(os.environ.get("EASYREC_DATA", ROOT.parent / "shared" / "data")) / "ml-1m"
    if not folder.exists():
        return None
    log = pq.read_table(folder / "sequences.parquet").to_pandas().sort_values(["user", "pos"])
    offsets = np.concatenate([[0], np.cumsum(log.groupby("user").size())]).astype(np.int64)
    return Taken(log["item"].to_numpy(np.int32), offsets, int(log["item"].max()) + 1)


def some(taken: Taken, users: int) -> Taken:
    """A part of the users, spread over all."""
    chosen = np.linspace(0, len(taken.offsets) - 2, users).astype(np.int64)
    lists = [taken.items[taken.offsets[u] : taken.offsets[u + 1]] for u in chosen]
    return Taken(np.concatenate(lists), np.cumsum([0, *map(len, lists)]).astype(np.int64), taken.num_items)


def swing_in_python(taken: Taken) -> dict[int, dict[int, float]]:
    """What one would write: sets of items, and a dictionary of sums."""
    sets = [set(taken.items[a:b].tolist()) for a, b in zip(taken.offsets[:-1], taken.offsets[1:], strict=True)]
    takers = defaultdict(list)
    for user, items in enumerate(sets):
        for item in items:
            takers[item].append(user)
    weights = [len(items) ** -0.5 if items else 0.0 for items in sets]
    found: dict[int, dict[int, float]] = {}
    for item, users in takers.items():
        row: dict[int, float] = defaultdict(float)
        for u, v in combinations(users, 2):
            common = sets[u] & sets[v]
            part = weights[u] * weights[v] / (1.0 + len(common))
            for other in common:
                if other != item:
                    row[other] += part
        found[item] = dict(sorted(row.items(), key=lambda pair: -pair[1])[:KEEP])
    return found


def cosine_in_scipy(taken: Taken) -> csr_matrix:
    """A sparse product, scaled, and the largest entries of each row."""
    ones = np.ones(len(taken.items))
    x = csr_matrix((ones, taken.items, taken.offsets), (len(taken.offsets) - 1, taken.num_items))
    scale = diags(1.0 / np.sqrt(np.maximum(np.asarray(x.sum(0)).ravel(), 1)))
    whole = (scale @ (x.T @ x) @ scale).tocsr()
    whole.setdiag(0)
    for i in range(taken.num_items):
        row = whole.data[whole.indptr[i] : whole.indptr[i + 1]]
        if len(row) > KEEP:
            row[np.argpartition(-row, KEEP)[KEEP:]] = 0.0
    whole.eliminate_zeros()
    return whole


def timed(run: Callable[[], object]) -> dict[str, float]:
    """Seconds on the clock, and of all processors."""
    start = time.perf_counter(), time.process_time()
    run()
    return {"seconds": time.perf_counter() - start[0], "cpu": time.process_time() - start[1]}


def agree(links: Links, expected: dict[int, dict[int, float]]) -> None:
    """The same sums, in order."""
    assert links.offsets is not None
    for item, row in expected.items():
        ours = links.values[links.offsets[item] : links.offsets[item + 1]]
        np.testing.assert_allclose(ours, list(row.values()), rtol=1e-4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    rows = []
    logs = {"power law": power_law(), "ml-1m": ml_1m()}
    for name, log in logs.items():
        if log is None:
            continue
        swing, cosine = statistic("swing", args.threads), statistic("item_cf", args.threads)
        part, all_users = some(log, PYTHON_USERS[name]), statistic("swing", args.threads, max_users=1 << 30)
        agree(all_users.links(part), swing_in_python(part))
        found = interleave(
            {
                "swing": lambda log=log, swing=swing: timed(lambda: swing.links(log)),
                "item_cf": lambda log=log, cosine=cosine: timed(lambda: cosine.links(log)),
                "item_cf in scipy": lambda log=log: timed(lambda: cosine_in_scipy(log)),
                "swing of some": lambda part=part, one=all_users: timed(lambda: one.links(part)),
                "swing of some in Python": lambda part=part: timed(lambda: swing_in_python(part)),
            },
            args.runs,
        )
        seconds = {key: value["seconds"] for key, value in found.items()}
        cpu = {key: value["cpu"] for key, value in found.items()}  # a busy machine does not change these much
        rows.append(
            {
                "data": name,
                "interactions": len(log.items),
                "swing_s": seconds["swing"],
                "swing_cpu_s": cpu["swing"],
                "item_cf_s": seconds["item_cf"],
                "scipy_s": seconds["item_cf in scipy"],
                "item_cf_ratio": cpu["item_cf in scipy"] / cpu["item_cf"],
                "some": len(part.items),
                "some_s": seconds["swing of some"],
                "python_s": seconds["swing of some in Python"],
                "swing_ratio": cpu["swing of some in Python"] / cpu["swing of some"],
            }
        )
    table(rows)
    save("swing", {"threads": args.threads, "runs": args.runs, "rows": rows})


if __name__ == "__main__":
    main()
