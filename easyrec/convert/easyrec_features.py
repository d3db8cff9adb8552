"""The features of an EasyRec config."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from easyrec.convert.easyrec_data import Column
from easyrec.convert.message import Message
from easyrec.convert.ranges import expand
from easyrec.convert.report import Report

LENGTH = 1000
"""Elements of a sequence that nothing limits there."""

NORMALIZERS = {"log1p": "log(1+x)", "sqrt": "sqrt(x)", "tanh": "tanh(x)", "sigmoid": "sigmoid(x)", "abs": "abs(x)"}
"""Functions of TensorFlow that our expressions have too."""

_SAME = ("abs", "ceil", "cos", "exp", "floor", "log", "sigmoid", "sign", "sin", "sqrt", "tan", "tanh")
FUNCTIONS = {"log1p": "log(1+", "maximum": "max(", "minimum": "min(", **{name: f"{name}(" for name in _SAME}}
"""TensorFlow's functions that expressions have too: how a call begins here."""

_FUNCTION = re.compile(r"\b(tf\.(?:\w+\.)*\w+)\s*\(")

TYPES = ("Id", "Raw", "Tag", "Combo", "Lookup", "Sequence", "Expr", "PassThrough")
"""Feature types by their number."""

_LOST = {"initializer": "tables of a model all start alike"}
_DROPPED = {"max_partitions": "tables are not split"}


def configs(root: Message) -> list[Message]:
    """The messages of all features: of `feature_config`, or the older `feature_configs`."""
    newer = root.message("feature_config")
    listed = newer.messages("features") if newer is not None else []
    if newer is not None:
        newer.values("embedding_on_cpu")
    return [*root.messages("feature_configs"), *listed]


def kind_of(message: Message) -> str:
    """The feature's type: `Id`, `Raw`, ..."""
    text = message.text("feature_type", "IdFeature")
    return TYPES[int(text)] if text.isdigit() and int(text) < len(TYPES) else text.removesuffix("Feature")


def names_of(message: Message) -> list[tuple[str, list[str]]]:
    """(feature, columns) pairs that one message stands for."""
    inputs = expand(message.texts("input_names"))
    name = message.text("feature_name") or (inputs[0] if inputs else "")
    return [(name, inputs), *((other, [other]) for other in expand(message.texts("shared_names")))]


