"""`Proposal`: a feature that was tried, what it gains and costs, and what became of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

from typing_extensions import Self

from easyrec.tune.cross.probe import Gain

Kind = Literal["column", "boundaries", "cross", "aggregate", "hash_size"]
State = Literal["accepted", "rejected"]


@dataclass(frozen=True)
class Proposal:
    """A feature.

    Attributes:
        kind: What it is. A `column` is one of the config, proposed as it is.
        name: What it is called, and would be in the config.
        reads: Names of the columns that it is made of.
        state: Whether it is in `best.yaml`.
        reason: Why, where it is not; and what is to be known of it, where it is.
        gain, error: Decrease of the log loss on the newest rows of `train`, in nats per row, and its standard error.
        auc, auc_error: Increase of the AUC there.
        valid, valid_error: As `gain`, on `valid`.
        features: Features as the config holds them, helpers first.
        entries: Of the table that an aggregate looks up.
        rows: Of its embedding table.
        memory_mb: Of both tables.
        micros: CPU microseconds per 1,000 candidates that the generator takes for it.
    """

    kind: Kind
    name: str
    reads: tuple[str, ...]
    state: State = "rejected"
    reason: str = ""
    gain: float = math.nan
    error: float = math.nan
    auc: float = math.nan
    auc_error: float = math.nan
    valid: float = math.nan
    valid_error: float = math.nan
    features: tuple[dict[str, Any], ...] = ()
    entries: int = 0
    rows: int = 0
    memory_mb: float = math.nan
    micros: float = math.nan

    @property
    def accepted(self) -> bool:
        """Whether it is in `best.yaml`."""
        return self.state == "accepted"

    @property
    def z(self) -> float:
        """The gain in standard errors."""
        return Gain(self.gain, self.error).z

    def measured(self, gain: Gain, valid: Gain | None = None) -> Self:
        """The same with what it gains."""
        held = Gain(math.nan, math.nan) if valid is None else valid
        return replace(
            self,
            gain=gain.value,
            error=gain.error,
            auc=gain.auc,
            auc_error=gain.auc_error,
            valid=held.value,
            valid_error=held.error,
        )

    def rejected(self, reason: str) -> Self:
        """The same, and why it is not taken."""
        return replace(self, state="rejected", reason=reason)

    def taken(self, reason: str = "") -> Self:
        """The same, accepted."""
        return replace(self, state="accepted", reason=reason)

    def plain(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {**asdict(self), "reads": list(self.reads), "features": list(self.features)}

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Self:
        """What `plain` wrote."""
        known = {field.name for field in fields(cls)}
        values: dict[str, Any] = {k: math.nan if v is None else v for k, v in plain.items() if k in known}
        return cls(**(values | {"reads": tuple(plain["reads"]), "features": tuple(plain["features"])}))
