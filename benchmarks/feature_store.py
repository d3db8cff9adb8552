"""Online stores: what a request costs, what ten views cost beside one, and how fast rows are published; beside Feast.

    python benchmarks/feature_store.py [reads | publish] [--page]

`held` is Redis with the items as a snapshot and the users in a cache of the process that reads, which follows the store: the bar is
0.3 ms. A request asks for the 30 features (20 float, 6 int64, 4 short texts) of a user and of 200 items. Of Feast, which lives in an
environment that the first run makes, the fastest of three ways to call it counts. All take turns; PostgreSQL and Redis are
servers that are started here, and are asked by TCP.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from record import save, section, table
from train_throughput import peers_python

from easyrec.store.definitions import load_store
from easyrec.store.near import NearStore
from easyrec.store.reader import ModelReader
from easyrec.store.writer import Writer

FEAST = ("feast[redis]==0.67.0", "hiredis")
USERS, ITEMS, ASKED = 500, 2_000, 200
TURNS = 6
REQUESTS = {"ours": 150, "feast": 5}
"""Requests of one turn."""
FIELDS = (
    {f"f{i}": "float" for i in range(20)} | {f"i{i}": "int64" for i in range(6)} | {f"s{i}": "string" for i in range(4)}
)
CALLS = ("two calls", "two calls, to_dict", "one call")
KINDS = ("memory", "sqlite", "lmdb", "redis", "postgres")
HELD = "held"
"""Redis, with records in the memory of the process that reads."""
PUBLISHES, MANY = 3, 20_000
Request = tuple[int, list[int]]
Took = tuple[float, float]
"""Seconds, and those of a processor."""


def rows(letter: str, key: str, count: int, seed: int) -> pa.Table:
    """The features of `count` keys, 0 to `count` - 1."""
    rng = np.random.default_rng(seed)
    columns: dict[str, Any] = {
        key: np.arange(count),
        "ts": pa.array([int(time.time() * 1e6)] * count, pa.timestamp("us", "UTC")),
    }
    for name, kind in FIELDS.items():
        values = rng.integers(0, 1_000_000, count)
        made = {
            "float": values.astype(np.float32) / 7,
            "int64": values,
            "string": [f"text{v % 10_000}" for v in values],
        }
        columns[f"{letter}{name}"] = made[kind]
    return pa.table(columns)


def requests(count: int, seed: int) -> list[Request]:
    """Users and items that are asked for."""
    rng = np.random.default_rng(seed)
    return [(int(rng.integers(USERS)), rng.choice(ITEMS, ASKED, replace=False).tolist()) for _ in range(count)]


class Ours:
    """A store with all fields of an entity in some views.

    Args:
        online: Its config.
        views: How many.
        tables: The rows of the users and the items.
        held: Whether records are in the memory of this process.
    """

    def __init__(
        self, online: Mapping[str, Any], views: int, tables: Mapping[str, pa.Table], *, held: bool = False
    ) -> None:
        definitions: list[dict[str, Any]] = []
        for entity, letter in (("user", "u"), ("item", "i")):
            names = list(FIELDS)
            for view in range(views):
                part = names[view * len(names) // views : (view + 1) * len(names) // views]
                fields = [{"name": letter + name, "type": FIELDS[name]} for name in part]
                about = {"name": f"{entity}{view}", "entity": entity, "event_time": "ts", "ttl": "30d"}
                definitions.append({**about, "fields": fields})
        config = load_store(
            {
                "project": f"bench{views}{'held' * held}",
                "online": dict(online),
                "entities": [{"name": "user", "join_id": "user_id"}, {"name": "item", "join_id": "item_id"}],
                "views": definitions,
                "models": [{"name": "ctr", "features": [{"view": one["name"]} for one in definitions]}],
                "read": {
                    "memory": {"item": {"type": "snapshot", "poll": 0.05}, "user": {"type": "cache"}} if held else {}
                },
            }
        )
        self.config, self.tables = config, tables
        self.store = config.online.open(config.project)
        self.near = NearStore(self.store, config.read)
        self.reader = ModelReader(config, self.near, "ctr")

    def publish(self, *, only_items: bool = False) -> tuple[float, int]:
        """Seconds and rows."""
        begun, written = time.perf_counter(), 0
        for view in self.config.views:
            if view.entity == "item" or not only_items:
                batches = self.tables[view.entity].to_batches()
                written += Writer(self.config, self.store).publish(view.name, batches).rows
        return time.perf_counter() - begun, written

    def read(self, asked: list[Request]) -> list[Took]:
        """What each request took."""
        took = []
        for user, items in asked:
            begun, busy = time.perf_counter(), time.process_time()
            self.reader.read({"user_id": [user], "item_id": items})
            took.append((time.perf_counter() - begun, time.process_time() - busy))
        return took

    def check(self) -> None:
        """What is read is what was written, once memory has followed."""
        time.sleep(0.2)
        user, items = requests(1, 99)[0]
        found = self.reader.read({"user_id": [user], "item_id": items})
        for entity, ids in (("user", [user]), ("item", items)):
            wanted = self.tables[entity].drop_columns(["ts", f"{entity}_id"]).take(pa.array(ids)).combine_chunks()
            assert pa.table(found[f"{entity}_id"]).select(wanted.column_names).equals(wanted), entity


class Feast:
    """Feast in its own environment; see `peers/feast_store.py`."""

    def __init__(self, folder: Path, *words: str) -> None:
        script = Path(__file__).parent / "peers" / "feast_store.py"
        command = [peers_python("feast", FEAST), script, folder, *words]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=folder)
        self._answer()

    def _answer(self) -> Any:
        assert self.process.stdout is not None
        while line := self.process.stdout.readline():
            with contextlib.suppress(json.JSONDecodeError):  # what Feast prints itself
                return json.loads(line)
        raise RuntimeError("Feast has ended")

    def ask(self, *order: Any) -> Any:
        """The answer to an order."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        """End it."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


