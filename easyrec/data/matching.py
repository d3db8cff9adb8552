"""From training rows to the items that their users are compared with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from easyrec.data.catalogue import Catalogue, single
from easyrec.data.rows import Rows
from easyrec.data.samplers import Sampler
from easyrec.errors import DataError
from feature_generator.columns import Column, Ragged, Table

if TYPE_CHECKING:
    from easyrec.batch import Batch


class Matcher:
    """Gives batches their candidates. Same seed and key, same candidates.

    Args:
        catalogue: The items.
        sampler: Draws the candidates.
        sequence: Child of a sequence whose steps after the first are the positions' own items; None: a row's own item is
            that of the catalogue's key.
        seed: Where chance starts.
    """

    def __init__(self, catalogue: Catalogue, sampler: Sampler, sequence: str | None, seed: int) -> None:
        self.catalogue, self.sampler, self.sequence, self.seed = catalogue, sampler, sequence, seed

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
        draw = self.sampler.draw(own, np.random.default_rng([self.seed & 0xFFFFFFFFFFFFFFFF, *key]))
        if draw.inside:
            places = np.empty(len(self.catalogue), np.int64)
            places[draw.items[::-1]] = np.arange(len(draw.items))[::-1]
            items, targets, log_q, first = draw.items, places[own], draw.log_q, 0
        else:
            mine, targets = np.unique(own, return_inverse=True)
            items, first = np.concatenate([mine, draw.items]), len(mine)
            log_q = None if draw.log_q is None else np.concatenate([draw.own_log_q, draw.log_q])
        batch = Batch.of(rows.table, rows.labels, rows.sample_weight, rows.reserved, outputs)
        return batch.against(
            Matches(
                items=Batch.of(self.catalogue.table.take(items), outputs=self.catalogue.outputs),
                numbers=torch.from_numpy(items),
                targets=torch.from_numpy(targets),
                rows=torch.from_numpy(of_rows),
                first_shared=first,
                log_q=None if log_q is None else torch.from_numpy(log_q),
            )
        )


def own_items(table: Table, catalogue: Catalogue, sequence: str | None) -> tuple[np.ndarray, np.ndarray]:
    """(P,) int64, the items that the positions of some rows are about, and (P,) the rows of these.

    Args:
        table: The rows.
        catalogue: The items.
        sequence: As for `Matcher`.

    Raises:
        DataError: The catalogue has no such item.
    """
    if sequence is None:
        keys = single(table, catalogue.key)
        rows = np.arange(len(keys))
    else:
        keys, offsets = steps(table, sequence)
        lengths = np.diff(offsets)
        followed = np.ones(len(keys), bool)
        followed[offsets[:-1][lengths > 0]] = False
        keys, rows = keys[followed], np.repeat(np.arange(len(lengths)), lengths)[followed]
    found = catalogue.find(keys)
    unknown = np.flatnonzero(found < 0)
    if len(unknown):
        raise DataError(f"id {keys[unknown[0]]} is that of no item of data.items", column=sequence or catalogue.key)
    return found, rows


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
