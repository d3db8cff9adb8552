"""What the pass knows of a value: whose it is, and how the new program has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias


class TogetherError(Exception):
    """A sequence must be repeated for each candidate: the pass starts anew without it."""

    def __init__(self, key: str) -> None:
        self.key = key


class UnsplittableError(Exception):
    """The program holds what the pass cannot read."""


@dataclass(frozen=True)
class Const:
    """What depends on no row: a number, a list, or a weight."""

    value: Any


@dataclass(frozen=True)
class Size:
    """A size: of one row, and of a row per candidate; each a number or a value of the new program."""

    user: Any
    full: Any


@dataclass(frozen=True)
class User:
    """What follows from the user's side: as the original would have it for one row.

    Attributes:
        number: The value in the new program.
        steps: The sequence whose steps its first dimension counts; None: rows, or something else where not `rows`.
        rows: Whether its first dimension counts rows, of which there is one.
    """

    number: int
    steps: str | None = None
    rows: bool = True


@dataclass(frozen=True)
class Full:
    """What has a row per candidate, or follows from such: as the original has it."""

    number: int


@dataclass(frozen=True)
class Mixed:
    """Columns (dimension 1) of both sides.

    Attributes:
        user: (1, u, ...).
        full: (B, f, ...).
        order: Widths of the pieces, and whether they are the user's, in the order of the original's columns.
    """

    user: int
    full: int
    order: tuple[tuple[bool, int], ...]


@dataclass(frozen=True)
class Steps:
    """A value per candidate and step, of rank one more than the original: (B or 1, N or 1, ...).

    Attributes:
        number: The value in the new program.
        key: The sequence.
        per_row: Whether the first dimension is B.
        per_step: Whether the second one is N.
        factors: Two values whose product it is, the first (.., .., 1); None: it is no such product.
    """

    number: int
    key: str
    per_row: bool
    per_step: bool
    factors: tuple[Steps, Steps] | None = None


@dataclass(frozen=True)
class Beside:
    """Values per candidate and step, side by side in the original's dimension 1.

    Attributes:
        parts: The values and their widths.
    """

    parts: tuple[tuple[Steps, int], ...]


@dataclass(frozen=True)
class RowsOf:
    """The row of each step of a user's sequence, perhaps beside itself several times.

    Attributes:
        key: The sequence.
        shaped: Calls that gave it its shape: their operators, and what else they take.
    """

    key: str
    shaped: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True)
class OffsetsOf:
    """Where the steps of each row begin, of a user's sequence."""

    key: str


@dataclass(frozen=True)
class Filled:
    """One number everywhere: `aten.full`, of these sizes."""

    number: float
    sizes: tuple[Any, ...]
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Either:
    """What follows from numbers of rows alone: as it is for one row, and for a row per candidate."""

    user: int
    full: int


Known: TypeAlias = Any


SIDED = (User, Full, Mixed, Steps, Beside, RowsOf, OffsetsOf, Size, Filled, Either)
