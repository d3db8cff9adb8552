"""`jsonl`: text files of one JSON object a line, plain or compressed; a unit is a range of bytes, or a compressed file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import pyarrow as pa
from pydantic import field_validator

from easyrec.data.sources import Policy, Source
from easyrec.data.sources._files import File
from easyrec.data.sources._json_lines import BLANK, infer_types, parse_lines
from easyrec.data.sources._lines import LineSource, Parsed
from easyrec.data.sources._partitions import PartitionedConfig
from easyrec.data.sources._text import COMPRESSED, Blocks
from easyrec.data.sources._types import check_types, parse_type
from easyrec.errors import DataError

SUFFIXES = (".jsonl", ".ndjson", ".json")
"""Ends of names that a folder stands for."""

UNIT_BYTES = 16 << 20
"""Bytes of a plain file that are read at once."""

SAMPLE_BYTES = 4 << 20
"""Start of the first file from which types are inferred."""


class Config(PartitionedConfig):
    """Config of `jsonl`.

    Attributes:
        path: File, folder, glob or a list of them; `.gz`, `.bz2`, `.zst` and `.lz4` are decompressed.
        columns: Types by column: `string`, `int64`, `list<int64>`, `map<string, float32>`,
            `list<struct<id: int64, time: float64>>`. The others are inferred from the start of the first file.
        partitions, where: Folders that are columns, see `PartitionedConfig`.
        storage_options: Options of the file system, as fsspec takes them.
    """

    type: Literal["jsonl"] = "jsonl"
    columns: dict[str, str] = {}

    @field_validator("columns")
    @classmethod
    def _known(cls, value: dict[str, str]) -> dict[str, str]:
        return check_types(value)

    def open(self, bad_rows: Policy = "fail") -> Source:
        """The files, with names and types of their columns known."""
        files = self.files([s + c for s in SUFFIXES for c in ("", *COMPRESSED)])
        return self.opened(JsonlSource(files, self, bad_rows), files)


class JsonlSource(LineSource):
    """Rows of files of JSON lines.

    Args:
        files: Files in their order; what the config leaves open comes from the first one that is not empty.
        config: Types of columns.
        bad_rows: A line that is no JSON object, has an unknown column, or a value that is not of its column's type is
            an error under `fail` and left out under `skip`; under `default` the column is left out, or the value.

    Raises:
        DataError: There are no rows, and the config names no columns.
    """

    def __init__(self, files: Sequence[File], config: Config, bad_rows: Policy = "fail") -> None:
        self.files, self.bad_rows = list(files), bad_rows
        blocks = [Blocks(file, UNIT_BYTES, header=False, blank=BLANK) for file in files]
        sample = next((s for s in (b.sample(SAMPLE_BYTES) or b.first_line() for b in blocks) if s), b"")
        inferred = infer_types(sample)
        given = {name: parse_type(text) for name, text in config.columns.items()}
        self._inferred = inferred.keys() - given.keys()
        self.columns = inferred | given
        if not self.columns:
            text = "no line of its start is a JSON object" if sample.strip() else "is empty"
            raise DataError(f"{text}; name the columns: `columns: {{item_id: int64}}`", file=files[0].name)
        super().__init__(blocks)

    def parse(self, block: bytes, kinds: Mapping[str, pa.DataType]) -> Parsed:
        """The rows of a block, line by line where one of them is malformed."""
        return parse_lines(block, self.columns, list(kinds), self.bad_rows, self._inferred)
