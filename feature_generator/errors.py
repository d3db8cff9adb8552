"""The errors of the generator.

FeatureGeneratorError
├── ConfigError     what is configured cannot work      (exit code 2)
├── DataError       what was read is not what was said  (exit code 3)
├── OutputError     what was made cannot be written     (exit code 1)
└── MissingExtra    an optional package is not installed
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib.metadata import distributions


class FeatureGeneratorError(Exception):
    """Base of the errors that a user can mend; `exit_code` is what a command ends with."""

    exit_code = 1


@dataclass(frozen=True)
class Problem:
    """One thing wrong in a config.

    Attributes:
        message: What is wrong, what is accepted, the nearest fix; lower case, may span lines.
        where: Dotted path of the value, e.g. `features[2] 'age_bucket' . boundaries`.
        line: 1-based line in `file`, or 0 where no file line exists.
        file: File or origin of the value, empty where the config was a dict.
    """

    message: str
    where: str = ""
    line: int = 0
    file: str = ""


class ConfigError(FeatureGeneratorError):
    """All problems of one config at once, with their lines."""

    exit_code = 2

    def __init__(self, problems: Sequence[Problem] | str, file: str = "") -> None:
        self.problems = (Problem(problems, file=file),) if isinstance(problems, str) else tuple(problems)
        self.file = file or next((p.file for p in self.problems if p.file), "")
        super().__init__(self._report())

    def _report(self) -> str:
        count = len(self.problems)
        lines = [f"{self.file or 'config'}: {count} problem{'s' if count != 1 else ''}"]
        for problem in self.problems:
            place = f"line {problem.line}" if problem.line else ""
            if problem.file and problem.file != self.file:
                place = f"{problem.file} {place}".rstrip()
            head = "  ".join(part for part in (place, problem.where) if part)
            body = problem.message.splitlines() or [""]
            if head:
                lines += ["", f"  {head}", *(f"           {text}" for text in body)]
            else:
                lines += ["", *(f"  {text}" for text in body)]
        return "\n".join(lines)


class DataError(FeatureGeneratorError):
    """Data that breaks the rules: names the file, the row and the column as far as they are known.

    Attributes:
        reason: What is wrong with the value.
        column: Column or feature name.
        row: 0-based row inside the file, or inside the batch where no file is known.
        file: File the row came from.
        line: 1-based line of a text file; it is shown instead of the row.
    """

    exit_code = 3

    def __init__(
        self, reason: str, *, column: str = "", row: int | None = None, file: str = "", line: int | None = None
    ) -> None:
        self.reason, self.column, self.row, self.file, self.line = reason, column, row, file, line
        place = f"line {line}" if line is not None else f"row {row}" if row is not None else ""
        where = ", ".join(part for part in (file, place, f"column '{column}'" if column else "") if part)
        super().__init__(f"{where}: {reason}" if where else reason)

    def asked_by(self, place: Problem) -> DataError:
        """The same error with the place of the config that asks for the data, where these could not be opened."""
        told = DataError(self.reason, column=self.column, row=self.row, file=self.file, line=self.line)
        line = f"line {place.line}" if place.line else ""
        head = ", ".join(part for part in (place.file, line, place.where) if part)
        told.args = (f"{self}\n  asked for by {head}",)
        return told


class OutputError(FeatureGeneratorError):
    """What was made cannot be written: the disk refuses, or the file is there already."""


class MissingExtra(FeatureGeneratorError):  # noqa: N818 (it says what is missing)
    """An optional package is not installed; the message holds the command that installs it.

    Args:
        package: Import name of what is missing.
        extra: Extra of this distribution that brings it.
    """

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"this needs the package '{package}': pip install '{distribution()}[{extra}]'")


@cache
def distribution() -> str:
    """Name under which this library was installed."""
    # Not `packages_distributions`: it reads the list of files of everything that is installed, for seconds.
    for found in distributions():
        if "feature_generator" in (found.read_text("top_level.txt") or "").split():
            return found.name
    return "easyrec-torch"


def nearest(name: str, known: Iterable[str]) -> str:
    """`"; did you mean 'x'?"` for the known name nearest to `name`, else an empty string.

    `DCNv2` is near to `dcn_v2`, as the same letters and digits, and `dnn_hidden_units` to `hidden`, as one of its words.
    """
    names, plain = list(known), _letters(name)
    match = [other for other in names if plain and _letters(other) == plain]
    match = match or get_close_matches(name, names, n=1, cutoff=0.6)
    match = match or get_close_matches(name.lower(), names, n=1, cutoff=0.6)
    match = match or sorted((other for other in names if other in _words(name)), key=len, reverse=True)
    return f"; did you mean '{match[0]}'?" if match else ""


def _letters(name: str) -> str:
    return "".join(filter(str.isalnum, name)).lower()


def _words(name: str) -> list[str]:
    return re.findall(r"[a-z]+|[0-9]+", re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower())
