"""Every store that there is, each on a server of its own where it needs one."""

import importlib.util
import itertools
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from easyrec.retrieval.filters import passes
from feature_generator.config import member

PASSWORD = "s3cr%t/w@rd"
KINDS = [
    "faiss",
    "elasticsearch",
    pytest.param("pgvector"),
    pytest.param("milvus_lite"),
    pytest.param("milvus", marks=pytest.mark.slow),
]
SERVERS = [kind for kind in KINDS if kind != "faiss"]
MILVUS = """
import sys
from milvus import MilvusServer, MilvusServerConfig
port, folder = int(sys.argv[1]), sys.argv[2]
config = MilvusServerConfig(data_dir=folder, proxy_port=port)
for part in ("proxy", "rootCoord", "queryCoord", "queryNode", "dataCoord", "dataNode", "indexNode", "indexCoord"):
    config.set(part + ".ip", "127.0.0.1")
server = MilvusServer(config)
server.start()
print(server.server_proc.pid, flush=True)
sys.stdin.read()
server.stop()
"""


COUNTED = itertools.count()


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Place:
    """Where stores of a kind are.

    Attributes:
        kind: It.
        fields: Of its config.
        stop: Takes the server away.
    """

    def __init__(self, kind, folder, fields, stop):
        self.kind, self.folder, self.fields, self.stop = kind, folder, fields, stop
        self.opened = []

    def config(self, **fields):
        name = "milvus" if self.kind == "milvus_lite" else self.kind
        return member("rag.stores", name).Config(**{**self.fields, **fields})

    def open(self, name="kb", home=None, **fields):
        folder = self.folder / (home or name)
        self.opened.append(self.config(**fields).open(folder, name))
        return self.opened[-1]

    def close(self):
        for store in self.opened:
            store.close()
        self.opened = []


def _elastic(_):
    spec = importlib.util.spec_from_file_location("elastic_server", Path(__file__).with_name("elastic_server.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    server = module.ElasticServer(0, module.basic("app", PASSWORD))
    server.__enter__()
    return {"url": server.url, "user": "app", "password_env": "STORE_PASSWORD"}, server.__exit__


def _pgvector(request):
    server = request.getfixturevalue("vector_postgres")
    server.start()
    url = f"postgresql://app@/postgres?host={server.folder}&port={server.port}"
    return {"url": url, "password_env": "STORE_PASSWORD"}, server.stop


def _milvus(folder):
    if importlib.util.find_spec("milvus") is None:
        pytest.skip("needs the package milvus (a Milvus server): make test-rag")
    port = free_port()
    command = [sys.executable, "-c", MILVUS, str(port), str(folder / "server")]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    pid = process.stdout.readline()
    if not pid:
        pytest.fail("the Milvus server does not start")

    def stop():
        if process.poll() is None:
            os.kill(int(pid), signal.SIGKILL)
            process.stdin.close()
            process.wait(timeout=30)
            process.stdout.close()

    return {"url": f"http://127.0.0.1:{port}", "timeout_s": 60}, stop


@pytest.fixture(scope="module")
def servers(request, tmp_path_factory):
    """What is started, by kind; it is stopped at the end."""
    started = {}

    def start(kind):
        if kind not in started:
            begin = {
                "elasticsearch": lambda: _elastic(None),
                "pgvector": lambda: _pgvector(request),
                "milvus": lambda: _milvus(tmp_path_factory.mktemp("milvus")),
            }.get(kind, lambda: ({}, lambda: None))
            started[kind] = begin()
        return started[kind][0]

    start.stop = lambda kind: started.pop(kind)[1]()
    yield start
    for _, stop in started.values():
        stop()


@pytest.fixture
def place_of(tmp_path, monkeypatch, servers):
    """Makes the place of a kind, where no test was before."""
    monkeypatch.setenv("STORE_PASSWORD", PASSWORD)
    made = []

    def make(kind):
        if kind.startswith("milvus"):
            pytest.importorskip("pymilvus", reason="needs the extra 'milvus'")
        if kind == "milvus_lite":
            pytest.importorskip("milvus_lite", reason="needs the extra 'milvus'")
        fields = servers(kind)
        own = {} if kind == "faiss" else {"prefix": f"t{next(COUNTED)}_"}
        made.append(Place(kind, tmp_path, {**fields, **own}, lambda: servers.stop(kind)))
        return made[-1]

    yield make
    for place in made:
        place.close()


class Obvious:
    """What a store should do, one entry after another."""

    def __init__(self):
        self.entries = {}

    def add(self, numbers, vectors, facts):
        for number, vector, known in zip(numbers.tolist(), vectors, facts, strict=True):
            self.entries[number] = vector.astype(np.float64), known

    def remove(self, numbers):
        for number in numbers.tolist():
            self.entries.pop(number, None)

    def search(self, vector, k, conditions=()):
        found = [
            (float(own @ vector.astype(np.float64)), number)
            for number, (own, known) in self.entries.items()
            if passes(known, conditions)
        ]
        return sorted(found, key=lambda one: (-one[0], one[1]))[:k]

    def agrees(self, store, vector, k, conditions=()):
        """Whether a store finds the same, nearest first, and says how near it is."""
        expected = self.search(vector, k, conditions)
        numbers, scores = store.search(vector, k, conditions)
        assert (numbers.dtype, scores.dtype) == (np.int64, np.float32)
        assert numbers.tolist() == [number for _, number in expected], conditions
        np.testing.assert_allclose(scores, [score for score, _ in expected], rtol=2e-4, atol=2e-4)


@pytest.fixture
def obvious():
    return Obvious()
