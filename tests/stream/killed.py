"""Counts a stream view to its end, for tests that kill it: `killed.py STORE_YAML FOLDER`."""

import sys
from pathlib import Path

from easyrec.store.definitions import load_store
from easyrec.stream.runner import Runner


def main(path, folder):
    config = load_store(path)
    store = config.online.open(config.project)
    runner = Runner(config, "v", store, until_end=True, folder=Path(folder))
    print("begun", flush=True)
    try:
        runner.run()
    finally:
        runner.close()
        store.close()
    print("done", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
