"""`easyrec serve` under load: latency at half of the peak, what happens at twice the peak, a million requests, exactness.

    python benchmarks/serving_load.py [latency] [soak] [exact] [--requests 1000000] [--page]

The DeepFM of `serving.py` over raw features, one user and 200 items by `POST /predict`, one process of the server; the
clients are a process of their own.

latency  The peak is the QPS of eight clients that ask one after another. Then requests come at random times, at half and
         at twice the peak; each is counted from the time when it was due.
soak     Clients ask until a million requests were answered; the server's memory is read every five seconds.
exact    100,000 requests of five items each through the server, beside `easyrec.predict` on the same rows; and the
         features of each request beside those of the offline transform, bit for bit.

What has been measured for a commit is kept: a script that was stopped goes on with the next part. Parts that were not
asked for are told as they were measured last, with that commit.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from record import RESULTS, commit, kept, save, section, table
from serving_client import Connection
from serving_models import FOLDER, USER_IDS, USER_NUMBERS, prepare
from train_throughput import synthetic

import easyrec
from feature_generator import FeatureGenerator
from serving import Server, command, easyrec_server, processes

PARTS = ("latency", "soak", "exact")
QUEUE = 16
"""Requests that may wait: as many as are answered within the 50 ms that a caller waits."""
PEAK_CLIENTS, SECONDS, RUNS = 8, 10.0, 3
SOAK_CLIENTS, WATCH_S = 4, 5.0
EXACT_REQUESTS, EXACT_ITEMS, AT_ONCE = 100_000, 5, 10_000
MEBIBYTE = 2**20


def server(bundle: Path) -> Server:
    """Ours, with a short queue."""
    made = easyrec_server(1, {"raw": bundle})

    def start(folder: Path, ports: list[int]) -> list[Any]:
        words = made.command(folder, ports)
        config = yaml.safe_load((folder / "serving.yaml").read_text())
        config["limits"] |= {"queue": QUEUE}
        (folder / "serving.yaml").write_text(yaml.safe_dump(config))
        return words

    return Server("easyrec-load", made.ready, start, made.environment)


@contextmanager
def clients() -> Iterator[subprocess.Popen[str]]:
    """The process of the clients."""
    script = Path(__file__).with_name("serving_client.py")
    words = [sys.executable, str(script)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


# ------------------------------------------------------------------------------------------------ latency


def latency(bundle: Path) -> dict[str, float]:
    """Medians of several runs: the peak, and what comes at half and at twice of it."""
    figures: list[dict[str, float]] = []
    with server(bundle).running() as (port, _), clients() as client:
        order: dict[str, Any] = {"port": port, "folder": str(FOLDER / "requests" / "raw_objects"), "seconds": SECONDS}
        command(client, order | {"clients": PEAK_CLIENTS, "seconds": 2.0})  # warms up
        for _ in range(RUNS):
            peak = command(client, order | {"clients": PEAK_CLIENTS})["qps"]
            half = command(client, order | {"rate": peak / 2})
            double = command(client, order | {"rate": 2 * peak})
            run = {"peak_qps": peak}
            run |= {f"half_{key}": half[key] for key in ("rate", "p50_ms", "p99_ms", "refused", "late_p99_ms")}
            run |= {f"double_{key}": double[key] for key in ("rate", "p50_ms", "p99_ms", "late_p99_ms")}
            run |= {"double_refused": double["refused"] / double["requests"]}
            run |= {f"double_{key}": double[key] for key in ("refused_p50_ms", "refused_p99_ms")}
            figures.append({key: round(value, 3) for key, value in run.items()})
            print(figures[-1], flush=True)
    return {key: float(np.median([run[key] for run in figures])) for key in figures[0]}


# --------------------------------------------------------------------------------------------------- soak


def memory(root: int) -> float:
    """MiB of the memory of a process and of those that it started; pages of mapped files are not counted."""
    pages = 0
    for pid in processes(root):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        pages += sum(int(line.split()[1]) for line in lines if line.startswith("Pss_Anon:"))
    return pages / 1024


def soak(bundle: Path, requests: int) -> dict[str, float]:
    """The server's memory while it answers so many requests."""
    seen: list[tuple[int, float]] = []
    with server(bundle).running() as (port, pid), clients() as client:
        order = {"port": port, "folder": str(FOLDER / "requests" / "raw_objects"), "clients": SOAK_CLIENTS}
        answered, begun = 0, time.monotonic()
        while answered < requests:
            answered += int(command(client, order | {"seconds": WATCH_S})["requests"])
            seen.append((answered, round(memory(pid), 2)))
            if len(seen) % 12 == 0:
                print(f"  {answered:,} requests, {seen[-1][1]:.1f} MiB", flush=True)
        took = time.monotonic() - begun
    counts, sizes = np.array(seen, float).T
    after = counts >= 0.1 * requests  # by then allocators have what they keep
    slope = float(np.polyfit(counts[after], sizes[after], 1)[0]) * 1e6
    found = {"requests": answered, "seconds": took, "mib_at_10_percent": float(sizes[after][0])}
    return found | {"mib_at_end": float(sizes[-1]), "mib_at_most": float(sizes.max()), "mib_per_million": slope}


# -------------------------------------------------------------------------------------------------- exact


