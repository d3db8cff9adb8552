"""`excel`: each sheet a table, in parts of some rows, with computed values as they are shown and merged cells filled."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from easyrec.errors import DataError
from rag.document import Block, Heading, Paragraph, Place, Table
from rag.readers import ReaderConfig
from rag.readers._archive import check_archive, opened
from rag.readers._merged import MOST, merged_cells

FORMAT = re.compile(
    r"(?P<before>[^0#?.,%a-zA-Z]*|[A-Z]{3}\s*|[A-Z]{0,2}[$\u20ac\u00a3\u00a5]\s*)(?P<digits>[0#?,]+)(?:\.(?P<decimals>[0#?]+))?"
    r"(?P<after>\s*%?\s*[^0#?.,%]{0,8})"
)
"""Formats of numbers whose looks are told."""
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
        begun: dict[int, _Merged] = {}
        for top, left, bottom, right in spans:
            merged_here = begun.setdefault(top, _Merged())
            columns = range(left - 1, right)
            merged_here.down.update(columns if bottom > top else ())
            merged_here.across.update(columns if bottom == top else ())
            text = _shown(sheet.cell(top, left).value)
            filled |= {(row, column): text for row in range(top, bottom + 1) for column in range(left, right + 1)}
        table = _Rows(self.header, self.part_rows, number)
        any_row = False
        hidden = getattr(sheet, "row_dimensions", {})  # as merged cells
        for place, row in enumerate(sheet.iter_rows(), 1):
            if place > self.max_rows or len(row) > self.max_columns:
                raise DataError(f"{path}: sheet '{sheet.title}' has more than max_rows or max_columns")
            if place in hidden and hidden[place].hidden:
                continue
            cells = tuple(filled.get((place, column)) or _text(cell) for column, cell in enumerate(row, 1))
            if not any(cells):
                table.gap = True
                continue
            if not any_row:
                yield Heading(sheet.title, 1, Place(page=number))
                any_row = True
            words = all(isinstance(cell.value, str) for cell in row if cell.value is not None)
            yield from table.take(cells, place, words, begun.get(place))
        yield from table.rest()


@dataclass
class _Merged:
    """Columns of a row whose cells are one with those below, or beside them alone."""

    down: set[int] = field(default_factory=set)
    across: set[int] = field(default_factory=set)


class _Rows:
    """The rows of a sheet as tables: another one begins where, below an empty row, a row of names stands above other values.

    Args:
        header: How many rows of a table are header.
        part: Rows of a part.
        page: Number of the sheet.
    """

    def __init__(self, header: int, part: int, page: int) -> None:
        self._header, self._part, self._page = header, part, page
        self._names: list[tuple[str, ...]] = []
        self._held: list[tuple[str, ...]] = []
        self._caption, self._begun, self._told, self._only_words = "", 0, False, True
        self._second: tuple[int, _Merged] | None = None
        self.gap = True

    def take(self, cells: tuple[str, ...], place: int, words: bool, merged: _Merged | None = None) -> Iterator[Block]:
        """Another row."""
        shown = {cell for cell in cells if cell}
        fresh, self.gap = self.gap, False
        if self._header and fresh and words:
            wide = sum(map(bool, cells))
            empty = not self._names and not self._held
            if len(shown) == 1 and len(cells) > 1:  # a title stands above its table
                yield from self.rest()
                self._caption, self.gap = next(iter(shown)), True
                return
            if not empty and wide > 1 and (not self._only_words or _range(cells) != _range(self._names[0])):
                yield from self.rest()
        if len(self._names) < self._header:
            self._names.append(cells)
            self._begun = self._begun or place
            self._second = (place + 1, merged) if merged is not None and self._header == 1 else None
            return
        if self._is_second(cells, place, words):
            self._names.append(cells)
            return
        self._begun = self._begun if self._held else place
        self._only_words = self._only_words and words
        self._held.append(cells)
        if len(self._held) == self._part:
            yield self._table()
            self._held = []

    def _is_second(self, cells: tuple[str, ...], place: int, words: bool) -> bool:
        """Whether a row tells apart what the first row of the header says of several columns together."""
        second, self._second = self._second, None
        if second is None or second[0] != place:
            return False
        merged = second[1]
        pairs = enumerate(zip(self._names[0], cells, strict=False))
        fits = all(column in merged.down | merged.across or not above or not below for column, (above, below) in pairs)
        return fits and bool(merged.across) and (words or bool(merged.down))

    def rest(self) -> Iterator[Block]:
        """What is left of a table, which ends."""
        if self._held or (self._names and not self._told):
            yield self._table()
        elif self._caption and not self._told:
            yield Paragraph(self._caption, Place(page=self._page))
        self._names, self._held = [], []
        self._caption, self._begun, self._told, self._only_words = "", 0, False, True

    def _table(self) -> Table:
        self._told = True
        place = Place(page=self._page, line=self._begun or 1)
        rows = [*self._names, *self._held]
        ranges = [_range(row) for row in rows]
        first, last = min(left for left, _ in ranges), max(right for _, right in ranges) + 1
        return Table(tuple(row[first:last] for row in rows), len(self._names), self._caption, place)


def _range(cells: tuple[str, ...]) -> tuple[int, int]:
    """The first and the last column of a row that are not empty."""
    filled = [number for number, cell in enumerate(cells) if cell]
    return filled[0], filled[-1]


def _text(cell: Any) -> str:
    """A cell as a sheet shows it, about."""
    value = cell.value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _number(value, getattr(cell, "number_format", None) or "General")
    return _shown(value)


def _number(value: float, form: str) -> str:
    """A number in its format, as far as that has decimals, groups of thousands, percents, and a sign of money."""
    first = re.sub(r'"([^"]*)"|\\(.)|_.|\*.', lambda m: m.group(1) or m.group(2) or "", form.partition(";")[0])
    first = re.sub(r"\[\$([^\]-]*)[^\]]*\]", r"\1", re.sub(r"\[[^$\]]*\]", "", first))
    match = FORMAT.fullmatch(first.strip())
    if match is None or not match.group("digits"):
        return _shown(value)
    percent = "%" in match.group("after")
    decimals = len(match.group("decimals") or "")
    shown = f"{abs(value) * (100 if percent else 1):{',' if ',' in match.group('digits') else ''}.{decimals}f}"
    before, after = match.group("before"), match.group("after")
    return f"{'-' if value < 0 else ''}{before}{shown}{after}".strip()


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
