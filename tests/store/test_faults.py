"""What goes wrong: writers that are killed, servers that are gone or silent, disks that are full, records that are damaged."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
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
        self.process.stdin.write("\n")
        self.process.stdin.flush()
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
    killed(publishers, shared, "many", rows=5_000, times=20)


# ------------------------------------------------------------------------------------------ servers


ROW = pa.record_batch({"id": [1], "value": [5], "text": ["x"]})


def of(url, kind, **more):
    config = config_of({"type": kind, "url": url, "timeout_seconds": 0.3, **more}, "faults")
    store = config.online.open("faults")
    return store, Writer(config, store), ModelReader(config, store, "m")


def test_a_redis_that_is_silent_or_gone_is_told_and_used_again(redis_servers):
    server = redis_servers()
    store, writer, reader = of(server.address, "redis")
    writer.publish("v", [ROW])
    asked = (lambda: reader.read({"id": [1]}), lambda: writer.publish("v", [ROW]), lambda: list(store.scan("e")))
    os.kill(server.process.pid, signal.SIGSTOP)
    try:
        for ask in asked:
            begun = time.monotonic()
            with pytest.raises(StoreError, match=r"redis at 127.0.0.1:\d+ cannot be used: .*[Tt]ime"):
                ask()
            assert time.monotonic() - begun < 3
    finally:
        os.kill(server.process.pid, signal.SIGCONT)
    assert reader.read({"id": [1]})["id"]["value"].to_pylist() == [5]
    server.stop()
    for ask in asked:
        with pytest.raises(StoreError, match=r"redis at 127.0.0.1:\d+ cannot be used"):
            ask()
    server.start()
    writer.publish("v", [ROW])
    assert reader.read({"id": [1]})["id"]["value"].to_pylist() == [5]
    store.close()


def test_a_redis_without_memory_is_told(redis_servers):
    server = redis_servers("--maxmemory", "3mb", "--maxmemory-policy", "noeviction")
    store, writer, reader = of(server.address, "redis")
    writer.publish("v", [ROW])
    with pytest.raises(StoreError, match=r"OOM|used memory > 'maxmemory'"):
        writer.publish("v", batches(30_000, 6))
    assert reader.read({"id": [1]})["id"]["value"].to_pylist() == [5]
    store.close()


def sessions(postgres_url, signal_):
    """Send a signal to the servers' processes of all sessions of ours but the one that asks."""
    import psycopg

    with psycopg.connect(postgres_url, autocommit=True) as db:
        asked = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        for (pid,) in db.execute(asked).fetchall():
            os.kill(pid, signal_)


def test_a_postgres_that_is_silent_or_gone_is_told_and_used_again(postgres_url):
    store, writer, reader = of(postgres_url, "postgres", timeout_seconds=1.0)
    writer.publish("v", [ROW])
    asked = (lambda: reader.read({"id": [1]}), lambda: writer.publish("v", [ROW]), lambda: list(store.scan("e")))
    for ask in asked:
        sessions(postgres_url, signal.SIGSTOP)
        try:
            with pytest.raises(StoreError, match=r"postgresql at 127.0.0.1:\d+/postgres has not answered for 1 s"):
                ask()
        finally:
            sessions(postgres_url, signal.SIGCONT)
        assert reader.read({"id": [1]})["id"]["value"].to_pylist() == [5]
    sessions(postgres_url, signal.SIGTERM)  # as where the server is started anew: connections that lie idle are dead
    assert reader.read({"id": [1]})["id"]["value"].to_pylist() == [5]
    sessions(postgres_url, signal.SIGTERM)
    writer.publish("v", [ROW])
    store.close()
    with pytest.raises(StoreError, match=r"postgresql at 127.0.0.1:1/db cannot be used: .*refused") as told:
        of("postgresql://me:hunter2@127.0.0.1:1/db", "postgres")[0].read("e", [])
    assert "hunter2" not in str(told.value)


@pytest.fixture
def role(postgres_url):
    """Address of a user who may do nothing yet, and what the owner of the database says of him."""
    import psycopg

    with psycopg.connect(postgres_url, autocommit=True) as owner:
        owner.execute("CREATE ROLE guest LOGIN PASSWORD 'hunter2'")
        yield "postgresql://guest:hunter2@" + postgres_url.rpartition("@")[2], owner.execute
        owner.execute("DROP OWNED BY guest")
        owner.execute("DROP ROLE guest")


