import json

import pytest

from easyrec.store.definitions import load_store
from easyrec.store.reader import ModelReader
from easyrec.stream.runner import Runner

T0 = 1_700_000_100
COUNT = {"name": "clicks", "function": "count"}
HOUR = {"name": "hour", "function": "count", "window": {"type": "sliding", "size": "1h", "tile": "5m"}}


class Project:
    """A stream view `v` in a folder of its own, whose events are in `events/*.jsonl` unless a test says otherwise."""

    def __init__(self, folder, online=None):
        self.folder, self.number = folder, 0
        self.online = online or {"type": "sqlite", "path": str(folder / "online.db")}
        (folder / "events").mkdir()
        self.stream = {
            "source": {"type": "jsonl", "path": str(folder / "events")},
            "columns": {"user_id": "int64", "ts": "int64", "kind": "string", "price": "double", "event": "string"},
            "event_time": "ts",
            "aggregates": [COUNT, HOUR],
        }

    def definitions(self):
        return {
            "project": "p",
            "online": self.online,
            "entities": [{"name": "user", "join_id": "user_id"}],
            "views": [{"name": "v", "type": "stream", "entity": "user", "stream": self.stream}],
            "models": [{"name": "m", "features": [{"view": "v"}]}],
        }

    @property
    def config(self):
        return load_store(self.definitions())

    def send(self, *events):
        """Events in one more file; texts are written as they are."""
        self.number += 1
        lines = [event if isinstance(event, str) else json.dumps(event) for event in events]
        (self.folder / "events" / f"{self.number:04}.jsonl").write_text("".join(f"{line}\n" for line in lines))

    def run(self, **options):
        """Count what is there; gives how often what was met."""
        config = self.config
        store = config.online.open("p")
        runner = Runner(config, "v", store, until_end=True, folder=self.folder, **options)
        try:
            runner.run()
            return {name: number for name, number in runner.figures().items() if number}
        finally:
            runner.close()
            store.close()

    def read(self, *users, now=T0 + 10):
        """The rows of users as of a time."""
        config = self.config
        store = config.online.open("p")
        try:
            reader = ModelReader(config, store, "m", clock=lambda: now)
            return reader.read({"user_id": list(users)})["user_id"].to_pylist()
        finally:
            store.close()


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)
