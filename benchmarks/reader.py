"""The reader alone: parquet -> FeatureGenerator (encoded columns) -> Batch, beside pyarrow's scanner and a torch Dataset.

`python benchmarks/reader.py [--rows 1000000] [--runs 5] [--batch 4096]`

13 float and 26 int32 columns and a label; `list` adds a column of 50 int32 ids a row. Files are in the page cache. A
contestant's time goes from the first batch asked for to the last one received; every batch is a set of tensors, and
one element of each is read.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import torch
from record import ROOT, interleave, save, table

from easyrec.config.data import Shuffle
from easyrec.data import Demand, Loader
from easyrec.data.sources.parquet import Config
from feature_generator import FeatureGenerator

NUMERIC = [f"n{i}" for i in range(13)]
CATEGORICAL = [f"c{i}" for i in range(26)]
LENGTH = 50
BUCKETS = 100_000
SEEN_ROWS = 100_000
"""Rows that the row-wise Dataset reads of the file: it is that slow."""

BARS = {"easyrec": 2e6, "easyrec, shuffled": 1e6, "easyrec, list": 1e6}


def write(folder: Path, rows: int, codec: str) -> dict[str, Path]:
    """The files, made once."""
    paths = {kind: folder / f"{kind}-{rows}-{codec}.parquet" for kind in ("flat", "list")}
    if all(path.exists() for path in paths.values()):
        return paths
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(2026)
    columns: dict[str, Any] = {name: rng.normal(0, 1, rows).astype(np.float32) for name in NUMERIC}
    for name in CATEGORICAL:
        columns[name] = (rng.zipf(1.2, rows) % BUCKETS).astype(np.int32)
    columns["click"] = rng.integers(0, 2, rows, dtype=np.int8)
    pq.write_table(pa.table(columns), paths["flat"], compression=codec, row_group_size=1 << 17)
    steps = pa.array((rng.zipf(1.2, rows * LENGTH) % BUCKETS).astype(np.int32))
    columns["steps"] = pa.ListArray.from_arrays(pa.array(np.arange(rows + 1, dtype=np.int32) * LENGTH), steps)
    pq.write_table(pa.table(columns), paths["list"], compression=codec, row_group_size=1 << 17)
    return paths


def generator(kind: str) -> FeatureGenerator:
    features: list[dict[str, Any]] = [{"type": "raw", "name": name} for name in NUMERIC]
    features += [{"type": "id", "name": name, "num_buckets": BUCKETS} for name in CATEGORICAL]
    if kind == "list":
        features.append(
            {
                "type": "id",
                "name": "steps",
                "expression": "user:steps",
                "num_buckets": BUCKETS,
                "sequence_length": LENGTH,
            }
        )
    return FeatureGenerator.load({"features": features}, mode="encoded")


def ours(path: Path, kind: str, batch_size: int, shuffle: Shuffle | None) -> Iterator[int]:
    loader = Loader(
        Config(path=str(path)).open(), generator(kind), Demand({"click": 2}), batch_size=batch_size, shuffle=shuffle
    )
    for batch in loader:
        batch.dense[0, 0].item()
        for jagged in batch.sparse.values():
            jagged.values[0].item()
        yield batch.size


def scanner(path: Path, kind: str, batch_size: int) -> Iterator[int]:
    """The dataset scanner of pyarrow, its columns made into the same tensors."""
    names = [*NUMERIC, *CATEGORICAL, "click", *(["steps"] if kind == "list" else [])]
    for batch in ds.dataset(path).to_batches(columns=names, batch_size=batch_size):
        dense = np.stack([batch.column(name).to_numpy() for name in NUMERIC], axis=1)
        tensors = [torch.from_numpy(dense), torch.from_numpy(batch.column("click").to_numpy().astype(np.float32))]
        tensors += [torch.from_numpy(batch.column(name).to_numpy().astype(np.int64)) for name in CATEGORICAL]
        if kind == "list":
            steps = batch.column("steps")
            offsets = steps.offsets.to_numpy().astype(np.int64)
            tensors += [torch.from_numpy(steps.flatten().to_numpy().astype(np.int64)), torch.from_numpy(offsets)]
        for tensor in tensors:
            tensor.reshape(-1)[0].item()
        yield batch.num_rows


class RowWise(torch.utils.data.Dataset[dict[str, Any]]):
    """A row is a dict of numbers, as in most tutorials; the file is in memory."""

    def __init__(self, path: Path) -> None:
        rows = pq.read_table(path).slice(0, SEEN_ROWS)
        self.columns = {name: rows.column(name).to_numpy() for name in rows.column_names}

    def __len__(self) -> int:
        return len(self.columns["click"])

    def __getitem__(self, row: int) -> dict[str, Any]:
        return {name: values[row] for name, values in self.columns.items()}


def row_wise(path: Path, batch_size: int) -> Iterator[int]:
    for batch in torch.utils.data.DataLoader(RowWise(path), batch_size, shuffle=True):
        for tensor in batch.values():
            tensor[0].item()
        yield len(batch["click"])


def timed(batches: Callable[[], Iterator[int]]) -> dict[str, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    rows = sum(batches())
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {"rows/s": round(rows / wall), "rows/CPU-s": round(rows / cpu)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--batch", type=int, default=4096)
    parser.add_argument("--codec", default="zstd", choices=["zstd", "lz4", "snappy", "none"])
    args = parser.parse_args()
    torch.set_num_threads(1)
    load = round(os.getloadavg()[0], 2)
    paths = write(ROOT / ".data" / "reader", args.rows, args.codec)
    shuffle = Shuffle()
    contestants = {
        "easyrec": partial(ours, paths["flat"], "flat", args.batch, None),
        "easyrec, shuffled": partial(ours, paths["flat"], "flat", args.batch, shuffle),
        "easyrec, list": partial(ours, paths["list"], "list", args.batch, None),
        "easyrec, list, shuffled": partial(ours, paths["list"], "list", args.batch, shuffle),
        "pyarrow scanner": partial(scanner, paths["flat"], "flat", args.batch),
        "pyarrow scanner, list": partial(scanner, paths["list"], "list", args.batch),
        "torch Dataset + DataLoader, shuffled": partial(row_wise, paths["flat"], args.batch),
    }
    for run in contestants.values():  # files into the page cache
        next(iter(run()))
    medians = interleave({name: partial(timed, run) for name, run in contestants.items()}, args.runs)
    rows = [{"reader": name, **figures, "wanted": BARS.get(name, "")} for name, figures in medians.items()]
    table(rows)
    settings = {"rows": args.rows, "batch": args.batch, "codec": args.codec, "runs": args.runs, "load_before": load}
    save("reader", {**settings, "shuffle": shuffle.model_dump(), "rows_per_second": rows})


if __name__ == "__main__":
    main()
