"""A broker that speaks Kafka's protocol over TCP: librdkafka's own, in a process of its own.

Prints `host:port`, then obeys one JSON list a line on stdin and answers each with an error code, 0 if it was done:
`["topic", name, partitions]`, `["down"]`, `["up"]`, `["delete", topic, partition, before]`.
"""

import ctypes
import json
import sys
from pathlib import Path

import confluent_kafka  # noqa: F401 (brings librdkafka)


def main():
    loaded = next(line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines() if "librdkafka" in line)
    lib = ctypes.CDLL(loaded)
    lib.rd_kafka_conf_new.restype = lib.rd_kafka_new.restype = ctypes.c_void_p
    lib.rd_kafka_mock_cluster_new.restype = ctypes.c_void_p
    lib.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
    client = ctypes.c_void_p(lib.rd_kafka_new(0, ctypes.c_void_p(lib.rd_kafka_conf_new()), None, 0))
    cluster = ctypes.c_void_p(lib.rd_kafka_mock_cluster_new(client, 1))
    print(lib.rd_kafka_mock_cluster_bootstraps(cluster).decode(), flush=True)
    for line in sys.stdin:
        order, *rest = json.loads(line)
        if order == "topic":
            code = lib.rd_kafka_mock_topic_create(cluster, rest[0].encode(), rest[1], 1)
        elif order == "delete":
            topic, partition, before = rest
            code = lib.rd_kafka_mock_partition_delete_records(
                cluster, topic.encode(), partition, ctypes.c_int64(before)
            )
        else:
            code = {"down": lib.rd_kafka_mock_broker_set_down, "up": lib.rd_kafka_mock_broker_set_up}[order](cluster, 1)
        print(code, flush=True)


main()
