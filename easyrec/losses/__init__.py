"""Losses: what a task's logits are trained on, and the link from logit to prediction.

The contract of the family: `easyrec/losses/<type>.py` holds the loss's `Config` over `LossConfig`, and one class over
`Loss`. A task whose type no loss fits is refused when the config is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

from easyrec.config.family import implementation
from feature_generator.config import StrictModel

if TYPE_CHECKING:
    from easyrec.config.model import TaskConfig
    from easyrec.losses._loss import Loss

__all__ = ["Loss", "LossConfig", "build"]


class LossConfig(StrictModel):
    """What every loss's config has; a loss's own `Config` derives from it.

    Attributes:
        task_types: Types of tasks that the loss is for.
        below_zero: Whether it has values below 0, as densities have.
    """

    family: ClassVar[str | None] = "easyrec.losses"
    task_types: ClassVar[frozenset[str]]
    below_zero: ClassVar[bool] = False

    type: str

    def num_outputs(self, num_classes: int | None) -> int:
        """Numbers per row that the loss reads from the model."""
        return num_classes or 1

    def placed(self) -> Iterator[tuple[tuple[str | int, ...], LossConfig]]:
        """The losses that it is made of, each with its path below this one; every one must fit the task."""
        yield (), self

    @property
    def parts(self) -> tuple[LossConfig, ...]:
        """The losses that it is made of."""
        return tuple(part for _, part in self.placed())

    @property
    def columns(self) -> tuple[str, ...]:
        """Raw columns whose equal values make the sessions that the loss reads."""
        return ()

    @property
    def whole_batch(self) -> bool:
        """Whether the rows of a batch are compared with one another, whatever they belong to."""
        return False


class SessionConfig(LossConfig):
    """What the config of a loss over sessions has: rows that are compared with one another."""

    by: str | None = None
    """Column whose equal values form a session, such as the request or the user; default: the whole batch is one."""

    def num_outputs(self, num_classes: int | None) -> int:
        """One."""
        return 1

    @property
    def columns(self) -> tuple[str, ...]:
        """The column of the sessions."""
        return () if self.by is None else (self.by,)

    @property
    def whole_batch(self) -> bool:
        """Where nothing says what a session is."""
        return self.by is None


def build(task: TaskConfig) -> Loss:
    """The loss of a task."""
    return build_of(task.loss_config, task)


def build_of(config: LossConfig, task: TaskConfig) -> Loss:
    """A loss of a task, or one of those that make it."""
    from easyrec.losses._loss import Loss as Base  # noqa: PLC0415 (torch stays out until a loss is built)

    return implementation("easyrec.losses", config.type, Base)(config, task)


def __getattr__(name: str) -> Any:
    if name == "Loss":
        from easyrec.losses._loss import Loss  # noqa: PLC0415 (torch stays out until it is asked for)

        return Loss
    raise AttributeError(f"module 'easyrec.losses' has no attribute '{name}'")
