"""`easyrec select` on the embedded shop with 30 features of noise and 10 that repeat others.

`python benchmarks/feature_selection.py [--rows 1150000] [--seed 101] [--models deepfm backbone]
[--repeats 3] [--beside gates ...] [--out FILE] [--page]`; `--of FILE ...` tells of what `--out` wrote on another machine.
`EASYREC_DEVICE=cuda` trains and measures on a GPU.

Noise: 10 columns of few ids, 10 of many, half of them met as unevenly as real ones are, and 10 numbers, all drawn
without a look at anything. Repetition: the ids of a column under other numbers, and numbers in another unit. Then the
config with all features and the selected one are trained on the raw rows, and timed in turn.
Stopped, it goes on: what is done lies in `.data/feature_selection/`.
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from record import ROOT, commit, device, interleave, machine, save, section, table

sys.path.remove(str(Path(__file__).resolve().parent))  # where `serving` is a script, and not the package

import easyrec
from easyrec.data.sources.synthetic import Config as Synthetic

FOLDER = ROOT / ".data" / "feature_selection"
PLAIN = {
    "age": 8,
    "gender": 0,
    "city": 300,
    "level": 8,
    "cate": 200,
    "brand": 2000,
    "position": 16,
    "hour": 24,
    "scene": 0,
}
"""Columns that the click model reads, as ids; of some their number."""
AGES = [20, 25, 30, 36, 43, 52, 62]
PRICES = [8, 14, 20, 27, 35, 45, 58, 75, 100, 140, 210]
ON_SALE = [1, 2, 3, 4, 6, 8, 12, 16, 24, 60]
"""Days since an item's birth day, which is what the click model reads of it: by itself the birth day tells nothing of later days."""
FEW, MANY = (2, 5, 10, 24, 60, 100, 200, 300, 500, 1000), (2000, 5000, 10_000, 20_000, 50_000)
COPIED = {"gender": 3, "city": 300, "level": 8, "cate": 200, "brand": 2000, "position": 16, "hour": 24}
"""Columns whose ids are written under other numbers, and how many there are."""
SCALED = {"age": 12.0, "price": 100.0, "days_on_sale": 24.0}
"""Columns that are written in another unit."""
METHODS = ("permutation", "gates", "variational_dropout", "group_lasso")
BLOCKS = [
    {"name": "fields", "type": "fields"},
    {"name": "linear", "type": "first_order"},
    {"name": "fm", "type": "fm", "input": "fields"},
    {"name": "deep", "type": "mlp", "input": {"type": "flat"}, "hidden": [128, 64], "dropout": 0.1},
]
MODELS: dict[str, dict[str, Any]] = {
    "deepfm": {"type": "deepfm", "hidden": [128, 64], "dropout": 0.1},
    "backbone": {"type": "backbone", "blocks": BLOCKS, "heads": [{"input": "deep", "terms": ["linear", "fm"]}]},
}


def features() -> list[dict[str, Any]]:
    """The informative features: each is read by the shop's click model, alone or in a cross."""
    ids = [{"type": "id", "name": n, "expression": f"user:{n}", "hash_bucket_size": 100} for n in ("gender", "scene")]
    sided = {"city": "user", "level": "user", "cate": "item", "brand": "item", "position": "item", "hour": "context"}
    ids += [
        {"type": "id", "name": name, "expression": f"{side}:{name}", "num_buckets": PLAIN[name]}
        for name, side in sided.items()
    ]
    return [
        *ids,
        {"type": "raw", "name": "age", "expression": "user:age", "boundaries": AGES},
        {"type": "raw", "name": "price", "expression": "item:price", "boundaries": PRICES},
        {"type": "raw", "name": "days_on_sale", "expression": "item:days_on_sale", "boundaries": ON_SALE},
        {"type": "id", "name": "tags", "expression": "item:tags", "hash_bucket_size": 1000},
        {"type": "combo", "name": "age_x_cate", "expression": ["user:age", "item:cate"], "hash_bucket_size": 20_000},
        {
            "type": "combo",
            "name": "hour_x_tag",
            "expression": ["context:hour", "item:tags"],
            "hash_bucket_size": 20_000,
        },
    ]


def added() -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
    """Features of noise, and features that repeat others, by name."""
    noise: dict[str, dict[str, Any]] = {}
    for i, size in enumerate(FEW):
        noise[f"noise_few_{i}"] = {"type": "id", "num_buckets": size}
    for i, size in enumerate(MANY * 2):
        noise[f"noise_many_{i}"] = {"type": "id", "num_buckets": size}
    for i in range(10):
        noise[f"noise_number_{i}"] = {"type": "raw", "boundaries": [round(-2 + 0.4 * k, 1) for k in range(11)]}
    repeated: dict[str, dict[str, Any]] = {
        f"{name}_again": {"type": "id", "num_buckets": size} for name, size in COPIED.items()
    }
    for (name, factor), edges in zip(SCALED.items(), (AGES, PRICES, ON_SALE), strict=True):
        repeated[f"{name}_again"] = {"type": "raw", "boundaries": [edge * factor for edge in edges]}
    return noise, repeated


