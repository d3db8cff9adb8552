"""Lookup and pooling of many features into one tensor, by torch, on the device where the tables are.

The same sums as the kernels of the processor make (`cpp/bag.h`): ids of tables of one width are looked up at once, all
features together, and so are their gradients summed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from easyrec.device import sent
from easyrec.embedding.packing import HEAD
from easyrec.embedding.search import Parts
from easyrec.errors import DataError

Native = tuple[str, int, int, int, int, int, bool, bool, bool]
"""A bag as `native.Bags` takes it."""
IDS, LINEAR, COPY = 0, 1, 2


class Place(NamedTuple):
    """Where a table's rows are.

    Attributes:
        block: Number of the block, which holds tables of one width.
        start: First of its rows there.
        rows: How many it has.
    """

    block: int
    start: int
    rows: int


class Asked(NamedTuple):
    """A gradient for rows of a block.

    Attributes:
        block: Number of the block.
        rows: (n,) which of its rows.
        gradient: (n, dim) float32.
    """

    block: int
    rows: Tensor
    gradient: Tensor


Runs = Sequence[tuple[int, int, int]]
"""Bags whose columns lie side by side: the first, the one behind the last, and the first column."""


@dataclass
class _Ids:
    """Ids of some bags, of tables of one block.

    Attributes:
        block: The block.
        bags: How many bags.
        runs: Where their columns are.
        rows: (n,) rows of the block, bag by bag.
        ends: (bags * rows + 1,) where the ids of each sum begin and end; None: one id each.
        factors: (n,) float32, what each is multiplied by; None: 1.
    """

    block: int
    bags: int
    runs: Runs
    rows: Tensor
    ends: Tensor | None
    factors: Tensor | None


@dataclass
class _Values:
    """Pooled values of some bags of one width, whose tables are of one block where they have any.

    Attributes:
        block: Of the tables that they are multiplied with; None: they are taken as they are.
        rows: (bags * value_dim,) their rows.
        dim: Columns of a bag.
        runs: Where they are.
        values: (bags, rows, value_dim) float32.
    """

    block: int | None
    rows: Tensor | None
    dim: int
    runs: Runs
    values: Tensor

    def looked_up(self, blocks: Sequence[Tensor]) -> Tensor:
        """(bags, rows, dim), what they come to."""
        if self.block is None or self.rows is None:
            return self.values
        weights = blocks[self.block].index_select(0, self.rows).view(len(self.values), -1, self.dim)
        return self.values * weights if weights.shape[1] == 1 else torch.bmm(self.values, weights)

    def of_weights(self, gradient: Tensor) -> Tensor:
        """(bags * value_dim, dim), the gradient of their rows where that of what they come to is given.

        A product of matrices of which one has a single row keeps few parts of a GPU busy; so one number is multiplied by element.
        """
        if self.values.shape[2] == 1:
            return (self.values * gradient).sum(1)
        return torch.bmm(self.values.transpose(1, 2), gradient).reshape(-1, self.dim)


@dataclass
class DeviceCall:
    """What one tensor is filled with.

    Attributes:
        num_rows: Of the tensor.
        width: Of the tensor.
    """

    num_rows: int
    width: int
    ids: list[_Ids] = field(default_factory=list)
    values: list[_Values] = field(default_factory=list)

    def lookup(self, blocks: Sequence[Tensor], device: torch.device) -> Tensor:
        """(num_rows, width) float32.

        Args:
            blocks: (rows, dim) weights of each block; in fewer bits as `packing` has it.
            device: Where they are.
        """
        if not self.values and len(self.ids) == 1 and len(self.ids[0].runs) == 1:  # nothing is put side by side
            return self._pooled(self.ids[0], blocks).permute(1, 0, 2).reshape(self.num_rows, self.width)
        out = torch.empty(self.num_rows, self.width, device=device)
        for part in self.ids:
            _put(self._pooled(part, blocks), part.runs, out)
        for given in self.values:
            _put(given.looked_up(blocks), given.runs, out)
        return out

    def _pooled(self, part: _Ids, blocks: Sequence[Tensor]) -> Tensor:
        """(bags, num_rows, dim)."""
        table, rows = blocks[part.block], part.rows
        if part.ends is None:
            vectors = unpacked(table.index_select(0, rows))
        else:
            if table.dtype != torch.float32:
                table = unpacked(table.index_select(0, rows))
                rows = torch.arange(len(table), dtype=rows.dtype, device=rows.device)
            options: dict[str, Any] = {"mode": "sum", "include_last_offset": True, "per_sample_weights": part.factors}
            vectors = nn.functional.embedding_bag(rows, table, part.ends, **options)
        return vectors.view(part.bags, self.num_rows, vectors.shape[1])

    def asked(self, gradient: Tensor, dims: Sequence[int]) -> list[Asked]:
        """The gradient of the tensor as gradients of rows.

        Args:
            gradient: (num_rows, width).
            dims: Width of each block.
        """
        found = []
        for part in self.ids:
            dim = dims[part.block]
            of_sums = _taken(gradient, part.runs, dim).reshape(part.bags * self.num_rows, dim)
            if part.ends is not None:
                lengths, count = part.ends.diff(), part.rows.shape[0]
                of_sums = of_sums.repeat_interleave(lengths, dim=0, output_size=count)
            if part.factors is not None:
                of_sums = of_sums * part.factors[:, None]
            found.append(Asked(part.block, part.rows, of_sums))
        for given in self.values:
            if given.block is not None and given.rows is not None and self.num_rows:
                theirs = _taken(gradient, given.runs, given.dim)
                found.append(Asked(given.block, given.rows, given.of_weights(theirs)))
        return found


def _put(pooled: Tensor, runs: Runs, out: Tensor) -> None:
    """Put (bags, rows, dim) side by side into their columns of (rows, width)."""
    rows, dim = pooled.shape[1:]
    by_row = pooled.permute(1, 0, 2)
    for first, last, column in runs:
        width = (last - first) * dim
        out[:, column : column + width] = by_row[:, first:last].reshape(rows, width)


def _taken(given: Tensor, runs: Runs, dim: int) -> Tensor:
    """(bags, rows, dim) of columns of (rows, width)."""
    parts = [
        given[:, column : column + (last - first) * dim].reshape(len(given), last - first, dim)
        for first, last, column in runs
    ]
    return (parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)).permute(1, 0, 2)


@dataclass
class _Alike:
    """Bags of numbers that are multiplied at once.

    Attributes:
        numbers: Which of the bags.
        block: Of their tables; None: they have none.
        rows: (bags * value_dim,) their rows.
    """

    numbers: list[int]
    block: int | None
    rows: Tensor | None = None


class DeviceBags:
    """Some bags over tables on a device.

    Args:
        places: Of each table, in the order of the plan.
        spare: Of each block, the row that ids without a row have: it is 0 and stays so.
        device: Where the tables are.
        specs: The bags.
    """

    def __init__(
        self, places: Sequence[Place], spare: Sequence[int], device: torch.device, specs: Sequence[Native]
    ) -> None:
        self.places, self.spare, self.device, self.specs = places, spare, device, list(specs)
        self.width = max((start + dim for _, _, _, dim, start, *_ in specs), default=0)
        # All rows of a block, and where the ids of a sum end, are told by numbers of this type.
        self.type = np.int32 if max(spare, default=0) < 2**31 - 1 else np.int64
        self._numeric = self._alike()

    def _alike(self) -> list[_Alike]:
        found: dict[tuple[int | None, int, int], _Alike] = {}
        for number, (_, kind, table, dim, _, value_dim, *_) in enumerate(self.specs):
            if kind != IDS:
                block = self.places[table].block if kind == LINEAR else None
                found.setdefault((block, value_dim, dim), _Alike([], block)).numbers.append(number)
        for alike in found.values():
            if alike.block is not None:
                places = [self.places[self.specs[number][2]] for number in alike.numbers]
                rows = [np.arange(start, start + count) for _, start, count in places]
                alike.rows = self._sent(np.concatenate(rows))
        return list(found.values())

    def bind(self, data: Sequence[Parts], rows: int) -> DeviceCall:
        """What to look up for some rows.

        Args:
            data: The parts of the column of each bag.
            rows: How many.

        Raises:
            DataError: An id is outside its table.
            ValueError: A column has not the expected shape.
        """
        call = DeviceCall(rows, self.width)
        parts: dict[tuple[int, bool], list[int]] = {}
        for number, (spec, part) in enumerate(zip(self.specs, data, strict=True)):
            name, kind, table, *_ = spec
            self._check(name, part, rows)
            if kind == IDS:
                plain = all(p is None for p in part[1:])
                parts.setdefault((self.places[table].block, plain), []).append(number)
        for alike in self._numeric:
            given = [_pooled_values(data[n], self.specs[n][6], self.specs[n][5], rows) for n in alike.numbers]
            values, runs = self._sent(np.stack(given)), self._runs(alike.numbers)
            call.values.append(_Values(alike.block, alike.rows, self.specs[alike.numbers[0]][3], runs, values))
        for (block, plain), numbers in parts.items():
            call.ids.append(self._ids(block, numbers, data, rows, plain=plain))
        return call

    def _sent(self, array: np.ndarray) -> Tensor:
        return sent(torch.from_numpy(array), self.device)

    def _check(self, name: str, part: Parts, rows: int) -> None:
        values, offsets, weights, keys = part
        count = len(values)
        if weights is not None and len(weights) != count:
            raise ValueError(f"column '{name}' has {len(weights)} weights for {count} values")
        if keys is not None:
            _ascending(name, keys, count)
            count = len(keys) - 1
        if offsets is not None:
            _ascending(name, offsets, count)
            count = len(offsets) - 1
        if count != rows:
            raise ValueError(f"column '{name}' has {count} rows, but there are {rows}")

    def _ids(self, block: int, numbers: Sequence[int], data: Sequence[Parts], rows: int, *, plain: bool) -> _Ids:
        """The ids of some bags, bag by bag."""
        whole = self._plain(numbers, data, rows) if plain else None
        count = sum(len(data[number][0]) for number in numbers)
        told = np.empty(count, self.type) if whole is None else whole
        ends = np.zeros(1 if plain else len(numbers) * rows + 1, self.type)
        factors: list[np.ndarray | None] = []
        at = 0
        for i, number in enumerate(numbers):
            values = data[number][0]
            if whole is None:
                self._place(number, data[number], told[at : at + len(values)])
            if not plain:
                ends[i * rows + 1 : (i + 1) * rows + 1] = at + _ends(data[number], rows)[1:]
                factors.append(_factors(self.specs[number], data[number]))
            at += len(values)
        factor = None
        if any(f is not None for f in factors):
            sizes = [len(data[number][0]) for number in numbers]
            given = [np.ones(n, np.float32) if f is None else f for f, n in zip(factors, sizes, strict=True)]
            factor = self._sent(np.concatenate(given))
        ids = self._sent(told)
        return _Ids(block, len(numbers), self._runs(numbers), ids, None if plain else self._sent(ends), factor)

    def _runs(self, numbers: Sequence[int]) -> Runs:
        """Where the columns of some bags are, all of them equally wide."""
        dim, starts = self.specs[numbers[0]][3], [self.specs[number][4] for number in numbers]
        breaks = [0, *(i + 1 for i, (a, b) in enumerate(pairwise(starts)) if a + dim != b), len(numbers)]
        return [(first, last, starts[first]) for first, last in pairwise(breaks)]

    def _plain(self, numbers: Sequence[int], data: Sequence[Parts], rows: int) -> np.ndarray | None:
        """Rows of the block for bags of one id a row, all at once; None where an id is outside or no int64."""
        values = [data[number][0] for number in numbers]
        if not rows or any(ids.dtype != np.int64 for ids in values):
            return None
        ids = np.concatenate(values).reshape(len(numbers), rows)
        places = [self.places[self.specs[number][2]] for number in numbers]
        sizes = np.array([place.rows for place in places], np.uint64)[:, None]
        if bool((ids.view(np.uint64) >= sizes).any()):  # one below 0 is a large one there
            return None
        told: np.ndarray = (ids + np.array([place.start for place in places])[:, None]).astype(self.type)
        return told.reshape(-1)

    def _place(self, number: int, part: Parts, out: np.ndarray) -> None:
        """Rows of the block for the ids of a bag."""
        name, _, table, *_, open_ = self.specs[number]
        values, (block, start, rows) = part[0], self.places[table]
        if not len(values):
            return
        if values.dtype != np.int64:
            raise TypeError(f"column '{name}' has {values.dtype}, not int64")
        np.add(values, start, out=out, casting="unsafe")
        if values.min() >= 0 and values.max() < rows:
            return
        outside = (values < 0) | (values >= rows)
        if not open_:
            self._found_outside(name, part, outside)
        out[outside] = self.spare[block]

    def _found_outside(self, name: str, part: Parts, outside: np.ndarray) -> None:
        """Some ids of a bag have no row, though all should."""
        first = int(outside.argmax())
        row = int(np.searchsorted(_ends(part, len(outside)), first, side="right")) - 1
        raise DataError(f"id {part[0][first]} is outside its embedding table", column=name, row=row)


def unpacked(rows: Tensor) -> Tensor:
    """(n, dim) float32 of what rows stand for that are stored as `packing` has them."""
    if rows.dtype != torch.uint8:
        return rows.float()  # itself where it is that already
    head = rows[:, :HEAD].contiguous().view(torch.float32)
    return rows[:, HEAD:].float() * head[:, :1] + head[:, 1:]


def _ascending(name: str, offsets: np.ndarray, count: int) -> None:
    if not len(offsets) or offsets[0] != 0 or offsets[-1] != count or bool((np.diff(offsets) < 0).any()):
        raise ValueError(f"the offsets of column '{name}' must ascend from 0 to the number of values")


def _ends(part: Parts, rows: int) -> np.ndarray:
    """(rows + 1,) where the ids of each row begin and end."""
    _, offsets, _, keys = part
    if offsets is None:
        return np.arange(rows + 1) if keys is None else keys
    return offsets if keys is None else keys[offsets]


def _factors(spec: Native, part: Parts) -> np.ndarray | None:
    """(n,) float32, what each id of a bag is multiplied by; None: 1."""
    _, offsets, weights, keys = part
    mean, element_mean = spec[6], spec[7]
    factors = None if weights is None else weights.astype(np.float32)
    if mean and offsets is not None:
        counts = np.diff(offsets)
        each = np.repeat(_shares(counts), counts)  # of an element
        each = each if keys is None else np.repeat(each, np.diff(keys))
        factors = each if factors is None else factors * each
    if element_mean and keys is not None:
        counts = np.diff(keys)
        each = np.repeat(_shares(counts), counts)
        factors = each if factors is None else factors * each
    return factors


def _shares(counts: np.ndarray) -> np.ndarray:
    shares: np.ndarray = np.float32(1) / np.maximum(counts, 1).astype(np.float32)
    return shares


def _pooled_values(part: Parts, mean: bool, value_dim: int, rows: int) -> np.ndarray:
    """(rows, value_dim) float32, the sum or mean of the elements of each row."""
    values, offsets, _, _ = part
    table = np.ascontiguousarray(values, np.float32)
    table = table if table.ndim > 1 else table[:, None]
    if table.shape[1] != value_dim:
        raise ValueError(f"values have {table.shape[1]} numbers, not {value_dim}")
    if offsets is None:
        return table
    sums = np.zeros((rows, value_dim), np.float32)
    counts = np.diff(offsets)
    if len(table):
        np.add.at(sums, np.repeat(np.arange(rows), counts), table)
    return sums * _shares(counts)[:, None] if mean else sums


def summed(rows: Tensor, gradients: Tensor) -> tuple[Tensor, Tensor]:
    """(u,) distinct rows, ascending, and (u, dim) the sums of their gradients, in one order always."""
    distinct, places = torch.unique(rows, return_inverse=True)
    return distinct.long(), torch.ops.aten.embedding_dense_backward(gradients, places, len(distinct), -1, False)
