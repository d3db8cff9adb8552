"""Steps that all workers of a job take together: whoever has no rows left takes part with none."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from easyrec.batch import Batch, as_tensor
from easyrec.config.model import TaskConfig
from easyrec.data import Loader
from easyrec.losses._loss import counted
from easyrec.workers import Workers


@dataclass(frozen=True)
class Turn:
    """What one worker has to do in a step of all.

    Attributes:
        batch: Its rows; there may be none.
        rows: Rows of all workers.
        share: Its part of the weight of all rows.
        shares: By task, its part of the weight of the rows that count: means of each worker's rows, times these, add
            up to the mean of all rows.
    """

    batch: Batch
    rows: int
    share: float = 1.0
    shares: Mapping[str, float] = field(default_factory=dict)

    def shared(self, losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """This worker's part of losses that are means of its rows."""
        return {name: loss * self.shares.get(name, self.share) for name, loss in losses.items()}


class Turns:
    """The steps of a job.

    Args:
        workers: The job.
        tasks: What is learned.
        stopped: Whether this worker was asked to stop.

    Attributes:
        stopping: Whether some worker was, as all know since the last step.
    """

    def __init__(self, workers: Workers, tasks: Sequence[TaskConfig], stopped: Callable[[], bool]) -> None:
        self.workers, self.stopped = workers, stopped
        self.tasks = [task for task in tasks if task.weight]
        self.stopping = False

    def of(self, loader: Loader, epoch: int | None = None) -> Iterator[Turn]:
        """The steps of an epoch, until no worker has rows.

        Args:
            loader: This worker's rows.
            epoch: The epoch that all are in; a worker whose loader is ahead has no rows. None: whichever the loader's.
        """
        if not self.workers.several:
            yield from (Turn(batch, batch.size) for batch in loader)
            return
        batches = iter(loader) if epoch is None or loader.epoch == epoch else iter(())
        while True:
            batch = next(batches, None)
            mine = batch or loader.nothing()
            weights = [_weight(mine.sample_weight, mine), *self._weights(mine)]
            told = [batch is not None, mine.size, self.stopped(), *weights]
            going, rows, stopped, *sums = self.workers.sum(told)
            self.stopping = stopped > 0
            if not going:
                return
            share, *shares = (w / s if s else 0.0 for w, s in zip(weights, sums, strict=True))
            names = [task.name for task in self.tasks]
            yield Turn(mine, int(rows), share, dict(zip(names, shares, strict=True)))

    def _weights(self, batch: Batch) -> list[float]:
        if batch.matches is not None:  # the mean is over positions
            weights = batch.sample_weight
            of_positions = None if weights is None else weights.index_select(0, batch.matches.rows)
            total = float(len(batch.matches.rows)) if of_positions is None else float(of_positions.double().sum())
            return [total] * len(self.tasks)
        if any(task.label not in batch.labels for task in self.tasks):
            return [0.0] * len(self.tasks)
        return [_weight(counted(task, batch.labels, batch.sample_weight), batch) for task in self.tasks]


def _weight(weights: Tensor | None, batch: Batch) -> float:
    return float(batch.size) if weights is None else float(weights.double().sum())


def add_up_gradients(
    workers: Workers, parameters: Sequence[Tensor], told: Sequence[float] = (), *, idle: bool
) -> list[float]:
    """Give each parameter the sum of its gradients over all workers.

    All travel in one piece: the dense part of a model over tables is small, and what overlaps with little saves little.

    Args:
        workers: The job.
        parameters: Of the dense part; those that no worker has a gradient of keep none.
        told: Numbers to add up, too.
        idle: Whether this worker had no rows: its gradients, and numbers, count for nothing.

    Returns:
        Sums of the numbers.
    """
    if not workers.several:
        return list(told)
    there = torch.tensor([p.grad is not None and not idle for p in parameters], dtype=torch.float32)
    parts = [torch.zeros_like(p) if idle or p.grad is None else p.grad for p in parameters]
    numbers = torch.tensor([0.0] * len(told) if idle else list(told), dtype=torch.float64)
    workers.add_up(numbers, there, *parts)
    for parameter, total, known in zip(parameters, parts, there.tolist(), strict=True):
        parameter.grad = total if known else None
    result: list[float] = numbers.tolist()
    return result


def first_rows(workers: Workers, batch: Batch) -> tuple[dict[str, Tensor], Tensor | None]:
    """The labels and the sample weights of all workers' rows, in the order of workers."""

    def of_all(values: Tensor) -> Tensor:
        parts = workers.bytes(values.cpu().numpy().astype(np.float32).tobytes())
        return as_tensor(np.frombuffer(b"".join(parts), np.float32)).to(values.device)

    labels = {name: of_all(values) for name, values in batch.labels.items()}
    return labels, None if batch.sample_weight is None else of_all(batch.sample_weight)
