"""What looks up the inputs of a program for requests, as a bundle says. Knows no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from easyrec.embedding.sides import SidesReader

if TYPE_CHECKING:
    from easyrec.embedding.reader import TableReader
    from easyrec.export.kernels.sums import Given
    from easyrec.export.manifest import SplitEntry


def sides_reader(tables: TableReader, entry: SplitEntry, given: Given | None = None) -> SidesReader:
    """What looks up the inputs of a program for requests.

    Args:
        tables: The bundle's.
        entry: What its manifest says of such programs.
        given: What the program of a runtime is given in place of fields; None: what the manifest says.
    """
    folded, sums = (entry.folded, None) if given is None else (given.folded, given.sums)
    return SidesReader(tables, set(entry.user), entry.apart, folded, sums)
