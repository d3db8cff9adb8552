"""Where samples go: what is prepared is not read, what is published is read once, whenever its writer was stopped."""

import json
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from easyrec.errors import ConfigError, StoreError
from easyrec.store.definitions import load_store
from easyrec.stream.joining import Joining
from feature_generator.config import member, members

HOUR = 3_600_000_000
BEGIN = 1_767_222_000_000_000
"""2025-12-31 23:00 UTC."""


def rows(first, count=4):
    """Samples of an hour each, with their times."""
    times = BEGIN + HOUR * np.arange(first, first + count)
    ids = pa.array(range(first, first + count))
    return pa.table({"id": ids, "ts": pa.array(times, pa.timestamp("us", "UTC"))}), times


class Place:
    """A sink of a kind, opened anew as after a stop, and what is read there."""

    def __init__(self, kind, folder, request):
        self.kind, self.folder = kind, folder
        if kind == "kafka":
            pytest.importorskip("confluent_kafka", reason="needs the extra 'kafka'")
            self.broker = request.getfixturevalue("kafka")
            self.topic = self.broker.topic(2)
            self.keys = {"brokers": self.broker.address, "topic": self.topic}
        else:
            self.keys = {"path": str(folder / "samples")}

    def open(self):
        return member("easyrec.stream.sinks", self.kind).Config(type=self.kind, **self.keys).open("w", ["id"])

    def read(self):
        """Ids of the rows, in order."""
        if self.kind == "parquet":
            files = sorted((self.folder / "samples").rglob("[!.]*.parquet"))
            return sorted(n for file in files for n in pq.read_table(file, partitioning=None)["id"].to_pylist())
        return sorted(json.loads(value)["id"] for value in consumed(self.broker.address, self.topic))


def consumed(address, topic):
    """Values of all messages of a topic of two partitions."""
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer({"bootstrap.servers": address, "group.id": "test", "auto.offset.reset": "earliest"})
    ends = {n: consumer.get_watermark_offsets(TopicPartition(topic, n), timeout=10)[1] for n in (0, 1)}
    consumer.assign([TopicPartition(topic, n, 0) for n in ends])
    found, until = [], time.monotonic() + 20
    while len(found) < sum(ends.values()):
        assert time.monotonic() < until
        found += [message.value() for message in consumer.consume(1000, 0.5) if message.error() is None]
    consumer.close()
    return found


@pytest.fixture(params=members("easyrec.stream.sinks"))
def place(request, tmp_path):
    return Place(request.param, tmp_path, request)


def test_rows_are_read_when_they_are_published(place):
    sink = place.open()
    note = sink.prepare(0, *rows(0))
    assert place.read() == []
    sink.publish(note)
    sink.publish(sink.prepare(1, *rows(4)))
    assert place.read() == list(range(8))
    sink.close()


@pytest.mark.parametrize("published", [False, True], ids=["not-yet", "already"])
def test_a_note_is_published_once_whenever_its_writer_was_stopped(place, published):
    sink = place.open()
    sink.publish(sink.prepare(0, *rows(0)))
    note = sink.prepare(1, *rows(4))
    if published:
        sink.publish(note)
    sink.close()
    sink = place.open()
    sink.publish(note, again=True)
    sink.forget()
    assert place.read() == list(range(8))
    sink.close()


def test_what_was_prepared_without_a_note_is_forgotten(place):
    sink = place.open()
    sink.prepare(0, *rows(0))
    sink.close()
    sink = place.open()
    sink.forget()
    sink.publish(sink.prepare(0, *rows(2)))
    assert place.read() == [2, 3, 4, 5]
    assert not list(place.folder.rglob("*.writing"))
    sink.close()


def test_a_part_of_a_step_that_is_in_the_topic_is_not_sent_again(tmp_path, request):
    place = Place("kafka", tmp_path, request)
    sink = place.open()
    note = sink.prepare(3, *rows(0))
    sink._send("0", b'{"id": 0}', "w:3:0", None)  # as far as a killed one came
    sink._send("9", b'{"id": 9}', "w:2:0", None)  # of another step
    sink.close()
    sink = place.open()
    sink.publish(note, again=True)
    assert place.read() == [0, 1, 2, 3, 9]
    sink.close()


@pytest.mark.parametrize(
    ("partition", "folders"),
    [
        ("day", ["ds=20251231", "ds=20260101"]),
        ("hour", ["ds=20251231/hour=23", "ds=20260101/hour=00"]),
        ("none", ["."]),
    ],
)
def test_parts_lie_by_the_time_of_the_exposure(tmp_path, partition, folders):
    sink = member("easyrec.stream.sinks", "parquet").Config(path=str(tmp_path), partition=partition).open("w", [])
    sink.publish(sink.prepare(7, *rows(0, 2)))
    found = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*.parquet"))
    assert [(str(path.parent), path.name) for path in found] == [
        (one, "part-w-000000000007.parquet") for one in folders
    ]


def test_samples_go_from_topics_to_a_topic(tmp_path, request):
    place = Place("kafka", tmp_path, request)
    broker = place.broker
    log = broker.topic(2)
    shown = [{"kind": "exposure", "id": f"e{n}", "request": "r", "item": n, "ts": 1000 + n} for n in range(40)]
    clicks = [{"kind": "click", "id": f"c{n}", "request": "r", "item": n, "ts": 1003 + n} for n in range(0, 40, 4)]
    for partition in (0, 1):
        broker.send(log, [event for event in shown + clicks if event["item"] % 2 == partition], partition)
    columns = {"kind": "string", "id": "string", "request": "string", "item": "int64", "ts": "int64"}
    source = {"type": "kafka", "brokers": broker.address, "topic": log}
    events = {"source": source, "columns": columns, "event_time": "ts", "id": "id", "lateness": 100}
    samples = {
        "name": "ctr",
        "keys": ["request", "item"],
        "exposures": {**events, "where": {"kind": "exposure"}},
        "labels": [{**events, "name": "click", "where": {"kind": "click"}, "window": 10}],
        "output": {"type": "kafka", **place.keys},
        "state": {"type": "sqlite", "path": str(tmp_path / "state.db")},
    }
    view = {"name": "v", "entity": "u", "fields": [{"name": "f", "type": "int64"}]}
    config = load_store(
        {"project": "p", "entities": [{"name": "u", "join_id": "u"}], "views": [view], "samples": [samples]}
    )
    for flush in (False, True):
        joining = Joining(config, "ctr", until_end=True)
        joining.run()
        if flush:
            joining.flush()
        joining.close()
    found = [json.loads(value) for value in consumed(broker.address, place.topic)]
    assert sorted((row["item"], row["click"]) for row in found) == [(n, int(n % 4 == 0)) for n in range(40)]
    assert {row["click_time"] for row in found if row["item"] == 4} == {"1970-01-01T00:16:47+00:00"}


def test_what_cannot_be_opened_is_told(tmp_path, request):
    place = Place("kafka", tmp_path, request)
    config = member("easyrec.stream.sinks", "kafka").Config
    with pytest.raises(ConfigError, match="'acks' is set by the joiner itself"):
        config(**place.keys, options={"acks": "1"}).open("w", [])
    with pytest.raises(StoreError, match="gave no answer"):
        config(brokers="127.0.0.1:1", topic="t", retry_seconds=0.1).open("w", [])
