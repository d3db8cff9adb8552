"""Columns about persons in a request log: what is left out, and what is kept as a hash that only a key's owner can make."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from feature_generator.incoming import record
from serving.server.columns import Question
from serving.server.config import RequestLog
from serving.server.models import Loaded

DIGITS = 32
"""Of a hash; 128 bits."""
HASHED = "hash"
"""`hash:user:<column>` holds the hashes of a column."""
CHECK = "hash_key"
"""Key of a file's metadata, by which a hash's key is known to be the right one."""


def text_of(value: Any) -> str | None:
    """The text by which a person is known, whatever type its column has; None where there is none."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value) if isinstance(value, str | int | float) else None


def keyed(key: str, column: str, text: str) -> str:
    """The hash of a value: the same for equal ones of a column, and nothing to anybody without the key."""
    return hmac.digest(key.encode(), f"{column}\0{text}".encode(), hashlib.sha256).hex()[:DIGITS]


def fingerprint(key: str) -> str:
    """Tells one key from another, and nothing else of it."""
    return keyed(key, "", "the key of a request log")[:8]


class Personal:
    """What a request log does with columns about persons.

    Args:
        config: The log's.
    """

    def __init__(self, config: RequestLog) -> None:
        self._redacted, self._personal = frozenset(config.redact), frozenset(config.personal)
        self._key = config.hash_key

    def names(self, loaded: Loaded) -> tuple[frozenset[str], frozenset[str]]:
        """Columns of a bundle that are not written as they are, and those of them that are about persons.

        A name also stands for the columns of the sequence that is called so. The bundle may name some too (`export.personal`).
        """
        own = loaded.predictor.manifest.config.get("export") or {}
        told = own.get("personal", ()) if isinstance(own, Mapping) else ()
        personal = self._personal.union(name for name in told if isinstance(name, str))
        both = personal | self._redacted

        def meant(names: frozenset[str]) -> frozenset[str]:
            return frozenset(name for name in loaded.columns if name in names or name.partition("__")[0] in names)

        return meant(both), meant(personal - self._redacted)

    def unknown(self, loaded: list[Loaded]) -> list[str]:
        """Names of the config that no bundle reads: slips of the pen would leave a column as it is."""
        known = {name for one in loaded for column in one.columns for name in (column, column.partition("__")[0])}
        return sorted((self._redacted | self._personal) - known)

    def hashes(self, loaded: Loaded, question: Question, personal: frozenset[str]) -> dict[str, pa.Array]:
        """The columns of hashes that a request gets: one value for each personal column of its user and context."""
        found: dict[str, pa.Array] = {}
        for name in sorted(personal) if self._key is not None else ():
            side = loaded.columns[name]
            data = {"user": question.user, "context": question.context}.get(side)
            if data is None:
                continue
            value = data.get(name) if isinstance(data, Mapping) else record(data, [name]).column(name)[0].as_py()
            text = text_of(value)
            hashed = None if text is None else keyed(str(self._key), name, text)
            found[f"{HASHED}:{side}:{name}"] = pa.array([hashed], pa.string())
        return found

    def told(self) -> dict[str, str]:
        """What a file says of the key."""
        return {} if self._key is None else {CHECK: fingerprint(self._key)}
