"""Lengths of time as people write them."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator

UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
MOST = 36_525 * 86_400.0
"""A hundred years: what is longer is longer than microseconds are counted for, and means for ever."""
TOO_LONG = "must be at most 36525d, a hundred years, but is {}: what holds for ever has none"
FORM = re.compile(r"(\d+(?:\.\d+)?) ?(ms|[smhdw])")


def seconds_of(value: Any) -> Any:
    """Seconds of `90`, `"500ms"`, `"90s"`, `"15m"`, `"6h"`, `"30d"` or `"2w"`.

    Raises:
        ValueError: It is none of these.
    """
    if isinstance(value, bool):
        raise ValueError(
            f"must be seconds, or a number with ms, s, m, h, d or w such as 30d, but is {str(value).lower()}"
        )
    if isinstance(value, int | float) and MOST < value < float("inf"):
        raise ValueError(TOO_LONG.format(value))
    if not isinstance(value, str):
        return value
    found = FORM.fullmatch(value.strip())
    if found is None:
        raise ValueError(f"must be seconds, or a number with ms, s, m, h, d or w such as 30d, but is '{value}'")
    made = float(found[1]) * UNITS[found[2]]
    if made > MOST:
        raise ValueError(TOO_LONG.format(f"'{value}'"))
    return made


Duration = Annotated[float, BeforeValidator(seconds_of)]
"""Seconds; a config may say `30d`."""
