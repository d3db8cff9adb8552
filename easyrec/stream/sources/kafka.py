"""`kafka`: messages of a topic of Kafka, or of any broker that speaks its protocol; a JSON object each."""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import ConfigDict, Field, SecretStr

from easyrec.errors import ConfigError, DataError, MissingExtra, Problem
from easyrec.stream.decode import decode_json, kept
from easyrec.stream.sources import Events, EventSource, Malformed, Offset, SourceConfig

logger = logging.getLogger("easyrec.stream")

CALL_SECONDS = 5.0
"""How long one request to a broker may take."""
MOST = 10_000
"""Messages that are taken from the client at once."""
OWN = (
    "bootstrap.servers",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "auto.offset.reset",
    "enable.partition.eof",
)
"""Properties of the client that are not the config's to set: positions are kept in the state."""


class Config(SourceConfig):
    """Config of `kafka`."""

    model_config = ConfigDict(hide_input_in_errors=True)  # options may hold a password

    type: Literal["kafka"] = "kafka"
    brokers: str = Field(min_length=1)
    """`host:port` of some brokers."""
    topic: str = Field(min_length=1)
    start: Literal["earliest", "latest"] = "earliest"
    """Where a partition begins that was never read."""
    on_lost: Literal["fail", "earliest"] = "fail"
    """What becomes of messages that retention deleted before they were read: an error, or the earliest one is next."""
    retry_seconds: float = Field(120.0, gt=0.0)
    """For how long brokers that do not answer are asked again."""
    options: dict[str, SecretStr] = {}
    """Properties of librdkafka, such as `security.protocol` and `sasl.password`. Write secrets as `${NAME}`."""

    def open(self, schema: pa.Schema, *, until_end: bool = False) -> KafkaEvents:
        """See the family's contract."""
        return KafkaEvents(self, schema, until_end)


