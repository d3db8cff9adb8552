"""The `eval` section."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from feature_generator.config import Choice, StrictModel


class CalibrationConfig(StrictModel):
    """Post-hoc calibration, fitted on valid and shipped in the bundle."""

    method: Literal["platt", "isotonic"] = "platt"


class EvalConfig(StrictModel):
    """The `eval` section."""

    metrics: list[Annotated[Any, Choice("easyrec.metrics")]] = []
    """Default: auc and logloss for binary tasks."""
    slices: list[str] = []
    """Columns by whose values every metric is reported too."""
    calibration: CalibrationConfig | None = None