def exact(bundle: Path) -> dict[str, float]:
    """The largest difference between the server's scores and the trainer's, and how many features differ."""
    rows = pq.read_table(FOLDER / "raw.parquet").combine_chunks()
    spec = synthetic(len(rows))
    of_user = [*list(spec["categorical"])[:USER_IDS], *spec["numeric"][:USER_NUMBERS]]
    of_item = [name for name in rows.column_names if name not in {*of_user, "label"}]
    generator = FeatureGenerator.load(bundle / "generator")
    rng, worst, differing, compared = np.random.default_rng(3), 0.0, 0, 0
    with server(bundle).running() as (port, _):
        connection = Connection(port)
        for start in range(0, EXACT_REQUESTS, AT_ONCE):
            users = np.repeat(rng.integers(0, len(rows), AT_ONCE), EXACT_ITEMS)
            items = rows.select(of_item).take(rng.integers(0, len(rows), len(users)))
            side_by_side = rows.select(of_user).take(users)
            for name in of_item:
                side_by_side = side_by_side.append_column(name, items.column(name))
            wanted = trained(side_by_side)
            offline = generator.transform(side_by_side.combine_chunks().to_batches()[0])
            once, each = side_by_side.select(of_user).to_pylist(), items.to_pylist()
            for first in range(0, len(users), EXACT_ITEMS):
                user, candidates = once[first], each[first : first + EXACT_ITEMS]
                scores = answered(connection, user, candidates)
                worst = max(worst, float(np.abs(scores - wanted[first : first + EXACT_ITEMS]).max()))
                online = generator.request(user, None).score_items(candidates, tile=True)
                differing += different(online, offline.take(np.arange(first, first + EXACT_ITEMS)))
                compared += len(generator.outputs)
            print(f"  {start + AT_ONCE:,} requests, scores within {worst:.1e}, {differing} features differ", flush=True)
    return {"requests": EXACT_REQUESTS, "worst": worst, "features": compared, "differ": differing}


def trained(rows: pa.Table) -> np.ndarray:
    """The trainer's scores."""
    found = easyrec.predict(FOLDER / "raw", rows)
    column = next(name for name in found.columns if name not in rows.column_names)
    scores: np.ndarray = found[column].to_numpy(np.float32)
    return scores


def answered(connection: Connection, user: Mapping[str, Any], items: list[dict[str, Any]]) -> np.ndarray:
    """The server's scores."""
    body = json.dumps({"user": user, "items": items}).encode()
    head = f"POST /models/raw/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
    connection.socket.sendall(head.encode() + body)
    reply = connection.read()
    if reply.status != 200:
        sys.exit(f"answered {reply.status}: {reply.body[:500]!r}")
    return np.array(json.loads(reply.body)["scores"]["label"], np.float32)


def different(online: Any, offline: Any) -> int:
    """How many features of two tables are not the same bits."""
    return sum(not same(online[name], offline[name]) for name in offline)


def same(a: Any, b: Any) -> bool:
    """Whether two columns are the same bits."""
    parts = [(getattr(a, key, None), getattr(b, key, None)) for key in ("values", "offsets", "weights", "key_offsets")]
    return all(
        (x is None) == (y is None) and (x is None or np.asarray(x).tobytes() == np.asarray(y).tobytes())
        for x, y in parts
    )


# ------------------------------------------------------------------------------------------------- result


def bars(found: Mapping[str, Mapping[str, Any]]) -> list[dict[str, str]]:
    """What was wished for, and whether it is so."""
    wished: list[tuple[str, str, str, float, str]] = [
        ("latency", "half_p50_ms", "p50 at half of the peak, ms", 2.0, "{:.2f}"),
        ("latency", "half_p99_ms", "p99 at half of the peak, ms", 10.0, "{:.2f}"),
        ("latency", "double_p99_ms", "p99 of what is answered at twice the peak, ms", 50.0, "{:.1f}"),
        ("latency", "double_refused_p99_ms", "p99 of what is refused at twice the peak, ms", 5.0, "{:.2f}"),
        ("soak", "mib_per_million", "MiB that memory grows in a million requests", 2.0, "{:.2f}"),
        ("exact", "worst", "largest difference of scores in 100,000 requests", 1e-5, "{:.1e}"),
        ("exact", "differ", "features that differ", 0.0, "{:.0f}"),
    ]
    return [
        {
            "what": what,
            "measured": form.format(found[part][key]),
            "wished": f"<= {most:g}",
            "verdict": "met" if found[part][key] <= most else "not met",
            "commit": found[part]["commit"],
        }
        for part, key, what, most, form in wished
        if part in found
    ]


def measured_last() -> dict[str, Any]:
    """The parts of the newest result."""
    files = sorted(RESULTS.glob("serving_load-*.json"))
    return {
        part: {"commit": newest["commit"], **told}
        for newest in [json.loads(path.read_text()) for path in files[-1:]]
        for part, told in newest["parts"].items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; default: all")
    parser.add_argument("--requests", type=int, default=1_000_000, help="of the soak")
    parser.add_argument("--page", action="store_true", help="write the table into docs/benchmarks.md")
    args = parser.parse_args()
    unknown = set(args.parts) - set(PARTS)
    if unknown:
        parser.error(f"unknown parts: {', '.join(sorted(unknown))}; known: {', '.join(PARTS)}")
    bundle = prepare({}, {})["raw"]
    runs = {
        "latency": partial(latency, bundle),
        "soak": partial(soak, bundle, args.requests),
        "exact": partial(exact, bundle),
    }
    asked = args.parts or PARTS
    found = {part: kept("serving_load", part, runs[part]) | {"commit": commit()} for part in asked}
    found |= {part: told for part, told in measured_last().items() if part not in asked}
    rows = bars(found)
    table(rows)
    if args.page:
        section("serving-load", rows)
    save("serving_load", {"parts": found, "bars": rows})


if __name__ == "__main__":
    main()
