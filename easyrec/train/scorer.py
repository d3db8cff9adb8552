"""From a batch to scores: lookup, model, and the same last steps that a bundle takes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from easyrec.batch import Batch
from easyrec.config import Experiment
from easyrec.device import CPU
from easyrec.embedding.collection import EmbeddingCollection
from easyrec.errors import CheckpointError
from easyrec.export.manifest import TaskScoring
from easyrec.export.scoring import Scoring
from easyrec.models._matching import Matching
from easyrec.retrieval.trie import Trie
from easyrec.train.checkpoint import differences, shapes
from easyrec.train.ema import EMA
from easyrec.train.objective import Link, Objective
from easyrec.train.snapshot import Snapshot


def task_scorings(experiment: Experiment) -> list[TaskScoring]:
    """How each task is scored, before any calibration.

    The correction of a down-sampling of negatives is exact for tasks on the first label, whose negatives are sampled;
    a task that the model composes of others is composed after it.
    A task whose mask leaves only rows with that label needs none; of any other task the rows are thinned whatever
    its own label is, and its scores stay as they are.
    """
    sampling, first = experiment.data.negative_sampling, experiment.data.labels[:1]
    return [
        TaskScoring(
            name=task.name,
            type=task.type,
            keep_rate=sampling.keep_rate
            if sampling and task.type == "binary" and task.label in first and task.mask is None
            else None,
        )
        for task in experiment.tasks
    ]


class Scorer:
    """The trained parts as one function of a batch; what it gives is what a bundle answers.

    Args:
        model: The dense part.
        collection: The tables.
        objective: Knows the tasks and their link functions.
        tasks: How each task is scored.
        ema: Averages that stand in for the model's parameters while scoring.
        device: Where the model is.
    """

    def __init__(
        self,
        model: nn.Module,
        collection: EmbeddingCollection,
        objective: Objective,
        tasks: Sequence[TaskScoring],
        ema: EMA | None = None,
        device: torch.device = CPU,
    ) -> None:
        self.model, self.collection, self.ema, self.device = model, collection, ema, device
        rates = {task.name: task.keep_rate for task in tasks if task.keep_rate is not None}
        self.link = Link(objective, rates, getattr(model, "composed", None))
        self.scoring = Scoring(tasks)

    def calibrate(self, calibrations: Mapping[str, Mapping[str, Any]]) -> None:
        """From now on, calibrate the scores of these tasks.

        Args:
            calibrations: Fitted calibration by task, as plain data.
        """
        fitted = [t.model_copy(update={"calibration": calibrations.get(t.name)}) for t in self.scoring.tasks]
        self.scoring = Scoring(fitted)

    def averaged(self) -> AbstractContextManager[None]:
        """Around calls of `predict`: puts the averages in place."""
        return nullcontext() if self.ema is None else self.ema.applied()

    def predict(self, batch: Batch) -> dict[str, np.ndarray]:
        """Scores by task: (B,) float32, (B, C) for multi-class tasks."""
        return self.scoring(self.uncalibrated(batch))

    @torch.no_grad()
    def uncalibrated(self, batch: Batch) -> dict[str, np.ndarray]:
        """What the model predicts in fp32 and evaluation mode, before calibration."""
        training = self.model.training
        self.model.eval()
        try:
            logits: Mapping[str, Tensor] = self.model(self.collection.lookup(batch).on(self.device))
        finally:
            self.model.train(training)
        return {name: tensor.cpu().numpy() for name, tensor in self.link(logits).items()}

    @torch.no_grad()
    def vectors(self, batch: Batch, side: Literal["user", "item"], groups: Collection[str]) -> Tensor:
        """(B, D) float32, the vectors that a matching model compares, in evaluation mode, where the model is.

        Args:
            batch: Rows with the features of the side.
            side: Whose vectors.
            groups: The groups that describe it.
        """
        assert isinstance(self.model, Matching)
        training = self.model.training
        self.model.eval()
        try:
            x = self.model.prepared(self.collection.lookup(batch, groups).on(self.device))
            return self.model.scaled(self.model.user(x) if side == "user" else self.model.item(x))
        finally:
            self.model.train(training)

    @torch.no_grad()
    def found(
        self, batch: Batch, groups: Collection[str], trie: Trie, k: int, barred: tuple[np.ndarray, np.ndarray] | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """(B, k) the items that a model finds for users, -1 behind the last, and (B, k) their scores.

        Args:
            batch: Rows with the features of users.
            groups: The groups that describe them.
            trie: The items, where the model is.
            k: How many are found.
            barred: Users and items (n,) that are not found together; None: no such.
        """
        training = self.model.training
        self.model.eval()
        try:
            x = self.model.prepared(self.collection.lookup(batch, groups).on(self.device))  # type: ignore[operator]
            bars = None if barred is None else tuple(torch.from_numpy(part).to(self.device) for part in barred)
            items, scores = self.model.find(x, trie, k, bars)  # type: ignore[operator]
        finally:
            self.model.train(training)
        return items.cpu().numpy(), scores.cpu().numpy()

    def to(self, device: torch.device) -> None:
        """From now on, score on a device, where the model goes."""
        self.model.to(device)
        if device.type == "cpu":
            self.collection.to_host()
        self.link.objective.to(device)
        if self.ema is not None:
            self.ema.to(device)
        self.device = device

    def load(self, snapshot: Snapshot) -> None:
        """Take over the weights of a checkpoint, not the optimizers' state.

        Raises:
            CheckpointError: It is of another model; names what differs.
        """
        weights = {f"{name}/weight": table for name, table in self.collection.weights.items()}
        theirs = {name: array for name, array in snapshot.arrays.items() if name.endswith("/weight")}
        check_shapes(snapshot, self.model)
        other = list(differences(shapes(theirs), shapes(weights)))
        if other:
            raise CheckpointError("the checkpoint is of another model:\n  " + "\n  ".join(other))
        self.model.load_state_dict(snapshot.tensors["dense"])
        for name, table in weights.items():
            np.copyto(table, theirs[name])
        self.collection.load_beside(snapshot.arrays)
        averages = snapshot.tensors.get("ema")
        if self.ema is not None and averages is not None:
            self.ema.load_state(averages)


def check_shapes(snapshot: Snapshot, model: nn.Module) -> None:
    """Compare the dense part of a checkpoint with a model.

    Raises:
        CheckpointError: They differ; names where.
    """
    other = list(differences(shapes(snapshot.tensors.get("dense", {})), shapes(model.state_dict())))
    if other:
        raise CheckpointError("the checkpoint is of another model:\n  " + "\n  ".join(other))
