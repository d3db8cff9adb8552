"""Features in pyfg's words, which TorchEasyRec's configs and fg.json share, into ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from easyrec.convert.discretize import PLACEHOLDER, PRECEDENCE, asset, discretize
from easyrec.convert.message import Message
from easyrec.convert.report import Report

Place: TypeAlias = Literal["plain", "simple", "child"]
"""Where a feature stands: outside sequences, as a simple sequence, as a child of a grouped one."""

NUMERIC = frozenset({"raw", "lookup", "match", "expr", "overlap", "kv_dot_product", "custom", "combine", "bm25"})
"""Types whose values are numbers unless something makes ids of them."""

_TEXT, _LIST, _FLAG, _INTEGER, _NUMBER = "text", "list", "flag", "integer", "number"

OWN: dict[str, dict[str, str]] = {
    "id": {"expression": _TEXT, "weighted": _FLAG},
    "raw": {"expression": _TEXT, "normalizer": _TEXT},
    "combo": {"expression": _LIST},
    "combine": {"expression": _TEXT, "combiner": _TEXT, "normalizer": _TEXT},
    "lookup": {
        "map": _TEXT,
        "key": _TEXT,
        "combiner": _TEXT,
        "need_key": _FLAG,
        "value_separator": _TEXT,
        "normalizer": _TEXT,
    },
    "match": {
        "nested_map": _TEXT,
        "pkey": _TEXT,
        "skey": _TEXT,
        "show_pkey": _FLAG,
        "show_skey": _FLAG,
        "normalizer": _TEXT,
    },
    "expr": {"expression": _TEXT, "variables": _LIST, "fill_missing": _NUMBER},
    "overlap": {"query": _TEXT, "title": _TEXT, "method": _TEXT, "normalizer": _TEXT},
    "tokenize": {"expression": _TEXT, "tokenizer_type": _TEXT, "tokens_as_sequence": _FLAG},
    "kv_dot_product": {"query": _TEXT, "document": _TEXT, "kv_delimiter": _TEXT},
    "bool_mask": {"expression": _LIST},
    "custom": {"operator_name": _TEXT, "expression": _LIST, "normalizer": _TEXT},
    "text_normalizer": {"expression": _TEXT},
    "regex_replace": {
        "expression": _TEXT,
        "regex_pattern": _LIST,
        "replacement": _TEXT,
        "replace_all": _FLAG,
        "icase": _FLAG,
    },
    "slice": {"expression": _TEXT, "start": _INTEGER, "end": _INTEGER, "step": _INTEGER},
    "bm25": {
        "query": _TEXT,
        "title": _TEXT,
        "k1": _NUMBER,
        "b": _NUMBER,
        "avg_length": _NUMBER,
        "doc_count": _INTEGER,
    },
}
"""Each type's own keys."""

_LIKE_OURS = {
    "weighted": False,
    "combiner": "sum",
    "need_key": False,
    "show_pkey": False,
    "show_skey": False,
    "tokens_as_sequence": False,
    "replace_all": True,
    "icase": False,
    "normalizer": "",
    "value_separator": ",",
    "tokenizer_type": "bpe",
    "kv_delimiter": ":",
}
"""Defaults that are ours too, so that they need not be written."""

_DEFAULTS = dict.fromkeys(("raw", "lookup", "match", "expr", "kv_dot_product", "custom"), "0")
"""Defaults of missing values, the same there and here; the other types have none."""

_LOST = {
    "init_fn": "tables of a model all start alike",
    "use_mask": "inputs are not masked while training",
}
_DROPPED = {
    "embedding_constraints": "says how tables are spread over GPUs",
    "fg_value_type": "is a hint for speed",
    "value_type": "is a hint for speed",
}


