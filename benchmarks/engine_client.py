"""The clients of `engine.py`, in a process of their own: requests go when they are due, whether or not others were answered.

Reads orders from stdin and writes what was measured to stdout, a JSON object a line.
"""

from __future__ import annotations

import json
import os
import selectors
import socket
import sys
import time
from collections import Counter, deque
from typing import Any

import numpy as np

CONNECTIONS, FROM_THE_START = 64, 16
USERS, SIZE = 20_000, 20


class Client:
    """One thread that sends requests when they are due, over connections that stay open and take turns, as behind a balancer.

    Were it always the one used last, one process of the server would have most of the requests.

    Args:
        port: Of the server.
        seed: Of the users and the times.
    """

    def __init__(self, port: int, seed: int) -> None:
        self.port, self.random = port, np.random.default_rng(seed)
        self.waiting = selectors.DefaultSelector()
        self.idle: deque[socket.socket] = deque()
        self.held: dict[socket.socket, tuple[float, bytearray, bytes]] = {}
        self.late: list[float] = []
        self.whole, self.short, self.failed, self.again = 0, 0, 0, 0
        self.degraded: Counter[str] = Counter()
        self.lists: list[tuple[str, int, list[int]]] = []

    def run(self, rate: float, seconds: float) -> dict[str, Any]:
        """Send at a rate; then wait for what is open."""
        self.idle.extend(self._open() for _ in range(FROM_THE_START - len(self.idle)))
        due = time.perf_counter() + np.cumsum(self.random.exponential(1.0 / rate, int(rate * seconds)))
        self.late, self.whole, self.short, self.failed, self.again = [], 0, 0, 0, 0
        self.degraded.clear()
        begun, number = time.perf_counter(), 0
        while number < len(due) or self.held:
            now = time.perf_counter()
            while number < len(due) and due[number] <= now and (self.idle or len(self.held) < CONNECTIONS):
                self._send(float(due[number]))
                number += 1
            wait = max(0.0, due[number] - now) if number < len(due) and len(self.held) < CONNECTIONS else 1.0
            for key, _ in self.waiting.select(min(wait, 1.0)):
                self._read(key.fileobj)  # type: ignore[arg-type]
            if now - begun > seconds + 30.0:
                break
        took = time.perf_counter() - begun
        times = np.array(self.late) * 1000.0 if self.late else np.zeros(1)
        return {
            "rate": rate,
            "qps": len(self.late) / took,
            "p50_ms": float(np.percentile(times, 50)),
            "p99_ms": float(np.percentile(times, 99)),
            "max_ms": float(times.max()),
            "whole": self.whole / max(1, len(self.late)),
            "short": self.short,
            "failed": self.failed,
            "sent_again": self.again,
            "degraded": dict(self.degraded.most_common(6)),
            "requests": len(self.late),
        }

    def _send(self, due: float) -> None:
        user = int(self.random.zipf(1.3)) % USERS
        if self.lists and self.random.random() < 0.1:
            request, who, items = self.lists.pop()
            event = {"event_id": f"{request}-c", "type": "click", "request_id": request, "user_id": who}
            event["item_id"] = items[min(int(self.random.geometric(0.4)) - 1, len(items) - 1)]
            body, path = json.dumps({"events": [event]}).encode(), b"/events"
        else:
            body, path = (
                json.dumps({"user_id": user, "context": {"hour": int(self.random.integers(24))}}).encode(),
                b"/recommend",
            )
        head = b"POST %s HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
        self._over(
            self.idle.popleft() if self.idle else None,
            due if path == b"/recommend" else 0.0,
            head % (path, len(body)) + body,
        )

    def _open(self) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), 30)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.waiting.register(connection, selectors.EVENT_READ)
        return connection

    def _over(self, connection: socket.socket | None, due: float, request: bytes) -> None:
        """Send a request over a connection that is open, or over a new one."""
        fresh = connection is None
        if connection is None:
            connection = self._open()
        self.held[connection] = (due, bytearray(), b"" if fresh else request)
        try:
            connection.sendall(request)
        except OSError:
            self._broken(connection)

    def _broken(self, connection: socket.socket) -> None:
        """A server may close a connection that was not in use; what was sent over it meanwhile is sent again, once."""
        due, received, request = self.held.get(connection, (0.0, bytearray(), b""))
        was_held = connection in self.held
        self._drop(connection)
        if request and not received:
            self.again += 1
            self._over(None, due, request)
        elif was_held:
            self.failed += 1

    def _read(self, connection: socket.socket) -> None:
        due, received, _ = self.held.get(connection, (0.0, bytearray(), b""))
        try:
            data = connection.recv(1 << 18)
        except OSError:
            data = b""
        if not data:
            self._broken(connection)
            return
        received += data
        end = received.find(b"\r\n\r\n")
        if end < 0:
            return
        head = bytes(received[:end]).lower()
        length = int(head[head.find(b"content-length:") + 15 :].split(b"\r\n", 1)[0])
        if len(received) < end + 4 + length:
            return
        del self.held[connection]
        self.idle.append(connection)
        if due <= 0.0:
            return
        self.late.append(time.perf_counter() - due)
        if head[9:12] != b"200":
            self.failed += 1
            return
        answer = json.loads(received[end + 4 :])
        self.whole += not answer["degraded"]
        self.short += len(answer["items"]) < SIZE
        self.degraded.update(answer["degraded"])
        if len(self.lists) < 1000 and answer["items"]:
            self.lists.append((answer["request_id"], 0, [item["item_id"] for item in answer["items"]]))

    def _drop(self, connection: socket.socket) -> None:
        self.waiting.unregister(connection)
        self.held.pop(connection, None)
        if connection in self.idle:
            self.idle.remove(connection)
        connection.close()


def main() -> None:
    """An order a line in, figures a line out."""
    client = Client(int(sys.argv[1]), os.getpid())
    for line in sys.stdin:
        order = json.loads(line)
        print(json.dumps(client.run(order["rate"], order["seconds"])), flush=True)


if __name__ == "__main__":
    main()
