"""A process that starts publishers, each a fork of its own that a test may kill: `python publishing.py`, then orders by lines.

An order is JSON: the online config, the project, the number of rows, the value that all of them hold, the bytes that a file
may grow to. The answer is the fork's process id, and to an empty line what it ended with: until then no other process has its id.
"""

import json
import os
import resource
import signal
import sys

import numpy as np
import pyarrow as pa

from easyrec.errors import StoreError
from easyrec.store.definitions import load_store
from easyrec.store.writer import Writer

VIEW = {
    "name": "v",
    "entity": "e",
    "fields": [{"name": "value", "type": "int64"}, {"name": "text", "type": "string"}],
}
BATCH = 500


def config_of(online, project):
    return load_store(
        {
            "project": project,
            "online": online,
            "entities": [{"name": "e", "join_id": "id"}],
            "views": [VIEW],
            "models": [{"name": "m", "features": [{"view": "v"}]}],
        }
    )


def batches(rows, value):
    for start in range(0, rows, BATCH):
        ids = np.arange(start, min(rows, start + BATCH))
        yield pa.record_batch(
            {"id": ids, "value": np.full(len(ids), value), "text": pa.array([f"text of {value} " * 8] * len(ids))}
        )


def publish(online, project, rows, value, merge=False, limit=None):
    if limit is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    config = config_of(online, project)
    store = config.online.open(project)
    try:
        made = Writer(config, store).publish("v", batches(rows, value), merge=merge, source=str(value))
    except StoreError as error:
        print(json.dumps(str(error)), file=sys.stderr, flush=True)
        return 1
    store.close()
    print(json.dumps(made.resumed), file=sys.stderr, flush=True)
    return 0


def main():
    while line := sys.stdin.readline():
        child = os.fork()
        if child == 0:
            os._exit(publish(**json.loads(line)))
        print(child, flush=True)
        sys.stdin.readline()
        print(os.waitpid(child, 0)[1], flush=True)


if __name__ == "__main__":
    main()
