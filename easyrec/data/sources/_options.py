"""Options of clients and object stores: texts that may be secrets, which neither errors nor logs show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeAlias

from pydantic import BeforeValidator, SecretStr


def _as_texts(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    return {key: str(v).lower() if isinstance(v, bool) else v if v is None else str(v) for key, v in value.items()}


SecretOptions: TypeAlias = Annotated[
    dict[str, SecretStr],
    BeforeValidator(_as_texts, json_schema_input_type=dict[str, str | int | float | bool]),
]
"""Numbers and booleans are taken as texts."""


def plain(options: Mapping[str, SecretStr]) -> dict[str, str]:
    """The options as a client takes them."""
    return {key: value.get_secret_value() for key, value in options.items()}


def told_of(error: Exception, options: Mapping[str, SecretStr]) -> str:
    """The first line of an error, without the options' values, but for short ones such as `true`, which are no secrets."""
    text = (str(error).strip().splitlines() or [type(error).__name__])[0]
    for value in sorted(plain(options).values(), key=len, reverse=True):
        if len(value) > 5:
            text = text.replace(value, "***")
    return text
