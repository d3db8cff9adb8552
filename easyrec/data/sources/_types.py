"""Types of columns as configs write them: `int64`, `list<string>`, `map<string, float32>`, `struct<id: int64>`."""

from __future__ import annotations

import pyarrow as pa

from easyrec.errors import nearest

SCALARS: dict[str, pa.DataType] = {
    "string": pa.string(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "float32": pa.float32(),
    "float64": pa.float64(),
    "bool": pa.bool_(),
    "timestamp": pa.timestamp("us"),
    "date": pa.date32(),
}

_NAMES = {kind: name for name, kind in SCALARS.items()}


def parse_type(text: str) -> pa.DataType:
    """The type that a text names.

    A map is a whole column, from texts to scalars; lists and structs may hold each other.

    Raises:
        ValueError: It names none; says what is accepted.
    """
    return _parse(text.strip(), top=True)


def check_types(types: dict[str, str]) -> dict[str, str]:
    """The texts as they are.

    Raises:
        ValueError: One of them names no type; names all such columns.
    """
    problems = []
    for name, text in types.items():
        try:
            parse_type(text)
        except ValueError as error:  # noqa: PERF203 (a handful of columns)
            problems.append(f"'{name}': {error}")
    if problems:
        raise ValueError("\n".join(problems))
    return types


def type_text(kind: pa.DataType) -> str:
    """The text that `parse_type` reads as this type."""
    if pa.types.is_list(kind):
        return f"list<{type_text(kind.value_type)}>"
    if pa.types.is_map(kind):
        return f"map<string, {type_text(kind.item_type)}>"
    if pa.types.is_struct(kind):
        return f"struct<{', '.join(f'{field.name}: {type_text(field.type)}' for field in kind)}>"
    return _NAMES.get(kind) or str(kind)


def _parse(text: str, *, top: bool = False) -> pa.DataType:
    if text in SCALARS:
        return SCALARS[text]
    head, sign, rest = text.partition("<")
    head = head.strip()
    if head not in ("list", "map", "struct") or not rest.endswith(">"):
        hint = "" if sign else nearest(text, [*SCALARS, "list<...>", "map<string, ...>", "struct<...>"])
        known = ", ".join(SCALARS)
        raise ValueError(
            f"unknown type '{text}'{hint}\nknown: {known}, list<...>, map<string, ...>, struct<name: ..., ...>"
        )
    parts = _split(rest[:-1])
    if head == "list" and len(parts) == 1:
        return pa.list_(_parse(parts[0]))
    if head == "map" and len(parts) == 2 and parts[0] == "string" and parts[1] in ("date", "timestamp"):
        raise ValueError(f"the values of a map are numbers, texts or booleans, not those of '{text}'")
    if head == "map" and len(parts) == 2 and parts[0] == "string" and parts[1] in SCALARS:
        if not top:
            raise ValueError(f"'{text}' is inside of another type, but a map must be the whole column")
        return pa.map_(pa.string(), SCALARS[parts[1]])
    fields = [part.rpartition(":") if "<" not in part else part.partition(":") for part in parts]
    names = [name.strip() for name, _, _ in fields]
    if head == "struct" and parts and all(names) and len(set(names)) == len(names):
        return pa.struct([(name, _parse(kind.strip())) for name, (_, _, kind) in zip(names, fields, strict=True)])
    wanted = {"list": "list<int64>", "map": "map<string, float64>", "struct": "struct<id: int64, time: float64>"}
    raise ValueError(f"'{text}' is no {head}; write it like {wanted[head]}")


def _split(text: str) -> list[str]:
    """The parts between commas that no bracket surrounds."""
    parts, depth, start = [], 0, 0
    for position, sign in enumerate(text):
        depth += (sign == "<") - (sign == ">")
        if sign == "," and depth == 0:
            parts.append(text[start:position].strip())
            start = position + 1
    return [*parts, text[start:].strip()]
