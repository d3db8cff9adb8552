"""`Row`: what is told of a trial."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from typing_extensions import Self

from easyrec.tune.search import Objective


@dataclass(frozen=True)
class Row:
    """A trial.

    Attributes:
        number: Its number.
        state: `complete`, `pruned`, `failed`, `interrupted` or `running`.
        values: Its point.
        outcome: What it gave: the objectives and all metrics of its best evaluation.
        curve: The first objective at each evaluation.
        seconds: How long it took.
        reason: Why it failed, or was cut short.
        again: The interrupted trial that it is anew.
    """

    number: int
    state: str
    values: dict[str, Any]
    outcome: dict[str, float] = field(default_factory=dict)
    curve: tuple[float, ...] = ()
    seconds: float = 0.0
    reason: str = ""
    again: int | None = None

    @classmethod
    def of(cls, trial: Any, first: Objective) -> Self:
        """The row of a trial as Optuna records it."""
        attributes = trial.user_attrs
        state = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed"}.get(trial.state.name, "running")
        curve = tuple(value for _, value in sorted(trial.intermediate_values.items()))
        outcome = dict(attributes.get("outcome", {}))
        finite = [value for value in curve if not math.isnan(value)]
        if not outcome and finite and first.is_metric:
            outcome = {first.name: (max if first.higher_is_better else min)(finite)}
        return cls(
            trial.number,
            "interrupted" if attributes.get("interrupted") else state,
            dict(trial.params),
            outcome,
            curve,
            float(attributes.get("seconds", 0.0)),
            str(attributes.get("reason", "")),
            attributes.get("again"),
        )

    @property
    def point(self) -> str:
        """Its point as text."""
        return ", ".join(
            f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
            for name, value in self.values.items()
        )
