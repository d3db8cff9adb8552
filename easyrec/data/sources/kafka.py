"""`kafka`: messages of Kafka topics, from where to where a checkpoint says; a unit is a range of offsets of a partition."""

from __future__ import annotations

import base64
import json
import time
from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple
from threading import Lock
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import ConfigDict, Field, SecretStr, field_validator, model_validator
from typing_extensions import Self

from easyrec.data.prefetch import abandoned
from easyrec.data.sources import Place, Policy, Source, SourceConfig, Unit
from easyrec.data.sources._options import SecretOptions, plain
from easyrec.data.sources._payload import PAYLOADS
from easyrec.data.sources._topics import OWN, Span, Topics, milliseconds, spans_of
from easyrec.data.sources._types import check_types, parse_type
from easyrec.errors import ConfigError, DataError, Problem

SAMPLE_MESSAGES, SAMPLE_BYTES = 10_000, 4 << 20
"""Messages from which columns and types are inferred, and about how much they hold at most."""

POLL_SECONDS, PARTITIONS_SECONDS = 0.5, 30.0
"""How often an endless source asks for new messages, and for new partitions."""

TIME = pa.timestamp("ms")
"""Type of the column of message times: UTC."""

KEPT = 8
"""Units whose offsets are remembered, so that an error can name them; and those an endless source has at least."""


class Config(SourceConfig):
    """Config of `kafka`.

    Attributes:
        brokers: `host:port` of some brokers.
        topic: Topic, or a list of them.
        payload: What a message holds: `json`, one object; `arrow`, an IPC stream, or a record batch alone where `columns`
            names all of its columns.
        columns: Types by column, as for `jsonl`. The others are inferred from the first messages.
        start: `earliest`; `latest`; an ISO moment, UTC where it names no zone; or an offset by partition.
        end: `now`, what is there at opening; an ISO moment; or the offset behind the last one by partition.
        follow: Whether to go on with what comes after opening, without an end.
        message_time: Name of a column that holds the messages' timestamps.
        unit_rows: Offsets that are read at once, and that are shuffled and shared out together.
        retry_seconds: For how long brokers that do not answer are asked again.
        on_lost: What becomes of messages that retention deleted before they were read: an error, or reading goes on at
            the earliest one.
        options: Properties of librdkafka, such as `security.protocol` and `sasl.password`. Write secrets as `${NAME}`.
    """

    model_config = ConfigDict(hide_input_in_errors=True)  # options may hold a password

    type: Literal["kafka"] = "kafka"
    brokers: str = Field(min_length=1)
    topic: str | list[str] = Field(min_length=1)
    payload: Literal["json", "arrow"] = "json"
    columns: dict[str, str] = {}
    start: str | dict[int, int] = "earliest"
    end: str | dict[int, int] = "now"
    follow: bool = False
    message_time: str | None = Field(None, min_length=1)
    unit_rows: int = Field(50_000, gt=0)
    retry_seconds: float = Field(120.0, ge=0.0)
    on_lost: Literal["fail", "earliest"] = "fail"
    options: SecretOptions = {}

    @field_validator("columns")
    @classmethod
    def _known(cls, value: dict[str, str]) -> dict[str, str]:
        return check_types(value)

    @field_validator("options")
    @classmethod
    def _allowed(cls, value: dict[str, SecretStr]) -> dict[str, SecretStr]:
        refused = [f"'{key}' {OWN[key]}" for key in value if key in OWN]
        if refused:
            raise ValueError("\n".join(refused))
        return value

    @field_validator("start", "end")
    @classmethod
    def _place(cls, value: str | dict[int, int], info: Any) -> str | dict[int, int]:
        words = ("earliest", "latest") if info.field_name == "start" else ("now",)
        if isinstance(value, dict):
            if not value or min(*value, *value.values(), 0) < 0:
                raise ValueError("must give an offset of at least 0 to each partition")
        elif value not in words:
            try:
                milliseconds(value)
            except ValueError:
                listed = ", ".join(f"'{word}'" for word in words)
                text = (
                    f"must be {listed}, a moment such as 2026-05-01T12:00, or offsets by partition such as {{0: 1200}}"
                )
                raise ValueError(text) from None
        return value

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.follow and self.end != "now":
            raise ValueError("with 'follow' there is no 'end': leave out one of both")
        if len(self.topics) > 1 and (isinstance(self.start, dict) or isinstance(self.end, dict)):
            raise ValueError("offsets by partition are of one topic: make each topic a source of its own")
        if len(set(self.topics)) < len(self.topics):
            raise ValueError("names a topic twice")
        return self

    @property
    def topics(self) -> list[str]:
        """The topics' names."""
        return [self.topic] if isinstance(self.topic, str) else self.topic

    def open(self, bad_rows: Policy = "fail") -> KafkaSource:
        """The messages between `start` and `end` as they are now.

        Raises:
            MissingExtra: confluent-kafka is not installed.
        """
        return KafkaSource(self, bad_rows)


