"""Sources of events: what comes, in which order, from where on, and what becomes of what is lost."""

import json
import time

import pyarrow as pa
import pytest

from easyrec.errors import ConfigError, DataError
from easyrec.store.streams import EventsConfig
from easyrec.stream.intake import Intake
from easyrec.stream.sources.jsonl import Config as JsonLines
from easyrec.stream.sources.kafka import Config as Kafka
from easyrec.stream.sources.redis import Config as Redis
from easyrec.stream.watermark import Watermarks

SCHEMA = pa.schema([("id", pa.int64()), ("word", pa.string())])
ROWS = [{"id": i, "word": f"w{i % 7}", "more": [i]} for i in range(100)]


def all_of(source, most=30, seconds=20.0):
    """Everything until the end, by partition, and the offsets then."""
    rows, offsets, malformed, end = {}, {}, [], time.monotonic() + seconds
    while not source.ended:
        assert time.monotonic() < end, "it does not end"
        for some in source.poll(most, 0.05):
            rows.setdefault(some.partition, []).extend(some.rows.column("id").to_pylist())
            offsets[some.partition] = some.offset
            malformed += some.malformed
            assert some.arrived is None or len(some.arrived) == some.rows.num_rows
    return rows, offsets, malformed


# ---------------------------------------------------------------------------------------------------- Kafka


@pytest.fixture
def topic(kafka):
    """`topic(partitions, messages...)`: a topic, and what opens it."""
    sources = []

    def make(partitions, *messages, **settings):
        name = kafka.topic(partitions)
        for partition, some in enumerate(messages):
            kafka.send(name, some, partition)

        def open_(until_end=True, **more):
            config = Kafka(**{"brokers": kafka.address, "topic": name} | settings | more)
            sources.append(config.open(SCHEMA, until_end=until_end))
            return sources[-1]

        return name, open_

    yield make
    for source in sources:
        source.close()


def test_messages_of_all_partitions_come_in_their_order(topic):
    _, opened = topic(2, ROWS[::2], ROWS[1::2])
    source = opened()
    rows, offsets, malformed = all_of(source)
    assert rows == {"0": list(range(0, 100, 2)), "1": list(range(1, 100, 2))}
    assert (offsets, malformed, source.backlog()) == ({"0": 50, "1": 50}, [], 0)


def test_a_topic_is_gone_on_with_where_it_was(topic, kafka):
    name, opened = topic(2, ROWS[::2], ROWS[1::2])
    source = opened()
    source.seek({"0": 48, "1": 10})
    rows, _, _ = all_of(source)
    assert (rows["0"], len(rows["1"])) == ([96, 98], 40)
    source = opened()
    source.seek({"0": 50, "1": 50})
    assert source.ended
    kafka.send(name, [{"id": 7}], 1)
    assert source.ended  # what comes after it was opened is for the next one
    source = opened(until_end=False)
    source.seek({"0": 50, "1": 50})
    found, end = [], time.monotonic() + 20
    while not found:
        assert time.monotonic() < end
        found = source.poll(10, 0.1)
    assert found[0].rows.to_pylist() == [{"id": 7, "word": None}]
    assert abs(found[0].arrived[0] / 1e6 - time.time()) < 60


def test_malformed_messages_are_named(topic):
    _, opened = topic(1, [{"id": 1}, "nonsense", {"id": "x"}, None, {"id": 2}])
    rows, offsets, malformed = all_of(opened())
    assert (rows, offsets) == ({"0": [1, 2]}, {"0": 5})
    assert [one.place.rpartition(", ")[2] for one in malformed] == ["offset 1", "offset 2", "offset 3"]
    assert malformed[0].content == "nonsense"


def test_messages_that_were_deleted_are_told_or_passed_over(topic, kafka):
    name, opened = topic(1, ROWS)
    kafka.delete(name, 0, 40)
    source = opened()
    with pytest.raises(DataError, match="the messages from offset 10 to 39 were deleted before they were read"):
        source.seek({"0": 10})
    source = opened(on_lost="earliest")
    source.seek({"0": 10})
    assert all_of(source)[0] == {"0": list(range(40, 100))}
    with pytest.raises(DataError, match="ends at offset 100, but was read up to 101: was the topic made anew"):
        source.seek({"0": 101})