def columns_of(rows: pa.Table, random: np.random.Generator, renamed: dict[str, np.ndarray]) -> pa.Table:
    """The rows with the added columns."""
    noise, _ = added()
    size = rows.num_rows
    rows = rows.append_column("days_on_sale", pc.subtract(rows.column("day"), rows.column("birth_day")))
    for i, (name, feature) in enumerate(noise.items()):
        if "boundaries" in feature:
            values: np.ndarray = random.normal(size=size)
        elif i % 2:  # as unevenly as real ids are met
            values = np.minimum(
                (random.pareto(1.0, size) * feature["num_buckets"] / 50).astype(int), feature["num_buckets"] - 1
            )
        else:
            values = random.integers(0, feature["num_buckets"], size)
        rows = rows.append_column(name, pa.array(values))
    for name, numbers in renamed.items():
        column = rows.column(name)
        if pa.types.is_string(column.type) or pa.types.is_dictionary(column.type):
            column = pc.index_in(column.cast(pa.string()), pa.array(["female", "male", "unknown"]))
        rows = rows.append_column(f"{name}_again", pa.array(numbers[column.to_numpy()]))
    for name, factor in SCALED.items():
        rows = rows.append_column(f"{name}_again", pc.multiply(rows.column(name).cast(pa.float64()), factor))
    return rows


def make(rows: int, seed: int) -> Path:
    """The shop with more columns, in parquet files."""
    folder = FOLDER / f"shop-on-sale-{rows}-{seed}"
    if (folder / "test.parquet").exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    renamed = {name: random.permutation(size) for name, size in COPIED.items()}
    names = [
        "age",
        "gender",
        "city",
        "level",
        "cate",
        "brand",
        "price",
        "tags",
        "birth_day",
        "day",
        "position",
        "hour",
        "scene",
    ]
    for part in ("train", "valid", "test"):
        source = Synthetic(type="synthetic", name="shop", split=part, rows=rows, seed=seed).open("fail")
        blocks = [batch for unit in source.units() for batch in source.read(unit, [*names, "click"])]
        pq.write_table(columns_of(pa.Table.from_batches(blocks), random, renamed), folder / f"{part}.part")
        (folder / f"{part}.part").rename(folder / f"{part}.parquet")
    return folder


def config(folder: Path, model: str, repeats: int, methods: list[str]) -> dict[str, Any]:
    """A model over all features."""
    noise, repeated = added()
    more = [{"name": name, "expression": f"item:{name}", **feature} for name, feature in (noise | repeated).items()]
    parts = {part: {"type": "parquet", "path": str(folder / f"{part}.parquet")} for part in ("train", "valid", "test")}
    return {
        "name": f"select_{model}",
        "data": {**parts, "labels": ["click"], "batch_size": 1024},
        "features": [*features(), *more],
        "model": {**MODELS[model], "embedding_dim": 16, "embedding_init": {"type": "normal", "std": 0.05}},
        "train": {
            "epochs": 1,
            **{key.removeprefix("train."): value for key, value in device().items()},
            "log_every": 1_000_000,
            "sparse_optimizer": {"type": "lazy_adam", "lr": 0.005, "schedule": {"type": "cosine"}},
            "dense_optimizer": {"type": "adam", "lr": 0.003, "schedule": {"type": "cosine"}},
        },
        "eval": {"metrics": ["auc", "logloss"]},
        "select": {
            "method": {"type": "permutation", "repeats": repeats},
            "beside": methods if model == "deepfm" else [],
            "verify": False,
        },
    }


