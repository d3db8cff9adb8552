"""`gates`: a gate is learned for each feature, which opens or closes."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from easyrec.tune.select.methods._gated import Gated, GatedConfig


class Config(GatedConfig):
    """Config of `gates`."""

    type: Literal["gates"] = "gates"
    per: Literal["feature", "dim"] = "feature"
    """A gate for each feature, or one for each number of its embedding."""


class LearnedGates(Gated):
    """The chance that a feature's gate is open: gates of the type `hard_concrete`."""

    GATES: ClassVar[str] = "hard_concrete"
    UNIT: ClassVar[str] = "chance that the gate is open"

    def gates(self) -> dict[str, Any]:
        """The config of the gates."""
        return {**super().gates(), "per": self.config.per}