def test_a_topic_may_begin_at_its_end(topic):
    _, opened = topic(1, ROWS)
    assert opened(start="latest").ended


def test_a_topic_that_is_not_there_is_told(kafka):
    pytest.importorskip("confluent_kafka", reason="needs the extra 'kafka'")
    with pytest.raises(DataError, match=r"topic nowhere-1: there is no such topic"):
        # The broker makes a topic that is asked for by name, unless the client forbids it.
        Kafka(brokers=kafka.address, topic="nowhere-1", options={"allow.auto.create.topics": "false"}).open(SCHEMA)


def test_brokers_that_are_not_there_are_told_without_a_password():
    pytest.importorskip("confluent_kafka", reason="needs the extra 'kafka'")
    options = {"sasl.password": "hunter2", "sasl.username": "me", "sasl.mechanism": "PLAIN"}
    config = Kafka(brokers="127.0.0.1:1", topic="t", retry_seconds=0.3, options=options)
    with pytest.raises(DataError, match=r"the brokers 127.0.0.1:1 gave no answer") as told:
        config.open(SCHEMA)
    assert "hunter2" not in str(told.value) + repr(config)
    with pytest.raises(ConfigError, match="the client refuses them"):
        Kafka(brokers="x:1", topic="t", options={"no.such.thing": "1"}).open(SCHEMA)
    with pytest.raises(ConfigError, match="is set by the stream itself"):
        Kafka(brokers="x:1", topic="t", options={"auto.offset.reset": "latest"}).open(SCHEMA)


def test_a_producer_is_no_witness_of_when_its_messages_came(topic, kafka):
    name, opened = topic(1)
    for year in (2001, 2099):
        kafka.send(name, [{"id": year}], timestamp=int(time.mktime((year, 1, 1, 0, 0, 0, 0, 0, 0)) * 1000))
    (found,) = opened().poll(2, 20.0)
    assert [abs(one / 1e6 - time.time()) < 60 for one in found.arrived.tolist()] == [True, True]


@pytest.mark.slow
def test_brokers_that_come_back_are_read_on(topic, kafka):
    import threading

    name, opened = topic(1, ROWS)
    source = opened(until_end=False, retry_seconds=20.0)
    found = [row for some in source.poll(30, 5.0) for row in some.rows.column("id").to_pylist()]
    kafka.down()
    back = threading.Timer(2.0, kafka.up)
    back.start()
    end = time.monotonic() + 60
    while len(found) < 100:
        assert time.monotonic() < end
        found += [row for some in source.poll(30, 0.1) for row in some.rows.column("id").to_pylist()]
    back.join()
    kafka.send(name, [{"id": 100}])
    while len(found) < 101:
        assert time.monotonic() < end
        found += [row for some in source.poll(30, 0.1) for row in some.rows.column("id").to_pylist()]
    assert found == list(range(101))


@pytest.mark.slow
def test_brokers_that_stay_away_are_told(topic, kafka):
    _, opened = topic(1, ROWS)
    source = opened(until_end=False, retry_seconds=1.0)
    while source.poll(1000, 1.0):
        pass
    kafka.down()

    def wait():
        end = time.monotonic() + 60
        while time.monotonic() < end:
            source.poll(10, 0.1)

    try:
        with pytest.raises(DataError, match="gave no answer"):
            wait()
    finally:
        kafka.up()


# ---------------------------------------------------------------------------------------------------- Redis


@pytest.fixture(scope="module")
def server(redis_servers):
    return redis_servers()


@pytest.fixture
def stream(server, request):
    """A client, the name of a stream, and what opens it."""
    import redis

    name = request.node.name
    client = redis.Redis.from_url(server.address)
    sources = []

    def open_(until_end=True, **settings):
        sources.append(Redis(**{"url": server.address, "stream": name} | settings).open(SCHEMA, until_end=until_end))
        return sources[-1]

    yield client, name, open_
    for source in sources:
        source.close()
    client.close()


def add(client, name, rows, field="data"):
    with client.pipeline() as sent:
        for row in rows:
            sent.xadd(name, {field: json.dumps(row)} if field else row)
        return sent.execute()


