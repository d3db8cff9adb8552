"""Tables of a bundle in the memory of a device, and what a request asks of them.

Rows keep the precision of the bundle; compressed tables are there as the numbers that they stand for.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from easyrec.batch import as_tensor
from easyrec.embedding.device_bags import DeviceBags, DeviceCall, Native, Place
from easyrec.embedding.encoded import Encoded
from easyrec.embedding.lookup import Lookup, TableColumns
from easyrec.embedding.on_device import ROOM
from easyrec.embedding.packing import Precision, precision_of
from easyrec.embedding.reader import native_tables

if TYPE_CHECKING:
    from easyrec.embedding.reader import TableReader
    from easyrec.embedding.search import Parts
    from easyrec.embedding.spec import EmbeddingPlan
    from feature_generator import Table

AT_ONCE = 1 << 26
"""Bytes of a table that go to the device at once."""


class DeviceTables:
    """Tables on a device: those of one width and precision lie one after another in a block, behind them a row of zeros.

    Args:
        reader: The tables.
        device: Where the blocks are made.

    Attributes:
        blocks: (rows + 1, stored width) of each block.
        places: Where the rows of each table are.
        spare: By block, the row of zeros.

    Raises:
        torch.OutOfMemoryError: The device has no room for them.
    """

    def __init__(self, reader: TableReader, device: torch.device) -> None:
        self.device = device
        kinds: dict[tuple[int, Precision], int] = {}
        self.spare: list[int] = []
        self.places: list[Place] = []
        arrays = [_whole(reader.weights[spec.name]) for spec in reader.plan.tables]
        for spec, array in zip(reader.plan.tables, arrays, strict=True):
            block = kinds.setdefault((spec.dim, precision_of(array)), len(kinds))
            if block == len(self.spare):
                self.spare.append(0)
            self.places.append(Place(block, self.spare[block], spec.rows))
            self.spare[block] += spec.rows
        self.blocks: list[Tensor] = []
        for block in range(len(self.spare)):
            mine = [(a, p.start) for a, p in zip(arrays, self.places, strict=True) if p.block == block]
            made = torch.zeros(
                self.spare[block] + 1, mine[0][0].shape[1], dtype=_stored(mine[0][0]).dtype, device=device
            )
            for array, start in mine:
                step = max(1, AT_ONCE // max(1, array.shape[1] * array.itemsize))
                for first in range(0, len(array), step):
                    some = array[first : first + step]
                    made[start + first : start + first + len(some)].copy_(_stored(some))
            self.blocks.append(made)

    @property
    def bytes(self) -> int:
        """Of the device's memory."""
        return sum(block.numel() * block.element_size() for block in self.blocks)


def _whole(array: np.ndarray | Encoded) -> np.ndarray:
    """A table as a device holds it: one that is compressed as the numbers that it stands for."""
    return array.floats() if isinstance(array, Encoded) else array


def _stored(array: np.ndarray) -> Tensor:
    """An array of `packing` as a tensor that shares its memory."""
    if precision_of(array) == "bf16":
        return as_tensor(array.view(np.int16)).view(torch.bfloat16)
    return as_tensor(array)


def no_room(reader: TableReader, device: torch.device, memory_mb: int | None) -> str:
    """Why a device does not take tables; empty where it does.

    Args:
        reader: The tables.
        device: Where they would be.
        memory_mb: How much they may take; None: what is free, less what computing needs.
    """
    needed = sum(4 * a.ids * a.dim if isinstance(a, Encoded) else a.nbytes for a in reader.weights.values())
    allowed = None if memory_mb is None else memory_mb * 2**20
    if allowed is None and device.type == "cuda":
        allowed = int(ROOM * torch.cuda.mem_get_info(device)[0])
    if allowed is not None and needed > allowed:
        return f"the tables take {needed / 2**20:,.0f} MiB, and {allowed / 2**20:,.0f} MiB may be taken"
    return ""


class Bound(NamedTuple):
    """What a request looks up, on the processor still.

    Attributes:
        calls: What fills each looked-up input of the program.
        others: Inputs that need no table.
    """

    calls: dict[str, DeviceCall]
    others: dict[str, np.ndarray]


class _CountingBags(DeviceBags):
    """Bags whose ids stay on the processor; those outside their table are counted and have no row."""

    def __init__(self, tables: DeviceTables, outside: _Outside, specs: Sequence[Native]) -> None:
        super().__init__(tables.places, tables.spare, tables.device, specs)
        self._outside = outside
        for alike in self._numeric:  # the same for all requests
            alike.rows = None if alike.rows is None else alike.rows.to(tables.device)

    def _sent(self, array: np.ndarray) -> Tensor:
        return as_tensor(array)

    def _found_outside(self, name: str, part: Parts, outside: np.ndarray) -> None:
        self._outside.add(int(outside.sum()))


class _Outside:
    def __init__(self) -> None:
        self.count, self._lock = 0, threading.Lock()

    def add(self, number: int) -> None:
        with self._lock:
            self.count += number


class DeviceLookup:
    """What a plan looks up in tables on a device. Safe to use from several threads.

    Args:
        reader: The tables, whose keys stay with the processor.
        plan: What is looked up in them.
        tables: The same on the device.
    """

    def __init__(self, reader: TableReader, plan: EmbeddingPlan, tables: DeviceTables) -> None:
        self._keys, self._keyed, self._outside = reader.keys, plan.keyed, _Outside()
        here = native_tables(reader, plan, 1)  # searches compare steps on the processor
        self._lookup = Lookup(plan, here, bags=partial(_CountingBags, tables, self._outside))

    @property
    def out_of_range(self) -> int:
        """How many ids lay outside their table."""
        return self._outside.count

    def bind(self, table: Table) -> Bound:
        """What to look up for a generator's table.

        Raises:
            DataError: A column has not the shape that the plan expects.
        """
        columns = TableColumns(table)
        buffers, others = self._lookup.bind(columns, rows_of=self._rows)
        others |= self._lookup.dense(columns, lambda c: columns.dense[:, c])
        return Bound({buffer.key: buffer.call for buffer in buffers}, others)

    def _rows(self, feature: str, ids: np.ndarray) -> np.ndarray:
        return self._keys[self._keyed[feature]].find(ids)


def looked_up(calls: Mapping[str, DeviceCall], tables: DeviceTables) -> dict[str, Tensor]:
    """What calls give whose ids are on the device of the tables."""
    return {key: call.lookup(tables.blocks, tables.device) for key, call in calls.items()}
