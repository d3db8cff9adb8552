"""Which features go: noise, repetition, and what a budget has no room for."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from easyrec.config.select import SelectConfig
from easyrec.tune.select.alike import Pairs, families, told_by
from easyrec.tune.select.costs import Costs, memory_mb
from easyrec.tune.select.measured import Measured
from easyrec.tune.select.reduced import Reduction

logger = logging.getLogger("easyrec.tune")

LESS = 1e-12
"""What a cost, or a bound, of 0 counts as."""


@dataclass
class Decision:
    """What decides, and what has been decided.

    Attributes:
        config: The `select` section.
        reduction: The config that features are taken out of.
        measured: What the features are worth.
        bounds: What noise of its kind may seem to be worth, by unit and by name of what is measured together; empty
            where that is not known.
        pairs: Features that tell each other.
        costs: What they cost.
        notes: Why features stay that others would have gone in the place of.
        noise: Units that went as they are worth no more than noise.
    """

    config: SelectConfig
    reduction: Reduction
    measured: Measured
    bounds: Mapping[str, float]
    pairs: Pairs
    costs: Costs
    notes: dict[str, str] = field(default_factory=dict)
    noise: set[str] = field(default_factory=set)

    def worth(self, unit: str) -> float:
        """What a unit is worth; one that was not measured, more than any other."""
        return self.measured.importance.get(unit, float("inf"))

    def significant(self, name: str) -> bool:
        """Whether a unit, or what several have in common, is worth more than noise."""
        return name not in self.bounds or self.measured.joint.get(name, self.worth(name)) > self.bounds[name]

    def ascending(self, units: Sequence[str]) -> list[str]:
        """Units, those first that are worth the least for what they cost."""
        kind = self.config.costs
        return sorted(units, key=lambda unit: self.worth(unit) / max(self.costs.of(kind, unit), LESS))

    # ------------------------------------------------------------------------- whatever the budget is

    def without_noise(self) -> None:
        """Take out what is worth no more than noise, and what others tell already."""
        units, owner = list(self.reduction.units.features), self.reduction.units.owner
        fixed = {owner[name] for name in self.config.keep}
        self.reduction.kept |= dict.fromkeys(fixed, "select.keep names it")
        noise = {unit for unit in units if not self.significant(unit)} - fixed
        repeated: dict[str, str] = {}
        for family in families(self.pairs):
            if self.significant(family_name(family)) or not noise.issuperset(family):
                noise -= set(family)
                repeated |= self._repeated(family, fixed)
                stay = [unit for unit in family if unit not in repeated and not self.significant(unit)]
                self.notes |= {unit: self._together(unit, family) for unit in stay}
        for sequence, children in self.reduction.units.sequences.items():
            of = list(dict.fromkeys(owner[child] for child in children))
            if noise.issuperset(of) and self.significant(sequence_name(sequence)):
                best = max(of, key=self.worth)
                noise.discard(best)
                self.notes[best] = f"the best part of '{sequence}', which is worth something as a whole"
        reasons = {
            unit: f"noise: worth {self.worth(unit):.3g}, shuffled copies up to {self.bounds[unit]:.3g}"
            for unit in noise
        } | {unit: why for unit, why in repeated.items() if unit not in noise}
        self.noise = set(self.reduction.take_out(sorted(noise, key=self.worth), reasons))
        self.reduction.take_out(sorted(set(reasons) - noise, key=self.worth), reasons)

    def _together(self, unit: str, family: Sequence[str]) -> str:
        others = ", ".join(f"'{other}'" for other in family if other != unit)
        name = family_name(family)
        return f"one of it and {others}: together worth {self.measured.joint.get(name, self.worth(unit)):.3g}"

    def _repeated(self, family: Sequence[str], fixed: set[str]) -> dict[str, str]:
        """Those of units that are alike which others tell, with why: the cheapest stays, then the one that is worth most."""

        def first(unit: str) -> tuple[bool, float, float]:
            stays = unit in fixed or self.reduction.obstacle([*self.reduction.removed, unit]) is not None
            return not stays, self.costs.of(self.config.costs, unit), -self.worth(unit)

        stay: list[str] = []
        found: dict[str, str] = {}
        for unit in sorted(family, key=first):
            by = max(stay, key=lambda other: told_by(self.pairs, unit, other), default=None)
            if by is None or unit in fixed or not told_by(self.pairs, unit, by):
                stay.append(unit)
            else:
                found[unit] = f"repeats '{by}', which tells it by {told_by(self.pairs, unit, by):.3g}"
        return found

    # ------------------------------------------------------------------------------------- the budget

    def within_budget(self, drop: Callable[[Sequence[str]], float]) -> None:
        """Take out what the budget has no room for.

        Args:
            drop: Trains without units, beside those that are out; gives how much worse the metric is.
        """
        budget = self.config.budget
        if budget.top is not None:
            most = budget.top
            self._until(lambda: len(self.left) <= most, f"the budget is {most} features")
        elif budget.memory_mb is not None:
            room = budget.memory_mb
            fits: Callable[[], bool] = lambda: memory_mb(self.reduction.experiment()) <= room  # noqa: E731
            self._until(fits, f"the budget is {room:g} MB")
        elif budget.latency_ms is not None:
            time = budget.latency_ms
            self._until(lambda: self.latency_ms <= time, f"the budget is {time:g} ms a request")
        elif budget.auc_drop is not None:
            self._while_good(drop, budget.auc_drop)

    @property
    def left(self) -> list[str]:
        """Units that are in."""
        return [unit for unit in self.reduction.units.features if unit not in self.reduction.removed]

    @property
    def latency_ms(self) -> float:
        """Of a request with the units that are in, by the parts that were measured."""
        return sum(self.costs.latency_ms.get(unit, 0.0) for unit in self.left)

    @property
    def _candidates(self) -> list[str]:
        """Units that may go, those first that are worth the least for what they cost."""
        return self.ascending([unit for unit in self.left if unit not in self.reduction.kept])

    def _why(self, unit: str, bound: str) -> str:
        kind = self.config.costs
        costs = {
            "latency": f", costs {self.costs.of(kind, unit):.3g} ms",
            "memory": f", {self.costs.of(kind, unit):.3g} MB",
        }
        return f"{bound}: worth {self.worth(unit):.3g}{costs.get(kind, '')}"

    def _until(self, fits: Callable[[], bool], bound: str) -> None:
        for unit in self._candidates:
            if fits():
                return
            self.reduction.take_out([unit], {unit: self._why(unit, bound)})
        if not fits():
            logger.warning("%s, and what has to stay takes more", bound)

    def _while_good(self, drop: Callable[[Sequence[str]], float], most: float) -> None:
        """Bisect how many can go; that more of them never cost less is taken for granted."""
        units = self._candidates
        low, high = 0, len(units)  # `low` can go
        while low < high:
            middle = (low + high + 1) // 2
            if drop(units[:middle]) <= most:
                low = middle
            else:
                high = middle - 1
        why = {unit: self._why(unit, f"the budget is a drop of {most:g}") for unit in units[:low]}
        self.reduction.take_out(units[:low], why)


def family_name(units: Sequence[str]) -> str:
    """What units that are alike are called where they are measured together."""
    return f"alike: {', '.join(units)}"


def sequence_name(sequence: str) -> str:
    """What the parts of a sequence are called where they are measured together."""
    return f"sequence: {sequence}"


def joint_of(
    units: Mapping[str, Sequence[str]], pairs: Pairs, sequences: Mapping[str, Sequence[str]]
) -> dict[str, list[str]]:
    """Units that are measured together too, by a name."""
    owner = {feature: unit for unit, features in units.items() for feature in features}
    found = {family_name(family): family for family in families(pairs)}
    for sequence, children in sequences.items():
        found[sequence_name(sequence)] = list(dict.fromkeys(owner[child] for child in children))
    return found
