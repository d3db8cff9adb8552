"""`edge_of_space`: searches whose best trials crowd at the end of a range."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, ClassVar

from easyrec.config.space import Parameter, is_space
from easyrec.tune.advise.evidence import Evidence
from easyrec.tune.advise.proposal import Proposal
from easyrec.tune.advise.rules import Need, Rule
from easyrec.tune.advise.searched import at

TRIALS, BEST, EDGE = 8, 0.25, 0.15
"""Trials that it takes, the part of them that counts as the best, and the part of a range that counts as its end."""


class EdgeOfSpace(Rule):
    """The best trials of a search lie at the end of a range: better ones may lie beyond."""

    needs: ClassVar[Need] = "study"

    def look(self, evidence: Evidence) -> Iterator[Proposal]:
        """See the family's contract."""
        found = evidence.searched
        if found is None or len(found.trials) < TRIALS:
            return
        best = found.trials[: max(3, int(BEST * len(found.trials)))]
        for parameter in found.search.parameters:
            values = [
                float(point[parameter.name])
                for point, _ in best
                if parameter.name in point and parameter.kind != "choice"
            ]
            if parameter.kind == "choice" or parameter.given or len(values) < 3:
                continue
            places = [_place(parameter, value) for value in values]
            low = all(place <= EDGE for place in places)
            if not low and not all(place >= 1 - EDGE for place in places):
                continue
            shown = ", ".join(f"{value:.4g}" for value in values[:5])
            beyond, searched = _beyond(parameter, low=low), is_space(at(evidence.written, parameter.path))
            yield Proposal(
                "low",
                parameter.name,
                f"the best {len(values)} of {len(found.trials)} trials lie at the {'lower' if low else 'upper'} end of "
                f"{parameter.low:g} .. {parameter.high:g}: {shown}",
                "where the best lies at the fence, the better may lie behind it",
                "a further search may find more, or learn that the fence stands right; its folder is another one (--run-dir)",
                {parameter.name: beyond} if searched and beyond else {},
                parameter.name,
            )


def _place(parameter: Parameter, value: float) -> float:
    """Where a value lies between the ends of a range, 0 to 1."""
    low, high = parameter.low, parameter.high
    if parameter.log:
        low, high, value = math.log(low), math.log(high), math.log(value)
    return (value - low) / (high - low)


def _beyond(parameter: Parameter, *, low: bool) -> dict[str, Any] | None:
    """A range of the same kind that is centred on the end."""
    kind, whole = ("int" if parameter.kind == "int" else "log" if parameter.log else "uniform"), parameter.kind == "int"
    if parameter.log:
        ratio = math.sqrt(parameter.high / parameter.low)
        middle = parameter.low if low else parameter.high
        ends = middle / ratio, middle * ratio
    else:
        half = (parameter.high - parameter.low) / 2
        middle = parameter.low if low else parameter.high
        ends = middle - half, middle + half
        if low and parameter.low >= 0 > ends[0]:
            return None  # below 0 there is nothing of what counts or weighs
    bounds: list[float] = [round(end) if whole else float(f"{end:.4g}") for end in ends]
    if whole and bounds[0] < 1:
        return None
    more: dict[str, Any] = {} if parameter.step is None else {"step": int(parameter.step) if whole else parameter.step}
    return {kind: bounds, **more, **({"log": True} if whole and parameter.log else {})}
