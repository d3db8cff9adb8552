"""What `metrics:` of experiments.yaml says: what the analysis measures of each unit."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from feature_generator.config import StrictModel, fault


class MetricConfig(StrictModel):
    """A mean over units, or a ratio of two sums.

    `{name: ctr, of: click, per: exposures}` is clicks an exposure; `{name: buys, of: buy}` is buys a unit;
    `{name: revenue, of: buy, sum: value}` is what they are worth.
    """

    name: str = Field(min_length=1, max_length=80)
    of: str = Field(min_length=1)
    """A type of events, or `exposures`, or `requests`."""
    sum: Literal["count", "value", "any"] = "count"
    """Events are counted, or their `value` is summed, or a unit counts 1 that has any."""
    per: str = "unit"
    """`unit`, `exposures`, `requests`, or a type of events."""
    attribution: Literal["exposure", "unit"] | None = None
    """Which events count: those that name an exposure of the variant, or all of the unit since its first exposure.
    Default: `unit` for a metric of units, else `exposure`."""
    cap: float | None = Field(None, gt=0.0)
    """A unit's sum counts up to this: single units no longer decide."""
    higher: bool = True
    """Whether more of it is better."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.sum != "count" and self.of in ("exposures", "requests"):
            raise fault(f"{self.of} have no value: they are counted", "sum")
        if self.sum == "any" and self.per != "unit":
            raise fault("a share of units is per unit", "per")
        if self.of == self.per:
            raise fault(f"is '{self.of}', as 'of': the ratio is always 1", "per")
        if self.cap is not None and self.per != "unit":
            raise fault("bounds what a unit counts, so the metric must be per unit", "cap")
        return self

    @property
    def by_exposure(self) -> bool:
        """Whether its events are those that name an exposure."""
        return (self.attribution or ("unit" if self.per == "unit" else "exposure")) == "exposure"


def default_metrics() -> list[MetricConfig]:
    """Clicks an exposure, and clicks and conversions a unit."""
    return [
        MetricConfig(name="ctr", of="click", per="exposures"),
        MetricConfig(name="clicks", of="click"),
        MetricConfig(name="conversions", of="conversion"),
    ]
