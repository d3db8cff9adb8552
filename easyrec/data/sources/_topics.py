"""`Topics`: partitions of Kafka topics and the messages in them, patient while brokers are away; secrets are never shown."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from threading import Lock
from typing import Any, Literal, TypeVar

from easyrec.data.prefetch import abandoned
from easyrec.errors import ConfigError, DataError, MissingExtra, Problem

logger = logging.getLogger("easyrec.data")

T = TypeVar("T")

OWN = {
    "bootstrap.servers": "is what 'brokers' says",
    "enable.auto.commit": "stays off: the position is kept in checkpoints",
    "enable.auto.offset.store": "stays off: the position is kept in checkpoints",
    "auto.offset.reset": "is what 'on_lost' says",
    "enable.partition.eof": "stays on",
}
"""Properties of the client that are not the config's to set, and why."""

DEFAULTS = {
    "group.id": "easyrec",  # the client wants one; nothing is committed to it
    "fetch.wait.max.ms": "50",  # a reader that jumps to another partition waits for the request before
    "queued.max.messages.kbytes": "16384",  # what is read ahead of a jump is thrown away
    "log_level": "2",  # its warnings would come beside ours
}

HIDDEN = "***"
_SECRET = re.compile(r"password|secret|token|sasl\.oauthbearer\.config|\.pem$|\.key$|jaas", re.IGNORECASE)

CALL_SECONDS = 5.0
"""How long one request to a broker may take before it is asked anew."""

MOST, MOST_BYTES = 10_000, 8 << 20
"""Messages that are taken at once, and about how much they hold."""

PAUSE = 0.2
"""Seconds for which a client is waited for at a time."""


@dataclass(frozen=True)
class Span:
    """Consecutive offsets of a partition.

    Attributes:
        topic: Name of the topic.
        partition: Number of the partition.
        start: First offset.
        stop: Offset behind the last one.
    """

    topic: str
    partition: int
    start: int
    stop: int

    @property
    def name(self) -> str:
        """The partition, as errors name it."""
        return f"topic {self.topic}, partition {self.partition}"


@dataclass
class _Reader:
    """A client, and where it goes on if it is not sent elsewhere."""

    client: Any
    topic: str = ""
    partition: int = -1
    offset: int = -1


