"""The second look: features that seemed to be noise are measured once more, where less hides what they are worth.

Beside a cross of it with another, a feature seems to be worth nothing, as the cross tells all that it does; beside much
noise a weak one cannot be told from it. So the method measures anew without the noise, with one of those that are alike,
and without what tells a feature that is in doubt.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from easyrec.tune.select.alike import families
from easyrec.tune.select.decide import LESS, Decision, family_name
from easyrec.tune.select.measured import Measured
from easyrec.tune.select.null import Null
from easyrec.tune.select.reduced import Reduction


@dataclass(frozen=True)
class SecondLook:
    """What is measured again.

    Attributes:
        asked: Units that seemed to be noise, and are there again; of those that are alike one.
        aside: Units that tell some of these, and are left out meanwhile.
        tellers: Which of these tell a unit.
        twins: Units that are alike to one that is asked.
    """

    asked: Sequence[str]
    aside: Sequence[str] = ()
    tellers: Mapping[str, Sequence[str]] = field(default_factory=dict)
    twins: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def removed(self, decision: Decision) -> list[str]:
        """The units that are out meanwhile, those that cannot be among them staying."""
        reduction = decision.reduction
        found = [unit for unit in reduction.removed if unit not in self.asked]
        for unit in self.aside:
            if unit not in found and reduction.obstacle([*found, unit]) is None:
                found.append(unit)
        return found


def doubted(
    decision: Decision, null: Null, sizes: Mapping[str, float], tellers_of: Callable[[list[str]], dict[str, list[str]]]
) -> SecondLook:
    """What is to be measured again: what others tell, and what seemed to be worth more than a shuffled copy mostly does.

    Args:
        decision: What has been decided.
        null: What shuffled copies seem to be worth.
        sizes: Logarithm of the number of ids.
        tellers_of: Finds what tells units.
    """
    best = {unit: decision.worth(unit) - null.typical(sizes[unit]) for unit in decision.noise}
    twins: dict[str, list[str]] = {}
    for family in families(decision.pairs):
        if decision.noise.issuperset(family):
            first, *others = sorted(family, key=lambda unit: decision.costs.of(decision.config.costs, unit))
            twins[first] = others
            together = decision.measured.joint.get(family_name(family), 0.0)
            best[first] = max(together - null.typical(sizes[first]), *(best[unit] for unit in family))
    hidden = {unit for others in twins.values() for unit in others}
    noise = [unit for unit in decision.reduction.units.features if unit in decision.noise - hidden]
    tellers = tellers_of(noise)
    asked = _possible(decision.reduction, [unit for unit in noise if unit in tellers or best[unit] > 0])
    tellers = {unit: tellers[unit] for unit in asked if unit in tellers}
    return SecondLook(asked, list(dict.fromkeys(t for told in tellers.values() for t in told)), tellers, twins)


def _possible(reduction: Reduction, units: Sequence[str]) -> list[str]:
    """Units that may be there again, as what they need is there too."""
    back: list[str] = []
    for unit in units:
        if reduction.obstacle([name for name in reduction.removed if name not in {*back, unit}]) is None:
            back.append(unit)
    return back


def decide(decision: Decision, look: SecondLook, measured: Measured, bounds: Mapping[str, float]) -> None:
    """Put back what is worth more than noise now, and take out what is not.

    Args:
        decision: What has been decided; changed.
        look: What was measured again.
        measured: What that gave.
        bounds: What units must be worth more than.
    """
    reduction = decision.reduction

    def significant(unit: str) -> bool:
        return measured.importance[unit] > bounds[unit]

    for unit in look.asked:
        if unit not in measured.importance or not significant(unit):
            continue
        if reduction.obstacle([name for name in reduction.removed if name != unit]) is not None:
            continue
        del reduction.removed[unit]
        told = look.tellers.get(unit)
        beside = f" without {', '.join(f'{name!r}' for name in told)}, which tells it" if told else " beside less noise"
        decision.notes[unit] = (
            f"worth {measured.importance[unit]:.3g}{beside}, shuffled copies up to {bounds[unit]:.3g} there"
        )
        for twin in look.twins.get(unit, ()):
            if twin in reduction.removed:
                reduction.removed[twin] = f"repeats '{unit}'"
    gone = {
        unit: f"noise: worth {measured.importance[unit]:.3g} on a second look, shuffled copies up to {bounds[unit]:.3g}"
        for unit in decision.left
        if unit in measured.importance and unit not in look.asked and unit not in reduction.kept
        if not decision.notes.get(unit) and not _stands(unit, decision, measured, bounds)
    }
    reduction.take_out(sorted(gone, key=lambda unit: measured.importance[unit]), gone)


def _stands(unit: str, decision: Decision, measured: Measured, bounds: Mapping[str, float]) -> bool:
    """Whether a unit that was kept is worth more than noise on average over both looks, each in units of its bound."""
    first = decision.worth(unit) / max(decision.bounds[unit], LESS)
    return first + measured.importance[unit] / max(bounds[unit], LESS) > 2.0
