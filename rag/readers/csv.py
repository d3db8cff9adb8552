"""`csv`: a table, in parts of some rows so that a long one need not be in memory."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from easyrec.errors import DataError
from rag.document import Block, Place, Table
from rag.readers import ReaderConfig

CELL = 1 << 20
"""Characters of a cell."""


class Config(ReaderConfig):
    """Config of `csv`."""

    endings: ClassVar[tuple[str, ...]] = (".csv", ".tsv")

    type: Literal["csv"] = "csv"
    separator: str | None = Field(None, min_length=1, max_length=1)
    """Default: found out from the first rows."""
    header: int = Field(1, ge=0, le=10)
    """How many rows of it are header."""
    columns: list[str] = []
    """Which columns are read, by their names in the last row of the header; default: all."""
    max_columns: int = Field(1000, ge=1)
    """A table with more is refused."""
    part_rows: int = Field(200, ge=1)
    """Rows of a part, each of which has the header again."""

    def read(self, path: Path) -> Iterator[Block]:
        """The table, in parts."""
        text = self.text_of(path)
        csv.field_size_limit(CELL)
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=self.separator or _separator(path, text))
        header: list[tuple[str, ...]] = []
        held: list[tuple[str, ...]] = []
        chosen: list[int] | None = None
        begun, width = 1, 0
        try:
            for row in rows:
                if not any(cell.strip() for cell in row):
                    continue
                if len(row) > self.max_columns:
                    raise DataError(
                        f"{path}, line {rows.line_num}: has {len(row)} columns, and {self.max_columns} are read at most"
                    )
                if len(header) < self.header:
                    header.append(tuple(cell.strip() for cell in row))
                    if len(header) == self.header and self.columns:
                        chosen = self._chosen(path, header[-1])
                    width = max(width, len(row))
                    continue
                begun = begun if held else rows.line_num
                width = max(width, len(row))
                held.append(tuple(cell.strip() for cell in row))
                if len(held) == self.part_rows:
                    yield _table(header, held, chosen, width, begun)
                    held = []
        except csv.Error as error:
            raise DataError(f"{path}, line {rows.line_num}: {error}") from None
        if held or (header and begun == 1 and not held):
            yield _table(header, held, chosen, width, begun)

    def _chosen(self, path: Path, names: tuple[str, ...]) -> list[int]:
        missing = [name for name in self.columns if name not in names]
        if missing:
            raise DataError(f"{path}: has no column '{missing[0]}'; there are {', '.join(names)}")
        return [names.index(name) for name in self.columns]


def _separator(path: Path, text: str) -> str:
    """What stands between cells."""
    if path.suffix.lower() == ".tsv":
        return "\t"
    try:
        return csv.Sniffer().sniff(text[:16_384], ",;\t|").delimiter
    except csv.Error:
        return ","


def _table(
    header: list[tuple[str, ...]], rows: list[tuple[str, ...]], chosen: list[int] | None, width: int, line: int
) -> Table:
    """A part of the table, all of its rows of one length."""
    filled = [row + ("",) * (width - len(row)) for row in (*header, *rows)]
    taken = filled if chosen is None else [tuple(row[i] for i in chosen) for row in filled]
    return Table(tuple(taken), len(header), "", Place(line=line))
