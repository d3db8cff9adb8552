"""From the keys of a pyfg feature that make ids of its values to ours."""

from __future__ import annotations

from typing import Any

from easyrec.convert.message import Message
from easyrec.convert.report import Report

PRECEDENCE = ("zch", "dynamicemb", "hash_bucket_size", "vocab_list", "vocab_dict", "vocab_file", "num_buckets")
"""Which key wins where a feature has several, as TorchEasyRec writes them into fg.json."""

UNBOUNDED = 2**63 - 1
"""What fg.json says in the place of a dynamic table's size."""

PLACEHOLDER = 1_000_000
"""Rows of a table whose size the source does not say."""


def discretize(message: Message, report: Report) -> dict[str, Any]:
    """Our keys for the discretizer of a feature; {} for one that has none."""
    given = [key for key in PRECEDENCE if message.has(key) and not _zero(message, key)]
    for key in given[1:]:
        report.add("dropped", message, key, f"{given[0]} stands beside it, and wins there too")
    found = _rule(message, given[0], report) if given else {}
    if message.has("default_bucketize_value"):
        if found.keys() & {"vocab_list", "vocab_dict", "vocab_file"}:
            found["default_bucketize_value"] = message.integer("default_bucketize_value")
        else:
            report.add("dropped", message, "default_bucketize_value", "says something only of vocabularies")
    return found


def asset(message: Message, name: str) -> str:
    """A file that a feature names, in the folder that the feature names."""
    folder = message.text("asset_dir")
    return f"{folder}/{name}" if folder else name


def _zero(message: Message, key: str) -> bool:
    """Whether a size is 0, which stands for none."""
    return key in ("hash_bucket_size", "num_buckets") and message.integer(key) == 0


def _rule(message: Message, key: str, report: Report) -> dict[str, Any]:
    if key in ("zch", "dynamicemb"):
        return _dynamic(message, key, report)
    if key == "vocab_list":
        return {key: message.texts(key)}
    if key == "vocab_dict":
        return {key: {word: _index(message, scalar.text) for word, scalar in message.entries(key).items()}}
    if key == "vocab_file":
        return {key: asset(message, message.text(key))}
    size = message.integer(key)
    if size == UNBOUNDED:
        why = f"stands for a dynamic table; {PLACEHOLDER:,} rows of a plain hash are in its place"
        report.add("changed", message, key, why, "give it the size that suits your ids")
        size = PLACEHOLDER
    return {key: size}


def _index(message: Message, text: str) -> int:
    if not text.isdigit():
        raise message.wrong("vocab_dict", f"must hold whole numbers, but holds {text!r}")
    return int(text)


def _dynamic(message: Message, key: str, report: Report) -> dict[str, Any]:
    """A dynamic table becomes a hashed one of its size: ids may meet, none is evicted."""
    inner = message.message(key)
    assert inner is not None
    size = inner.integer("zch_size" if key == "zch" else "max_capacity")
    why = "tables that evict ids have no counterpart: ids are hashed into as many rows, where several may meet"
    report.add("changed", message, key, why, "choose hash_bucket_size: twice the number of distinct ids meet seldom")
    return {"hash_bucket_size": size or PLACEHOLDER}
