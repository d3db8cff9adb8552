"""Spaces of values, written in the place of a value: `lr: {log: [1e-4, 1e-2]}`.

| written | drawn |
|---|---|
| `{choice: [a, b, ...]}` | one of the options; an option may be a mapping or a list with spaces inside |
| `{uniform: [low, high]}` | a number between; `step: s` rounds it |
| `{log: [low, high]}` | a number whose logarithm is uniform |
| `{int: [low, high]}` | a whole number, both ends included; `step: s`, or `log: true` |
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, TypeAlias

from easyrec.errors import ConfigError, Problem
from feature_generator.config import Document, Path_, override

KINDS = ("choice", "uniform", "log", "int")
WORDS = {*KINDS, "step"}
FIXED = ("tune", "select", "name", "base", "description")
"""Sections in which nothing is searched."""

Value: TypeAlias = str | int | float
Draw: TypeAlias = "Callable[[Parameter], Value]"


@dataclass(frozen=True)
class Parameter:
    """One space of a config.

    Attributes:
        name: Where it stands, as an override names it; an option that it is inside of stands in brackets.
        path: Where it is written.
        kind: What is drawn: `choice`, `float` or `int`.
        options: Of a choice: the values, as written.
        labels: Of a choice: what tells its options apart, and what is drawn.
        low: Least value of a range.
        high: Greatest value of a range.
        log: Whether the logarithm is uniform.
        step: Distance of neighbouring values.
        given: The choices that it is inside of, outermost first, each with the label of the option.
    """

    name: str
    path: Path_
    kind: str
    options: tuple[Any, ...] = ()
    labels: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    step: float | None = None
    given: tuple[tuple[str, str], ...] = ()

    @property
    def ends(self) -> tuple[Value, ...]:
        """All options, or both ends of a range."""
        return self.labels if self.kind == "choice" else tuple(dict.fromkeys((self.number(self.low), self.high_end)))

    @property
    def high_end(self) -> Value:
        """The greatest value that is drawn."""
        if self.step is None:
            return self.number(self.high)
        return self.number(self.low + math.floor((self.high - self.low) / self.step + 1e-9) * self.step)

    @property
    def listed(self) -> tuple[Value, ...] | None:
        """All values; None where there is no end of them."""
        if self.kind == "choice":
            return self.labels
        if self.kind == "float" and self.step is None:
            return None
        step = self.step or 1
        return tuple(
            self.number(self.low + i * step) for i in range(math.floor((self.high - self.low) / step + 1e-9) + 1)
        )

    def number(self, value: float) -> Value:
        """The value in the parameter's type."""
        return round(value) if self.kind == "int" else float(value)

    def holds(self, value: object) -> bool:
        """Whether the value may be drawn."""
        if self.kind == "choice":
            return value in self.labels
        return isinstance(value, int | float) and not isinstance(value, bool) and self.low <= value <= self.high


def is_space(value: object) -> bool:
    """Whether a value of a config stands for many."""
    if not isinstance(value, Mapping) or not value or not WORDS.issuperset(value):
        return False
    return any(value.get(kind, 0) is None or isinstance(value.get(kind, 0), list) for kind in KINDS)


def unsearched(document: Document) -> list[Problem]:
    """The spaces of a config that is asked for as it is, as problems."""
    text = "is a space of values: `easyrec tune` searches it, any other command needs one value"
    return [document.problem(path, text) for path in _spaces(document.raw, ())]


def parameters(document: Document) -> list[Parameter]:
    """All spaces of a config, in the order of the file; what an option holds comes after its choice.

    Raises:
        ConfigError: A space is empty or malformed, or there is none.
    """
    problems: list[Problem] = []
    found: list[Parameter] = []
    for key, value in document.raw.items():
        if key not in FIXED:
            found += _parameters(document, value, (key,), key, (), problems)
    if not found and not problems:
        text = "there is nothing to search: write a space in the place of a value, such as lr: {log: [1e-4, 1e-2]}"
        problems.append(Problem(f"{text} or hidden: {{choice: [[256, 128], [512, 256]]}}", file=document.file))
    if problems:
        raise ConfigError(sorted(problems, key=lambda p: (p.file, p.line)), document.file)
    return found


