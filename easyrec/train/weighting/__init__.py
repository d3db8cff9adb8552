"""How the losses of several tasks become one step: `train.task_weighting`."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from easyrec.config import train as config
from easyrec.config.model import TaskConfig
from easyrec.train.weighting._weighting import Weighting
from easyrec.train.weighting.gradnorm import GradNorm
from easyrec.train.weighting.mgda import MGDA
from easyrec.train.weighting.pcgrad import PCGrad
from easyrec.train.weighting.uncertainty import Uncertainty

__all__ = ["Weighting", "build"]


def build(chosen: config.TaskWeighting, tasks: Sequence[TaskConfig], model: nn.Module) -> Weighting:
    """The weighting of the tasks that have a loss.

    Args:
        chosen: Which.
        tasks: What is predicted.
        model: The dense part.
    """
    learned = [task for task in tasks if task.weight]
    match chosen:
        case config.Fixed():
            return Weighting()
        case config.Uncertainty():
            return Uncertainty(learned)
        case config.GradNorm():
            return GradNorm(chosen, learned, model)
        case config.PCGrad():
            return PCGrad(learned, model)
        case config.MGDA():
            return MGDA(chosen, learned, model)
