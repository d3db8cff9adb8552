"""What a way to make tables smaller gives: their size, and what it costs on held-out rows."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from easyrec.batch import Batch, Embedded
from easyrec.config import Experiment
from easyrec.embedding.codecs import encoded_tables
from easyrec.embedding.collection import BatchColumns
from easyrec.embedding.counting import count_rows
from easyrec.embedding.keys import FinishedKeys
from easyrec.embedding.native import key_slots
from easyrec.embedding.reader import TableReader, stored_tables
from easyrec.export.assembly import without_idle
from easyrec.export.gate import Cost, Gate
from easyrec.train.scorer import Scorer
from easyrec.tune.compress.ladder import Candidate


@dataclass(frozen=True)
class Measured:
    """A way to make tables smaller, and what came of it.

    Attributes:
        candidate: The way.
        bytes: Of the tables, as a bundle holds them.
        auc: By binary task, on held-out rows.
        auc_drop: By binary task, how much less than before.
        reason: Why it is not taken; empty where it may be.
        seconds: How long it took, training included.
    """

    candidate: Candidate
    bytes: int = 0
    auc: Mapping[str, float] = field(default_factory=dict)
    auc_drop: Mapping[str, float] = field(default_factory=dict)
    reason: str = ""
    seconds: float = 0.0

    @property
    def worst_drop(self) -> float:
        """Of all tasks."""
        return max(self.auc_drop.values(), default=0.0)

    @property
    def worst_auc(self) -> float:
        """Of all tasks, the lowest."""
        return min(self.auc.values(), default=float("nan"))


class Bench:
    """Measures ways to make the tables of one trained model smaller.

    Args:
        scorer: The model.
        rows: Held-out rows with labels.
        learned: The rows that it learned.
        before: What another model predicts for the held-out rows, by which this one is judged; None: it itself.
    """

    def __init__(
        self,
        scorer: Scorer,
        rows: Sequence[Batch],
        learned: Iterator[Batch],
        before: Sequence[Mapping[str, np.ndarray]] | None = None,
    ) -> None:
        self.scorer, self.rows = scorer, rows
        self.tables = without_idle(scorer.model, scorer.collection.served)
        self.counts = count_rows(self.tables, (BatchColumns(batch) for batch in learned))
        self.before = [scorer.uncalibrated(batch) for batch in rows] if before is None else before

    @property
    def bytes(self) -> int:
        """Of the tables in fp32."""
        return sum(4 * table.size for table in self.tables.weights.values())

    def reader(self, experiment: Experiment) -> TableReader:
        """The tables as a bundle of an experiment would hold them.

        Raises:
            ValueError: A precision cannot hold a number.
        """
        config, plan = experiment.export, self.tables.plan
        wanted = {table.name: config.tables_of(table.name) for table in plan.tables}
        encoded = encoded_tables(self.tables, self.counts, config.compress, wanted) if config.compress else {}
        keys = {name: FinishedKeys(key_slots(*held)) for name, held in self.tables.keys.items()}
        return TableReader(plan, stored_tables(self.tables, wanted, encoded), torch.get_num_threads(), keys)

    def measure(self, experiment: Experiment, candidate: Candidate) -> Measured:
        """Encode the tables, and score the held-out rows by them.

        Args:
            experiment: With the candidate's settings.
            candidate: Which they are.
        """
        started = time.perf_counter()
        try:
            reader = self.reader(experiment)
        except ValueError as failure:
            return Measured(candidate, reason=str(failure), seconds=time.perf_counter() - started)
        gate = Gate(experiment, _Known(iter(self.before)), lambda: self.rows)
        cost: Cost = gate(lambda batch: self._scored(reader, batch), 0.0, compressed=True)
        size = sum(array.nbytes for array in reader.weights.values())
        return Measured(candidate, size, cost.auc, cost.auc_drop, cost.reason, time.perf_counter() - started)

    @torch.no_grad()
    def _scored(self, reader: TableReader, batch: Batch) -> dict[str, np.ndarray]:
        tensors = {key: torch.from_numpy(array) for key, array in reader.read(BatchColumns(batch)).items()}
        logits: Any = self.scorer.model(Embedded(tensors, reader.plan.layouts))
        return {name: tensor.numpy() for name, tensor in self.scorer.link(logits).items()}


class _Known:
    """Predictions that were made before, in the order of the rows."""

    def __init__(self, found: Iterator[Mapping[str, np.ndarray]]) -> None:
        self.found = found

    def uncalibrated(self, batch: Batch) -> dict[str, np.ndarray]:
        """Those of the next rows."""
        return dict(next(self.found))
