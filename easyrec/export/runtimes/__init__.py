"""What a bundle's program is written for, one runtime a file; `serving.runtimes` has a file of the same name.

A member defines

    PACKAGES    what must be installed, by the extra that brings it
    TOLERANCE   how far its scores in fp32 may lie from the trained ones, relative above 1
    PRECISIONS  of the dense part that it has
    NATIVE      whether it writes machine code
    SUMS        whether its program for requests may be given sums of what is computed ahead; then `load` gives what has
                an attribute `given`
    write(program: Program, inputs: Mapping[str, Tensor], folder: Path, precision: str) -> dict[str, str]
                writes into an existing folder, tells what machine code was built for; raises RunError where the program
                cannot be written so; `inputs` are example inputs that tell types and numbers of dimensions
    load(folder: Path) -> Callable[[Mapping[str, np.ndarray]], dict[str, np.ndarray]]
                what was written, made ready to run
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Protocol, TypeAlias, cast

import numpy as np
from torch import Tensor

from easyrec.errors import MissingExtra
from easyrec.export.calls import Program
from feature_generator.config import member, members

Run: TypeAlias = Callable[[Mapping[str, np.ndarray]], dict[str, np.ndarray]]


class Maker(Protocol):
    """A member of the family."""

    PACKAGES: Mapping[str, str]
    TOLERANCE: float
    PRECISIONS: tuple[str, ...]
    NATIVE: bool
    SUMS: bool

    def write(self, program: Program, inputs: Mapping[str, Tensor], folder: Path, precision: str) -> dict[str, str]:
        """Write the program."""
        ...

    def load(self, folder: Path) -> Run:
        """Make it ready to run."""
        ...


def maker(name: str) -> Maker:
    """The member `name`.

    Raises:
        MissingExtra: A package that it needs is not installed.
    """
    found: ModuleType = member(__name__, name)
    for package, extra in found.PACKAGES.items():
        if find_spec(package) is None:
            raise MissingExtra(package, extra)
    return cast(Maker, found)


def installed() -> list[str]:
    """The members whose packages are installed, but for those that write machine code."""
    found = {name: member(__name__, name) for name in members(__name__)}
    return [n for n, m in found.items() if not m.NATIVE and all(find_spec(package) for package in m.PACKAGES)]
