"""Kill -9 at any moment: no event is lost, and none is counted twice."""

import contextlib
import json
import os
import random
import subprocess
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path

import pytest
import yaml

from easyrec.store.reader import ModelReader
from easyrec.stream.runner import Runner

T0 = 1_700_000_100
ROOT = Path(__file__).parents[2]
USERS = 40


def some_events(count, seed):
    rng = random.Random(seed)
    made = []
    for number in range(count):
        one = {
            "user_id": rng.randrange(USERS),
            "ts": T0 + number // 20 - rng.randrange(30),
            "price": rng.randrange(100),
        }
        made.append(one | {"event": f"e{number}"})
        if rng.random() < 0.1:
            made.append(made[rng.randrange(max(0, len(made) - 50), len(made))])  # it comes again
    return made


def expected(events, now):
    """What is read as of a time."""
    once = list({one["event"]: one for one in events}.values())
    clicks, paid, hour = Counter(), Counter(), defaultdict(int)
    for one in once:
        clicks[one["user_id"]] += 1
        paid[one["user_id"]] += one["price"]
        tile, current = one["ts"] // 60, now // 60
        hour[one["user_id"]] += current - 5 < tile <= current
    return [{"clicks": clicks[user], "paid": paid[user], "hour": hour[user]} for user in range(USERS)]


def read(config, now):
    store = config.online.open(config.project)
    try:
        reader = ModelReader(config, store, "m", clock=lambda: now)
        return reader.read({"user_id": list(range(USERS))})["user_id"].to_pylist()
    finally:
        store.close()


@contextlib.contextmanager
def opened(config, project):
    """A runner in this process."""
    store = config.online.open(config.project)
    runner = Runner(config, "v", store, until_end=True, folder=project.folder)
    try:
        yield runner
    finally:
        runner.close()
        store.close()


def killed(path, folder, delay, rng):
    """Run until it is done, or kill it a while after it began; whether it was done."""
    command = [sys.executable, ROOT / "tests" / "stream" / "killed.py", path, folder]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout.readline() == "begun\n"
        end = time.monotonic() + rng.random() * delay
        while process.poll() is None and time.monotonic() < end:
            time.sleep(0.001)
        process.kill()
        return process.stdout.read() == "done\n"


def survives(project, kills, delay, seed, count):
    """Kill it so many times while it counts, then let it end, and compare."""
    project.stream |= {
        "id": "event",
        "lateness": "10m",
        "batch_rows": 100,
        "aggregates": [
            {"name": "clicks", "function": "count"},
            {"name": "paid", "function": "sum", "column": "price"},
            {"name": "hour", "function": "count", "window": {"type": "sliding", "size": "5m", "tile": "1m"}},
        ],
    }
    project.stream["columns"]["price"] = "int64"
    path = project.folder / "store.yaml"
    path.write_text(yaml.safe_dump(project.definitions()))
    rng, config = random.Random(seed), project.config
    events, now = some_events(count, seed), T0 + count // 20
    project.publish(events)
    done = 0
    for _ in range(kills):
        done += killed(path, project.folder, delay, rng)
        with opened(config, project) as runner:
            runner.finish()  # what was due is written before anything else is counted
            held, _ = runner._rows_of([f"{user}".encode() for user in range(USERS)])
        clicks = {int(row["user_id"]): row["clicks"][0][1] for row in held.to_pylist()}
        assert [row["clicks"] for row in read(config, now)] == [clicks.get(user) for user in range(USERS)]
    with opened(config, project) as runner:
        runner.run()
        counts = runner.counts
    distinct = len({one["event"] for one in events})
    assert (counts["read"], counts["counted"], counts["duplicate"]) == (len(events), distinct, len(events) - distinct)
    for moment in (now, now + 120, now + 1000):
        assert read(config, moment) == expected(events, moment)
    return done


@pytest.fixture
def published(project):
    """The project, whose events are written into files."""
    project.publish = lambda events: project.send(*events)
    return project


def test_a_view_survives_being_killed(published):
    survives(published, 2, 0.5, 0, 3000)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "state", "mode"),
    [
        ("jsonl", "sqlite", "queue"),
        ("jsonl", "lmdb", "direct"),
        ("kafka", "lmdb", "queue"),
        ("redis", "sqlite", "direct"),
    ],
)
def test_a_view_survives_being_killed_twenty_times(published, request, source, state, mode, tmp_path):
    pytest.importorskip("lmdb" if state == "lmdb" else "sqlite3")
    published.stream |= {"state": {"type": state, "path": str(tmp_path / "state")}, "write": {"mode": mode}}
    if source == "kafka":
        kafka = request.getfixturevalue("kafka")
        topic = kafka.topic(2)
        published.stream["source"] = {"type": "kafka", "brokers": kafka.address, "topic": topic}

        def publish(events):
            for partition in range(2):
                kafka.send(topic, [one for one in events if one["user_id"] % 2 == partition], partition)

        published.publish = publish
    elif source == "redis":
        import redis

        server = request.getfixturevalue("redis_servers")()
        published.online = {"type": "redis", "url": server.address}
        published.stream["source"] = {"type": "redis", "url": server.address, "stream": "events", "field": "data"}

        def publish(events):
            with redis.Redis.from_url(server.address) as client, client.pipeline() as sent:
                for one in events:
                    sent.xadd("events", {"data": json.dumps(one)})
                sent.execute()

        published.publish = publish
    done = survives(published, 20, 1.0, 7, 30_000)
    assert done < 15, "it was done before it could be killed"