# ------------------------------------------------------------------------------------------- servers


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


def until_open(port: int) -> None:
    for _ in range(600):
        with socket.socket() as asked:
            if asked.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError("the server does not come up")


@contextlib.contextmanager
def redis_server(folder: Path) -> Iterator[int]:
    """The port of a Redis that keeps everything in memory."""
    port = free_port()
    words = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL) as server:
        try:
            until_open(port)
            yield port
        finally:
            server.terminate()


@contextlib.contextmanager
def postgres_server() -> Iterator[str]:
    """The address of a PostgreSQL with its own settings, but for what it waits for the disk."""
    places = [shutil.which("postgres"), *map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres")))]
    found = next(Path(place).resolve().parent for place in places if place)
    folder, port = Path(tempfile.mkdtemp(prefix="bench-postgres-")), free_port()
    who: dict[str, Any] = {}
    if os.geteuid() == 0:  # the server refuses to be root
        owner = pwd.getpwnam("postgres")
        os.chown(folder, owner.pw_uid, owner.pw_gid)
        who = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
    told = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder, **who}
    subprocess.run(
        [found / "initdb", "-D", folder / "data", "-U", "app", "-A", "trust", "--no-sync"], check=True, **told
    )
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1"
    control = [found / "pg_ctl", "-D", folder / "data", "-w", "-t", "120"]
    subprocess.run([*control, "-l", folder / "log", "-o", options, "start"], check=True, **told)
    try:
        yield f"postgresql://app@127.0.0.1:{port}/postgres"
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], check=True, **told)
        shutil.rmtree(folder)


# -------------------------------------------------------------------------------------------- parts


def tell(took: list[Took]) -> dict[str, float]:
    """Milliseconds."""
    wall, busy = 1e3 * np.array(took).T
    return {"p50": np.median(wall), "p99": np.percentile(wall, 99), "least": wall.min(), "processor": np.median(busy)}


def in_turns(contestants: Mapping[str, Callable[[int], list[Took]]]) -> dict[str, dict[str, float]]:
    """Percentiles of all requests of each contestant; the first turn warms up."""
    took: dict[str, list[Took]] = {name: [] for name in contestants}
    for turn in range(TURNS + 1):
        for name, read in contestants.items():
            found = read(turn)
            took[name] += found if turn else []
        print(f"  turn {turn} of {TURNS}", flush=True)
    return {name: tell(found) for name, found in took.items()}