class Reader:
    """Reads features.

    Args:
        columns: What the data say of the columns.
        sides: Side of each column.
        report: Where to say what is not carried.
    """

    def __init__(self, columns: Mapping[str, Column], sides: Mapping[str, str], report: Report) -> None:
        self.columns, self.sides, self.report = columns, sides, report

    def read(self, message: Message) -> list[dict[str, Any]]:
        """The features that one message stands for."""
        kind, found = kind_of(message), list[dict[str, Any]]()
        method = getattr(self, f"_{kind.lower()}", None)
        first = self.report.target or ("features", 0)
        for name, inputs in names_of(message):
            self.report.target = ("features", int(first[1]) + len(found))
            if method is None or not inputs:
                why = f"features of type {kind} are not there" if method is None else "names no column"
                self.report.add("lost", message, "feature_type" if method is None else "", why)
                message.settle()
                return found
            found.append({"type": "", "name": name} | method(message, inputs) | self._embedding(message))
        self.report.lose(message, _LOST)
        self.report.drop(message, _DROPPED)
        if message.has("ev_params"):
            self.report.add("changed", message, "ev_params", "tables that evict ids have no counterpart")
        return found

    def source(self, column: str) -> str:
        """A column as `side:name`."""
        return f"{self.sides.get(column, 'item')}:{column}"

    def default(self, column: str) -> str:
        """What an empty value of a column stands for there."""
        return self.columns.get(column, Column()).default

    # -------------------------------------------------------------------------------------------- types

    def _id(self, message: Message, inputs: list[str]) -> dict[str, Any]:
        found = {"type": "id", "expression": self.source(inputs[0])} | self._ids(message)
        default = self.default(inputs[0]) or ("0" if "num_buckets" in found else "")
        if message.integer("precision", -1) >= 0:
            why = "a number becomes its shortest text, not one of so many digits"
            self.report.add("changed", message, "precision", why, "make the column a text")
        message.values("separator")  # an id is one word there
        return found | ({"default_value": default} if default else {})

    def _raw(self, message: Message, inputs: list[str]) -> dict[str, Any]:
        found: dict[str, Any] = {"type": "raw", "expression": self.source(inputs[0])}
        return found | self._numbers(message, self.default(inputs[0]) or "0", message.text("separator", "|"))

    def _tag(self, message: Message, inputs: list[str]) -> dict[str, Any]:
        found: dict[str, Any] = {"type": "id", "expression": self.source(inputs[0])}
        found["separator"] = message.text("separator", "|")
        if message.has("kv_separator"):
            found["weighted"] = True
            self._colon(message)
        elif len(inputs) > 1:
            why = f"weights in a column of their own have no counterpart: those of '{inputs[1]}' are left out"
            todo = "write the tags as tag:weight and set weighted: true"
            self.report.add("lost", message, "input_names", why, todo)
        default = self.default(inputs[0])
        return found | self._ids(message) | ({"default_value": default} if default else {})

    def _combo(self, message: Message, inputs: list[str]) -> dict[str, Any]:
        found: dict[str, Any] = {"type": "combo", "expression": [self.source(name) for name in inputs]}
        joined = message.text("combo_join_sep")
        if not joined:
            why = "crosses were hashed without joining their words, so ids are others than there"
            self.report.add("changed", message, "", why, "train anew: their tables do not fit")
        elif joined != "_":
            self.report.add("changed", message, "combo_join_sep", "words are joined by '_'")
        separators = dict.fromkeys(message.texts("combo_input_seps"))
        if len(separators) > 1:
            why = "one separator serves all columns, and splits them all"
            self.report.add("changed", message, "combo_input_seps", why)
        if any(separators):
            found["separator"] = next(text for text in separators if text)
        message.values("separator")
        return found | self._ids(message)

    def _lookup(self, message: Message, inputs: list[str]) -> dict[str, Any]:
        found: dict[str, Any] = {"type": "lookup", "map": self.source(inputs[-1]), "key": self.source(inputs[0])}
        found["separator"] = message.text("separator", "|")
        self._colon(message)
        why = "all values that match are kept"
        self.report.drop(message, {"lookup_max_sel_elem_num": why})
        return found | {"default_value": ""} | self._ids(message)

    def _expr(self, message: Message, inputs: list[str]) -> dict[str, Any]:
        found: dict[str, Any] = {"type": "expr", "expression": self._formula(message)}
        found["variables"] = [self.source(name) for name in inputs]
        why = "theirs are Python's expressions, where & and | bind more tightly than comparisons"
        self.report.add("check", message, "expression", why, "put comparisons in parentheses")
        message.values("separator")
        return found

    def _passthrough(self, message: Message, inputs: list[str]) -> dict[str, Any]:
        why = "values went into the model as they were; raw reads one number a row"
        self.report.add("check", message, "feature_type", why, "set value_dim for vectors")
        return self._raw(message, inputs)

    def _sequence(self, message: Message, inputs: list[str]) -> dict[str, Any]:
        numeric = message.text("sub_feature_type", "IdFeature") in ("RawFeature", "1")
        inner = message.text("seq_multi_sep")
        found: dict[str, Any] = {"type": "raw" if numeric else "id", "expression": self.source(inputs[0])}
        if numeric:
            found |= self._numbers(message, self.default(inputs[0]) or "0", inner)
        else:
            found |= self._ids(message)
            found |= {"separator": inner, "value_dim": 0} if inner else {}
        found["sequence_delim"] = message.text("separator", "|")
        # `sequence_length` is what histories of numbers are filled up to; 1 is its default, and says nothing
        filled = message.integer("sequence_length", 1)
        length = message.integer("max_seq_len") or (filled if filled > 1 else 0)
        found["sequence_length"] = length or LENGTH
        if not length:
            why = f"nothing limits the sequence there; {LENGTH} elements are kept here, the newest"
            self.report.add("check", message, "", why, "set sequence_length to what your histories hold")
        why = "outside of attention groups steps are averaged"
        self.report.lose(message, {"sequence_combiner": why}, "give the sequence an encoder in its group")
        return found | {"empty": "default"}

    # -------------------------------------------------------------------------------------------- parts

    def _formula(self, message: Message) -> str:
        """An expression, TensorFlow's functions by our names."""
        text = message.text("expression")
        unknown = [n for n in dict.fromkeys(_FUNCTION.findall(text)) if n.rpartition(".")[2] not in FUNCTIONS]
        if unknown:
            why = f"not among the functions of expressions: {', '.join(unknown)}"
            self.report.add(
                "lost", message, "expression", why, "write it with those that are: docs/reference/features/expr.md"
            )
        return _FUNCTION.sub(lambda m: FUNCTIONS.get(m[1].rpartition(".")[2], m[0]), text)

    def _colon(self, message: Message) -> None:
        """Keys and values stand with a colon between them."""
        if message.text("kv_separator", ":") != ":":
            why = "a key and its value stand with ':' between them"
            self.report.add("lost", message, "kv_separator", why, "write the column so, or as a map")

    def _ids(self, message: Message) -> dict[str, Any]:
        """The discretizer; words outside of a vocabulary share the id of its first word, as there."""
        if message.integer("hash_bucket_size"):
            return {"hash_bucket_size": message.integer("hash_bucket_size")}
        if message.has("vocab_list"):
            return {"vocab_list": message.texts("vocab_list"), "default_bucketize_value": 0}
        if message.has("vocab_file"):
            return {"vocab_file": message.text("vocab_file"), "default_bucketize_value": 0}
        if message.integer("num_buckets"):
            return {"num_buckets": message.integer("num_buckets")}
        why = "nothing says how its values become ids: hash_bucket_size: 1000000 is a guess"
        self.report.add("check", message, "", why, "give the feature its hash_bucket_size or num_buckets")
        return {"hash_bucket_size": 1_000_000}

    def _numbers(self, message: Message, default: str, separator: str) -> dict[str, Any]:
        """Normalizer, boundaries and default of numbers; there the default is normalised like any other value."""
        found: dict[str, Any] = {}
        if message.integer("raw_input_dim", 1) > 1:
            found["value_dim"] = message.integer("raw_input_dim")
            found |= {"separator": separator} if separator else {}
        low, high = float(message.number("min_val")), float(message.number("max_val"))
        scaled = high > low
        function = message.text("normalizer_fn").rpartition(".")[2]
        if function and function in NORMALIZERS and not scaled:
            found["normalizer"] = f"method=expression,expr={NORMALIZERS[function]}"
            if default not in ("", "0", "0.0") or function == "sigmoid":
                self.report.add("changed", message, "normalizer_fn", "a missing value is not normalised")
        elif function:
            self.report.add("lost", message, "normalizer_fn", f"'{message.text('normalizer_fn')}' is not there")
        if scaled:
            found["normalizer"] = f"method=minmax,min={low},max={high}"
            default = _scaled(default, low, high)
        edges = sorted({float(edge) for edge in message.numbers("boundaries")})
        buckets = message.integer("num_buckets")
        if not edges and buckets > 1 and scaled:
            edges = [number / buckets for number in range(buckets)]
        found |= {"boundaries": edges} if edges else {}
        return found | ({"default_value": default} if default not in ("0", "") else {})

    def _embedding(self, message: Message) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if message.integer("embedding_dim"):
            found["embedding_dim"] = message.integer("embedding_dim")
        if message.text("embedding_name"):
            found["embedding_name"] = message.text("embedding_name")
        combiner = message.text("combiner", "sum")
        if combiner == "mean":
            found["pooling"] = "mean"
        elif combiner != "sum":
            self.report.add("changed", message, "combiner", f"'{combiner}' is not there: embeddings are added up")
        return found


def _scaled(default: str, low: float, high: float) -> str:
    try:
        return repr((float(default) - low) / (high - low))
    except ValueError:
        return default
