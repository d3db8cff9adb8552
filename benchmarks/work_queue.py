"""Work queues: how near to the ideal uneven workers end, and what handing out a slice costs.

Four processes share slices that sleep instead of working; one process needs ten times as long as the others. The ideal
is all work over the sum of the speeds; beside a queue stands what fixed shares of a quarter each would take. In a second
round the four are equal and one is killed with SIGKILL at a quarter of the time. Redis is a server that is started here.

    python benchmarks/work_queue.py
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from easyrec.data.queues import Idle, queue_config

SLICES, SECONDS, SLOWER, WORKERS = 240, 0.1, 10.0, 4
LEASE_SECONDS = 2.0
HANDED = 2_000
"""Slices that one worker takes and completes, to time both."""


def work(place: str, name: str, seconds: float, start: str) -> None:
    """One worker: waits for the file `start`, sleeps for every slice, prints how many it did."""
    queue, count = queue_config(place).open(), 0
    print("ready", flush=True)
    while not Path(start).exists():
        time.sleep(0.005)
    while True:
        lease = queue.lease(name, LEASE_SECONDS)
        if lease is Idle.DONE:
            break
        if isinstance(lease, Idle):
            time.sleep(0.05)
            continue
        time.sleep(seconds)
        queue.complete(lease, 1)
        count += 1
    print(count, flush=True)


def shared(place: str, folder: Path, costs: list[float], killed_after: float | None = None) -> tuple[float, list[int]]:
    """Seconds until every worker has ended, and how many slices each did."""
    start = folder / "start"
    start.unlink(missing_ok=True)
    queue = queue_config(place).open()
    queue.remove()
    queue.create("benchmark", [f"s{number:05}" for number in range(SLICES)])
    words = [[sys.executable, __file__, place, f"w{i}", str(cost), str(start)] for i, cost in enumerate(costs)]
    processes = [subprocess.Popen(line, stdout=subprocess.PIPE, text=True) for line in words]
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()
    start.touch()
    begun = time.perf_counter()
    if killed_after is not None:
        time.sleep(killed_after)
        processes[-1].kill()
    told = [process.communicate()[0] for process in processes]
    seconds = time.perf_counter() - begun
    counts = queue.status().counts
    assert counts["done"] == SLICES, counts
    queue.remove()
    return seconds, [int(text or 0) for text in told]


def handing_out(place: str) -> float:
    """Milliseconds to take a slice and to complete it, among `HANDED`."""
    queue = queue_config(place).open()
    queue.remove()
    queue.create("benchmark", [f"s{number:05}" for number in range(HANDED)])
    begun, taken = time.perf_counter(), 200
    for _ in range(taken):
        lease = queue.lease("w", 60)
        assert not isinstance(lease, Idle)
        queue.complete(lease, 1)
    seconds = time.perf_counter() - begun
    queue.remove()
    return 1000 * seconds / taken


def redis_server(folder: Path) -> tuple[subprocess.Popen[bytes], str] | None:
    """A server on a free port, with its address; None where it is not installed."""
    if shutil.which("redis-server") is None:
        return None
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    return subprocess.Popen(words, stdout=subprocess.DEVNULL), f"redis://127.0.0.1:{port}/0"


def main() -> None:
    """Measure every kind, print the table, write the result."""
    from record import save, table  # noqa: PLC0415 (loads torch, which the workers do without)

    uneven = [SECONDS] * (WORKERS - 1) + [SECONDS * SLOWER]
    ideal = SLICES / sum(1 / cost for cost in uneven)
    fixed = SLICES / WORKERS * max(uneven)
    kill = SLICES * SECONDS / WORKERS / 4
    rest = SLICES * SECONDS - WORKERS * kill
    ideal_killed = kill + rest / (WORKERS - 1)
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        places = {"files": str(folder / "queue"), "sqlite": f"sqlite:{folder}/queue.db"}
        server = redis_server(folder)
        if server is not None:
            places["redis"] = server[1]
        try:
            for kind, place in places.items():
                seconds, counts = shared(place, folder, uneven)
                killed, _ = shared(place, folder, [SECONDS] * WORKERS, kill)
                rows.append(
                    {
                        "queue": kind,
                        "one slow, over the ideal": round(seconds / ideal, 3),
                        "slices of the slow one": counts[-1],
                        "fixed shares, over the ideal": round(fixed / ideal, 1),
                        "one killed, over the ideal": round(killed / ideal_killed, 3),
                        "take and complete, ms": round(handing_out(place), 2),
                    }
                )
        finally:
            if server is not None:
                server[0].terminate()
                server[0].wait()
    table(rows)
    save("work_queue", {"slices": SLICES, "workers": WORKERS, "slower": SLOWER, "rows": rows})


if __name__ == "__main__":
    if len(sys.argv) > 1:
        work(sys.argv[1], sys.argv[2], float(sys.argv[3]), sys.argv[4])
    else:
        main()
