"""Smaller embedding tables: `export.compress` of finished ones, `model.compress` of those that are to learn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from pydantic import Field, field_validator

from easyrec.errors import Problem, nearest
from feature_generator.config import StrictModel

CODECS = "easyrec.embedding.codecs"
"""The family of `export.compress`."""
ORDER = ("prune", "low_rank", "product")
"""In which order our codecs can follow each other: rows are left out, what is left is narrowed, and then coded."""


class CodecConfig(StrictModel):
    """What every codec's config has; a codec's own `Config` derives from it."""

    family: ClassVar[str | None] = CODECS

    type: str
    tables: list[str] | None = Field(None, min_length=1)
    """Tables that it is for. Default: all that it makes smaller."""

    @field_validator("tables")
    @classmethod
    def _once(cls, value: list[str] | None) -> list[str] | None:
        for index, name in enumerate(value or []):
            if name in (value or [])[:index]:
                raise ValueError(f"'{name}' is listed twice")
        return value

    def takes(self, table: str) -> bool:
        """Whether it is for a table."""
        return self.tables is None or table in self.tables


def unordered(codecs: Sequence[CodecConfig]) -> str:
    """What is wrong with the order of codecs; empty where nothing is."""
    places = [ORDER.index(codec.type) for codec in codecs if codec.type in ORDER]
    for before, after in zip(places, places[1:], strict=False):
        if after < before:
            return f"'{ORDER[after]}' comes before '{ORDER[before]}'\nwrite them in the order {', '.join(ORDER)}"
    if codecs and any(codec.type == "product" for codec in codecs[:-1]):
        return "what 'product' has coded cannot be compressed further\nlet it be the last"
    return ""


def unknown_tables(codecs: Sequence[CodecConfig], tables: Sequence[str]) -> list[Problem]:
    """Names in the codecs' `tables` that no table has."""
    return [
        Problem(f"no table is called '{name}'{nearest(name, tables)}", f"export.compress.{place}.tables.{index}")
        for place, codec in enumerate(codecs)
        for index, name in enumerate(codec.tables or [])
        if name not in tables
    ]


def named(codecs: Sequence[Any]) -> str:
    """Codecs as a manifest names them."""
    return "+".join(codec.type for codec in codecs)
