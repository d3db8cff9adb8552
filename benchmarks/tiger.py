"""TIGER on Amazon Beauty and MovieLens-1M: codes of what `sasrec_softmax` learned of the items, then a model that writes them.

`python benchmarks/tiger.py [beauty | ml-1m] [--size cpu | paper] [--quantizer rq_vae | kmeans] [--threads 2] [--minutes 90]`

Four steps, each of which is done once and stays under `.data/next_item/runs`: training of `sasrec_softmax`, vectors of the
items, their semantic ids, training of `tiger`. A run that was stopped goes on from its newest checkpoint; finished ones are
lines of `results/tiger.jsonl`, with the quality of their codes. `--users 500` cuts the data, for a look at whether all steps run.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from next_item import CONFIGS, DATA, OUT, SEED, SIZES, config, key, prepare, ran_on
from record import ROOT, device, digest, fingerprint, finished, lines, once, section, table

import easyrec
from easyrec.config import load_experiment

DEFAULT = ("beauty",)
PUBLISHED = {"beauty": (0.0648, 0.0384)}
"""recall@10 and ndcg@10 of the TIGER paper, of codes from texts of the items."""
PAPER: dict[str, Any] = {
    "model.width": 128,
    "model.layers": 4,
    "model.decoder_layers": 4,
    "model.heads": 6,
    "model.head_dim": 64,
    "model.feedforward": 1024,
    "data.batch_size": 256,
    "train.epochs": 32,
    "train.evaluate_every": {"epochs": 8},
    "train.early_stop": {"metric": "ndcg@10", "patience": 4},
    "train.dense_optimizer": {
        "type": "adam",
        "lr": 0.001,
        "schedule": {"type": "plateau", "factor": 0.3, "patience": 1, "warmup_steps": 300},
    },
}
"""The sizes are the paper's; its 200,000 steps are not: seven minutes of a GPU are 2,800."""
LONG: dict[str, dict[str, Any]] = {"beauty": {}, "ml-1m": {"model.prefixes": 24, "data.batch_size": 32}}
"""What a data set changes: users of MovieLens have 165 items each, of which a pass learns 24."""
QUANTIZERS: dict[str, dict[str, Any]] = {"kmeans": {"type": "kmeans"}, "rq_vae": {"type": "rq_vae"}}


def folder_of(where: str, users: int | None) -> Path:
    """The data, or those of some users."""
    whole = prepare(where)
    if users is None:
        return whole
    folder = OUT / f"{where}-{users}"
    if not (folder / "items.parquet").exists():
        folder.mkdir(parents=True, exist_ok=True)
        parts = {name: pq.read_table(whole / f"{name}.parquet").slice(0, users) for name in ("train", "valid", "test")}
        for name, part in parts.items():
            pq.write_table(part, folder / f"{name}.parquet")
        last = [parts[name].column("item_id").to_numpy() for name in ("valid", "test")]
        met = parts["train"].column("history__item_id").combine_chunks().flatten().to_numpy()
        pq.write_table(pa.table({"item_id": np.unique(np.concatenate([met, *last]))}), folder / "items.parquet")
    return folder


