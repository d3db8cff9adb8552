"""What comes next on MovieLens-1M, MovieLens-100K and Amazon Beauty: every item is ranked for every user, the last one is the test.

`make bench-retrieval`, or `python benchmarks/next_item.py [ml-1m | beauty | ml-100k] [--only sasrec_softmax ...] [--threads 2]
[--page]`

Writes parquet under `.data/next_item/<data>`, then trains the configs in `configs/next_item/`, and in `<data>/` there what a
data set needs otherwise; `EASYREC_DEVICE=cuda` trains on a GPU. A user's last item is the
test, the one before it is valid and chooses the checkpoint; what the user had before is not recommended. A run that was
stopped goes on from its newest checkpoint under `.data/next_item/runs`; finished ones are lines of
`results/next_item.jsonl`. `--page` writes the tables of what has run into `docs/benchmarks.md`.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from record import ROOT, data, device, fingerprint, finished, once, section, table

import easyrec
from easyrec.config import load_experiment
from easyrec.config.statistic import StatisticConfig
from easyrec.errors import MissingExtra

OUT = ROOT / ".data" / "next_item"
CONFIGS = ROOT / "configs" / "next_item"
SEED = 2026
DATA = ("ml-1m", "beauty", "ml-100k")
TIMED = ("ml-100k",)
"""Data with the time of each step, on which sequences are compared with and without it."""
PUBLISHED = {  # recall@10 and ndcg@10
    ("ml-1m", "sasrec_bce"): (0.2392, 0.1259),
    ("ml-1m", "sasrec_gbce"): (0.3003, 0.1726),
    ("beauty", "sasrec_bce"): (0.0605, 0.0318),
    ("beauty", "sasrec_softmax"): (0.0859, 0.0503),
}
"""MovieLens-1M: gSASRec-pytorch; Beauty: the TIGER paper, and one reproduction with the full softmax."""
SIZES: dict[str, dict[str, Any]] = {"ml-1m": {}, "beauty": {"features[history].sequence_length": 50}, "ml-100k": {}}
"""What a data set changes in the configs."""


def names(where: str | None = None) -> list[str]:
    """The configs, of a data set; `tiger` reads what others make, and has a script of its own."""
    every = sorted(path.stem for path in CONFIGS.glob("*.yaml") if path.stem not in ("next_item", "tiger"))
    return [name for name in every if where is None or where in TIMED or not name.startswith("timed_")]


def config(where: str, name: str) -> Path:
    """The file of a model; a data set may have its own."""
    own = CONFIGS / where / f"{name}.yaml"
    return own if own.exists() else CONFIGS / f"{name}.yaml"


def histories(name: str) -> list[np.ndarray]:
    """Each user's items, oldest first; with their times, (L, 2), where these are known."""
    if name == "ml-1m":
        log = pq.read_table(data("ml-1m") / "sequences.parquet").to_pandas().sort_values(["user", "pos"])
        return [items.to_numpy(np.int64) for _, items in log.groupby("user")["item"]]
    if name == "ml-100k":
        log = np.loadtxt(data("ml-100k") / "ml-100k.inter", np.int64, skiprows=1, usecols=(0, 1, 3))
        log = log[np.lexsort((log[:, 2], log[:, 0]))]  # stable: within a second as they are listed
        log[:, 2] -= log[:, 2].min()
        return np.split(log[:, 1:], np.flatnonzero(np.diff(log[:, 0])) + 1)
    lines = (data("amazon_beauty_5core") / "sequences.txt").read_text().splitlines()
    return [np.array(line.split()[1:], np.int64) for line in lines]


