"""Compression of embedding tables: how small they become, what that costs in AUC, and how long a lookup takes.

`python benchmarks/compress.py [frappe | criteo_like | criteo_sample ...] [--seeds 2021 2022 2023] [--page]`

Each model is trained once a seed and kept under `.data/compress`; every way to make its tables smaller is measured on rows
that were not learned: half of them (`valid`) are those by which `easyrec compress` chooses, the other half (`test`) tell
what was chosen. Ways that need training (`model.compress`) are trained beside it. Every measurement is a line of
`benchmarks/results/compress.jsonl`, so that a stopped script goes on where it stopped.

`criteo_like` has 26 columns of 0.4 M ids as frequent as Zipf's law says and 13 of numbers, 0.5 M rows, and a signal in every
column, in the large ones too: what compression loses of rows shows. `criteo_sample` is the small sample of Criteo's data.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import torch
from record import ROOT, data, digest, found, lines, once, section, table

import easyrec
from easyrec.config import Experiment, load_experiment
from easyrec.data import make_loader, open_sources
from easyrec.embedding.collection import BatchColumns
from easyrec.train.restore import restore
from easyrec.tune.compress.ladder import Candidate, finished, learned
from easyrec.tune.compress.measured import Bench

FOLDER = ROOT / ".data" / "compress"
BENCHMARK = "compress"
SEEDS = (2021, 2022, 2023)
TARGET, BOUND = 4.0, 0.001
ITEMS, CALLS = 200, 50
"""Rows of a lookup that is timed, and how many are."""
CODE = ("embedding/codecs", "modules/compress", "embedding/encoded.py", "tune/compress/ladder.py")
SIZES = [120_000, 80_000, 60_000, 40_000, 30_000, 20_000, 15_000, 10_000, 5_000, 4_000, 3_000, 2_000, 1_500, 1_000]
SIZES += [500, 300, 200, 100, 50, 30, 20, 10, 10, 5, 4, 3]


def criteo_like(rows: int = 500_000) -> dict[str, Any]:
    """The config of the synthetic data, which is made where it is not there."""
    folder = FOLDER / f"criteo_like-{rows}"
    if not (folder / "test.parquet").exists():
        folder.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(2026)
        total = rows + rows // 5
        logit, columns = np.full(total, -1.5), {}
        latent = np.zeros((total, 4))
        for number, size in enumerate(SIZES):
            ranks = np.minimum(rng.zipf(1.2, total) - 1, 10 * size) % size
            columns[f"c{number}"] = ids = rng.permutation(size)[ranks].astype(np.int32)
            logit += rng.normal(0, 0.25, size)[ids]
            vectors = rng.normal(0, 0.35, (size, 4))[ids]
            logit += (vectors * latent).sum(1) * (number > 0)  # with the column before
            latent = vectors
        for number in range(13):
            columns[f"n{number}"] = rng.normal(0, 1, total).astype(np.float32)
            logit += rng.normal(0, 0.15) * columns[f"n{number}"]
        columns["label"] = (rng.random(total) < 1 / (1 + np.exp(-logit))).astype(np.float32)
        held = rows // 10
        for part, place in (
            ("train", slice(0, rows)),
            ("valid", slice(rows, rows + held)),
            ("test", slice(rows + held, None)),
        ):
            chunk = pa.table({name: values[place] for name, values in columns.items()})
            pq.write_table(chunk, folder / f"{part}.parquet", row_group_size=65536)
    features = [{"type": "id", "name": f"c{n}", "num_buckets": size} for n, size in enumerate(SIZES)]
    features += [{"type": "raw", "name": f"n{n}"} for n in range(13)]
    return _config(folder, features, epochs=2, batch_size=4096)


def criteo_sample() -> dict[str, Any]:
    """The config of the sample, whose tables are far larger than what it teaches."""
    source, folder = data("criteo_sample"), FOLDER / "criteo_sample"
    names = ["label", *(f"n{n}" for n in range(13)), *(f"c{n}" for n in range(26))]
    if not (folder / "test.parquet").exists():
        folder.mkdir(parents=True, exist_ok=True)
        texts = {name: pa.string() for name in names if name.startswith("c")}
        for part, name in (("train", "train"), ("valid", "dev"), ("test", "test")):
            read = pa.csv.ReadOptions(column_names=names)
            convert = pa.csv.ConvertOptions(column_types=texts)
            rows = pa.csv.read_csv(source / f"{name}.csv", read, pa.csv.ParseOptions(delimiter="\t"), convert)
            numbers = [n for n in names if n.startswith("n")]
            for n in numbers:
                values = rows.column(n).cast(pa.float64()).to_numpy(zero_copy_only=False)
                logs = pa.array(np.log1p(np.maximum(np.nan_to_num(values), 0)).astype(np.float32))
                rows = rows.set_column(names.index(n), n, logs)
            pq.write_table(rows, folder / f"{part}.parquet")
    features = [{"type": "id", "name": f"c{n}", "hash_bucket_size": 10_000} for n in range(26)]
    features += [{"type": "raw", "name": f"n{n}"} for n in range(13)]
    return _config(folder, features, epochs=3, batch_size=256)


def _config(folder: Path, features: Sequence[Mapping[str, Any]], epochs: int, batch_size: int) -> dict[str, Any]:
    parts = {part: {"type": "parquet", "path": str(folder / f"{part}.parquet")} for part in ("train", "valid", "test")}
    return {
        "name": folder.name,
        "data": {**parts, "labels": ["label"], "batch_size": batch_size},
        "features": list(features),
        "model": {"type": "deepfm", "embedding_dim": 16, "hidden": [256, 128, 64]},
        "train": {
            "epochs": epochs,
            "sparse_optimizer": {"type": "lazy_adam", "lr": 0.001},
            "dense_optimizer": {"type": "adam", "lr": 0.001},
        },
        "eval": {"metrics": ["auc", "logloss"]},
    }


def frappe() -> Path:
    """The published settings of DeepFM."""
    data("frappe_x1")
    return ROOT / "configs" / "frappe" / "deepfm.yaml"


DATA = {"frappe": frappe, "criteo_like": criteo_like, "criteo_sample": criteo_sample}


def trained(name: str, config: Any, seed: int, settings: Mapping[str, Any]) -> tuple[Experiment, Path]:
    """A trained run, which is kept."""
    folder = FOLDER / name
    laid = {**settings, "train.seed": seed, "train.log_every": 1_000_000}
    if not (folder / "metrics.json").exists():
        easyrec.train(config, overrides=laid, run_dir=folder, resume=True, export=False, progress=False)
    return load_experiment(config, laid), folder


class Model:
    """A trained model and its held-out rows.

    Args:
        name: Of its run.
        config: What is trained.
        seed: Its seed.
        settings: Laid over the config.
        before: What another model predicts, by part, by which this one is judged.
    """

    def __init__(
        self,
        name: str,
        config: Any,
        seed: int,
        settings: Mapping[str, Any] | None = None,
        before: Mapping[str, Any] | None = None,
    ) -> None:
        self.experiment, folder = trained(name, config, seed, settings or {})
        scorer, sources = restore(self.experiment, folder), open_sources(self.experiment)
        small = load_experiment(self.experiment.resolved(), {"data.eval_batch_size": ITEMS})
        self.request = next(iter(make_loader(small, sources.test, training=False)))
        self.benches = {}
        for part, source in (("valid", sources.valid), ("test", sources.test)):
            rows = list(make_loader(self.experiment, source, training=False))
            learned_rows = iter(make_loader(self.experiment, sources.train, training=False))
            self.benches[part] = Bench(scorer, rows, learned_rows, None if before is None else before[part])

    def measure(self, candidate: Candidate) -> dict[str, Any]:
        """Size, AUC on both parts, and the time of a lookup of `ITEMS` rows."""
        laid = {**candidate.settings, "export.max_auc_drop": 1.0, "export.gate_rows": 10_000_000}
        experiment = load_experiment(self.experiment.resolved(), laid)
        told: dict[str, Any] = {}
        for part, bench in self.benches.items():
            measured = bench.measure(experiment, candidate)
            if measured.reason:
                return {"refused": measured.reason}
            told |= {"bytes": measured.bytes, f"{part}_auc": round(measured.worst_auc, 6)}
            told[f"{part}_drop"] = round(measured.worst_drop, 6)
        return {**told, "lookup_us": round(_timed(self.benches["test"].reader(experiment), self.request), 1)}


def _timed(reader: Any, batch: Any) -> float:
    """Median microseconds of a lookup."""
    columns, spent = BatchColumns(batch), []
    for _ in range(CALLS):
        started = time.perf_counter()
        reader.read(columns)
        spent.append(time.perf_counter() - started)
    return 1e6 * statistics.median(spent)


def run(name: str, seed: int, *, retrain: bool) -> None:
    """All that is measured of a data set with a seed."""
    config = DATA[name]()
    code = [
        path for part in CODE for path in sorted((ROOT / "easyrec" / part).glob("*.py")) or [ROOT / "easyrec" / part]
    ]
    key = digest(load_experiment(config).to_yaml().replace(str(ROOT), ""), code)
    plain = [Candidate("fp32", {"tables": "fp32", "compress": []}), *finished()]
    wide = learned(_plan(config), TARGET) if retrain else []
    if all(found(BENCHMARK, f"{key}-{c.name}", seed) for c in [*plain, *wide]):
        return
    model = Model(f"{name}-{seed}", config, seed)
    for candidate in plain:
        about = {"data": name, "candidate": candidate.name}
        print(once(BENCHMARK, f"{key}-{candidate.name}", seed, about, lambda c=candidate: model.measure(c)), flush=True)
    before = {part: bench.before for part, bench in model.benches.items()}
    for candidate in wide:
        about = {"data": name, "candidate": candidate.name}

        def measured(c: Candidate = candidate) -> dict[str, Any]:
            settings = {f"model.{key}": value for key, value in c.model.items()}
            other = Model(f"{name}-{seed}-{c.name.replace(' ', '-')}", config, seed, settings, before)
            return other.measure(Candidate(c.name, c.export))

        print(once(BENCHMARK, f"{key}-{candidate.name}", seed, about, measured), flush=True)


def _plan(config: Any) -> Any:
    from easyrec.embedding.plan import plan_embeddings  # noqa: PLC0415 (torch-free, and only here)

    experiment = load_experiment(config)
    return plan_embeddings(experiment.generator.outputs, experiment.model)


def rows_of_page() -> list[dict[str, Any]]:
    """Means over the seeds."""
    rows = []
    every = [line for line in lines(BENCHMARK) if "refused" not in line]
    for name in DATA:
        mine = [line for line in every if line["data"] == name]
        base = {line["seed"]: line for line in mine if line["candidate"] == "fp32"}
        for candidate in dict.fromkeys(line["candidate"] for line in mine):
            runs = [line for line in mine if line["candidate"] == candidate and line["seed"] in base]
            if not runs:
                continue
            mean = {
                k: statistics.mean(r[k] for r in runs)
                for k in ("bytes", "test_auc", "test_drop", "valid_drop", "lookup_us")
            }
            worst = max(r["test_drop"] for r in runs)
            times = statistics.mean(base[r["seed"]]["bytes"] / r["bytes"] for r in runs)
            rows.append(
                {
                    "data": name,
                    "tables": candidate,
                    "seeds": str(len(runs)),
                    "MiB": f"{mean['bytes'] / 2**20:.3f}",
                    "times smaller": f"{times:.2f}",
                    "test AUC": f"{mean['test_auc']:.5f}",
                    "lost": f"{mean['test_drop']:.5f}",
                    "most": f"{worst:.5f}",
                    "lookup of 200 rows, us": f"{mean['lookup_us']:.0f}",
                }
            )
    return rows


def main() -> None:
    """Measure, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="*", choices=[*DATA, []], help="which data sets [all]")
    parser.add_argument("--seeds", nargs="*", type=int, default=list(SEEDS))
    parser.add_argument("--retrain", action="store_true", help="also what must be trained anew")
    parser.add_argument("--page", action="store_true", help="write the table into docs/benchmarks.md")
    args = parser.parse_args()
    torch.set_num_threads(1)
    for name in args.data or (() if args.page else DATA):
        for seed in args.seeds:
            run(name, seed, retrain=args.retrain)
    rows = rows_of_page()
    table(rows)
    if args.page:
        section("compress", rows)


if __name__ == "__main__":
    main()