def test_entries_come_in_order_and_are_gone_on_with(stream):
    client, name, opened = stream
    ids = add(client, name, ROWS)
    source = opened(field="data")
    assert source.backlog() == 100
    rows, offsets, _ = all_of(source)
    assert rows == {name: list(range(100))}
    assert offsets == {name: [ids[-1].decode(), 100]}
    source = opened(field="data")
    source.seek({name: [ids[89].decode(), 90]})
    assert all_of(source)[0] == {name: list(range(90, 100))}
    source = opened(field="data", until_end=False)
    source.seek(offsets)
    assert source.poll(10, 0.01) == []
    add(client, name, [{"id": 7}])
    (found,) = source.poll(10, 0.01)
    assert found.rows.to_pylist() == [{"id": 7, "word": None}]
    assert abs(found.arrived[0] / 1e6 - time.time()) < 60
    assert source.backlog() == 0


def test_fields_are_columns(stream):
    client, name, opened = stream
    add(client, name, [{"id": 1, "word": "a"}, {"id": "x"}, {"id": 2, "more": "m"}], None)
    rows, _, malformed = all_of(opened())
    assert rows == {name: [1, 2]}
    assert "column 'id'" in malformed[0].reason


def test_entries_that_were_trimmed_are_told_or_passed_over(stream):
    client, name, opened = stream
    add(client, name, ROWS)
    source = opened(field="data")
    assert source.poll(30, 0.01)[0].offset[1] == 30
    client.xtrim(name, maxlen=50, approximate=False)
    with pytest.raises(DataError, match="20 entries were trimmed before they were read"):
        source.poll(30, 0.01)
    source = opened(field="data", on_lost="earliest")
    source.poll(30, 0.01)  # what was trimmed before anything was read is not missed
    source = opened(field="data", on_lost="earliest")
    source.seek({name: ["0-1", 30]})
    assert all_of(source)[0] == {name: list(range(50, 100))}


def test_a_stream_that_nobody_has_written_yet(stream):
    client, name, opened = stream
    assert opened(field="data").ended
    source = opened(field="data", until_end=False)
    assert source.poll(10, 0.01) == []
    add(client, name, ROWS[:2])
    assert source.poll(10, 0.01)[0].rows.num_rows == 2


def test_a_server_that_comes_back_is_asked_again(redis_servers):
    import threading

    import redis

    server = redis_servers("--appendonly", "yes", "--appendfsync", "always")
    with redis.Redis.from_url(server.address) as client:
        add(client, "s", ROWS)
    source = Redis(url=server.address, stream="s", field="data").open(SCHEMA, until_end=True)
    assert source.poll(10, 0.01)[0].rows.num_rows == 10
    server.stop()
    back = threading.Timer(0.3, server.start)
    back.start()
    assert all_of(source)[0]["s"] == list(range(10, 100))
    back.join()
    server.stop()
    source.config = Redis(url=server.address, stream="s", retry_seconds=0.2)
    with pytest.raises(DataError, match="the server gave no answer"):
        source.poll(10, 0.01)
    source.close()


def test_what_is_malformed_is_told_with_its_byte(tmp_path):
    lines = ['{"u": 1, "ts": 1767225600}\n', '{"u": 2, "ts": 1767225600000}\n', '{"u": null, "ts": 1767225601}\n']
    (tmp_path / "a.jsonl").write_text("".join(lines))
    source = {"type": "jsonl", "path": str(tmp_path)}
    config = EventsConfig(source=source, columns={"u": "int64", "ts": "int64"}, event_time="ts")
    events = config.source.open(config.schema).poll(10, 0.0)
    intake = Intake(config, Watermarks(0, 60.0), None, ["u"], clock=lambda: 1_767_225_700.0)
    with pytest.raises(DataError) as error:
        intake.take(events)
    told = f"{tmp_path}/a.jsonl, byte {len(lines[0])}: 'ts' is no time: 1767225600000, which looks like `time_unit: ms`"
    assert str(error.value).startswith(told)


def test_a_file_that_is_shorter_than_what_was_read_of_it_is_another_one(tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_text('{"u": 1}\n{"u": 2}\n')
    config = JsonLines(path=str(tmp_path))
    source = config.open(pa.schema([("u", pa.int64())]))
    offset = source.poll(10, 0.0)[0].offset
    file.write_text('{"u": 3}\n')
    source = config.open(pa.schema([("u", pa.int64())]))
    source.seek({"files": offset})
    with pytest.raises(DataError, match="18 bytes were read of it, but now it has 9"):
        source.poll(10, 0.0)
