"""What came of experiments: lifts with intervals, CUPED, a test for any time, a check of the split, segments."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from easyrec.errors import ConfigError, DataError, nearest
from serving.ab.config import Experiment, ExperimentsConfig, Layer
from serving.ab.log import Log, Units
from serving.ab.measure import Arm, compare, measure
from serving.ab.metric_config import MetricConfig
from serving.ab.statistics import (
    always_valid_p,
    always_valid_reach,
    benjamini_hochberg,
    detectable,
    holm,
    mismatch_p,
)

MISMATCH = 0.001
"""Below it the split is not what the file says, and nothing else can be believed."""
FEW = 100
"""Units of a variant below which intervals are not to be relied on."""
VALUES = 20
"""Values of a segment that are told of, those with the most units; the rest are one."""


@dataclass(frozen=True)
class Asked:
    """What an analysis is to do.

    Attributes:
        alpha: How often an interval may miss the truth.
        power: How often a needed sample finds what is looked for.
        cuped: Whether what units did before is taken into account.
        before_days: How long before.
        covariates: A parquet file of units with numbers that were known before the experiment, instead.
        segments: Columns by which effects are told too.
        correction: Of the p-values of segments and of several metrics.
    """

    alpha: float = 0.05
    power: float = 0.8
    cuped: bool = True
    before_days: float = 14.0
    covariates: str | None = None
    segments: Sequence[str] = ()
    correction: Literal["holm", "bh"] = "holm"


def analyse(
    config: ExperimentsConfig,
    log: Log,
    asked: Asked,
    layers: Iterable[str] = (),
    experiments: Iterable[str] = (),
    metrics: Iterable[str] = (),
) -> list[dict[str, Any]]:
    """The results of experiments, plain values that a page, a table or JSON shows.

    Args:
        config: The experiments.
        log: What was shown, and what happened.
        asked: What to do.
        layers: Which layers' experiments; default: all.
        experiments: Which experiments; default: all that the log knows.
        metrics: Which of the file's metrics; default: all.

    Raises:
        ConfigError: There is no such layer, experiment, metric or segment.
        DataError: The log has nothing of what is asked for, or covariates do not fit.
    """
    measured, chosen = chosen_of(config, layers, experiments, metrics)
    found = []
    for layer, experiment in chosen:
        if len(experiment.variants) < 2:
            continue
        units = log.units(layer, experiment, measured, asked.segments, 0.0 if not asked.cuped else asked.before_days)
        if units is not None and len(units.ids):
            found.append(of_units(config, layer, experiment, units, measured, asked))
    if not found:
        names = ", ".join(experiment.name for _, experiment in chosen) or "none"
        raise DataError(
            f"the log has no exposure of these experiments: {names}\nit has: {', '.join(log.experiments())}"
        )
    return found


def chosen_of(
    config: ExperimentsConfig, layers: Iterable[str], experiments: Iterable[str], metrics: Iterable[str]
) -> tuple[list[MetricConfig], list[tuple[Layer, Experiment]]]:
    """The metrics and the experiments that names ask for; see `analyse`.

    Raises:
        ConfigError: There is no such layer, experiment or metric.
    """
    measured = _picked(metrics, {metric.name: metric for metric in config.metrics}, "metric")
    known = config.experiments
    inside = set(_picked(layers, {layer.name: layer.name for layer, _ in known.values()}, "layer"))
    return measured, [(layer, one) for layer, one in _picked(experiments, known, "experiment") if layer.name in inside]


def since(chosen: Iterable[tuple[Layer, Experiment]], before_days: float) -> float | None:
    """When the first line of a log was written that an analysis needs, in seconds since 1970; None: nobody knows.

    Args:
        chosen: Its experiments.
        before_days: How long before their starts units are looked at.
    """
    starts = [experiment.start for _, experiment in chosen]
    known = [start for start in starts if start is not None]
    return min(known) - before_days * 86_400 if known and len(known) == len(starts) else None


def of_units(
    config: ExperimentsConfig,
    layer: Layer,
    experiment: Experiment,
    units: Units,
    metrics: Sequence[MetricConfig],
    asked: Asked,
) -> dict[str, Any]:
    """The results of one experiment, of what its units did."""
    names = [variant.name for variant in experiment.variants]
    control = names.index(experiment.baseline)
    counts = np.bincount(units.arms, minlength=len(names))
    p = mismatch_p(counts.tolist(), experiment.weights)
    weights = experiment.weights
    told: dict[str, Any] = {
        "experiment": experiment.name,
        "layer": layer.name,
        "description": experiment.description,
        "control": names[control],
        "start": units.start,
        "ends": [end / 1000.0 for end in units.ends],
        "alpha": asked.alpha,
        "expected_lift": config.expected_lift,
        "sample": {
            "variants": [
                {"name": name, "units": int(counts[at]), "expected": float(weights[at] * counts.sum())}
                for at, name in enumerate(names)
            ],
            "p": p,
            "mismatch": p < MISMATCH,
            "crossed": units.crossed,
            "strange": units.strange,
            "listed": units.listed,
        },
        "notes": _notes(counts, names, units, p),
    }
    outside = _outside(asked.covariates, config.unit, units.ids) if asked.cuped and asked.covariates else None
    results = []
    for metric in metrics:
        known = outside if outside is not None else _before(metric, units) if asked.cuped else None
        results += _metric(metric, units, known, experiment, control, config.expected_lift, asked)
    _correct([one for one in results if one["variant"] != names[control]], asked.correction)
    told["metrics"] = results
    told["segments"] = [
        row for name in asked.segments for row in _segment(name, units, metrics, outside, names, control, asked)
    ]
    return told


def _metric(
    metric: MetricConfig,
    units: Units,
    known: NDArray[np.float64] | None,
    experiment: Experiment,
    control: int,
    expected: float,
    asked: Asked,
) -> list[dict[str, Any]]:
    """One metric's result for each variant, the control first."""
    num = len(experiment.variants)
    last = len(units.ends) - 1
    above, below = _values(metric, units, last)
    arms = measure(units.arms, num, above, below, known)
    looks = _looks(metric, units, known, num)
    told = []
    for at in [control, *(i for i in range(num) if i != control)]:
        arm, base = arms[at], arms[control]
        one: dict[str, Any] = {
            "metric": metric.name,
            "higher": metric.higher,
            "variant": experiment.variants[at].name,
            "units": arm.units,
            "mean": arm.plain_mean,
            "adjusted": arm.mean,
            "error": math.sqrt(arm.variance) if arm.variance >= 0 else math.nan,
            "variance_kept": arm.variance / arm.plain if arm.plain > 0 else 1.0,
        }
        if at != control:
            effect = compare(arm, base, asked.alpha)
            one |= {
                "difference": effect.difference,
                "low": effect.low,
                "high": effect.high,
                "lift": effect.lift,
                "lift_low": effect.lift_low,
                "lift_high": effect.lift_high,
                "p": effect.p,
                "cuped": known is not None and bool(known.size),
                **_sequential(looks, at, control, expected, asked.alpha),
                **_sample(effect.variance, base.mean, arm.units + base.units, expected, asked),
            }
        told.append(one)
    return told