def reads(ours: Mapping[tuple[str, int], Ours], feasts: Mapping[str, Feast]) -> list[dict[str, Any]]:
    """Requests of all stores, with all fields in one view and in ten."""
    contestants: dict[str, Callable[[int], list[Took]]] = {}
    for (kind, views), one in ours.items():
        one.publish()
        one.near.start()
        one.check()
        contestants[f"{kind} {views}"] = lambda turn, one=one: one.read(requests(REQUESTS["ours"], turn))
    for kind, feast in feasts.items():
        feast.ask("publish", "items.parquet", False)
        for views, calls in ((1, CALLS), (10, CALLS[:1])):
            for call in calls:
                contestants[f"Feast {kind}, {call} {views}"] = lambda turn, ask=feast.ask, order=(views, call): ask(
                    "read", *order, requests(REQUESTS["feast"], turn)
                )
    found = in_turns(contestants)
    shown = []
    for name in dict.fromkeys(name.rpartition(" ")[0] for name in found):
        one, ten = found[f"{name} 1"], found.get(f"{name} 10")
        figures = {"ms, p50": one["p50"], "p99": one["p99"], "least": one["least"], "of a processor": one["processor"]}
        row: dict[str, Any] = {"store": name, **figures, "10 views": ten["p50"] if ten else ""}
        row["of 1 view's"] = ten["p50"] / one["p50"] if ten else ""
        for told, figure in (("Feast's best, p50", "p50"), ("Feast's best, least", "least")):
            row[told] = "" if name.startswith("Feast") else f"{_best(found, name, figure) / one[figure]:.0f} times"
        shown.append(row)
    return shown


def _best(found: Mapping[str, Mapping[str, float]], name: str, figure: str) -> float:
    """The figure of Feast's fastest call of its store that is most like one of ours."""
    peer = "redis" if name in ("redis", "postgres", HELD) else "sqlite"
    return min(found[f"Feast {peer}, {call} 1"][figure] for call in CALLS)


def publish(ours: Mapping[tuple[str, int], Ours], feasts: Mapping[str, Feast]) -> list[dict[str, Any]]:
    """Rows of the items a second; the median of several runs."""
    rates: dict[str, list[float]] = {}
    ours = {key: one for key, one in ours.items() if key[0] != HELD}  # they are written like those of Redis
    for (_, views), one in ours.items():
        if views == 1:
            one.tables = {"item": rows("i", "item_id", MANY, 3)}
    for _ in range(PUBLISHES):
        for (kind, views), one in ours.items():
            if views == 1:
                seconds, count = one.publish(only_items=True)
                rates.setdefault(kind, []).append(count / seconds)
        for kind, feast in feasts.items():
            seconds, count = feast.ask("publish", "many.parquet", True)
            rates.setdefault(f"Feast {kind}", []).append(count / seconds)
        print(f"  { ({name: round(found[-1]) for name, found in rates.items()}) }", flush=True)
    middle = {name: float(np.median(found)) for name, found in rates.items()}
    shown = []
    for name, rate in middle.items():
        peer = middle[f"Feast {'redis' if name in ('redis', 'postgres') else 'sqlite'}"]
        shown.append(
            {
                "store": name,
                "rows/s": rate,
                "of Feast's": "" if name.startswith("Feast") else f"{rate / peer:.0f} times",
            }
        )
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", nargs="?", choices=("reads", "publish"))
    parser.add_argument("--page", action="store_true", help="put the tables into docs/benchmarks.md")
    args = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        tables = {"user": rows("u", "user_id", USERS, 1), "item": rows("i", "item_id", ITEMS, 2)}
        for entity, found in tables.items():
            pq.write_table(found, folder / f"{entity}s.parquet")
        pq.write_table(rows("i", "item_id", MANY, 3), folder / "many.parquet")
        port, url = stack.enter_context(redis_server(folder)), stack.enter_context(postgres_server())
        where: dict[str, dict[str, Any]] = {
            "memory": {},
            "sqlite": {"path": str(folder / "online.db")},
            "lmdb": {"path": str(folder / "online"), "gigabytes": 1},
            "redis": {"url": f"redis://127.0.0.1:{port}/0"},
            "postgres": {"url": url},
        }
        ours = {
            (kind, views): Ours({"type": kind, **where[kind]}, views, tables) for views in (1, 10) for kind in KINDS
        }
        redis = {"type": "redis", **where["redis"]}
        ours |= {(HELD, views): Ours(redis, views, tables, held=True) for views in (1, 10)}
        feasts = {"sqlite": Feast(folder, "sqlite"), "redis": Feast(folder, "redis", f"127.0.0.1:{port},db=1")}
        for part, run in (("reads", reads), ("publish", publish)):
            if args.part in (None, part):
                shown = run(ours, feasts)
                table(shown)
                save(f"feature_store-{part}", {"load": os.getloadavg()[0], "rows": shown})
                if args.page:
                    section(f"feature_store-{part}", shown)
        for feast in feasts.values():
            feast.close()
        for one in ours.values():
            one.near.close()


if __name__ == "__main__":
    sys.exit(main())
