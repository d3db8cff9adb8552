import json
from pathlib import Path

import pytest

from easyrec.data.queues import queue_config
from easyrec.data.queues.files import FilesQueue
from easyrec.data.queues.sqlite import SqliteQueue


class Case:
    """A place for queues of one kind, whose time the tests make pass."""

    def __init__(self, kind, folder, server=None):
        self.kind, self.folder, self.server = kind, Path(folder), server
        self.now, self.opened = 1000.0, []

    def uri(self, name="work"):
        path = self.folder / "queues"
        places = {"files": f"files:{path}?name={name}", "sqlite": f"sqlite:{path}.db?name={name}"}
        return places.get(self.kind) or f"{self.server.address}?name={self.folder.name}-{name}"

    def open(self, name="work", epoch=0):
        """One more view of the queue, as of another process."""
        if self.kind == "files":
            made = FilesQueue(self.folder / "queues", name, epoch, clock=lambda: self.now)
        elif self.kind == "sqlite":
            made = SqliteQueue(self.folder / "queues.db", name, epoch, clock=lambda: self.now)
        else:
            made = queue_config(self.uri(name)).open(epoch)
        self.opened.append(made)
        return made

    def made(self, slices=("a", "b", "c"), attempts=3, job="job", **options):
        queue = self.open(**options)
        queue.create(job, list(slices), attempts)
        return queue

    def advance(self, seconds):
        """Let time pass for everyone."""
        if self.kind == "files":  # a lease runs out for those who have seen that it was not renewed
            for queue in self.opened:
                queue.status()
        self.now += seconds
        if self.kind == "redis":  # the server's clock cannot be set: let what it noted lie further back
            for queue in self.opened:
                for name, text in queue._client.hgetall(queue._keys[1]).items():
                    entry = json.loads(text)
                    if entry["state"] == "leased":
                        entry["heard"] -= round(seconds * 1000)
                        entry["taken"] -= round(seconds * 1000)
                        queue._client.hset(queue._keys[1], name, json.dumps(entry))
                break  # all see one queue

    def close(self):
        for queue in self.opened:
            queue.close()


@pytest.fixture
def cases(request, tmp_path):
    """`case(kind, folder)`: a place of a kind; its time stands still until it is advanced."""
    made = []

    def case(kind, folder=tmp_path):
        server = request.getfixturevalue("server") if kind == "redis" else None
        made.append(Case(kind, folder, server))
        return made[-1]

    yield case
    for one in made:
        one.close()


@pytest.fixture(params=["files", "sqlite", "redis"])
def case(request, cases):
    return cases(request.param)
