"""`WrappedSource`: a source made of another one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa

from easyrec.data.sources import Place, Source, Unit
from easyrec.data.sources._files import File
from feature_generator.origin import Origin


class WrappedSource(Source):
    """What a subclass does not say for itself, the source that it is made of says.

    Args:
        source: The other one; it may be exchanged for another.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self.columns = source.columns

    @property
    def files(self) -> list[File]:
        """The files that hold the rows."""
        return list(getattr(self.source, "files", ()))

    def units(self) -> list[Unit]:
        """As of the other one."""
        return self.source.units()

    def read(self, unit: Unit, columns: Sequence[str], start_row: int = 0) -> Iterator[pa.RecordBatch]:
        """As of the other one."""
        return self.source.read(unit, columns, start_row)

    def require(self, columns: Sequence[str], why: str = "") -> None:
        """As of the other one."""
        self.source.require(columns, why)

    def locate(self, unit: Unit, row: int) -> Place:
        """As of the other one."""
        return self.source.locate(unit, row)

    def bounds(self, unit: Unit, column: str) -> tuple[pa.Scalar, pa.Scalar] | None:
        """As of the other one."""
        return self.source.bounds(unit, column)

    def dropped(self, unit: Unit) -> Mapping[str, int]:
        """As of the other one."""
        return self.source.dropped(unit)

    def origins(self) -> Iterator[tuple[str, Origin]]:
        """As of the other one."""
        return self.source.origins()

    def identity(self) -> str | None:
        """As of the other one."""
        return self.source.identity()

    def close(self) -> None:
        """Close the other one."""
        self.source.close()
