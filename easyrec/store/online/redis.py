"""`redis`: a store in a Redis server, for any number of machines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

from pydantic import Field, field_validator

from easyrec.errors import MissingExtra, StoreError
from easyrec.store import journal, native
from easyrec.store.online import OnlineConfig, OnlineStore, Spans, address, check_fence, expanded, intact

AT_ONCE = 500
"""Keys of one call of a script, during which the server answers nobody else: about 2 ms."""
TRIES = 20
"""How often a record is written anew because somebody else changed it meanwhile."""
SCRIPT = """
if ARGV[1] ~= '' and not string.find(redis.call('GET', KEYS[1]) or '', ARGV[1], 1, true) then return false end
local olds = redis.call('MGET', unpack(KEYS, 3))
local left, changed, put, gone = {}, {}, {}, {}
for i = 1, #olds do
  local old, was, new = olds[i] or '', ARGV[2 * i + 2], ARGV[2 * i + 3]
  if old ~= was then
    left[#left + 1] = i
  elseif old ~= new then
    if new == '' then
      gone[#gone + 1] = KEYS[i + 2]
    else
      put[#put + 1] = KEYS[i + 2]
      put[#put + 1] = new
    end
    changed[#changed + 1] = string.sub(KEYS[i + 2], ARGV[2] + 1)
    changed[#changed + 1] = ''
  end
end
if #put > 0 then redis.call('MSET', unpack(put)) end
if #gone > 0 then redis.call('DEL', unpack(gone)) end
if #changed > 0 then
  redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[3], '*', unpack(changed))
end
return left
"""
"""Writes each record that still is what it was read as, and the keys into the journal; gives the places of the others.

It writes nothing, and gives nothing, where the head does not hold the fence."""
SWAP = """
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1
"""


class Config(OnlineConfig):
    """Config of `redis`."""

    type: Literal["redis"] = "redis"
    url: str
    """`redis://host:6379/0`, `rediss://` with TLS, or `unix:///run/redis.sock`; secrets as `${NAME}`."""
    timeout_seconds: float = Field(5.0, gt=0.0)
    """How long the server may be silent."""

    @field_validator("url")
    @classmethod
    def _address(cls, value: str) -> str:
        return address(value, "redis://", "rediss://", "unix://")

    def open(self, project: str) -> OnlineStore:
        """See the family's contract."""
        return RedisStore(expanded(self.url), project, self.timeout_seconds)


class RedisStore(OnlineStore):
    """Records as values of Redis.

    `<project>:<entity>` is the head, `<project>:<entity>:<key>` a record, `<project>:<entity>!changes` a stream of the keys
    that were changed lately.

    Args:
        url: Of the server.
        project: Whose.
        timeout: Seconds that the server may be silent.
    """

    def __init__(self, url: str, project: str, timeout: float = 5.0) -> None:
        redis: Any = _redis()
        self.redis, self.project = redis, project
        options = {"socket_timeout": timeout, "socket_connect_timeout": timeout}
        with self._told(""):
            self._client = redis.Redis.from_url(url, **options)
        where = self._client.connection_pool.connection_kwargs
        self.shown = f"redis at {where.get('path') or where.get('host')}:{where.get('port', '')}".rstrip(":")
        self._swap = self._client.register_script(SWAP)
        self._put = self._client.register_script(SCRIPT)

    def read(self, entity: str, keys: Sequence[bytes]) -> tuple[bytes | None, list[bytes | None]]:
        """See the family's contract."""
        return self.read_many({entity: keys})[entity]

    def read_many(self, asked: Mapping[str, Sequence[bytes]]) -> dict[str, tuple[bytes | None, list[bytes | None]]]:
        """See the family's contract."""
        places = []
        for entity, keys in asked.items():
            head = self._head(entity)
            prefix = head + b":"
            places += [head, *[prefix + key for key in keys]]
        with self._told(self.shown):
            found = self._found(places)
        made, start = {}, 0
        for entity, keys in asked.items():
            end = start + 1 + len(keys)
            made[entity] = found[start], found[start + 1 : end]
            start = end
        return made

    def _found(self, places: Sequence[bytes]) -> list[bytes | None]:
        """The values of some places, in one step."""
        pool = self._client.connection_pool
        wire = pool.get_connection()
        try:
            _send(wire, "MGET", *places)
            found: list[bytes | None] = wire.read_response()
        except (self.redis.ConnectionError, OSError):  # it was closed meanwhile: the client tries anew
            wire.disconnect()
            found = self._client.mget(places)
        except BaseException:
            wire.disconnect()  # the answer may still be on its way
            raise
        finally:
            pool.release(wire)
        return found

    def splice(
        self,
        entity: str,
        slot: int,
        generation: int,
        keys: Sequence[bytes],
        rows: Sequence[bytes],
        keep: Spans,
        fence: bytes = b"",
    ) -> None:
        """See the family's contract."""
        row_of = dict(zip(keys, rows, strict=True))

        def change(some: list[bytes], old: list[bytes | None]) -> list[bytes]:
            made: list[bytes] = native.splice(old, slot, generation, [row_of[key] for key in some], list(keep))
            return made

        self._change(entity, keys, change, fence)

    def sweep(self, entity: str, keys: Sequence[bytes], live: Spans) -> None:
        """See the family's contract."""
        self._change(entity, keys, lambda _, old: native.sweep(old, list(live)))

    def _change(self, entity: str, keys: Sequence[bytes], change: Any, fence: bytes = b"") -> None:
        """Read, change and write records; those that somebody changed meanwhile once more."""
        pieces = [list(keys[start : start + AT_ONCE]) for start in range(0, len(keys), AT_ONCE)]
        if len(pieces) > 1:
            with self._told(self.shown):
                pieces = self._changed_in_line(entity, pieces, change, fence)
        for piece in pieces:
            some = piece
            for _ in range(TRIES):
                with self._told(self.shown):
                    old = self._client.mget(self._places(entity, some))
                    left = self._put(**self._words(entity, some, old, change, fence))
                some = self._others(entity, some, left, fence)
                if not some:
                    break
            else:
                raise StoreError(f"{self.shown}: others change the same keys all the time")

    def _changed_in_line(self, entity: str, pieces: list[list[bytes]], change: Any, fence: bytes) -> list[list[bytes]]:
        """Change records while the server still works at those before; gives those that are to be changed once more.

        A piece is read before the one in front of it is written: a call of `_change` has no key twice.
        """
        done, again = 0, []
        pool = self._client.connection_pool
        wire = pool.get_connection()

        def took(left: list[int] | None) -> None:
            nonlocal done
            others = self._others(entity, pieces[done], left, fence)
            done += 1
            if others:
                again.append(others)

        try:
            _send(wire, "SCRIPT", "LOAD", SCRIPT)
            _send(wire, "MGET", *self._places(entity, pieces[0]))
            wire.read_response()
            for place, some in enumerate(pieces):
                if place + 1 < len(pieces):
                    _send(wire, "MGET", *self._places(entity, pieces[place + 1]))
                words = self._words(entity, some, wire.read_response(), change, fence)
                _send(wire, "EVALSHA", self._put.sha, len(words["keys"]), *words["keys"], *words["args"])
                if place:
                    took(wire.read_response())
            took(wire.read_response())
        except (
            self.redis.ConnectionError,
            self.redis.TimeoutError,
            OSError,
        ):  # the rest is done as if nothing had been
            wire.disconnect()
        except BaseException:
            wire.disconnect()  # answers may still be on their way
            raise
        finally:
            pool.release(wire)
        return [*again, *pieces[done:]]

    def _places(self, entity: str, keys: Sequence[bytes]) -> list[bytes]:
        prefix = self._head(entity) + b":"
        return [prefix + key for key in keys]

    def _words(
        self, entity: str, some: list[bytes], old: list[bytes | None], change: Any, fence: bytes
    ) -> dict[str, list[Any]]:
        """What the script is told of some keys."""
        with intact(self.shown, entity, some, old):
            made = change(some, old)
        pairs = [value for one in zip(old, made, strict=True) for value in (one[0] or b"", one[1])]
        head = self._head(entity)
        told = [fence, len(head) + 1, journal.entries_kept(len(some))]
        return {"keys": [head, self._journal(entity), *self._places(entity, some)], "args": [*told, *pairs]}

    def _others(self, entity: str, some: list[bytes], left: list[int] | None, fence: bytes) -> list[bytes]:
        """The keys that the script left, for somebody had changed them."""
        if left is None:
            check_fence(self.shown, entity, None, fence)
        return [some[place - 1] for place in left or []]

    def changes(self, entity: str, since: bytes | None) -> tuple[bytes, list[bytes] | None]:
        """See the family's contract."""
        place = self._journal(entity)
        with self._told(self.shown):
            if since:
                entries = self._client.xrange(place, min=since)
                if entries and entries[0][0] == since:  # what was read last is there, so all that came after is
                    return entries[-1][0], [key for _, keys in entries[1:] for key in keys]
            last = self._client.xrevrange(place, count=1)
        mark = last[0][0] if last else b""
        return mark, [] if since == mark == b"" else None

    def set_head(self, entity: str, new: bytes, old: bytes | None) -> bool:
        """See the family's contract."""
        with self._told(self.shown):
            return bool(self._swap(keys=[self._head(entity)], args=[old or b"", new]))

    def scan(self, entity: str, at_once: int = 1000) -> Iterator[list[tuple[bytes, bytes]]]:
        """See the family's contract."""
        prefix, cursor = self._head(entity) + b":", 0
        while True:
            with self._told(self.shown):
                cursor, places = self._client.scan(cursor, match=_literal(prefix) + b"*", count=at_once)
                records = self._client.mget(places) if places else []
            found = [(place[len(prefix) :], one) for place, one in zip(places, records, strict=True) if one is not None]
            if found:
                yield found
            if not cursor:
                return

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _head(self, entity: str) -> bytes:
        return f"{self.project}:{entity}".encode()

    def _journal(self, entity: str) -> bytes:
        """A stream of the keys that were changed; names of entities hold no `!`."""
        return self._head(entity) + b"!changes"

    @contextmanager
    def _told(self, shown: str) -> Iterator[None]:
        """Errors of the server in words, without its password."""
        try:
            yield
        except (self.redis.RedisError, ValueError, OSError) as error:
            raise StoreError(f"{shown or 'the address of Redis'} cannot be used: {error}") from error


def _redis() -> Any:
    try:
        import redis  # noqa: PLC0415 (an extra)
    except ModuleNotFoundError:
        raise MissingExtra("redis", "redis") from None
    return redis


def _send(wire: Any, *words: Any) -> None:
    """Send a command; the client itself would look at each word first, which is a fifth of a read."""
    try:
        import hiredis  # noqa: PLC0415 (an extra)
    except ModuleNotFoundError:
        wire.send_command(*words)
    else:
        wire.send_packed_command([hiredis.pack_command(words)])


def _literal(prefix: bytes) -> bytes:
    """A prefix as patterns of Redis mean it."""
    return b"".join(b"\\" + bytes([c]) if bytes([c]) in b"*?[]\\" else bytes([c]) for c in prefix)
