"""The engine on a catalogue of 100,000 items: how many lists a second, how fast, with faults, and for an hour.

    python benchmarks/engine.py
    python benchmarks/engine.py --soak 3600 [--swaps 100]

The embedded shop in its large size: two towers with an index, item-to-item, popular and category recall, pre-rank of up to
2,000, rank of 300 by a model with two tasks, diversity by MMR, a feature store with the columns of users, and records of all
that is shown. The rate rises until answers are late or stages are left out; half of that is what is measured, open loop: a
request goes when it is due, whether or not others were answered, and its time counts from then. Then one source hangs and the
store takes half a second. The clients run on the same processors.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import yaml
from record import save

import easyrec
from easyrec.data.shop import generate
from easyrec.store.definitions import load_store
from easyrec.store.registry import Registry
from easyrec.store.writer import Writer
from feature_generator.config import plug

HERE = Path(__file__).resolve().parent
FAULTS = HERE / "engine_faults"
WORLD = Path(os.environ.get("EASYREC_ENGINE_WORLD", HERE.parent / "build" / "engine_world"))
ITEMS, USERS, ROWS = 100_000, 20_000, 400_000
DEADLINE_MS, SIZE = 100.0, 20
BARS = {"p50_ms": 15.0, "p99_ms": 60.0, "faults_p99_ms": DEADLINE_MS + 10.0}


# ------------------------------------------------------------------------------------------------- the world


def world() -> None:
    """Train the models and write the catalogue, once."""
    if (WORLD / "done").exists():
        return
    WORLD.mkdir(parents=True, exist_ok=True)
    os.chdir(WORLD)
    shop = generate(ROWS, 0, "large", 1)
    items = shop.catalogue.item_table()
    rng = np.random.default_rng(0)
    items = items.append_column("stock", pa.array(rng.integers(0, 20, len(items))))
    pq.write_table(items, "items.parquet")
    columns = ["user_id", "city", "item_id", "cate", "brand", "price", "hour", "position", "click", "buy", "day"]
    history = ["click_seq__item_id", "click_seq__cate"]
    rows = shop.table("all", [*columns, *history])
    clicks = rows.filter(pc.equal(rows["click"], 1))
    counts = clicks.group_by("item_id").aggregate([("click", "sum")]).rename_columns(["item_id", "score"])
    pq.write_table(counts, "popular.parquet")
    for part, first, last in (("train", 1, 28), ("valid", 29, 30)):
        days = pc.and_(pc.greater_equal(rows["day"], first), pc.less_equal(rows["day"], last))
        pq.write_table(rows.filter(days), f"{part}.parquet")
        days = pc.and_(pc.greater_equal(clicks["day"], first), pc.less_equal(clicks["day"], last))
        pq.write_table(clicks.filter(days), f"clicks_{part}.parquet")
    for name, config in configs().items():
        Path(f"{name}.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
        if not Path(f"runs/{name}/bundle").exists():
            easyrec.train(f"{name}.yaml", overwrite=True)
    easyrec.embed("runs/tower", index={"type": "ivf", "lists": 512, "probes": 16}, overwrite=True)
    plug(FAULTS / "slow_store.py")
    Path("store.yaml").write_text(yaml.safe_dump(store(), sort_keys=False), encoding="utf-8")
    definitions = load_store("store.yaml")
    Registry(definitions.registry).apply(definitions)
    users = rows["user_id"].to_numpy()
    newest = np.unique(users[::-1], return_index=True)[1]
    last = rows.select(["user_id", "city", *history]).take(pa.array(len(users) - 1 - newest))
    last = last.append_column("ts", pa.array([int(time.time() * 1e6)] * len(last), pa.timestamp("us", "UTC")))
    with contextlib.closing(definitions.online.open(definitions.project)) as online:
        Writer(definitions, online).publish("user_profile", last.to_batches())
    Path("done").touch()


def configs() -> dict[str, dict[str, Any]]:
    """The towers, two rankers that take turns, and the neighbours of items."""
    user = [
        {"type": "id", "name": "user_id", "expression": "user:user_id", "num_buckets": USERS},
        {"type": "id", "name": "city", "expression": "user:city", "num_buckets": 300},
        {"type": "id", "name": "clicked", "expression": "user:click_seq__item_id", "num_buckets": ITEMS},
        {"type": "id", "name": "clicked_cate", "expression": "user:click_seq__cate", "num_buckets": 200},
    ]
    user[2] |= {"embedding_name": "item_id", "pooling": "mean"}
    user[3] |= {"embedding_name": "cate", "pooling": "mean"}
    item = [
        {"type": "id", "name": "item_id", "expression": "item:item_id", "num_buckets": ITEMS},
        {"type": "id", "name": "cate", "expression": "item:cate", "num_buckets": 200},
        {"type": "id", "name": "brand", "expression": "item:brand", "num_buckets": 2000},
        {
            "type": "raw",
            "name": "price",
            "expression": "item:price",
            "boundaries": [8, 14, 20, 27, 35, 45, 58, 75, 100, 140],
        },
    ]
    more = [
        {"type": "id", "name": "hour", "expression": "context:hour", "num_buckets": 24},
        {"type": "id", "name": "position", "expression": "item:position", "num_buckets": 16},
    ]
    both = [feature | {"embedding_dim": 16} for feature in [*user, *item]]
    clicks = {part: {"type": "parquet", "path": f"clicks_{part}.parquet"} for part in ("train", "valid")}
    shown = {part: {"type": "parquet", "path": f"{part}.parquet"} for part in ("train", "valid")}
    against = {**clicks, "items": {"type": "parquet", "path": "items.parquet"}}
    train = {"epochs": 1, "sparse_optimizer": {"type": "lazy_adam", "lr": 0.005}}
    tower = {
        "name": "tower",
        "data": {**against, "sampler": {"type": "in_batch"}, "batch_size": 1024},
        "features": both,
        "model": {
            "type": "dssm",
            "temperature": 0.07,
            "hidden": [128],
            "output_dim": 64,
            "groups": {"user": [f["name"] for f in user], "item": [f["name"] for f in item]},
        },
        "train": train,
        "eval": {"retrieval": {"metrics": [{"type": "recall", "k": 100}]}},
    }
    ranker = {
        "data": {**shown, "labels": ["click", "buy"], "batch_size": 2048},
        "features": both + [feature | {"embedding_dim": 16} for feature in more],
        "model": {
            "type": "mmoe",
            "experts": 4,
            "tasks": [{"name": "ctr", "label": "click"}, {"name": "cvr", "label": "buy"}],
        },
        "eval": {"metrics": ["auc"]},
    }
    near = {
        "name": "near",
        "data": against,
        "features": [user[0], item[0]],
        "model": {"type": "item_cf", "groups": {"user": ["user_id"], "item": ["item_id"]}},
        "eval": {"retrieval": {"metrics": [{"type": "recall", "k": 100}]}},
    }
    rankers = {
        name: {"name": name, **ranker, "train": train | {"seed": seed}}
        for seed, name in enumerate(("rank_a", "rank_b"))
    }
    return {"tower": tower, **rankers, "near": near}


def store() -> dict[str, Any]:
    """The feature store."""
    fields = [{"name": "city", "type": "int64"}]
    fields += [{"name": name, "type": "array<int64>"} for name in ("click_seq__item_id", "click_seq__cate")]
    return {
        "project": "shop",
        "registry": "registry.db",
        "online": {"type": "slow_store", "path": "online.db", "when": "slow"},
        "entities": [{"name": "user", "join_id": "user_id"}],
        "views": [{"name": "user_profile", "entity": "user", "event_time": "ts", "fields": fields}],
        "models": [{"name": "ranker", "features": [{"view": "user_profile"}]}],
    }


def engine(processes: int, *, hanging: bool = False) -> dict[str, Any]:
    """The engine's config."""
    recall = [
        {"type": "vector", "name": "ann", "model": "tower", "items": "runs/tower/items", "count": 800},
        {"type": "item_to_item", "name": "near", "path": "runs/near/bundle/neighbours.parquet", "count": 500},
        {"type": "popular", "file": {"path": "popular.parquet"}, "count": 700},
        {"type": "category", "name": "liked", "column": "cate", "file": {"path": "popular.parquet"}, "count": 700},
    ]
    if hanging:
        recall.append({"type": "hanging"})
    return {
        "port": 0,
        "processes": processes,
        "threads": 1,
        "catalogue": {"source": {"path": "items.parquet"}, "key": "item_id", "title": "title", "refresh_s": 5},
        "models": [{"name": "tower", "bundle": "runs/tower/bundle/user"}, {"name": "rank", "bundle": "current"}],
        "features": {"store": "store.yaml", "model": "ranker", "deadline_ms": 15},
        "history": {"type": "sqlite", "path": "history.db", "shown": 200},
        "record": {"path": "logs", "file_s": 5, "keep_days": 0.01},
        "limits": {"queue": 256},
        "scenes": [
            {
                "name": "feed",
                "size": SIZE,
                "deadline_ms": DEADLINE_MS,
                "recall": recall,
                "merge": {"count": 2000},
                "filters": [{"type": "seen", "within_s": 60}, {"type": "rule", "keep": "stock > 0"}],
                "prerank": {"model": "tower", "items": "runs/tower/items", "count": 300},
                "rank": {"model": "rank", "score": "ctr * pow(1 + cvr, 0.5)", "columns": {"position": 1}},
                "rerank": [{"type": "mmr", "by": "cate", "lambda": 0.7}, {"type": "frequency_cap", "by": "brand"}],
            }
        ],
    }


