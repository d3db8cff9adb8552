"""Embeddings that are spread over the graph of users and items before they are looked up."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from easyrec.batch import Batch, Embedded
from easyrec.embedding import native
from easyrec.embedding.collection import EmbeddingCollection
from easyrec.embedding.graph import ITEMS, OFFSETS, Graph
from easyrec.embedding.lookup import KINDS, Lookup
from easyrec.embedding.spec import EmbeddingPlan
from easyrec.embedding.tables import flat_arrays
from easyrec.embedding.tiers import Store
from easyrec.errors import DataError

if TYPE_CHECKING:
    from easyrec.config.model import ModelConfig
    from easyrec.config.train import SparseOptimizer


class PropagatedCollection(EmbeddingCollection):
    """Two tables E, of users and of items, of which ``E' = (E + N E + .. + N^K E) / (K + 1)`` is looked up.

    E' is made anew after each step, for all rows; the gradient of the rows that were looked up goes back the same way,
    and moves all rows of E. Between two steps E' is a table like any other, and what is exported.

    Args:
        plan: Tables and groups: `user` reads one table, the groups of items another one.
        optimizer: What moves E.
        layers: K.
        regularizer: lambda of lambda/2 * ||E||^2.
        seed: Decides the first weights.
        threads: How many threads share the work.
        item_groups: Groups that describe items.

    Attributes:
        graph: Who took what; None until it is known.
    """

    def __init__(
        self,
        plan: EmbeddingPlan,
        optimizer: SparseOptimizer,
        layers: int,
        regularizer: float = 0.0,
        seed: int = 0,
        threads: int | None = None,
        item_groups: Sequence[str] = ("item",),
    ) -> None:
        super().__init__(plan, optimizer, regularizer, seed, threads, item_groups)
        self.layers, self.graph = layers, None
        names = [table.name for table in plan.tables]
        tables = plan.only(item_groups).tables
        self._of_items = names.index(tables[0].name)
        self._of_users = 1 - self._of_items
        self._spread = flat_arrays(plan.tables)  # E'; on the way back the gradient of it
        options: list[Any] = [self._spread, [], [], [True] * len(names), threads or torch.get_num_threads()]
        self._native = native.Tables(*options)
        self._lookup = Lookup(plan, self._native)
        self._rows = [
            _all_rows(self.tables.native, index, table.dim, table.rows) for index, table in enumerate(plan.tables)
        ]
        self._current = False  # whether E' is of the E that there is
        self._returned = False  # whether the gradients that are kept are those of E

    graph: Graph | None

    def connect(self, pairs: Iterable[tuple[np.ndarray, np.ndarray]]) -> Graph:
        """Make the graph.

        Args:
            pairs: (n,) rows of users and of the items that they took, part by part.

        Raises:
            DataError: No pair is of a known user and item.
        """
        users, items = self._sizes()
        parts = [of_users.astype(np.int64) * items + of_items for of_users, of_items in pairs]
        self.graph = Graph(np.unique(np.concatenate([np.zeros(0, np.int64), *parts])), users, items)
        if not self.graph.num_edges:
            names = [self.plan.tables[index].name for index in (self._of_users, self._of_items)]
            text = f"no row of training names a user of '{names[0]}' and an item of '{names[1]}', so there is no graph"
            raise DataError(f"{text}\nlook at the expressions and the numbers of buckets of both")
        self._current = False
        return self.graph

    def _sizes(self) -> tuple[int, int]:
        return self.plan.tables[self._of_users].rows, self.plan.tables[self._of_items].rows

    def _over_graph(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Arrays of both tables after propagation, in the order of the tables."""
        if self.graph is None:
            raise RuntimeError("the graph of users and items is not known yet: call connect")
        users, items = (torch.from_numpy(arrays[index]) for index in (self._of_users, self._of_items))
        found = [part.numpy() for part in self.graph.spread(users, items, self.layers)]
        return found if self._of_items else found[::-1]

    def _refresh(self) -> None:
        if self._current and not self._weights_were_given:
            return
        for target, values in zip(self._spread, self._over_graph(self.tables.weights), strict=True):
            target[...] = values
        self._current, self._weights_were_given = True, False

    @property
    def looked_up(self) -> dict[str, np.ndarray]:
        """(rows, dim) float32 of each table, E'."""
        self._refresh()
        return {spec.name: table for spec, table in zip(self.plan.tables, self._spread, strict=True)}

    def lookup(self, batch: Batch, groups: Collection[str] | None = None) -> Embedded:
        """The inputs of the model for a batch, rows of E'."""
        self._refresh()
        return super().lookup(batch, groups)

    # --------------------------------------------------------------------------------------------- training

    def apply_gradients(self, lr: float, scale: float = 1.0) -> None:
        """One optimizer step of all rows."""
        self._return()
        super().apply_gradients(lr, scale)
        self._current = self._returned = False

    def discard_gradients(self) -> None:
        """Forget the gradients collected since the last step."""
        super().discard_gradients()
        self._returned = False

    def grad_square_sum(self) -> float:
        """Sum of the squares of the gradient of E, with the regularizer's part."""
        self._return()
        return super().grad_square_sum()

    def _return(self) -> None:
        """Make of the gradients of rows of E' that of E."""
        if self._returned or not self._gradients:
            return
        self._current = False
        for table in self._spread:
            table.fill(0.0)
        self._native.apply(self._gradients, native.Step(rule=native.Rule.sgd, lr=-1.0))  # adds them up
        self._gradients = list(zip(self._rows, self._over_graph(self._spread), strict=True))
        self._returned = True

    # ----------------------------------------------------------------------------------------------- state

    def state_arrays(self) -> Mapping[str, np.ndarray]:
        """E, the optimizer's state, and the graph."""
        return {**super().state_arrays(), **({} if self.graph is None else self.graph.arrays())}

    def load_state_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Take over what `state_arrays` gave.

        Raises:
            CheckpointError: The arrays are not of this plan and optimizer; nothing is changed then.
        """
        graph = Graph.load(arrays, *self._sizes())
        super().load_state_arrays({name: array for name, array in arrays.items() if name not in (ITEMS, OFFSETS)})
        self.graph, self._current = graph, False

    def load_beside(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Take over the graph.

        Raises:
            CheckpointError: There is none, or one of other users or items.
        """
        self.graph, self._current = Graph.load(arrays, *self._sizes()), False


def _all_rows(tables: Any, index: int, dim: int, rows: int) -> Any:
    """The native call that reads a whole table."""
    bags = native.Bags(tables, [("", KINDS["ids"], index, dim, 0, 1, False, False, False)])
    call = bags.bind([(np.arange(rows), None, None, None)], rows)
    call.lookup(np.empty((rows, dim), np.float32))  # checks the ids
    return call


def collection_of(
    model: ModelConfig,
    plan: EmbeddingPlan,
    optimizer: SparseOptimizer,
    regularizer: float = 0.0,
    seed: int = 0,
    threads: int | None = None,
    storage: Store | None = None,
) -> EmbeddingCollection:
    """The tables of a model, as it looks them up.

    Args:
        model: Its config.
        plan: Tables and groups.
        optimizer: What moves the tables.
        regularizer: lambda of lambda/2 * ||E||^2 over all trainable tables.
        seed: Decides the first weights.
        threads: How many threads share the work.
        storage: How much memory the tables may take, and where other rows are; None: all are in memory.
    """
    layers = model.propagated_layers()
    if layers is None:
        return EmbeddingCollection(plan, optimizer, regularizer, seed, threads, model.item_groups, storage)
    return PropagatedCollection(plan, optimizer, layers, regularizer, seed, threads, model.item_groups)
