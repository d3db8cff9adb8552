"""The clients of `serving.py` and `serving_load.py`, in a process of their own.

Each sends a request, waits for the answer, sends the next; or requests go at a rate, whether or not others were answered.
Reads orders from stdin and writes what was measured to stdout, a JSON object a line. Requests are whole HTTP requests in
files, so that a client does nothing but write and read; one thread serves all its connections.
"""

from __future__ import annotations

import json
import selectors
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

LENGTH = b"content-length:"


@dataclass
class Reply:
    """An answer.

    Attributes:
        status: Of HTTP.
        body: Behind the headers.
        json_bytes: How much of the body is the JSON part, where the headers tell.
    """

    status: int
    body: bytes
    json_bytes: int | None


class Connection:
    """A connection that stays open.

    Args:
        port: Of a server on this machine.
        timeout: Seconds that it may take to answer.
    """

    def __init__(self, port: int, timeout: float = 30.0) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.started, self.turn = 0.0, 0

    def read(self) -> Reply:
        """The answer to what was sent.

        Raises:
            ConnectionError: The server closed the connection.
        """
        received = bytearray()
        while (end := received.find(b"\r\n\r\n")) < 0:
            received += self._more()
        head = bytes(received[:end]).lower()
        at = head.find(b"\r\n" + LENGTH)
        if at < 0:
            raise ConnectionError(f"an answer without a length: {head[:300]!r}")
        length = int(head[at + 2 + len(LENGTH) :].split(b"\r\n", 1)[0])
        while len(received) < end + 4 + length:
            received += self._more()
        at = head.find(b"\r\ninference-header-content-length:")
        part = int(head[at + 34 :].split(b"\r\n", 1)[0]) if at >= 0 else None
        return Reply(int(head[9:12]), bytes(received[end + 4 :]), part)

    def _more(self) -> bytes:
        data = self.socket.recv(1 << 18)
        if not data:
            raise ConnectionError("the server closed the connection")
        return data


def measure(port: int, requests: list[bytes], clients: int, seconds: float) -> dict[str, float]:
    """Requests per second and latencies of some clients.

    Raises:
        ConnectionError: An answer was no 200.
    """
    waiting, latencies = selectors.DefaultSelector(), []
    for number in range(clients):
        connection = Connection(port)
        connection.turn = number * len(requests) // clients
        waiting.register(connection.socket, selectors.EVENT_READ, connection)
    begun = time.perf_counter()
    for key in list(waiting.get_map().values()):
        send(key.data, requests)
    open_connections = clients
    while open_connections:
        for key, _ in waiting.select():
            connection = key.data
            reply = connection.read()
            now = time.perf_counter()
            if reply.status != 200:
                raise ConnectionError(f"answered {reply.status}: {reply.body[:500]!r}")
            latencies.append(now - connection.started)
            if now - begun < seconds:
                send(connection, requests)
                continue
            waiting.unregister(connection.socket)
            connection.socket.close()
            open_connections -= 1
    took = time.perf_counter() - begun
    p50, p99 = np.percentile(latencies, [50, 99]) * 1000
    return {"requests": len(latencies), "qps": len(latencies) / took, "p50_ms": float(p50), "p99_ms": float(p99)}


def measure_rate(port: int, requests: list[bytes], rate: float, seconds: float) -> dict[str, float]:
    """Latencies of requests that come at random times (a Poisson process), each counted from the time when it was due.

    A request goes over a connection that is idle, or over a new one. What is no 200 must be a 429.

    Raises:
        ConnectionError: An answer was neither.
    """
    rng = np.random.default_rng(int(rate))
    due = np.cumsum(rng.exponential(1.0 / rate, int(rate * seconds)))
    waiting, idle = selectors.DefaultSelector(), [Connection(port) for _ in range(4)]
    for connection in idle:
        waiting.register(connection.socket, selectors.EVENT_READ, connection)
    found: dict[int, list[float]] = {200: [], 429: []}
    late, sent, answered = [], 0, 0
    begun = time.perf_counter()
    while answered < len(due):
        now = time.perf_counter() - begun
        while sent < len(due) and due[sent] <= now:
            if not idle:
                idle.append(Connection(port))
                waiting.register(idle[-1].socket, selectors.EVENT_READ, idle[-1])
            connection = idle.pop()
            connection.started = float(due[sent])
            connection.socket.sendall(requests[sent % len(requests)])
            sent += 1
            now = time.perf_counter() - begun
            late.append(now - connection.started)
        # Waiting has a resolution of a millisecond, upwards: the last one is spent here, lest requests go late.
        for key, _ in waiting.select(max(0.0, due[sent] - now - 0.001) if sent < len(due) else None):
            connection = key.data
            reply = connection.read()
            if reply.status not in found:
                raise ConnectionError(f"answered {reply.status}: {reply.body[:500]!r}")
            found[reply.status].append(time.perf_counter() - begun - connection.started)
            answered += 1
            idle.append(connection)
    for key in list(waiting.get_map().values()):
        key.data.socket.close()
    result = {"requests": len(due), "refused": len(found[429]), "rate": answered / (time.perf_counter() - begun)}
    result["late_p99_ms"] = 1000 * float(np.percentile(late, 99))
    for name, latencies in (("", found[200]), ("refused_", found[429])):
        for q in (50, 99):
            result[f"{name}p{q}_ms"] = 1000 * float(np.percentile(latencies, q)) if latencies else 0.0
    return result


def send(connection: Connection, requests: list[bytes]) -> None:
    connection.turn = (connection.turn + 1) % len(requests)
    connection.started = time.perf_counter()
    connection.socket.sendall(requests[connection.turn])


def main() -> None:
    for line in sys.stdin:
        order = json.loads(line)
        requests = [path.read_bytes() for path in sorted(Path(order["folder"]).glob("*.http"))]
        try:
            if "rate" in order:
                result = measure_rate(order["port"], requests, order["rate"], order["seconds"])
            else:
                result = measure(order["port"], requests, order["clients"], order["seconds"])
        except OSError as error:
            result = {"error": str(error)}
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
