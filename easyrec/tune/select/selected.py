"""What a selection leaves to its caller."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class FeatureRow:
    """A feature, or the features of a group of `select.groups`.

    Attributes:
        name: Its name.
        features: What it consists of.
        kept: Whether it is in the config.
        reason: Why, or why not.
        importance: What it is worth, by method.
        error: Standard error of what decides.
        memory_mb: Of its tables.
        latency_ms: Its part of a request.
        embedding_dim: Of its first feature, before.
        proposed_dim: What the gates of single numbers say.
    """

    name: str
    features: tuple[str, ...]
    kept: bool
    reason: str
    importance: Mapping[str, float] = field(default_factory=dict)
    error: float | None = None
    memory_mb: float = 0.0
    latency_ms: float = 0.0
    embedding_dim: int | None = None
    proposed_dim: int | None = None


@dataclass(frozen=True)
class Selected:
    """A selection, as far as it has come.

    Attributes:
        path: Its folder.
        config: `best.yaml`, the config without what is removed, which `easyrec train` takes.
        report: `report.html`.
        table: `features.csv`.
        rows: The features, those first that are worth most.
        verified: Metrics on `valid` of trainings, by what was trained: `all features` and `selected`.
    """

    path: Path
    config: Path
    report: Path
    table: Path
    rows: Sequence[FeatureRow]
    verified: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @property
    def kept(self) -> list[str]:
        """Names of the features that stay."""
        return [feature for row in self.rows if row.kept for feature in row.features]

    @property
    def removed(self) -> dict[str, str]:
        """Names of the features that go, each with why."""
        return {feature: row.reason for row in self.rows if not row.kept for feature in row.features}
