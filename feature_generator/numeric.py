"""Numbers as features: normalised, then kept as a vector or put into buckets. The keys, their checks, the rules."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from pydantic import Field, field_validator
from typing_extensions import override

from feature_generator.discretizer import KEYS, IdConfig
from feature_generator.expressions import compile_expression, normalizer_expression
from feature_generator.features import FeatureConfig, Numbers, number_text
from feature_generator.fitting.config import FitConfig

METHODS: dict[str, dict[str, float | None]] = {
    "log10": {"threshold": 1e-10, "default": -10.0},
    "zscore": {"mean": None, "standard_deviation": None},
    "minmax": {"min": None, "max": None},
}


class NumericConfig(FeatureConfig):
    """Keys of the feature types whose values are numbers."""

    default_value: str = "0"
    """Value of a missing input; one number, or value_dim of them with the separator between (or a list)."""
    normalizer: str = ""
    """`method=log10,threshold=1e-10,default=-10`, `method=zscore,mean=..,standard_deviation=..`,
    `method=minmax,min=..,max=..` or `method=expression,expr=<formula in x>`. The default value is not normalised."""
    boundaries: list[float] | None = Field(None, min_length=1)
    """Ascending edges of buckets; a value equal to an edge belongs to the upper bucket."""
    dense_embedding: str | dict[str, Any] = "linear"
    """With embedding_dim and without boundaries: how a number becomes an embedding, by name or as a mapping with a
    `type`; the model reads it."""
    fit: FitConfig | None = None
    """What `easyrec fg fit` learns from data: `boundaries`, `normalizer`, and `vocabulary` where values may be ids."""

    @field_validator(
        "default_value",
        "fg_encoded_default_value",
        mode="before",
        json_schema_input_type=str | float | list[float] | None,
    )
    @classmethod
    def _joined(cls, value: Any) -> Any:
        if isinstance(value, list) and all(isinstance(v, int | float) and not isinstance(v, bool) for v in value):
            return "\x1d".join(number_text(v) for v in value)
        return value

    @field_validator("normalizer")
    @classmethod
    def _known_method(cls, value: str) -> str:
        read_normalizer(value)
        return value

    @field_validator("dense_embedding")
    @classmethod
    def _named(cls, value: str | dict[str, Any]) -> str | dict[str, Any]:
        if isinstance(value, dict) and not isinstance(value.get("type"), str):
            raise ValueError("must be a name, or a mapping with a 'type'")
        return value

    @field_validator("boundaries")
    @classmethod
    def _ascending(cls, value: list[float] | None) -> list[float] | None:
        for low, high in zip(value or [], (value or [])[1:], strict=False):
            if low >= high:
                raise ValueError(f"must ascend, but {low} is followed by {high}")
            if np.float32(low) >= np.float32(high):
                raise ValueError(f"{low} and {high} are the same number in float32, which buckets are compared in")
        return value

    @property
    def numeric(self) -> bool:
        """Whether the values are numbers here: false where a key turns them into ids."""
        return True

    @property
    def dim(self) -> int:
        """Length of the vector; 0: any number of numbers, each its bucket."""
        return self.value_dim or 1

    def numbers(self) -> Numbers:
        """What becomes of the numbers."""
        boundaries = None if self.boundaries is None else tuple(self.boundaries)
        return Numbers(self.dim, read_normalizer(self.normalizer), boundaries)

    @override
    def problems(self, encoded: bool) -> list[tuple[str, str]]:
        problems = super().problems(encoded)
        if not self.numeric:
            given = [key for key in ("boundaries", "normalizer") if key in self.model_fields_set]
            return problems + [(key, "goes with numbers; here values become ids by another key") for key in given]
        key = "fg_encoded_default_value" if encoded else "default_value"
        try:
            self.default_numbers(getattr(self, key) or "", encoded)
        except ValueError as error:
            problems.append((key, str(error)))
        if "dense_embedding" in self.model_fields_set and self.embedding_dim is None:
            problems.append(("dense_embedding", "goes with embedding_dim"))
        elif "dense_embedding" in self.model_fields_set and self.boundaries is not None:
            problems.append(("dense_embedding", "goes without boundaries, which already make a field of the number"))
        return problems

    def default_numbers(self, text: str, encoded: bool = False) -> list[float]:
        """The default as `dim` numbers; one number stands for all; none for "".

        Raises:
            ValueError: It holds something else than numbers, or another number of them.
        """
        if not text:
            return []
        separators = {self.fg_encoded_multival_sep if encoded else self.separator, "\x1d", "\x03"}
        for separator in separators:
            text = text.replace(separator, "\x1d")
        numbers = [number_of(part) for part in text.split("\x1d")]
        if len(numbers) == 1:
            numbers *= max(self.dim, 1)
        if self.dim and len(numbers) != self.dim:
            raise ValueError(f"holds {len(numbers)} numbers, but value_dim is {self.dim}")
        return numbers


class ValueConfig(NumericConfig, IdConfig):
    """Keys of the feature types whose values become ids under a discretizer's key, and are numbers without one."""

    @property
    @override
    def numeric(self) -> bool:
        return not self.discretizer_key

    @property
    @override
    def discretized(self) -> bool:
        return not self.numeric


