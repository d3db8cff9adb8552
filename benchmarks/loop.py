"""The closed loop: a simulated world asks an engine, clicks, and what it did is learned; beside it the same with a frozen model.

    python benchmarks/loop.py                       # 14 days, a shift of all tastes in the middle
    python benchmarks/loop.py --seeds 1 2 3 --page

Both arms meet the same requests and begin with the same model. Simulated time stands still while a version is made, which
takes seconds: of the loop's parts all are real, the engine behind HTTP, its log, the joiner, the trainer, the gate, deltas and the
swap in the running engine. What is told is the expected CTR of the lists, without the noise of clicks, beside that of the
best lists there are; `efficiency` is their ratio. New items have their share of exposure where on their first day they are shown at
least half as often as the mean item (`newcomers_share`), and nine of ten of them at least a tenth as often (`newcomers_shown`).

An arm of a seed that has ended is kept in .data/loop, so that a run that was stopped goes on with the next one.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from record import ROOT, kept, save, section, table

import easyrec
from easyrec.loop.config import LoopConfig, load_loop
from easyrec.loop.status import status_of
from easyrec.loop.worker import ModelWorker, join
from easyrec.simulate.bootstrap import bootstrap
from easyrec.simulate.client import EnginePolicy
from easyrec.simulate.config import SimulateConfig, load_simulate
from easyrec.simulate.events import Clicks
from easyrec.simulate.policy import Answers
from easyrec.simulate.run import write_table
from easyrec.simulate.simulation import Simulation
from easyrec.simulate.world import Requests

SIZE, HOUR = 10, 3_600_000
ARMS = ("frozen", "online")
BARS = {"after_shift": 1.15, "recovered": 0.8, "newcomers_share": 0.5, "newcomers_shown": 0.9}
NEW_DAYS = 1
"""An item younger than this is new."""


def world(seed: int, args: argparse.Namespace) -> SimulateConfig:
    """The world of a seed."""
    return load_simulate(
        {
            "name": "loop",
            "world": {
                "seed": seed,
                "users": args.users,
                "items": args.items,
                "days": args.days,
                "new_items_per_day": args.new_items,
                "segments": 4,
                "categories": 12,
                "brands": 30,
                "ctr": 0.15,
                "taste": 2.0,
                "quality": 0.3,
                "position_bias": 0.5,
                "shift": {"day": args.days // 2},
            },
            "drive": {"requests_per_day": args.requests, "size": SIZE, "concurrency": 4, "timeout_s": 60.0},
            "bootstrap": {"days": 3, "requests_per_day": args.requests, "policy": {"type": "segments", "explore": 0.2}},
        }
    )


def engine(folder: Path, port: int, bundle: str, deltas: str | None) -> Path:
    """The config of the engine."""
    model = {"name": "ranker", "bundle": bundle, **({} if deltas is None else {"deltas": deltas})}
    config = {
        "port": port,
        "watch_s": 0.2,
        "catalogue": {"source": {"path": str(folder / "items.parquet")}, "key": "item_id", "refresh_s": 0.5},
        "events": {"click": 1.0, "buy": 2.0},
        "record": {"path": str(folder / "record"), "file_s": 0.2},
        "limits": {"deadline_ms": 30_000, "queue": 256},
        "models": [model],
        "scenes": [
            {
                "name": "feed",
                "size": SIZE,
                "deadline_ms": 20_000,
                "recall": [
                    {"type": "popular", "count": 250},
                    {"type": "cold_start", "name": "cold", "count": 2, "below": 40},
                ],
                "merge": {"count": 300, "quotas": {"cold": 2}},
                "filters": [{"type": "seen", "what": ["clicked"], "within_s": 259_200}],
                "rank": {"model": "ranker", "score": "click", "columns": {"position": 0}},
                "rerank": [
                    {"type": "slots", "slots": [{"positions": [7], "source": "cold"}]},
                    {"type": "epsilon", "share": 0.1, "pool": 60},
                ],
                "fallback": "popular",
            }
        ],
    }
    path = folder / "engine.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def loop(folder: Path, args: argparse.Namespace) -> LoopConfig:
    """The config of the loop."""
    return load_loop(
        {
            "experiment": str(folder / "experiment.yaml"),
            "start": str(folder / "runs" / "ranker"),
            "state": str(folder / "loop"),
            "logs": {"exposures": str(folder / "record")},
            "join": {
                "lateness": "10m",
                "idle": "1h",
                "labels": [{"name": "click", "window": "30m"}],
            },
            "samples": str(folder / "samples"),
            "train": {
                "every": f"{60 * args.every - 30}m",  # samples of a pause end some minutes sooner or later
                "min_rows": 500,
                "replay": {"share": 0.5, "age": "12h"},
                "overrides": {
                    "train.epochs": args.epochs,
                    "train.sparse_optimizer.lr": args.rate,
                },
            },
            "gate": {"metric": "auc", "max_drop": 0.1, "share": 0.15, "refused": "again"},
            "publish": {"to": str(folder / "served"), "full_every": 8},
            "keep": 12,
        }
    )


class Watched:
    """Asks the engine; before each pause of simulated time that is over, lets the loop learn. Notes what lists are worth.

    Args:
        policy: The engine.
        simulation: The world.
        every: Milliseconds of simulated time between pauses.
        learn: What is done then.
    """

    def __init__(self, policy: EnginePolicy, simulation: Simulation, every: int, learn: Any) -> None:
        self.policy, self.simulation, self.every, self.learn = policy, simulation, every, learn
        self.next: int | None = None
        self.seen: list[tuple[int, float, float, int]] = []
        self.fresh = np.zeros(len(simulation.world.items), np.int64)  # how often each item was shown on its first day

    def recommend(self, requests: Requests, size: int) -> Answers:
        now = int(requests.time[0])
        if self.next is None:
            self.next = now + self.every
        while now >= self.next:
            self.learn()
            self.next += self.every
        answers = self.policy.recommend(requests, size)
        place = self.simulation.world
        worth = place.truth(requests, answers.items, self.simulation.history)
        _, best = place.best(requests, size, self.simulation.history)
        age = requests.time[:, None] - place.items.birth[np.maximum(answers.items, 0)]
        new = (answers.items >= 0) & (age < NEW_DAYS * 24 * HOUR)
        np.add.at(self.fresh, answers.items[new], 1)
        for row, moment in enumerate(requests.time.tolist()):
            self.seen.append((moment, float(worth[row]), float(best[row]), int(new[row].sum())))
        return answers

    def observe(self, clicks: Clicks) -> None:
        self.policy.observe(clicks)


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def answering(port: int) -> str:
    """The version of the model that the engine answers with."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        text = answer.read().decode()
    found = re.search(r'easyrec_model_info\{[^}]*version="([0-9a-f]+)"', text)
    return found[1] if found else ""


