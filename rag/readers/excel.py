"""`excel`: each sheet a table, in parts of some rows, with the values that were computed and merged cells filled."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from easyrec.errors import DataError
from rag.document import Block, Heading, Place, Table
from rag.readers import ReaderConfig
from rag.readers._archive import check_archive, opened
from rag.readers._merged import MOST, merged_cells

LARGE = 64 << 20
"""Bytes unpacked from which on a book is read row by row: merged cells then have their text in the first of them alone."""


class Config(ReaderConfig):
    """Config of `excel`."""

    endings: ClassVar[tuple[str, ...]] = (".xlsx", ".xlsm", ".xltx")

    type: Literal["excel"] = "excel"
    sheets: list[str] = []
    """Which sheets are read; default: all that are not hidden."""
    header: int = Field(1, ge=0, le=10)
    """How many rows of a sheet are header."""
    max_columns: int = Field(1000, ge=1)
    """A sheet with more is refused."""
    max_rows: int = Field(1_000_000, ge=1)
    """A sheet with more is refused."""
    part_rows: int = Field(200, ge=1)
    """Rows of a part, each of which has the header again."""

    def read(self, path: Path) -> Iterator[Block]:
        """Its sheets. Macros are never looked at."""
        self.check(path)
        large = check_archive(path, "xl/workbook.xml") > LARGE
        if not large and (merged := opened(path, "openpyxl", "openpyxl", lambda _: merged_cells(path))) > MOST:
            raise DataError(f"{path}: has {merged} merged cells or more, and {MOST} are filled at most")
        how = {"read_only": large, "data_only": True, "keep_links": False}
        book = opened(path, "openpyxl", "openpyxl", lambda openpyxl: openpyxl.load_workbook(path, **how))
        try:
            missing = [name for name in self.sheets if name not in book.sheetnames]
            if missing:
                raise DataError(f"{path}: has no sheet '{missing[0]}'; there are {', '.join(book.sheetnames)}")
            shown = self.sheets or [sheet.title for sheet in book.worksheets if sheet.sheet_state == "visible"]
            for number, name in enumerate(book.sheetnames, 1):
                if name in shown and name in {sheet.title for sheet in book.worksheets}:
                    yield from self._sheet(path, book[name], number)
        finally:
            book.close()

    def _sheet(self, path: Path, sheet: Any, number: int) -> Iterator[Block]:
        if (sheet.max_column or 0) > self.max_columns or (sheet.max_row or 0) > self.max_rows:
            told = f"{sheet.max_row} rows and {sheet.max_column} columns"
            raise DataError(f"{path}: sheet '{sheet.title}' has {told}: more than max_rows or max_columns")
        merged = getattr(sheet, "merged_cells", None)  # of a sheet that is read row by row they are not known
        spans = [(r.min_row, r.min_col, r.max_row, r.max_col) for r in merged.ranges] if merged is not None else []
        filled: dict[tuple[int, int], str] = {}
        for top, left, bottom, right in spans:
            text = _shown(sheet.cell(top, left).value)
            filled |= {(row, column): text for row in range(top, bottom + 1) for column in range(left, right + 1)}
        header: list[tuple[str, ...]] = []
        held: list[tuple[str, ...]] = []
        begun = 0
        any_row = False
        for place, row in enumerate(sheet.iter_rows(values_only=True), 1):
            if place > self.max_rows or len(row) > self.max_columns:
                raise DataError(f"{path}: sheet '{sheet.title}' has more than max_rows or max_columns")
            cells = tuple(filled.get((place, column)) or _shown(value) for column, value in enumerate(row, 1))
            if not any(cells):
                continue
            if not any_row:
                yield Heading(sheet.title, 1, Place(page=number))
                any_row = True
            if len(header) < self.header:
                header.append(cells)
                continue
            begun = begun if held else place
            held.append(cells)
            if len(held) == self.part_rows:
                yield Table((*header, *held), len(header), "", Place(page=number, line=begun))
                held = []
        if held or (header and not begun):
            yield Table((*header, *held), len(header), "", Place(page=number, line=begun or 1))


def _shown(value: Any) -> str:
    """A value as a sheet shows it, about."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, datetime.datetime):
        return value.date().isoformat() if value.time() == datetime.time() else value.isoformat(" ", "seconds")
    return " ".join(str(value).split())
