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
    """A table that evicts ids: its size, who gets a row and who loses it."""
    inner = message.message(key)
    assert inner is not None
    size = inner.integer("zch_size" if key == "zch" else "max_capacity")
    found: dict[str, Any] = {"capacity": size or PLACEHOLDER}
    if not size:
        report.add("changed", message, key, f"does not say how large it is; {PLACEHOLDER:,} rows are in its place")
    admission = inner.message("frequency_admission_strategy")
    if admission is not None and admission.integer("threshold") > 1:
        found["admission"] = {"min_count": admission.integer("threshold")}
    policy = _policy(inner)
    if policy != "lru":
        found["eviction"] = {"policy": policy}
    for name, why in UNLIKE[key].items():
        if inner.has(name):
            report.add("changed", inner, name, why)
    return {"dynamic": found}


UNLIKE = {
    "zch": {
        "eviction_interval": "here an id gets its row at once, and others lose theirs when all are taken",
        "threshold_filtering_func": "here `admission: {min_count: ...}` says which ids get a row; all do as it stands",
        "distance_lfu": "here those that were seen least lose their row; `policy: score` lets old sightings fade",
    },
    "dynamicemb": {
        "initializer_args": "here rows start as `model.embedding_init` says",
        "eval_initializer_args": "here ids without a row are zeros outside of training",
        "init_table": "here `train.init_from` names the run to start from",
    },
}
"""Keys of a dynamic table that say something else here."""


def _policy(inner: Message) -> str:
    """Who loses a row."""
    of_zch = [name for name in ("lru", "lfu", "distance_lfu") if inner.message(name) is not None]
    if of_zch:
        return "lru" if of_zch == ["lru"] else "lfu"
    return "lfu" if inner.has("score_strategy") and inner.text("score_strategy").upper() == "LFU" else "lru"
