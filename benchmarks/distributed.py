"""Two single-threaded workers beside one: the training step on tables that they share, each worker on a core of its own.

`python benchmarks/distributed.py [--runs 5] [--steps 30] [--kinds row,auto,table,data_parallel,dynamic,stored]`

The tables, the dense part and the batches of `embedding_step.py`: 26 id features with 2.0 M rows in all, dim 16, ids by
Zipf's law, an MLP 256-128-64, lazy Adam. `1 worker` learns from batches of 4,096 rows by itself. Two workers learn from the
same batches, half of each apiece (`2 x 2,048`), or from twice as many rows (`2 x 4,096`). Bar: 1.7 times the rows per second
of one. Those `apart` are two processes that know nothing of each other: what this machine gives two at best, so the
share of it that workers reach is told too. `dynamic` is by keys, with room for all ids, and `stored` by row with a quarter of
the rows in memory; both have one worker of their own kind beside them. `processor` is the time that one worker computes for a
thousand rows of its own: it tells what sharing costs where the machine is busy and the clock says little. `x by processor` is
what two would be beside one if nobody ever waited.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from embedding_step import BATCH, ROWS, batches, our_layers, plan
from record import interleave, save, section, table
from torch import Tensor, nn

from easyrec.batch import Batch, Jagged
from easyrec.config.train import LazyAdam
from easyrec.embedding.collection import EmbeddingCollection
from easyrec.embedding.sharded import ShardedCollection
from easyrec.embedding.sharding import kinds_of
from easyrec.embedding.spec import EmbeddingPlan, KeySpec
from easyrec.embedding.tiers import Store, bytes_of
from easyrec.processors import this_worker
from easyrec.train.memory import kept_memory
from easyrec.train.turns import add_up_gradients
from easyrec.workers import Workers

BAR = 1.7
APART = "apart"


def part(batch: Batch, start: int, stop: int) -> Batch:
    """Some rows of a batch with an id per feature."""
    sparse = {name: Jagged(column.values[start:stop]) for name, column in batch.sparse.items()}
    labels = {name: values[start:stop] for name, values in batch.labels.items()}
    return Batch(stop - start, batch.dense[start:stop].contiguous(), batch.dense_slices, sparse, labels=labels)


def tables_of(kind: str, workers: Workers) -> EmbeddingCollection:
    """The tables of one worker, or of all."""
    whole, storage = plan(), None
    if kind == "dynamic":
        room = {
            table.name: 16 + 5 * table.rows // 4 for table in whole.tables if table.rows > 1
        }  # others are of numbers
        moved = tuple(replace(t, rows=room[t.name], keys=t.name) if t.name in room else t for t in whole.tables)
        whole = EmbeddingPlan(moved, whole.groups, tuple(KeySpec(name, rows) for name, rows in room.items()))
    if kind == "stored":
        storage = Store(bytes_of(whole, "lazy_adam") // (4 * workers.size), Path(tempfile.gettempdir()))
    if not workers.several:
        return EmbeddingCollection(whole, LazyAdam(), seed=1, threads=1, storage=storage)
    kinds = kinds_of(whole, lambda name: "row" if kind in ("dynamic", "stored") else kind)
    return ShardedCollection(whole, LazyAdam(), 0.0, 1, 1, workers, kinds, storage)


def work(kind: str, rows: int, steps: int) -> dict[str, float]:
    """Learn, as one worker of a job; what the first one measured."""
    workers = Workers(*this_worker())
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[workers.local]})
    torch.set_num_threads(1)
    processes = workers.size
    if kind == APART:
        workers = Workers()
    workers.join(600.0)
    torch.manual_seed(1)
    dense = our_layers()
    parameters: list[Tensor] = list(dense.parameters())
    optimizer = torch.optim.Adam(parameters, 1e-3, fused=True)
    tables = tables_of(kind, workers)
    start = workers.rank * rows if workers.size * rows <= BATCH else 0
    data = [part(batch, start, start + rows) for batch in batches(steps + 3)]
    if workers.size * rows > BATCH and workers.rank:
        data = data[::-1]  # other rows than the first worker's
    seconds, began = [], 0.0
    for number, batch in enumerate(data):
        if number == 3:
            began = time.process_time()
        at = time.perf_counter()
        workers.sum([1.0, batch.size])  # as the trainer asks whether all go on
        logit = dense(tables.lookup(batch).flat("deep")).squeeze(1)
        loss = nn.functional.binary_cross_entropy_with_logits(logit, batch.labels["click"]) / workers.size
        loss.backward()
        add_up_gradients(workers, parameters, [loss.item()], idle=False)
        optimizer.step()
        optimizer.zero_grad()
        tables.apply_gradients(1e-3)
        seconds.append(time.perf_counter() - at)
    processor = time.process_time() - began
    workers.leave()
    step = statistics.median(seconds[3:])
    return {
        "k/s": round(rows * processes / step / 1000, 2),
        "best k/s": round(rows * processes / min(seconds[3:]) / 1000, 2),
        "step ms": round(1000 * step, 2),
        "processor ms/k": round(1e6 * processor / (rows * steps), 2),
    }


def launched(workers: int, kind: str, rows: int, steps: int) -> dict[str, float]:
    """Start workers, and read what the first one wrote."""
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(workers)]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "told.json"
        words += [__file__, "--kind", kind, "--rows", str(rows), "--steps", str(steps), "--out", str(out)]
        subprocess.run(words, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, stderr=subprocess.DEVNULL)
        told: dict[str, float] = json.loads(out.read_text())
        return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--kinds", default="row,auto,table,data_parallel")
    parser.add_argument("--page", action="store_true", help="write the table into docs/benchmarks.md")
    for name in ("--kind", "--rows", "--out"):  # of a worker that this script starts
        parser.add_argument(name, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.out:
        with kept_memory():  # as the trainer does
            told = work(arguments.kind, int(arguments.rows), arguments.steps)
        if this_worker()[0] == 0:
            Path(arguments.out).write_text(json.dumps(told))
        return
    entries = {"1 worker": partial(launched, 1, "", BATCH, arguments.steps)}
    for rows in (BATCH // 2, BATCH):
        entries[f"2 x {rows:,}, {APART}"] = partial(launched, 2, APART, rows, arguments.steps)
    for kind in arguments.kinds.split(","):
        if kind in ("dynamic", "stored"):
            entries[f"1 worker, {kind}"] = partial(launched, 1, kind, BATCH, arguments.steps)
        for rows in (BATCH // 2, BATCH):
            entries[f"2 x {rows:,}, {kind}"] = partial(launched, 2, kind, rows, arguments.steps)
    result: dict[str, Any] = {"rows": ROWS, "batch": BATCH, "load_before": os.getloadavg()[0]}
    figures = interleave(entries, arguments.runs)

    def beside_one(name: str, told: dict[str, float]) -> dict[str, float]:
        alone = f"1 worker, {name.rpartition(', ')[2]}"
        one = figures[alone if alone in figures else "1 worker"]
        computing = int(name[0]) * one["processor ms/k"] / told["processor ms/k"]
        return {"x": round(told["k/s"] / one["k/s"], 2), "x by processor": round(computing, 2)}

    result["contestants"] = {name: {**told, **beside_one(name, told)} for name, told in figures.items()}
    result["load_after"] = os.getloadavg()[0]
    shown = [{"contestant": name, **told} for name, told in result["contestants"].items()]
    table(shown)
    if arguments.page:
        section("distributed", shown)
    ours = [kind for kind in arguments.kinds.split(",") if f"1 worker, {kind}" not in figures]
    half, best = (
        max((result["contestants"][f"2 x {rows:,}, {kind}"]["x"] for kind in ours), default=0.0)
        for rows in (BATCH // 2, BATCH)
    )
    for rows, reached in ((BATCH // 2, half), (BATCH, best)):
        most = result["contestants"][f"2 x {rows:,}, {APART}"]["x"]
        print(f"two processes apart on {rows:,} rows reach {most} x: workers reach {reached / most:.0%} of that")
    result["bar"] = {"two workers on the batches of one, times one": half, "bar": BAR, "met": half >= BAR}
    print(f"{'met    ' if half >= BAR else 'not met'}  {BAR} x: {half}")
    save("distributed", result)


if __name__ == "__main__":
    main()