# ------------------------------------------------------------------------------------------------- the server


class Server:
    """An engine that runs."""

    def __init__(self, processes: int, *, hanging: bool = False) -> None:
        for path in ("history.db", "history.db-wal", "history.db-shm", "slow"):
            (WORLD / path).unlink(missing_ok=True)
        shutil.rmtree(WORLD / "logs", ignore_errors=True)
        point("rank_a")
        (WORLD / "engine.yaml").write_text(yaml.safe_dump(engine(processes, hanging=hanging)), encoding="utf-8")
        words = ["-m", "easyrec", "engine", "serve", "-c", "engine.yaml", "--plugin", str(FAULTS / "slow_store.py")]
        words += ["--plugin", str(FAULTS / "hanging.py")]
        self.process = subprocess.Popen([sys.executable, *words], cwd=WORLD, stderr=subprocess.PIPE, text=True)
        self.port, ready, self.lines = 0, 0, list[str]()
        assert self.process.stderr is not None
        for line in self.process.stderr:
            told = json.loads(line) if line.startswith("{") else {"event": line}
            self.lines.append(line)
            self.port = told.get("port", self.port)
            ready += told["event"] == "ready"
            if ready == processes:
                break
        else:
            raise RuntimeError("".join(self.lines[-30:]))
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line)
            del self.lines[:-2000]

    def memory_mb(self) -> float:
        """Private memory of all its processes."""
        total = 0
        for pid in [self.process.pid, *children(self.process.pid)]:
            with contextlib.suppress(OSError):
                text = Path(f"/proc/{pid}/smaps_rollup").read_text()
                total += sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Private_"))
        return total / 1024.0

    def stop(self) -> None:
        """End it."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)


def children(pid: int) -> list[int]:
    """Processes that a process started."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(word) for word in text.split()]


