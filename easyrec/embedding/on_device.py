"""The trainable embeddings of a model whose tables are in the memory of a GPU.

Ids go to the device, which looks up, sums gradients and moves rows. The processor keeps the maps of dynamic tables, and
its own memory of all tables, which is brought up to date where someone asks for weights or for a checkpoint.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from easyrec.batch import Batch, Embedded
from easyrec.device import sent
from easyrec.embedding.collection import EmbeddingCollection
from easyrec.embedding.device_bags import Asked, DeviceBags, Place, summed
from easyrec.embedding.device_step import moved
from easyrec.embedding.lookup import Buffer, Lookup, RowsOf
from easyrec.embedding.spec import EmbeddingPlan
from easyrec.embedding.tables import TrainedTables
from easyrec.embedding.tiers import bytes_of

if TYPE_CHECKING:
    from easyrec.config.train import SparseOptimizer

AT_ONCE = 1 << 18
"""Rows that move at once where all do."""
ROOM = 0.7
"""Part of a GPU's free memory that tables may take; activations and gradients need the rest."""


class _Blocks:
    """The tables on a device: those of one width, all trained or all fixed, lie one after another in a block.

    Behind the last table a block has a row of zeros, which ids without a row look up.

    Args:
        tables: What the processor has of them.
        device: Where the blocks are made.

    Attributes:
        arrays: By block, the weights and each array of the optimizer's state.
        places: Where the rows of each table are.
        spare: By block, the row of zeros.
        trainable: By block.
    """

    def __init__(self, tables: TrainedTables, device: torch.device) -> None:
        self.tables, self.device = tables, device
        kinds: dict[tuple[int, bool], int] = {}
        sizes: list[int] = []
        self.places: list[Place] = []
        for spec in tables.specs:
            block = kinds.setdefault((spec.dim, spec.trainable), len(kinds))
            if block == len(sizes):
                sizes.append(0)
            self.places.append(Place(block, sizes[block], spec.rows))
            sizes[block] += spec.rows
        self.dims = [dim for dim, _ in kinds]
        self.trainable = [trainable for _, trainable in kinds]
        self.spare = sizes
        every = [tables.weights, *tables.states.values()]
        widths = [[arrays[self._first(block)].shape[1] for arrays in every] for block in range(len(sizes))]
        self.arrays = [
            [torch.zeros(size + 1, width, device=device) for width in of_block]
            for size, of_block in zip(sizes, widths, strict=True)
        ]
        self.push()

    def _first(self, block: int) -> int:
        return next(i for i, place in enumerate(self.places) if place.block == block)

    def _pairs(self) -> list[tuple[Tensor, Tensor]]:
        """What the processor has of each array, and the device."""
        every = [self.tables.weights, *self.tables.states.values()]
        return [
            (torch.from_numpy(here[number]), there[place.start : place.start + place.rows])
            for number, place in enumerate(self.places)
            for here, there in zip(every, self.arrays[place.block], strict=True)
        ]

    def push(self) -> None:
        """Let the device have what the processor has."""
        for here, there in self._pairs():
            there.copy_(here)

    def pull(self) -> None:
        """Let the processor have what the device has."""
        for here, there in self._pairs():
            here.copy_(there)

    def push_rows(self, keys: str, rows: np.ndarray) -> None:
        """The same for some rows of the tables that share keys."""
        every = [self.tables.weights, *self.tables.states.values()]
        for number, (spec, place) in enumerate(zip(self.tables.specs, self.places, strict=True)):
            if spec.keys == keys:
                at = sent(torch.from_numpy(rows + place.start), self.device)
                for here, there in zip(every, self.arrays[place.block], strict=True):
                    there.index_copy_(0, at, sent(torch.from_numpy(here[number][rows]), self.device))


