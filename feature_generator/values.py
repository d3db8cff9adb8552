"""Plain values as text and numbers: the rules that all feature types share, in plain Python."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np

NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
SPACE = " \t\n\v\f\r"
LARGEST = float(np.finfo(np.float32).max)


class BadValueError(Exception):
    """A value broke a rule."""


def as_text(value: Any) -> str:
    """A plain value as text: numbers in their shortest form, whole ones of 64 bits without a point."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | np.integer | np.bool_):
        return str(int(value))
    if not math.isfinite(value):
        raise BadValueError(f"{value} is not finite")
    if float(value).is_integer() and abs(value) < 2**63:
        return str(int(value))
    return repr(float(str(value)) if isinstance(value, np.float32) else float(value))  # numpy writes 1e-04


def as_number(value: Any) -> float:
    """A plain value as a finite number."""
    if isinstance(value, str):
        text = value.strip(SPACE)
        number = float(text) if NUMBER.fullmatch(text) else math.nan
    else:
        number = float(value)
    if not math.isfinite(number):
        raise BadValueError(f"{value!r} is not a finite number")
    return number


def as_integer(value: Any) -> int:
    """A plain value as a whole number of 64 bits."""
    if isinstance(value, str):
        text = value.strip(SPACE)
        if not re.fullmatch(r"[+-]?[0-9]+", text):
            raise BadValueError(f"{value!r} is not a whole number")
        number = int(text)
    elif isinstance(value, float | np.floating):
        if not math.isfinite(value) or not float(value).is_integer() or abs(float(value)) >= 2**63:
            raise BadValueError(f"{value} is not a whole number")
        number = int(value)
    else:
        number = int(value)
    if not -(2**63) <= number < 2**63:
        raise BadValueError(f"{number} has more than 64 bits")
    return number