def prepare(name: str) -> Path:
    """Write train, valid, test and the items; gives the folder."""
    folder = OUT / name
    if (folder / "items.parquet").exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    known = [steps for steps in histories(name) if len(steps) >= 3]
    users = [steps if steps.ndim == 1 else steps[:, 0] for steps in known]

    def write(part: str, past: list[np.ndarray], wanted: list[int] | None = None) -> None:
        listed = pa.array([items.tolist() for items in past], pa.list_(pa.int64()))
        columns = {"history__item_id": listed, "seen": listed}
        if name in TIMED:
            times = [steps[: len(items), 1].tolist() for steps, items in zip(known, past, strict=True)]
            columns["history__time"] = pa.array(times, pa.list_(pa.int64()))
        columns |= {"item_id": pa.array(wanted)} if wanted is not None else {}
        pq.write_table(pa.table(columns), folder / f"{part}.parquet", row_group_size=4096)

    write("train", [items[:-2] for items in users])
    write("valid", [items[:-2] for items in users], [int(items[-2]) for items in users])
    write("test", [items[:-1] for items in users], [int(items[-1]) for items in users])
    pq.write_table(pa.table({"item_id": np.unique(np.concatenate(users))}), folder / "items.parquet")
    return folder


def key(where: str, name: str) -> str:
    """Fingerprint of a run."""
    os.environ["EASYREC_NEXT_ITEM"] = str(OUT / where)
    experiment = load_experiment(config(where, name), SIZES[where])
    modules = ["easyrec.retrieval.ranking", "easyrec.retrieval.metrics.__init__"]
    if isinstance(experiment.model, StatisticConfig):
        return where + fingerprint(experiment, [*modules, "easyrec.train.statistics", "easyrec.export.statistic"])
    loss = getattr(experiment.model, "loss", None)
    modules += [f"easyrec.losses.sampled.{'softmax' if loss is None else loss.type}"]
    modules += ["easyrec.models._matching", "easyrec.models._sequential", "easyrec.data.matching"]
    modules += ["easyrec.data.positions", "easyrec.data.samplers._shares"]
    modules += [f"easyrec.data.samplers.{experiment.data.sampler.type}"] if experiment.data.sampler else []
    return where + fingerprint(experiment, modules)


def run(where: str, name: str, threads: int) -> dict[str, Any]:
    """One training, or what it gave before."""
    found = key(where, name)

    def train() -> dict[str, Any]:
        folder = OUT / "runs" / f"{found}"
        settings = {**SIZES[where], **device(), "train.seed": SEED, "train.threads": threads}
        result = easyrec.train(
            config(where, name), overrides=settings, run_dir=folder, resume=True, export=False
        ).metrics
        told = {f"{part}_{k}": round(v, 6) for part in ("valid", "test") for k, v in result[part].items()}
        return {
            **told,
            "best_step": result["best_step"],
            "seconds": round(result["seconds"], 1),
            "threads": str(threads),
        }

    return once("next_item", found, SEED, {"data": where, "model": name}, train)


def rows(where: str) -> list[dict[str, Any]]:
    """All that has run on a data set, the best test NDCG@10 first."""
    result = []
    for name in names(where):
        for line in finished("next_item", key(where, name), [SEED]):
            recall, ndcg = PUBLISHED.get((where, name), (None, None))
            told = {name: f"{line[f'test_{name}']:.4f}" for name in ("recall@10", "ndcg@10")}
            told |= {"coverage@10": f"{line['test_coverage@10']:.3f}", "minutes": f"{line['seconds'] / 60:.0f}"}
            told |= {
                "on": ran_on(line),
                "published": "" if recall is None else f"{recall:.4f}, {ndcg:.4f}",
            }
            result.append({"model": name, **told})
    return sorted(result, key=lambda row: row["ndcg@10"], reverse=True)


def ran_on(line: dict[str, Any]) -> str:
    """The GPU of a run, or how many cores it had."""
    return line.get("device", f"{line['threads']} core{'s' * (line['threads'] != '1')}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="*", default=DATA, choices=[*DATA, DATA], metavar=" | ".join(DATA))
    parser.add_argument("--only", nargs="*", choices=names(), metavar="CONFIG")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--page", action="store_true", help="only write the tables into docs/benchmarks.md")
    args = parser.parse_args()
    for where in args.data:
        prepare(where)
        for name in () if args.page else args.only or names(where):
            try:
                run(where, name, args.threads)
            except MissingExtra as error:  # noqa: PERF203 (hours a turn)
                print(f"{name}: {error}")
        table(rows(where))
        if args.page:
            section(f"next_item-{where}", rows(where))


if __name__ == "__main__":
    main()