def point(name: str) -> None:
    """Let a ranker be the one that is served."""
    partial = WORLD / ".current"
    partial.write_text(f"runs/{name}/bundle", encoding="utf-8")
    partial.replace(WORLD / "current")


@contextlib.contextmanager
def served(processes: int, *, hanging: bool = False) -> Iterator[Server]:
    """An engine for as long as the block lasts."""
    server = Server(processes, hanging=hanging)
    try:
        yield server
    finally:
        server.stop()


# ------------------------------------------------------------------------------------------------ the clients

STALLS = """
import json, select, sys, time
gaps, last = [], time.perf_counter()
while not select.select([sys.stdin], [], [], 0.01)[0]:
    now = time.perf_counter()
    if now - last > 0.06:
        gaps.append(round((now - last) * 1000))
    last = now
print(json.dumps(gaps))
"""
"""A process that does nothing but wait 10 ms at a time, and tells when it waited for more than 60."""


@contextlib.contextmanager
def clients(port: int) -> Iterator[subprocess.Popen[str]]:
    """The clients, for as long as the block lasts."""
    command = [sys.executable, str(HERE / "engine_client.py"), str(port)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait(60)


def at(process: subprocess.Popen[str], rate: float, seconds: float) -> dict[str, Any]:
    """What the clients find at a rate."""
    assert process.stdin is not None
    assert process.stdout is not None
    print(json.dumps({"rate": rate, "seconds": seconds}), file=process.stdin, flush=True)
    found: dict[str, Any] = json.loads(process.stdout.readline())
    shown = {key: round(value, 2) if isinstance(value, float) else value for key, value in found.items()}
    print(f"  {shown}", flush=True)
    return found


def holds(found: Mapping[str, Any]) -> bool:
    """Whether a rate is kept up with."""
    return bool(
        found["qps"] >= 0.95 * found["rate"] * 0.9  # a tenth are events
        and found["whole"] >= 0.99
        and found["p99_ms"] <= DEADLINE_MS
        and not found["failed"]
    )


def kept_up(process: subprocess.Popen[str], rate: float, seconds: float) -> bool:
    """Whether a rate is kept up with; what fails once is tried again, as something else may have run meanwhile."""
    return holds(at(process, rate, seconds)) or holds(at(process, rate, seconds))


def peak(process: subprocess.Popen[str], seconds: float) -> float:
    """The highest rate that is kept up with, within a tenth."""
    at(process, 20.0, 3.0)
    low, high = 0.0, 50.0
    while kept_up(process, high, seconds):
        low, high = high, 1.6 * high
    while high - low > 0.1 * high:
        middle = (low + high) / 2.0
        low, high = (middle, high) if kept_up(process, middle, seconds) else (low, middle)
    return low


def soak(processes: int, rate: float, seconds: float, swaps: int) -> dict[str, Any]:
    """Half of the peak for long, while models are swapped: memory, errors."""
    with served(processes) as server, clients(server.port) as process:
        at(process, rate, min(30.0, seconds / 10.0))
        stop, done, memory = threading.Event(), [0], list[tuple[float, float]]()

        def swap() -> None:
            while not stop.wait(seconds / swaps):
                done[0] += 1
                point("rank_b" if done[0] % 2 else "rank_a")

        def watch() -> None:
            begun = time.monotonic()
            while not stop.wait(max(1.0, seconds / 200.0)):
                memory.append((time.monotonic() - begun, server.memory_mb()))

        threads = [threading.Thread(target=work, daemon=True) for work in (swap, watch)]
        for thread in threads:
            thread.start()
        parts, left = [], seconds
        while left > 1.0:
            parts.append(at(process, rate, min(60.0, left)))
            left -= 60.0
        stop.set()
        for thread in threads:
            thread.join()
        loads = sum("a bundle answers" in line for line in server.lines) - 2 * processes
    quarter = max(1, len(memory) // 4)
    early = float(np.median([mb for _, mb in memory[quarter : 2 * quarter] or memory]))
    late = float(np.median([mb for _, mb in memory[-quarter:]]))
    some = max(1, len(memory) // 20)
    curve = [
        {"second": round(memory[n][0]), "mb": round(float(np.median([mb for _, mb in memory[n : n + some]])), 1)}
        for n in range(0, len(memory) - some + 1, some)
    ]
    return {
        "seconds": seconds,
        "rate": rate,
        "swaps": done[0],
        "swaps_seen": loads,
        "requests": sum(part["requests"] for part in parts),
        "failed": sum(part["failed"] for part in parts),
        "sent_again": sum(part["sent_again"] for part in parts),
        "short": sum(part["short"] for part in parts),
        "p50_ms": float(np.median([part["p50_ms"] for part in parts])),
        "p99_ms": float(np.median([part["p99_ms"] for part in parts])),
        "memory_mb": {"second_quarter": early, "last_quarter": late, "growth": late / early - 1.0, "curve": curve},
    }


def half_of_peak(processes: int, rate: float, seconds: float) -> dict[str, Any]:
    """A sound engine at a rate."""
    with served(processes) as server, clients(server.port) as process:
        at(process, rate, 3.0)
        return beside_stalls(process, rate, seconds)


def with_faults(processes: int, rate: float, seconds: float) -> dict[str, Any]:
    """One of whose sources hangs, with a store that takes half a second."""
    with served(processes, hanging=True) as server, clients(server.port) as process:
        (WORLD / "slow").touch()
        at(process, rate, 3.0)
        found = beside_stalls(process, rate, seconds)
        (WORLD / "slow").unlink()
    return found


def beside_stalls(process: subprocess.Popen[str], rate: float, seconds: float) -> dict[str, Any]:
    """What the clients find, and how long the machine itself stood still meanwhile."""
    watch = subprocess.Popen([sys.executable, "-c", STALLS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    found = at(process, rate, seconds)
    stalls = json.loads(watch.communicate("\n")[0])
    return found | {"stalls_ms": stalls}


def over(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """The medians of several runs, the sums of what must not be, and the runs."""
    told: dict[str, Any] = {key: float(np.median([run[key] for run in runs])) for key in ("p50_ms", "p99_ms", "whole")}
    told |= {key: sum(run[key] for run in runs) for key in ("requests", "short", "failed", "sent_again")}
    return told | {"runs": runs}


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--seconds", type=float, default=30.0, help="of each figure [30]")
    parser.add_argument("--runs", type=int, default=5, help="of each figure, with and without faults in turns [5]")
    parser.add_argument("--step", type=float, default=5.0, help="seconds of each rate that is tried [5]")
    parser.add_argument("--rate", type=float, help="half of the peak, where it is known")
    parser.add_argument("--soak", type=float, metavar="SECONDS", help="hold half of the peak for so long")
    parser.add_argument("--swaps", type=int, default=100, help="model swaps of the soak [100]")
    parser.add_argument("--dry", action="store_true", help="write no result")
    args = parser.parse_args()
    world()
    found: dict[str, Any] = {"processes": args.processes, "bars": BARS}
    rate = args.rate
    if rate is None:
        with served(args.processes) as server, clients(server.port) as process:
            found["peak_qps"] = peak(process, args.step)
        rate = found["peak_qps"] / 2.0
    if args.soak:
        found["soak"] = soak(args.processes, rate, args.soak, args.swaps)
    else:
        halves, faults = [], []
        for _ in range(args.runs):
            print("half of the peak", flush=True)
            halves.append(half_of_peak(args.processes, rate, args.seconds))
            print("one source hangs, and the store takes half a second", flush=True)
            faults.append(with_faults(args.processes, rate, args.seconds))
        found |= {"half": over(halves), "faults": over(faults)}
        met = {
            "p50": found["half"]["p50_ms"] <= BARS["p50_ms"],
            "p99": found["half"]["p99_ms"] <= BARS["p99_ms"],
            "faults p99": found["faults"]["p99_ms"] <= BARS["faults_p99_ms"],
            "faults full": not found["faults"]["short"] and not found["faults"]["failed"],
        }
        found["met"] = met
        print(met)
    print(json.dumps(found, indent=1))
    if not args.dry:
        save("engine_soak" if args.soak else "engine", found)


if __name__ == "__main__":
    main()
