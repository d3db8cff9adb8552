"""The trainable embeddings of a model whose tables several workers hold together.

A lookup asks for each id of a worker's rows once: ids go to the workers that hold their rows, rows come back, and from
there on the worker looks up as if these rows were its tables. Their gradients go the same way, and who holds a row adds
up all workers' parts and moves it. So pooling, weights, sequences and every optimizer are the code of one process.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from torch import nn

from easyrec.batch import Batch, Embedded
from easyrec.embedding import native
from easyrec.embedding.collection import BatchColumns, EmbeddingCollection, columns_of
from easyrec.embedding.lookup import KINDS, Lookup
from easyrec.embedding.search import Parts
from easyrec.embedding.sharding import Kind, Shards, shards_of
from easyrec.embedding.spec import EmbeddingPlan
from easyrec.embedding.tables import DRAWN, TrainedTables, drawn_rows
from easyrec.embedding.wanted import Wanted, Wanting
from easyrec.errors import CheckpointError
from easyrec.workers import Workers

if TYPE_CHECKING:
    from easyrec.config.train import SparseOptimizer

_Gradients: TypeAlias = list[tuple[Any, np.ndarray]]
_Summed: TypeAlias = tuple[_Gradients, _Gradients]
"""Of the tables that are cut, and of those that every worker holds."""

SPARE = 1.25
"""Room for rows of the next batches, as a share of what this one needs."""


class _Rows:
    """Rows of a batch's ids, one array per piece, and the lookup over them."""

    def __init__(self, shards: Shards, threads: int) -> None:
        self.shards, self.threads = shards, threads
        # A table whose values are multiplied has as many rows as there are values, no more and no less.
        rows = [piece.spec.rows if place in shards.whole else 0 for place, piece in enumerate(shards.pieces)]
        self.arrays = [np.zeros((n, p.spec.dim), np.float32) for n, p in zip(rows, shards.pieces, strict=True)]
        self._build()

    def _build(self) -> None:
        trainable = [piece.spec.trainable for piece in self.shards.pieces]
        self.native = native.Tables(self.arrays, [], [], trainable, self.threads)
        self.lookup = Lookup(self.shards.plan, self.native)

    def provide(self, needed: Sequence[int]) -> None:
        """Have room for so many rows of each unit's pieces."""
        grown = False
        for unit, number in zip(self.shards.units, needed, strict=True):
            for place in unit.pieces:
                if len(self.arrays[place]) < number:
                    self.arrays[place] = np.empty((int(number * SPARE), self.arrays[place].shape[1]), np.float32)
                    grown = True
        if grown:
            self._build()


class _Columns(BatchColumns):
    """A batch with places among the rows that came in the place of ids."""

    def __init__(self, batch: Batch, places: Mapping[str, np.ndarray]) -> None:
        super().__init__(batch)
        self.places = places

    def ragged(self, name: str) -> Parts:
        """The parts of a ragged column."""
        if name not in self.places:
            return super().ragged(name)
        _, offsets, weights, key_offsets = super().ragged(name.partition("/")[2])
        return self.places[name], offsets, weights, key_offsets


@dataclass
class _Asked:
    """What a worker and the others asked of one another for a batch that is learned.

    Attributes:
        native: The tables over which the batch was looked up.
        rows: By piece, the rows that were looked up, of room for more.
        here: (units, workers + 1), where in a unit's rows those of each worker begin and end.
        calls: By worker, what it asked: of each piece that has some, the call over the rows held here.
    """

    native: Any
    rows: list[np.ndarray]
    here: np.ndarray
    calls: list[list[tuple[int, Any]]]