def filled(document: Document, found: Sequence[Parameter], draw: Draw) -> Document:
    """The config with a value drawn for each space; every value keeps the file and line of where it is written.

    Args:
        document: The config.
        found: Its spaces.
        draw: Gives a value of the parameter, of a choice a label; asked for no parameter of an option not taken.
    """
    at = {parameter.path: parameter for parameter in found}
    places = {}

    def fill(value: Any, written: Path_, path: Path_) -> Any:
        if written in document.places and path not in places:
            places[path] = document.places[written]
        parameter = at.get(written)
        if parameter is not None:
            drawn = draw(parameter)
            if parameter.kind != "choice":
                return drawn
            index = parameter.labels.index(str(drawn))
            inside = (*written, "choice", index)
            if inside in document.places:
                places[path] = document.places[inside]
            return fill(parameter.options[index], inside, path)
        if isinstance(value, Mapping):
            return {key: fill(below, (*written, key), (*path, key)) for key, below in value.items()}
        if isinstance(value, list):
            return [fill(below, (*written, i), (*path, i)) for i, below in enumerate(value)]
        return value

    raw = {key: fill(value, (key,), (key,)) for key, value in document.raw.items() if key != "tune"}
    return override(Document(None, raw, {(): document.place(()), **places}, document.file), ())


def active(found: Sequence[Parameter], values: Mapping[str, Any]) -> list[Parameter]:
    """The parameters that take part where the choices are these."""
    return [p for p in found if all(values.get(choice) == label for choice, label in p.given)]


def points(found: Sequence[Parameter]) -> Iterator[dict[str, Value]]:
    """Every point of the space, its parameters in the order of `found`.

    Raises:
        ValueError: A parameter has no end of values; names it.
    """
    for parameter in found:
        if parameter.listed is None:
            raise ValueError(parameter.name)

    def below(given: tuple[tuple[str, str], ...]) -> Iterator[dict[str, Value]]:
        mine = [p for p in found if p.given == given]
        parts = [list(_with_inside(p)) for p in mine]
        for combination in product(*parts):
            yield {name: value for part in combination for name, value in part.items()}

    def _with_inside(parameter: Parameter) -> Iterator[dict[str, Value]]:
        for value in parameter.listed or ():
            inside = below((*parameter.given, (parameter.name, str(value)))) if parameter.kind == "choice" else ({},)
            yield from ({parameter.name: value, **more} for more in inside)

    yield from below(())


def num_points(found: Sequence[Parameter]) -> int | None:
    """How many points the space has; None where there is no end of them."""

    def count(given: tuple[tuple[str, str], ...]) -> int | None:
        total = 1
        for parameter in (p for p in found if p.given == given):
            if parameter.listed is None:
                return None
            here = 0
            for value in parameter.listed:
                inside = count((*given, (parameter.name, str(value)))) if parameter.kind == "choice" else 1
                if inside is None:
                    return None
                here += inside
            total *= here
        return total

    return count(())


# ------------------------------------------------------------------------------------------------ reading


def _spaces(value: Any, path: Path_) -> Iterator[Path_]:
    """Places of the outermost spaces."""
    if path and is_space(value):
        yield path
    elif isinstance(value, Mapping):
        for key, below in value.items():
            if path or key not in FIXED:
                yield from _spaces(below, (*path, key))
    elif isinstance(value, list):
        for index, below in enumerate(value):
            yield from _spaces(below, (*path, index))


