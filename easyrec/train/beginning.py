"""Where outputs begin: values at those of the first rows, so that no step is spent on finding their size."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from easyrec.losses import Loss
from easyrec.models._model import Head
from easyrec.models._towers import Logits
from easyrec.train.objective import Objective, output

MANY, MOSTLY = 32, 0.9
"""Rows of a batch that tell something, and the share of lone sessions that is doubted."""


def begin(model: nn.Module, objective: Objective, labels: Mapping[str, Tensor], weights: Tensor | None) -> bool:
    """Give the heads of a new model the constants that fit these rows best, for losses that have a `start`.

    Args:
        model: Whose `Head` or `Logits` begin; a model with neither, or with several for a task, begins at 0.
        objective: Knows the tasks and their losses.
        labels: (B,) float32 by label.
        weights: (B,) sample weights, or None.

    Returns:
        Whether anything was changed.
    """
    changed = False
    heads = [module for module in model.modules() if isinstance(module, Head | Logits)]
    for task, loss in zip(objective.tasks, objective.losses, strict=True):
        values, counted = labels[task.label], weights
        if task.rows is not None:
            rows = task.rows.rows(labels)
            values, counted = values[rows], None if counted is None else counted[rows]
        if not len(values) or (counted is not None and not counted.any()):
            continue
        assert isinstance(loss, Loss)
        logits = loss.start(values, counted)
        name = output(task, objective.tasks)
        of_task = [head for head in heads if name in head.names]
        if logits is not None and len(of_task) == 1:
            of_task[0].begin(name, logits)
            changed = True
    return changed


def scattered(sessions: Mapping[str, Tensor]) -> list[str]:
    """What stands against learning from these sessions of a first batch, one sentence each.

    Args:
        sessions: (B,) int64 by column, equal where rows are of one session.
    """
    found = []
    for column, codes in sessions.items():
        sizes = torch.bincount(codes)
        lone = float((sizes == 1).sum() / max(int((sizes > 0).sum()), 1))
        if len(codes) >= MANY and lone > MOSTLY:
            text = f"{lone:.0%} of the sessions by '{column}' in the first batch are single rows, which a loss over "
            found.append(f"{text}sessions learns nothing from: rows of a session must lie side by side in the data")
    return found
