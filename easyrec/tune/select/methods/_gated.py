"""What the methods share that learn gates beside the model."""

from __future__ import annotations

import time
from typing import Any, ClassVar

from pydantic import Field

from easyrec.modules.gates import Gates
from easyrec.train.restore import restore
from easyrec.tune.select.measured import Measured
from easyrec.tune.select.methods import Method, MethodConfig
from easyrec.tune.select.trained import trained


class GatedConfig(MethodConfig):
    """What the configs of these methods have."""

    epochs: float = Field(1.0, gt=0.0)
    """Of the training. In the first epoch every row is new, and a gate that opens for what is learned by heart gains
    nothing; in later ones it does."""
    penalty: float | None = Field(None, ge=0.0)
    """Of an open gate; default: the gates' own."""


class Gated(Method):
    """Trains the model once with gates on all inputs, and takes how far they are open."""

    GATES: ClassVar[str]
    """Type of the gates."""
    UNIT: ClassVar[str]
    """What importance is in."""

    config: Any

    def gates(self) -> dict[str, Any]:
        """The config of the gates."""
        found = self.task.gates(self.GATES, self.config.epochs)
        return found if self.config.penalty is None else {**found, "penalty": self.config.penalty}

    def measure(self) -> Measured:
        """Train, and read the gates."""
        start = time.monotonic()
        settings = {
            "model.feature_gates": self.gates(),
            "train.epochs": self.config.epochs,
            "train.steps": None,
            "train.early_stop": None,
            "train.checkpoint": {"best": False},
            "train.ema": None,
        }
        experiment = self.task.experiment(settings)
        trained(experiment, self.task.folder)
        gates = restore(experiment, self.task.folder).model.feature_gates
        assert isinstance(gates, Gates)
        importance = gates.importance()
        numbers = gates.by_number() if gates.config.per == "dim" else {}
        units = [name for name in self.task.units if name in importance]
        joint = {name: max(importance[unit] for unit in units) for name, units in self.task.joint.items()}
        return Measured(
            self.config.type,
            self.UNIT,
            {name: importance[name] for name in units},
            {},
            joint,
            {name: numbers[name] for name in units if name in numbers},
            None,
            time.monotonic() - start,
        )
