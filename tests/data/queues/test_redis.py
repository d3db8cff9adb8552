"""The queue in a Redis server: restarts, what cannot be reached, what is damaged, and that no password is told."""

import sys
import threading

import pytest

from easyrec.data.queues import queue_config
from easyrec.data.queues.redis import RedisQueue
from easyrec.errors import ConfigError, MissingExtra, QueueError, QueueGone


def opened(server, name="work", **options):
    return RedisQueue(server.address, name, **options)


def test_a_restart_with_a_memory_loses_nothing(servers):
    server = servers("--appendonly", "yes", "--appendfsync", "always")
    queue = opened(server)
    queue.create("job", ["a", "b"])
    lease = queue.lease("w", 600)
    server.stop()
    server.start()
    queue.complete(lease, 3)
    assert [entry.state for entry in queue.status().entries] == ["done", "waiting"]
    queue.close()


def test_a_call_waits_for_a_server_that_comes_back(servers):
    server = servers("--appendonly", "yes", "--appendfsync", "always")
    waits, back = [], threading.Event()

    def sleep(seconds):
        waits.append(seconds)
        if len(waits) == 4:
            server.start()
            back.set()

    queue = opened(server, sleep=sleep)
    queue.create("job", ["a"])
    server.stop()
    assert queue.lease("w", 600).slice == "a"
    assert back.is_set()
    assert waits[:4] == [0.05, 0.1, 0.2, 0.4]  # ever longer
    queue.close()


def test_a_restart_without_a_memory_is_a_queue_that_is_gone(servers):
    server = servers()
    queue = opened(server)
    queue.create("job", ["a"])
    lease = queue.lease("w", 600)
    server.stop()
    server.start()
    with pytest.raises(QueueGone, match="there is no such queue, or no longer"):
        queue.complete(lease, 1)
    queue.create("job", ["a"])
    assert queue.lease("w", 600).slice == "a"
    queue.close()


def test_a_server_that_stays_away_is_one_error_after_a_bounded_wait(servers):
    server, now = servers(), [0.0]

    def sleep(seconds):
        now[0] += seconds

    server.stop()
    queue = opened(server, shown="redis://:${PW}@host/0", patience=30.0, clock=lambda: now[0], sleep=sleep)
    with pytest.raises(QueueError, match=r"^redis://:\$\{PW\}@host/0 cannot be reached, tried for 30 s: .*refused"):
        queue.lease("w", 1)
    assert 25 < now[0] <= 30
    queue.close()


def test_passwords_come_from_the_environment_and_are_never_told(servers, monkeypatch):
    server = servers("--requirepass", "hush-hush")
    place = server.address.replace("://", "://:${QUEUE_PASSWORD}@")
    monkeypatch.setenv("QUEUE_PASSWORD", "hush-hush")
    config = queue_config(f"{place}?name=secret")
    queue = config.open()
    queue.create("job", ["a"])
    assert queue.lease("w", 1).slice == "a"
    told = [repr(config), queue.shown, str(config.model_dump())]
    monkeypatch.setenv("QUEUE_PASSWORD", "wrong-one")
    for wrong in (config.open(), queue_config(server.address).open()):
        with pytest.raises(QueueError, match="the server refuses this user or password") as caught:
            wrong.status()
        told.append(str(caught.value))
        wrong.close()
    monkeypatch.delenv("QUEUE_PASSWORD")
    with pytest.raises(ConfigError, match="'QUEUE_PASSWORD' is not set"):
        config.open()
    assert not [text for text in told if "hush-hush" in text or "wrong-one" in text]
    queue.close()


def test_an_address_may_stand_in_the_environment_as_a_whole(server, monkeypatch):
    monkeypatch.setenv("QUEUE", f"{server.address}?name=whole")
    queue = queue_config("${QUEUE}").open()
    queue.create("job", ["a"])
    assert opened(server, "whole").lease("w", 1).slice == "a"
    assert str(server.port) not in queue.shown
    queue.close()


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (lambda redis, keys: redis.hset(keys[1], "a", "{"), "the entry of slice 'a' is missing or cannot be read"),
        (lambda redis, keys: redis.hset(keys[1], "a", "[1]"), "the entry of slice 'a' is missing or cannot be read"),
        (lambda redis, keys: redis.hdel(keys[1], "a"), "the entry of slice 'a' is missing or cannot be read"),
        (
            lambda redis, keys: (redis.delete(keys[2]), redis.set(keys[2], "x")),
            "a key of its name holds something else",
        ),
    ],
)
def test_a_damaged_queue_is_told_and_not_worked_on(server, request, harm, told):
    queue = opened(server, f"harm{abs(hash(request.node.name))}")
    queue.create("job", ["a", "b"])
    harm(queue._client, queue._keys)
    with pytest.raises(QueueError, match=rf"is damaged: {told}; remove the queue"):
        queue.lease("w", 1)
    queue.remove()
    queue.create("job", ["a", "b"])
    queue.close()


def test_the_status_tells_of_damage_too(server):
    queue = opened(server, "status")
    queue.create("job", ["a", "b"])
    queue._client.hset(queue._keys[1], "b", '{"state": "x"}')
    with pytest.raises(QueueError, match="the entry of slice 'b' cannot be read"):
        queue.status()
    queue._client.hdel(queue._keys[1], "b")
    with pytest.raises(QueueError, match="it holds 1 of 2 slices"):
        queue.status()
    queue.close()


def test_a_full_server_is_told(servers):
    server = servers("--maxmemory", "1mb", "--maxmemory-policy", "noeviction")
    queue = opened(server)
    queue.create("job", [f"s{number}" for number in range(20_000)])  # a script that has begun is not stopped
    with pytest.raises(QueueError, match=r"the server refuses: .*maxmemory"):
        queue.lease("w", 1)
    queue.close()


def test_a_request_that_is_sent_twice_takes_one_slice(server):
    """The server did it, the answer was lost, the client asks again with the same token."""
    queue = opened(server, "twice")
    queue.create("job", ["a", "b"])
    words = ("w", "token", 60_000, "head", "tail")
    assert queue._run("lease", *words) == queue._run("lease", *words) == ["leased", "a", 1]
    assert queue.status().counts == {"leased": 1, "waiting": 1}
    queue.close()


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(MissingExtra, match=r"\[redis\]"):
        queue_config("redis://localhost").open()


@pytest.mark.parametrize("url", ["redis://h:x/0", "redis://h/0?nonsense=1"])
def test_an_address_that_is_none_is_told(url):
    with pytest.raises(ConfigError, match=r"is no address of a Redis server|unknown key"):
        queue_config(url).open()