def ids_of(where: str, folder: Path, quantizer: str, changes: dict[str, Any], threads: int) -> Path:
    """The semantic ids of the items, by what `sasrec_softmax` learned of them: next_item's run where nothing is changed."""
    source = config(where, "sasrec_softmax")
    experiment = load_experiment(source, {**SIZES[where], **changes})
    run = OUT / "runs" / (f"tiger-{folder.name}-{fingerprint(experiment)}" if changes else key(where, "sasrec_softmax"))
    settings = {**SIZES[where], **changes, "train.seed": SEED, "train.threads": threads}
    if not (run / "metrics.json").exists():
        easyrec.train(source, overrides=settings, run_dir=run, resume=True, export=False)
    rows = pq.read_metadata(folder / "items.parquet").num_rows
    chosen = {**QUANTIZERS[quantizer], "codes": 256 if rows >= 2048 else rows // 8, "seed": SEED}
    code = [ROOT / "easyrec" / "retrieval" / "semantic_ids" / f"{name}.py" for name in (quantizer, "_residual")]
    path = run / f"{quantizer}-{digest(json.dumps(chosen), code)}.parquet"
    if not path.exists():
        easyrec.embed(run, index="flat", progress=False)
        easyrec.semantic_ids(run / "items", path, config=chosen)
    return path


def run(where: str, args: argparse.Namespace) -> dict[str, Any]:
    """One training, or what it gave before."""
    folder = folder_of(where, args.users)
    os.environ["EASYREC_NEXT_ITEM"] = str(folder)
    few = {"train.epochs": 2} if args.users else {}
    ids = ids_of(where, folder, args.quantizer, few, args.threads)
    told = json.loads(ids.with_suffix(".json").read_text())
    size = {**(PAPER if args.size == "paper" else {}), "model.semantic_ids.path": str(ids)}
    size["model.semantic_ids.codes"] = max(256, told["alike"])
    settings = {**SIZES[where], **LONG[where], **size, **few}
    code = fingerprint(
        load_experiment(CONFIGS / "tiger.yaml", settings),
        ["easyrec.retrieval.beam", "easyrec.retrieval.trie", "easyrec.train.codes"],
    )
    found = f"{folder.name}-{ids.parent.name[-16:]}-{ids.stem}-{code}"
    about = {"data": folder.name, "model": "tiger", "size": args.size, "quantizer": args.quantizer}

    def train() -> dict[str, Any]:
        path = OUT / "runs" / f"tiger-{found}"
        asked = {**settings, **device(), "train.seed": SEED, "train.threads": args.threads}
        if args.minutes:
            signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
            signal.alarm(60 * args.minutes)
        result = easyrec.train(CONFIGS / "tiger.yaml", overrides=asked, run_dir=path, resume=True, export=False).metrics
        signal.alarm(0)
        figures = {f"{part}_{k}": round(v, 6) for part in ("valid", "test") for k, v in result[part].items()}
        figures |= {"best_step": result["best_step"], "seconds": round(result["seconds"], 1)}
        return {**figures, "unique": round(told["unique"], 4), "alike": told["alike"]}

    return once("tiger", found, SEED, about, train)


def rows(where: str) -> list[dict[str, Any]]:
    """All that has run on a data set."""
    result = []
    for line in lines("tiger"):
        if line["data"] != where or not finished("tiger", line["fingerprint"], [SEED]):
            continue
        told = {k: f"{line[f'test_{k}']:.4f}" for k in ("recall@10", "ndcg@10")}
        told |= {"coverage@10": f"{line['test_coverage@10']:.3f}", "minutes": f"{line['seconds'] / 60:.0f}"}
        told |= {
            "on": ran_on(line),
            "unique codes": f"{line['unique']:.3f}",
            "size": line["size"],
        }
        recall, ndcg = PUBLISHED.get(where, (None, None))
        told |= {"published": "" if recall is None else f"{recall:.4f}, {ndcg:.4f}"}
        result.append({"model": f"tiger, {line['quantizer']}", **told})
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="*", default=DEFAULT, choices=[*DATA, DEFAULT], metavar=" | ".join(DATA))
    parser.add_argument("--size", default="cpu", choices=("cpu", "paper"))
    parser.add_argument("--quantizer", default="rq_vae", choices=sorted(QUANTIZERS))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--minutes", type=int, help="stop after so many; the same command goes on")
    parser.add_argument("--users", type=int, help="the first users alone, and two epochs")
    parser.add_argument("--page", action="store_true", help="only write the tables into docs/benchmarks.md")
    args = parser.parse_args()
    for where in args.data:
        if args.page:
            section(f"tiger-{where}", rows(where))
            continue
        run(where, args)
        table(rows(where if args.users is None else f"{where}-{args.users}"))


if __name__ == "__main__":
    main()
