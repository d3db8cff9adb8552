"""What a first config says of its data: sources, labels, and the features that their columns become."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Side = Literal["user", "item", "context"]


@dataclass
class Rows:
    """Data for a first config.

    Attributes:
        sources: Lines of the `data` section that name them.
        labels: Columns to learn from, the most frequent event first.
        features: The features, as a config writes them.
        sides: Whose each feature that is no sequence is.
        numbers: Features that become numeric inputs.
        sequences: For each sequence the features that are candidates for its children.
        longest: Steps of the longest row of each sequence, as far as the rows were looked at.
        domain: Features that tell scenes or markets apart.
        user: Column that tells users apart.
        reserved: Columns that predictions keep.
        about: What a comment says above the features.
        batch_size: Rows per batch.
    """

    sources: list[str]
    labels: list[str]
    features: list[dict[str, Any]] = field(default_factory=list)
    sides: dict[str, Side] = field(default_factory=dict)
    numbers: set[str] = field(default_factory=set)
    sequences: dict[str, list[str]] = field(default_factory=dict)
    longest: dict[str, int] = field(default_factory=dict)
    domain: list[str] = field(default_factory=list)
    user: str | None = None
    reserved: list[str] = field(default_factory=list)
    about: list[str] = field(default_factory=list)
    batch_size: int = 1024

    def names(self, side: Side | None = None) -> list[str]:
        """Features that are no sequences, of one side or all, in order."""
        return [name for name, own in self.sides.items() if side in (None, own)]
