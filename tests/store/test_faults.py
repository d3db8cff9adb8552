"""What goes wrong: writers that are killed, servers that are gone or silent, disks that are full, records that are damaged."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pyarrow as pa
import pytest

from easyrec.errors import StoreError
from easyrec.store.reader import ModelReader
from easyrec.store.writer import Writer

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
from publishing import batches, config_of  # noqa: E402

sys.path.remove(str(HERE))


class Publishers:
    """Publishers in processes of their own; see `publishing.py`."""

    def __init__(self):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        environment = {**os.environ, "PYTHONPATH": str(HERE.parents[1])}
        self.process = subprocess.Popen([sys.executable, HERE / "publishing.py"], env=environment, **pipes)

    def start(self, **order):
        """The process id of a new publisher."""
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def end(self):
        """Whether the publisher came to its end, and not of a signal."""
        return os.WIFEXITED(int(self.process.stdout.readline()))

    def told(self):
        """Its error, or the rows of a stopped run."""
        return json.loads(self.process.stderr.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()


@pytest.fixture(scope="module")
def publishers():
    made = Publishers()
    yield made
    made.close()


@pytest.fixture
def shared(online):
    if online["type"] == "memory":
        pytest.skip("lives inside of one process")
    return online


def killed(publishers, online, project, rows, times):
    """Publish ever new values, kill each publisher at some moment, and look all the while at what readers see."""
    config = config_of(online, project)
    store = config.online.open(project)
    reader, ids = ModelReader(config, store, "m"), list(range(rows))
    rng, kills = random.Random(7), 0

    def seen():
        values = set(reader.read({"id": ids})["id"]["value"].to_pylist())
        assert len(values) == 1, f"readers see rows of several generations: {values}"
        return values.pop()

    try:
        Writer(config, store).publish("v", batches(rows, 0))
        began = time.monotonic()
        publishers.start(online=online, project=project, rows=rows, value=1)
        publishers.end()
        publishers.told()
        takes = time.monotonic() - began
        assert seen() == 1
        for value in range(2, 2 + times):
            child = publishers.start(online=online, project=project, rows=rows, value=value)
            end = time.monotonic() + rng.uniform(0.05, 0.95) * takes
            while time.monotonic() < end:
                assert seen() in (value - 1, value)
            os.kill(child, signal.SIGKILL)
            if publishers.end():  # it was done
                publishers.told()
                assert seen() == value
                continue
            kills += 1
            before = seen()  # the last generation that was switched to
            assert before in (value - 1, value)
            if before != value:
                publishers.start(online=online, project=project, rows=rows, value=value)
                assert publishers.end()
                publishers.told()
            assert seen() == value
    finally:
        store.close()
    assert kills


def test_readers_see_whole_generations_when_publishers_are_killed(publishers, shared):
    killed(publishers, shared, "few", rows=1_500, times=2)


@pytest.mark.slow
def test_readers_see_whole_generations_at_20_kills(publishers, shared):
    killed(publishers, shared, "many", rows=20_000, times=20)
