import functools
import json
import logging
import operator
import sys
import threading
import time

import pyarrow as pa
import pytest

from easyrec.config.data import Shuffle
from easyrec.data import Demand, Loader
from easyrec.data.prefetch import Prefetch
from easyrec.data.sources import kafka as module
from easyrec.errors import ConfigError, DataError, MissingExtra
from feature_generator import FeatureGenerator

pytest.importorskip("confluent_kafka", reason="needs the extra 'kafka'")

ROWS = [{"id": i, "word": f"w{i % 7}", "price": i / 4} for i in range(100)]


def config(broker, topic, **settings):
    return module.Config(**{"brokers": broker.address, "topic": topic, "unit_rows": 20} | settings)


@pytest.fixture
def opened(kafka):
    """`opened(topic, bad_rows=..., **settings)`: a source; all are closed at the end."""
    sources = []

    def make(topic, bad_rows="fail", **settings):
        sources.append(config(kafka, topic, **settings).open(bad_rows))
        return sources[-1]

    yield make
    for source in sources:
        source.close()


@pytest.fixture
def topic(kafka):
    """A topic of two partitions with the rows: even ones in 0, odd ones in 1."""
    name = kafka.topic(2)
    for partition in range(2):
        kafka.send(name, ROWS[partition::2], partition)
    return name


def read(source, columns=("id",), units=None):
    rows = [row for u in source.units()[slice(units)] for b in source.read(u, list(columns)) for row in b.to_pylist()]
    return [row["id"] for row in rows] if tuple(columns) == ("id",) else rows


def sent(kafka, messages, **options):
    name = kafka.topic()
    kafka.send(name, messages, **options)
    return name


# ---------------------------------------------------------------------------------------- what is read


def test_partitions_come_in_turn_and_each_in_its_order(opened, topic):
    source = opened(topic)
    assert [unit.description for unit in source.units()[:3]] == [
        f"topic {topic}, partition 0, offsets 0 to 19",
        f"topic {topic}, partition 1, offsets 0 to 19",
        f"topic {topic}, partition 0, offsets 20 to 39",
    ]
    assert read(source) == [
        i for start in (0, 40, 80) for half in (0, 1) for i in range(start + half, min(start + 40, 100), 2)
    ]
    assert source.columns == {"id": pa.int64(), "word": pa.string(), "price": pa.float64()}


def test_columns_are_typed_as_json_lines_are(opened, kafka):
    rows = [{"kv": {"a": 1, "b": 2.5}, "seq": [1, 2], "at": "2026-05-01T10:00:00", "n": 1}, {"n": 2, "kv": {}}]
    source = opened(sent(kafka, rows), columns={"at": "timestamp", "n": "float32"})
    assert source.columns == {
        "kv": pa.map_(pa.string(), pa.float64()),
        "seq": pa.list_(pa.int64()),
        "at": pa.timestamp("us"),
        "n": pa.float32(),
    }
    (first, second) = read(source, ["kv", "seq", "at", "n"])
    assert (first["kv"], first["seq"], str(first["at"])) == ([("a", 1.0), ("b", 2.5)], [1, 2], "2026-05-01 10:00:00")
    assert second == {"kv": [], "seq": None, "at": None, "n": 2.0}


def test_a_message_may_have_line_breaks(opened, kafka):
    source = opened(sent(kafka, ['{"id":\n 1}', '\n{"id": 2}\n', '{"id": 3}']))
    assert read(source) == [1, 2, 3]


def test_the_time_of_a_message_is_a_column(opened, kafka):
    name = sent(kafka, ROWS[:2], timestamp=1_700_000_000_123)
    source = opened(name, message_time="sent_at")
    assert source.columns["sent_at"] == pa.timestamp("ms")
    rows = read(source, ["sent_at", "id"])
    assert [list(row) for row in rows] == [["sent_at", "id"]] * 2
    assert {str(row["sent_at"]) for row in rows} == {"2023-11-14 22:13:20.123000"}
    assert [batch.num_columns for batch in source.read(source.units()[0], ["sent_at"])] == [1]
    with pytest.raises(ConfigError, match="have a column 'price' already"):
        opened(name, message_time="price")


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"start": "latest"}, []),
        ({"start": {0: 48, 1: 50}}, [96, 98]),
        ({"end": {0: 1, 1: 2}}, [0, 1, 3]),
        ({"start": {0: 10, 1: 20}, "end": {0: 12, 1: 5}}, [20, 22]),
    ],
)
def test_reading_begins_and_ends_where_it_is_told(opened, topic, settings, expected):
    assert read(opened(topic, **settings)) == expected


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"start": {0: 51, 1: 0}}, "start\n.*partition 0 of topic .* ends at offset 50, but 51 is asked for"),
        ({"start": {0: 5}}, "must name every partition, but partition 1 of topic .* is not there"),
        ({"end": {0: 5, 1: 5, 7: 1}}, "has no partition 7"),
        ({"end": "2126-01-01"}, "end\n.*2126-01-01 lies in the future"),
    ],
)
def test_a_place_that_is_none_is_told(opened, topic, settings, message):
    with pytest.raises(ConfigError, match=message):
        opened(topic, **settings)


