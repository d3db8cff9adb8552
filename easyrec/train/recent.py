"""Metrics of what was learned lately, while training runs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from easyrec.batch import Batch, as_tensor
from easyrec.metrics import Evaluation
from easyrec.train.objective import Link, Objective
from easyrec.train.scored import as_column, as_values
from easyrec.workers import Workers

if TYPE_CHECKING:
    from easyrec.config.measured import Measured
    from easyrec.config.train import TrainMetrics

SMALLEST_SHARE = 0.05
"""Of the weight of new rows: rows that weigh less are forgotten."""
ORDER = "order"
"""A column that several workers give their rows: the batches of one step, in the order of workers."""


class Recent:
    """Metrics of the rows of the last logs; those of k logs ago weigh ``decay^k``.

    Predictions are those that the step itself made, so every row is measured before it is learned, under the dropout
    of training, and without the correction of sampled negatives, as the rows are the sample.

    Of each log's batches some whole ones are kept, evenly spaced, so that sessions stay whole.

    Args:
        config: The decay, and how many rows of each log are kept.
        measured: Tasks and their metrics.
        objective: Knows the tasks' links.
        log_every: Steps of a log.
        batch_size: Rows of a batch, of all workers.
        workers: The job: each keeps some of its rows, and the first one measures all of them.
    """

    def __init__(
        self,
        config: TrainMetrics,
        measured: Measured,
        objective: Objective,
        log_every: int,
        batch_size: int,
        workers: Workers | None = None,
    ) -> None:
        self.workers = workers or Workers()
        self.rows = max(1, config.rows // self.workers.size)
        self.config, self.tasks, self.evaluation = config, measured.tasks, measured.evaluation
        self.link, self.columns = Link(objective, {}), measured.columns
        self.labels = tuple(dict.fromkeys(label for task in self.tasks for label in task.labels))
        self.log_every, self.kept = log_every, max(1, min(log_every, config.rows // batch_size))
        ages = math.log(SMALLEST_SHARE) / math.log(config.decay) if config.decay else 0.0
        self.most = int(ages + 1e-9) + 1
        self.logs: list[list[pa.Table]] = [[]]  # of the log that runs, then of those before it, newest first

    def add(self, step: int, batch: Batch, logits: Mapping[str, Tensor]) -> None:
        """Keep the rows of step `step`, counted from 0, if it is one of those that are kept."""
        place = step % self.log_every
        if (place + 1) * self.kept // self.log_every == place * self.kept // self.log_every:
            return
        if not batch.size:
            return
        with torch.no_grad():
            predictions = self.link(logits)
        rows = min(batch.size, self.rows)
        names = [*(f"prediction:{task.name}" for task in self.tasks), *(f"label:{name}" for name in self.labels)]
        arrays = [as_column(predictions[task.name].cpu().numpy()[:rows]) for task in self.tasks]
        arrays += [as_column(batch.labels[name].cpu().numpy()[:rows]) for name in self.labels]
        if batch.sample_weight is not None:
            names, arrays = [*names, "weight"], [*arrays, as_column(batch.sample_weight.cpu().numpy()[:rows])]
        for column in self.columns:
            assert batch.reserved is not None, "the loader was asked for the column"
            names, arrays = [*names, f"column:{column}"], [*arrays, batch.reserved.column(column).slice(0, rows)]
        if self.workers.several:
            order = step * self.workers.size + self.workers.rank
            names, arrays = [*names, ORDER], [*arrays, pa.array(np.full(rows, order))]
        self.logs[0].append(pa.table(arrays, names))

    def take(self) -> dict[str, float]:
        """The metrics now, by the keys of an evaluation, on the first worker; what comes next belongs to the next log."""
        self._collect()
        if not self.workers.first:
            return {}
        if self.workers.several and self.logs[0]:  # sums do not depend on when rows came here
            whole = pa.concat_tables(self.logs[0], promote_options="permissive").unify_dictionaries()
            if ORDER in whole.column_names:  # not where one process had them all
                order = whole[ORDER].fill_null(-1).to_numpy()
                whole = whole.take(np.argsort(order, kind="stable")).drop_columns(ORDER)
            self.logs[0] = [whole]
        found = Evaluation(self.tasks, self.evaluation)
        for age, tables in enumerate(self.logs):
            for table in tables:
                weight = np.full(len(table), self.config.decay**age, np.float32)
                if "weight" in table.column_names:
                    weight *= as_values(table["weight"])
                predictions = {task.name: as_values(table[f"prediction:{task.name}"]) for task in self.tasks}
                labels = {name: as_values(table[f"label:{name}"]) for name in self.labels}
                columns = {name: table[f"column:{name}"] for name in self.columns}
                found.update(predictions, labels, weight, columns)
        self.logs = [[], *self.logs[: self.most - 1]]
        return found.compute()

    def _collect(self) -> None:
        """Let the first worker have the rows of all."""
        if not self.workers.several:
            return
        mine = self._to_bytes() if not self.workers.first else np.zeros(0, np.uint8)
        every = self.workers.collected(mine)
        for part in (every or ())[1:]:
            if part.size:
                self.logs[0].append(pa.ipc.open_stream(part.tobytes()).read_all().drop_columns("age"))
        if not self.workers.first:
            self.logs = [[]]

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint needs: the kept rows of all workers, in Arrow's format; all workers ask for it."""
        self._collect()
        kept = self._to_bytes()
        return {"rows": as_tensor(kept)} if kept.size else {}

    def _to_bytes(self) -> np.ndarray:
        """The kept rows with their ages; nothing of none."""
        parts = []
        for age, tables in enumerate(self.logs):
            parts += [t.append_column("age", pa.array(np.full(len(t), age))) for t in tables]
        if not parts:
            return np.zeros(0, np.uint8)
        whole = pa.concat_tables(parts, promote_options="permissive").unify_dictionaries()
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, whole.schema) as writer:
            writer.write_table(whole)
        return np.frombuffer(sink.getvalue(), np.uint8)

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Continue from `state`; from none, begin anew."""
        self.logs = [[]]
        if "rows" not in state or not self.workers.first:
            return
        table = pa.ipc.open_stream(state["rows"].numpy().tobytes()).read_all()
        ages = table["age"].to_numpy()
        self.logs = [[] for _ in range(int(ages.max()) + 1)]
        for age, tables in enumerate(self.logs):
            rows = np.flatnonzero(ages == age)
            if len(rows):
                tables.append(table.drop_columns("age").slice(int(rows[0]), len(rows)))
