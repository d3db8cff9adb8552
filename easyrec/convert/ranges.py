"""Names that stand for several, as EasyRec writes them: `field[1-3]` is field1, field2, field3."""

from __future__ import annotations

import re
from collections.abc import Iterable

_RANGE = re.compile(r"(.*)\[(\d+)-(\d+)\](.*)")
MOST = 100_000
"""Names that one range may stand for."""


def expand(names: Iterable[str]) -> list[str]:
    """All names, in order."""
    found: list[str] = []
    for name in names:
        match = _RANGE.fullmatch(name)
        if match is None or int(match[3]) - int(match[2]) >= MOST:
            found.append(name)
        else:
            found += [f"{match[1]}{number}{match[4]}" for number in range(int(match[2]), int(match[3]) + 1)]
    return found