class KafkaEvents(EventSource):
    """Messages of a topic, read without a consumer group. An offset is the offset of a partition.

    Args:
        config: Where they are.
        schema: Columns that are asked for.
        until_end: Whether to end where they end now.

    Raises:
        ConfigError: The client refuses an option.
        DataError: There is no such topic, or no broker answers.
        MissingExtra: confluent-kafka is not installed.
    """

    def __init__(self, config: Config, schema: pa.Schema, until_end: bool) -> None:
        try:
            import confluent_kafka  # noqa: PLC0415 (an extra)
        except ImportError:
            raise MissingExtra("confluent_kafka", "kafka") from None
        self._kafka: Any = confluent_kafka
        self.config, self.schema, self.shown = config, schema, f"topic {config.topic}"
        self._patience = min(CALL_SECONDS, config.retry_seconds)
        self._last = ""
        self._away: float | None = None
        options = {key: value.get_secret_value() for key, value in config.options.items()}
        self._secrets = sorted((value for value in options.values() if len(value) > 5), key=len, reverse=True)
        refused = next((key for key in options if key in OWN), None)
        if refused is not None:
            raise ConfigError([Problem(f"'{refused}' is set by the stream itself", "options")])
        properties = {
            "group.id": "easyrec",  # the client wants one; nothing is committed to it
            "fetch.wait.max.ms": "50",
            "log_level": "2",
            **options,
            "bootstrap.servers": config.brokers,
            "enable.auto.commit": "false",
            "enable.auto.offset.store": "false",
            "auto.offset.reset": "error",
            "enable.partition.eof": "true",
            "error_cb": self._note,
        }
        try:
            self._client = confluent_kafka.Consumer(properties)
        except confluent_kafka.KafkaException as error:
            raise ConfigError([Problem(f"the client refuses them: {self._told(error.args[0])}", "options")]) from None
        self._numbers = self._ask(self._partitions)
        self._place: dict[int, int] = {}
        bounds = {number: self._bounds(number) for number in self._numbers}
        self._end = {number: high for number, (_, high) in bounds.items()} if until_end else None
        self.seek({})

    @property
    def partitions(self) -> Sequence[str]:
        """See the contract."""
        return [str(number) for number in self._numbers]

    @property
    def ended(self) -> bool:
        """See the contract."""
        return self._end is not None and all(self._place[number] >= end for number, end in self._end.items())

    def seek(self, offsets: Mapping[str, Offset]) -> None:
        """See the contract."""
        for number in self._numbers:
            low, high = self._bounds(number)
            wanted = offsets.get(str(number))
            if wanted is None:
                self._place[number] = low if self.config.start == "earliest" else high
                continue
            if wanted > high:
                told = f"ends at offset {high}, but was read up to {wanted}: was the topic made anew?"
                raise DataError(told, file=self._name(number))
            self._place[number] = max(wanted, self._found(number, wanted, low))
        topic, partition = self.config.topic, self._kafka.TopicPartition
        self._client.assign([partition(topic, number, place) for number, place in self._place.items()])

    def poll(self, most: int, seconds: float) -> list[Events]:
        """See the contract."""
        messages = self._client.consume(min(most, MOST), max(seconds, 0.01))
        by_partition: defaultdict[Any, list[Any]] = defaultdict(list)
        for message in messages:
            if message.error() is None:
                by_partition[message.partition()].append(message)
            else:
                self._heed(message)
        if messages:
            self._away, self._last = None, ""
        elif self._away is not None and time.monotonic() - self._away > self.config.retry_seconds:
            self._bounds(self._numbers[0])  # quiet, or away?
            self._away = None
        return [self._events(number, some) for number, some in by_partition.items() if some]

    def backlog(self) -> int | None:
        """Messages up to the ends that the client knows of."""
        left = 0
        for number, place in self._place.items():
            at = self._kafka.TopicPartition(self.config.topic, number)
            try:
                _, high = self._client.get_watermark_offsets(at, cached=True)
            except self._kafka.KafkaException:
                return None
            left += max(0, high - place)
        return left

    def close(self) -> None:
        """See the contract."""
        self._client.close()

    # ------------------------------------------------------------------------------------------- inside

    def _name(self, number: int) -> str:
        return f"topic {self.config.topic}, partition {number}"

    def _events(self, number: int, messages: list[Any]) -> Events:
        offsets = [message.offset() for message in messages]
        if self._end is not None and offsets[-1] >= self._end[number]:
            fit = int(np.searchsorted(offsets, self._end[number]))
            messages, offsets = messages[:fit], offsets[:fit]
            self._place[number] = self._end[number]
        else:
            self._place[number] = offsets[-1] + 1
        values = [message.value() for message in messages]
        rows, left_out = decode_json(values, self.schema)
        kinds, times = np.array([message.timestamp() for message in messages], np.int64).reshape(-1, 2).T
        # What a producer says of its clock is no witness of when a message came.
        by_broker = kinds == self._kafka.TIMESTAMP_LOG_APPEND_TIME
        arrived = np.where(by_broker, times * 1000, int(time.time() * 1e6))
        malformed = [
            Malformed(
                f"{self._name(number)}, offset {offsets[at]}", reason, (values[at] or b"").decode(errors="replace")
            )
            for at, reason in left_out
        ]
        if left_out:
            arrived = arrived[kept(len(values), left_out)]
        read = kept(len(values), left_out)
        where = partial(_message, self._name(number), [offsets[at] for at in read])
        return Events(str(number), rows, self._place[number], arrived, malformed, where)

    def _heed(self, message: Any) -> None:
        """What a partition has to tell beside its messages."""
        error, code, number = message.error(), self._kafka.KafkaError, message.partition()
        if error.code() == code._PARTITION_EOF:
            self._place[number] = max(self._place[number], message.offset())  # offsets without a message
        elif error.code() in (code._AUTO_OFFSET_RESET, code.OFFSET_OUT_OF_RANGE):
            self._place[number] = self._found(number, self._place[number], self._bounds(number)[0])
            at = self._kafka.TopicPartition(self.config.topic, number, self._place[number])
            self._client.incremental_unassign([at])
            self._client.incremental_assign([at])
        elif error.fatal() or error.code() in (
            code.TOPIC_AUTHORIZATION_FAILED,
            code._UNKNOWN_TOPIC,
            code._UNKNOWN_PARTITION,
        ):
            raise DataError(f"cannot be read: {self._told(error)}", file=self._name(number))

    def _found(self, number: int, wanted: int, low: int) -> int:
        """Where to go on where retention may have deleted what comes next."""
        if low <= wanted:
            return wanted
        told = f"the messages from offset {wanted} to {low - 1} were deleted before they were read"
        if self.config.on_lost == "fail":
            raise DataError(f"{told}. With `on_lost: earliest` reading goes on at {low}", file=self._name(number))
        logger.warning("%s: %s", self._name(number), told)
        return low

    def _partitions(self) -> list[int]:
        found = self._client.list_topics(self.config.topic, timeout=self._patience).topics[self.config.topic]
        if found.error is not None:
            raise self._kafka.KafkaException(found.error)
        return sorted(found.partitions)

    def _bounds(self, number: int) -> tuple[int, int]:
        """The first offset of a partition, and the one behind its last."""
        at = self._kafka.TopicPartition(self.config.topic, number)
        found: tuple[int, int] = self._ask(lambda: self._client.get_watermark_offsets(at, timeout=self._patience))
        return found

    def _ask(self, call: Any) -> Any:
        """Ask the brokers, again and again while they are away."""
        begun, pause, code = time.monotonic(), 0.1, self._kafka.KafkaError
        while True:
            try:
                return call()
            except self._kafka.KafkaException as error:
                told = self._told(error.args[0])
                if error.args[0].code() in (code.UNKNOWN_TOPIC_OR_PART, code._UNKNOWN_TOPIC):
                    raise DataError("there is no such topic", file=self.shown) from None
                if time.monotonic() - begun > self.config.retry_seconds:
                    text = (
                        f"the brokers {self.config.brokers} gave no answer for {time.monotonic() - begun:.0f} seconds"
                    )
                    raise DataError(f"{text} ({self._last or told})", file=self.shown) from None
            self._client.poll(0)  # what it has to tell of its brokers
            time.sleep(pause)
            pause = min(2 * pause, 5.0)

    def _note(self, error: Any) -> None:
        """Hears from the client that something is wrong with a broker."""
        self._last = self._told(error)
        self._away = self._away or time.monotonic()
        logger.warning("%s: %s", self.shown, self._last)

    def _told(self, error: Any) -> str:
        """An error in words, without secrets."""
        text = str(error.str())
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text


def _message(name: str, offsets: Sequence[int], row: int) -> str:
    return f"{name}, offset {offsets[row]}"