class _Held(TrainedTables):
    """What a worker holds of tables; its first values are cut from those of the whole."""

    def _start(self) -> None:
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
    ) -> None:
        nn.Module.__init__(self)
        self.plan, self.workers = plan, workers
        self._layouts, self._keyed, self._tier_of = plan.layouts, {}, {}
        threads = threads or torch.get_num_threads()
        self.shards = shards_of(plan, kinds, workers.size)
        pieces = self.shards.pieces
        # Apart, as the norm of the gradient counts what every worker holds once.
        self._copied = [piece.kind == "data_parallel" for piece in pieces]
        self.tables, self.copies = (
            _Held([p.held(workers.rank, workers.size) for p in part], optimizer, regularizer, seed, threads)
            for part in self._parted(pieces)
        )
        self._bags = self._joined(
            [_one_by_one(tables.native, place, spec.dim) for place, spec in enumerate(tables.specs)]
            for tables in self.both
        )
        self._draw(seed)
        self._wanting = Wanting(self.shards.units, workers.rank, workers.size)
        self._whole = {place: self._call(place, np.arange(pieces[place].spec.rows)) for place in self.shards.whole}
        self._rows = _Rows(self.shards, threads)
        self._anchor = torch.empty(0, requires_grad=True)
        self._gradients: list[tuple[Any, np.ndarray]] = []
        self._asked: _Asked | None = None
        self._summed: _Summed | None = None

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
            groups: None; several workers look up all groups.

        Raises:
            DataError: An id is outside its table, or a column has not the expected shape.
            WorkerLost: Another worker has ended.
        """
        assert groups is None
        assert batch.matches is None
        wanted = self._wanting(BatchColumns(batch))
        self._fetch(wanted, learning=torch.is_grad_enabled())
        columns = _Columns(batch, wanted.places)
        buffers, others = self._rows.lookup.bind(columns)
        tensors = {key: torch.from_numpy(array) for key, array in others.items()}
        tensors |= self._rows.lookup.dense(columns, partial(columns_of, batch.dense))
        return Embedded(tensors | self._filled(buffers), self._layouts)

    def _fetch(self, wanted: Wanted, *, learning: bool) -> None:
        """Tell the holders which rows are wanted, and fill the rows that are looked up with what they send.

        Rows that every worker holds are not sent; but whose gradients will come is told, while it learns.
        """
        shards, workers, here = self.shards, self.workers, wanted.here
        units, size, me = shards.units, workers.size, workers.rank
        self._rows.provide(here[:, -1].tolist())
        for place, call in self._whole.items():
            call.lookup(self._rows.arrays[place])
        copies = slice(sum(unit.kind != "data_parallel" for unit in units), len(units))
        give, sent = wanted.counts.copy(), []
        for worker in range(size):
            sent.append(wanted.of(worker, slice(0, copies.start)))
            if learning or worker == me:
                give[worker, copies] = wanted.counts[me, copies]
                sent.append(wanted.of(me, copies))
        counts = workers.swap(torch.from_numpy(give.reshape(-1)), [len(units)] * size, [len(units)] * size)
        take = counts.numpy().reshape(size, -1)
        told = torch.from_numpy(np.concatenate(sent))
        ids = workers.swap(told, give.sum(axis=1).tolist(), take.sum(axis=1).tolist()).numpy()

        widths = np.array([sum(self._dim(place) for place in unit.pieces) for unit in units], np.int64)
        widths[copies] = 0
        lengths, mine = take @ widths, give @ widths
        lengths[me] = mine[me] = 0  # one's own rows go straight to where they are looked up
        answer, at = np.empty(int(lengths.sum()), np.float32), 0
        calls: list[list[tuple[int, Any]]] = [[] for _ in range(size)]
        for worker, number in zip(*(part.tolist() for part in np.nonzero(take)), strict=True):
            count = int(take[worker, number])
            rows, ids = ids[:count], ids[count:]
            for place in units[number].pieces:
                dim = self._dim(place)
                if worker == me:
                    begin = int(here[number, me])
                    target = self._rows.arrays[place][begin : begin + count]
                elif number >= copies.start:  # nobody wants them, but the kernel must have seen the ids
                    target = np.empty((count, dim), np.float32)
                else:
                    target = answer[at : at + count * dim].reshape(count, dim)
                    at += count * dim
                calls[worker].append((place, self._call(place, rows, target)))
        came = workers.swap(torch.from_numpy(answer), lengths.tolist(), mine.tolist()).numpy()
        for worker, number in zip(*(part.tolist() for part in np.nonzero(give * (widths > 0))), strict=True):
            for place in units[number].pieces if worker != me else ():
                target = self._rows.arrays[place][here[number, worker] : here[number, worker + 1]]
                target[...] = came[: target.size].reshape(target.shape)
                came = came[target.size :]
        if learning:
            self._asked = _Asked(self._rows.native, list(self._rows.arrays), here, calls)

    def _call(self, place: int, rows: np.ndarray, target: np.ndarray | None = None) -> Any:
        """The native call over rows that are held here of a piece, looked up once."""
        call = self._bags[place].bind([(rows, None, None, None)], len(rows))
        fault = call.lookup(np.empty((len(rows), self._dim(place)), np.float32) if target is None else target)
        assert fault is None, "ids are checked where they are read"
        return call

    def _dim(self, place: int) -> int:
        return self.shards.pieces[place].spec.dim

    # --------------------------------------------------------------------------------------------- training

    def apply_gradients(self, lr: float, scale: float = 1.0) -> None:
        """One optimizer step of all workers, with the gradients that they have collected since the last one."""
        if self._asked is None:
            return
        cut, copies = self._sum()
        self.tables.apply(cut, lr, scale)
        self.copies.apply(copies, lr, scale)
        self.discard_gradients()

    def discard_gradients(self) -> None:
        """Forget the gradients collected since the last step."""
        super().discard_gradients()
        self._asked = self._summed = None

    def grad_square_sum(self) -> float:
        """Sum of the squares of the gradient of all workers over all weights, with the regularizer's part."""
        if self._asked is None:
            return 0.0
        cut, copies = self._sum()
        of_copies = self.copies.square_sum(copies) if self.workers.first else 0.0
        return self.workers.sum([self.tables.square_sum(cut) + of_copies])[0]

    def _sum(self) -> _Summed:
        """Send the gradients of rows to those who hold them: pairs of a call over one's rows and its gradient."""
        if self._summed is not None:
            return self._summed
        asked, workers, pieces = self._asked, self.workers, self.shards.pieces
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
        whole = [place for place in self._whole if pieces[place].spec.trainable]
        for place in whole:
            asked.rows[place].fill(0.0)
        # What was looked up is no longer needed: its place takes the sums.
        asked.native.apply(self._gradients, native.Step(rule=native.Rule.sgd, lr=-1.0))
        others = [worker for worker in range(workers.size) if worker != workers.rank]
        sent = np.concatenate([np.zeros(0, np.float32), *(part.ravel() for worker in others for part in mine[worker])])
        calls = [[(p, call) for p, call in of_worker if pieces[p].spec.trainable] for of_worker in asked.calls]
        give = [sum(part.size for part in parts) for parts in mine]
        take = [sum(call.num_rows * call.width for _, call in of_worker) for of_worker in calls]
        give[workers.rank] = take[workers.rank] = 0
        received = workers.swap(torch.from_numpy(sent), give, take).numpy()
        self._summed = [], []
        for worker, of_worker in enumerate(calls):  # in one order everywhere, so that copies stay equal to the bit
            for number, (place, call) in enumerate(of_worker):
                if worker == workers.rank:
                    gradient = mine[worker][number]
                else:
                    size = call.num_rows * call.width
                    gradient, received = received[:size].reshape(call.num_rows, -1), received[size:]
                self._summed[self._copied[place]].append((call, gradient))
        if whole:
            flat = torch.from_numpy(np.concatenate([asked.rows[place].ravel() for place in whole]))
            workers.add_up(flat)
            for place, part in zip(whole, torch.split(flat, [asked.rows[p].size for p in whole]), strict=True):
                self._summed[1].append((self._whole[place], part.numpy().reshape(-1, self._dim(place))))
        return self._summed

    # ----------------------------------------------------------------------------------------------- state

    @property
    def weights(self) -> dict[str, np.ndarray]:
        """(rows, dim) float32 of what this worker holds of each piece of a table."""
        held = self._joined((self.tables.weights, self.copies.weights))
        return {piece.spec.name: weights for piece, weights in zip(self.shards.pieces, held, strict=True)}

    def state_arrays(self) -> Mapping[str, np.ndarray]:
        """Weights and optimizer state of whole tables, as one process has them.

        Each is put together when it is asked for, on the first worker; all workers must ask, for one after another.
        """
        return _Whole(self)

    def load_state_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Take over this worker's part of what `state_arrays` gave, under whatever sharing.

        Raises:
            CheckpointError: The arrays are not of this plan and optimizer; nothing is changed then.
        """
        whole = _Whole(self)
        if arrays.keys() != set(whole):
            odd = sorted(arrays.keys() ^ set(whole))
            raise CheckpointError(f"the tables are not this model's: {', '.join(odd[:5])}")
        for name, shape in whole.shapes.items():
            if arrays[name].shape != shape:
                raise CheckpointError(f"'{name}' is {arrays[name].shape} in the checkpoint, the model has {shape}")
        rank, size = self.workers.rank, self.workers.size
        for tables, pieces in zip((self.tables, self.copies), self._parted(self.shards.pieces), strict=True):
            cut = {
                f"{piece.spec.name}/{part}": piece.cut(arrays[f"{piece.table}/{part}"], rank, size)
                for piece in pieces
                for part in ("weight", *tables.states)
            }
            tables.load({**cut, "step": arrays["step"]})


class _Whole(Mapping[str, np.ndarray]):
    """The arrays of whole tables, put together from what all workers hold."""

    def __init__(self, collection: ShardedCollection) -> None:
        self.collection = collection
        states = collection.tables.states
        narrow = collection.tables.optimizer.type == "rowwise_adagrad"
        self.shapes: dict[str, tuple[int, ...]] = {}
        for part in ("weight", *states):
            for spec in collection.plan.tables:
                self.shapes[f"{spec.name}/{part}"] = spec.rows, 1 if narrow and part != "weight" else spec.dim
        self.shapes["step"] = ()

    @property
    def nbytes(self) -> int:
        """Bytes of all."""
        return sum(4 * int(np.prod(shape)) for shape in self.shapes.values())

    def __iter__(self) -> Iterator[str]:
        return iter(self.shapes)

    def __len__(self) -> int:
        return len(self.shapes)

    def __getitem__(self, name: str) -> np.ndarray:
        collection, workers = self.collection, self.collection.workers
        if name == "step":
            return np.array(collection.tables.step, np.int64)
        table, _, part = name.rpartition("/")
        every = [tables.weights if part == "weight" else tables.states[part] for tables in collection.both]
        whole = np.empty(self.shapes[name] if workers.first else (0, 0), np.float32)
        for piece, held in zip(collection.shards.pieces, collection._joined(every), strict=True):
            if piece.table != table:
                continue
            if piece.kind == "data_parallel":
                mine: np.ndarray = held
                return mine
            parts = workers.collected(held)
            for rank, rows in enumerate(parts or ()):
                piece.cut(whole, rank, workers.size)[...] = rows
        return whole


def _one_by_one(tables: Any, place: int, dim: int) -> Any:
    """The native lookup of rows of a table, one row after another."""
    return native.Bags(tables, [("", KINDS["ids"], place, dim, 0, 1, False, False, False)])