def experiment(folder: Path, config: SimulateConfig) -> dict[str, Any]:
    """The ranker: who the user is and what the item is, nothing of what the user did before."""
    users, items = 10 * config.world.users, 10 * config.world.num_items
    ages = [20, 25, 30, 36, 43, 52, 62]
    return {
        "name": "ranker",
        "data": {
            "train": {"type": "parquet", "path": str(folder / "train.parquet")},
            "labels": ["click"],
            "batch_size": 256,
            "event_time": "time",
        },
        "features": [
            {"type": "id", "name": "user_id", "expression": "user:user_id", "hash_bucket_size": users},
            {"type": "raw", "name": "age", "expression": "user:age", "boundaries": ages},
            {"type": "id", "name": "gender", "expression": "user:gender", "vocab_list": ["female", "male"]},
            {"type": "id", "name": "level", "expression": "user:level", "num_buckets": 5},
            {"type": "id", "name": "item_id", "expression": "item:item_id", "hash_bucket_size": items},
            {"type": "id", "name": "cate", "expression": "item:cate", "num_buckets": config.world.categories},
            {"type": "id", "name": "brand", "expression": "item:brand", "num_buckets": config.world.brands},
            {
                "type": "id",
                "name": "position",
                "expression": "item:position",
                "num_buckets": SIZE,
                "default_value": "0",
            },
        ],
        "model": {"type": "deepfm", "embedding_dim": 16, "hidden": [64, 32]},
        "train": {
            "epochs": 2,
            "sparse_optimizer": {"type": "lazy_adam", "lr": 0.003},
            "dense_optimizer": {"type": "adam", "lr": 0.002},
            "checkpoint": {"best": False, "keep": 1},
        },
        "export": {"runtimes": ["kernels"]},
    }


