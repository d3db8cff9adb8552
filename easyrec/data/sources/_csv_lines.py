"""Lines of text files one by one: headers, the inference of types, and the mending of malformed lines."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv

from easyrec.data.sources import Policy
from easyrec.data.sources._text import Blocks
from easyrec.errors import DataError

WHOLE = r"^-?(0|[1-9][0-9]{0,17})$"
NUMBER = r"^([-+]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?|[-+]?[iI]nf|[nN]a[nN])$"


@dataclass(frozen=True)
class Dialect:
    """How values are written in a line."""

    separator: str
    quote: str | None
    null_values: tuple[str, ...]

    def split(self, line: str) -> list[str]:
        """The values of one line."""
        if self.quote is None:
            return line.split(self.separator)
        return next(csv.reader([line], delimiter=self.separator, quotechar=self.quote))


def header(blocks: Blocks, dialect: Dialect) -> list[str]:
    """The names in a file's first line.

    Raises:
        DataError: The file is empty, or a name is empty or given twice.
    """
    line = blocks.first_line()
    if not line:
        raise DataError("is empty, but should start with a header line", file=blocks.file.name)
    try:
        names = [name.strip() for name in dialect.split(line.decode())]
    except UnicodeDecodeError as error:
        raise DataError(f"is not UTF-8 text: {error.reason}", file=blocks.file.name, line=1) from None
    for position, name in enumerate(names):
        if not name or name in names[:position]:
            text = f"the header gives '{name}' twice" if name else f"the header has no name for column {position + 1}"
            raise DataError(text, file=blocks.file.name, line=1)
    return names


def infer_types(sample: bytes, names: Sequence[str], dialect: Dialect) -> dict[str, pa.DataType]:
    """Types that hold all values of the sample: int64, else float64, else string; malformed lines are passed over."""
    strings = dict.fromkeys(names, pa.string())
    if not sample.strip(b"\r\n"):
        return strings
    try:
        table = arrow_csv.read_csv(
            pa.BufferReader(sample),
            arrow_csv.ReadOptions(column_names=list(names), block_size=len(sample)),
            arrow_csv.ParseOptions(
                delimiter=dialect.separator, quote_char=dialect.quote or False, invalid_row_handler=lambda row: "skip"
            ),
            arrow_csv.ConvertOptions(
                column_types=strings, null_values=list(dialect.null_values), strings_can_be_null=True
            ),
        )
    except pa.ArrowInvalid:  # not UTF-8: reading will say so, with the line
        return strings
    return {name: _narrowest(table.column(name)) for name in names}


def _narrowest(texts: pa.ChunkedArray) -> pa.DataType:
    if texts.null_count == len(texts):
        return pa.string()
    if pc.all(pc.match_substring_regex(texts, WHOLE)).as_py():
        return pa.int64()
    return pa.float64() if pc.all(pc.match_substring_regex(texts, NUMBER)).as_py() else pa.string()


class Mender:
    """Parses a block that has malformed lines, line by line, by the policy for bad rows.

    Args:
        names: All columns of the file.
        kinds: Columns to convert, with their types.
        dialect: How values are written.
        policy: What becomes of malformed lines.
        inferred: Columns whose type was inferred; the error says how to state it.

    Attributes:
        counts: Malformed lines by reason.
        left_out: Lines that gave no row, counted among the block's lines that are not blank.
    """

    def __init__(
        self,
        names: Sequence[str],
        kinds: Mapping[str, pa.DataType],
        dialect: Dialect,
        policy: Policy,
        inferred: Collection[str],
    ) -> None:
        self.names, self.kinds, self.dialect = list(names), kinds, dialect
        self.policy, self.inferred = policy, inferred
        self.counts: Counter[str] = Counter()
        self.left_out: list[int] = []

    def parse(self, block: bytes) -> pa.RecordBatch:
        """The block's rows.

        Raises:
            DataError: A line is malformed and the policy is to fail; its `row` counts the block's lines that are
                not blank.
        """
        lines = [line for line in (raw.rstrip(b"\r") for raw in block.split(b"\n")) if line]
        rows: list[list[str]] = []
        bad: set[int] = set()
        for number, line in enumerate(lines):
            rows.append(self._fields(line, number, bad))
        arrays = {}
        for name, kind in self.kinds.items():
            position = self.names.index(name)
            arrays[name] = self._convert([row[position] for row in rows], name, kind, bad)
        batch = pa.RecordBatch.from_arrays(list(arrays.values()), schema=pa.schema(list(self.kinds.items())))
        self.left_out = sorted(bad)
        return batch.filter(pa.array([number not in bad for number in range(len(lines))], pa.bool_()))

    def _fields(self, line: bytes, number: int, bad: set[int]) -> list[str]:
        try:
            fields = self.dialect.split(line.decode())
        except (UnicodeDecodeError, csv.Error) as error:
            reason = "is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else f"cannot be parsed: {error}"
            self._reject(reason, reason, number, bad)
            return [""] * len(self.names)
        if len(fields) == len(self.names):
            return fields
        few = len(fields) < len(self.names)
        text = f"has {len(fields)} values, but there are {len(self.names)} columns"
        self._reject("too few values" if few else "too many values", text, number, bad)
        return (fields + [""] * (len(self.names) - len(fields)))[: len(self.names)]

    def _reject(self, reason: str, text: str, number: int, bad: set[int], column: str = "") -> None:
        if self.policy == "fail":
            raise DataError(text, row=number, column=column)
        self.counts[reason] += 1
        if self.policy == "skip":
            bad.add(number)

    def _convert(self, texts: list[str], name: str, kind: pa.DataType, bad: set[int]) -> pa.Array:
        nulls = set(self.dialect.null_values)
        values = pa.array([None if text in nulls else text for text in texts], pa.string())
        try:
            return _cast(values, kind)
        except pa.ArrowInvalid:
            pass
        hint = f"; the type was inferred, set `types: {{{name}: string}}`" if name in self.inferred else ""
        mended: list[str | None] = values.to_pylist()
        for number, value in enumerate(mended):
            if not _fits(value, kind):
                mended[number] = None
                if number not in bad:
                    self._reject(f"no {kind} in '{name}'", f"'{value}' is no {kind}{hint}", number, bad, name)
        return _cast(pa.array(mended, pa.string()), kind)


def _cast(values: pa.StringArray, kind: pa.DataType) -> pa.Array:
    return values if pa.types.is_string(kind) else pc.utf8_trim_whitespace(values).cast(kind)


def _fits(value: str | None, kind: pa.DataType) -> bool:
    try:
        _cast(pa.array([value], pa.string()), kind)
    except pa.ArrowInvalid:
        return False
    return True
