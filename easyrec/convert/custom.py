"""Operators of `custom` features."""

from __future__ import annotations

from typing import Any

from easyrec.convert.message import Message, Scalar, plain
from easyrec.convert.report import Report

BUILT_IN = ("EditDistance", "RegexReplace", "SeqExpr")
"""Operators that pyfg brings along, and we too."""


def built_in(message: Message, feature: dict[str, Any], report: Report) -> dict[str, Any]:
    """`operator_params` of a `custom_feature`, and what becomes of its library."""
    name = feature.get("operator_name", "")
    if message.has("operator_lib_file"):
        if name in BUILT_IN:
            report.add("dropped", message, "operator_lib_file", f"{name} is built in here too")
        else:
            why = f"their compiled library cannot be loaded, and '{name}' is not built in: {', '.join(BUILT_IN)}"
            report.add("lost", message, "operator_lib_file", why, "write it as an operator of your own")
    report.drop(message, {"is_op_thread_safe": "operators are free of state here"})
    params = message.message("operator_params")
    made = struct(params) if params is not None else {}
    if name == "EditDistance":
        made.setdefault("encoding", "latin")  # their default; ours compares characters
    return {"operator_params": made} if params is not None or made else {}


def struct(message: Message) -> dict[str, Any]:
    """A google.protobuf.Struct, `fields {key: .. value {string_value: ..}}`, as plain data."""
    found: dict[str, Any] = {}
    for entry in message.messages("fields"):
        value = entry.message("value")
        found[entry.text("key")] = None if value is None else _value(value)
    if message.has("key"):  # as a page of theirs writes it, without `fields` and `value`
        key = message.text("key")
        rest = [f for f in message.fields if f.name != "key"]
        found[key] = _value(Message(message.line, rest, message.path, message.file))
    return found


def _value(message: Message) -> Any:
    for name in message.names():
        for value in message.values(name):
            if isinstance(value, Scalar):
                number = plain(value)
                return None if name == "null_value" else number
            if name == "struct_value":
                return struct(value)
            if name == "list_value":
                return [_value(item) for item in value.messages("values")]
    return None