def begin(folder: Path, config: SimulateConfig) -> None:
    """A world's catalogue and first log, and the model that both arms begin with."""
    bootstrap(config, folder, overwrite=True)
    (folder / "experiment.yaml").write_text(yaml.safe_dump(experiment(folder, config)))
    easyrec.train(folder / "experiment.yaml", run_dir=folder / "runs" / "ranker", progress=False)


class Served:
    """An engine in a process of its own, and what it answers with.

    Args:
        folder: Where its files are.
        bundle: What it begins with.
        deltas: Where deltas come; None: it is frozen.
    """

    def __init__(self, folder: Path, bundle: Path, deltas: Path | None) -> None:
        self.port = free_port()
        config = engine(folder, self.port, str(bundle), None if deltas is None else str(deltas))
        command = [sys.executable, "-m", "easyrec", "engine", "serve", "-c", str(config)]
        self._errors = (folder / "engine.log").open("w")
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(command, cwd=ROOT, stderr=self._errors, env=environment)

    def wait(self, digest: str) -> None:
        """Wait until it answers with a bundle."""
        end = time.monotonic() + 120
        while not digest.startswith(answering(self.port) or "-"):
            if time.monotonic() > end:
                raise TimeoutError(f"the engine does not take {digest[:12]}")
            time.sleep(0.05)

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(60)
        self._errors.close()


class Learning:
    """The loop, one pause of simulated time after another.

    Args:
        config: The loop's.
    """

    def __init__(self, config: LoopConfig) -> None:
        self.config, self.worker, self.seconds = config, ModelWorker(config), list[float]()
        self.worker.begin()
        self.worker.once()
        self.served: Served | None = None

    def __call__(self) -> None:
        """Join, train, publish, and wait for the engine to take it."""
        assert self.served is not None
        time.sleep(0.8)  # the engine shows its files
        versions, before, begun = self.worker.versions, self.worker.versions.served, time.monotonic()
        join(self.config, until_end=True)
        while self.worker.once():
            pass
        if versions.served is not None and versions.served != before:
            self.served.wait(str((versions.read(versions.served, "publish") or {})["bundle"]))
            self.seconds.append(time.monotonic() - begun)


def run(arm: str, seed: int, args: argparse.Namespace) -> dict[str, Any]:
    """All days of an arm."""
    config, begun = world(seed, args), time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix=f"loop-{arm}-"))
    begin(folder, config)
    learning = Learning(loop(folder, args)) if arm == "online" else None
    if learning is None:
        served = Served(folder, folder / "runs" / "ranker" / "bundle", None)
    else:
        served = learning.served = Served(folder, folder / "served" / "current", folder / "served" / "deltas")
    simulation = Simulation(config)
    drive = config.drive.model_copy(update={"url": f"http://127.0.0.1:{served.port}"})
    policy = EnginePolicy(simulation.world, drive, "loop")
    watched = Watched(policy, simulation, args.every * HOUR, learning or (lambda: None))
    days = []
    try:
        policy.check(120.0)
        for day in range(config.world.days):
            items = simulation.world.items.table(simulation.world.clock.begin(day + 1) - 1)
            write_table(folder / "items.parquet", items)
            time.sleep(1.5)  # the engine reads them
            days.append(simulation.run_day(day, watched))
            print(f"  seed {seed} {arm} day {day}: {told(days[-1])}", flush=True)
    finally:
        served.close()
        policy.close()
    status = {} if learning is None else status_of(learning.config)
    history = status.get("history", [])
    if not args.keep:
        shutil.rmtree(folder, ignore_errors=True)
    return {
        "days": days,
        "hours": by_hours(watched.seen, simulation.world.clock.start, args.every),
        "seconds": round(time.monotonic() - begun, 1),
        "versions": sum(one["result"] == "published" for one in history),
        "refused": [one["why"] for one in history if one["result"] == "refused"],
        "swap_seconds": round(statistics.median(learning.seconds), 2) if learning and learning.seconds else None,
        "counts": status.get("counts", {}),
        "errors": sum(day["errors"] for day in days),
        **newcomers(watched),
    }


