"""Scoring a request in two parts: what the user's side needs is looked up and computed once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from easyrec.errors import BundleError
from easyrec.export.bundle import Bundle
from easyrec.export.kernels.sums import Given
from easyrec.export.manifest import SplitEntry
from easyrec.export.portions import in_portions
from easyrec.export.sides import sides_reader
from serving import runtimes

if TYPE_CHECKING:
    from easyrec.embedding.reader import TableReader
    from feature_generator import Table


class SplitScorer:
    """The program for requests of a bundle, and what feeds it.

    Args:
        bundle: The bundle.
        entry: What its manifest says of the program.
        tables: Its tables.
        runtime: What runs it.
        sessions: As `runtimes.load` takes them.

    Attributes:
        tiled: Whether candidates are looked up beside what the request has once.
        summed: Whether it is given sums over fields, which no other runtime's program reads.
        reads: The features that are looked up for candidates.
        by_row: Whether all that is looked up for candidates has a row for each; sequences of items have one for each step.

    Raises:
        BundleError: The program is damaged.
    """

    def __init__(
        self, bundle: Bundle, entry: SplitEntry, tables: TableReader, runtime: str, sessions: int | None = None
    ) -> None:
        folder = bundle.folder(bundle.manifest.requests_of(runtime) or entry.folder)
        self._dense = runtimes.load(runtime, folder, sessions)
        given: Given | None = getattr(self._dense, "given", None)
        self.summed = given is not None
        try:
            self._tables = sides_reader(tables, entry, given)
        except (LookupError, TypeError, ValueError) as error:
            raise BundleError(f"{folder}: its sums are not of the bundle's tables: {error}") from None
        item, self._cells = self._tables.item_plan, entry.cells
        self.reads = {feature for group in item.groups.values() for feature in group.features}
        self.by_row = not any(group.layout.sequences for group in item.groups.values())
        searched = any(
            s.search is not None and s.search.kind != "newest" for g in item.groups.values() for s in g.layout.sequences
        )
        self.tiled = searched or bool(self.reads & set(entry.user))

    @property
    def out_of_range(self) -> int:
        """How many ids lay outside their table."""
        return self._tables.out_of_range

    def __call__(self, once: Table, each: Table) -> dict[str, np.ndarray]:
        """What the program says of the candidates of a request.

        Args:
            once: What the request has once, one row.
            each: The candidates, with that beside where they are `tiled`.
        """
        return self.run(self._tables.lookup(once, each))

    def of_user(self, once: Table) -> dict[str, np.ndarray]:
        """What the program reads of the user's side."""
        return self._tables.of_user(once)

    def of_items(self, each: Table) -> dict[str, np.ndarray]:
        """What the program reads of the candidates."""
        return self._tables.of_items(each)

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """What the program says of both."""
        return in_portions(self._dense, inputs, self._cells)
