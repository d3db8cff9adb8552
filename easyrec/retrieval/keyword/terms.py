"""Facts as terms: what a filter looks up in an engine that finds texts by their words, exactly and for every type.

A number is also indexed by the beginnings of its digits, in base 16 of an order-preserving code of 64 bits. A range is then
a few hundred such beginnings at most.

Source:
    Schindler and Diepenbroek, "Generic XML-based framework for metadata portals", Computers & Geosciences 2008, on trie
    range queries.
"""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Iterator, Mapping, Sequence

from easyrec.retrieval.filters import Fact, Range

EVERY = "*"
"""A term that every entry has."""
DIGITS, BASE, MOST = 16, 16, (1 << 64) - 1
TEXT = 256
"""Characters of a text that stand in a term; a longer one is told by its digest."""
UNFIT = re.compile("\\A#|[\x00\ud800-\udfff]")
"""What not every engine takes, and what would pass for a digest."""


def terms_of(facts: Mapping[str, Sequence[Fact]]) -> list[str]:
    """All terms of an entry."""
    found = [EVERY]
    for name, values in facts.items():
        for value in values:
            found.append(term_of(name, value))
            if _is_number(value):
                code = f"{_code(float(value)):016x}"
                found += (f"{name}<{code[:digits]}" for digits in range(1, DIGITS + 1))
    return found


def term_of(name: str, value: Fact) -> str:
    """The term of a value."""
    if isinstance(value, bool):
        return f"{name}=b{int(value)}"
    if isinstance(value, str):
        plain = len(value) <= TEXT and not UNFIT.search(value)
        kept = value if plain else "#" + hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()
        return f"{name}=t{kept}"
    whole = int(value) if isinstance(value, int) or value.is_integer() else value
    return f"{name}=n{whole}"


def range_terms(condition: Range) -> list[str]:
    """The terms of which an entry inside the range has one."""
    low = 0 if condition.low is None else _code(float(condition.low)) + (not condition.with_low)
    high = MOST if condition.high is None else _code(float(condition.high)) - (not condition.with_high)
    return [f"{condition.name}<{prefix}" for prefix in _prefixes(low, high)] if low <= high else []


def _prefixes(low: int, high: int, prefix: str = "", first: int = 0, digits: int = DIGITS) -> Iterator[str]:
    """The shortest beginnings that together have all codes from `low` to `high` and no others."""
    step = BASE ** (digits - 1)
    for digit in range(BASE):
        start = first + digit * step
        end = start + step - 1
        if end < low or start > high:
            continue
        longer = f"{prefix}{digit:x}"
        if low <= start and end <= high:
            yield longer
        else:
            yield from _prefixes(low, high, longer, start, digits - 1)


def _code(value: float) -> int:
    """64 bits in the order of the numbers."""
    bits: int = struct.unpack(">Q", struct.pack(">d", value + 0.0))[0]  # of -0.0 too it is 0.0
    return bits ^ MOST if bits >> 63 else bits | 1 << 63


def _is_number(value: Fact) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
