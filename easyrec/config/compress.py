"""Smaller embedding tables: `export.compress` of finished ones, `model.compress` of those that are to learn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field, field_validator

from easyrec.errors import Problem, nearest
from feature_generator.config import StrictModel

if TYPE_CHECKING:
    from easyrec.config.model import ModelConfig
    from easyrec.config.train import TrainConfig

CODECS = "easyrec.embedding.codecs"
"""The family of `export.compress`."""
ORDER = ("prune", "low_rank", "product")
"""In which order our codecs can follow each other: rows are left out, what is left is narrowed, and then coded."""


PART = ":part"
"""In the names of tables that another one is made of, before their number."""


def whole_name(table: str) -> str:
    """The name of the table that a table is a part of; its own where it is none."""
    return table.partition(PART)[0]


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
        """Whether it is for a table; one that is made of others is named like they were whole."""
        return self.tables is None or table in self.tables or whole_name(table) in self.tables


def unordered(codecs: Sequence[CodecConfig]) -> str:
    """What is wrong with the order of codecs; empty where nothing is."""
    places = [ORDER.index(codec.type) for codec in codecs if codec.type in ORDER]
    for before, after in pairwise(places):
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
        if name not in tables and name not in map(whole_name, tables)
    ]


COMPOSITIONS = "easyrec.modules.compress"
"""The family of `model.compress`."""


@dataclass(frozen=True)
class Part:
    """One of the tables that a composed embedding is made of, and which of its rows belongs to an id.

    The row is ``(id // divide) % modulo - start``, without the remainder where `modulo` is 0.

    Attributes:
        ids: Number of ids.
        rows: Rows of the table.
        dim: Numbers of a row.
        divide: Ids that follow each other and share a row.
        modulo: After so many rows the first one follows.
        start: The first id that has a row.
        open: Whether ids may have none: then this part of theirs is zeros.
    """

    ids: int
    rows: int
    dim: int
    divide: int = 1
    modulo: int = 0
    start: int = 0
    open: bool = False

    @property
    def plain(self) -> bool:
        """Whether an id is its row."""
        return (self.divide, self.modulo, self.start, self.open) == (1, 0, 0, False)


class CompositionConfig(StrictModel):
    """What the config of every composed embedding has; its own `Config` derives from it.

    Attributes:
        linear: Whether the embedding of several ids, their sum, can be made of the sums of their parts.
    """

    family: ClassVar[str | None] = COMPOSITIONS
    linear: ClassVar[bool] = True

    type: str

    def parts(self, rows: int, dim: int) -> list[Part]:
        """The tables of a composed one.

        Args:
            rows: Number of ids.
            dim: D, the width of the embedding.

        Raises:
            ValueError: The settings do not fit such a table.
        """
        raise TypeError(f"{type(self).__name__} must define parts")


def unfit_compress(
    model: ModelConfig, train: TrainConfig, several: Sequence[str], *, distributed: bool = False
) -> Iterator[Problem]:
    """What stands against learning composed embeddings; each `where` is a dotted path.

    Args:
        model: The `model` section.
        train: The `train` section.
        several: Names in `model.compress` of those that are made of several tables.
        distributed: Whether several workers learn.
    """
    for name in model.compress if model.propagated_layers() is not None else ():
        text = f"'{model.type}' spreads whole tables over a graph, and '{name}' would be made of others"
        yield Problem(
            f"{text}\nleave it out, or compress the finished tables: export.compress", f"model.compress.{name}"
        )
    for name in several if distributed else ():
        text = f"'{name}' is made of several tables, and workers find the rows of one for each id"
        yield Problem(f"{text}\ntake 'mixed' without 'frequent', or train in one process", f"model.compress.{name}")
