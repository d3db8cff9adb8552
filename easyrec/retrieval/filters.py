"""Filters: which entries may be found, by what is known of them.

`{team: ads, year: {gte: 2020, lt: 2024}, tags: [a, b], state: {none: [draft]}}`: a value, one of several values, a range, or
none of several values; all of them must hold. Of an entry that has several values of a name one of them is enough, and for
`none` no one may be among them. An entry without the name passes `none` alone.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from easyrec.errors import ConfigError, nearest

Fact: TypeAlias = str | int | float | bool
"""What may be known of an entry."""
NAME = re.compile(r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")
"""What may name it: the same in all stores."""
VALUES = 1000
"""Values that one condition may name."""
BOUNDS = ("gte", "gt", "lte", "lt")
KEYS = (*BOUNDS, "any", "none")


@dataclass(frozen=True)
class AnyOf:
    """One of the entry's values is among these."""

    name: str
    values: tuple[Fact, ...]

    def holds(self, own: Sequence[Fact]) -> bool:
        """Whether it does, of an entry with these values."""
        return any(_same(a, b) for a in own for b in self.values)


@dataclass(frozen=True)
class NoneOf:
    """None of the entry's values is among these."""

    name: str
    values: tuple[Fact, ...]

    def holds(self, own: Sequence[Fact]) -> bool:
        """Whether that is so, of an entry with these values."""
        return not any(_same(a, b) for a in own for b in self.values)


@dataclass(frozen=True)
class Range:
    """One of the entry's numbers, as a double, lies between these.

    Attributes:
        name: Of the number.
        low: None: no bound.
        high: Likewise.
        with_low: Whether `low` itself is inside.
        with_high: Whether `high` itself is.
    """

    name: str
    low: float | None
    high: float | None
    with_low: bool = True
    with_high: bool = True

    def holds(self, own: Sequence[Fact]) -> bool:
        """Whether it does, of an entry with these values."""
        return any(
            self._inside(value) for value in own if isinstance(value, int | float) and not isinstance(value, bool)
        )

    def _inside(self, value: float) -> bool:
        value = float(value)  # as every engine has it
        if self.low is not None and (value < self.low or (value == self.low and not self.with_low)):
            return False
        return self.high is None or value < self.high or (value == self.high and self.with_high)


Condition: TypeAlias = AnyOf | NoneOf | Range
Facts: TypeAlias = Mapping[str, Fact | Sequence[Fact]]
"""What is known of an entry, by name."""


def conditions_of(filter: Mapping[str, Any] | None) -> tuple[Condition, ...]:
    """The conditions of a filter; all must hold.

    Raises:
        ConfigError: It is none.
    """
    if filter is None:
        return ()
    if not isinstance(filter, Mapping):
        raise ConfigError(f"a filter is a mapping of names to values, not {_shown(filter)}")
    return tuple(condition for name, value in filter.items() for condition in _of(name, value))


def facts_of(facts: Facts) -> dict[str, tuple[Fact, ...]]:
    """What is known of an entry, each name with its values.

    Raises:
        ConfigError: A name or a value cannot be.
    """
    return {_named(name): _values(name, value, empty=True) for name, value in facts.items()}


def fact_in(text: str) -> Fact:
    """What a text means that somebody typed: a number or a truth value, where it is one."""
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:  # noqa: PERF203 (two at most)
            continue
    return text


def passes(facts: Mapping[str, Sequence[Fact]], conditions: Sequence[Condition]) -> bool:
    """Whether an entry passes: what all stores have to agree with."""
    return all(condition.holds(facts.get(condition.name, ())) for condition in conditions)


def _of(name: Any, value: Any) -> list[Condition]:
    """The conditions of a name."""
    name = _named(name)
    if not isinstance(value, Mapping):
        return [AnyOf(name, _values(name, value))]
    unknown = [key for key in value if key not in KEYS]
    if unknown or not value:
        key = str(unknown[0]) if unknown else ""
        raise ConfigError(f"filter '{name}': unknown key '{key}'{nearest(key, KEYS)}; known: {', '.join(KEYS)}")
    made: list[Condition] = []
    if "any" in value:
        made.append(AnyOf(name, _values(name, value["any"])))
    if "none" in value:
        made.append(NoneOf(name, _values(name, value["none"])))
    bounds = {key: _number(name, key, value[key]) for key in BOUNDS if key in value}
    if ("gte" in bounds and "gt" in bounds) or ("lte" in bounds and "lt" in bounds):
        raise ConfigError(f"filter '{name}': has two bounds on one side")
    if bounds:
        low, high = bounds.get("gte", bounds.get("gt")), bounds.get("lte", bounds.get("lt"))
        made.append(Range(name, low, high, "gt" not in bounds, "lt" not in bounds))
    return made


def _named(name: Any) -> str:
    if not isinstance(name, str) or not NAME.match(name):
        raise ConfigError(f"{_shown(name)} is no name of a fact: letters, digits and '_', at most 64, no digit first")
    return name


def _values(name: str, value: Any, *, empty: bool = False) -> tuple[Fact, ...]:
    listed = tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else (value,)
    for one in listed:
        if not isinstance(one, str | int | float) or (not isinstance(one, str) and not _finite(one)):
            raise ConfigError(f"'{name}': is {_shown(one)}, but must be a text, a finite number, true or false")
    if len(listed) > VALUES or not (listed or empty):
        raise ConfigError(f"'{name}': has {len(listed)} values, but takes 1 to {VALUES}")
    return listed


def _number(name: str, key: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not _finite(value):
        raise ConfigError(f"filter '{name}': '{key}' is {_shown(value)}, but must be a finite number")
    return float(value)


def _finite(value: float) -> bool:
    """Whether a double can hold it, if perhaps not exactly."""
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False


def _same(a: Fact, b: Fact) -> bool:
    """1 and 1.0 are the same, 1 and true are not."""
    return isinstance(a, bool) == isinstance(b, bool) and a == b


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except ValueError:  # an integer of thousands of digits
        text = "a number of thousands of digits"
    return text if len(text) <= 60 else text[:57] + "..."
