"""`csv`: text files of one row a line, plain or compressed; a unit is a range of bytes, or a compressed file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import pyarrow as pa
from pyarrow import csv as arrow_csv
from pydantic import Field, field_validator

from easyrec.data.sources import Policy, Source
from easyrec.data.sources._csv_lines import Dialect, Mender, header, infer_types
from easyrec.data.sources._files import File
from easyrec.data.sources._lines import LineSource, Parsed, one_batch
from easyrec.data.sources._partitions import PartitionedConfig, TypeName
from easyrec.data.sources._text import COMPRESSED, Blocks
from easyrec.data.sources._types import SCALARS
from easyrec.errors import ConfigError, DataError, Problem, nearest
from feature_generator.config import Document, repeat_names

SUFFIXES = (".csv", ".tsv", ".txt")
"""Ends of names that a folder stands for."""

UNIT_BYTES = 16 << 20
"""Bytes of a plain file that are read at once."""

SAMPLE_BYTES = 4 << 20
"""Start of the first file from which types are inferred."""


class Config(PartitionedConfig):
    r"""Config of `csv`.

    Attributes:
        path: File, folder, glob or a list of them; `.gz`, `.bz2`, `.zst` and `.lz4` are decompressed.
        columns: Names of the columns, where the files have no header line; `int_0 .. int_12` stands for thirteen.
        separator: What stands between two values; one character, `\t` for a tab.
        quote: What may surround a value that holds the separator; null: nothing does.
        types: Types by column. The others are inferred from the start of the first file: whole numbers, numbers,
            else text; a number with a leading zero is text.
        null_values: Texts that mean a missing value.
        partitions, where: Folders that are columns, see `PartitionedConfig`.
        storage_options: Options of the file system, as fsspec takes them.
    """

    type: Literal["csv"] = "csv"
    columns: list[str] | None = Field(None, min_length=1)
    separator: str = Field(",", min_length=1)
    quote: str | None = Field('"', min_length=1, max_length=1)
    types: dict[str, TypeName] = {}
    null_values: list[str] = ["", "NULL", "null", "\\N"]

    @field_validator("separator")
    @classmethod
    def _one_character(cls, value: str) -> str:
        value = {"\\t": "\t", "tab": "\t"}.get(value, value)
        if len(value.encode()) != 1 or value in "\r\n":
            raise ValueError(f"must be one character, such as ',' or '\\t', but is {value!r}")
        return value

    @field_validator("columns", mode="before")
    @classmethod
    def _ranges(cls, value: Any) -> Any:
        if not isinstance(value, list) or not any(isinstance(name, str) and ".." in name for name in value):
            return value
        try:
            return [entry["name"] for entry in repeat_names(Document.of([{"names": value}])).data]
        except ConfigError as error:
            raise ValueError(error.problems[0].message) from None

    @field_validator("columns")
    @classmethod
    def _different(cls, value: list[str] | None) -> list[str] | None:
        repeated = sorted({name for name in value or [] if (value or []).count(name) > 1})
        if repeated:
            raise ValueError(f"named twice: {', '.join(repeated)}")
        return value

    def open(self, bad_rows: Policy = "fail") -> Source:
        """The files, with names and types of their columns known."""
        files = self.files([s + c for s in SUFFIXES for c in ("", *COMPRESSED)])
        return self.opened(CsvSource(files, self, bad_rows), files)


class CsvSource(LineSource):
    """Rows of text files.

    Args:
        files: Files in their order; names and types come from the first one.
        config: How they are written.
        bad_rows: A line with too few or too many values, or with a value that is not of its column's type, is an
            error under `fail` and left out under `skip`; under `default` it is filled with missing values or cut.

    Raises:
        DataError: A file is empty, or its header differs from the first one's.
    """

    def __init__(self, files: Sequence[File], config: Config, bad_rows: Policy = "fail") -> None:
        self.files, self.bad_rows = list(files), bad_rows
        self._dialect = Dialect(config.separator, config.quote, tuple(config.null_values))
        self._blocks = [Blocks(file, UNIT_BYTES, header=config.columns is None) for file in files]
        names = config.columns or header(self._blocks[0], self._dialect)
        for blocks in self._blocks[1:] if config.columns is None else []:
            other = header(blocks, self._dialect)
            if other != names:
                text = f"has the header {', '.join(other)}\nbut {files[0].name} has {', '.join(names)}"
                raise DataError(text, file=blocks.file.name, line=1)
        unknown = [name for name in config.types if name not in names]
        if unknown:
            problems = [Problem(f"the file has no column '{n}'{nearest(n, names)}", "types") for n in unknown]
            raise ConfigError(problems)
        given = {name: SCALARS[kind] for name, kind in config.types.items()}
        sample = next((s for s in (b.sample(SAMPLE_BYTES) for b in self._blocks) if s), b"")
        inferred = infer_types(sample, names, self._dialect)
        self._inferred = {name for name in names if name not in given}
        self.columns = {name: given.get(name, inferred[name]) for name in names}
        super().__init__(self._blocks)

    def parse(self, block: bytes, kinds: Mapping[str, pa.DataType]) -> Parsed:
        """The rows of a block, line by line where one of them is malformed."""
        batch = self._parse(block, kinds)
        if batch is not None:
            return Parsed(batch)
        mender = Mender(list(self.columns), kinds, self._dialect, self.bad_rows, self._inferred)
        batch = mender.parse(block)
        return Parsed(batch, mender.left_out, mender.counts)

    def _parse(self, block: bytes, kinds: Mapping[str, pa.DataType]) -> pa.RecordBatch | None:
        """The block by Arrow's parser; None if any line of it is malformed."""
        malformed: list[int] = []

        def flag(row: Any) -> str:
            malformed.append(1)
            return "skip"

        if not block.strip(b"\r\n"):
            return pa.RecordBatch.from_pylist([], pa.schema(list(kinds.items())))
        dialect = self._dialect
        try:
            table = arrow_csv.read_csv(
                pa.BufferReader(block),
                arrow_csv.ReadOptions(column_names=list(self.columns), block_size=max(1 << 20, len(block) // 4)),
                arrow_csv.ParseOptions(
                    delimiter=dialect.separator, quote_char=dialect.quote or False, invalid_row_handler=flag
                ),
                arrow_csv.ConvertOptions(
                    column_types=dict(kinds),
                    include_columns=list(kinds),
                    null_values=list(dialect.null_values),
                    strings_can_be_null=True,
                ),
            )
        except pa.ArrowInvalid:
            return None
        return None if malformed else one_batch(table)
