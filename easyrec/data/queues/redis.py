"""`redis`: a queue in a Redis server, for workers on any number of machines.

Every change is one script, which the server runs as a whole and by its own clock. A script that is sent again because its
answer was lost changes nothing more. Four keys per queue: its job, its slices, those that wait by attempts and
place, and those that are leased.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal
from urllib.parse import parse_qsl, urlencode, urlsplit

from pydantic import Field, field_validator

from easyrec.data.queues import STATES, Entry, Idle, Lease, QueueConfig, Status, WorkQueue, expanded
from easyrec.errors import ConfigError, MissingExtra, QueueError

FORMAT = 1

PRELUDE = """
local JOB, SLICES, WAITING, LEASED = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local function now()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end
local function get(name)
  local raw = redis.call('HGET', SLICES, name)
  if not raw then return nil end
  local fine, slice = pcall(cjson.decode, raw)
  if not fine or type(slice) ~= 'table' or not slice.place or not slice.attempts or not slice.state then return nil end
  return slice
end
local function put(name, slice)
  redis.call('HSET', SLICES, name, cjson.encode(slice))
end
local function wait(name, slice)
  slice.state, slice.token = 'waiting', ''
  put(name, slice)
  redis.call('SREM', LEASED, name)
  redis.call('ZADD', WAITING, slice.attempts * 1000000000 + slice.place, name)
end
local function finish(name, slice, state)
  slice.state = state
  put(name, slice)
  redis.call('SREM', LEASED, name)
end
local job = redis.call('HMGET', JOB, 'job', 'attempts', 'slices', 'digest', 'format')
"""
HELD = """
if not job[1] then return {'gone'} end
local name, token = ARGV[1], ARGV[2]
local slice = get(name)
if not slice then return {'damaged', name} end
if slice.token ~= token then return {'lost'} end
"""
SCRIPTS = {
    "create": """
if job[1] then return {'known', job[1], job[4], job[3]} end
redis.call('DEL', SLICES, WAITING, LEASED)
for i = 5, #ARGV do
  wait(ARGV[i], {place = i - 5, attempts = 0, worker = '', reason = ''})