def one(rows: int, seed: int, model: str, repeats: int, methods: list[str]) -> dict[str, Any]:
    """Select, train before and after, and time both."""
    key = FOLDER / f"{model}-{rows}-{seed}.json"
    if key.exists():
        known: dict[str, Any] = json.loads(key.read_text())
        return known
    whole = config(make(rows, seed), model, repeats, methods)
    found = easyrec.select(whole, run_dir=FOLDER / f"{model}-{rows}-{seed}")
    noise, repeated = added()
    informative = [feature["name"] for feature in features()]
    ranks = {}
    for method in found.rows[0].importance:
        ordered = sorted(found.rows, key=lambda row: -row.importance[method])
        ranks[method] = [row.name for row in ordered]
    plain = {key: value for key, value in whole.items() if key != "select"}
    told: dict[str, Any] = {}
    for name, used in (("all", plain), ("selected", found.config)):
        run = easyrec.train(used, run_dir=FOLDER / f"run-{model}-{rows}-{seed}-{name}", resume=True, export=False)
        told[name] = {part: run.metrics[part]["auc"] for part in ("valid", "test")}

    def timed(used: Any) -> dict[str, float]:
        laid = {"train.steps": 100, "train.epochs": None, "data.valid": None, "data.test": None, "train.device": "cpu"}
        run = easyrec.train(
            used, overrides=laid, run_dir=FOLDER / f"timed-{model}", overwrite=True, export=False, progress=False
        )
        timings = json.loads((run.path / "report.json").read_text())["timings"]
        return {"seconds": timings["training"] + timings["waiting for data"]}

    seconds = interleave({"all": lambda: timed(plain), "selected": lambda: timed(found.config)}, 3)
    shutil.rmtree(FOLDER / f"timed-{model}")
    result = {
        "model": model,
        "noise dropped": sum(name in found.removed for name in noise),
        "repeated dropped": sum(
            name in found.removed or name.removesuffix("_again") in found.removed for name in repeated
        ),
        "informative lost": [
            name for name in informative if name in found.removed and f"{name}_again" not in found.kept
        ],
        "kept": found.kept,
        "auc": told,
        "speed": seconds["all"]["seconds"] / seconds["selected"]["seconds"],
        "ranks": ranks,
        "reasons": {row.name: row.reason for row in found.rows},
        "seconds": {name: round(m, 1) for name, m in _seconds(found.path).items()},
    }
    key.write_text(json.dumps(result, indent=1))
    return result


def _seconds(folder: Path) -> dict[str, float]:
    names = [*METHODS, "permutation again"]
    files = {method: folder / "measured" / f"{method.replace(' ', '_')}.json" for method in names}
    return {m: json.loads(file.read_text())["value"]["seconds"] for m, file in files.items() if file.exists()}


def common(ranks: dict[str, list[str]], top: int) -> dict[str, int]:
    """Of the best features by permutation, counting a repetition as what it repeats, how many another method has among its own."""

    def best(names: list[str]) -> list[str]:
        return list(dict.fromkeys(name.removesuffix("_again") for name in names))[:top]

    first = set(best(ranks["permutation"]))
    return {method: len(first & set(best(names))) for method, names in ranks.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_150_000)
    parser.add_argument("--seed", type=int, default=101)
    parser.add_argument("--models", nargs="*", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--repeats", type=int, default=3, help="permutations of each feature")
    parser.add_argument("--beside", nargs="*", default=list(METHODS[1:]), choices=METHODS[1:])
    parser.add_argument("--out", type=Path, help="where the figures go, in the place of benchmarks/results")
    parser.add_argument("--of", type=Path, nargs="*", help="figures that were taken elsewhere")
    parser.add_argument("--commit", help="what is checked out, where there is no git")
    parser.add_argument("--page", action="store_true", help="write the tables into docs/benchmarks.md")
    parser.add_argument("--make", action="store_true", help="make the rows, and nothing else")
    args = parser.parse_args()
    if args.make:
        print(make(args.rows, args.seed))
        return
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    if args.of:
        told = [json.loads(path.read_text()) for path in args.of]
        about = {key: told[0][key] for key in ("commit", "machine", "rows")}
        results = [result for one in told for result in one["results"]]
    else:
        results = [one(args.rows, args.seed, model, args.repeats, args.beside) for model in args.models]
        about = {"commit": args.commit or commit(), "machine": machine(), "rows": args.rows}
    rows = [
        {
            "model": r["model"],
            "noise dropped": f"{r['noise dropped']} of 30",
            "repetition dropped": f"{r['repeated dropped']} of 10",
            "informative lost": f"{len(r['informative lost'])} of {len(features())}",
            "features kept": len(r["kept"]),
            "test AUC, all": f"{r['auc']['all']['test']:.5f}",
            "selected": f"{r['auc']['selected']['test']:.5f}",
            "trains, times as fast": f"{r['speed']:.2f}",
        }
        for r in results
    ]
    table(rows)
    agreement = [
        {"method": method, "of permutation's best 5": n, "of its best 10": common(r["ranks"], 10)[method]}
        | {"seconds": f"{r['seconds'][method]:.0f}"}
        for r in results
        if len(r["ranks"]) > 1
        for method, n in common(r["ranks"], 5).items()
    ]
    table(agreement)
    for r in results:
        print(f"{r['model']}: kept {', '.join(r['kept'])}; lost {', '.join(r['informative lost']) or 'none'}")
    if args.out:
        args.out.write_text(json.dumps({**about, "results": results}, indent=1) + "\n")
    else:
        save("feature_selection", {**about, "results": results})
    if args.page:
        section("feature_selection", rows)
        section("feature_selection-methods", agreement)


if __name__ == "__main__":
    main()
