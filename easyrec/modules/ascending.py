"""Least squares under bounds on every step: isotonic regression that cannot jump. Knows no torch."""

from __future__ import annotations

from itertools import pairwise

import numpy as np


def fit_ascending(mean: np.ndarray, mass: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """The v that minimises ``sum_i mass_i (v_i - mean_i)^2`` where ``0 <= v_{i+1} - v_i <= steps_i``.

    Exact. With infinite steps it is isotonic regression; a step of 0 ties two values.

    Half the derivative of the least loss of the first i values, as a function of the last of them, is continuous,
    ascending and made of straight pieces. A further value shifts what lies right of its zero by the step, leaves a flat
    piece between, and adds the line ``mass (v - mean)``; then the zero is looked for from where it was.

    Args:
        mean: (n,) float64, n >= 1.
        mass: (n,) float64, above 0.
        steps: (n - 1,) float64, not negative.

    Returns:
        (n,) float64, ascending; its weighted mean is that of `mean`.

    Source:
        Agarwal, Phillips and Sadri, "Lipschitz unimodal and isotonic regression on paths and trees", LATIN 2010;
        here with two stacks in place of their tree.
    """
    best = [float(mean[0])]  # by number of values: where the least loss has its minimum
    # Pieces beside the zero's own, nearest last: (the end towards the zero, slope). Positions on the right lack `shift`,
    # slopes lack `added`: what all of them have gained.
    left: list[tuple[float, float]] = []
    right: list[tuple[float, float]] = []
    shift, added, slope = 0.0, float(mass[0]), float(mass[0])
    for step, m, w in zip(steps.tolist(), mean[1:].tolist(), mass[1:].tolist(), strict=True):
        zero = best[-1]
        left.append((zero, slope - added))
        shift += step if np.isfinite(step) else 0.0
        if np.isfinite(step):
            right.append((zero + step - shift, slope - added))
        else:
            right = []  # nothing holds the next value from above
        added += w
        slope, height = w, w * (zero - m)
        while height > 0.0 and left and zero - height / slope < left[-1][0]:
            end, outside = left.pop()
            right.append((end - shift, slope - added))
            height -= slope * (zero - end)
            zero, slope = end, max(outside + added, w)  # every piece has risen by w at least
        while height < 0.0 and right and zero - height / slope > right[-1][0] + shift:
            end, outside = right.pop()
            left.append((end + shift, slope - added))
            height += slope * (end + shift - zero)
            zero, slope = end + shift, max(outside + added, w)
        best.append(zero - height / slope)
    values = np.empty(len(best))
    values[-1] = best[-1]
    for index, step in zip(range(len(best) - 2, -1, -1), steps[::-1].tolist(), strict=True):
        values[index] = min(max(best[index], values[index + 1] - step), values[index + 1])
    return values


def corners(values: np.ndarray, steps: np.ndarray, slopes: np.ndarray) -> np.ndarray:
    """Indices of the values between which a fit is no straight line: the others need not be kept.

    Args:
        values: (n,) float64, what `fit_ascending` gave.
        steps: (n - 1,) float64, the bounds that it was given.
        slopes: (n - 1,) float64, the slope of a line that rises by each of these.
    """
    rises = np.diff(values)
    kinds = [
        0.0 if rise == 0.0 else slope if rise >= step * (1.0 - 1e-9) - 1e-15 else float("nan")
        for rise, step, slope in zip(rises.tolist(), steps.tolist(), slopes.tolist(), strict=True)
    ]
    inner = [index + 1 for index, (a, b) in enumerate(pairwise(kinds)) if a != b]
    return np.unique([0, *inner, len(values) - 1])
