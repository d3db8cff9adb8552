"""By how much a version is worse than another one, and between what bounds: chance alone moves what few samples measure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

FOLDS = 10
"""Parts of the samples, of which each tells of both versions; what one user or request brought lies in one part."""
FEWEST = 5
"""Parts that must be able to tell: where fewer are, nothing is known."""
FOLD = "_fold_of_gate"
_TOGETHER = ("user_id", "request_id", "event_id")


class Measured(NamedTuple):
    """What a version reaches, on all samples and on each part of them.

    Attributes:
        value: None where it cannot be told.
        folds: By part, without those that cannot tell; None for a metric that is not told by parts.
    """

    value: float | None
    folds: Mapping[str, float] | None


class Worsening(NamedTuple):
    """By how much a version is worse; below 0 it is better.

    Attributes:
        value: On all samples.
        low: So much at least, as far as the samples tell.
        high: So much at most.
    """

    value: float
    low: float
    high: float


def parts_of(path: Path) -> pa.Table:
    """The rows of a file, each with the number of its part.

    Args:
        path: A parquet file.
    """
    table = pq.read_table(path)
    name = next((name for name in _TOGETHER if name in table.column_names), None)
    if name is None:
        codes = np.arange(table.num_rows)
    else:
        held = table[name].combine_chunks().dictionary_encode(null_encoding="encode")
        codes = held.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    return table.append_column(FOLD, pa.array(codes % FOLDS, pa.int64()))


def measured(metrics: Mapping[str, Any], name: str, value: float | None) -> Measured:
    """What an evaluation tells of a metric.

    Args:
        metrics: All of them, those of parts too.
        name: Which.
        value: On all samples.
    """
    pattern = re.compile(re.escape(f"{name}[{FOLD}=") + r"(.*)\]")
    found = {match[1]: one for key, one in metrics.items() if (match := pattern.fullmatch(key))}
    if not found:
        return Measured(value, None)
    return Measured(value, {part: float(one) for part, one in found.items() if one is not None and math.isfinite(one)})


def worsening(value: Measured, former: Measured, sign: float, level: float) -> Worsening | None:
    """By how much a version is worse: Student's interval of the mean over parts of the differences within each.

    Args:
        value: What it reaches.
        former: What the other one reaches on the same samples.
        sign: 1 where more is better, -1 where less is.
        level: Of the interval.
    """
    if value.value is None or former.value is None:
        return None
    drop = sign * (former.value - value.value)
    if value.folds is None or former.folds is None:
        return Worsening(drop, drop, drop)
    drops = [sign * (former.folds[part] - value.folds[part]) for part in value.folds if part in former.folds]
    if len(drops) < FEWEST:
        return Worsening(drop, -math.inf, math.inf)
    reach = _student(0.5 + level / 2.0, len(drops) - 1) * float(np.std(drops, ddof=1)) / math.sqrt(len(drops))
    return Worsening(drop, drop - reach, drop + reach)


def _student(share: float, freedom: int) -> float:
    """Quantile of Student's distribution.

    Source:
        Abramowitz and Stegun, 26.7.5.
    """
    x = NormalDist().inv_cdf(share)
    terms = (
        x,
        (x**3 + x) / 4,
        (5 * x**5 + 16 * x**3 + 3 * x) / 96,
        (3 * x**7 + 19 * x**5 + 17 * x**3 - 15 * x) / 384,
        (79 * x**9 + 776 * x**7 + 1482 * x**5 - 1920 * x**3 - 945 * x) / 92160,
    )
    return float(sum(term / freedom**power for power, term in enumerate(terms)))
