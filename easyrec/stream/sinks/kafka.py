"""`kafka`: a topic of Kafka, or of any broker that speaks its protocol; a JSON object a sample.

The broker and the state have no transaction in common. So the note of a step holds the rows, and where the topic ended before
them; who goes on after a stop reads from there which of them are in the topic, and sends the others.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import ConfigDict, Field, SecretStr

from easyrec.errors import ConfigError, MissingExtra, Problem, StoreError
from easyrec.stream.sinks import Sink, SinkConfig

HEADER = "easyrec-sample"
"""Of a message: its writer, and the numbers of the step and the row."""
OWN = ("bootstrap.servers", "enable.idempotence", "acks")
"""Properties of the client that are not the config's to set: on them rests that a sample is there once."""
ENDS, BEFORE = "ends", b"\n"


class Config(SinkConfig):
    """Config of `kafka`."""

    model_config = ConfigDict(hide_input_in_errors=True)  # options may hold a password

    type: Literal["kafka"] = "kafka"
    brokers: str = Field(min_length=1)
    """`host:port` of some brokers."""
    topic: str = Field(min_length=1)
    """There already."""
    retry_seconds: float = Field(120.0, gt=0.0)
    """For how long brokers that do not answer are asked again."""
    options: dict[str, SecretStr] = {}
    """Properties of librdkafka, such as `security.protocol` and `sasl.password`. Write secrets as `${NAME}`."""

    def open(self, writer: str, keys: Sequence[str]) -> KafkaSink:
        """See the family's contract."""
        return KafkaSink(self, writer, keys)


