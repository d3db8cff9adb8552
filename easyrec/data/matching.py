"""From training rows to the items that their users are compared with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from easyrec.data.candidates import Arranger
from easyrec.data.catalogue import Catalogue
from easyrec.data.labels import Wrong
from easyrec.data.positions import Positions
from easyrec.data.rows import Rows
from easyrec.data.samplers import Lists, Sampler
from feature_generator.columns import Table

if TYPE_CHECKING:
    from easyrec.batch import Batch

REASON = "is no item of data.items"


class Missing:
    """Finds rows about items that the catalogue lacks.

    Args:
        positions: What is learned of rows.
        raw: Column of the data that names a row's own item, to tell its value.
    """

    def __init__(self, positions: Positions, raw: str) -> None:
        self.positions, self.raw = positions, raw
        self.catalogue, self.sequence = positions.catalogue, positions.sequence

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
            keys, rows, _ = self.positions.possible(table)
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
    """Gives batches their positions and candidates. Same seed, key and earlier batches, same ones.

    Args:
        positions: What users are compared with items at.
        sampler: Draws the candidates.
        seed: Where chance starts.
        missing: Finds rows that cannot be learned.
        worker: Of several ones, each of which draws for itself.
    """

    def __init__(self, positions: Positions, sampler: Sampler, seed: int, missing: Missing, worker: int = 0) -> None:
        self.positions, self.catalogue, self.sampler = positions, positions.catalogue, sampler
        self.seed = [seed & 0xFFFFFFFFFFFFFFFF, *([worker] if worker else [])]
        self.missing, self.arrange = missing, Arranger(len(positions.catalogue))
        self._whole: Batch | None = None

    def __call__(self, rows: Rows, outputs: Any, key: Sequence[int]) -> Batch:
        """The batch of some rows, with positions and candidates.

        Args:
            rows: The rows.
            outputs: The generator's outputs.
            key: What tells this batch from others.
        """
        import torch  # noqa: PLC0415 (it comes with the first batch, not with the import)

        from easyrec.batch import Batch, Matches  # noqa: PLC0415

        random = np.random.default_rng([*self.seed, *key])
        own, of_rows, steps = self.positions.drawn(rows.table, random)
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
                steps=None if steps is None else torch.from_numpy(steps),
            )
        )

    def nothing(self, batch: Batch) -> Batch:
        """A batch of no rows, with no positions and no candidates."""
        import torch  # noqa: PLC0415

        from easyrec.batch import Matches  # noqa: PLC0415

        none = torch.zeros(0, dtype=torch.int64)
        return batch.against(Matches(self._batch_of(np.zeros(0, np.int64)), none, none, none))

    def _batch_of(self, items: np.ndarray) -> Batch:
        """The features of items; of all, in their order, always the same batch."""
        from easyrec.batch import Batch  # noqa: PLC0415

        whole = len(items) == len(self.catalogue) and bool((items[1:] > items[:-1]).all())
        if not whole:
            return Batch.of(self.catalogue.table.take(items), outputs=self.catalogue.outputs)
        if self._whole is None:
            self._whole = Batch.of(self.catalogue.table, outputs=self.catalogue.outputs)
        return self._whole


def named_items(table: Table, feature: str, catalogue: Catalogue) -> Lists:
    """The items that the rows name by a feature, a sequence or not."""
    column = table.ragged(feature)
    offsets = np.arange(table.num_rows + 1) if column.offsets is None else column.offsets
    if column.key_offsets is not None:
        offsets = column.key_offsets[offsets]
    return Lists(catalogue.find(column.values), offsets)