class KafkaSource(Source):
    """Messages of topics.

    What is read is decided at opening, as ranges of offsets; an endless source adds ranges to them as messages come. A
    range, once decided, is part of what a checkpoint pins, so that the same messages are read again from the same
    place.

    Args:
        config: Where the messages are.
        bad_rows: What becomes of malformed messages, as for `jsonl`.
        shard: (i, n): of an endless source, only the partitions that are worker i's of n.

    Raises:
        ConfigError: `start` and `end` do not fit the topic.
        DataError: There is no such topic, or no broker answers; no columns are known.
    """

    def __init__(self, config: Config, bad_rows: Policy = "fail", shard: tuple[int, int] = (0, 1)) -> None:
        self._config, self._bad_rows, self._shard = config, bad_rows, shard
        self.endless = config.follow
        self._topics = Topics(config.brokers, plain(config.options), config.retry_seconds, config.on_lost)
        given = {name: parse_type(text) for name, text in config.columns.items()}
        self._payload = PAYLOADS[config.payload](given, bad_rows)
        self._lock = Lock()
        self._dropped: dict[int, Counter[str]] = {}
        self._places: OrderedDict[int, list[np.ndarray]] = OrderedDict()
        self._decide(self._opened(), config.unit_rows)
        self._asked = time.monotonic()  # for partitions
        self._learn_columns()

    def units(self) -> list[Unit]:
        """Ranges of offsets, those of all partitions in turn; of an endless source, those that are known by now."""
        with self._lock:
            return [_unit(index, span) for index, span in enumerate(self._spans, self._first)]

    def read(self, unit: Unit, columns: Sequence[str], start_row: int = 0) -> Iterator[pa.RecordBatch]:
        """The messages of the range; only `columns` are converted."""
        with self._lock:
            span = self._spans[unit.index - self._first]
        wanted = [name for name in columns if name != self._config.message_time]
        dropped, places = Counter[str](), list[np.ndarray]()
        self._dropped[unit.index] = dropped
        self._places[unit.index] = places
        while len(self._places) > KEPT:
            self._places.popitem(last=False)
        for messages, lost in self._topics.read(span):
            offsets = np.array([message.offset() for message in messages], np.int64)
            try:
                parsed, rows = self._payload.parse([message.value() for message in messages], wanted)
            except DataError as error:
                where = span.name if error.row is None else f"{span.name}, offset {offsets[error.row]}"
                raise DataError(error.reason, column=error.column, file=where) from None
            dropped.update(parsed.counts)
            places.append(np.repeat(offsets, rows))
            batch = parsed.batch
            if len(wanted) < len(columns):
                times = np.array([message.timestamp()[1] for message in messages], np.int64)
                batch = _with_times(batch, np.repeat(times, rows), columns)
            start_row = max(0, start_row - lost)  # rows before the position that are there no more
            skipped = min(start_row, batch.num_rows)
            start_row -= skipped
            if skipped < batch.num_rows:
                yield batch.slice(skipped)

    def locate(self, unit: Unit, row: int) -> Place:
        """Topic, partition and offset of a row of a unit that was read lately."""
        for offsets in list(self._places.get(unit.index, ())):
            if row < len(offsets):
                return Place(f"{unit.file}, offset {offsets[row]}", None)
            row -= len(offsets)
        return Place(unit.description, row)

    def dropped(self, unit: Unit) -> Mapping[str, int]:
        """Malformed messages of the unit, by reason."""
        return self._dropped.get(unit.index, {})

    def pinned(self, first: int = 0) -> dict[str, Any]:
        """The ranges, and the types of the columns."""
        schema = pa.schema(list(self._payload.columns.items())).serialize().to_pybytes()
        with self._lock:
            state: dict[str, Any] = {
                "topics": self._config.topics,
                "unit_rows": self._size,
                "columns": base64.b64encode(schema).decode(),
                "ranges": [list(astuple(span)) for span in self._ranges],
            }
            if self.endless:
                self._forget(first)
                state |= {"first": self._first, "spans": [list(astuple(span)) for span in self._spans]}
            return state

    def pin(self, state: Mapping[str, Any]) -> None:
        """Have the ranges of another opening; the topics may have more messages by now, and may have lost some."""
        was = (state["topics"], "spans" in state)
        if was != (self._config.topics, self.endless):
            told = ", ".join(was[0]) + ", followed" * was[1]
            ours = ", ".join(self._config.topics) + ", followed" * self.endless
            raise DataError(f"cannot resume: the topics were {told}, and are {ours}")
        schema = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(state["columns"])))
        self._payload.columns = {field.name: field.type for field in schema}
        self._describe_columns()
        self._decide([Span(*entry) for entry in state["ranges"]], int(state["unit_rows"]))
        if self.endless:
            with self._lock:
                self._first, self._spans = int(state["first"]), [Span(*entry) for entry in state["spans"]]

    def unit(self, index: int) -> Unit | None:
        """A unit of an endless source, once there are messages for it."""
        while True:
            with self._lock:
                if index < self._first + len(self._spans):
                    return _unit(index, self._spans[index - self._first])
            if abandoned():
                return None
            if not self._grow():
                time.sleep(POLL_SECONDS)

    def share(self, shard: tuple[int, int]) -> KafkaSource:
        """The partitions of one worker."""
        if shard == self._shard:
            return self
        count = sum(len(self._topics.partitions(topic)) for topic in self._config.topics)
        if count < shard[1]:
            raise ConfigError([Problem(f"{count} partitions cannot be shared by {shard[1]} workers", "follow")])
        return KafkaSource(self._config, self._bad_rows, shard)

    def identity(self) -> str:
        """The ranges of offsets."""
        return json.dumps(self.pinned(), sort_keys=True)

    def close(self) -> None:
        """Let go of the clients."""
        self._topics.close()

    # --------------------------------------------------------------------------------------------- ranges

    def _opened(self) -> list[Span]:
        """From where to where each partition is read; of an endless source, what is there now."""
        config, found = self._config, []
        for topic, partition in self._partitions():
            low, high = self._topics.bounds(topic, partition)
            start = self._offset("start", topic, partition, low, high)
            stop = self._offset("end", topic, partition, low, high)
            found.append(Span(topic, partition, start, max(start, stop)))
        for topic in config.topics:
            there = {span.partition for span in found if span.topic == topic}
            for key in ("start", "end"):
                given = getattr(config, key)
                if isinstance(given, dict) and given.keys() - there and self._shard == (0, 1):
                    text = f"topic {topic} has no partition {min(given.keys() - there)}"
                    raise ConfigError([Problem(text, key)])
        return found

    def _partitions(self) -> list[tuple[str, int]]:
        """The partitions of all topics that are this worker's."""
        every = [(topic, number) for topic in self._config.topics for number in self._topics.partitions(topic)]
        return every[self._shard[0] :: self._shard[1]] if self.endless else every

    def _offset(self, key: str, topic: str, partition: int, low: int, high: int) -> int:
        place = getattr(self._config, key)
        if isinstance(place, dict):
            if partition not in place:
                text = f"must name every partition, but partition {partition} of topic {topic} is not there"
                raise ConfigError([Problem(text, key)])
            if place[partition] > high:
                text = (
                    f"partition {partition} of topic {topic} ends at offset {high}, but {place[partition]} is asked for"
                )
                raise ConfigError([Problem(text, key)])
            return int(place[partition])
        if place in ("earliest", "latest", "now"):
            return low if place == "earliest" else high
        moment = milliseconds(place)
        if moment > time.time() * 1000:
            raise ConfigError([Problem(f"{place} lies in the future: what comes until then is not there yet", key)])
        found = self._topics.at(topic, partition, moment)
        return high if found is None else min(found, high)

    def _decide(self, ranges: Sequence[Span], size: int) -> None:
        with self._lock:
            self._ranges, self._size = list(ranges), size
            self._first, self._spans = 0, spans_of(self._ranges, size)
            self._dropped.clear()
            self._places.clear()

    def _grow(self) -> bool:
        """Decide what is read next of messages that came since; False where none did."""
        known: dict[tuple[str, int], Span | None] = {(s.topic, s.partition): s for s in self._ranges}
        if time.monotonic() - self._asked > PARTITIONS_SECONDS:
            known |= {partition: None for partition in self._partitions() if partition not in known}
            self._asked = time.monotonic()
        ranges, grown = [], []
        for key, span in known.items():
            low, high = self._topics.bounds(*key)
            start, stop = (low, low) if span is None else (span.start, span.stop)
            ranges.append(Span(*key, start, max(stop, high)))
            if high > stop:
                grown.append(Span(*key, stop, high))
        with self._lock:
            self._ranges = ranges
            self._spans += spans_of(grown, self._size)
        return bool(grown)

    def _forget(self, first: int) -> None:
        """Let go of units before `first`, but for the newest."""
        passed = min(first - self._first, len(self._spans) - KEPT)
        if passed > 0:
            for index in range(self._first, self._first + passed):
                self._dropped.pop(index, None)
            self._first, self._spans = self._first + passed, self._spans[passed:]

    # -------------------------------------------------------------------------------------------- columns

    def _learn_columns(self) -> None:
        """Infer what the config leaves open.

        Raises:
            DataError: There is nothing to infer it from.
        """
        sample = self._sample()
        self._payload.infer(sample)
        if not self._payload.columns:
            text = f"no message is {self._payload.kind}" if sample else "has no messages"
            hint = "; name the columns: `columns: {item_id: int64}`"
            raise DataError(text + hint, file=f"topic {', '.join(self._config.topics)}")
        self._describe_columns()

    def _sample(self) -> list[bytes | None]:
        """The first messages that are read, else the newest that are there."""
        filled = [span for span in self._ranges if span.stop > span.start]
        for span in [] if filled else self._ranges:
            low, high = self._topics.bounds(span.topic, span.partition)
            if high > low:
                filled.append(Span(span.topic, span.partition, max(low, high - SAMPLE_MESSAGES), high))
        sample: list[bytes | None] = []
        for span in filled:
            stop = min(span.stop, span.start + SAMPLE_MESSAGES - len(sample))
            for messages, _ in self._topics.read(Span(span.topic, span.partition, span.start, stop)):
                sample += [message.value() for message in messages]
                if sum(len(value or b"") for value in sample) > SAMPLE_BYTES:
                    return sample
        return sample

    def _describe_columns(self) -> None:
        name = self._config.message_time
        if name is not None and name in self._payload.columns:
            raise ConfigError([Problem(f"the messages have a column '{name}' already", "message_time")])
        self.columns = {**self._payload.columns, **({} if name is None else {name: TIME})}


def _unit(index: int, span: Span) -> Unit:
    return Unit(index, None, f"{span.name}, offsets {span.start} to {span.stop - 1}", span.name, span.start)


def _with_times(batch: pa.RecordBatch, times: np.ndarray, columns: Sequence[str]) -> pa.RecordBatch:
    """The batch with a column of times where `columns` names one that it has not; a negative time is none."""
    found = pa.array(times, pa.int64(), mask=times < 0).cast(TIME)
    known = dict(zip(batch.schema.names, batch.columns, strict=True))
    return pa.RecordBatch.from_arrays([known.get(name, found) for name in columns], list(columns))