class FoundConfig(ValueConfig):
    """Keys of the feature types whose values are found behind keys: numbers, or words of which each match counts."""

    need_discrete: bool = False
    """Values are words. It follows from a key that makes ids of them; a stub without one passes its words on."""

    @override
    def problems(self, encoded: bool) -> list[tuple[str, str]]:
        problems = super().problems(encoded)
        if self.numeric and self.need_discrete and not encoded:
            problems.append(("need_discrete", f"words need one of {', '.join(KEYS)}, or to be a stub_type"))
        return problems

    @property
    @override
    def numeric(self) -> bool:
        return super().numeric and not (self.need_discrete and self.stub_type)

    @override
    def first_only(self, sequence: bool) -> bool:
        return False


def number_of(text: str) -> float:
    """The number that a config's text holds.

    Raises:
        ValueError: It is none, or not finite in float32.
    """
    try:
        number = float(text) if "_" not in text else math.nan
    except ValueError:
        raise ValueError(f"'{text}' is not a number") from None
    if not np.isfinite(np.float32(number)):
        raise ValueError(f"'{text}' is not a finite float32 number")
    return number


def read_normalizer(text: str) -> dict[str, Any]:
    """The normalizer's rule for the native plan.

    Raises:
        ValueError: The method or one of its parameters is unknown, missing or no number.
    """
    if not text.strip():
        return {"method": "none"}
    formula = normalizer_expression(text)
    if formula is not None:
        return {"method": "expression", "text": formula, **compile_expression(formula, ["x"]).native()}
    parts = dict(_pair(part) for part in text.split(","))
    method = parts.pop("method", "")
    if method not in METHODS:
        raise ValueError(f"unknown method '{method}'; known: {', '.join(METHODS)}, expression")
    values: dict[str, float | None] = dict(METHODS[method])
    for key, value in parts.items():
        if key not in values:
            raise ValueError(f"'{key}' is no parameter of {method}; it has: {', '.join(values)}")
        values[key] = number_of(value)
    missing = [key for key, value in values.items() if value is None]
    if missing:
        raise ValueError(f"{method} needs {' and '.join(missing)}")
    rule = {key: float(value) for key, value in values.items() if value is not None}
    if method == "log10":
        if rule["threshold"] < 0:
            raise ValueError("threshold must not be negative: there is no logarithm below 0")
        return {"method": "log10", **rule}
    shift, scale = (
        (rule["mean"], rule["standard_deviation"]) if method == "zscore" else (rule["min"], rule["max"] - rule["min"])
    )
    if scale <= 0:
        raise ValueError("standard_deviation must be positive" if method == "zscore" else "max must lie above min")
    return {"method": "affine", "shift": shift, "scale": scale}


def _pair(part: str) -> tuple[str, str]:
    key, sign, value = part.partition("=")
    if not sign:
        raise ValueError(f"'{part}' must be key=value")
    return key.strip(), value.strip()
