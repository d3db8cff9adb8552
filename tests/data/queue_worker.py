"""A process that starts workers, each a fork of its own that a test may kill: `python queue_worker.py`, then orders by lines.

An order is JSON: the path of a pipe that hears each slice that the worker begins, and what `work` takes; the answer is the
fork's process id. To a process id as an order the answer is what that one ended with: until then no other process has its id.
"""

import json
import os
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from easyrec.data.parts import Parts
from easyrec.data.queues import queue_config
from easyrec.data.slices import Slice
from easyrec.data.work import Worker


def work(told, place, folder, slices, seconds, name, lease_seconds):
    """Each slice takes some seconds, and its part holds as many rows as its number and one."""

    def make(slice, path):
        print(slice.name, file=told, flush=True)
        time.sleep(seconds)
        number = int(slice.name)
        pq.write_table(pa.table({"slice": [number] * (number + 1), "row": range(number + 1)}), path)
        return number + 1

    config = queue_config({**queue_config(place).model_dump(exclude_unset=True), "lease_seconds": lease_seconds})
    slices = [Slice(f"{number:05}", (), None) for number in range(slices)]
    Worker(config, slices, Parts(Path(folder), {"work": "test"}), name=name).run(make)


def main():
    while line := sys.stdin.readline():
        order = json.loads(line)
        if isinstance(order, int):
            print(os.waitstatus_to_exitcode(os.waitpid(order, 0)[1]), flush=True)
            continue
        child = os.fork()
        if child == 0:
            with Path(order.pop("pipe")).open("w") as told:
                work(told, **order)  # an error ends it as any process
            os._exit(0)
        print(child, flush=True)


if __name__ == "__main__":
    main()
