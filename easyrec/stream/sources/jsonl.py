"""`jsonl`: events in files of a JSON object a line, replayed file by file."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate, islice
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa

from easyrec.stream.decode import decode_json, kept
from easyrec.stream.sources import Malformed, SourceConfig
from easyrec.stream.sources._files import FileEvents, Piece


class Config(SourceConfig):
    """Config of `jsonl`."""

    type: Literal["jsonl"] = "jsonl"
    path: str
    """A file, a folder or a glob; files are read in the order of their names."""

    def open(self, schema: pa.Schema, *, until_end: bool = False) -> JsonEvents:
        """See the family's contract."""
        return JsonEvents(self.path, ".jsonl", schema)


class JsonEvents(FileEvents):
    """Lines of files; places are bytes."""

    def read(self, file: Path, place: int, most: int) -> Iterator[Piece]:
        """See the contract."""
        with file.open("rb") as opened:
            opened.seek(place)
            while lines := list(islice(opened, most)):
                rows, left_out = decode_json(lines, self.schema)
                starts = [0, *accumulate(map(len, lines))]
                malformed = [
                    Malformed(f"{file}, byte {place + starts[at]}", reason, lines[at].decode(errors="replace").rstrip())
                    for at, reason in left_out
                    if not lines[at].isspace()  # a blank line is nothing
                ]
                begins, read = place + np.asarray(starts), kept(len(lines), left_out)
                place += starts[-1]

                def locate(row: int, begins: np.ndarray = begins, read: np.ndarray = read) -> str:
                    return f"{file}, byte {begins[read[row]]}"

                yield Piece(rows, place, malformed, locate)

    def length(self, file: Path) -> int:
        """See the contract."""
        return file.stat().st_size
