"""What `guardrails:` of an experiment says."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from feature_generator.config import StrictModel, fault

OF_TIME = ("latency_p50", "latency_p95", "latency_p99", "latency_mean")
KNOWN = ("error_rate", "degraded_rate", "empty_rate", *OF_TIME)
"""Metrics of requests; all others are rates of events an exposure: `ctr`, `event:buy`."""


class Guardrail(StrictModel):
    """A bound that stops an experiment when a variant breaks it."""

    metric: str
    """`error_rate`, `degraded_rate`, `empty_rate`, `latency_p50`, `latency_p95`, `latency_p99`, `latency_mean` (ms);
    `ctr` (clicks an exposure), or `event:TYPE` (such events an exposure)."""
    max: float | None = None
    """The bound itself; it applies to every variant but the control."""
    min: float | None = None
    max_rise: float | None = Field(None, gt=0.0)
    """How far it may lie above the control, as a share of the control's value."""
    max_drop: float | None = Field(None, gt=0.0, le=1.0)
    """How far it may lie below the control, as a share of the control's value."""
    min_requests: int = Field(200, ge=1)
    """Requests of the variant, and of the control where it is compared, below which nothing is judged."""
    alpha: float = Field(0.01, gt=0.0, lt=0.5)
    """How often `max_drop` and `max_rise` of a rate may stop a harmless variant, however often it is looked at."""
    action: Literal["stop", "warn"] = "stop"

    @model_validator(mode="after")
    def _possible(self) -> Self:
        event = self.metric == "ctr" or (self.metric.startswith("event:") and len(self.metric) > len("event:"))
        if self.metric not in KNOWN and not event:
            known = ", ".join([*KNOWN, "ctr", "event:TYPE"])
            raise fault(f"there is no metric '{self.metric}'\nknown: {known}", "metric")
        if all(bound is None for bound in (self.max, self.min, self.max_rise, self.max_drop)):
            raise ValueError("needs a bound: 'max', 'min', 'max_rise' or 'max_drop'")
        if self.metric in OF_TIME and self.max_drop is not None:
            raise fault("a time that becomes shorter is no harm: give 'max' or 'max_rise'", "max_drop")
        return self

    @property
    def relative(self) -> bool:
        """Whether it compares with the control."""
        return self.max_rise is not None or self.max_drop is not None
