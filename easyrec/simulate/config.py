"""`simulate.yaml`: a world, what drives an engine through it, and the log that a system without users begins with."""

from __future__ import annotations

import datetime
import os
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, model_validator
from typing_extensions import Self

from feature_generator.config import StrictModel, fault, read_config, validate


class ShiftConfig(StrictModel):
    """A day from which on tastes are others."""

    day: int
    """The first such day; day 0 begins at the world's `start`."""
    share: float = Field(1.0, gt=0.0, le=1.0)
    """Of users whose tastes change; the others keep theirs."""
    strength: float = Field(1.0, gt=0.0, le=1.0)
    """How much of a taste is replaced."""


class LateConfig(StrictModel):
    """Events that are told late."""

    share: float = Field(0.05, ge=0.0, le=1.0)
    """Of events."""
    minutes: float = Field(20.0, gt=0.0, le=100_000.0)
    """The mean of how late; exponential."""


class WorldConfig(StrictModel):
    """Users, items, and what draws one to the other."""

    seed: int = 0
    """Another seed is another world of the same kind."""
    start: datetime.date = datetime.date(2026, 1, 5)
    """UTC midnight at which day 0 begins."""
    days: int = Field(14, ge=1, le=1000)
    users: int = Field(2000, ge=1, le=2_000_000)
    items: int = Field(2000, ge=2, le=2_000_000)
    """Items that are there when day 0 begins."""
    new_items_per_day: int = Field(0, ge=0, le=10_000)
    categories: int = Field(24, ge=1, le=10_000)
    brands: int = Field(100, ge=1, le=100_000)
    segments: int = Field(8, ge=1, le=1000)
    """Kinds of tastes; age and gender hint at them."""
    ctr: float = Field(0.05, gt=0.0, lt=1.0)
    """Mean chance that a random item is clicked where it is looked at, before anybody is tired of it."""
    taste: float = Field(1.2, ge=0.0, le=10.0)
    """Standard deviation of what taste adds to the logit."""
    quality: float = Field(0.5, ge=0.0, le=10.0)
    """Standard deviation of what an item's own appeal adds."""
    drift: float = Field(1.0, ge=0.0, le=180.0)
    """Degrees by which tastes turn each day, at most; and how far categories come and go."""
    shift: ShiftConfig | None = None
    seasonality: float = Field(1.0, ge=0.0, le=10.0)
    """How much of hour and weekday there is in clicks; 0: none."""
    freshness: float = Field(0.3, ge=0.0, le=10.0)
    """What newness adds to the logit; it fades with three days."""
    fatigue: float = Field(2.0, ge=0.0, le=100.0)
    """What an item loses in logits to one who has just clicked it."""
    fatigue_hours: float = Field(72.0, gt=0.0)
    """After which the e-th part is left of that."""
    position_bias: float = Field(1.0, ge=0.0, le=10.0)
    """Power of the chance to be looked at: ``(1 + position) ** -position_bias``."""
    abandonment: float = Field(0.02, ge=0.0, lt=1.0)
    """Chance to leave the list after each position, whatever stands there."""
    conversion: float = Field(0.1, gt=0.0, lt=1.0)
    """Mean chance that a click of a random item is followed by a purchase."""
    late: LateConfig = LateConfig()

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.shift is not None and self.shift.day >= self.days:
            raise fault(f"must lie before the last day, {self.days - 1}, or nobody sees it", "shift", "day")
        return self

    @property
    def num_items(self) -> int:
        """Items of all days."""
        return self.items + self.days * self.new_items_per_day


class DriveConfig(StrictModel):
    """The engine that is asked, and how."""

    url: Annotated[str, StringConstraints(pattern=r"^https?://[^\s/]+/?$")] = "http://127.0.0.1:8020"
    """Of the engine, without a path."""
    scene: str | None = None
    """Default: the engine's first."""
    size: int = Field(10, ge=1, le=1000)
    """Items of a list."""
    requests_per_day: int = Field(2000, ge=1, le=100_000_000)
    speed: float = Field(0.0, ge=0.0)
    """Simulated seconds a second; 0: as fast as the engine answers."""
    concurrency: int = Field(4, ge=1, le=256)
    """Requests that are under way at once."""
    batch: int = Field(64, ge=1, le=10_000)
    """Requests whose clicks are drawn together: an event reaches the engine before the next batch, never within one."""
    timeout_s: float = Field(10.0, gt=0.0)
    """After which a request counts as failed."""
    token: str | None = Field(None, min_length=1)
    """Bearer token, such as `${EASYREC_TOKEN}`."""
    user: bool = True
    """Send the users' columns along; without, the engine's store must have them."""
    oracle: float = Field(1.0, gt=0.0, le=1.0)
    """Share of the requests for which the best list is found, which takes the most time where there are many items."""
    items: str | None = None
    """The engine's catalogue file: it is written again whenever a day brings new items."""
    wait_s: float = Field(0.0, ge=0.0, le=600.0)
    """How long to wait after the file was written, so that the engine reads it: its `catalogue.refresh_s`."""


class PolicyConfig(StrictModel):
    """Who answers in the place of an engine."""

    type: Literal["random", "popular", "segments", "oracle"] = "popular"
    """`segments`: by clicks of the user's age and gender in the category; `oracle`: the best list there is."""
    explore: float = Field(0.2, ge=0.0, le=1.0)
    """Chance of each position to show an item of a random pool."""
    pool: int = Field(200, ge=1, le=1_000_000)
    """Items of that pool, beside the list."""
    whole: bool = False
    """Explore by whole lists: with the chance `explore` a list is drawn of the list and its pool, in random order. Such a log
    can tell of any other order of these items."""


class BootstrapConfig(StrictModel):
    """The log of the days before day 0."""

    days: int = Field(3, ge=1, le=365)
    requests_per_day: int = Field(4000, ge=1, le=100_000_000)
    policy: PolicyConfig = PolicyConfig()


class SimulateConfig(StrictModel):
    """Of `easyrec simulate`."""

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]+$", min_length=1, max_length=100)] = "world"
    """Of the run's folder, and the beginning of request ids."""
    world: WorldConfig = WorldConfig()
    drive: DriveConfig = DriveConfig()
    bootstrap: BootstrapConfig = BootstrapConfig()

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.drive.size > self.world.items:
            raise fault(f"is more than the world's {self.world.items:,} items", "drive", "size")
        return self


def load_simulate(
    source: str | os.PathLike[str] | Mapping[str, Any], overrides: Sequence[str] | None = None
) -> SimulateConfig:
    """A simulation as it is written.

    Args:
        source: A YAML file, or its content.
        overrides: `key=value`, as `-o` gives them.

    Raises:
        ConfigError: Everything wrong with it, with lines.
    """
    return validate(SimulateConfig, read_config(source, overrides))
