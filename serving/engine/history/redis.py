"""`redis`: in a Redis server that all processes of all machines share."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from easyrec.errors import MissingExtra
from serving.engine.history import History, HistoryConfig, Past


class Config(HistoryConfig):
    """Config of `redis`."""

    type: Literal["redis"] = "redis"
    url: str = Field(min_length=1)
    """Such as `redis://host:6379/0`; a password is `${ENV}`."""
    prefix: str = Field("easyrec:history:", min_length=1)
    """What keys begin with."""
    timeout_ms: float = Field(20.0, gt=0.0)
    """After which a request goes on without a history."""


class Redis(History):
    """Two lists by user, the newest first."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        try:
            import redis  # noqa: PLC0415 (an extra)
        except ModuleNotFoundError:
            raise MissingExtra("redis", "redis") from None
        seconds = config.timeout_ms / 1000.0
        self._client: Any = redis.Redis.from_url(
            config.url, socket_timeout=seconds, socket_connect_timeout=seconds, retry=None
        )

    def _keys(self, user: str) -> tuple[str, str]:
        return f"{self.config.prefix}clicks:{user}", f"{self.config.prefix}shown:{user}"

    def past(self, user: str, now: int) -> Past:
        """See the contract."""
        config = self.config
        clicks_key, shown_key = self._keys(user)
        pipe = self._client.pipeline(transaction=False)
        pipe.lrange(clicks_key, 0, config.steps - 1)
        pipe.lrange(shown_key, 0, max(config.shown - 1, 0))
        found = pipe.execute()
        oldest = now - 1000.0 * config.keep_s
        clicks = [one for one in map(json.loads, found[0]) if one[1] >= oldest]
        clicks.sort(key=lambda one: -one[1])
        shown = [one for one in map(json.loads, found[1]) if one[1] >= oldest][: config.shown]
        return Past(
            [one[0] for one in clicks],
            [one[1] for one in clicks],
            [one[2] for one in clicks],
            [one[0] for one in shown],
            [one[1] for one in shown],
        )

    def add(self, events: Sequence[tuple[str, Any, int, float]]) -> None:
        """See the contract."""
        pipe = self._client.pipeline(transaction=False)
        for user, item, at, weight in events:
            self._push(pipe, self._keys(user)[0], [json.dumps([item, at, weight])], self.config.steps)
        pipe.execute()

    def show(self, user: str, items: Sequence[Any], now: int) -> None:
        """See the contract."""
        if items and self.config.shown:
            pipe = self._client.pipeline(transaction=False)
            self._push(pipe, self._keys(user)[1], [json.dumps([item, now]) for item in items], self.config.shown)
            pipe.execute()

    def _push(self, pipe: Any, key: str, values: list[str], most: int) -> None:
        pipe.lpush(key, *values)
        pipe.ltrim(key, 0, most - 1)
        pipe.expire(key, int(self.config.keep_s) + 1)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