def test_what_postgres_refuses_is_told_without_the_password(role):
    url, say = role
    say("CREATE SCHEMA narrow")
    say("ALTER ROLE guest SET search_path = narrow")
    say("GRANT USAGE ON SCHEMA narrow TO guest")
    cases = [
        ("SELECT 1", url.replace("hunter2", "hunter3"), "password authentication failed"),
        ("SELECT 1", url, "permission denied for schema narrow"),
        ("ALTER ROLE guest CONNECTION LIMIT 0", url, "too many connections"),
    ]
    for order, address, refused in cases:
        say(order)
        store, writer, _ = of(address, "postgres", timeout_seconds=20.0)
        with pytest.raises(
            StoreError, match=rf"postgresql at 127.0.0.1:\d+/postgres cannot be used: .*{refused}"
        ) as told:
            writer.publish("v", [ROW])
        assert "hunter" not in str(told.value)
        store.close()
    say("ALTER ROLE guest CONNECTION LIMIT -1")
    say("GRANT CREATE ON SCHEMA narrow TO guest")
    store, writer, reader = of(url, "postgres", timeout_seconds=20.0)
    writer.publish("v", [ROW])
    assert reader.read({"id": [1]})["id"]["value"].to_pylist() == [5]
    store.close()
    say("DROP SCHEMA narrow CASCADE")


@pytest.mark.slow
def test_a_full_disk_of_postgres_is_told_and_spoils_nothing(postgres_server):
    """Files that may not grow are a full disk to PostgreSQL; those of its log have 16 MB, which is less than they may."""
    pytest.importorskip("psycopg", reason="needs the extra 'postgres'")
    if shutil.which("prlimit") is None:
        pytest.skip("needs prlimit")
    postgres_server.start(largest_file=17 << 20)
    config = config_of({"type": "postgres", "url": postgres_server.url, "timeout_seconds": 20}, "full")
    store = config.online.open("full")
    writer, reader = Writer(config, store), ModelReader(config, store, "m")
    writer.publish("v", batches(500, 1))
    large = np.random.default_rng(0).integers(33, 126, (300, 100_000)).astype(np.uint8)
    texts = pa.array([row.tobytes().decode() for row in large])
    rows = pa.record_batch({"id": np.arange(300), "value": np.full(300, 2), "text": texts})
    with pytest.raises(
        StoreError, match=r"postgresql at 127.0.0.1:\d+/postgres cannot be used: could not (extend|write)"
    ):
        writer.publish("v", [rows])
    assert set(reader.read({"id": range(500)})["id"]["value"].to_pylist()) == {1}
    postgres_server.stop()
    postgres_server.start()  # there is room again
    writer.publish("v", [rows])
    assert set(reader.read({"id": range(300)})["id"]["value"].to_pylist()) == {2}
    store.close()


# -------------------------------------------------------------------------------- disks and records


def test_a_full_disk_is_told_and_spoils_nothing(publishers, shared):
    if "path" not in shared:
        pytest.skip("its server has the disk")
    config = config_of(shared, "full")
    store = config.online.open("full")
    reader = ModelReader(config, store, "m")
    Writer(config, store).publish("v", batches(500, 1))
    publishers.start(online=shared, project="full", rows=20_000, value=2, limit=1 << 20)
    assert publishers.end()
    assert f"{shared['path']} cannot be used: " in publishers.told()
    assert set(reader.read({"id": range(500)})["id"]["value"].to_pylist()) == {1}
    Writer(config, store).publish("v", batches(1_000, 2))  # there is room again
    assert set(reader.read({"id": range(1_000)})["id"]["value"].to_pylist()) == {2}
    store.close()


def damage(store, online, record):
    """Put a record where that of the key `1` lies, as no store of ours would."""
    if online["type"] == "memory":
        store._records["e"][b"1"] = record
    elif online["type"] == "sqlite":
        import sqlite3

        with sqlite3.connect(online["path"]) as db:
            db.execute("UPDATE records SET record = ? WHERE key = ?", (record, b"1"))
        db.close()
    elif online["type"] == "lmdb":
        with store._env.begin(write=True) as writing:
            assert writing.replace(b"rdamage\0e\0001", record)
    elif online["type"] == "redis":
        store._client.set("damage:e:1", record)
    else:
        store._db.run(lambda db: db.execute("UPDATE easyrec_records SET record = %s WHERE key = '1'", [record]))


def test_damaged_records_are_told_by_their_key(online):
    config = config_of(online, "damage")
    store = config.online.open("damage")
    writer, reader = Writer(config, store), ModelReader(config, store, "m")
    writer.publish("v", batches(3, 5))
    whole = store.read("e", [b"1"])[1][0]
    rng = random.Random(3)
    cases = [b"nonsense", whole[:-1], whole[:1], b"\xe5\x01" + b"\xff" * 10]
    cases += [whole[: rng.randrange(1, len(whole))] for _ in range(20)]
    for record in cases:
        damage(store, online, record)
        with pytest.raises(StoreError, match=r"entity 'e', id '1': (the record|a row) is damaged"):
            reader.read({"id": [0, 1, 2]})
        assert reader.read({"id": [0, 2]})["id"]["value"].to_pylist() == [5, 5]
    for change in (lambda: writer.publish("v", batches(3, 6)), lambda: writer.sweep("e")):
        with pytest.raises(
            StoreError, match=r"entity 'e', key '1': the record is damaged: delete the key, and publish"
        ):
            change()
    damage(store, online, whole)
    writer.publish("v", batches(3, 7))
    assert reader.read({"id": [0, 1, 2]})["id"]["value"].to_pylist() == [7] * 3
    store.close()