class DeviceCollection(EmbeddingCollection):
    """All embedding tables of a model, in the memory of a GPU.

    Args:
        plan: Tables and groups.
        optimizer: What moves the tables.
        regularizer: lambda of lambda/2 * ||E||^2 over all trainable tables.
        seed: Decides the first weights, which are those of a processor.
        threads: How many threads share the work of the processor.
        item_groups: Groups that describe items.
        device: Where the tables are.

    Raises:
        torch.OutOfMemoryError: The device has no room for them.
    """

    def __init__(
        self,
        plan: EmbeddingPlan,
        optimizer: SparseOptimizer,
        regularizer: float = 0.0,
        seed: int = 0,
        threads: int | None = None,
        item_groups: Sequence[str] = (),
        *,
        device: torch.device,
    ) -> None:
        super().__init__(plan, optimizer, regularizer, seed, threads, item_groups)
        self.device, self.optimizer, self.regularizer = device, optimizer, regularizer
        self._blocks: _Blocks | None = _Blocks(self.tables, device)
        self._ahead = False  # the device has weights that the processor has not
        self._anchor = torch.empty(0, device=device, requires_grad=True)
        self._asked: list[Asked] = []
        self._learned = False  # some gradient came, of fixed tables perhaps
        self._sums: list[tuple[int, Tensor, Tensor]] | None = None
        bags = partial(DeviceBags, self._blocks.places, self._blocks.spare, device)
        self._of_host, self._lookup = self._lookup, Lookup(plan, self.tables.native, self._keyed, bags)

    def to_host(self) -> None:
        """From now on be the tables of a processor, and give the device its memory back."""
        self._fetch()
        self._blocks, self._lookup, self._anchor = None, self._of_host, torch.empty(0, requires_grad=True)
        self.tables.were_changed()

    # ----------------------------------------------------------------------------------------------- lookup

    def lookup(self, batch: Batch, groups: Collection[str] | None = None) -> Embedded:
        """The inputs of the model for a batch, on the device."""
        if self._blocks is None:
            return super().lookup(batch, groups)
        if self._weights_were_given:
            self._weights_were_given = False
            self._blocks.push()
        return super().lookup(batch, groups).on(self.device)

    def _filled(self, buffers: Sequence[Buffer]) -> dict[str, Tensor]:
        if self._blocks is None:
            return super()._filled(buffers)
        weights = [arrays[0] for arrays in self._blocks.arrays]
        return self._kept(buffers, [buffer.call.lookup(weights, self.device) for buffer in buffers])

    @property
    def _rows_of(self) -> RowsOf:
        learning, blocks = torch.is_grad_enabled(), self._blocks
        if blocks is None:
            return super()._rows_of

        def rows_of(feature: str, ids: np.ndarray) -> np.ndarray:
            name = self._keyed[feature]
            if not learning:
                return self.tables.keys[name].find(ids)
            rows, fresh = self.tables.admitted(name, None, ids)
            if len(fresh):
                blocks.push_rows(name, fresh)
            return rows

        return rows_of

    # --------------------------------------------------------------------------------------------- training

    def collect(self, buffers: Sequence[Buffer], gradients: Sequence[Tensor | None]) -> None:
        """Keep gradients of looked-up tensors for the next step."""
        blocks = self._blocks
        if blocks is None:
            super().collect(buffers, gradients)
            return
        for buffer, gradient in zip(buffers, gradients, strict=True):
            if gradient is not None:
                self._learned = True
                asked = buffer.call.asked(gradient, blocks.dims)
                self._asked += [part for part in asked if blocks.trainable[part.block]]
        self._sums = None

    def _summed(self, blocks: _Blocks) -> list[tuple[int, Tensor, Tensor]]:
        """By block, the rows that have a gradient, and it; those of one row are summed."""
        if self._sums is None:
            self._sums = []
            for block in sorted({part.block for part in self._asked}):
                parts = [part for part in self._asked if part.block == block]
                rows = torch.cat([part.rows.to(parts[0].rows.dtype) for part in parts])
                distinct, sums = summed(rows, torch.cat([part.gradient for part in parts]))
                if len(distinct):
                    sums[-1] *= (distinct[-1] != blocks.spare[block]).to(sums.dtype)  # zeros stay zeros
                self._sums.append((block, distinct, sums))
        return self._sums

    def _whole(self, blocks: _Blocks) -> Iterator[tuple[list[Tensor], Tensor]]:
        """All rows of the trained blocks, some at once: their weights and state, and the gradient with the regularizer's part."""
        summed = {block: (rows, sums) for block, rows, sums in self._summed(blocks)}
        for block in (number for number, trainable in enumerate(blocks.trainable) if trainable):
            size = len(blocks.arrays[block][0])
            bounds = [*range(0, size, AT_ONCE), size]
            cuts = [0] * len(bounds)
            if block in summed:
                cuts = torch.searchsorted(summed[block][0], torch.tensor(bounds, device=self.device)).tolist()
            for start, stop, first, last in zip(bounds, bounds[1:], cuts, cuts[1:], strict=False):
                arrays = [array[start:stop] for array in blocks.arrays[block]]
                part = self.regularizer * arrays[0]
                if last > first:
                    rows, sums = summed[block]
                    part.index_add_(0, rows[first:last] - start, sums[first:last])
                yield arrays, part

    @torch.no_grad()
    def apply_gradients(self, lr: float, scale: float = 1.0) -> None:
        """One optimizer step with the gradients collected since the last one; nothing where there are none."""
        blocks = self._blocks
        if blocks is None:
            super().apply_gradients(lr, scale)
            return
        if not self._learned:
            return
        if self._weights_were_given:
            self._weights_were_given = False
            blocks.push()
        self.tables.step += 1
        rule = partial(moved, self.optimizer, step=self.tables.step, lr=lr)
        if self.regularizer or self.optimizer.type == "adam":  # every row moves
            for arrays, gradient in self._whole(blocks):
                for array, values in zip(arrays, rule(arrays, gradient * scale), strict=True):
                    array.copy_(values)
        else:
            for block, rows, gradient in self._summed(blocks):
                arrays = blocks.arrays[block]
                now = [array.index_select(0, rows) for array in arrays]
                for array, values in zip(arrays, rule(now, gradient * scale), strict=True):
                    array.index_copy_(0, rows, values)
        self._ahead = True
        self.discard_gradients()

    def discard_gradients(self) -> None:
        """Forget the gradients collected since the last step."""
        super().discard_gradients()
        self._asked, self._sums, self._learned = [], None, False

    @torch.no_grad()
    def grad_square_sum(self) -> float:
        """Sum of the squares of the collected gradient over all weights, with the regularizer's part."""
        if self._blocks is None:
            return super().grad_square_sum()
        if not self._learned:
            return 0.0
        if self.regularizer:
            squares = [part.double().square().sum() for _, part in self._whole(self._blocks)]
        else:
            squares = [sums.double().square().sum() for _, _, sums in self._summed(self._blocks)]
        return float(torch.stack(squares).sum()) if squares else 0.0

    # ----------------------------------------------------------------------------------------------- state

    def _fetch(self) -> None:
        """Let the processor have the weights and the state of the device."""
        if self._ahead and self._blocks is not None:
            self._blocks.pull()
            self._ahead = False

    @property
    def weights(self) -> dict[str, np.ndarray]:
        """(rows, dim) float32 of each table, as views of the processor's memory; ask anew before each change."""
        self._fetch()
        return super().weights

    def state_arrays(self) -> Mapping[str, np.ndarray]:
        """Weights and optimizer state as views of the processor's memory."""
        self._fetch()
        return super().state_arrays()

    def load_state_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Take over what `state_arrays` gave.

        Raises:
            CheckpointError: The arrays are not of this plan and optimizer; nothing is changed then.
        """
        super().load_state_arrays(arrays)
        self._ahead = False
        if self._blocks is not None:
            self._blocks.push()


def obstacle(plan: EmbeddingPlan, optimizer: str, device: torch.device, *, propagated: bool) -> str:
    """Why tables cannot be on a device; empty where they can.

    Args:
        plan: Tables and groups.
        optimizer: Type of what moves them.
        device: Where they would be.
        propagated: Whether all rows are spread over a graph before each lookup.
    """
    if propagated:
        return "all rows are spread over a graph by the processor"
    searched = [s.search.kind for group in plan.groups.values() for s in group.layout.sequences if s.search]
    if {"hash", "soft"} & {*searched}:
        return "a search compares the rows of all steps, which the processor does"
    needed = bytes_of(plan, optimizer)
    if device.type == "cuda":
        free = torch.cuda.mem_get_info(device)[0]
        if needed > ROOM * free:
            return f"they take {needed / 2**30:.1f} GiB, and it has {free / 2**30:.1f} GiB free"
    return ""