def newcomers(watched: Watched) -> dict[str, float]:
    """How often items were shown on their first day, beside what would be their part of all that is shown."""
    place = watched.simulation.world
    last = max(one[0] for one in watched.seen)
    born = (place.items.birth >= place.clock.start) & (place.items.birth < last - 24 * HOUR)
    live = statistics.mean(place.items.live(int(one[0])) for one in watched.seen[:: max(1, len(watched.seen) // 100)])
    days = (last - place.clock.start) / (24 * HOUR)
    part = SIZE * len(watched.seen) / days / live  # of an item in a day, if all were shown alike
    shown = watched.fresh[born]
    return {
        "newcomers": int(born.sum()),
        "newcomers_shown": round(float((shown >= part / 10).mean()), 4),
        "newcomers_share": round(float(shown.mean() / part), 4),
    }


def told(day: dict[str, Any]) -> str:
    """A day in a line."""
    names = ("expected_ctr", "oracle_ctr", "new_share", "p50_ms", "errors")
    return ", ".join(f"{name} {day[name]}" for name in names)


def by_hours(seen: list[tuple[int, float, float, int]], start: int, every: int) -> list[dict[str, float]]:
    """Figures of each stretch of simulated time between two pauses."""
    moments = np.array([one[0] for one in seen])
    worth, best, new = (np.array([one[at] for one in seen], float) for at in (1, 2, 3))
    place = (moments - start) // (every * HOUR)
    return [
        {
            "hour": int(number * every),
            "expected_ctr": round(float(worth[place == number].mean()) / SIZE, 5),
            "efficiency": round(float(worth[place == number].sum() / best[place == number].sum()), 5),
            "new_share": round(float(new[place == number].mean()) / SIZE, 5),
        }
        for number in np.unique(place)
    ]


def judged(frozen: dict[str, Any], online: dict[str, Any], args: argparse.Namespace) -> dict[str, Any]:
    """What the bars are about."""
    shift = args.days // 2

    def efficiency(arm: dict[str, Any], first: float, last: float) -> float:
        """Of the stretches that begin within some hours."""
        return statistics.mean(one["efficiency"] for one in arm["hours"] if first <= one["hour"] < last)

    at = 24 * shift
    before, drop = efficiency(online, at - 24, at), efficiency(online, at, at + args.every)
    within = efficiency(online, at + 24, at + 30)
    after = [sum(day["expected_ctr"] for day in arm["days"][shift:]) / (args.days - shift) for arm in (frozen, online)]
    return {
        "after_shift": round(after[1] / after[0], 4),
        "frozen_ctr": round(after[0], 5),
        "online_ctr": round(after[1], 5),
        "before": round(before, 4),
        "dropped_to": round(drop, 4),
        "a_day_later": round(within, 4),
        "recovered": round((within - drop) / max(before - drop, 1e-9), 4),
        "newcomers_share": online["newcomers_share"],
        "newcomers_shown": online["newcomers_shown"],
        "versions": online["versions"],
        "refused": len(online["refused"]),
        "swap_seconds": online["swap_seconds"],
        "errors": frozen["errors"] + online["errors"],
    }


def main() -> None:
    """Run both arms of all seeds, judge, print and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--days", type=int, default=14)
    parser.add_argument("--requests", type=int, default=3000, help="a day")
    parser.add_argument("--users", type=int, default=600)
    parser.add_argument("--items", type=int, default=300)
    parser.add_argument("--new-items", type=int, default=6, help="a day")
    parser.add_argument("--every", type=int, default=2, help="simulated hours between versions")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--rate", type=float, default=0.01, help="of the tables, when the loop trains")
    parser.add_argument("--keep", action="store_true", help="keep the folders")
    parser.add_argument("--page", action="store_true", help="write the table into docs/benchmarks.md")
    args = parser.parse_args()
    about = {key: value for key, value in vars(args).items() if key not in ("seeds", "keep", "page")}
    name = "-".join(str(value) for value in about.values())
    rows, results = [], {}
    for seed in args.seeds:
        arms: dict[str, Any] = {}
        for arm in ARMS:
            arms[arm] = kept("loop", f"{arm}-{seed}-{name}", lambda arm=arm, seed=seed: run(arm, seed, args))
        found = judged(arms["frozen"], arms["online"], args)
        rows.append({"seed": seed, **found})
        results[str(seed)] = {"judged": found, **arms}
    table(rows)
    passed = {bar: all(row[bar] >= least for row in rows) for bar, least in BARS.items()}
    print(json.dumps({"bars": BARS, "passed": passed}))
    save("loop", {"config": about, "bars": BARS, "passed": passed, "seeds": results})
    if args.page:
        section("loop", rows)


if __name__ == "__main__":
    main()
