"""Rankers that learn from clicks that hang on positions, judged by clicks that do not: in a simulated world both are known.

    python benchmarks/position_bias.py
    python benchmarks/position_bias.py --seeds 1 2 3 --requests 20000

The log comes from a policy that ranks by what it has seen so far, so good items and high positions go together. Three
rankers learn from it: `naive` takes clicks as they are; `position` has the position as a feature, which is 0 for everybody
when it is asked; `weighted` gives clicks the weight 1 / chance that the position is looked at, 5 at most. Each then ranks
candidates of the next day: what its lists are truly worth, and the AUC of its scores on clicks of candidates that stand
alone on top. `best` knows the world's own chances.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from record import save, section, table
from sklearn.metrics import roc_auc_score

import easyrec
from easyrec.data.shop.draws import Draws
from easyrec.simulate import Simulation, World, load_simulate
from easyrec.simulate.bootstrap import Kept, sample_table
from easyrec.simulate.config import PolicyConfig
from easyrec.simulate.policy import SegmentsPolicy
from easyrec.simulate.world import top_k

SIZE, CANDIDATES, ASKED, DAYS = 10, 50, 3000, 2
CLIP = 5.0
RANKERS = ("naive", "position", "weighted")


def log(seed: int, requests: int) -> tuple[World, pa.Table]:
    """A world, and the rows that days under a simple policy leave."""
    config = load_simulate(
        {
            "world": {
                "seed": seed,
                "users": 3000,
                "items": 600,
                "ctr": 0.1,
                "quality": 0.8,
                "days": DAYS + 1,
                "fatigue": 0.0,
            },
            "drive": {"size": SIZE, "requests_per_day": requests},
        }
    )
    simulation = Simulation(config)
    kept = Kept(SegmentsPolicy(simulation.world, PolicyConfig(type="segments", explore=0.2, pool=50)))
    for day in range(DAYS):
        simulation.run_day(day, kept)
    simulation.finish(kept)
    return simulation.world, sample_table(simulation.world, kept.requests, kept.answers, kept.events)


def experiment(world: World, ranker: str, seed: int) -> dict[str, Any]:
    """The config of a ranker."""
    features = [
        {"type": "id", "name": "user_id", "expression": "user:user_id", "hash_bucket_size": 30000},
        {"type": "raw", "name": "age", "expression": "user:age", "boundaries": [20, 25, 30, 36, 43, 52, 62]},
        {"type": "id", "name": "gender", "expression": "user:gender", "vocab_list": ["female", "male"]},
        {"type": "id", "name": "level", "expression": "user:level", "num_buckets": 5},
        {"type": "id", "name": "item_id", "expression": "item:item_id", "num_buckets": len(world.items)},
        {"type": "id", "name": "cate", "expression": "item:cate", "num_buckets": world.config.categories},
        {"type": "id", "name": "brand", "expression": "item:brand", "num_buckets": world.config.brands},
    ]
    if ranker == "position":
        features.append({"type": "id", "name": "position", "expression": "item:position", "num_buckets": SIZE})
    return {
        "name": f"{ranker}-{seed}",
        "data": {
            "labels": ["click"],
            "reserved": ["row"],
            "batch_size": 1024,
            **({"sample_weight": "weight"} if ranker == "weighted" else {}),
        },
        "features": features,
        "model": {"type": "deepfm", "embedding_dim": 8, "hidden": [32], "tasks": [{"name": "ctr", "label": "click"}]},
        "train": {
            "epochs": 2,
            "seed": seed,
            "sparse_optimizer": {"type": "lazy_adam", "lr": 0.002},
            "dense_optimizer": {"type": "adam", "lr": 0.002},
            "embedding_regularizer": 1e-6,
        },
    }


def weights(world: World, rows: pa.Table) -> np.ndarray:
    """1 over the chance of a look for clicks, 1 for the rest."""
    chance = world.examination(SIZE)[rows["position"].to_numpy()]
    found: np.ndarray = np.where(rows["click"].to_numpy() == 1, np.minimum(1.0 / chance, CLIP), 1.0)
    return found


def measured(world: World, rows: pa.Table, seed: int, folder: Path) -> list[dict[str, Any]]:
    """Train all rankers, and judge them."""
    requests = world.requests(DAYS, ASKED)
    live = world.items.live(int(requests.time[0]))
    candidates = top_k(Draws("benchmark", seed, "candidates").uniform(ASKED, live), CANDIDATES)
    attraction = world.attraction(requests.user, requests.time, candidates)
    clicked = Draws("benchmark", seed, "clicks").uniform(*candidates.shape) < attraction
    user, item = np.repeat(requests.user, CANDIDATES), candidates.ravel()
    asked = {"row": np.arange(len(item)), "position": np.zeros(len(item), np.int64), "item_id": item}
    about, known = world.items.table(), world.users.table()
    asked |= {name: known[name].take(user) for name in known.column_names}
    asked |= {name: about[name].take(item) for name in ("cate", "brand", "price")}
    asked |= {"click": np.zeros(len(item), np.int64), "weight": np.ones(len(item))}

    def judged(ranker: str, score: np.ndarray) -> dict[str, Any]:
        lists = np.take_along_axis(candidates, top_k(score.reshape(candidates.shape), SIZE), axis=1)
        row = {
            "ranker": ranker,
            "seed": seed,
            "auc": round(float(roc_auc_score(clicked.ravel(), score)), 5),
            "expected_clicks": round(float(world.truth(requests, lists).mean()), 5),
        }
        print(row, flush=True)
        return row

    told = [judged("best", attraction.ravel())]
    for ranker in RANKERS:
        config = experiment(world, ranker, seed)
        train = rows.append_column("row", pa.array(np.arange(len(rows))))
        train = train.append_column("weight", pa.array(weights(world, rows)))
        run = easyrec.train(config, data={"train": train}, run_dir=folder / config["name"], progress=False)
        scored = easyrec.predict(run.path, pa.table(asked))
        score = np.empty(len(item))
        score[scored["row"].to_numpy()] = scored["ctr"].to_numpy()
        told.append(judged(ranker, score))
    return told


def main() -> None:
    """Train, judge, print and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--requests", type=int, default=20_000, help="of each of two days")
    parser.add_argument("--page", action="store_true", help="write the table into docs/benchmarks.md")
    args = parser.parse_args()
    found: list[dict[str, Any]] = []
    for seed in args.seeds:
        world, rows = log(seed, args.requests)
        print(f"seed {seed}: {len(rows):,} rows, CTR {np.mean(rows['click'].to_numpy()):.4f}", flush=True)
        folder = Path(tempfile.mkdtemp(prefix="position-bias-"))
        try:
            found += measured(world, rows, seed, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    summary = []
    naive = {row["seed"]: row for row in found if row["ranker"] == "naive"}
    for ranker in (*RANKERS, "best"):
        own = [row for row in found if row["ranker"] == ranker]
        gain = [row["expected_clicks"] / naive[row["seed"]]["expected_clicks"] - 1.0 for row in own]
        summary.append(
            {
                "ranker": ranker,
                "AUC on unbiased clicks": f"{np.mean([row['auc'] for row in own]):.4f}",
                "expected clicks of a list": f"{np.mean([row['expected_clicks'] for row in own]):.4f}",
                "more than naive": f"{100 * np.mean(gain):+.1f} %",
                "by seed": ", ".join(f"{100 * one:+.1f} %" for one in gain),
            }
        )
    table(summary)
    save("position_bias", {"requests": args.requests, "results": found, "summary": summary})
    if args.page:
        section("position bias", summary)


if __name__ == "__main__":
    main()
