"""What grades and what people say of them come to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import combinations
from typing import Any

import numpy as np

from easyrec.intervals import holm
from easyrec.llm.tools._judge.calibration import Calibrated, calibrate
from easyrec.llm.tools._judge.config import Config, Criterion
from easyrec.llm.tools._judge.grading import Graded, mean_of, overall
from easyrec.llm.tools._judge.measures import Measures, Told, nearest_grade, told
from easyrec.llm.tools._judge.people import Labels
from easyrec.llm.tools._judge.units import Unit
from easyrec.prediction_powered import powered_mean

NEAR = 1e-9


def grades_told(
    config: Config, units: Sequence[Unit], graded: Graded, names: Sequence[str], labels: Labels | None
) -> Told:
    """Means, differences, agreement, what length does, and people."""
    measures = Measures(config.level, config.seed)
    whole = overall(config, graded.panel)
    table = {one.name: row for one, row in zip(config.rubric, graded.panel, strict=True)}
    lengths = np.array([unit.length for unit in units], np.float64)
    return {
        "answers": len(units),
        "ungraded": int(np.isnan(whole).sum()),
        "means": _means(config, units, {**table, "overall": whole}, measures),
        "differences": _differences(units, {**table, "overall": whole}, measures),
        "between_votes": _between_votes(config, graded, names, measures),
        "between_judges": _between_judges(config, graded, names, measures),
        "length": measures.correlation(lengths, whole, ranks=True),
        "people": None if labels is None else _people_told(config, units, graded, labels, measures),
    }


def controls_told(config: Config, real: np.ndarray, swapped: np.ndarray) -> Told:
    """Whether the judges see that an answer is one to something else: grades (C, n) of both."""
    measures, found = Measures(config.level, config.seed), {}
    for one, a, b in zip(config.rubric, real, swapped, strict=True):
        there = ~np.isnan(a + b)
        better = np.where(a > b, 1.0, np.where(a == b, 0.5, 0.0))[there]
        found[one.name] = {"seen": measures.mean(better), "lower_by": measures.mean((a - b)[there])}
    return found


def _means(
    config: Config, units: Sequence[Unit], table: Mapping[str, np.ndarray], measures: Measures
) -> list[dict[str, Any]]:
    """Of each criterion and system."""
    criteria = {one.name: one for one in config.rubric}
    found = []
    for name, row in table.items():
        for system, own in _by_system(units).items():
            values = row[own]
            one: dict[str, Any] = {"criterion": name, "system": system, **measures.mean(values)}
            if name in criteria:
                grades = nearest_grade(values, list(criteria[name].scale))
                one["share"] = criteria[name].share(one["value"])
                one["grades"] = {str(grade): int((grades == grade).sum()) for grade in criteria[name].scale}
            found.append(one)
    return found


def _by_system(units: Sequence[Unit]) -> dict[str, np.ndarray]:
    """(n,) whose answers they are."""
    whose = np.array([unit.system for unit in units], object)
    return {system: whose == system for system in dict.fromkeys(whose)}


def _differences(units: Sequence[Unit], table: Mapping[str, np.ndarray], measures: Measures) -> list[dict[str, Any]]:
    """Systems beside each other, on the ids that both answer."""
    place = {(unit.id, unit.system): n for n, unit in enumerate(units)}
    ids = list(dict.fromkeys(unit.id for unit in units))
    found: list[dict[str, Any]] = []
    for a, b in combinations(_by_system(units), 2):
        both = [(place[key, a], place[key, b]) for key in ids if (key, a) in place and (key, b) in place]
        first, second = (np.array([pair[at] for pair in both], np.int64) for at in (0, 1))
        found += [
            {"criterion": name, "first": a, "second": b, **asdict(measures.difference(row[first], row[second]))}
            for name, row in table.items()
        ]
    for at, p in holm({at: one["p"] for at, one in enumerate(found)}).items():
        found[at]["p_corrected"] = p
    return found


def _between_votes(config: Config, graded: Graded, names: Sequence[str], measures: Measures) -> list[dict[str, Any]]:
    """How far each judge agrees with itself."""
    if config.votes < 2:
        return []
    return [
        {
            "judge": judge,
            "criterion": one.name,
            "fleiss": measures.fleiss(graded.votes[j, c]),
            "alpha": measures.alpha(graded.votes[j, c]),
        }
        for j, judge in enumerate(names)
        for c, one in enumerate(config.rubric)
    ]


def _between_judges(config: Config, graded: Graded, names: Sequence[str], measures: Measures) -> list[dict[str, Any]]:
    """How far the judges agree with each other."""
    if len(names) < 2:
        return []
    found = []
    for c, one in enumerate(config.rubric):
        table = graded.grades[:, c].T
        pairs = [
            {"first": names[a], "second": names[b], **_kappas(one, table[:, a], table[:, b], measures)}
            for a, b in combinations(range(len(names)), 2)
        ]
        found.append({"criterion": one.name, "alpha": measures.alpha(table), "pairs": pairs})
    return found


def _kappas(criterion: Criterion, first: np.ndarray, second: np.ndarray, measures: Measures) -> Told:
    """Cohen's kappa of grades, without and with weights by the square of their distance."""
    scale = list(criterion.scale)
    a, b = nearest_grade(first, scale), nearest_grade(second, scale)
    return {"kappa": measures.kappa(a, b), "weighted_kappa": measures.kappa(a, b, "quadratic")}