class Topics:
    """Topics of one cluster, read without a consumer group: every reading says from where to where.

    Args:
        brokers: `host:port` of some brokers.
        options: Properties of librdkafka, such as those of SASL and TLS.
        patience: Seconds for which a broker that does not answer is asked again.
        on_lost: What becomes of a position that retention has deleted.

    Raises:
        MissingExtra: confluent-kafka is not installed.
        ConfigError: A property is unknown, or is not the config's to set.
    """

    def __init__(
        self, brokers: str, options: Mapping[str, str], patience: float, on_lost: Literal["fail", "earliest"]
    ) -> None:
        try:
            import confluent_kafka  # noqa: PLC0415 (an extra)
        except ImportError:
            raise MissingExtra("confluent_kafka", "kafka") from None
        self._kafka: Any = confluent_kafka
        self.brokers, self.patience, self.on_lost = brokers, patience, on_lost
        self._secrets = [value for key, value in options.items() if _SECRET.search(key) and value]
        self._properties = {
            **DEFAULTS,
            **options,
            "bootstrap.servers": brokers,
            "enable.auto.commit": "false",
            "enable.auto.offset.store": "false",
            "auto.offset.reset": "error",
            "enable.partition.eof": "true",
            "error_cb": self._note,
        }
        self._last = ""  # what a client said last of its brokers
        self._refused = ""  # what no patience mends
        self._idle: list[_Reader] = []
        self._lock = Lock()
        self._idle.append(self._reader())  # a wrong property is told at once

    def hide(self, text: str) -> str:
        """The text without secrets."""
        for secret in sorted(self._secrets, key=len, reverse=True):
            text = text.replace(secret, HIDDEN)
        return text

    def partitions(self, topic: str) -> list[int]:
        """Numbers of a topic's partitions.

        Raises:
            DataError: There is no such topic, or no broker answers.
        """
        unknown = {self._kafka.KafkaError.UNKNOWN_TOPIC_OR_PART, self._kafka.KafkaError._UNKNOWN_TOPIC}

        def ask(client: Any) -> list[int]:
            found = client.list_topics(topic, timeout=CALL_SECONDS).topics[topic]
            if found.error is not None and found.error.code() in unknown:
                raise DataError("there is no such topic", file=f"topic {topic}")
            if found.error is not None:
                raise self._kafka.KafkaException(found.error)
            return sorted(found.partitions)

        return self._ask(ask, f"topic {topic}")

    def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        """The first offset of a partition, and the one behind its last."""
        at = self._kafka.TopicPartition(topic, partition)

        def ask(client: Any) -> tuple[int, int]:
            low, high = client.get_watermark_offsets(at, timeout=CALL_SECONDS)
            return int(low), int(high)

        return self._ask(ask, f"topic {topic}, partition {partition}")

    def at(self, topic: str, partition: int, milliseconds: int) -> int | None:
        """The first offset of a message of this time or later; None where there is none."""
        asked = [self._kafka.TopicPartition(topic, partition, milliseconds)]

        def ask(client: Any) -> int | None:
            (found,) = client.offsets_for_times(asked, timeout=CALL_SECONDS)
            if found.error is not None:
                raise self._kafka.KafkaException(found.error)
            return None if found.offset < 0 else int(found.offset)

        return self._ask(ask, f"topic {topic}, partition {partition}")

    def read(self, span: Span) -> Iterator[tuple[list[Any], int]]:
        """The messages of a span, some at a time, with the number of offsets before them that were deleted unread.

        Compacted topics and transactions leave offsets without a message.

        Raises:
            DataError: The broker is away for too long, or refuses; the messages were deleted and must not be.
        """
        error_code = self._kafka.KafkaError
        reader, at, lost = self._seated(span), span.start, 0
        waited, most = time.monotonic(), MOST
        warned = done = False
        try:
            while at < span.stop and not done:
                messages = reader.client.consume(min(most, span.stop - at), PAUSE)
                reader.offset = -1
                errors = [message for message in messages if message.error() is not None]
                taken = messages if not errors else [message for message in messages if message.error() is None]
                if taken:
                    last = taken[-1].offset()
                    if last >= span.stop:
                        taken, done = [message for message in taken if message.offset() < span.stop], True
                    at, waited, warned = last + 1, time.monotonic(), False
                    reader.offset, self._last = at, ""
                    if taken:
                        size = sum([len(message.value() or b"") for message in taken]) // len(taken)
                        most = max(1, min(MOST, MOST_BYTES // (size + 1)))
                        yield taken, lost
                        lost = 0
                for message in errors:
                    code = message.error().code()
                    if code == error_code._PARTITION_EOF:
                        done = done or self._ends(span, max(at, message.offset()))
                    elif code in (error_code._AUTO_OFFSET_RESET, error_code.OFFSET_OUT_OF_RANGE):
                        deleted = self._lost(span, at)
                        at, lost = at + deleted, lost + deleted
                        if at < span.stop:
                            self._seat(reader, span, at)
                    else:
                        self._judge(message.error(), span.name)
                if not messages:
                    if abandoned():
                        return
                    warned = self._heed(waited, span.name, warned=warned)
        finally:
            with self._lock:
                self._idle.append(reader)

    def close(self) -> None:
        """Let go of all clients that nobody reads with."""
        with self._lock:
            readers, self._idle = self._idle, []
        for reader in readers:
            reader.client.close()

    # -------------------------------------------------------------------------------------------- clients

    def _reader(self) -> _Reader:
        try:
            return _Reader(self._kafka.Consumer(self._properties))
        except self._kafka.KafkaException as error:
            text = self.hide(error.args[0].str())
            raise ConfigError([Problem(f"the client refuses them: {text}", "options")]) from None

    def _borrowed(self, wanted: Callable[[_Reader], bool]) -> _Reader:
        with self._lock:
            found = next((reader for reader in self._idle if wanted(reader)), None)
            found = found or (self._idle[-1] if self._idle else None)
            if found is not None:
                self._idle.remove(found)
                return found
        return self._reader()

    def _seated(self, span: Span) -> _Reader:
        """A client that gives the span's messages next."""
        here = (span.topic, span.partition, span.start)
        reader = self._borrowed(lambda reader: (reader.topic, reader.partition, reader.offset) == here)
        if (reader.topic, reader.partition, reader.offset) != here:
            self._seat(reader, span, span.start)
        return reader

    def _seat(self, reader: _Reader, span: Span, at: int) -> None:
        reader.client.assign([self._kafka.TopicPartition(span.topic, span.partition, at)])
        reader.topic, reader.partition, reader.offset = span.topic, span.partition, at

    # ------------------------------------------------------------------------------------------- patience

    def _ask(self, call: Callable[[Any], T], where: str) -> T:
        started, pause, warned = time.monotonic(), 0.1, False
        reader = self._borrowed(lambda reader: reader.offset < 0)
        try:
            while True:
                try:
                    return call(reader.client)
                except self._kafka.KafkaException as error:
                    reader.client.poll(0)  # what it has to tell of its brokers
                    self._judge(error.args[0], where)
                warned = self._heed(started, where, warned=warned)
                time.sleep(pause)
                pause = min(2 * pause, 5.0, max(0.1, self.patience / 10))
        finally:
            reader.offset = -1
            with self._lock:
                self._idle.append(reader)

    def _note(self, error: Any) -> None:
        """Hears from a client that something is wrong with a broker."""
        self._last = self.hide(error.str())
        if error.code() in (self._kafka.KafkaError._AUTHENTICATION, self._kafka.KafkaError._SSL):
            self._refused = self._last

    def _judge(self, error: Any, where: str) -> None:
        """Raise what waiting does not mend."""
        code = self._kafka.KafkaError
        text = self.hide(error.str())
        hopeless = (
            code.TOPIC_AUTHORIZATION_FAILED,
            code.CLUSTER_AUTHORIZATION_FAILED,
            code.SASL_AUTHENTICATION_FAILED,
            code._AUTHENTICATION,
            code._SSL,
        )
        if error.code() in hopeless or error.fatal():
            raise DataError(f"cannot be read: {text}", file=where)
        if not self._last or error.code() not in (code._TRANSPORT, code._TIMED_OUT):
            self._last = text

    def _heed(self, since: float, where: str, *, warned: bool) -> bool:
        """Warn, and after too long raise, where nothing came; whether it has been warned."""
        if self._refused:
            raise DataError(f"the brokers {self.brokers} let nobody in: {self._refused}", file=where)
        waited, told = time.monotonic() - since, f" ({self._last})" if self._last else ""
        if waited > self.patience:
            raise DataError(
                f"the brokers {self.brokers} gave no answer for {waited:.0f} seconds{told}. Nothing that is saved is lost: "
                "once they are back, the same command with --resume goes on from the last checkpoint",
                file=where,
            )
        if not warned and waited > CALL_SECONDS:
            text = "%s: the brokers %s give no answer%s; they are asked again for %.0f seconds"
            logger.warning(text, where, self.brokers, told, self.patience)
            return True
        return warned

    # ---------------------------------------------------------------------------------- ends and losses

    def _ends(self, span: Span, end: int) -> bool:
        """At the end of a partition: whether that is the span's. After a change of its leader more may come back."""
        if end >= span.stop:
            return True
        self._last = f"it ends at offset {end}, but had messages up to {span.stop - 1}: was the topic made anew?"
        return False

    def _lost(self, span: Span, at: int) -> int:
        """How many offsets from `at` on retention has deleted."""
        low, high = self.bounds(span.topic, span.partition)
        if low <= at:
            raise DataError(f"has no offset {at}, but those from {low} to {high - 1}", file=span.name)
        count = min(low, span.stop) - at
        told = f"the messages from offset {at} to {at + count - 1} were deleted before they were read"
        if self.on_lost == "fail":
            text = f"{told}; the earliest one is {low}. With `on_lost: earliest` reading goes on there"
            raise DataError(text, file=span.name)
        logger.warning("%s: %s", span.name, told)
        return count


def milliseconds(text: str) -> int:
    """Milliseconds since 1970 of an ISO moment, UTC where it names no zone.

    Raises:
        ValueError: It is none.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return round(moment.timestamp() * 1000)


def spans_of(ranges: Sequence[Span], size: int) -> list[Span]:
    """The ranges in pieces of `size` offsets, those of all partitions in turn."""
    pieces = [
        (start - whole.start, number, Span(whole.topic, whole.partition, start, min(start + size, whole.stop)))
        for number, whole in enumerate(ranges)
        for start in range(whole.start, whole.stop, size)
    ]
    return [piece for _, _, piece in sorted(pieces, key=lambda entry: entry[:2])]
