"""Losses of what a teacher says: of its predictions, or of a layer of it.

The contract of the family: `easyrec/losses/distill/<type>.py` holds the loss's `Config` over `DistillLossConfig`, and one
class over `ScoreLoss` or over `LayerLoss`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from easyrec.config.distill import LIST, LOSSES, DistillConfig
from easyrec.config.family import implementation
from easyrec.errors import Problem
from feature_generator.config import StrictModel

if TYPE_CHECKING:
    from easyrec.config.model import TaskConfig
    from easyrec.losses.distill._loss import DistillLoss

__all__ = ["DistillLossConfig", "LayerLossConfig", "ListLossConfig", "build"]


class DistillLossConfig(StrictModel):
    """What the config of every such loss has; a loss's own `Config` derives from it.

    Attributes:
        task_types: Types of tasks that the loss is for.
        of_layers: Whether it compares layers, and not predictions.
    """

    family: ClassVar[str | None] = LOSSES
    task_types: ClassVar[frozenset[str]] = frozenset({"binary", "regression", "multiclass"})
    of_layers: ClassVar[bool] = False

    type: str
    weight: float = Field(1.0, gt=0.0)
    """Factor of the loss."""

    def session(self, distill: DistillConfig) -> tuple[str, ...]:
        """The raw column whose equal values make the sessions that it reads, if any."""
        return ()

    def unfit(self, tasks: Sequence[TaskConfig], distill: DistillConfig) -> Iterator[Problem]:
        """What stands against it; `where` is a path below the loss, with its dot in front."""
        if not any(task.type in self.task_types for task in tasks):
            text = f"'{self.type}' is for tasks of type {', '.join(sorted(self.task_types))}"
            yield Problem(f"{text}, and here are: {', '.join(task.type for task in tasks)}", "")


class ListLossConfig(DistillLossConfig):
    """What the config of a loss over lists has: rows that are compared with one another."""

    task_types: ClassVar[frozenset[str]] = frozenset({"binary", "regression"})

    by: str | None = None
    """Column whose equal values form a list, such as the request. Default: the lists of `candidates`, else the whole
    batch is one."""
    temperature: float = Field(1.0, gt=0.0)
    """T: what the scores of both are divided by."""

    def session(self, distill: DistillConfig) -> tuple[str, ...]:
        """`by`, or the lists of candidates."""
        if self.by is not None:
            return (self.by,)
        return (LIST,) if distill.candidates is not None else ()


class LayerLossConfig(DistillLossConfig):
    """What the config of a loss of layers has."""

    of_layers: ClassVar[bool] = True

    student: str = Field(min_length=1)
    """The layer of this model, as `model.named_modules()` calls it."""
    teacher: str = Field(min_length=1)
    """The layer of the teacher."""
    of: int = Field(0, ge=0)
    """Which of the teachers, counted from 0."""

    def unfit(self, tasks: Sequence[TaskConfig], distill: DistillConfig) -> Iterator[Problem]:
        """A teacher that has no layers."""
        if self.of not in distill.models:
            known = ", ".join(map(str, distill.models)) or "none"
            yield Problem(
                f"teacher {self.of} is no trained model, whose layers could be read; such are: {known}", ".of"
            )


def build(config: DistillLossConfig, task: TaskConfig | None = None) -> DistillLoss:
    """A loss from its config.

    Args:
        config: The config.
        task: Whose predictions it compares; None: it compares layers.
    """
    from easyrec.losses.distill._loss import DistillLoss as Base  # noqa: PLC0415 (torch stays out until it is built)

    return implementation(LOSSES, config.type, Base)(config, task)
