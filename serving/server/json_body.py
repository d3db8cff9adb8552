"""JSON of a request: bounded in depth before it is parsed, and no key given twice."""

from __future__ import annotations

import json
from collections import deque
from typing import Any

import numpy as np
import orjson

from serving.server.http import Refused

_OTHERS = bytes(set(range(256)) - set(b'"{}[]:'))


def parse(body: bytes, max_depth: int) -> Any:
    """The value of JSON text.

    Raises:
        Refused: It is no JSON, is nested too deep, or gives a key twice.
    """
    outside = _outside_of_texts(body)
    _check_depth(outside, max_depth)
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Refused(400, "json", f"the body is not JSON: {error}") from None
    containers = outside.count(b"{") + outside.count(b"[")
    if _pairs(value, containers) != outside.count(b":"):
        raise Refused(400, "repeated_key", f"the key '{_repeated(body)}' is given twice")
    return value


def _outside_of_texts(body: bytes) -> bytes:
    """The brackets and colons that are no part of a text.

    Of text that is not JSON it may be anything; the parser refuses that.
    """
    if b"\\" in body:
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    marks = body.translate(None, _OTHERS)
    # The quotes of a text without such marks are neighbours now. Where a text has some, its first quote stays.
    plain = marks.replace(b'""', b"")
    if b'"' not in plain:
        return plain
    found = np.frombuffer(marks, np.uint8)
    quotes = found == ord('"')
    inside = np.cumsum(quotes, dtype=np.int64) & 1
    outside: bytes = found[(inside == 0) & ~quotes].tobytes()
    return outside


def _check_depth(outside: bytes, most: int) -> None:
    opened = outside.count(b"{") + outside.count(b"[")
    if opened <= most:
        return
    marks = np.frombuffer(outside, np.uint8)
    steps = ((marks == ord("{")) | (marks == ord("["))).astype(np.int64)
    steps -= (marks == ord("}")) | (marks == ord("]"))
    if int(np.cumsum(steps).max(initial=0)) > most:
        raise Refused(400, "json_depth", f"the body is nested more than {most} levels deep")


def _pairs(value: Any, containers: int) -> int:
    """How many keys a value's objects have; looks no further once all its containers are found."""
    pairs, found, waiting = 0, 1, deque([value])
    if not isinstance(value, dict | list):
        return 0
    while waiting:
        one = waiting.popleft()
        is_object = isinstance(one, dict)
        pairs += len(one) if is_object else 0
        if found == containers:
            continue
        inside = [v for v in (one.values() if is_object else one) if isinstance(v, dict | list)]
        found += len(inside)
        waiting.extend(inside)
    return pairs


def _repeated(body: bytes) -> str:
    """A key that one object has twice."""
    repeated: list[str] = []

    def look(pairs: list[tuple[str, Any]]) -> None:
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                repeated.append(key)
            seen.add(key)

    json.loads(body, object_pairs_hook=look)
    return repeated[0][:100] if repeated else "?"
