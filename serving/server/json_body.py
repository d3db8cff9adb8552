"""JSON of a request: bounded in depth before it is parsed, and no key given twice."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import orjson

from feature_generator.json_rows import JsonRows
from feature_generator.native import count_keys, scan_json
from serving.server.http import Refused


def parse(body: bytes, max_depth: int, rows: str | None = None) -> Any:
    """The value of JSON text.

    Args:
        body: The text.
        max_depth: Levels of objects and lists.
        rows: A key of the object that the text is: a list of flat objects under it is given as `JsonRows`.

    Raises:
        Refused: It is no JSON, is nested too deep, or gives a key twice.
    """
    marks = scan_json(body, max_depth)
    if marks is None:
        raise Refused(400, "json_depth", f"the body is nested more than {max_depth} levels deep")
    lifted = None if rows is None else JsonRows.lift(body, rows)
    if lifted is not None:
        found, rest = lifted
        with contextlib.suppress(orjson.JSONDecodeError):  # told below, with places in the whole text
            value = orjson.loads(rest)
            containers, pairs = scan_json(rest, max_depth)
            if count_keys(value, containers) == pairs:
                return value | {rows: found}
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Refused(400, "json", f"the body is not JSON: {error}") from None
    containers, pairs = marks
    if count_keys(value, containers) != pairs:  # of a key that is given twice, the parser keeps one
        raise Refused(400, "repeated_key", f"the key '{_repeated(body)}' is given twice")
    return value


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