def _people_told(config: Config, units: Sequence[Unit], graded: Graded, labels: Labels, measures: Measures) -> Told:
    """Agreement with people, the map to their grades, and the mean that they would find."""
    criteria = {
        one.name: _beside_people(config, one, units, graded.panel[c], labels.grades[one.name], measures)
        for c, one in enumerate(config.rubric)
        if one.name in labels.grades
    }
    return {"persons": len(labels.persons), "rows_about_others": labels.strange, "criteria": criteria}


def _beside_people(
    config: Config, one: Criterion, units: Sequence[Unit], judged: np.ndarray, table: np.ndarray, measures: Measures
) -> Told:
    people = mean_of(table.T)
    both = ~np.isnan(people + judged)
    x, y = judged[both], people[both]
    scale = list(one.scale)
    lengths = np.array([unit.length for unit in units], np.float64)
    ids = [unit.id for unit, there in zip(units, both, strict=True) if there]
    kind = "isotonic" if config.people is None else config.people.map
    span = (float(min(scale)), float(max(scale)))
    mapped = calibrate(ids, x, y, kind, span, level=config.level, seed=config.seed)
    return {
        "labelled": len(y),
        "between_people": measures.alpha(table),
        "agreement": {
            **_kappas(one, judged, people, measures),
            "alpha": measures.alpha(np.column_stack([judged, people]), "interval"),
            "same": measures.share_of(nearest_grade(x, scale) == nearest_grade(y, scale)),
            "within_one": measures.share_of(np.abs(x - y) <= 1 + NEAR),
            "distance": measures.mean(np.abs(x - y)),
            "milder_by": measures.mean(x - y),
            "pearson": measures.correlation(x, y),
            "spearman": measures.correlation(x, y, ranks=True),
        },
        "length_and_mildness": measures.correlation(lengths[both], x - y, ranks=True),
        "calibration": None if mapped is None else {"kind": kind, **_calibrated(mapped)},
        "estimates": _estimates(config, units, judged, people),
    }


def _calibrated(mapped: Calibrated) -> Told:
    names = ("absolute_error", "root_mean_square_error", "milder_by")
    return {
        "map": asdict(mapped.map),
        "fitted_on": mapped.fitted,
        "looked_at": mapped.change.count,
        "before": dict(zip(names, mapped.before, strict=True)),
        "after": dict(zip(names, mapped.after, strict=True)),
        "change": asdict(mapped.change),
    }


def _estimates(config: Config, units: Sequence[Unit], judged: np.ndarray, people: np.ndarray) -> list[dict[str, Any]]:
    """The mean that people would find over all answers, by system."""
    found = []
    for system, whose in _by_system(units).items():
        here, others = (whose & ~np.isnan(judged) & there for there in (~np.isnan(people), np.isnan(people)))
        one = powered_mean(people[here], judged[here], judged[others], config.level)
        found.append(
            {
                "system": system,
                "labelled": int(here.sum()),
                "others": int(others.sum()),
                "powered": told(one.mean),
                "labels_alone": told(one.alone),
                "judges_alone": one.machine,
                "weight": one.weight,
                "worth": one.saved,
            }
        )
    return found
