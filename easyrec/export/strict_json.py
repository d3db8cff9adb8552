"""JSON of a bundle: bounded in size and depth, no repeated keys, no NaN; errors name the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from easyrec.errors import BundleError

MAX_BYTES = 64 << 20
MAX_DEPTH = 64


def read_json(path: Path, max_bytes: int = MAX_BYTES) -> Any:
    """The content of a JSON file.

    Raises:
        BundleError: It cannot be read, is larger than `max_bytes`, or is no JSON as `parse` demands.
    """
    return parse(read_bytes(path, max_bytes), str(path))


def read_bytes(path: Path, max_bytes: int = MAX_BYTES) -> bytes:
    """The bytes of a JSON file.

    Raises:
        BundleError: It cannot be read, or is larger than `max_bytes`.
    """
    try:
        size = path.stat().st_size
        if size > max_bytes:
            raise BundleError(f"{path}: {size} bytes, more than the {max_bytes} that such a file may have")
        return path.read_bytes()
    except OSError as error:
        raise BundleError(f"{path}: cannot be read: {error.strerror}") from None


def parse(data: bytes, file: str) -> Any:
    """The value that UTF-8 JSON text stands for.

    Raises:
        BundleError: No JSON, nested deeper than `MAX_DEPTH`, a key given twice, NaN or an infinity.
    """
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_finite)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        reason = "nested too deep" if isinstance(error, RecursionError) else str(error)
        raise BundleError(f"{file}: not the JSON of a bundle: {reason}") from None
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise BundleError(f"{file}: nested more than {MAX_DEPTH} levels deep")
        parents = [v for v in level if isinstance(v, dict | list)]
        level = [child for v in parents for child in (v.values() if isinstance(v, dict) else v)]
    return value


def dump(value: Any) -> bytes:
    """JSON text for a bundle: UTF-8, one key a line, in the order given."""
    return (json.dumps(value, ensure_ascii=False, allow_nan=False, indent=1) + "\n").encode()


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        seen: set[str] = set()
        repeated = next(k for k, _ in pairs if k in seen or seen.add(k))  # type: ignore[func-returns-value]
        raise ValueError(f"key '{repeated}' is given twice")
    return result


def _finite(text: str) -> float:
    raise ValueError(f"{text} is no number of JSON")
