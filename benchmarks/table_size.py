"""How the time of a training step grows with the rows of the tables: 1 M beside 200 M, all in memory.

`python benchmarks/table_size.py [--rows 1_000_000 200_000_000] [--steps 60] [--threads 2] [--runs 3]`

DeepFM's step (lookup, forward, backward, update of everything) over 26 features that share the rows evenly, dim 16 and row-wise
Adagrad, hidden layers 256-128-64, batches of 4,096 rows; ids as frequent as 1 / rank and scattered over their tables. The models
take turns step by step in one process; the figure is the median. 200 M rows take 14.4 GB.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import numpy as np
import torch
from record import interleave, save, section, table
from torch import nn

from easyrec import models
from easyrec.batch import Batch
from easyrec.config import load_experiment
from easyrec.embedding.collection import EmbeddingCollection
from easyrec.embedding.plan import plan_embeddings
from feature_generator import Ragged, Table

FEATURES, DIM, BATCH, SEED = 26, 16, 4096, 2026
PRIME = 2_654_435_761  # scatters ranks over a table
BAR = 1.6


class Contestant:
    """A model over tables of so many rows in all."""

    def __init__(self, rows: int, steps: int, threads: int) -> None:
        self.rows = rows // FEATURES
        config = {
            "name": "table_size",
            "data": {"train": {"type": "synthetic", "name": "shop", "rows": 1000}, "labels": ["click"]},
            "features": [
                {"type": "id", "name": f"c{i}", "expression": f"item:c{i}", "num_buckets": self.rows}
                for i in range(FEATURES)
            ],
            "model": {"type": "deepfm", "embedding_dim": DIM, "hidden": [256, 128, 64]},
            "train": {"sparse_optimizer": {"type": "rowwise_adagrad", "lr": 0.02}},
        }
        experiment = load_experiment(config)
        plan = plan_embeddings(experiment.generator.outputs, experiment.model)
        optimizer = experiment.train.sparse_optimizer
        self.tables = EmbeddingCollection(plan, optimizer, seed=SEED, threads=threads)
        self.model = models.build(experiment.model, plan, experiment.tasks)
        self.optimizer = torch.optim.Adam(self.model.parameters(), 1e-3, fused=True)
        random = np.random.default_rng(SEED)
        self.batches = [self.batch(random) for _ in range(steps)]

    def batch(self, random: np.random.Generator) -> Batch:
        ids = {}
        for i in range(FEATURES):
            rank = np.exp(random.random(BATCH) * np.log(self.rows)).astype(np.int64) - 1
            ids[f"c{i}"] = Ragged(rank * PRIME % self.rows)
        labels = {"click": (random.random(BATCH) < 0.25).astype(np.float32)}
        return Batch.of(Table(BATCH, ids, np.zeros((BATCH, 0), np.float32), {}), labels)

    def step(self, batch: Batch) -> float:
        """Seconds of one step."""
        began = time.perf_counter()
        logit: Any = self.model(self.tables.lookup(batch))["logit"]
        nn.functional.binary_cross_entropy_with_logits(logit, batch.labels["click"]).backward()
        self.tables.apply_gradients(0.02)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs=2, default=[1_000_000, 200_000_000])
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--page", action="store_true", help="write the table into docs/benchmarks.md")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    contestants = {f"{rows:,}": Contestant(rows, args.steps, args.threads) for rows in args.rows}
    for contestant in contestants.values():
        for batch in contestant.batches[:5]:
            contestant.step(batch)

    def together() -> dict[str, float]:
        spent: dict[str, list[float]] = {name: [] for name in contestants}
        for number in range(args.steps):
            for name, contestant in contestants.items():
                spent[name].append(contestant.step(contestant.batches[number]))
        return {name: 1e3 * statistics.median(times) for name, times in spent.items()}

    found = interleave({"ms a step": together}, args.runs)["ms a step"]
    small, large = found.values()
    shown = [
        {"rows": name, "ms a step": f"{ms:.2f}", "samples/s": f"{BATCH / ms * 1e3:,.0f}"} for name, ms in found.items()
    ]
    shown[1]["beside the first"] = f"{large / small:.2f}"
    table(shown)
    save("table_size", {"threads": args.threads, "bar": BAR, "growth": large / small, "ms a step": found})
    if args.page:
        section("table_size", shown)


if __name__ == "__main__":
    main()
