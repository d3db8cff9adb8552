"""`Measured`: what a method says of every feature."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from typing_extensions import Self

from easyrec.tune.select.null import Null


@dataclass(frozen=True)
class Measured:
    """What a method has measured.

    Attributes:
        method: Its type.
        unit: What importance is in, such as `drop of auc`.
        importance: What each unit is worth, the more the better; of copies too.
        errors: Standard error of it, where there is one.
        joint: What several units are worth together, by the name of what they have in common.
        numbers: How far the gate of each number of a unit's embedding is open, where there are such gates.
        base: The metric with all features, where the method knows it.
        seconds: How long it took.
    """

    method: str
    unit: str
    importance: Mapping[str, float]
    errors: Mapping[str, float] = field(default_factory=dict)
    joint: Mapping[str, float] = field(default_factory=dict)
    numbers: Mapping[str, Sequence[float]] = field(default_factory=dict)
    base: float | None = None
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """All of it as plain data."""
        return asdict(self)

    @classmethod
    def of_json(cls, data: Mapping[str, Any]) -> Self:
        """What `to_json` gave."""
        return cls(**data)

    def null(self, copies: Collection[str], sizes: Mapping[str, float], quantile: float) -> Null | None:
        """What noise may seem to be worth; None without copies.

        Args:
            copies: Names of the shuffled copies.
            sizes: Logarithm of the number of ids of each.
            quantile: The share of noise that is to lie below the bounds.
        """
        worth = {copy: self.importance[copy] for copy in copies if copy in self.importance}
        return Null(worth, sizes, quantile) if worth else None
