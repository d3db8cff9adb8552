"""A feature's own normalizer over many numbers at once, for edges that are to be learned behind it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from feature_generator.fitting.gathering import Elements
from feature_generator.generator import FeatureGenerator
from feature_generator.numeric import read_normalizer

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]


def normalization(text: str) -> Callable[[Array], tuple[Array, Array]]:
    """What the key `normalizer` does to (n,) numbers.

    Returns:
        A function that returns (m,) normalised numbers, and (m,) which of the n they come from: of some an expression
        makes no number.
    """
    rule = read_normalizer(text)
    if rule["method"] == "expression":
        feature = {"type": "expr", "name": "normalised", "expression": rule["text"], "variables": ["item:x"]}
        generator = FeatureGenerator.load({"features": [feature]})

        def evaluate(numbers: Array) -> tuple[Array, Array]:
            made = Elements.of(generator.values({"x": numbers})["normalised"])
            return _finite(made.values.to_numpy(zero_copy_only=False), np.flatnonzero(made.lengths))

        return evaluate

    def apply(numbers: Array) -> tuple[Array, Array]:
        which = np.arange(len(numbers))
        if rule["method"] == "affine":
            return _finite((numbers - rule["shift"]) / rule["scale"], which)
        if rule["method"] == "log10":
            above = numbers > rule["threshold"]
            return np.where(above, np.log10(np.where(above, numbers, 1.0)), rule["default"]), which
        return numbers, which

    return apply


def _finite(numbers: Array, which: Array) -> tuple[Array, Array]:
    good = np.abs(numbers) <= np.finfo(np.float32).max
    return (numbers, which) if good.all() else (numbers[good], which[good])