@dataclass
class Reader:
    """Reads features of one source.

    Attributes:
        report: Where to say what is not carried.
        names: What the source calls our keys, where it differs.
        embedded: Whether the source says how values are embedded; fg.json does not.
        multival: `fg_encoded_multival_sep` of every feature, "" for the default.
    """

    report: Report
    names: Mapping[str, str] = field(default_factory=dict)
    embedded: bool = True
    multival: str = ""

    def feature(self, kind: str, message: Message, place: Place) -> dict[str, Any]:
        """One feature, of one of the types in `OWN`."""
        found: dict[str, Any] = {"type": kind, "name": message.text("feature_name")}
        for key, how in OWN[kind].items():
            source = self.names.get(key, key)
            if message.has(source):
                value = _value(message, source, how)
                found |= {} if key in _LIKE_OURS and _LIKE_OURS[key] == value else {key: value}
        found |= self._special(kind, message)
        found |= self._ids(kind, message)
        found |= self._common(kind, message, place)
        if place != "plain" and kind in ("combo", "bool_mask") and "value_dim" not in found:
            found["value_dim"] = 0  # pyfg keeps all values of these two unless told otherwise
        self.report.lose(message, _LOST)
        self.report.drop(message, _DROPPED)
        return found

    def sequence(self, message: Message) -> dict[str, Any]:
        """The keys of a grouped sequence, but for its children."""
        found: dict[str, Any] = {"type": "sequence", "name": message.text("sequence_name")}
        found |= self._shape(message)
        key = message.text("sequence_pk")
        if key.partition(":")[0] in ("item", "context"):
            found["side"] = key.partition(":")[0]
        elif key and key != f"user:{found['name']}":
            why = "names the list of ids that their server looks items up by; ours takes the items' columns"
            self.report.add("dropped", message, "sequence_pk", why)
        return found

    # --------------------------------------------------------------------------------------------- parts

    def _special(self, kind: str, message: Message) -> dict[str, Any]:
        """Keys that are more than a plain value."""
        found: dict[str, Any] = {}
        if kind == "combine" and message.has("value_map"):
            found["value_map"] = {
                k: _float(message, "value_map", v.text) for k, v in message.entries("value_map").items()
            }
        if message.has("use_weight") and not message.flag("use_weight"):
            self.report.add("changed", message, "use_weight", "weights of an id always weigh its embedding")
        if kind == "tokenize":
            found["vocab_file"] = asset(message, message.text("vocab_file"))
            normal = message.message("text_normalizer")
            if normal is not None:
                found["text_normalizer"] = text_normalizer(normal)
                if "stop_char_file" in found["text_normalizer"]:
                    found["text_normalizer"]["stop_char_file"] = asset(message, normal.text("stop_char_file"))
        if kind == "kv_dot_product":
            why = "pyfg gets no normalizer of this type, so it did nothing"
            self.report.drop(message, {"normalizer": why})
        return found

    def _ids(self, kind: str, message: Message) -> dict[str, Any]:
        """Discretizer, boundaries, and what they mean for the other keys."""
        found: dict[str, Any] = {}
        if kind not in ("raw", "expr", "overlap", "kv_dot_product", "tokenize", "bm25"):
            found |= discretize(message, self.report)
        if kind == "slice" and message.has("value_type"):
            message.values("value_type")
        edges = message.numbers("boundaries")
        if edges and not found:
            found["boundaries"] = edges
        elif edges:
            self.report.add(
                "dropped", message, "boundaries", f"{next(iter(found))} stands beside it, and wins there too"
            )
        discrete = self.names.get("need_discrete", "need_discrete")
        stub = message.flag("stub_type")
        if message.flag(discrete) and not found and not stub:
            why = "values are kept one by one, but nothing says how they become ids"
            self.report.add("changed", message, discrete, why, "give the feature its hash_bucket_size or num_buckets")
            found["hash_bucket_size"] = PLACEHOLDER
        if kind not in NUMERIC and kind != "tokenize" and not found and not stub:
            why = f"nothing says how its values become ids: hash_bucket_size: {PLACEHOLDER} is a guess"
            self.report.add(
                "check", message, "", why, "give the feature its hash_bucket_size, num_buckets or vocabulary"
            )
            found["hash_bucket_size"] = PLACEHOLDER
        return found

    def _common(self, kind: str, message: Message, place: Place) -> dict[str, Any]:
        """Keys of all types."""
        found: dict[str, Any] = {}
        report = self.report
        if message.has("default_value") and (text := message.text("default_value")) != _DEFAULTS.get(kind, ""):
            found["default_value"] = text
        if message.has("fg_encoded_default_value"):
            found["fg_encoded_default_value"] = message.text("fg_encoded_default_value")
        if message.has("separator") and (text := message.text("separator")) != "\x1d":
            found["separator"] = text
        if self.multival:
            found["fg_encoded_multival_sep"] = self.multival
        if message.has("value_dim"):
            dim = message.integer("value_dim")
            if dim > 1 and kind not in NUMERIC:
                report.add("changed", message, "value_dim", "all values are kept", "cut the column if that is too many")
                dim = 0
            if (kind, dim) not in (("raw", 1), ("raw", 0), ("expr", 0)):
                found["value_dim"] = dim
        if message.flag("stub_type"):
            found["stub_type"] = True
        found |= self._embedding(kind, message, place)
        if place == "simple":
            found |= self._shape(message)
        elif place == "plain":
            why = "the feature is no sequence"
            report.drop(message, {"sequence_length": why, "sequence_delim": why, "sequence_fields": why})
        else:
            why = "the sequence itself says it"
            report.drop(message, {"sequence_length": why, "sequence_delim": why})
        if message.has("sequence_fields"):
            found["sequence_fields"] = message.texts("sequence_fields")
        return found

    def _shape(self, message: Message) -> dict[str, Any]:
        """Length, delimiter, and what an empty sequence is."""
        found: dict[str, Any] = {}
        length = message.integer("sequence_length")
        if length:
            found["sequence_length"] = length
        if message.has("sequence_delim") and (text := message.text("sequence_delim")) != ";":
            found["sequence_delim"] = text
        return found | {"empty": "default"}

    def _embedding(self, kind: str, message: Message, place: Place) -> dict[str, Any]:
        """How values become vectors."""
        if not self.embedded:
            return {}
        report, found = self.report, dict[str, Any]()
        ids = message.has("boundaries", *PRECEDENCE) or kind not in NUMERIC
        mixed = message.message("autodis")
        dense = mixed is not None or message.message("mlp") is not None
        if mixed is not None and not ids:
            found["dense_embedding"] = autodis(mixed)
        if message.has("embedding_dim"):
            if ids or dense:
                found["embedding_dim"] = message.integer("embedding_dim")
            else:
                report.add(
                    "dropped", message, "embedding_dim", "without boundaries the number itself goes in, there too"
                )
        if message.has("embedding_name") and (ids or dense):
            found["embedding_name"] = message.text("embedding_name")
        elif message.has("embedding_name"):
            report.add("dropped", message, "embedding_name", "the feature has no embedding")
        if message.text("pooling", "sum").lower() != "sum":
            found["pooling"] = message.text("pooling").lower()
        if not message.flag("trainable", default=True):
            found["trainable"] = False
        if message.text("data_type", "FP32") != "FP32":
            report.add("changed", message, "data_type", "tables are float32")
        return found


def autodis(message: Message) -> dict[str, Any]:
    """The keys of a mixture of vectors, where they are not the defaults; an `mlp` there is `linear` here."""
    found: dict[str, Any] = {"type": "autodis"}
    if message.has("num_channels"):
        found["buckets"] = message.integer("num_channels")
    if message.has("temperature"):
        found["temperature"] = message.number("temperature")
    if message.has("keep_prob"):
        found["skip"] = message.number("keep_prob")
    return found


def text_normalizer(message: Message) -> dict[str, Any]:
    """The keys of a text normalizer."""
    found: dict[str, Any] = {}
    if message.has("norm_options"):
        found["norm_options"] = message.texts("norm_options")
    if message.has("max_length"):
        found["max_length"] = message.integer("max_length")
    if message.has("stop_char_file"):
        found["stop_char_file"] = message.text("stop_char_file")
    return found


def _value(message: Message, key: str, how: str) -> Any:
    if how == _LIST:
        return message.texts(key)
    if how == _FLAG:
        return message.flag(key)
    if how == _INTEGER:
        return message.integer(key)
    return message.number(key) if how == _NUMBER else message.text(key)


def _float(message: Message, key: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise message.wrong(key, f"must hold numbers, but holds {text!r}") from None
