"""The trainable embeddings of a model: lookup as one autograd node, and the fused update."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from easyrec.batch import Batch, Embedded
from easyrec.embedding.keys import told
from easyrec.embedding.lookup import Buffer, Lookup, RowsOf, fill
from easyrec.embedding.search import Parts
from easyrec.embedding.served import ServedTables
from easyrec.embedding.spec import EmbeddingPlan, TableSpec
from easyrec.embedding.tables import TrainedTables
from easyrec.embedding.tiers import Placing, Store, place, traffic

if TYPE_CHECKING:
    from easyrec.config.train import SparseOptimizer


class BatchColumns:
    """A batch as numpy `Columns`, without copies."""

    def __init__(self, batch: Batch) -> None:
        self.batch, self.size = batch, batch.size
        self.dense: np.ndarray = batch.dense.numpy()
        self.dense_slices = batch.dense_slices

    def ragged(self, name: str) -> Parts:
        """The parts of a ragged column."""
        jagged = self.batch.jagged(name)
        return (
            jagged.values.numpy(),
            None if jagged.offsets is None else jagged.offsets.numpy(),
            None if jagged.weights is None else jagged.weights.numpy(),
            None if jagged.key_offsets is None else jagged.key_offsets.numpy(),
        )


class _Node(torch.autograd.Function):
    """Identity of looked-up tensors; its backward hands their gradients to the collection."""

    @staticmethod
    def forward(
        ctx: Any, anchor: Tensor, collection: EmbeddingCollection, buffers: Sequence[Buffer], tensors: Sequence[Tensor]
    ) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        ctx.collection, ctx.buffers = collection, buffers
        return tuple(tensors)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[None, ...]:
        ctx.collection.collect(ctx.buffers, gradients)
        return None, None, None, None


class EmbeddingCollection(nn.Module):
    """All embedding tables of a model.

    The tables are no parameters: `lookup` gives tensors whose gradients are kept in backward, and `apply_gradients`
    sums the gradients of equal ids and moves the tables, in one pass of compiled code.

    Args:
        plan: Tables and groups.
        optimizer: What moves the tables.
        regularizer: lambda of lambda/2 * ||E||^2 over all trainable tables: its gradient reaches every row.
        seed: Decides the first weights, each table's by its name.
        threads: How many threads share the work; default: torch's number. Results do not depend on it.
        item_groups: Groups that describe items where a batch has others to compare with.
        storage: How much memory the tables may take, and where other rows are; None: all are in memory.

    Raises:
        ConfigError: What must be in memory does not fit.
        RunError: There is no room for what is not.
    """

    def __init__(
        self,
        plan: EmbeddingPlan,
        optimizer: SparseOptimizer,
        regularizer: float = 0.0,
        seed: int = 0,
        threads: int | None = None,
        item_groups: Sequence[str] = (),
        storage: Store | None = None,
    ) -> None:
        super().__init__()
        self.plan, self._item_groups = plan, tuple(item_groups)
        threads = threads or torch.get_num_threads()
        placing = Placing() if storage is None else place(plan, optimizer.type, storage.bytes)
        folder = None if storage is None else storage.folder
        self.tables = TrainedTables(
            plan.tables, optimizer, regularizer, seed, threads, plan.keys, placing.tiers, folder
        )
        self._keyed, self._tier_of = plan.keyed, placing.of_features
        self._lookup = Lookup(plan, self.tables.native, {*self._keyed, *self._tier_of})
        self._layouts = plan.layouts
        self._anchor = torch.empty(0, requires_grad=True)
        self._gradients: list[tuple[Any, np.ndarray]] = []
        self._weights_were_given = False

    @property
    def weights(self) -> dict[str, np.ndarray]:
        """(rows, dim) float32 of each table, as views; ask anew before each change, for searches to know of it."""
        self._weights_were_given = True
        self.tables.tiers.write_back()
        return {spec.name: w for spec, w in zip(self.plan.tables, self.tables.weights, strict=True)}

    @property
    def looked_up(self) -> dict[str, np.ndarray]:
        """(rows, dim) float32 of each table, as `lookup` reads it."""
        return self.weights

    @property
    def served(self) -> ServedTables:
        """The tables as a bundle holds them: as `lookup` reads them, the dynamic ones up to the last row that an id has."""
        held = {name: keys.held() for name, keys in self.tables.keys.items()}
        rows = {name: int(at[-1]) + 1 if len(at) else 0 for name, (_, at) in held.items()}
        plan, weights = self.plan.of_size(rows), self.looked_up
        return ServedTables(plan, {spec.name: weights[spec.name][: spec.rows] for spec in plan.tables}, held)

    def forward(self, batch: Batch) -> Embedded:
        """The same as `lookup`."""
        return self.lookup(batch)

    def lookup(self, batch: Batch, groups: Collection[str] | None = None) -> Embedded:
        """The inputs of the model for a batch; of items to compare with, the groups that describe items.

        Where gradients are kept, it is one of training: ids of dynamic tables are counted, and may get rows.

        Args:
            batch: The rows.
            groups: The groups that are looked up; None: all.

        Raises:
            DataError: An id is outside its table, or a column has not the expected shape.
        """
        if self._weights_were_given:  # whoever has them may have changed them
            self._weights_were_given = False
            self.tables.were_changed()
        self.tables.tiers.begin(learning=torch.is_grad_enabled())
        if batch.matches is None:
            return Embedded(self._looked_up([(batch, groups)]), self._layouts)
        users = [name for name in self._layouts if name not in self._item_groups]
        parts = [(batch, users), (batch.matches.items, self._item_groups)]
        return Embedded(self._looked_up(parts), self._layouts, batch.matches)

    def _looked_up(self, parts: Sequence[tuple[Batch, Collection[str] | None]]) -> dict[str, Tensor]:
        """The tensors of some groups, of some rows each."""
        buffers: list[Buffer] = []
        tensors: dict[str, Tensor] = {}
        for batch, groups in parts:
            columns = BatchColumns(batch)
            bound, others = self._lookup.bind(columns, groups, self._rows_of)
            buffers += bound
            tensors |= {key: torch.from_numpy(array) for key, array in others.items()}
            tensors |= self._lookup.dense(columns, partial(columns_of, batch.dense), groups)
        return tensors | self._filled(buffers)

    def _filled(self, buffers: Sequence[Buffer]) -> dict[str, Tensor]:
        """The tensors that are looked up, their gradients kept where such are."""
        filled = []
        for buffer in buffers:
            out = torch.empty(buffer.call.num_rows, buffer.call.width)
            fill(buffer, out.numpy())
            filled.append(out)
        return self._kept(buffers, filled)

    def _kept(self, buffers: Sequence[Buffer], filled: list[Tensor]) -> dict[str, Tensor]:
        """Tensors by key, their gradients kept where such are."""
        if torch.is_grad_enabled() and filled:
            filled = list(_Node.apply(self._anchor, self, buffers, filled))  # type: ignore[no-untyped-call]
        return {buffer.key: tensor for buffer, tensor in zip(buffers, filled, strict=True)}

    @property
    def _rows_of(self) -> RowsOf:
        """How ids find rows: those of dynamic tables are counted in a training step, and may get one."""
        learning = torch.is_grad_enabled()

        def rows_of(feature: str, ids: np.ndarray) -> np.ndarray:
            return self.tables.rows(self._keyed.get(feature), self._tier_of.get(feature), ids, learning=learning)

        return rows_of

    def to_host(self) -> None:
        """From now on be the tables of a processor, which these are."""

    def prepare(self, batch: Batch | None) -> None:
        """Fetch rows of a later batch that are not in memory, while the current one is learned; None: nothing.

        Raises:
            RunError: The disk refuses.
        """
        if batch is not None and self._tier_of:
            self.tables.tiers.ahead(partial(self._asked_by, batch))

    def _asked_by(self, batch: Batch) -> Iterator[tuple[str, np.ndarray]]:
        """The tiers that a batch is looked up in, and rows of them."""
        parts = [(batch, [n for n in self._layouts if batch.matches is None or n not in self._item_groups])]
        if batch.matches is not None:
            parts.append((batch.matches.items, list(self._item_groups)))
        for rows, groups in parts:
            columns = BatchColumns(rows)
            for feature in {f for name in groups for f in self._lookup.whole_features(name) if f in self._tier_of}:
                ids, keys = columns.ragged(feature)[0], self._keyed.get(feature)
                yield self._tier_of[feature], ids if keys is None else self.tables.keys[keys].find(ids)

    def collect(self, buffers: Sequence[Buffer], gradients: Sequence[Tensor | None]) -> None:
        """Keep gradients of looked-up tensors for the next step."""
        for buffer, gradient in zip(buffers, gradients, strict=True):
            if gradient is None:
                continue
            rows = gradient if gradient.stride(1) == 1 or gradient.shape[1] == 1 else gradient.contiguous()
            self._gradients.append((buffer.call, rows.numpy()))

    def apply_gradients(self, lr: float, scale: float = 1.0) -> None:
        """One optimizer step with the gradients collected since the last one; nothing where there are none.

        Args:
            lr: Learning rate.
            scale: Factor of the whole gradient, e.g. of clipping by norm.
        """
        if self._gradients:
            self.tables.apply(self._gradients, lr, scale)
            self.discard_gradients()

    def discard_gradients(self) -> None:
        """Forget the gradients collected since the last step."""
        self._gradients = []
        self.tables.tiers.end()

    def grad_square_sum(self) -> float:
        """Sum of the squares of the collected gradient over all weights, with the regularizer's part."""
        return self.tables.square_sum(self._gradients) if self._gradients else 0.0

    def dynamics(self) -> dict[str, dict[str, float]]:
        """By the name of the keys of dynamic tables: how many ids have rows, and what happened since the last call."""
        return {name: told(len(keys), keys.take_counts()) for name, keys in self.tables.keys.items()}

    def traffic(self) -> dict[str, dict[str, float]]:
        """By the first of the tables that are partly in memory together: what came and went since the last call."""
        return {name: traffic(*counts) for name, counts in self.tables.tiers.take_counts().items()}

    def state_arrays(self) -> Mapping[str, np.ndarray]:
        """Weights and optimizer state as views: `<table>/weight`, `<table>/<state>`, `step`."""
        return self.tables.arrays()

    def load_state_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Take over what `state_arrays` gave.

        Raises:
            CheckpointError: The arrays are not of this plan and optimizer; nothing is changed then.
        """
        self.tables.load(arrays)

    def go_to(self, step: int) -> None:
        """Let so many steps be done."""
        self.tables.step = step

    def start_keys(self, name: str, parts: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Let keys start with those that had rows elsewhere; their rows here are to be filled.

        Args:
            name: Of the keys.
            parts: The keys, and their rows and counts elsewhere; where there are too many, those counted most are taken.

        Returns:
            (n,) rows here, and those elsewhere.
        """
        return self.tables.start_keys(name, parts)

    def start_rows(self, specs: Sequence[TableSpec], rows: np.ndarray) -> None:
        """Fill rows that `start_keys` gave of some tables as those of ids that come for the first time."""
        self.tables.start_rows(specs, rows)

    def take_over(self, table: str, part: str, theirs: np.ndarray, here: np.ndarray, there: np.ndarray) -> None:
        """Fill rows of a table with some of another one.

        Args:
            table: Its name.
            part: `weight`, or a name of the optimizer's state; any other is left alone.
            theirs: (rows, width) float32.
            here: (n,) rows; of a dynamic table, those that `start_keys` gave.
            there: (n,) rows of `theirs`.
        """
        weights = self.weights  # what is in memory alone is written back, and read anew
        if part == "weight":
            weights[table][here] = theirs[there]
        elif part in self.tables.states:
            place = [spec.name for spec in self.plan.tables].index(table)
            self.tables.states[part][place][here] = theirs[there]

    def load_beside(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Take over what a checkpoint holds beside the weights, and scoring needs: the ids that have rows.

        Raises:
            CheckpointError: They are those of other tables.
        """
        self.tables.load_keys(arrays)


def columns_of(dense: Tensor, columns: slice | list[int]) -> Tensor:
    """Some columns of the dense block."""
    return dense[:, columns]