end
redis.call('HSET', JOB, 'job', ARGV[1], 'attempts', ARGV[2], 'slices', #ARGV - 4, 'digest', ARGV[3], 'format', ARGV[4])
return {'made'}
""",
    # Of what is leased and silent, or waits, the slice that was tried least, then the first. A lease from the future
    # is one of before the server's clock was set back.
    "lease": """
if not job[1] then return {'gone'} end
local worker, token, milliseconds, most, time = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(job[2]), now()
local best, found = nil, nil
local held = redis.call('SMEMBERS', LEASED)
for _, name in ipairs(held) do
  local slice = get(name)
  if not slice then return {'damaged', name} end
  if slice.token == token then return {'leased', name, slice.attempts} end
  if time >= slice.heard + slice.milliseconds or time < slice.heard - 1000 then
    if slice.attempts >= most then
      slice.reason, slice.token = ARGV[4] .. slice.worker .. ' for ' .. slice.milliseconds / 1000 .. ARGV[5], ''
      finish(name, slice, 'failed')
    elseif not best or slice.attempts < best.attempts
        or (slice.attempts == best.attempts and slice.place < best.place) then
      best, found = slice, name
    end
  end
end
local first = redis.call('ZRANGE', WAITING, 0, 0)[1]
if first then
  local slice = get(first)
  if not slice then return {'damaged', first} end
  if not best or slice.attempts < best.attempts or (slice.attempts == best.attempts and slice.place < best.place) then
    best, found = slice, first
  end
end
if not best then
  if redis.call('HLEN', SLICES) ~= tonumber(job[3]) then return {'damaged', ''} end
  return {redis.call('SCARD', LEASED) > 0 and 'wait' or 'done'}
end
best.state, best.token, best.worker, best.attempts = 'leased', token, worker, best.attempts + 1
best.taken, best.heard, best.milliseconds = time, time, milliseconds
put(found, best)
redis.call('ZREM', WAITING, found)
redis.call('SADD', LEASED, found)
return {'leased', found, best.attempts}
""",
    "renew": HELD
    + "if slice.state ~= 'leased' then return {'lost'} end\nslice.heard = now()\nput(name, slice)\nreturn {'fine'}",
    "complete": HELD
    + """
if slice.state == 'leased' then
  slice.rows, slice.reason = tonumber(ARGV[3]), ''
  finish(name, slice, 'done')
end
return {slice.state == 'done' and 'fine' or 'lost'}
""",
    "fail": HELD
    + """
if slice.state ~= 'leased' then return {'lost'} end
slice.reason = ARGV[3]
if slice.attempts >= tonumber(job[2]) then
  slice.token = ''
  finish(name, slice, 'failed')
else
  wait(name, slice)
end
return {'fine'}
""",
    "release": HELD
    + """
if slice.state ~= 'leased' then return {'lost'} end
slice.attempts = slice.attempts - 1
wait(name, slice)
return {'fine'}
""",
    "again": """
if not job[1] then return {'gone'} end
for _, name in ipairs(ARGV) do
  local slice = get(name)
  if slice and (slice.state == 'done' or slice.state == 'failed') then
    slice.attempts, slice.rows = 0, nil
    wait(name, slice)
  end
end
return {'fine'}
""",
    "status": """
if not job[1] then return {'gone'} end
return {'fine', job[1], job[2], job[3], tostring(now()), redis.call('HGETALL', SLICES), job[5]}
""",
    "remove": "redis.call('DEL', JOB, SLICES, WAITING, LEASED)\nreturn {'fine'}",
}


class Config(QueueConfig):
    """Config of `redis`."""

    type: Literal["redis"] = "redis"
    url: str
    """`redis://host:6379/0`, `rediss://` for TLS; a password only as `${NAME}`: `redis://:${REDIS_PASSWORD}@host/0`."""
    patience_seconds: float = Field(30.0, gt=0.0)
    """How long to try again while the server cannot be reached."""

    @field_validator("url")
    @classmethod
    def _no_secret(cls, url: str) -> str:
        user = url.partition("://")[2].partition("/")[0].rpartition("@")[0]
        password = user.partition(":")[2]
        if password and not re.fullmatch(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}", password):
            raise ValueError("holds a password: write it as ${NAME}, and set that environment variable")
        return url

    @classmethod
    def of_uri(cls, uri: str, options: Mapping[str, str]) -> dict[str, Any]:
        """The address as it is written."""
        del options
        return {"url": uri}

    def open(self, epoch: int = 0) -> WorkQueue:
        """The queue of an epoch.

        Raises:
            MissingExtra: The package `redis` is not installed.
            ConfigError: The address is none, or `${NAME}` is not set.
        """
        address = urlsplit(expanded(self.url))
        options = dict(parse_qsl(address.query))
        name = options.pop("name", self.name)  # of an address that stands in the environment as a whole
        url = address._replace(query=urlencode(options)).geturl()
        return RedisQueue(url, name, epoch, shown=self.url, patience=self.patience_seconds)


class RedisQueue(WorkQueue):
    """A queue in a Redis server.

    Args:
        url: Its address, with the password.
        name: Of the queue.
        epoch: Which of its epochs.
        shown: The address without the password.
        patience: Seconds to try again while it cannot be reached.
        clock: Monotonic seconds, for the patience alone.
        sleep: Waits between two tries.
    """

    def __init__(
        self,
        url: str,
        name: str,
        epoch: int = 0,
        *,
        shown: str = "redis",
        patience: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        try:
            import redis  # noqa: PLC0415 (an optional package)
            from redis.backoff import NoBackoff  # noqa: PLC0415
            from redis.retry import Retry  # noqa: PLC0415
        except ImportError:
            raise MissingExtra("redis", "redis") from None
        self.place, self.shown = shown, f"{shown} (queue '{name}', epoch {epoch})"
        self.patience, self.clock, self.sleep = patience, clock, sleep
        self._errors = redis.exceptions
        head = f"easyrec:{{{name}:{epoch}}}"  # the braces keep the keys on one node of a cluster
        self._keys = [f"{head}:{key}" for key in ("job", "slices", "waiting", "leased")]
        wait = min(5.0, patience)
        try:
            # The waiting between tries is ours: one place, bounded as a whole. Protocol 2 is what every server speaks.
            self._client = redis.Redis.from_url(
                url,
                decode_responses=True,
                protocol=2,
                socket_timeout=wait,
                socket_connect_timeout=wait,
                retry=Retry(NoBackoff(), 0),
            )
        except (ValueError, TypeError):
            text = "is no address of a Redis server: redis://host:6379/0, or rediss://host:6379/0 for TLS"
            raise ConfigError(f"'{shown}' {text}") from None
        self._scripts = {name: self._client.register_script(PRELUDE + text) for name, text in SCRIPTS.items()}

    def _create(self, job: str, slices: list[str], attempts: int) -> tuple[str, list[str]] | None:
        digest = hashlib.sha256("\n".join(slices).encode()).hexdigest()
        found = self._run("create", job, attempts, digest, FORMAT, *slices)
        if found[0] == "made":
            return None
        same = found[2] == digest
        return found[1], slices if same else [""] * int(found[3])  # others; their names are of no use to anyone

    def lease(self, worker: str, seconds: float) -> Lease | Idle:
        """See the family's contract."""
        token = secrets.token_hex(8)
        head, tail = "nothing was heard from ", " s: it died, or lost its connection"
        found = self._run("lease", worker, token, round(seconds * 1000), head, tail)
        if found[0] == "leased":
            return Lease(found[1], token, int(found[2]), seconds, worker)
        return Idle.DONE if found[0] == "done" else Idle.WAIT

    def renew(self, lease: Lease) -> None:
        """See the family's contract."""
        self._of(lease, "renew")

    def complete(self, lease: Lease, rows: int) -> None:
        """See the family's contract."""
        self._of(lease, "complete", rows)

    def fail(self, lease: Lease, reason: str) -> None:
        """See the family's contract."""
        self._of(lease, "fail", reason)

    def release(self, lease: Lease) -> None:
        """See the family's contract."""
        self._of(lease, "release")

    def again(self, slices: Sequence[str]) -> None:
        """See the family's contract."""
        if slices:
            self._run("again", *slices)

    def status(self) -> Status:
        """See the family's contract."""
        _, job, attempts, total, now, flat, version = self._run("status")
        if int(version) != FORMAT:
            raise QueueError(f"{self.shown} was made by another version of this program (format {version})")
        found = [self._entry(name, text, float(now)) for name, text in zip(flat[::2], flat[1::2], strict=True)]
        if len(found) != int(total):
            raise self.damaged(f"it holds {len(found)} of {total} slices")
        return Status(job, int(attempts), [entry for _, entry in sorted(found, key=lambda pair: pair[0])])

    def remove(self) -> None:
        """Remove the keys of this queue."""
        self._run("remove")

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    # ------------------------------------------------------------------------------------------- inside

    def _entry(self, name: str, text: str, now: float) -> tuple[int, Entry]:
        """The place of a slice, and what is known of it."""
        try:
            slice = json.loads(text)
            state, leased, done = slice["state"], slice["state"] == "leased", slice["state"] == "done"
            if state not in STATES:
                raise ValueError(state)
            age = max(0.0, (now - slice["taken"]) / 1000) if leased else None
            who, why = (slice["worker"], "") if leased or done else ("", slice["reason"])
            rows = int(slice["rows"]) if done else None
            return int(slice["place"]), Entry(name, state, int(slice["attempts"]), who, age, rows, why)
        except (ValueError, KeyError, TypeError):
            raise self.damaged(f"the entry of slice '{name}' cannot be read") from None

    def _of(self, lease: Lease, script: str, *more: Any) -> None:
        if self._run(script, lease.slice, lease.token, *more)[0] == "lost":
            raise self.lost(lease)

    def _run(self, script: str, *words: Any) -> list[Any]:
        """Run a script; where the server cannot be reached, again and again until the patience ends."""
        start, wait = self.clock(), 0.05
        while True:
            try:
                found: Any = self._scripts[script](keys=self._keys, args=list(words))
                break
            except (self._errors.AuthenticationError, self._errors.AuthorizationError):
                raise QueueError(f"{self.place}: the server refuses this user or password") from None
            except (self._errors.ConnectionError, self._errors.TimeoutError) as error:
                if self.clock() - start + wait > self.patience:
                    text = f"{self.place} cannot be reached, tried for {self.patience:g} s: {_first_line(error)}"
                    raise QueueError(text) from None
                self.sleep(wait)
                wait = min(2 * wait, 2.0)
            except self._errors.ResponseError as error:
                if "WRONGTYPE" in str(error):
                    raise self.damaged("a key of its name holds something else") from None
                raise QueueError(f"{self.place}: the server refuses: {_first_line(error)}") from None
        if found[0] == "gone":
            raise self.gone()
        if found[0] == "damaged":
            what = f"the entry of slice '{found[1]}' is missing or cannot be read" if found[1] else "slices are missing"
            raise self.damaged(what)
        return list(found)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
