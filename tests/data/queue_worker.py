"""A worker in a process of its own: `queue_worker.py PLACE FOLDER SLICES SECONDS NAME LEASE_SECONDS`.

Writes each slice that it begins to stdout; a slice takes SECONDS, and its part holds as many rows as its number and one.
"""

import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from easyrec.data.parts import Parts
from easyrec.data.queues import queue_config
from easyrec.data.slices import Slice
from easyrec.data.work import Worker


def main(place, folder, slices, seconds, name, lease_seconds):
    def make(slice, path):
        print(slice.name, flush=True)
        time.sleep(float(seconds))
        number = int(slice.name)
        pq.write_table(pa.table({"slice": [number] * (number + 1), "row": range(number + 1)}), path)
        return number + 1

    config = queue_config({**queue_config(place).model_dump(exclude_unset=True), "lease_seconds": float(lease_seconds)})
    work = [Slice(f"{number:05}", (), None) for number in range(int(slices))]
    Worker(config, work, Parts(Path(folder), {"work": "test"}), name=name).run(make)


if __name__ == "__main__":
    main(*sys.argv[1:])
