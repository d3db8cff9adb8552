"""`LineSource`: rows that are lines of text files; a unit is a range of bytes, or a compressed file."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from easyrec.data.sources import Place, Source, Unit
from easyrec.data.sources._text import Blocks
from easyrec.errors import DataError


@dataclass(frozen=True)
class Parsed:
    """What became of a block of lines.

    Attributes:
        batch: Its rows.
        left_out: Lines that gave no row, counted among the block's lines that are not blank; ascending.
        counts: Malformed lines by reason.
    """

    batch: pa.RecordBatch
    left_out: Sequence[int] = ()
    counts: Counter[str] = field(default_factory=Counter)


class LineSource(Source):
    """Rows of text files.

    Args:
        blocks: The files' lines, file by file.
    """

    def __init__(self, blocks: Sequence[Blocks]) -> None:
        self._units: list[Unit] = []
        self._ranges: list[tuple[Blocks, int]] = []
        for file in blocks:
            for part in range(file.parts):
                span = f", part {part + 1} of {file.parts}" if file.parts > 1 else ""
                self._units.append(Unit(len(self._units), None, file.file.name + span, file.file.name))
                self._ranges.append((file, part))
        self._dropped: dict[int, Counter[str]] = {}
        self._missing: dict[int, list[int]] = {}

    @abstractmethod
    def parse(self, block: bytes, kinds: Mapping[str, pa.DataType]) -> Parsed:
        """The rows of a block of whole lines, with the columns `kinds` in their order.

        Raises:
            DataError: A line is malformed and may not be; its `row` counts the block's lines that are not blank.
        """

    def units(self) -> list[Unit]:
        """Byte ranges of all files, file by file."""
        return self._units

    def read(self, unit: Unit, columns: Sequence[str], start_row: int = 0) -> Iterator[pa.RecordBatch]:
        """The lines of the range; only `columns` are converted."""
        blocks, part = self._ranges[unit.index]
        kinds = {name: self.columns[name] for name in columns}
        dropped: Counter[str] = Counter()
        missing: list[int] = []
        self._dropped[unit.index], self._missing[unit.index] = dropped, missing  # known as the rows are: `locate`
        line = 0  # lines that hold a row, counted in the unit, with those that are left out
        for index, block in enumerate(blocks.read(part)):
            try:
                parsed = self.parse(block, kinds)
            except DataError as error:
                number = None if error.row is None else blocks.line_number(part, index, error.row)
                raise DataError(error.reason, column=error.column, file=unit.file, line=number) from None
            batch = parsed.batch
            dropped.update(parsed.counts)
            missing += [line + i for i in parsed.left_out]
            line += batch.num_rows + len(parsed.left_out)
            skipped = min(start_row, batch.num_rows)
            start_row -= skipped
            if skipped < batch.num_rows:
                yield batch.slice(skipped)

    def locate(self, unit: Unit, row: int) -> Place:
        """File and line of a row."""
        blocks, part = self._ranges[unit.index]
        for left_out in list(self._missing.get(unit.index, ())):
            if left_out > row:
                break
            row += 1
        return Place(unit.file, None, blocks.line_number(part, 0, row))

    def dropped(self, unit: Unit) -> Mapping[str, int]:
        """Malformed lines of the unit, by reason."""
        return self._dropped.get(unit.index, {})


def one_batch(table: pa.Table) -> pa.RecordBatch:
    """The rows of a table in one batch."""
    batches = table.combine_chunks().to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], table.schema)
