"""What training minimises: the tasks' losses, weighted and masked."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from torch import Tensor, nn

from easyrec import losses
from easyrec.config.model import TaskConfig
from easyrec.losses._loss import counted


class Objective(nn.Module):
    """``sum_t weight_t * loss_t``, each loss the weighted mean over the rows that count for its task.

    Args:
        tasks: What is predicted.
    """

    def __init__(self, tasks: Sequence[TaskConfig]) -> None:
        super().__init__()
        self.tasks = tuple(tasks)
        self.losses = nn.ModuleList(losses.build(task) for task in tasks)

    def forward(
        self,
        logits: Mapping[str, Tensor],
        labels: Mapping[str, Tensor],
        weights: Tensor | None,
        groups: Mapping[str, Tensor] | None = None,
    ) -> Tensor:
        """Scalar loss, of what `by_task` takes."""
        first, *others = self.by_task(logits, labels, weights, groups).values()
        return sum(others, first)

    def by_task(
        self,
        logits: Mapping[str, Tensor],
        labels: Mapping[str, Tensor],
        weights: Tensor | None,
        groups: Mapping[str, Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """Scalar losses of the tasks that have a weight, by name, the weights multiplied in.

        Args:
            logits: As a model gives them: `logit` for one task, by task name for several.
            labels: (B,) float32 by label.
            weights: (B,) sample weights, or None.
            groups: Sessions by column: (B,) int64, equal where the raw column's values are.
        """
        found: dict[str, Tensor] = {}
        for task, loss in zip(self.tasks, self.losses, strict=True):
            if not task.weight:
                continue
            rows = counted(task, labels, weights)
            value = loss(logits[output(task, self.tasks)], labels[task.label], rows, groups)
            found[task.name] = value if task.weight == 1.0 else value * task.weight
        assert found, "some task has a weight"
        return found


class Link:
    """From the logits of a model to predictions by task: the losses' link functions.

    For a task whose negatives were down-sampled the log of the kept share is added to the logit: training on a share
    `keep_rate` of the negatives has multiplied the odds by 1 / keep_rate. Logits that are made of others are then made
    anew.

    Args:
        objective: Knows the tasks and their losses.
        keep_rates: By task.
        compose: Makes the logits that are made of others, by task; see `Model.composed`.
    """

    def __init__(
        self,
        objective: Objective,
        keep_rates: Mapping[str, float],
        compose: Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]] | None = None,
    ) -> None:
        self.objective, self.compose = objective, compose
        self.shifts = {name: math.log(rate) for name, rate in keep_rates.items()}

    def __call__(self, logits: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """(B,) float32 by task: probabilities or values; (B, C) for multi-class tasks."""
        tasks = self.objective.tasks
        found: Mapping[str, Tensor] = {task.name: logits[output(task, tasks)].float() for task in tasks}
        by_name: dict[str, losses.Loss] = {}
        for task, loss in zip(tasks, self.objective.losses, strict=True):
            assert isinstance(loss, losses.Loss)
            by_name[task.name] = loss
        if self.shifts:
            shifted = {name: by_name[name].shifted(found[name], shift) for name, shift in self.shifts.items()}
            found = {**found, **shifted}
            found = found if self.compose is None else self.compose(found)
        return {name: loss.predict(found[name]) for name, loss in by_name.items()}


def output(task: TaskConfig, tasks: Sequence[TaskConfig]) -> str:
    """Key of the task's logit in what a model gives."""
    return "logit" if len(tasks) == 1 else task.name
