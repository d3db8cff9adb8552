"""The cost of training on long sequences: search first, or attend to all.

`OMP_WAIT_POLICY=PASSIVE python benchmarks/long_sequences.py [--runs 5] [--threads 2] [--only din "sim hard"]`

One step is lookup, forward, backward and the update of tables and layers, for 64 rows whose sequences have 1,000 or 10,000
steps: an item of 500,000 (by Zipf's law) and its category of 200, 16 numbers each; a user has 20 categories, of which the
candidate's is one. `din` attends to all steps with the attention unit of its paper; the others as their pages say, 50 steps
kept where they search. Batches are ready in memory.

Threads that wait sleep, and memory is kept, as in training. Beside the time that passes stands the processors' (`cpu ms`), which other work
on the machine disturbs less.

Bars, of the processors' time: at 10,000 steps hard search and hash search cost at most 0.2 of DIN, and 1.5 times their own cost at 1,000 steps.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from functools import partial
from typing import Any

import numpy as np
import torch
from record import interleave, save, table
from torch import nn

from easyrec import models
from easyrec.batch import Batch
from easyrec.config.model import TaskConfig
from easyrec.config.train import LazyAdam
from easyrec.embedding.collection import EmbeddingCollection
from easyrec.embedding.plan import plan_embeddings
from easyrec.train.memory import kept_memory
from feature_generator import FeatureGenerator, Ragged, Table
from feature_generator.config import member

ITEMS, CATEGORIES, OWN, DIM, BATCH, TOP = 500_000, 200, 20, 16, 64, 50
LENGTHS = (1_000, 10_000)
ENCODERS: dict[str, dict[str, Any]] = {
    "din": {"type": "din"},
    "sim hard": {"type": "sim", "by": "cate", "top": TOP},
    "eta": {"type": "eta", "by": "item", "top": TOP},
    "sim soft": {"type": "sim", "mode": "soft", "by": "item", "top": TOP},
    "sdim": {"type": "sdim"},
    "twin": {"type": "twin", "top": TOP},
}
BARS = ("sim hard", "eta")


def generator() -> FeatureGenerator:
    children = [
        {"type": "id", "name": "item", "embedding_name": "item", "num_buckets": ITEMS},
        {"type": "id", "name": "cate", "embedding_name": "cate", "num_buckets": CATEGORIES},
    ]
    features = [
        {"type": "id", "name": "user", "num_buckets": 10_000},
        {"type": "id", "name": "item", "num_buckets": ITEMS},
        {"type": "id", "name": "cate", "num_buckets": CATEGORIES},
        {"type": "sequence", "name": "seq", "features": children},
    ]
    return FeatureGenerator.load({"features": features}, mode="encoded")


def batch(generator: FeatureGenerator, length: int, seed: int) -> Batch:
    rng = np.random.default_rng(seed)
    own = np.stack([rng.choice(CATEGORIES, OWN, replace=False) for _ in range(BATCH)])
    # An item's category is its id modulo their number; popular items of each are few.
    cate = np.take_along_axis(own, rng.integers(0, OWN, (BATCH, length + 1)), axis=1)
    popularity = (rng.zipf(1.2, (BATCH, length + 1)) - 1) % (ITEMS // CATEGORIES)
    item = popularity * 7_919 % (ITEMS // CATEGORIES) * CATEGORIES + cate
    offsets = np.arange(BATCH + 1) * length
    columns = {
        "user": Ragged(rng.integers(0, 10_000, BATCH)),
        "item": Ragged(np.ascontiguousarray(item[:, -1])),
        "cate": Ragged(np.ascontiguousarray(cate[:, -1])),
        "seq__item": Ragged(item[:, :-1].reshape(-1), offsets),
        "seq__cate": Ragged(cate[:, :-1].reshape(-1), offsets),
    }
    data = Table(BATCH, columns, np.zeros((BATCH, 0), np.float32), {})
    return Batch.of(data, {"click": (rng.random(BATCH) < 0.3).astype(np.float32)}, outputs=generator.outputs)


class Contestant:
    """A model that learns.

    Args:
        generator: Its features.
        encoder: Its sequence encoder.
        threads: For tables and layers.
    """

    def __init__(self, generator: FeatureGenerator, encoder: dict[str, Any], threads: int) -> None:
        group = {"features": ["user", "item", "cate"], "sequences": [{"sequence": "seq", "encoder": encoder}]}
        keys = {"groups": {"deep": group}, "embedding_dim": DIM, "embedding_init": {"type": "normal", "std": 0.1}}
        config = member("easyrec.models", "din").Config.model_validate({**keys, "activation": "relu"})
        plan = plan_embeddings(generator.outputs, config)
        torch.manual_seed(1)
        self.tables = EmbeddingCollection(plan, LazyAdam(), seed=1, threads=threads)
        self.model = models.build(config, plan, [TaskConfig(name="click", label="click")]).train()
        self.optimizer = torch.optim.Adam(self.model.parameters(), 1e-3, fused=True)

    def step(self, data: Batch) -> tuple[float, float]:
        """Milliseconds of one step, and of the processors in it."""
        start, busy = time.perf_counter(), time.process_time()
        logit = self.model(self.tables.lookup(data))["logit"]
        nn.functional.binary_cross_entropy_with_logits(logit, data.labels["click"]).backward()
        self.tables.apply_gradients(1e-3)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return 1e3 * (time.perf_counter() - start), 1e3 * (time.process_time() - busy)

    def run(self, data: list[Batch]) -> dict[str, float]:
        """The median step."""
        self.step(data[0])
        times, busy = zip(*(self.step(each) for each in data), strict=True)
        medians = {"ms": round(statistics.median(times), 2), "cpu ms": round(statistics.median(busy), 2)}
        return {**medians, "best ms": round(min(times), 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", nargs="*", choices=sorted(ENCODERS))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    features, chosen = generator(), arguments.only or list(ENCODERS)
    data = {length: [batch(features, length, seed) for seed in range(arguments.steps)] for length in LENGTHS}
    entries = {
        (name, length): Contestant(features, ENCODERS[name], arguments.threads) for name in chosen for length in LENGTHS
    }
    before = os.getloadavg()[0]
    with kept_memory():
        figures = interleave(
            {f"{name}, {length:,}": partial(entry.run, data[length]) for (name, length), entry in entries.items()},
            arguments.runs,
        )
    short, long = LENGTHS
    rows: list[dict[str, Any]] = []
    for kind in ("ms", "cpu ms", "best ms"):
        for name in chosen:
            few, many = figures[f"{name}, {short:,}"][kind], figures[f"{name}, {long:,}"][kind]
            row = {"figure": kind, "encoder": name, f"{short:,} steps": few, f"{long:,} steps": many}
            row["times itself"] = round(many / few, 3)
            if "din" in chosen:
                row[f"of din at {long:,}"] = round(many / figures[f"din, {long:,}"][kind], 3)
            rows.append(row)
    table(rows)
    bars: dict[str, Any] = {}
    for row in rows:
        if row["figure"] == "cpu ms" and row["encoder"] in BARS and "din" in chosen:
            for what, bar in ((f"of din at {long:,}", 0.2), ("times itself", 1.5)):
                bars[f"{row['encoder']}, {what}: {bar}"] = {"measured": row[what], "met": row[what] <= bar}
    for name, result in bars.items():
        print(f"{'met    ' if result['met'] else 'not met'}  {name}: {result['measured']}")
    if not arguments.only:
        setting = {"batch": BATCH, "dim of a step": 2 * DIM, "items": ITEMS, "top": TOP, "threads": arguments.threads}
        loads = {"load_before": before, "load_after": os.getloadavg()[0]}
        save("long_sequences", {**setting, **loads, "milliseconds": figures, "ratios": rows, "bars": bars})


if __name__ == "__main__":
    main()
