"""Items and users as texts: templates that the values of their rows fill."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

COLUMN = re.compile(r"\{([^{}]*)\}")


def columns_of(template: str) -> list[str]:
    """The columns that a template names, each once."""
    return list(dict.fromkeys(COLUMN.findall(template)))


def template_of(value: str) -> str:
    """A template, for validators.

    Raises:
        ValueError: A brace has no other one, or encloses nothing.
    """
    columns, rest = COLUMN.findall(value), COLUMN.sub("", value)
    if not all(name.strip() for name in columns):
        raise ValueError("'{}' names no column; write {column}")
    if "{" in rest or "}" in rest:
        sign, other = ("{", "}") if "{" in rest else ("}", "{")
        raise ValueError(f"has a '{sign}' without its '{other}'; a column is written {{column}}")
    if not columns:
        raise ValueError("names no column, so that all items would say the same; write {column}")
    return value


def filled(template: str, row: Mapping[str, Any]) -> str:
    """A template with the values of a row: lists are told with commas, what is missing is empty."""
    return COLUMN.sub(lambda found: words(row[found.group(1)]), template)


def words(value: Any) -> str:
    """A cell as it is read."""
    if value is None:
        return ""
    if isinstance(value, list):
        return ", ".join(words(each) for each in value)
    return str(round(value, 4)).removesuffix(".0") if isinstance(value, float) else str(value)