def test_a_topic_that_is_not_there_or_empty_is_told(opened, kafka):
    with pytest.raises(DataError, match=r"topic topic-\d+: has no messages; name the columns"):
        opened(kafka.topic())
    with pytest.raises(DataError, match="no message is a JSON object; name the columns"):
        opened(sent(kafka, ["x", "[1]"]))
    assert read(opened(kafka.topic(), columns={"id": "int64"})) == []


# ------------------------------------------------------------------------------------ malformed messages

MALFORMED = [{"id": 1, "n": 1}, "{", {"id": 2, "n": "x"}, None, "", " \n ", {"id": 3, "m": 4}, {"id": 4, "n": 4}]


def test_the_first_malformed_message_is_named(opened, kafka):
    source = opened(sent(kafka, MALFORMED), columns={"id": "int64", "n": "int64"})
    with pytest.raises(DataError, match=r"topic topic-\d+, partition 0, offset 1: is no JSON: Expecting property"):
        read(source, ["id", "n"])
    source = opened(sent(kafka, MALFORMED[2:]), columns={"id": "int64", "n": "int64"})
    with pytest.raises(DataError, match=r"partition 0, offset 0, column 'n': \"x\" is no int64"):
        read(source, ["id", "n"])
    source = opened(sent(kafka, MALFORMED), columns={"id": "int64", "n": "int64"}, start={0: 3})
    with pytest.raises(DataError, match=r"partition 0, offset 3: is no JSON object, but null"):
        read(source, ["id", "n"])


@pytest.mark.parametrize(("policy", "ids"), [("skip", [1, 3, 4]), ("default", [1, None, 2, None, None, None, 3, 4])])
def test_malformed_messages_are_left_out_or_mended_and_counted(opened, kafka, policy, ids):
    source = opened(sent(kafka, MALFORMED), policy, columns={"id": "int64", "n": "int64"})
    (unit,) = source.units()
    rows = [row for batch in source.read(unit, ["id", "n"]) for row in batch.to_pylist()]
    assert [row["id"] for row in rows] == ids
    assert source.dropped(unit) == {
        "is no JSON": 1,
        "no int64 in 'n'": 1,
        "is no JSON object": 3,
    }
    last = source.locate(unit, len(ids) - 1)
    assert last.file.endswith("partition 0, offset 7")
    assert source.locate(unit, 1).file.endswith("offset 6" if policy == "skip" else "offset 1")


# ----------------------------------------------------------------------------------------- Arrow payload


def stream(rows, schema=None):
    table = pa.Table.from_pylist(rows, schema)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=3)
    return sink.getvalue().to_pybytes()


def test_arrow_streams_hold_many_rows_each(opened, kafka):
    name = sent(kafka, [stream(ROWS[:5]), stream([], pa.RecordBatch.from_pylist(ROWS).schema), stream(ROWS[5:12])])
    source = opened(name, payload="arrow")
    (unit,) = source.units()
    assert read(source, ["price", "id"]) == [{"price": row["price"], "id": row["id"]} for row in ROWS[:12]]
    for start in (0, 4, 5, 6, 12):
        assert sum(batch.num_rows for batch in source.read(unit, ["id"], start)) == 12 - start
    assert [source.locate(unit, row).file[-8:] for row in (4, 5)] == ["offset 0", "offset 2"]


def test_a_record_batch_may_stand_alone_where_the_config_names_its_columns(opened, kafka):
    batch = pa.RecordBatch.from_pylist(ROWS[:4])
    name = sent(kafka, [batch.serialize().to_pybytes()])
    source = opened(name, payload="arrow", columns={"id": "int64", "word": "string", "price": "float64"})
    assert read(source, ["word", "id"]) == [{"word": row["word"], "id": row["id"]} for row in ROWS[:4]]
    with pytest.raises(DataError, match="no message is an Arrow IPC stream; name the columns"):
        opened(name, payload="arrow")


