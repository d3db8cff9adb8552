"""From training rows to the items that their users are compared with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from easyrec.data.candidates import Arranger
from easyrec.data.catalogue import Catalogue, single
from easyrec.data.labels import Wrong
from easyrec.data.rows import Rows
from easyrec.data.samplers import Lists, Sampler
from easyrec.errors import DataError
from feature_generator.columns import Column, Ragged, Table

if TYPE_CHECKING:
    from easyrec.batch import Batch

REASON = "is no item of data.items"


class Missing:
    """Finds rows about items that the catalogue lacks.

    Args:
        catalogue: The items.
        sequence: As for `Matcher`.
        raw: Column of the data that names a row's own item, to tell its value.
    """

    def __init__(self, catalogue: Catalogue, sequence: str | None, raw: str) -> None:
        self.catalogue, self.sequence, self.raw = catalogue, sequence, raw

    def __call__(self, table: Table, batch: pa.RecordBatch) -> Wrong | None:
        """The rows that cannot be learned, None where all can.

        Args:
            table: Some rows.
            batch: The same ones, raw.
        """
        if self.sequence is None:
            column = table.ragged(self.catalogue.key)
            offsets = np.arange(table.num_rows + 1) if column.offsets is None else column.offsets
            single = np.diff(offsets) == 1
            keys, rows = column.values[offsets[:-1][single]], np.flatnonzero(single)
            several = np.flatnonzero(~single)
        else:
            keys, rows = positions(table, self.catalogue.key, self.sequence)
            several = np.zeros(0, np.int64)
        unknown = self.catalogue.find(keys) < 0
        keys, rows = keys[unknown], rows[unknown]
        if not len(rows) and not len(several):
            return None

        def tell(row: int) -> str:
            if self.sequence is None and self.raw in batch.schema.names:
                value = batch.column(self.raw)[row].as_py()
                return f"{'null' if value is None else repr(value)} {REASON}"
            return f"id {keys[np.searchsorted(rows, row)]} {REASON}"

        return Wrong(self.sequence or self.raw, np.union1d(rows, several), REASON, tell)


class Matcher:
    """Gives batches their candidates. Same seed, key and earlier batches, same candidates.

    Args:
        catalogue: The items.
        sampler: Draws the candidates.
        sequence: Child of a sequence whose steps after the first are the positions' own items; None: a row's own item is
            that of the catalogue's key.
        seed: Where chance starts.
        missing: Finds rows that cannot be learned.
    """

    def __init__(
        self, catalogue: Catalogue, sampler: Sampler, sequence: str | None, seed: int, missing: Missing
    ) -> None:
        self.catalogue, self.sampler, self.sequence, self.seed = catalogue, sampler, sequence, seed
        self.missing, self.arrange = missing, Arranger(len(catalogue))
        self._whole: Batch | None = None

    def __call__(self, rows: Rows, outputs: Any, key: Sequence[int]) -> Batch:
        """The batch of some rows, with candidates.

        Args:
            rows: The rows.
            outputs: The generator's outputs.
            key: What tells this batch from others.
        """
        import torch  # noqa: PLC0415 (it comes with the first batch, not with the import)

        from easyrec.batch import Batch, Matches  # noqa: PLC0415

        own, of_rows = own_items(rows.table, self.catalogue, self.sequence)
        random = np.random.default_rng([self.seed & 0xFFFFFFFFFFFFFFFF, *key])
        named = {k: named_items(rows.table, name, self.catalogue) for k, name in self.sampler.config.features.items()}
        draw = self.sampler.draw(own, random)
        apart = self.sampler.apart(own, of_rows, named, random)
        found = self.arrange(own, of_rows, draw, apart, named.get("known"))
        batch = Batch.of(rows.table, rows.labels, rows.sample_weight, rows.reserved, outputs)
        log_q, spared, apart = found.log_q, found.spared, found.apart
        return batch.against(
            Matches(
                items=self._batch_of(found.items),
                numbers=torch.from_numpy(found.items),
                targets=torch.from_numpy(found.targets),
                rows=torch.from_numpy(of_rows),
                first_shared=found.shared[0],
                log_q=None if log_q is None else torch.from_numpy(log_q),
                end_shared=found.shared[1],
                spared=None if spared is None else torch.from_numpy(spared),
                apart=None if apart is None else torch.from_numpy(apart),
            )
        )

    def _batch_of(self, items: np.ndarray) -> Batch:
        """The features of items; of all, in their order, always the same batch."""
        from easyrec.batch import Batch  # noqa: PLC0415

        whole = len(items) == len(self.catalogue) and bool((items[1:] > items[:-1]).all())
        if not whole:
            return Batch.of(self.catalogue.table.take(items), outputs=self.catalogue.outputs)
        if self._whole is None:
            self._whole = Batch.of(self.catalogue.table, outputs=self.catalogue.outputs)
        return self._whole


def own_items(table: Table, catalogue: Catalogue, sequence: str | None) -> tuple[np.ndarray, np.ndarray]:
    """(P,) int64, the items that the positions of some rows are about, -1 for those that the catalogue lacks, and their rows.

    Args:
        table: The rows.
        catalogue: The items.
        sequence: As for `Matcher`.

    Raises:
        DataError: A row has not one id.
    """
    keys, rows = positions(table, catalogue.key, sequence)
    return catalogue.find(keys), rows


def positions(table: Table, key: str, sequence: str | None) -> tuple[np.ndarray, np.ndarray]:
    """(P,) int64, the ids that the positions of some rows are about, and (P,) the rows of these."""
    if sequence is None:
        keys = single(table, key)
        return keys, np.arange(len(keys))
    keys, offsets = steps(table, sequence)
    lengths = np.diff(offsets)
    followed = np.ones(len(keys), bool)
    followed[offsets[:-1][lengths > 0]] = False
    return keys[followed], np.repeat(np.arange(len(lengths)), lengths)[followed]


def named_items(table: Table, feature: str, catalogue: Catalogue) -> Lists:
    """The items that the rows name by a feature, a sequence or not."""
    column = table.ragged(feature)
    offsets = np.arange(table.num_rows + 1) if column.offsets is None else column.offsets
    if column.key_offsets is not None:
        offsets = column.key_offsets[offsets]
    return Lists(catalogue.find(column.values), offsets)


def steps(table: Table, child: str) -> tuple[np.ndarray, np.ndarray]:
    """The ids of a sequence's steps, and the offsets of its rows.

    Raises:
        DataError: A step has not one id.
    """
    column = table[child]
    assert isinstance(column, Ragged)
    assert not isinstance(column, Column)
    if column.key_offsets is not None and (np.diff(column.key_offsets) != 1).any():
        raise DataError("a step of the sequence has not one id", column=child)
    offsets = np.arange(len(column.values) + 1) if column.offsets is None else column.offsets
    return column.values, offsets
