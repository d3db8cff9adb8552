"""`dense_embedding` of a feature: how a number with an embedding_dim becomes a field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from easyrec.errors import ConfigError, Problem, nearest
from feature_generator.config import Choice, Document, StrictModel, members, validate

FAMILY = "easyrec.modules.numeric"
TABLE = "linear"
"""The kind that is no member of the family: a table whose rows are multiplied with the numbers."""


class NumericConfig(StrictModel):
    """What every numeric embedding's config has; its own `Config` derives from it."""

    type: str


class _Feature(StrictModel):
    dense_embedding: Annotated[Any, Choice(FAMILY)]


def dense_embedding(value: str | Mapping[str, Any]) -> NumericConfig | None:
    """The config behind a feature's `dense_embedding`; None for the one that is a table.

    Raises:
        ConfigError: It is none.
    """
    kind, others = (value, ()) if isinstance(value, str) else (value["type"], value.keys() - {"type"})
    known = (TABLE, *members(FAMILY))
    if kind not in known:
        text = f"unknown type '{kind}'{nearest(kind, known)}\nknown: {', '.join(known)}"
        raise ConfigError([Problem(text, "dense_embedding")])
    if kind == TABLE:
        if others:
            raise ConfigError([Problem(f"'{TABLE}' has no keys, but has '{min(others)}'", "dense_embedding")])
        return None
    found: NumericConfig = validate(_Feature, Document.of({"dense_embedding": value})).dense_embedding
    return found
