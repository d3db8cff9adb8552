"""An engine behind HTTP as a policy: it is asked for lists, and told what followed."""

from __future__ import annotations

import http.client
import json
import ssl
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from easyrec.errors import RunError
from easyrec.simulate.clock import Clock
from easyrec.simulate.config import DriveConfig
from easyrec.simulate.events import Clicks, request_ids
from easyrec.simulate.policy import Answers
from easyrec.simulate.users import names_of
from easyrec.simulate.world import EMPTY, Requests, World

EVENTS = 500
"""Events of one post."""
FAULTS = 5
MOST_BYTES = 64 << 20
"""Of an answer."""
TRIES = 5


class EnginePolicy:
    """`POST /recommend` and `POST /events` of an engine.

    Args:
        world: The world; it tells what users are like and which items there are.
        config: Where the engine is.
        name: Beginning of request ids.
    """

    def __init__(self, world: World, config: DriveConfig, name: str) -> None:
        self.world, self.config, self.name = world, config, name
        self._threads = ThreadPoolExecutor(config.concurrency, thread_name_prefix="simulate")
        self._local = threading.local()
        self._held: list[http.client.HTTPConnection] = []
        self.events_failed = 0

    def close(self) -> None:
        """Let go of the connections."""
        self._threads.shutdown()
        for connection in self._held:
            connection.close()

    def check(self, patience_s: float = 0.0) -> None:
        """See whether the engine is there.

        Args:
            patience_s: How long to wait for it.

        Raises:
            RunError: It is not.
        """
        end = time.monotonic() + patience_s
        while True:
            status, told = self._ask("GET", "/health", None)
            if status == 200:
                return
            if time.monotonic() >= end:
                raise RunError(f"no engine at {self.config.url}: GET /health: {told if status == 0 else status}")
            time.sleep(0.2)

    def recommend(self, requests: Requests, size: int) -> Answers:
        """Ask for all lists, some at once."""
        rows = list(self._threads.map(self._recommend, self._bodies(requests, size)))
        items = np.full((len(requests), size), EMPTY, dtype=np.int64)
        for row, (_, found, _, _) in enumerate(rows):
            items[row, : len(found)] = found
        faults = tuple(dict.fromkeys(fault for _, _, fault, _ in rows if fault))[:FAULTS]
        return Answers(
            items,
            None,
            np.array([ms for ms, _, _, _ in rows]),
            np.array([bool(fault) for _, _, fault, _ in rows]),
            np.array([degraded for _, _, _, degraded in rows]),
            faults,
        )

    def observe(self, clicks: Clicks) -> None:
        """Tell the engine of events, again where it did not take them."""
        rows = clicks.rows(self.name)
        for low in range(0, len(rows), EVENTS):
            part = rows[low : low + EVENTS]
            for attempt in range(TRIES):
                status, told = self._ask("POST", "/events", {"events": part})
                if 200 <= status < 300:
                    break
                if 400 <= status < 500 and status != 429:  # it will not take them later either
                    raise RunError(f"{self.config.url}/events: {status} {_short(told)}")
                time.sleep(0.1 * 2**attempt)
            else:
                self.events_failed += len(part)

    def _bodies(self, requests: Requests, size: int) -> list[dict[str, Any]]:
        ids, users = request_ids(self.name, requests.number), names_of(requests.user)
        columns = self.world.users.columns(requests.user)
        hour, weekday = Clock.hour(requests.time).tolist(), Clock.weekday(requests.time).tolist()
        scene = {} if self.config.scene is None else {"scene": self.config.scene}
        seed = self.world.config.seed
        return [
            {
                **scene,
                "user_id": users[row],
                "size": size,
                **({"user": columns[row]} if self.config.user else {}),
                "context": {"hour": hour[row], "weekday": weekday[row]},
                "request_id": ids[row],
                "time": when,
                "seed": seed,
            }
            for row, when in enumerate(requests.time.tolist())
        ]

    def _recommend(self, body: Mapping[str, Any]) -> tuple[float, list[int], str, bool]:
        """Milliseconds, items, what went wrong, and whether something was left out."""
        begun = time.perf_counter()
        status, told = self._ask("POST", "/recommend", body)
        took = 1000.0 * (time.perf_counter() - begun)
        if status != 200:
            return took, [], f"{status} {_short(told)}" if status else _short(told), False
        try:
            items = [int(item["item_id"]) for item in told["items"]]
            degraded = bool(told.get("degraded"))
        except (KeyError, TypeError, ValueError) as error:
            return took, [], f"an answer without items: {type(error).__name__} {error}", False
        live = self.world.items.live(int(body["time"]))
        if len(items) > body["size"] or len(set(items)) < len(items) or not all(0 <= item < live for item in items):
            return took, [], "a list with too many items, with one twice, or with one that isn't there", degraded
        return took, items, "", degraded

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None) -> tuple[int, Any]:
        """The status and the content of an answer; status 0 and a text where there was none."""
        headers = {"Content-Type": "application/json"}
        if self.config.token is not None:
            headers["Authorization"] = f"Bearer {self.config.token}"
        data = None if body is None else json.dumps(body).encode()
        for fresh in (False, True):  # a kept connection may have been closed meanwhile
            kept = getattr(self._local, "connection", None)
            connection = self._connection(fresh)
            try:
                connection.request(method, path, data, headers)
                answer = connection.getresponse()
                read = answer.read(MOST_BYTES + 1)
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                if fresh or kept is None or isinstance(error, TimeoutError):
                    return 0, f"{type(error).__name__}: {error}".rstrip(": ")
                continue
            if len(read) > MOST_BYTES:
                connection.close()
                return 0, f"an answer of more than {MOST_BYTES >> 20} MiB"
            try:
                return answer.status, json.loads(read) if read else {}
            except ValueError:
                return (0 if answer.status == 200 else answer.status), read[:200].decode(errors="replace")
        raise AssertionError

    def _connection(self, fresh: bool) -> http.client.HTTPConnection:
        """This thread's connection."""
        found: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if found is not None and not fresh:
            return found
        parts = urlsplit(self.config.url)
        assert parts.hostname is not None
        if parts.scheme == "https":
            found = http.client.HTTPSConnection(
                parts.hostname, parts.port, timeout=self.config.timeout_s, context=ssl.create_default_context()
            )
        else:
            found = http.client.HTTPConnection(parts.hostname, parts.port, timeout=self.config.timeout_s)
        self._local.connection = found
        self._held.append(found)
        return found


def _short(told: Any) -> str:
    text = told if isinstance(told, str) else json.dumps(told, ensure_ascii=False)
    return text if len(text) <= 300 else text[:300] + " ..."