class KafkaSink(Sink):
    """Messages of a topic.

    Args:
        config: Where they go.
        writer: Who writes.
        keys: Columns whose texts are the key of a message, so that a sample and its correction are in one partition.

    Raises:
        ConfigError: The client refuses an option.
        MissingExtra: confluent-kafka is not installed.
        StoreError: There is no such topic, or no broker answers.
    """

    def __init__(self, config: Config, writer: str, keys: Sequence[str]) -> None:
        try:
            import confluent_kafka  # noqa: PLC0415 (an extra)
        except ImportError:
            raise MissingExtra("confluent_kafka", "kafka") from None
        self._kafka: Any = confluent_kafka
        self._config, self._keys, self.shown = config, list(keys), f"topic {config.topic}"
        self._writer = writer
        refused = next((key for key in config.options if key in OWN), None)
        if refused is not None:
            raise ConfigError([Problem(f"'{refused}' is set by the joiner itself", "options")])
        options = {key: value.get_secret_value() for key, value in config.options.items()}
        self._common = {"log_level": "2", **options, "bootstrap.servers": config.brokers}
        timeout = {"message.timeout.ms": str(round(config.retry_seconds * 1000))}
        properties = {"linger.ms": "20", **self._common, **timeout, "enable.idempotence": "true", "acks": "all"}
        try:
            self._producer = confluent_kafka.Producer(properties)
        except confluent_kafka.KafkaException as error:
            raise ConfigError([Problem(f"the client refuses them: {error.args[0].str()}", "options")]) from None
        self._ends = self._ends_now()

    def prepare(self, step: int, rows: pa.Table, times: np.ndarray) -> bytes:
        """See the family's contract."""
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, rows.schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as writer:
            writer.write_table(rows)
        head = json.dumps({"step": step, ENDS: self._ends}).encode()
        body: bytes = sink.getvalue().to_pybytes()
        return head + BEFORE + body

    def publish(self, note: bytes, *, again: bool = False) -> None:
        """See the family's contract."""
        head, _, body = note.partition(BEFORE)
        told, rows = json.loads(head), pa.ipc.open_stream(body).read_all()
        step, failed = told["step"], list[str]()
        there = self._there({int(number): end for number, end in told[ENDS].items()}, step) if again else set()

        def delivered(error: Any, message: Any) -> None:
            if error is not None:
                failed.append(error.str())
            else:
                number = str(message.partition())
                self._ends[number] = max(self._ends[number], message.offset() + 1)

        texts = [rows[name].combine_chunks().cast(pa.string()) for name in self._keys]
        keys = pc.binary_join_element_wise(*texts, "\x1f").to_pylist()
        for row, (key, value) in enumerate(zip(keys, _json(rows), strict=True)):
            if row not in there:
                self._send(key, value, f"{self._writer}:{step}:{row}", delivered)
        self._producer.flush(self._config.retry_seconds)
        if failed or len(self._producer):
            reason = failed[0] if failed else "no answer"
            raise StoreError(f"samples cannot be written to {self.shown}: {reason}; what is missing is sent next time")

    def forget(self) -> None:
        """Nothing is prepared in the topic."""

    def close(self) -> None:
        """See the family's contract."""
        self._producer.flush(1.0)

    # ------------------------------------------------------------------------------------------- inside

    def _send(self, key: str, value: bytes, name: str, delivered: Any) -> None:
        while True:
            try:
                self._producer.produce(
                    self._config.topic, value, key, headers={HEADER: name.encode()}, on_delivery=delivered
                )
            except BufferError:  # noqa: PERF203 (it has as much as it takes)
                self._producer.poll(0.1)
            else:
                self._producer.poll(0)
                return

    def _ends_now(self) -> dict[str, int]:
        """The offset behind the last message of each partition."""
        consumer, patience = self._consumer(), min(5.0, self._config.retry_seconds)
        try:
            begun = time.monotonic()
            while True:
                try:
                    topic = consumer.list_topics(self._config.topic, timeout=patience).topics[self._config.topic]
                    if topic.error is not None:
                        raise StoreError(f"{self.shown}: {topic.error.str()}")
                    numbers = sorted(topic.partitions)
                    at = [self._kafka.TopicPartition(self._config.topic, number) for number in numbers]
                    return {str(one.partition): consumer.get_watermark_offsets(one, timeout=patience)[1] for one in at}
                except self._kafka.KafkaException as error:  # noqa: PERF203 (they are asked again)
                    if time.monotonic() - begun > self._config.retry_seconds:
                        told = f"{self.shown}: the brokers {self._config.brokers} gave no answer"
                        raise StoreError(f"{told} ({error.args[0].str()})") from None
        finally:
            consumer.close()

    def _there(self, ends: dict[int, int], step: int) -> set[int]:
        """Rows of a step that are in the topic, behind where it ended before them."""
        now = {int(number): end for number, end in self._ends_now().items()}
        left = {number for number, end in now.items() if end > ends.get(number, 0)}
        found: set[int] = set()
        consumer = self._consumer()
        try:
            consumer.assign([self._kafka.TopicPartition(self._config.topic, n, ends.get(n, 0)) for n in left])
            begun = time.monotonic()
            while left:
                for message in consumer.consume(10_000, 0.5):
                    if message.error() is not None:
                        continue
                    name = dict(message.headers() or []).get(HEADER, b"").decode()
                    of, _, row = name.rpartition(":")
                    if of == f"{self._writer}:{step}":
                        found.add(int(row))
                    if message.offset() + 1 >= now[message.partition()]:
                        left.discard(message.partition())
                    begun = time.monotonic()
                if time.monotonic() - begun > self._config.retry_seconds:
                    raise StoreError(f"{self.shown} cannot be read: the brokers {self._config.brokers} gave no answer")
        finally:
            consumer.close()
        return found

    def _consumer(self) -> Any:
        own = {"group.id": "easyrec", "enable.auto.commit": "false", "auto.offset.reset": "earliest"}
        return self._kafka.Consumer({**self._common, **own})


def _json(rows: pa.Table) -> list[bytes]:
    """Each row as a JSON object; times as ISO 8601."""

    def text(value: Any) -> Any:
        return value.isoformat() if hasattr(value, "isoformat") else str(value)

    return [json.dumps(row, default=text, ensure_ascii=False).encode() for row in rows.to_pylist()]