def _parameters(
    document: Document, value: Any, path: Path_, name: str, given: tuple[tuple[str, str], ...], problems: list[Problem]
) -> list[Parameter]:
    if is_space(value):
        kinds = [kind for kind in KINDS if kind in value and not (kind == "log" and isinstance(value[kind], bool))]
        if len(kinds) != 1:
            text = f"is of several kinds, {' and '.join(kinds)}: take one of {', '.join(KINDS)}"
            problems.append(document.problem(path, text))
            return []
        if kinds[0] == "choice":
            return _choice(document, value, path, name, given, problems)
        problem = _unfit(kinds[0], value)
        if problem:
            problems.append(document.problem((*path, kinds[0]), problem))
            return []
        low, high = value[kinds[0]]
        kind, log = "int" if kinds[0] == "int" else "float", kinds[0] == "log" or value.get("log") is True
        return [Parameter(name, path, kind, low=low, high=high, log=log, step=value.get("step"), given=given)]
    found: list[Parameter] = []
    if isinstance(value, Mapping):
        if isinstance(value.get("choice"), list):
            keys = [str(key) for key in value if key != "choice"]
            text = f"a space stands alone, but here are other keys too: {', '.join(keys)}\nput them into the options"
            option = f"with -o by the number of the option: {name}.choice[0].{keys[-1]}"
            problems.append(document.problem((*path, "choice"), f"{text} ({option}), or leave them out"))
        for key, below in value.items():
            found += _parameters(document, below, (*path, key), f"{name}.{key}", given, problems)
    elif isinstance(value, list):
        for index, below in enumerate(value):
            told = below.get("name", index) if isinstance(below, Mapping) else index
            found += _parameters(document, below, (*path, index), f"{name}[{told}]", given, problems)
    return found


def _choice(
    document: Document, value: Any, path: Path_, name: str, given: tuple[tuple[str, str], ...], problems: list[Problem]
) -> list[Parameter]:
    options, where = value["choice"], (*path, "choice")
    if len(value) > 1:
        problems.append(document.problem(path, f"a choice has no '{next(key for key in value if key != 'choice')}'"))
        return []
    if not options:
        problems.append(document.problem(where, "is empty: give the values to choose from"))
        return []
    labels = _labels(options)
    repeated = next((label for label in labels if labels.count(label) > 1), None)
    if repeated is not None:
        problems.append(document.problem(where, f"the option {repeated} is listed twice"))
        return []
    found = [Parameter(name, path, "choice", tuple(options), tuple(labels), given=given)]
    for index, (option, label) in enumerate(zip(options, labels, strict=True)):
        inside = (*given, (name, label))
        found += _parameters(document, option, (*where, index), f"{name}[{label}]", inside, problems)
    return found


def _labels(options: Sequence[Any]) -> list[str]:
    """What tells options apart: their types where these differ, else their texts."""
    types = [option.get("type") if isinstance(option, Mapping) else None for option in options]
    if all(isinstance(kind, str) for kind in types) and len(set(types)) == len(types):
        return [str(kind) for kind in types]
    named = [kind if isinstance(kind, str) and types.count(kind) == 1 else None for kind in types]
    return [kind or _text(option) for kind, option in zip(named, options, strict=True)]


def _text(option: Any) -> str:
    return option if isinstance(option, str) else json.dumps(option, ensure_ascii=False)


def _unfit(kind: str, space: Mapping[str, Any]) -> str:
    """What is wrong with a range; empty where nothing is."""
    bounds, step = space[kind], space.get("step")
    if not isinstance(bounds, list) or len(bounds) != 2:
        shown = "is empty" if not bounds else f"has {len(bounds)} values"
        return f"{shown}: give the least and the greatest value, {kind}: [low, high]"
    for bound in bounds:
        if isinstance(bound, bool) or not isinstance(bound, int | float) or not math.isfinite(bound):
            return f"its bounds must be numbers, but one is {bound!r}"
        if kind == "int" and bound != int(bound):
            return f"its bounds must be whole numbers, but one is {bound}"
    low, high = bounds
    log = kind == "log" or space.get("log") is True
    if low >= high:
        return f"is empty: {low} is not below {high}"
    if log and low <= 0:
        return f"a logarithm needs bounds above 0, but one is {low}"
    if "log" in space and kind == "uniform":
        return "'log: true' is for int: write {log: [low, high]}"
    if step is not None and (isinstance(step, bool) or not isinstance(step, int | float) or step <= 0):
        return f"'step' must be a number above 0, but is {step!r}"
    if step is not None and kind == "int" and step != int(step):
        return f"'step' of whole numbers must be one, but is {step}"
    if step is not None and log:
        return "a logarithmic range has no 'step'"
    if step is not None and step > high - low:
        return f"'step' {step} is wider than the range"
    return ""
