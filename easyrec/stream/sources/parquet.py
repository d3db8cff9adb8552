"""`parquet`: events in files of parquet, replayed file by file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq

from easyrec.stream.decode import kept, salvaged
from easyrec.stream.sources import Malformed, SourceConfig
from easyrec.stream.sources._files import FileEvents, Piece


class Config(SourceConfig):
    """Config of `parquet`."""

    type: Literal["parquet"] = "parquet"
    path: str
    """A file, a folder or a glob; files are read in the order of their names."""

    def open(self, schema: pa.Schema, *, until_end: bool = False) -> ParquetEvents:
        """See the family's contract."""
        return ParquetEvents(self.path, ".parquet", schema)


class ParquetEvents(FileEvents):
    """Rows of parquet files; places are rows."""

    unit = "rows"

    def read(self, file: Path, place: int, most: int) -> Iterator[Piece]:
        """See the contract."""
        with pq.ParquetFile(file) as opened:
            there = [name for name in self.schema.names if name in opened.schema_arrow.names]
            row = 0
            for batch in opened.iter_batches(most, columns=there, use_threads=False):
                start = min(max(place - row, 0), batch.num_rows)
                if start < batch.num_rows:
                    yield self._piece(file, batch.slice(start), row + start)
                row += batch.num_rows

    def _piece(self, file: Path, batch: pa.RecordBatch, row: int) -> Piece:
        def cast(start: int, stop: int) -> pa.RecordBatch:
            some, arrays = batch.slice(start, stop - start), []
            for field in self.schema:
                index = some.schema.get_field_index(field.name)
                try:
                    arrays.append(
                        pa.nulls(stop - start, field.type) if index < 0 else some.column(index).cast(field.type)
                    )
                except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
                    raise ValueError(f"column '{field.name}': {error}") from None
            return pa.RecordBatch.from_arrays(arrays, schema=self.schema)

        rows, left_out = salvaged(batch.num_rows, cast, self.schema)
        malformed = [
            Malformed(f"{file}, row {row + at}", reason, str(batch.slice(at, 1).to_pylist()[0]))
            for at, reason in left_out
        ]
        read = kept(batch.num_rows, left_out)
        return Piece(rows, row + batch.num_rows, malformed, lambda at: f"{file}, row {row + read[at]}")

    def length(self, file: Path) -> int:
        """See the contract."""
        return int(pq.read_metadata(file).num_rows)
