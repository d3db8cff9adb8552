"""The trainable embeddings of a model whose tables several workers hold together.

A lookup asks for each id of a worker's rows once: ids go to the workers that hold their rows, rows come back, and from
there on the worker looks up as if these rows were its tables. Their gradients go the same way, and who holds a row adds
up all workers' parts and moves it. So pooling, weights, sequences and every optimizer are the code of one process.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import astuple
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from easyrec.batch import Batch, Embedded
from easyrec.chunks import CHUNK_BYTES
from easyrec.embedding import native
from easyrec.embedding.collection import BatchColumns, EmbeddingCollection, columns_of
from easyrec.embedding.fetch import Fetch
from easyrec.embedding.keys import PARTS, KeyCounts, told
from easyrec.embedding.lookup import KINDS, Buffer, Lookup
from easyrec.embedding.picked import ItemColumns, JoinedColumns, Pick, PickedColumns, PlacedColumns
from easyrec.embedding.sharding import Kind, compared, items_apart, of_picked, of_places, searches, shards_of
from easyrec.embedding.shared_keys import PER_KEY, holders, parted, share_of
from easyrec.embedding.spec import EmbeddingPlan, KeySpec, TableSpec
from easyrec.embedding.tables import DRAWN, TrainedTables, drawn_rows
from easyrec.embedding.tiers import Placing, Store, traffic
from easyrec.embedding.tiers import place as place_rows
from easyrec.embedding.whole import Whole
from easyrec.errors import CheckpointError
from easyrec.workers import Workers

if TYPE_CHECKING:
    from easyrec.config.train import SparseOptimizer

_Gradients: TypeAlias = list[tuple[Any, np.ndarray]]
_Summed: TypeAlias = tuple[_Gradients, _Gradients]
"""Of the tables that are cut, and of those that every worker holds."""


class _Held(TrainedTables):
    """What a worker holds of tables; its first values are cut from those of the whole."""

    def _first_rows(self) -> None:
        """Leave the rows empty."""


class ShardedCollection(EmbeddingCollection):
    """All embedding tables of a model, each shared by the workers of a job.

    All workers look up, collect gradients and apply them together, those without rows too.

    Args:
        plan: Tables and groups.
        optimizer: What moves the tables.
        regularizer: lambda of lambda/2 * ||E||^2 over all trainable tables.
        seed: Decides the first weights, which are those of one process.
        threads: How many threads of this worker share its work.
        workers: The job.
        kinds: How each table is shared, by name.
        storage: How much memory what this worker holds may take, and where its other rows are; None: all are in memory.
        item_groups: Groups that describe items where a batch has others to compare with.

    Raises:
        ConfigError: What must be in memory does not fit, or a dynamic table has fewer rows than there are workers.
        RunError: There is no room for what is not.
    """

    def __init__(
        self,
        plan: EmbeddingPlan,
        optimizer: SparseOptimizer,
        regularizer: float,
        seed: int,
        threads: int | None,
        workers: Workers,
        kinds: Mapping[str, Kind],
        storage: Store | None = None,
        item_groups: Sequence[str] = (),
    ) -> None:
        nn.Module.__init__(self)
        self.plan, self.workers, self._item_groups = plan, workers, tuple(item_groups)
        self._layouts, self._keyed, self._tier_of = plan.layouts, {}, {}
        threads = threads or torch.get_num_threads()
        self.shards = shards_of(of_picked(items_apart(plan, item_groups)), kinds, workers.size)
        pieces = self.shards.pieces
        # Apart, as the norm of the gradient counts what every worker holds once.
        self._copied = [piece.kind == "data_parallel" for piece in pieces]
        keys = [share_of(spec, workers.rank, workers.size) for spec in plan.keys]
        placing = Placing() if storage is None else self._placed(optimizer.type, storage, keys)
        settings = optimizer, regularizer, seed, threads
        cut, copied = self._parted([p.held(workers.rank, workers.size) for p in pieces])
        self.tables = _Held(cut, *settings, keys, placing.tiers, None if storage is None else storage.folder)
        self.copies = _Held(copied, *settings)
        self._stored = storage is not None
        self._bags = self._joined(
            [_one_by_one(tables.native, at, dim, opened) for at, (dim, opened) in enumerate(part)]
            for tables, part in zip(self.both, self._parted(self._lookups()), strict=True)
        )
        self._draw(seed)
        of_table = {name: tier.name for tier in placing.tiers for name in tier.tables}
        self._fetch = Fetch(self.shards, self.tables, self._bags, of_table, workers, threads)
        self._compare: Fetch | None = None
        if (few := compared(plan)) is not None:
            shards = of_places(shards_of(few, kinds, workers.size, plan.tables))
            places = [[p.spec.name for p in pieces].index(piece.spec.name) for piece in shards.pieces]
            bags = [self._bags[place] for place in places]
            self._compare = Fetch(shards, self.tables, bags, of_table, workers, threads)
        self._picks = [Pick(*found, self.tables.native, self._compared_lookup) for found in searches(plan)]
        self._anchor = torch.empty(0, requires_grad=True)
        self._gradients: list[tuple[Any, np.ndarray]] = []
        self._summed: _Summed | None = None

    def _placed(self, optimizer: str, storage: Store, keys: Sequence[KeySpec]) -> Placing:
        """Where the rows are that this worker holds; those that every worker holds are in memory."""
        rank, size = self.workers.rank, self.workers.size
        tables = tuple(piece.held(rank, size) for piece in self.shards.pieces)
        held = EmbeddingPlan(tables, self.shards.plan.groups, tuple(keys))
        copies = [spec.name for spec, copied in zip(tables, self._copied, strict=True) if copied]
        return place_rows(held, optimizer, storage.bytes, copies)

    def _lookups(self) -> list[tuple[int, bool]]:
        """By piece its width, and whether some of the ids that are asked for have no row there."""
        counted = {place for unit in self.shards.units if unit.counted for place in unit.pieces}
        return [(piece.spec.dim, place in counted) for place, piece in enumerate(self.shards.pieces)]

    @property
    def both(self) -> tuple[TrainedTables, TrainedTables]:
        """What this worker holds alone, and what every worker holds."""
        return self.tables, self.copies

    def _parted(self, items: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        """Something by piece: of those that are cut, and of those that every worker holds."""
        pairs = list(zip(items, self._copied, strict=True))
        return [item for item, copied in pairs if not copied], [item for item, copied in pairs if copied]

    def _joined(self, parts: Iterable[Sequence[Any]]) -> list[Any]:
        """By piece what `_parted` took apart."""
        cut, copies = (iter(part) for part in parts)
        return [next(copies if copied else cut) for copied in self._copied]

    def _draw(self, seed: int) -> None:
        """Start as one process does, which draws a table row by row: each worker draws all rows, and keeps its own."""
        rank, size = self.workers.rank, self.workers.size
        held = self._joined((self.tables.weights, self.copies.weights))
        for spec in self.plan.tables:
            if spec.keys is not None:  # its rows start when ids get them
                continue
            parts = [(p, w) for p, w in zip(self.shards.pieces, held, strict=True) if p.table == spec.name]
            for start, rows in drawn_rows(spec, seed, DRAWN * size):  # so that each chunk starts with worker 0
                for piece, weights in parts:
                    mine = piece.cut(rows, rank, size)
                    at = start // size if piece.kind == "row" else start
                    weights[at : at + len(mine)] = mine[: len(weights) - at]

    # ----------------------------------------------------------------------------------------------- lookup

    def lookup(self, batch: Batch, groups: Collection[str] | None = None) -> Embedded:
        """The inputs of the model for a batch; all workers ask for theirs at once.

        Args:
            batch: The rows; there may be none.
            groups: The groups that are looked up, the same for all workers; None: all.

        Raises:
            DataError: An id is outside its table, or a column has not the expected shape.
            WorkerLost: Another worker has ended.
        """
        learning = torch.is_grad_enabled()
        self.tables.tiers.begin(learning=learning)
        names = [name for name in self._layouts if groups is None or name in groups]
        users = [name for name in names if name not in self._item_groups]
        items = [name for name in names if name in self._item_groups]
        of_items = batch if batch.matches is None else batch.matches.items
        near = None if self._compare is None else self._compared(BatchColumns(batch) if users else None)
        ours = PickedColumns(batch, [pick for pick in self._picks if pick.group in users], near) if users else None
        theirs = ItemColumns(of_items, [p for p in self._picks if p.group in items], near) if items else None
        places = self._fetch(JoinedColumns(ours, theirs), learning=learning)
        lookup, buffers, tensors = self._fetch.lookup, list[Buffer](), dict[str, Tensor]()
        for columns, part in ((ours, users), (theirs, items)):
            if columns is not None:
                placed = PlacedColumns(columns, places)
                bound, others = lookup.bind(placed, part)
                buffers += bound
                tensors |= {key: torch.from_numpy(array) for key, array in others.items()}
                tensors |= lookup.dense(placed, partial(columns_of, columns.batch.dense), part)
        return Embedded(tensors | self._filled(buffers), self._layouts, batch.matches)

    def _compared(self, batch: BatchColumns | None) -> PlacedColumns:
        """Fetch the rows by which steps are chosen; None: here are no steps."""
        assert self._compare is not None
        columns = JoinedColumns(batch, None)
        places = self._compare(columns, learning=False)
        self._compare.rows.native.refresh_codes()
        return PlacedColumns(columns, places)

    def _compared_lookup(self) -> Lookup:
        """The lookup over these rows."""
        assert self._compare is not None
        return self._compare.lookup

    # --------------------------------------------------------------------------------------------- training

    def apply_gradients(self, lr: float, scale: float = 1.0) -> None:
        """One optimizer step of all workers, with the gradients that they have collected since the last one."""
        if self._fetch.asked is None:
            return
        cut, copies = self._sum()
        self.tables.apply(cut, lr, scale)
        self.copies.apply(copies, lr, scale)
        self.discard_gradients()

    def discard_gradients(self) -> None:
        """Forget the gradients collected since the last step."""
        super().discard_gradients()
        self._fetch.asked = self._summed = None

    def grad_square_sum(self) -> float:
        """Sum of the squares of the gradient of all workers over all weights, with the regularizer's part."""
        if self._fetch.asked is None:
            return 0.0
        cut, copies = self._sum()
        of_copies = self.copies.square_sum(copies) if self.workers.first else 0.0
        return self.workers.sum([self.tables.square_sum(cut) + of_copies])[0]

    def _sum(self) -> _Summed:
        """Send the gradients of rows to those who hold them: pairs of a call over one's rows and its gradient."""
        if self._summed is not None:
            return self._summed
        asked, workers, pieces = self._fetch.asked, self.workers, self.shards.pieces
        assert asked is not None
        mine: list[list[np.ndarray]] = [[] for _ in range(workers.size)]
        for unit, bounds in zip(self.shards.units, asked.here.tolist(), strict=True):
            for place in unit.pieces:
                if not pieces[place].spec.trainable:
                    continue
                rows = asked.rows[place]
                rows[: bounds[-1]] = 0.0
                for worker, parts in enumerate(mine):
                    begin, end = (0, bounds[-1]) if unit.kind == "data_parallel" else bounds[worker : worker + 2]
                    if end > begin:
                        parts.append(rows[begin:end])
        whole = [place for place in self._fetch.whole if pieces[place].spec.trainable]
        for place in whole:
            asked.rows[place].fill(0.0)
        # What was looked up is no longer needed: its place takes the sums.
        asked.native.apply(self._gradients, native.Step(rule=native.Rule.sgd, lr=-1.0))
        trainable = [piece.spec.trainable for piece in pieces]
        calls = [[pair for pair in of_worker if trainable[pair[0]]] for of_worker in asked.calls]
        for parts, of_worker in zip(mine, calls, strict=True):
            parts += [asked.rows[place] for place in whole]
            of_worker += [(place, self._fetch.whole[place]) for place in whole]
        take = [sum(call.num_rows * call.width for _, call in of_worker) for of_worker in calls]
        take[workers.rank] = 0
        sent = [[] if worker == workers.rank else parts for worker, parts in enumerate(mine)]
        received = [part.copy() for part in workers.swap(sent, np.float32, take)]  # clipping asks the others once more
        self._summed = [], []
        for worker, of_worker in enumerate(calls):  # in one order everywhere, so that copies stay equal to the bit
            for number, (place, call) in enumerate(of_worker):
                if worker == workers.rank:
                    gradient = mine[worker][number]
                else:
                    size = call.num_rows * call.width
                    gradient = received[worker][:size].reshape(call.num_rows, -1)
                    received[worker] = received[worker][size:]
                self._summed[self._copied[place]].append((call, gradient))
        return self._summed

    # ----------------------------------------------------------------------------------------------- state

    @property
    def weights(self) -> dict[str, np.ndarray]:
        """(rows, dim) float32 of what this worker holds of each piece of a table."""
        self.tables.tiers.write_back()
        return {p.spec.name: held for p, held in zip(self.shards.pieces, self._held("weight"), strict=True)}

    def _held(self, part: str) -> list[np.ndarray]:
        """By piece what this worker holds of the weights, or of a state."""
        return self._joined(tables.weights if part == "weight" else tables.states[part] for tables in self.both)

    def dynamics(self) -> dict[str, dict[str, float]]:
        """The same as of one process: what happened to the keys of all workers."""
        result = {}
        for name, keys in self.tables.keys.items():
            rows, *counts = (int(n) for n in self.workers.sum([len(keys), *astuple(keys.take_counts())]))
            result[name] = told(rows, KeyCounts(*counts))
        return result

    def traffic(self) -> dict[str, dict[str, float]]:
        """By the first of the tables that are partly in memory together, of all workers."""
        mine, result = self.tables.tiers.take_counts(), {}
        for unit in self.shards.units if self._stored else ():
            name = self.shards.pieces[unit.pieces[0]].spec.name
            counts = self.workers.sum(mine.get(name, [0] * 4))
            if counts[0]:
                result[name] = traffic(*map(int, counts))
        return result

    def state_arrays(self) -> Mapping[str, np.ndarray]:
        """Weights and optimizer state of whole tables, as one process has them.

        They come to the first worker while it writes them; all workers must ask for them, for one after another.
        """
        self.tables.tiers.write_back()
        return self._whole_tables()

    def go_to(self, step: int) -> None:
        """Let so many steps be done."""
        for tables in self.both:
            tables.step = step

    def start_keys(self, name: str, parts: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """The same of the keys that this worker holds: its rows, and those elsewhere."""
        mine = holders(np.ascontiguousarray(parts["keys"]), self.workers.size) == self.workers.rank
        return super().start_keys(name, {p: a[mine] if p in PER_KEY else a for p, a in parts.items()})

    def start_rows(self, specs: Sequence[TableSpec], rows: np.ndarray) -> None:
        """The same of rows of this worker."""
        names = {spec.name for spec in specs}
        self.tables.start_rows([spec for spec in self.tables.specs if spec.name in names], rows)

    def take_over(self, table: str, part: str, theirs: np.ndarray, here: np.ndarray, there: np.ndarray) -> None:
        """The same of the rows that this worker holds."""
        if part != "weight" and part not in self.tables.states:
            return
        self.tables.tiers.write_back()
        for piece, held in zip(self.shards.pieces, self._held(part), strict=True):
            if piece.table == table and len(held):
                rows, theirs_of = here, there
                if piece.kind == "row" and piece.spec.keys is None:
                    mine = here % self.workers.size == self.workers.rank
                    rows, theirs_of = here[mine] // self.workers.size, there[mine]
                held[rows] = piece.columns_of(theirs)[theirs_of]
        for tables in self.both:
            tables.were_changed()

    def _whole_tables(self) -> Whole:
        tables = self.tables
        states, kind = tuple(tables.states), tables.optimizer.type
        pieces, workers = self.shards.pieces, self.workers
        return Whole(self.plan, kind, states, self._held, pieces, tables.keys, tables.step, workers)

    def load_state_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Take over this worker's part of what `state_arrays` gave, under whatever sharing.

        Raises:
            CheckpointError: The arrays are not of this plan and optimizer; nothing is changed then.
        """
        whole = self._whole_tables()
        if arrays.keys() != set(whole):
            odd = sorted(arrays.keys() ^ set(whole))
            raise CheckpointError(f"the tables are not this model's: {', '.join(odd[:5])}")
        for name, shape in whole.shapes.items():
            if arrays[name].shape != shape or arrays[name].dtype != np.float32:
                found = f"{arrays[name].dtype} {arrays[name].shape}"
                raise CheckpointError(f"'{name}' is {found} in the checkpoint, the model has float32 {shape}")
        rank, size = self.workers.rank, self.workers.size
        moved: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        restored = {}
        for name, keys in self.tables.keys.items():
            parts = {part: arrays[f"{name}/key_{part}"] for part in PARTS}
            restored[name], here, there = parted(keys, parts, rank, size)
            if not np.array_equal(here * size + rank, there):
                moved[name] = here, there
        self.tables.keys = restored
        for part in ("weight", *self.tables.states):
            for piece, held in zip(self.shards.pieces, self._held(part), strict=True):
                theirs = arrays[f"{piece.table}/{part}"]
                if piece.spec.keys in moved:
                    _gather(theirs, held, *moved[piece.spec.keys])
                else:
                    held[...] = piece.cut(theirs, rank, size)
        for tables in self.both:
            tables.step = int(arrays["step"])
            tables.were_changed()


def _gather(theirs: np.ndarray, held: np.ndarray, here: np.ndarray, there: np.ndarray) -> None:
    """Fill rows with some of an array that may lie on disk."""
    step = max(1, CHUNK_BYTES // max(1, 4 * theirs.shape[1]))
    for start in range(0, len(here), step):
        held[here[start : start + step]] = theirs[there[start : start + step]]


def _one_by_one(tables: Any, place: int, dim: int, opened: bool) -> Any:
    """The native lookup of rows of a table, one row after another; where it is open, -1 is none."""
    return native.Bags(tables, [("", KINDS["ids"], place, dim, 0, 1, False, False, opened)])