def _looks(metric: MetricConfig, units: Units, known: NDArray[np.float64] | None, num: int) -> list[list[Arm]]:
    """The variants as they were at each look."""
    made = []
    for look in range(len(units.ends)):
        here = np.flatnonzero(units.first <= look)
        above, below = _values(metric, units, look)
        covariates = known[here] if known is not None else None
        made.append(measure(units.arms[here], num, above[here], None if below is None else below[here], covariates))
    return made


def _sequential(looks: Sequence[Sequence[Arm]], at: int, control: int, expected: float, alpha: float) -> dict[str, Any]:
    """The test that may be looked at any time, and its course."""
    p, course = 1.0, []
    for arms in looks:
        effect = compare(arms[at], arms[control], alpha)
        base = arms[control].mean
        scale = expected * abs(base)
        sure = math.isfinite(effect.variance) and effect.variance > 0 and scale > 0
        sure = sure and min(arms[at].units, arms[control].units) >= FEW  # before that the variance is not known
        if sure:
            p = min(p, always_valid_p(effect.difference, effect.variance, scale))
        reach = always_valid_reach(effect.variance, scale, alpha) if sure else math.nan
        width = reach / abs(base) if sure else math.nan
        course.append(
            {
                "lift": effect.lift,
                "low": effect.lift - width,
                "high": effect.lift + width,
                "fixed_low": effect.lift_low,
                "fixed_high": effect.lift_high,
                "p": p,
            }
        )
    return {
        "sequential_p": p,
        "sequential_low": course[-1]["low"] if course else math.nan,
        "sequential_high": course[-1]["high"] if course else math.nan,
        "course": course,
    }


def _sample(variance: float, base: float, units: int, expected: float, asked: Asked) -> dict[str, Any]:
    """The smallest lift that this sample finds, and the sample that the expected lift needs."""
    if not base or not math.isfinite(variance) or variance <= 0:
        return {"detectable": math.nan, "needed": math.nan}
    smallest = detectable(variance, asked.alpha, asked.power) / abs(base)
    return {"detectable": smallest, "needed": float(math.ceil(units * (smallest / expected) ** 2))}


