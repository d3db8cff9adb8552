"""Methods that tell what features are worth: `select.method`, and `select.beside`.

The contract of the family: `easyrec/tune/select/methods/<type>.py` holds the method's `Config` over `MethodConfig`, and
one class over `Method`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from easyrec.config.family import implementation
from feature_generator.config import StrictModel

if TYPE_CHECKING:
    from easyrec.config import Experiment
    from easyrec.tune.select.measured import Measured

FAMILY = "easyrec.tune.select.methods"
WAY = 8.0
"""How far a gate comes in a training of constant rate whose every step goes the same way."""


class MethodConfig(StrictModel):
    """What the config of every method has; a method's own `Config` derives from it."""

    family: ClassVar[str | None] = FAMILY

    type: str


@dataclass(frozen=True)
class Task:
    """What is to be measured.

    Attributes:
        experiment: The experiment with copies, whose features are read from files, with more settings laid over it.
        folder: Where the method may train.
        units: The features of each unit, copies among them.
        joint: Units that are measured together too, by a name.
        rows: Rows of `valid` at most.
        steps: Steps of an epoch.
        copies: Units that are shuffled copies, which are worth nothing.
    """

    experiment: Callable[[Mapping[str, Any]], Experiment]
    folder: Path
    units: Mapping[str, Sequence[str]]
    joint: Mapping[str, Sequence[str]]
    rows: int
    steps: int
    copies: Collection[str] = ()

    def gates(self, kind: str, epochs: float) -> dict[str, Any]:
        """The config of gates on all units, that can come from one end to the other in so many epochs."""
        steps = max(self.steps * epochs, 1.0)
        rate = max(WAY / (steps * self.experiment({}).train.dense_optimizer.lr), 1.0)
        groups = {name: list(features) for name, features in self.units.items() if [name] != list(features)}
        return {"type": kind, "rate": round(rate, 4), "groups": groups}


class Method(ABC):
    """Tells what features are worth.

    Args:
        config: The method's config.
        task: What is to be measured.
    """

    def __init__(self, config: Any, task: Task) -> None:
        self.config, self.task = config, task

    @abstractmethod
    def measure(self) -> Measured:
        """What every unit is worth.

        Raises:
            Interrupted: A signal came; what can go on is saved.
            FeatureGeneratorError: A training cannot go on.
        """


def build(config: MethodConfig, task: Task) -> Method:
    """The method of a config."""
    of: type[Method] = implementation(FAMILY, config.type, Method)  # type: ignore[type-abstract]
    return of(config, task)