def test_malformed_arrow_messages_are_named_or_left_out(opened, kafka):
    good, small = (
        stream(ROWS[:2]),
        stream([{"id": 7, "price": 1.0}], pa.schema({"id": pa.int32(), "price": pa.float64()})),
    )
    name = sent(kafka, [good, good[:200], b"x", None, stream([{"id": "a"}]), stream([{"price": 1.0}]), small])
    for offset, text in [(1, "is no Arrow IPC stream"), (3, "has no value"), (4, "'id': is string here, but int64")]:
        source = opened(name, payload="arrow", columns={"id": "int64"}, start={0: offset})
        with pytest.raises(DataError, match=f"partition 0, offset {offset}.*{text}"):
            read(source)
    source = opened(name, "skip", payload="arrow")
    assert read(source) == [0, 1, 7]
    counts = source.dropped(source.units()[0])
    assert counts.pop("no column 'id'") == counts.pop("another type of 'id'") == counts.pop("has no value") == 1
    assert counts == {"is no Arrow IPC stream": 2}


# ---------------------------------------------------------------------------------- the same rows again


def test_what_comes_after_opening_is_not_read_but_by_another_opening(opened, kafka, topic):
    source = opened(topic)
    pinned = json.loads(json.dumps(source.pinned()))
    kafka.send(topic, [{"id": 1000, "word": "new"}])
    assert 1000 not in read(source)
    other = opened(topic)
    assert 1000 in read(other)
    assert other.identity() != source.identity()
    other.pin(pinned)
    assert other.units() == source.units()
    assert other.identity() == source.identity()
    assert read(other) == read(source)


def test_types_are_pinned_too(opened, kafka):
    name = sent(kafka, [{"id": 1, "at": {"x": 1}}] * 3 + [{"id": 2.5, "at": {"x": 1, "y": "z"}}])
    source = opened(name, end={0: 3})
    kafka.delete(name, 0, 3)
    other = opened(name, columns={})
    assert other.columns["id"] == pa.float64()
    other.pin(source.pinned())
    assert other.columns == source.columns == {"id": pa.int64(), "at": pa.map_(pa.string(), pa.int64())}


def test_a_position_in_other_topics_is_refused(opened, kafka, topic):
    source = opened(topic)
    with pytest.raises(DataError, match=f"cannot resume: the topics were {topic}, and are {topic}, followed"):
        opened(topic, follow=True).pin(source.pinned())
    with pytest.raises(DataError, match=f"cannot resume: the topics were {topic}, and are {topic}, topic-1"):
        opened([topic, "topic-1"], columns={"id": "int64"}).pin(source.pinned())


MIXED = Shuffle(buffer_rows=30)


def loader_of(source, shuffle=MIXED, shard=(0, 1)):
    generator = FeatureGenerator.load({"features": [{"type": "id", "name": "word", "hash_bucket_size": 9}]})
    demand = Demand({}, reserved=["id"], bad_rows="fail")
    return Loader(source, generator, demand, batch_size=8, shuffle=shuffle, seed=3, shard=shard)


def ids(batch):
    return batch.reserved.column("id").to_pylist()


@pytest.mark.parametrize("stop", [1, 4, 9])
def test_a_loader_goes_on_with_the_batches_that_would_have_followed(opened, kafka, topic, stop):
    whole = [ids(batch) for batch in loader_of(opened(topic))]
    assert sorted(functools.reduce(operator.iadd, whole, [])) == list(range(100))
    first = loader_of(opened(topic))
    running = iter(first)
    head = [ids(next(running)) for _ in range(stop)]
    state = json.loads(json.dumps(first.state()))
    first.close()
    kafka.send(topic, ROWS[:33], 1)
    second = loader_of(opened(topic))
    second.load_state(state)
    assert head + [ids(batch) for batch in second] == whole


# ------------------------------------------------------------------------------------------- endless


def deadline(seconds=20):
    end = time.monotonic() + seconds

    def idle():
        assert time.monotonic() < end, "the rows do not come"

    return idle


def some(loader, number):
    """The next batches, then an end, as after a signal."""
    loader.idle = deadline()
    running, found = iter(loader), []
    while len(found) < number:
        found.append(ids(next(running)))
    loader.close()
    return found


def test_an_endless_topic_goes_on_with_what_comes(opened, kafka, topic):
    loader = loader_of(opened(topic, follow=True))
    assert loader.num_rows is None
    loader.idle = deadline()
    running = iter(loader)
    found = [ids(next(running)) for _ in range(12)]  # 100 rows are there: 12 batches of 8, and 4 rows that wait
    threading.Timer(0.3, kafka.send, (topic, [{"id": 100 + i, "word": "w"} for i in range(12)], 1)).start()
    found += [ids(next(running)) for _ in range(2)]
    assert sorted(functools.reduce(operator.iadd, found, [])) == list(range(112))
    loader.close()