def _segment(
    name: str,
    units: Units,
    metrics: Sequence[MetricConfig],
    outside: NDArray[np.float64] | None,
    names: Sequence[str],
    control: int,
    asked: Asked,
) -> list[dict[str, Any]]:
    """Effects among the units of each value of a segment; p-values are corrected over all of a metric's."""
    values, codes, counts = np.unique(units.segments[name].astype(str), return_inverse=True, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:VALUES]
    place = np.full(len(values), len(order))
    place[order] = np.arange(len(order))
    labels = [str(values[at]) for at in order] + (["(others)"] if len(values) > len(order) else [])
    group = place[codes]
    told = []
    last = len(units.ends) - 1
    for metric in metrics:
        above, below = _values(metric, units, last)
        known = outside if outside is not None else _before(metric, units) if asked.cuped else None
        rows = []
        for number, label in enumerate(labels):
            here = np.flatnonzero(group == number)
            covariates = known[here] if known is not None else None
            arms = measure(
                units.arms[here], len(names), above[here], None if below is None else below[here], covariates
            )
            for at in range(len(names)):
                if at == control or min(arms[at].units, arms[control].units) < 2:
                    continue
                effect = compare(arms[at], arms[control], asked.alpha)
                rows.append(
                    {
                        "segment": name,
                        "value": label,
                        "metric": metric.name,
                        "higher": metric.higher,
                        "variant": names[at],
                        "units": arms[at].units + arms[control].units,
                        "control_mean": arms[control].mean,
                        "lift": effect.lift,
                        "lift_low": effect.lift_low,
                        "lift_high": effect.lift_high,
                        "p": effect.p,
                    }
                )
        _correct(rows, asked.correction)
        told += rows
    return told


def _correct(rows: Sequence[dict[str, Any]], how: str) -> None:
    """Add the p-values that many of them at once ask for."""
    corrected = (holm if how == "holm" else benjamini_hochberg)([row["p"] for row in rows])
    for row, p in zip(rows, corrected, strict=True):
        row["p_corrected"] = p


def _values(metric: MetricConfig, units: Units, look: int) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    """What each unit has of a metric's sum up to a look, and of what it is divided by."""
    num = len(units.ids)
    plain = ("exposures", "requests")
    above = units.sums[metric.of, metric.of in plain or metric.by_exposure].until(look, num, metric.sum)
    if metric.cap is not None:
        above = np.minimum(above, metric.cap)
    if metric.per == "unit":
        return above, None
    return above, units.sums[metric.per, metric.per in plain or metric.by_exposure].until(look, num, "count")


def _before(metric: MetricConfig, units: Units) -> NDArray[np.float64] | None:
    """What each unit had of the same before the experiment; None where nobody had any."""
    num = len(units.ids)
    if not units.before:
        return None
    columns = [units.before[metric.of].until(0, num, metric.sum)]
    if metric.cap is not None:
        columns = [np.minimum(columns[0], metric.cap)]
    if metric.per != "unit":
        columns.append(units.before[metric.per].until(0, num, "count"))
    known = np.stack(columns, axis=1)
    return known if known.any() else None


def _outside(path: str | None, unit: str, ids: pa.Array) -> NDArray[np.float64]:
    """Columns of a file for each unit; those that it lacks have the mean.

    Raises:
        DataError: It has no column of units, one twice, or no numbers.
    """
    assert path is not None
    if not Path(path).is_file():
        raise ConfigError(f"there is no file {path}")
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"is no parquet file: {error}", file=path) from None
    if unit not in table.column_names:
        raise DataError(f"has no column '{unit}'{nearest(unit, table.column_names)}", file=path)
    held = table[unit].cast(pa.string()).combine_chunks()
    if len(held) != len(held.unique()):
        raise DataError("has units twice", column=unit, file=path)
    names = [
        f.name for f in table.schema if f.name != unit and (pa.types.is_integer(f.type) or pa.types.is_floating(f.type))
    ]
    if not names:
        raise DataError("has no column of numbers beside the units", file=path)
    rows = pc.index_in(ids, value_set=held)
    made = []
    for name in names:
        column = table[name].combine_chunks().cast(pa.float64()).take(rows).to_numpy(zero_copy_only=False)
        there = np.isfinite(column)
        made.append(np.where(there, column, column[there].mean() if there.any() else 0.0))
    return np.stack(made, axis=1)


def _notes(counts: NDArray[np.int64], names: Sequence[str], units: Units, p: float) -> list[str]:
    """What a reader must know before reading on."""
    told = []
    if p < MISMATCH:
        told.append(
            f"the variants' units are not split as the file says (p {p:.2g}): something loses or adds units in one of "
            "them, and no other number here can be believed"
        )
    if units.crossed > 0.001 * counts.sum():
        told.append(
            f"{units.crossed:,} units were seen in more than one variant and are left out: was a split changed?"
        )
    if units.strange:
        told.append(f"{units.strange:,} units are in variants that the file does not know, and are left out")
    few = [name for name, count in zip(names, counts, strict=True) if count < FEW]
    if few:
        told.append(f"fewer than {FEW} units in {', '.join(few)}: intervals are not to be relied on")
    return told


def _picked(names: Iterable[str], known: Mapping[str, Any], what: str) -> list[Any]:
    wanted = list(names)
    for name in wanted:
        if name not in known:
            raise ConfigError(f"there is no {what} '{name}'{nearest(name, known)}; known: {', '.join(known)}")
    return [known[name] for name in wanted] if wanted else list(known.values())