@pytest.mark.parametrize("shuffle", [None, MIXED], ids=["in-order", "shuffled"])
def test_resuming_an_endless_topic_loses_and_repeats_nothing(opened, kafka, shuffle):
    """Rows come in dribs, and reading ends now and then, as it does where a process is killed."""
    name, state, found, came = kafka.topic(2), None, [], 0
    for portion, take in [(25, 2), (3, 1), (60, 5), (1, 0), (40, 7)]:
        kafka.send(name, [{"id": came + i, "word": "w"} for i in range(portion)], came % 2)
        came += portion
        source = opened(name, follow=True, columns={"id": "int64", "word": "string"})
        loader = loader_of(source, shuffle)
        if state is not None:
            loader.load_state(state)
        found += some(loader, take)
        state = json.loads(json.dumps(loader.state()))
        some(loader, came // 8 - len(found))  # read beyond the position: that does not count
    rest = loader_of(opened(name, follow=True, columns={"id": "int64", "word": "string"}), shuffle)
    rest.load_state(state)
    found += some(rest, came // 8 - len(found))
    seen = functools.reduce(operator.iadd, found, [])
    assert len(seen) == len(set(seen)) == came // 8 * 8
    assert set(seen) <= set(range(came))


def test_batches_after_a_position_do_not_depend_on_when_rows_came(opened, kafka):
    name = kafka.topic()
    kafka.send(name, ROWS[:30])
    loader = loader_of(opened(name, follow=True))
    running = iter(loader)
    head = [ids(next(running)) for _ in range(2)]
    kafka.send(name, ROWS[30:70])
    state = loader.state()
    following = [ids(next(running)) for _ in range(4)]
    loader.close()
    again = loader_of(opened(name, follow=True))
    again.load_state(state)
    # One row more was there when the second one began, in a unit of another size: what was decided stays.
    assert some(again, 1) == following[:1]
    assert len(set(functools.reduce(operator.iadd, head + following, []))) == 48


def test_who_waits_for_an_endless_topic_is_asked_and_may_leave(opened, kafka, monkeypatch):
    monkeypatch.setattr("easyrec.data.loader.IDLE_SECONDS", 0.05)
    loader = loader_of(opened(sent(kafka, ROWS[:9]), follow=True))
    asked = []

    def idle():
        asked.append(1)
        if len(asked) == 3:
            raise KeyError

    loader.idle = idle
    began, running = time.monotonic(), iter(loader)
    assert len(ids(next(running))) == 8
    with pytest.raises(KeyError):
        next(running)
    assert time.monotonic() - began < 30
    assert loader.state()["taken"] == 8


def test_an_endless_topic_lets_go_of_what_lies_behind(opened, kafka, monkeypatch):
    name = sent(kafka, ROWS)
    source = opened(name, follow=True, unit_rows=5)
    loader = loader_of(source)
    found = some(loader, 11)
    state = loader.state()
    assert len(state["source"]["spans"]) == module.KEPT
    assert state["source"]["first"] == 12
    assert [unit.index for unit in source.units()] == list(range(12, 20))
    again = loader_of(opened(name, follow=True, unit_rows=5))
    again.load_state(state)
    found += some(again, 1)
    assert len(set(functools.reduce(operator.iadd, found, []))) == 96


def test_workers_share_the_partitions_of_an_endless_topic(opened, topic):
    loaders = [loader_of(opened(topic, follow=True), shard=(i, 2)) for i in range(2)]
    for number, loader in enumerate(loaders):
        assert sorted(functools.reduce(operator.iadd, some(loader, 6), [])) != []
        assert {i % 2 for i in functools.reduce(operator.iadd, some(loader, 0), [])} <= {number}
        assert {span[1] for span in loader.state()["source"]["ranges"]} == {number}
        loader.source.close()
    with pytest.raises(ConfigError, match="2 partitions cannot be shared by 3 workers"):
        loader_of(opened(topic, follow=True), shard=(0, 3))


# ------------------------------------------------------------------------------------ brokers and losses


def test_a_broker_that_restarts_is_waited_for(opened, kafka, topic, caplog, monkeypatch):
    monkeypatch.setattr("easyrec.data.sources._topics.CALL_SECONDS", 0.5)
    source = opened(topic, retry_seconds=30)
    expected = read(source)
    running = iter(source.read(source.units()[0], ["id"]))
    kafka.down()
    back = threading.Timer(1.5, kafka.up)
    back.start()
    with caplog.at_level(logging.WARNING, "easyrec.data"):
        assert read(source) == expected
    back.join()
    assert sum(batch.num_rows for batch in running) == 20
    assert len(caplog.messages) == 1
    assert "give no answer" in caplog.text


def test_a_broker_that_stays_away_ends_in_one_error_that_says_how_to_go_on(opened, kafka, topic, monkeypatch):
    monkeypatch.setattr("easyrec.data.sources._topics.CALL_SECONDS", 0.3)
    source = opened(topic, retry_seconds=0.8)
    kafka.down()
    try:
        text = f"partition 0: the brokers {kafka.address} gave no answer for [12] seconds .*with --resume goes on"
        with pytest.raises(DataError, match=text):
            read(source)
        with pytest.raises(DataError, match="gave no answer"):
            opened(topic, retry_seconds=0.5)
    finally:
        kafka.up()


def test_messages_that_retention_deleted_are_told_or_passed_over(opened, kafka, caplog):
    name = sent(kafka, ROWS)
    source, lenient = opened(name), opened(name, on_lost="earliest")
    pinned = lenient.pinned()
    kafka.delete(name, 0, 30)
    with pytest.raises(DataError, match=r"the messages from offset 0 to 19 were deleted .* the earliest one is 30"):
        read(source)
    assert read(lenient) == list(range(30, 100))
    assert [text.split(": ")[1][:47] for text in caplog.messages[:2]] == [
        "the messages from offset 0 to 19 were deleted b",
        "the messages from offset 20 to 29 were deleted ",
    ]
    unit = lenient.units()[1]
    assert [sum(b.num_rows for b in lenient.read(unit, ["id"], k)) for k in (0, 5, 10, 12)] == [10, 10, 10, 8]
    fresh = opened(name)
    assert read(fresh) == list(range(30, 100))
    fresh.pin(pinned)
    with pytest.raises(DataError, match="were deleted"):
        read(fresh)


# ----------------------------------------------------------------------------------------- configuration


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"start": "tomorrow"}, "must be 'earliest', 'latest', a moment such as"),
        ({"end": "latest"}, "must be 'now', a moment such as"),
        ({"start": {0: -1}}, "an offset of at least 0"),
        ({"follow": True, "end": "2026-01-01"}, "with 'follow' there is no 'end'"),
        ({"topic": ["a", "b"], "start": {0: 1}}, "offsets by partition are of one topic"),
        ({"topic": ["a", "a"]}, "names a topic twice"),
        ({"columns": {"id": "int"}}, "unknown type 'int'"),
        ({"options": {"enable.auto.commit": True}}, "'enable.auto.commit' stays off"),
        ({"options": {"bootstrap.servers": "x"}}, "is what 'brokers' says"),
    ],
)
def test_a_config_that_cannot_work_is_told(settings, message):
    with pytest.raises(ValueError, match=message):
        module.Config(**{"brokers": "localhost:1", "topic": "t"} | settings)


def test_a_secret_is_never_shown(monkeypatch):
    options = {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN", "sasl.username": "me"}
    made = module.Config(
        brokers="127.0.0.1:1", topic="t", retry_seconds=0, options={**options, "sasl.password": "s3cr"}
    )
    assert "s3cr" not in repr(made) + str(made)
    monkeypatch.setattr("easyrec.data.sources._topics.CALL_SECONDS", 0.2)
    with pytest.raises(DataError) as error:
        made.open()
    assert "s3cr" not in str(error.value)
    with pytest.raises(ConfigError, match=r'options\n.*No such configuration property: "sasl.pasword"'):
        module.Config(brokers="127.0.0.1:1", topic="t", options={"sasl.pasword": "s3cr"}).open()
    with pytest.raises(ConfigError, match='Invalid value "\\*\\*\\*"') as refused:
        module.Config(
            brokers="127.0.0.1:1",
            topic="t",
            options={"sasl.password": "s3cr", "sasl.mechanism": "x", "security.protocol": "s3cr"},
        ).open()
    assert "s3cr" not in str(refused.value)


def test_the_extra_is_named_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)
    with pytest.raises(MissingExtra, match=r"\[kafka\]"):
        module.Config(brokers="localhost:1", topic="t").open()


def test_an_iterator_ahead_tells_its_thread_that_nobody_waits():
    from easyrec.data.prefetch import abandoned

    assert not abandoned()
    told = []

    def items():
        yield 1
        while not abandoned():
            time.sleep(0.01)
        told.append(True)

    ahead = Prefetch(items(), 4)
    assert ahead.ready(5)
    assert next(ahead) == 1
    assert not ahead.ready(0.05)
    ahead.close()
    assert told == [True]
